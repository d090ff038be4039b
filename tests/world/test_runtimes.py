"""OpenVINO against PyTorch, which defines what is right."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_SPEC

from worldsim.controls import Controls
from worldsim.errors import FileError, WorldError
from worldsim.world import World
from worldsim.world import runtimes as module
from worldsim.world.runtimes import cache, is_prepared
from worldsim.world.runtimes.prepare import prepare_in_background
from worldsim.world.runtimes.quantize import observe

openvino = pytest.importorskip("openvino")
HELD = [Controls(keys={"a"}), Controls(mouse=(5.0, 0.0)), Controls(buttons={"left"})]
CLOSE = 2e-4  # of latents with unit scale, after a few frames


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One cache for all tests of this file, in which graphs are compiled once."""
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


@pytest.mark.parametrize("batch", [1, 3])
def test_openvino_dreams_what_torch_dreams(load: Callable[..., World], batch: int) -> None:
    right, given = load("torch", batch), load("openvino", batch)
    assert (right.runtime.name, given.runtime.name) == ("torch", "openvino")
    torch.testing.assert_close(latents(given), latents(right), atol=CLOSE, rtol=0)
    one, other = right.step(HELD[0]), given.step(HELD[0])
    np.testing.assert_allclose(other.reward, one.reward, atol=1e-3)
    np.testing.assert_allclose(other.end_probability, one.end_probability, atol=1e-4)
    assert np.abs(one.frame.astype(int) - other.frame).max() <= 1


@pytest.mark.parametrize(
    "options", [{"num_steps": 1}, {"num_steps": 3}, {"temperature": 0.5}, {"context_level": 0.0}], ids=lambda o: next(iter(o))
)
def test_settings_mean_the_same(load: Callable[..., World], options: dict[str, float]) -> None:
    torch.testing.assert_close(latents(load("openvino", **options)), latents(load("torch", **options)), atol=CLOSE, rtol=0)


def test_a_seed_gives_one_dream(load: Callable[..., World]) -> None:
    first, again = load("openvino"), load("openvino")
    assert torch.equal(latents(first), latents(again))


def test_rows_at_rest_restarts_and_states(load: Callable[..., World]) -> None:
    """Rows of different ages, at rest, restarted, and copied into one another."""
    seen = []
    for runtime in ("torch", "openvino"):
        world = load(runtime, 3)
        world.reset(seed=3)
        still = np.zeros((3, world.control_spec.size), np.float32)
        world.imagine(still, np.array([True, False, True]))
        world.restart([2], seed=[9])
        world.imagine(still)
        state = world.get_state([0])
        world.set_state(state, [1])
        seen.append(world.imagine(still)[0].clone())
        assert torch.equal(seen[-1][0], seen[-1][1])
    torch.testing.assert_close(seen[1], seen[0], atol=CLOSE, rtol=0)


def test_other_starts(load: Callable[..., World]) -> None:
    right, given = load("torch"), load("openvino")
    for world in (right, given):
        world.set_starts(world.starts.flip(0) * 0.5, world.start_controls.flip(0))
    torch.testing.assert_close(latents(given), latents(right), atol=CLOSE, rtol=0)


def test_int8_is_near(load: Callable[..., World]) -> None:
    """Nearer to float32 than two frames are to each other, and not float32."""
    right, given = latents(load("torch"), 1), latents(load("openvino-int8"), 1)
    error = (given - right).square().mean().sqrt()
    assert 1e-5 < error < 0.15 * right.std()


def test_ranges_are_the_largest_inputs(load: Callable[..., World]) -> None:
    dit = load("torch").dynamics
    x = torch.randn(2, 5, dit.config.width, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    enter = dit.blocks[1].get_submodule("enter")
    with observe(dit) as ranges:
        enter(x)
        enter(0.5 * x)
    assert ranges == {"blocks.1.enter": pytest.approx(1.05 * float(x.abs().max()))}
    assert not enter._forward_pre_hooks


@pytest.mark.parametrize("duplicate", [lambda w: pickle.loads(pickle.dumps(w)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_copies_dream_on(load: Callable[..., World], duplicate: Callable[[World], World]) -> None:
    world = load("openvino")
    world.reset(seed=1)
    world.step(HELD[0])
    other = duplicate(world)
    assert torch.equal(world.step(HELD[1]).latent, other.step(HELD[1]).latent)


@pytest.fixture
def kept(load: Callable[..., World], cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for one test, that holds the tiny world's graphs for one row."""
    load("openvino-int8")
    load("openvino")
    shutil.copytree(cache_folder, tmp_path / "kept")
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_auto_takes_what_is_kept(tiny_world_path: Path, kept: Path) -> None:
    def name(**options: object) -> str:
        return World.load(tiny_world_path, device="cpu", **options).runtime.name  # type: ignore[arg-type]

    assert name() == "openvino"
    assert name(batch=97) == name(dtype=torch.bfloat16) == name(runtime="torch") == "torch"
    assert cache.clear_cache() > 10_000
    assert name() == "torch"


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


def test_damaged_ranges_are_measured_again(load: Callable[..., World], kept: Path) -> None:
    (path,) = kept.glob("graphs/*/ranges.json")
    whole = cache.kept_json(path)
    for damage in ('{"blocks.0.enter": "wide"}', '{"blocks.0.enter": 1.0}', "", "[1]"):
        path.write_text(damage)
        load("openvino-int8")
        assert cache.kept_json(path) == whole


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


def test_a_folder_named_openvino_is_not_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    (tmp_path / "openvino").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "version", missing)
    assert not module.openvino_found()


def test_threads_may_load_at_once(tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing kept, each of them traces the networks."""
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "none"))

    def load(batch: int) -> int:
        return World.load(tiny_world_path, device="cpu", runtime="openvino", batch=batch).batch

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(load, (4, 5, 6))) == [4, 5, 6]


def test_the_first_writer_stays(tmp_path: Path) -> None:
    def keep(text: str) -> None:
        cache.keep(tmp_path / "entry", lambda folder: (folder / "graph").write_text(text))  # type: ignore[arg-type,return-value]

    keep("first")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, map(str, range(20))))
    assert (tmp_path / "entry" / "graph").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["entry"] and cache.is_whole(tmp_path / "entry")


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


def test_nothing_is_reported(tmp_path: Path) -> None:
    """OpenVINO's telemetry, which runs at import, notes an identity in the home folder."""
    program = "import worldsim.world.runtimes.openvino"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "HOME": str(tmp_path), "CI": ""})
    assert not list(tmp_path.iterdir())


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


def test_streams_of_other_batches(load: Callable[..., World]) -> None:
    streams = [load(runtime, 3).new_stream(1) for runtime in ("torch", "openvino")]
    seen = []
    for stream in streams:
        controls = torch.zeros(1, TINY_SPEC.size, dtype=torch.float32)
        noise = torch.randn(1, 2, 3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        stream.commit(noise, controls, noise)
        seen.append(stream.imagine(controls, noise, None)[0])
    torch.testing.assert_close(seen[1], seen[0], atol=CLOSE, rtol=0)
