"""Worlds in either runtime, and a cache of graphs for the tests."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from worldsim.controls import Controls
from worldsim.world import World

HELD = [Controls(keys={"a"}), Controls(mouse=(5.0, 0.0)), Controls(buttons={"left"})]
CLOSE = 2e-4  # of latents with unit scale, after a few frames


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One cache for all tests of this folder, in which graphs are compiled once."""
    pytest.importorskip("openvino")
    folder = tmp_path_factory.getbasetemp() / "graphs"
    monkeypatch.setenv("WORLDSIM_CACHE", str(folder))
    monkeypatch.setattr("worldsim.world.runtimes.openvino.fast_precision", lambda: "f32")
    return folder


@pytest.fixture
def load(tiny_world_path: Path) -> Callable[..., World]:
    """Loads the tiny world in float32."""

    def load(runtime: str, batch: int = 1, **options: object) -> World:
        return World.load(tiny_world_path, device="cpu", dtype=torch.float32, runtime=runtime, batch=batch, **options)  # type: ignore[arg-type]

    return load


def latents(world: World, steps: int = 6) -> torch.Tensor:
    """Of some steps from a reset, `(steps, B, h, w, C)`."""
    world.reset(seed=3)
    return torch.stack([world.step(HELD[t % 3]).latent for t in range(steps)])


@pytest.fixture
def kept(load: Callable[..., World], cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for one test, that holds the tiny world's graphs for one row."""
    load("openvino-int8")
    load("openvino")

    def more_rows(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if re.fullmatch(r".+-(f32|int8)-\d+", name) and not name.endswith("-1")]

    shutil.copytree(cache_folder, tmp_path / "kept", ignore=more_rows)
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"
