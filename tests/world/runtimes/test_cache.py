"""Kept graphs: damage, one writer at a time, and no place to keep them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from worldsim.errors import FileError
from worldsim.world import World
from worldsim.world.runtimes import cache
from worldsim.world.runtimes.prepare import prepare_in_background

from .conftest import latents


def test_a_damaged_graph_is_made_again(load: Callable[..., World], kept: Path) -> None:
    whole = latents(load("openvino"), 2)
    (graph,) = kept.glob("graphs/*/step-f32-1/graph.xml")
    weights = graph.with_name("graph.bin")
    flipped = bytearray(weights.read_bytes())
    flipped[2000:2400] = bytes(byte ^ 0x41 for byte in flipped[2000:2400])
    for path, damage in [
        (graph, b""),
        (graph, b"<net></net>"),
        (graph, graph.with_name("sha256").read_bytes()),
        (weights, bytes(flipped)),  # loads without an error, and dreams something else
        (graph.with_name("sha256"), b"\xff"),
    ]:
        path.write_bytes(damage)
        assert torch.equal(latents(load("openvino"), 2), whole)
        assert cache.is_whole(graph.parent)


def test_the_first_writer_stays(tmp_path: Path) -> None:
    def keep(text: str) -> None:
        cache.keep(tmp_path / "entry", lambda folder: (folder / "graph").write_text(text))  # type: ignore[arg-type,return-value]

    keep("first")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, map(str, range(20))))
    assert (tmp_path / "entry" / "graph").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["entry"] and cache.is_whole(tmp_path / "entry")


def test_an_unwritable_cache_keeps_nothing(tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "file"))
    assert len(latents(World.load(tiny_world_path, device="cpu", runtime="openvino"), 2)) == 2


def test_no_place_for_a_cache(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_CACHE", "~nosuchuser/cache")
    world = World.load(tiny_world_path, device="cpu")
    assert world.runtime.name == "torch"
    monkeypatch.delenv("WORLDSIM_PREPARE")
    assert prepare_in_background(world, tiny_world_path) is None
    with pytest.raises(FileError, match="'~nosuchuser/cache', of an unknown user; set WORLDSIM_CACHE"):
        cache.clear_cache()
