from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worldsim.kernels.frame_attention import frame_attention

from .rings import DEVICE, close, poison


class Shape(NamedTuple):
    """Rows, frames of the context, tokens per frame, heads, key heads and head size."""

    batch: int
    frames: int
    tokens: int
    heads: int
    groups: int
    size: int


class Rule(NamedTuple):
    """Which frames see which; arguments of `frame_attention`."""

    causal: bool = True
    window: int | None = None
    copies: int = 0


HEADS = [(4, 1), (8, 2), (16, 4), (16, 16)]
TINY = [Shape(2, 7, tokens, 2, 1, 16) for tokens in (1, 5)] + [Shape(1, 4, tokens, 2, 1, 16) for tokens in (15, 48)]
TINY += [Shape(1, 4, 3, *heads, 16) for heads in HEADS[:3]] + [Shape(1, 5, 9, 2, 2, size) for size in (32, 64, 128)]
REAL = [Shape(2, max(3, 512 // tokens), tokens, 8, 2, 64) for tokens in (1, 15, 48, 64, 100, 240, 256)]
REAL += [Shape(1, 5, 257, *heads, size) for heads in HEADS for size in (32, 64, 128)]
SHAPES = TINY + [pytest.param(shape, marks=pytest.mark.gpu) for shape in REAL]
RULES = [Rule(causal=False), Rule(window=1), Rule(window=3)]
RULES += [Rule(copies=1), Rule(window=2, copies=2), Rule(window=100)]
# The interpreter multiplies bfloat16 matrices as if they were integers.
DTYPES = [torch.float32, torch.float16, pytest.param(torch.bfloat16, marks=pytest.mark.gpu)]
IMPLS = ["reference", "triton"]


def sees(query: int, key: int, frames: int, rule: Rule) -> bool:
    """Whether frame `query` of a clip sees frame `key`.

    Frames are numbered from the context on through its copies.
    """
    if not rule.causal:
        return True
    window = frames if rule.window is None else rule.window
    age = query % frames - key % frames
    return query == key or (key < frames and 0 < age < window)


def clip_mask(frames: int, tokens: int, rule: Rule) -> Tensor:
    """The mask `(L, L)` bool of one clip with this many frames of context."""
    whole = range(frames * (1 + rule.copies))
    mask = torch.tensor([[sees(query, key, frames, rule) for key in whole] for query in whole], device=DEVICE)
    return mask.repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)


def draw(batch: int, length: int, heads: int, groups: int, size: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Queries, keys and values as slices of one projection, on the device under test."""
    generator = torch.Generator().manual_seed(0)
    projection = torch.randn(batch, length, heads + 2 * groups, size, generator=generator).to(DEVICE, dtype)
    return projection.split((heads, groups, groups), dim=2)


def results(run: Any, given: tuple[Tensor, ...], dtype: torch.dtype) -> list[Tensor]:
    """Output of `run(q, k, v)` in this dtype and its gradients, for an arbitrary gradient of the output."""
    leaves = [a.detach().to(dtype).requires_grad_() for a in given]
    out = run(*leaves)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    return [out.detach(), *torch.autograd.grad(out, leaves, grad)]


def check(given: tuple[Tensor, ...], mask: Tensor, impl: str, **options: Any) -> list[Tensor]:
    """Output and gradients, compared with SDPA in float64 and in the same dtype."""

    def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (a.transpose(1, 2) for a in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True).transpose(1, 2)

    exact, baseline = results(sdpa, given, torch.float64), results(sdpa, given, given[0].dtype)
    with poison():
        found = results(partial(frame_attention, impl=impl, **options), given, given[0].dtype)
    for one, precise, other in zip(found, exact, baseline, strict=True):
        assert one.shape == precise.shape and one.dtype == given[0].dtype
        close(one, precise, other)
    return found


def check_rule(shape: Shape, rule: Rule, dtype: torch.dtype, impl: str) -> None:
    batch, frames, tokens, heads, groups, size = shape
    given = draw(batch, frames * tokens * (1 + rule.copies), heads, groups, size, dtype)
    check(given, clip_mask(frames, tokens, rule), impl, tokens_per_frame=tokens, **rule._asdict())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_gradients(shape: Shape, dtype: torch.dtype, impl: str) -> None:
    check_rule(shape, Rule(window=3), dtype, impl)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [Shape(1, 5, 15, 2, 1, 16), pytest.param(Shape(2, 9, 100, 8, 2, 64), marks=pytest.mark.gpu)])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_who_sees_whom(rule: Rule, shape: Shape, impl: str) -> None:
    check_rule(shape, rule, torch.float32, impl)


CLIPS = [(3, 5), (1, 40), (6, 1)]  # frames of the context, tokens per frame
REAL_CLIPS = [(9, 100), (1, 640), (65, 1), (32, 257)]


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("clips", [CLIPS, CLIPS[:1], pytest.param(REAL_CLIPS, marks=pytest.mark.gpu)])
@pytest.mark.parametrize("rule", [Rule(causal=False), Rule(window=2), Rule(window=3, copies=1)], ids=str)
def test_packed_clips_do_not_see_each_other(rule: Rule, clips: list[tuple[int, int]], impl: str) -> None:
    lengths = [frames * tokens * (1 + rule.copies) for frames, tokens in clips]
    offsets = torch.tensor([0, *lengths], device=DEVICE).cumsum(0).int()
    each = torch.tensor([tokens for _, tokens in clips], dtype=torch.int32, device=DEVICE)
    given = draw(1, sum(lengths), 2, 1, 16, torch.float32)
    mask = torch.block_diag(*(clip_mask(*clip, rule) for clip in clips)).bool()
    check(given, mask, impl, tokens_per_frame=each, cu_seqlens=offsets, **rule._asdict())


@pytest.mark.parametrize("impl", IMPLS)
def test_tokens_after_the_last_clip_give_zeros(impl: str) -> None:
    given = draw(1, 70, 2, 1, 16, torch.float32)
    offsets = torch.tensor([0, 30, 45], dtype=torch.int32, device=DEVICE)
    with poison():
        found = results(partial(frame_attention, tokens_per_frame=5, cu_seqlens=offsets, impl=impl), given, torch.float32)
    alone = results(partial(frame_attention, tokens_per_frame=5, impl=impl), tuple(a[:, 30:45] for a in given), torch.float32)
    for one, clip in zip(found, alone, strict=True):
        assert (one[:, 45:] == 0).all()
        if one is found[0]:
            torch.testing.assert_close(one[:, 30:45], clip, atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
def test_more_rows_than_a_grid_has_along_its_short_axes() -> None:
    check_rule(Shape(70_000, 4, 1, 2, 1, 16), Rule(window=3), torch.float32, "triton")


def test_the_same_bits_every_time() -> None:
    given = draw(1, 90, 4, 2, 16, torch.float16)
    once, again = (results(partial(frame_attention, tokens_per_frame=15, impl="triton"), given, torch.float16) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


@settings(max_examples=settings().max_examples // 20)
@given(  # at least two tokens: with a single key the gradients of q and k are 0, so no relative error exists
    st.builds(Shape, st.integers(1, 2), st.integers(1, 4), st.integers(2, 20), st.just(2), st.sampled_from([1, 2]), st.just(16)),
    st.builds(Rule, st.just(True), st.sampled_from([None, 1, 2, 4]), st.integers(0, 1)),
)
def test_any_shape(shape: Shape, rule: Rule) -> None:
    for impl in IMPLS:
        check_rule(shape, rule, torch.float32, impl)


Q, K, V = (a.contiguous() for a in draw(1, 12, 4, 2, 16, torch.float32))
GOOD: dict[str, Any] = {"q": Q, "k": K, "v": V, "tokens_per_frame": 3}
OFFSETS = torch.tensor([0, 6, 12], dtype=torch.int32, device=DEVICE)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("q", {"q": Q[0]}),
        ("q", {"q": Q.double()}),
        ("q", {"q": Q[..., :8].contiguous()}),
        ("q", {"q": Q.mT.contiguous().mT}),
        ("k", {"k": K.half()}),
        ("k", {"k": K[:, :6].contiguous()}),
        ("k", {"q": Q[:, :, :3].contiguous()}),
        ("v", {"v": V[:, :, :1].contiguous()}),
        ("v", {"v": V.transpose(1, 2).contiguous().transpose(1, 2)}),
        ("tokens_per_frame", {"tokens_per_frame": 5}),
        ("tokens_per_frame", {"tokens_per_frame": 0}),
        ("tokens_per_frame", {"copies": 2, "tokens_per_frame": 2 * 3}),
        ("tokens_per_frame", {"tokens_per_frame": OFFSETS[1:]}),
        ("tokens_per_frame", {"tokens_per_frame": OFFSETS, "cu_seqlens": OFFSETS}),
        ("window", {"window": 0}),
        ("copies", {"copies": -1}),
        ("copies", {"copies": 1, "causal": False}),
        ("cu_seqlens", {"cu_seqlens": OFFSETS.long()}),
        ("cu_seqlens", {"cu_seqlens": OFFSETS[:1]}),
        ("q", {"q": Q.repeat(2, 1, 1, 1), "k": K.repeat(2, 1, 1, 1), "v": V.repeat(2, 1, 1, 1), "cu_seqlens": OFFSETS}),
        ("impl", {"impl": "flash"}),
    ],
)
def test_bad_arguments_are_named(name: str, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        frame_attention(**{**GOOD, **bad})


def test_operators_are_sound() -> None:
    layout = (3, True, 2, 1, None, None)
    out, lse = torch.ops.worldsim.frame_attention_forward(Q, K, V, *layout)
    torch.library.opcheck(torch.ops.worldsim.frame_attention_forward, (Q, K, V, *layout))
    torch.library.opcheck(torch.ops.worldsim.frame_attention_backward, (torch.ones_like(out), Q, K, V, out, lse, *layout))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # a warning of torch.compile itself
@pytest.mark.parametrize("packed", [False, True])
def test_compiles_without_a_break_and_differentiates(packed: bool) -> None:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return frame_attention(q, k, v, 3, window=2, cu_seqlens=OFFSETS if packed else None, impl="triton") * 2

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for one, other in zip(results(compiled, (Q, K, V), Q.dtype), results(run, (Q, K, V), Q.dtype), strict=True):
        torch.testing.assert_close(one, other)
