"""The examples run as they stand, only shorter."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SHORT = {
    "ppo": (None, "--total-steps 64 --num-envs 4 --num-steps 16", "64 steps"),
    "sb3_ppo": ("stable_baselines3", "--total-steps 256 --num-envs 4 --real-episodes 1", "real game, 1 episodes"),
    "torchrl_collector": ("torchrl", "--total-frames 64 --frames-per-batch 32 --num-envs 4", "64 frames"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_examples_run(name: str) -> None:
    needed, arguments, said = SHORT[name]
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    command = [sys.executable, "-W", "error::FutureWarning:__main__", str(EXAMPLES / f"{name}.py"), *arguments.split()]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert said in run.stdout
