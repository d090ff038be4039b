from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worldsim.kernels.qkv_write.reference import quantize
from worldsim.kernels.temporal_decode import temporal_decode

from .rings import DEVICE, Case, Shape, close, draw, written

HEADS = [(4, 1), (8, 2), (16, 4), (16, 16)]
TINY = [Shape(3, tokens, 4, 2, 16) for tokens in (1, 5, 15)] + [Shape(5, 3, *heads, 32) for heads in HEADS]
TINY += [Shape(6, 3, 2, 1, size) for size in (64, 128)] + [Shape(70, 2, 4, 2, 16)]
REAL = [Shape(12, tokens, 8, 2, 64) for tokens in (1, 15, 48, 64, 100, 240, 256, 4096)]
REAL += [Shape(slots, 257, *heads, size) for slots in (32, 100) for heads in HEADS for size in (32, 64, 128)]
SHAPES = TINY + [pytest.param(shape, marks=pytest.mark.gpu) for shape in REAL]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
IMPLS = ["reference", "triton"]


def oracle(case: Case, dtype: torch.dtype = torch.float64) -> Tensor:
    """SDPA in this dtype, of each batch row alone with the frames it has written; tokens are the batch."""
    rows = []
    for q, keys, values, position in zip(case.q, case.keys, case.values, case.position.tolist(), strict=True):
        slots = written(position, len(keys))
        k, v = (ring[slots].permute(1, 2, 0, 3).to(dtype) for ring in (keys, values))
        rows.append(F.scaled_dot_product_attention(q[:, :, None].to(dtype), k, v, enable_gqa=True)[:, :, 0])
    return torch.stack(rows)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_at_any_position_see_their_own_frames(shape: Shape, dtype: torch.dtype, impl: str) -> None:
    """Rings with one frame, half full, exactly full and overwritten, in one batch."""
    case = draw(shape, (0, shape.slots // 2, shape.slots - 1, 7 * shape.slots + 1), dtype)
    found = temporal_decode(*case, impl=impl)
    close(found, oracle(case), oracle(case, dtype))
    assert found.shape == case.q.shape and found.is_contiguous()


@pytest.mark.parametrize("impl", IMPLS)
def test_int8_rings_are_read_as_values_times_scale(impl: str) -> None:
    case = draw(Shape(4, 3, 4, 2, 32), (0, 2, 9), torch.float32)
    (keys, key_scale), (values, value_scale) = (quantize(ring) for ring in (case.keys, case.values))
    dequantised = case._replace(keys=keys.float() * key_scale[..., None], values=values.float() * value_scale[..., None])
    stored = (case.q, keys, values, case.position)
    found = temporal_decode(*stored, key_scale=key_scale, value_scale=value_scale, impl=impl)
    torch.testing.assert_close(found, oracle(dequantised).float(), atol=1e-5, rtol=1e-5)
    assert (found - oracle(case)).square().mean() < 0.05**2 * found.square().mean()


@pytest.mark.parametrize("impl", IMPLS)
def test_rings_of_another_float_dtype(impl: str) -> None:
    case = draw(Shape(4, 3, 4, 2, 16), (1, 9), torch.bfloat16)
    found = temporal_decode(case.q.float(), *case[1:], impl=impl)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, oracle(case).float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("slots", [2, 70])
def test_a_row_without_frames_gives_zeros(slots: int, impl: str) -> None:
    case = draw(Shape(slots, 3, 2, 2, 16), (-1, 0, 1, 80), torch.float32)
    found = temporal_decode(*case, impl=impl)
    assert (found[0] == 0).all()
    torch.testing.assert_close(found[1:], oracle(Case(*(a[1:] for a in case))).float(), atol=1e-5, rtol=1e-5)


@settings(max_examples=settings().max_examples // 10)
@given(
    st.builds(Shape, st.integers(1, 9), st.integers(1, 20), st.sampled_from([2, 4]), st.sampled_from([1, 2]), st.just(16)),
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
)
def test_any_shape(shape: Shape, positions: list[int]) -> None:
    case = draw(shape, positions, torch.float32)
    for impl in IMPLS:
        close(temporal_decode(*case, impl=impl), oracle(case), oracle(case, torch.float32))


GOOD = dict(zip(Case._fields, draw(Shape(3, 2, 4, 2, 16), (1, 2), torch.float32), strict=True))
SCALE = torch.ones(2, 3, 2, 2, device=DEVICE)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("q", {"q": GOOD["q"][..., :8].contiguous()}),
        ("keys", {"keys": GOOD["keys"].double()}),
        ("values", {"values": GOOD["values"].half()}),
        ("position", {"position": GOOD["position"].float()}),
        ("key_scale", {"keys": GOOD["keys"].to(torch.int8), "values": GOOD["values"].to(torch.int8), "value_scale": SCALE}),
        ("value_scale", {"value_scale": SCALE}),
        (
            "value_scale",
            {
                "keys": GOOD["keys"].to(torch.int8),
                "values": GOOD["values"].to(torch.int8),
                "key_scale": SCALE,
                "value_scale": SCALE[0],
            },
        ),
        ("impl", {"impl": "fast"}),
    ],
)
def test_bad_arguments_are_named(name: str, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        temporal_decode(**{**GOOD, **bad})  # type: ignore[arg-type]


def test_operator_is_sound() -> None:
    case = draw(Shape(3, 2, 4, 2, 16), (1, 4), torch.float32)
    torch.library.opcheck(torch.ops.worldsim.temporal_decode, (*case, None, None))


def test_compiles_without_a_break() -> None:
    case = draw(Shape(3, 2, 4, 2, 16), (1, 4), torch.float32)
    compiled = torch.compile(lambda *given: temporal_decode(*given) * 2, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*case), temporal_decode(*case) * 2)
