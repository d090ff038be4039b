from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY_DIT, randomize
from torch import Tensor

from worldsim.model.dit import DiT, DiTConfig, Prediction
from worldsim.model.noise import add_noise
from worldsim.model.ring import Ring

LAYOUTS = {
    "joint": TINY_DIT,
    "joint-sparse": replace(TINY_DIT, temporal_every=2),
    "time": replace(TINY_DIT, temporal="time", temporal_every=2),
    "prompted": replace(TINY_DIT, prompt=5, prompt_length=3, heads=2, kv_heads=2),
    "studio": replace(
        TINY_DIT,
        temporal="time",
        temporal_every=2,
        prompt=5,
        prompt_length=3,
        prompt_layers=1,
        free_controls=True,
        policy_bins=5,
        sized=True,
    ),
}


def build(config: DiTConfig) -> DiT:
    torch.manual_seed(0)
    model = DiT(config)
    randomize(model)
    return model.eval()


def present(prediction: Prediction) -> list[Tensor]:
    """What the model predicts."""
    return [part for part in prediction if part is not None]


def inputs(frames: int, batch: int = 2, grid: tuple[int, int] = (2, 3)) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(batch, frames, *grid, TINY_DIT.latent_channels, generator=generator)
    controls = torch.randn(batch, frames, TINY_DIT.controls, generator=generator)
    return z, torch.full((batch, frames), 0.1), torch.zeros(batch, frames), controls


@pytest.mark.parametrize("layout", LAYOUTS)
def test_streaming_equals_the_whole_sequence_beyond_the_wrap(layout: str) -> None:
    """Every frame of a stream sees what it would see in one uncached pass with a sliding window."""
    config = LAYOUTS[layout]
    model = build(config)
    frames = 3 * config.window + 1
    z, levels, step_sizes, controls = inputs(frames)
    ring = Ring(config, 2, 1 + 6, z.device, z.dtype)
    with torch.inference_mode():
        whole = model(z, levels, step_sizes, controls)
        for t in range(frames):
            one = model(z[:, t : t + 1], levels[:, :1], step_sizes[:, :1], controls[:, t : t + 1], ring=ring)
            for streamed, uncached in zip(present(one), present(whole), strict=True):
                assert torch.allclose(streamed[:, 0], uncached[:, t], atol=1e-4, rtol=0), t
            ring.advance()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_noisy_copy_sees_the_context_before_it_and_itself(layout: str) -> None:
    config = LAYOUTS[layout]
    model = build(config)
    frames = config.window + 2
    z, levels, step_sizes, controls = inputs(frames)
    copies = torch.randn(2, *z.shape, generator=torch.Generator().manual_seed(2))
    noisy = torch.full_like(levels, 0.7)
    twice = [torch.cat([a, b, b], 1) for a, b in ((levels, noisy), (step_sizes, step_sizes), (controls, controls))]
    with torch.inference_mode():
        together = model(torch.cat([z, *copies], 1), *twice, copies=2)
        for t in (0, 1, frames - 1):
            for copy in (0, 1):
                alone = z.clone(), levels.clone()
                alone[0][:, t], alone[1][:, t] = copies[copy][:, t], 0.7
                expected = model(*alone, step_sizes, controls)
                for copied, single in zip(present(together), present(expected), strict=True):
                    assert torch.allclose(copied[:, copy * frames + t], single[:, t], atol=1e-5, rtol=0), (t, copy)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_causal_frames_do_not_see_the_future_or_beyond_the_window(layout: str) -> None:
    config = LAYOUTS[layout]
    model = build(config)
    z, levels, step_sizes, controls = inputs(6)
    changed = z.clone()
    changed[:, 3] += 1
    with torch.inference_mode():
        before, after = model(z, levels, step_sizes, controls).x, model(changed, levels, step_sizes, controls).x
        both_ways = (
            model(changed, levels, step_sizes, controls, causal=False).x - model(z, levels, step_sizes, controls, causal=False).x
        )
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] - after[:, 3:]).abs().amax((0, 2, 3, 4)).min() > 1e-4
    assert both_ways.abs().amax((0, 2, 3, 4)).min() > 1e-5


def test_a_rewritten_current_frame_leaves_the_past_untouched() -> None:
    """Network calls rewrite the current slot only; the commit that follows decides what is remembered."""
    model = build(TINY_DIT)
    z, levels, step_sizes, controls = inputs(3)
    rings = [Ring(TINY_DIT, 2, 7, z.device, z.dtype) for _ in range(2)]
    with torch.inference_mode():
        for t in range(3):
            frame = (levels[:, :1], step_sizes[:, :1], controls[:, t : t + 1])
            model(torch.randn_like(z[:, :1]), *frame, ring=rings[0])
            for ring in rings:
                model(z[:, t : t + 1], *frame, ring=ring)
                ring.advance()
    assert torch.equal(rings[0].keys, rings[1].keys) and torch.equal(rings[0].values, rings[1].values)


