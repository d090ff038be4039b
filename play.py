"""Plays a world from a checkout: `python play.py [WORLD]`."""

import sys
from pathlib import Path

# The folders envs/ and kernels/ here must not be importable under those bare names.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

from worldsim.cli.play import play_main  # noqa: E402

if __name__ == "__main__":
    play_main()
