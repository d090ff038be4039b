"""OpenVINO against PyTorch, which defines what is right."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_SPEC

from worldsim.world import World

from .conftest import CLOSE, HELD, latents


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


def test_threads_may_decode_at_the_same_time(load: Callable[..., World]) -> None:
    world = load("openvino")
    given = torch.randn(40, 1, *world.latent_shape, generator=torch.Generator().manual_seed(0))
    expected = [world.decode(latent) for latent in given]
    with ThreadPoolExecutor(4) as pool:
        assert all(map(torch.equal, pool.map(world.decode, given), expected))


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


@pytest.mark.parametrize("duplicate", [lambda w: pickle.loads(pickle.dumps(w)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_copies_dream_on(load: Callable[..., World], duplicate: Callable[[World], World]) -> None:
    world = load("openvino")
    world.reset(seed=1)
    world.step(HELD[0])
    other = duplicate(world)
    assert torch.equal(world.step(HELD[1]).latent, other.step(HELD[1]).latent)


def test_threads_may_load_at_once(tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing kept, each of them traces the networks."""
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "none"))

    def load(batch: int) -> int:
        return World.load(tiny_world_path, device="cpu", runtime="openvino", batch=batch).batch

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(load, (4, 5, 6))) == [4, 5, 6]


def test_nothing_is_reported(tmp_path: Path) -> None:
    """OpenVINO's telemetry, which runs at import, notes an identity in the home folder."""
    program = "import worldsim.world.runtimes.openvino"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "HOME": str(tmp_path), "CI": ""})
    assert not list(tmp_path.iterdir())


def test_streams_of_other_batches(load: Callable[..., World]) -> None:
    streams = [load(runtime, 3).new_stream(1) for runtime in ("torch", "openvino")]
    seen = []
    for stream in streams:
        controls = torch.zeros(1, TINY_SPEC.size, dtype=torch.float32)
        noise = torch.randn(1, 2, 3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        stream.commit(noise, controls, noise)
        seen.append(stream.imagine(controls, noise, None)[0])
    torch.testing.assert_close(seen[1], seen[0], atol=CLOSE, rtol=0)


@pytest.mark.parametrize("waiting", [None, [True, False, True]], ids=["all rows", "some rows"])
def test_writing_a_frame_and_imagining_the_next_in_one_pass(load: Callable[..., World], waiting: list[bool] | None) -> None:
    """Gives what two passes give, at every age of the ring."""
    world, grid = load("openvino", 3), (2, 3)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(3, *shape, generator=generator)

    streams = [world.new_stream(3) for _ in range(2)]
    active = None if waiting is None else torch.tensor(waiting)
    for _ in range(2 * world.config.dynamics.window + 1):
        latent, controls, later = normal(*grid, 6), normal(5), normal(*grid, 6)
        following = (normal(5), normal(*grid, 6), torch.rand(3, *grid, generator=generator))
        streams[0].commit(latent, controls, later, active)
        right = streams[0].imagine(*following)
        given = streams[1].imagine(*following, before=(latent, controls, later, active))
        for one, other in zip(given, right, strict=True):
            torch.testing.assert_close(one, other, atol=CLOSE, rtol=0)
    assert torch.equal(streams[0].ring.position, streams[1].ring.position)
    assert streams[0].ring.position.tolist() == ([9] * 3 if waiting is None else [9, 0, 9])


def test_a_ring_in_bfloat16_dreams_nearly_the_same(
    load: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = latents(load("openvino"), 1)
    monkeypatch.setattr("worldsim.world.runtimes.openvino.fast_precision", lambda: "bf16")
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path))
    world = load("openvino")
    assert world.stream.ring.keys.dtype == torch.bfloat16
    given = latents(world, 1)
    assert not torch.equal(given, right)
    assert (given - right).square().mean() < 0.05 * right.square().mean()
