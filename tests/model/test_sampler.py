from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from conftest import TINY_DIT, randomize
from torch import Tensor

from worldsim.model.dit import DiT
from worldsim.model.sampler import Stream

GRID, CONTEXT, FRAMES = (2, 3), 4, 6
SHAPE = (*GRID, TINY_DIT.latent_channels)

Draws = list[tuple[Tensor, Tensor | None, Tensor]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)


@pytest.fixture(params=[0, 5], ids=["plain", "codes"])
def model(request: pytest.FixtureRequest) -> DiT:
    made = DiT(replace(TINY_DIT, codes=request.param))
    randomize(made)
    return made.eval()


def clip() -> tuple[Tensor, Tensor]:
    """Latents and controls of two clips: a context and `FRAMES` frames."""
    return normal(2, CONTEXT + FRAMES, *SHAPE, seed=1), normal(2, CONTEXT + FRAMES, TINY_DIT.controls, seed=2)


def context() -> tuple[Tensor, Tensor, Tensor]:
    latents, controls = clip()
    return latents[:, :CONTEXT], controls[:, :CONTEXT], normal(2, CONTEXT, *SHAPE, seed=3)


def draws() -> Draws:
    return [
        (normal(2, *SHAPE, seed=10 + t), normal(2, *GRID, seed=20 + t).abs() % 1, normal(2, *SHAPE, seed=30 + t))
        for t in range(FRAMES)
    ]


@pytest.mark.parametrize("forced", [False, True])
def test_a_rollout_is_imagine_and_commit_in_turn(model: DiT, forced: bool) -> None:
    latents, controls = clip()
    truth, wanted = latents[:, CONTEXT:], controls[:, CONTEXT:].flip(0)
    stream, expected = Stream(model, GRID, 2), []
    stream.prefill(*context())
    for t, (noise, uniforms, later) in enumerate(draws()):
        expected.append(stream.imagine(wanted[:, t], noise, uniforms))
        past = (truth[:, t], controls[:, CONTEXT + t]) if forced else (expected[-1][0], wanted[:, t])
        stream.commit(*past, later)
    other = Stream(model, GRID, 2)
    made = list(other.rollout(context(), wanted, draws(), *((truth, controls[:, CONTEXT:]) if forced else ())))
    assert len(made) == FRAMES
    for one, wanted_one in zip(made, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, wanted_one, strict=True))
    assert torch.equal(other.ring.keys, stream.ring.keys) and torch.equal(other.ring.position, stream.ring.position)


def test_random_numbers_are_drawn_when_a_frame_is_due(model: DiT) -> None:
    taken: list[int] = []

    def noted() -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
        for t, draw in enumerate(draws()):
            taken.append(t)
            yield draw

    frames = Stream(model, GRID, 2).rollout(context(), clip()[1][:, CONTEXT:], noted())
    next(frames), next(frames)
    assert taken == [0, 1]


def test_a_copy_captures_graphs_of_its_own(model: DiT) -> None:
    """Those of the original read and write the ring of the original."""
    stream = Stream(model, GRID, 2)
    stream._graphs = {("imagine",): lambda *_: pytest.fail("a graph of the original was replayed")}  # type: ignore[dict-item]
    assert not copy.deepcopy(stream)._graphs and stream._graphs


def test_shapes_and_ranges(model: DiT) -> None:
    for latent, reward, end in Stream(model, GRID, 2).rollout(context(), clip()[1][:, CONTEXT:], draws()):
        assert latent.shape == (2, *SHAPE) and reward.shape == end.shape == (2,)
        assert latent.dtype == reward.dtype == end.dtype == torch.float32
        assert ((end > 0) & (end < 1)).all()


def test_rows_at_rest_stay_as_they_are(model: DiT) -> None:
    """They imagine the same frame after others went on."""
    stream = Stream(model, GRID, 2)
    stream.prefill(*context())
    controls, (noise, uniforms, later) = clip()[1][:, 0], draws()[0]
    first, _, _ = stream.imagine(controls, noise, uniforms)
    stream.commit(first, controls, later, torch.tensor([True, False], device="cpu"))
    assert stream.ring.position.tolist() == [CONTEXT + 1, CONTEXT]
    again, _, _ = stream.imagine(controls, noise, uniforms)
    assert torch.allclose(again[1], first[1], atol=1e-6) and not torch.allclose(again[0], first[0], atol=1e-3)