def test_unwritten_slots_are_never_read() -> None:
    model = build(TINY_DIT)
    z, levels, step_sizes, controls = inputs(2)
    clean, poisoned = (Ring(TINY_DIT, 2, 7, z.device, z.dtype) for _ in range(2))
    poisoned.keys.fill_(1e4)
    poisoned.values.fill_(1e4)
    with torch.inference_mode():
        for t in range(2):
            frame = (z[:, t : t + 1], levels[:, :1], step_sizes[:, :1], controls[:, t : t + 1])
            assert torch.allclose(model(*frame, ring=clean).x, model(*frame, ring=poisoned).x, atol=1e-5)
            clean.advance()
            poisoned.advance()


def test_rows_at_different_ages_do_not_mix() -> None:
    model = build(TINY_DIT)
    z, levels, step_sizes, controls = inputs(7)
    pair, single = Ring(TINY_DIT, 2, 7, z.device, z.dtype), Ring(TINY_DIT, 1, 7, z.device, z.dtype)
    with torch.inference_mode():
        for t in range(3):
            model(z[:, t : t + 1], levels[:, :1], step_sizes[:, :1], controls[:, t : t + 1], ring=pair)
            pair.advance()
        pair.position[1] = 0  # row 1 starts anew
        for t in range(3, 7):
            frame = (z[:, t : t + 1], levels[:, :1], step_sizes[:, :1], controls[:, t : t + 1])
            both = model(*frame, ring=pair).x
            alone = model(*(part[1:] for part in frame), ring=single).x
            assert torch.allclose(both[1:], alone, atol=1e-5)
            pair.advance()
            single.advance()


@pytest.mark.parametrize("layout", ["prompted", "studio"])
def test_prompt_and_null_prompt_differ(layout: str) -> None:
    model = build(LAYOUTS[layout])
    arguments = inputs(2)
    with torch.inference_mode():
        none = model(*arguments).x
        some = model(*arguments, prompt=torch.ones(2, 3, 5)).x
    assert not torch.allclose(none, some, atol=1e-4)


def test_no_prompt_is_a_prompt_without_words_and_their_order_counts() -> None:
    model = build(LAYOUTS["studio"])
    words = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        none, empty, said, turned = (
            model(*inputs(2), prompt=prompt).x for prompt in (None, torch.zeros(1, 3, 5), words, words.flip(1))
        )
    assert torch.allclose(none, empty, atol=1e-6)
    assert not torch.allclose(said, turned, atol=1e-4)


def test_unknown_controls_are_no_controls_of_any_value() -> None:
    model = build(LAYOUTS["studio"])
    z, levels, step_sizes, controls = inputs(2)
    with torch.inference_mode():
        unknown = model(z, levels, step_sizes, torch.full_like(controls, torch.nan))
        still = model(z, levels, step_sizes, torch.zeros_like(controls))
    assert all(part.isfinite().all() for part in present(unknown))
    assert not torch.allclose(unknown.x, still.x, atol=1e-4)
    assert unknown.controls is not None and unknown.controls.shape == (2, 2, TINY_DIT.controls, 5)


def test_any_grid_and_every_input_counts() -> None:
    model = build(TINY_DIT)
    for grid in ((1, 1), (3, 5), (4, 2)):
        z, levels, step_sizes, controls = inputs(2, grid=grid)
        with torch.inference_mode():
            base = model(z, levels, step_sizes, controls)
            assert base.x.shape == z.shape and base.reward.shape == (2, 2, 41) and base.end.shape == (2, 2)
            others = (
                (z, levels + 0.3, step_sizes, controls),
                (z, levels, step_sizes + 0.5, controls),
                (z, levels, step_sizes, controls + 1),
            )
            for other in others:
                assert not torch.allclose(model(*other).x, base.x, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    model = build(TINY_DIT)
    z, levels, step_sizes, controls = inputs(3)
    shown = torch.randn(*z.shape[:-1], 1 + z.shape[-1])
    prediction = model(add_noise(z, torch.randn_like(z), levels), levels, step_sizes, controls, shown=shown)
    assert prediction.code is not None
    heads = (prediction.reward, prediction.end, prediction.code)
    (prediction.x.square().mean() + sum(part.square().mean() for part in heads)).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 30}, "with 2 heads give 32, 64, 128, 256"),
        ({"temporal": "both"}, "allowed: 'joint', 'time'"),
        ({"prediction": "e"}, "allowed: 'x', 'v'"),
    ],
)
def test_impossible_sizes_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY_DIT, **fields)  # type: ignore[arg-type]
