"""The examples run as they stand, only shorter. `random_gap.py` is tested in tests/transfer."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from worldsim.world import read_config

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
STRIP = "--env WorldSim/DoomTakeCoverStrip-v0 --num-envs 4"
SHORT = {
    "ppo": (None, f"--total-steps 64 --num-steps 16 {STRIP}", "64 steps"),
    "sb3_ppo": (
        "stable_baselines3",
        "--dream WorldSim/DoomTakeCoverStrip-v0 --real WorldSim/DoomTakeCoverStrip-Real-v0 --num-envs 4 --total-steps 256 "
        "--real-episodes 1",
        "real game, 1 episodes",
    ),
    "torchrl_collector": ("torchrl", f"--total-frames 64 --frames-per-batch 32 {STRIP}", "64 frames"),
}


def run(name: str, *arguments: object) -> str:
    """What an example prints."""
    command = [sys.executable, "-W", "error::FutureWarning:__main__", str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SHORT)
def test_examples_of_agents(name: str) -> None:
    needed, arguments, expected = SHORT[name]
    if needed and find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    if "--real" in arguments and find_spec("vizdoom") is None:
        pytest.skip("needs vizdoom")
    assert expected in run(name, *arguments.split())


@pytest.fixture(scope="module")
def own_game(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run folder of the example, and what it printed."""
    out = tmp_path_factory.mktemp("own") / "catch"
    return out, run("own_game", "--out", out, "--frames", 160, "--budget", 2, "--steps", 4)


def test_a_game_of_ones_own_in_one_file(own_game: tuple[Path, str]) -> None:
    out, printed = own_game
    assert "DreamEnv:" in printed and "TwinEnv: 4 steps" in printed
    config = read_config(out / "world")
    assert (config.game, config.control_spec.keys) == ("mine/catch", ("left", "right"))


def test_ablation(own_game: tuple[Path, str]) -> None:
    out, _ = own_game
    short = ("--minutes", 0.01, "--only", "preset", "--clips", 2, "--no-compiled")
    printed = run("ablation", "--name", "toy/dodge", "--run", out, "--data", out / "data", *short)
    last = printed.splitlines()[-1]
    assert last.startswith("| preset | ") and last.count("dB") == 3
