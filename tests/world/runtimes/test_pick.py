"""Which runtime a world gets, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from worldsim.errors import WorldError
from worldsim.world import World
from worldsim.world import runtimes as module
from worldsim.world.runtimes import cache, is_prepared


def test_auto_takes_what_is_kept(tiny_world_path: Path, kept: Path) -> None:
    def name(**options: object) -> str:
        return World.load(tiny_world_path, device="cpu", **options).runtime.name  # type: ignore[arg-type]

    assert name() == "openvino"
    assert name(batch=97) == name(dtype=torch.bfloat16) == name(runtime="torch") == "torch"
    assert cache.clear_cache() > 10_000
    assert name() == "torch"


def test_a_folder_named_openvino_is_not_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    (tmp_path / "openvino").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "version", missing)
    assert not module.openvino_found()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runtime": "openvine"}, "Did you mean 'openvino'"),
        ({"runtime": "openvino", "dtype": torch.bfloat16}, "leave dtype out"),
        ({"runtime": "openvino", "compiled": True}, "leave compiled out"),
        ({"runtime": "openvino-int8", "batch": 513}, "at most 512 worlds, and batch is 513"),
        ({"runtime": None}, "runtime was None"),
    ],
)
def test_what_openvino_cannot_do(tiny_world_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(WorldError, match=words):
        World.load(tiny_world_path, device="cpu", **options)  # type: ignore[arg-type]


def test_without_openvino(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "openvino_found", lambda: False)
    monkeypatch.setattr("worldsim.world.world.openvino_found", lambda: False)
    assert World.load(tiny_world_path, device="cpu").runtime.name == "torch"
    with pytest.raises(WorldError, match="pip install openvino"):
        World.load(tiny_world_path, device="cpu", runtime="openvino")


def test_graphs_are_counted_by_batch(load: Callable[..., World], cache_folder: Path) -> None:
    load("openvino", 2)
    (folder,) = (cache_folder / "graphs").iterdir()
    assert is_prepared(folder, 2) and not is_prepared(folder, 97)
