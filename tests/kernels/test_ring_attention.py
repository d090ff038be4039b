from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worldsim.kernels.ring_attention import ring_attention

from .rings import DEVICE, Case, Shape, close, draw, written

HEADS = [(4, 1), (8, 2), (16, 4), (16, 16)]
TINY = [Shape(3, tokens, 4, 2, 16) for tokens in (1, 5, 15)] + [Shape(2, 2, *heads, 32) for heads in HEADS]
TINY += [Shape(2, 9, 2, 1, size) for size in (64, 128)]
REAL = [Shape(12, tokens, 8, 2, 64) for tokens in (1, 15, 48, 64, 100, 240, 256, 4096)]
REAL += [Shape(32, 257, *heads, size) for heads in HEADS for size in (32, 64, 128)]
SHAPES = TINY + [pytest.param(shape, marks=pytest.mark.gpu) for shape in REAL]
# The interpreter multiplies bfloat16 matrices as if they were integers.
DTYPES = [torch.float32, torch.float16, pytest.param(torch.bfloat16, marks=pytest.mark.gpu)]
IMPLS = ["reference", "triton"]


def oracle(case: Case, dtype: torch.dtype = torch.float64) -> Tensor:
    """SDPA in this dtype, of each batch row alone with the frames it has written."""
    rows = []
    for q, keys, values, position in zip(case.q, case.keys, case.values, case.position.tolist(), strict=True):
        slots = written(position, len(keys))
        k, v = (ring[slots].flatten(0, 1).transpose(0, 1).to(dtype) for ring in (keys, values))
        rows.append(F.scaled_dot_product_attention(q.transpose(0, 1)[None].to(dtype), k[None], v[None], enable_gqa=True))
    return torch.cat(rows).transpose(1, 2)


def check(case: Case, impl: str, num_splits: int | None = None) -> None:
    found = ring_attention(*case, num_splits=num_splits, impl=impl)
    close(found, oracle(case), oracle(case, case.q.dtype))
    assert found.shape == case.q.shape and found.is_contiguous()


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_at_any_position_see_their_own_frames(shape: Shape, dtype: torch.dtype, impl: str) -> None:
    """Rings with one frame, half full, exactly full and overwritten, in one batch."""
    check(draw(shape, (0, shape.slots // 2, shape.slots - 1, 7 * shape.slots + 1), dtype), impl)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("positions", [(0, 1, 2), (5, 9, 2)])
@pytest.mark.parametrize("shape", [Shape(3, 48, 2, 1, 16), pytest.param(Shape(32, 257, 16, 4, 64), marks=pytest.mark.gpu)])
def test_splits_agree_even_if_some_are_empty(shape: Shape, positions: Sequence[int]) -> None:
    case = draw(shape, positions, torch.float32)
    whole = ring_attention(*case, num_splits=1, impl="triton")
    for splits in (2, 3, 7):
        torch.testing.assert_close(ring_attention(*case, num_splits=splits, impl="triton"), whole, atol=1e-6, rtol=1e-5)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("num_splits", [1, 3])
def test_the_same_bits_every_time(num_splits: int) -> None:
    case = draw(Shape(3, 40, 2, 1, 16), (1, 7), torch.float16)
    once, again = (ring_attention(*case, num_splits=num_splits, impl="triton") for _ in range(2))
    assert torch.equal(once, again)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("num_splits", [1, 2])
def test_a_row_without_frames_gives_zeros(num_splits: int, impl: str) -> None:
    case = draw(Shape(2, 3, 2, 2, 16), (-1, 1), torch.float32)
    found = ring_attention(*case, num_splits=num_splits, impl=impl)
    assert (found[0] == 0).all() and torch.equal(
        found[1], ring_attention(*(a[1:] for a in case), num_splits=num_splits, impl=impl)[0]
    )


@settings(max_examples=settings().max_examples // 10)
@given(
    st.builds(Shape, st.integers(1, 5), st.integers(1, 20), st.sampled_from([2, 4]), st.sampled_from([1, 2]), st.just(16)),
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
    st.sampled_from([None, 1, 4]),
)
def test_any_shape(shape: Shape, positions: list[int], num_splits: int | None) -> None:
    case = draw(shape, positions, torch.float32)
    for impl in IMPLS:
        check(case, impl, num_splits)


GOOD = dict(zip(Case._fields, draw(Shape(3, 2, 4, 2, 16), (1, 2), torch.float32), strict=True))


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("q", {"q": GOOD["q"][0]}),
        ("q", {"q": GOOD["q"].mT.contiguous().mT}),
        ("q", {"q": GOOD["q"][..., :8].contiguous()}),
        ("q", {"q": GOOD["q"].double()}),
        ("keys", {"keys": GOOD["keys"].half()}),
        ("keys", {"keys": GOOD["keys"][0]}),
        ("keys", {"keys": GOOD["keys"][:, :0]}),
        ("keys", {"keys": GOOD["keys"][:, :, :1].contiguous()}),
        ("keys", {"q": GOOD["q"][:, :, :3].contiguous()}),
        ("values", {"values": GOOD["values"][:, :2]}),
        ("values", {"values": GOOD["values"].transpose(1, 2).contiguous().transpose(1, 2)}),
        ("position", {"position": GOOD["position"].int()}),
        ("position", {"position": GOOD["position"][:1]}),
        ("num_splits", {"num_splits": 0}),
        ("impl", {"impl": "cuda"}),
    ],
)
def test_bad_arguments_are_named(name: str, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        ring_attention(**{**GOOD, **bad})  # type: ignore[arg-type]


def test_operator_is_sound() -> None:
    torch.library.opcheck(torch.ops.worldsim.ring_attention, (*draw(Shape(3, 2, 4, 2, 16), (1, 4), torch.float32), None))


def test_compiles_without_a_break() -> None:
    case = draw(Shape(3, 2, 4, 2, 16), (1, 4), torch.float32)
    compiled = torch.compile(lambda *given: ring_attention(*given) * 2, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*case), ring_attention(*case) * 2)


@pytest.mark.gpu
def test_captured_graph_follows_the_position() -> None:
    case = draw(Shape(6, 100, 8, 2, 64), (5, 5), torch.bfloat16)
    ring_attention(*case)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = ring_attention(*case)
    for positions in ((0, 3), (5, 40)):
        case.position.copy_(torch.tensor(positions, device=DEVICE))
        graph.replay()
        close(out, oracle(case), oracle(case, case.q.dtype))
