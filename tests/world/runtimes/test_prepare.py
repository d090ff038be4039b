"""Graphs compiled by a process in the background."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worldsim.world import World
from worldsim.world.runtimes import cache, is_prepared
from worldsim.world.runtimes.prepare import prepare_elsewhere, prepare_in_background


def test_graphs_are_prepared_in_the_background(
    tiny_world_path: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.load(tiny_world_path, device="cpu", runtime="torch")
    assert prepare_in_background(world, tiny_world_path) is None  # switched off
    monkeypatch.delenv("WORLDSIM_PREPARE")
    assert prepare_in_background(world, tiny_world_path) is None  # there already
    cache.clear_cache()
    program = [sys.executable, "-m", "worldsim.world.runtimes.prepare", str(tiny_world_path), "1"]
    subprocess.run(program, check=True, timeout=180)
    assert World.load(tiny_world_path, device="cpu").runtime.name == "openvino"
    monkeypatch.setattr("worldsim.world.runtimes.prepare.openvino_found", lambda: False)
    hint = prepare_in_background(world, tiny_world_path)
    assert hint is not None and "pip install openvino" in hint


def test_another_process_prepares_all_graphs_of_a_batch_unless_it_is_stopped(
    tiny_world_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.load(tiny_world_path, device="cpu", runtime="openvino")
    (folder,) = (kept / "graphs").iterdir()
    prepare_elsewhere(world, 2, lambda: False)  # switched off
    monkeypatch.delenv("WORLDSIM_PREPARE")
    prepare_elsewhere(world, 2, lambda: True)
    assert not is_prepared(folder, 2)
    prepare_elsewhere(world, 2, lambda: False)
    assert is_prepared(folder, 2, ("step", "pair", "decode"))
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **options: pytest.fail("all graphs are there"))
    prepare_elsewhere(world, 2, lambda: False)
