"""The suite gives the same result every time, and says what it left out."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

GENERATOR = torch.Generator().manual_seed(0)
FIRST = random.Random(0).random(), np.random.RandomState(0).rand(), float(torch.rand((), generator=GENERATOR))


def draw() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), float(torch.rand(()))


@pytest.fixture
def drawn() -> tuple[float, float, float]:
    return draw()


@pytest.mark.parametrize("run", range(2))
def test_tests_and_fixtures_draw_the_same_numbers_whatever_ran_before(run: int, drawn: tuple[float, float, float]) -> None:
    assert drawn == FIRST and draw() == FIRST


def test_property_tests_try_the_same_examples_every_time() -> None:
    assert settings().derandomize or settings.get_current_profile_name() == "search"


def test_skipped_window_tests_are_announced_with_the_command_that_enables_them(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "closing_the_window"]
    environment = {**os.environ, "PATH": str(tmp_path)}  # where no program is found
    run = subprocess.run(
        [*command, "-k", "closing_the_window"], env=environment, cwd=tests.parent, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    announced = "1 skipped, needs Xvfb, xdotool, setxkbmap. To run them: sudo apt install xvfb xdotool x11-xkb-utils"
    assert announced in run.stdout.splitlines()
