from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from conftest import TINY_DIT, randomize
from torch import Tensor

from worldsim.model.dit import DiT, Prediction
from worldsim.model.sampler import Stream

GRID, CONTEXT, FRAMES = (2, 3), 4, 6
SHAPE = (*GRID, TINY_DIT.latent_channels)

Draws = list[tuple[Tensor, Tensor | None, Tensor]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)


@pytest.fixture(params=[0, 5], ids=["plain", "codes"])
def model(request: pytest.FixtureRequest) -> DiT:
    made = DiT(replace(TINY_DIT, codes=request.param, reveals=request.param > 0))
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


class Coin:
    """Stands in for a model whose frame is all of codeword 0 or all of codeword 1, one as likely as the other."""

    def __init__(self, model: DiT) -> None:
        self.config, self.codebook, self.calls = model.config, model.codebook, 0
        self.device, self.dtype, self.ring_dtype = model.device, model.dtype, model.ring_dtype
        self.modulations, self.write = model.modulations, model.write

    def __call__(self, z: Tensor, *_: Tensor, shown: Tensor | None = None, **options: object) -> Prediction:
        self.calls += 1
        logits = z.new_zeros(*z.shape[:-1], self.config.codes)
        logits[..., 2:] = -90.0
        if shown is not None:
            for code in (0, 1):
                seen = (shown[..., :-1] == self.codebook[code]).all(-1) & (shown[..., -1] == 1)
                logits[..., code] += 90.0 * seen.flatten(1).any(1)[:, None, None, None]
        head = z.new_zeros(*z.shape[:2])
        return Prediction(logits.softmax(-1) @ self.codebook, head[..., None].expand(-1, -1, 3), head, logits)


def test_patches_drawn_in_rounds_agree() -> None:
    model = DiT(replace(TINY_DIT, codes=5))
    randomize(model)
    batch, patches = 300, GRID[0] * GRID[1]

    def drawn(rounds: int) -> Tensor:
        """Whether each patch is codeword 0: bool `(batch, patches)`."""
        coin = Coin(model)
        stream = Stream(coin, GRID, batch, num_steps=1, rounds=rounds)  # type: ignore[arg-type]
        uniforms = torch.rand(batch, *GRID, generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu")
        latent, *_ = stream.imagine(normal(batch, TINY_DIT.controls), normal(batch, *SHAPE), uniforms)
        assert coin.calls == rounds
        zero, one = ((latent - code).abs().amax(-1).flatten(1) < 1e-4 for code in model.codebook[:2])
        assert (zero ^ one).all()
        return zero

    at_once, in_rounds = drawn(1), drawn(patches)
    assert torch.equal(in_rounds.any(1), in_rounds.all(1)) and (at_once.any(1) ^ at_once.all(1)).float().mean() > 0.9
    assert in_rounds.float().mean() == pytest.approx(0.5, abs=0.1) and at_once.float().mean() == pytest.approx(0.5, abs=0.1)
