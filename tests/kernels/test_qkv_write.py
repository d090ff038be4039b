from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worldsim.kernels.qkv_write import qkv_write
from worldsim.model import rope
from worldsim.model.attention import normalize

from .rings import DEVICE, Shape, close

TINY = [Shape(3, tokens, 4, 2, 16) for tokens in (1, 5, 15)] + [Shape(2, 2, 4, 1, size) for size in (32, 64, 128)]
TINY += [Shape(2, 3, 16, 4, 16), Shape(2, 3, 16, 16, 16)]
REAL = [Shape(12, tokens, 8, 2, 64) for tokens in (1, 15, 48, 64, 100, 240, 256, 4096)]
REAL += [Shape(4, 257, *heads, size) for heads in ((4, 1), (16, 4), (16, 16)) for size in (32, 64, 128)]
SHAPES = TINY + [pytest.param(shape, marks=pytest.mark.gpu) for shape in REAL]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
IMPLS = ["reference", "triton"]
POSITIONS = (0, 2, 7)


def draw(
    shape: Shape, dtype: torch.dtype, positions: tuple[int, ...] = POSITIONS, ring: torch.dtype | None = None
) -> dict[str, Any]:
    """Arguments of `qkv_write` with an empty ring: NaN, or 0 if it is int8."""
    generator = torch.Generator().manual_seed(0)
    slots, tokens, heads, groups, size = shape
    qkv = torch.randn(len(positions), tokens, (heads + 2 * groups) * size, generator=generator).to(DEVICE, dtype)
    weights = (1 + 0.3 * torch.randn(2, size, generator=generator)).to(DEVICE, dtype)
    angles = 6 * torch.rand(len(positions), tokens, size // 2, generator=generator).to(DEVICE)
    empty = torch.full((2, len(positions), slots, tokens, groups, size), math.nan, dtype=torch.float32, device=DEVICE)
    keys, values = empty.nan_to_num().to(ring) if ring == torch.int8 else empty.to(ring or dtype)
    scales = (
        torch.full((2, *keys.shape[:-1]), math.nan, dtype=torch.float32, device=DEVICE) if ring == torch.int8 else (None, None)
    )
    names = ("qkv", "query_weight", "key_weight", "cos", "sin", "keys", "values", "position", "key_scale", "value_scale")
    position = torch.tensor(positions, dtype=torch.int64, device=DEVICE)
    return dict(zip(names, (qkv, *weights, angles.cos(), angles.sin(), keys, values, position, *scales), strict=True))


def oracle(given: dict[str, Any], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as the transformer computes them for whole clips, in this dtype."""
    size, groups = given["keys"].shape[-1], given["keys"].shape[-2]
    qkv = given["qkv"].to(dtype).unflatten(-1, (-1, size))
    q, k, v = qkv.split((qkv.shape[2] - 2 * groups, groups, groups), dim=2)
    cos, sin = (given[name].to(dtype)[:, :, None] for name in ("cos", "sin"))
    if dtype == torch.float64:
        q, k = (a * (a.square().mean(-1, keepdim=True) + 1e-6).rsqrt() for a in (q, k))
        q, k = q * given["query_weight"].double(), k * given["key_weight"].double()
    else:
        q, k = normalize(q, given["query_weight"]), normalize(k, given["key_weight"])
    return rope.rotate(q, cos, sin), rope.rotate(k, cos, sin), v


def slots_of(positions: tuple[int, ...], slots: int) -> list[int]:
    return [position % slots for position in positions]


@pytest.mark.parametrize("dtype", DTYPES)
def test_reference_agrees_with_the_transformer(dtype: torch.dtype) -> None:
    given = draw(Shape(3, 5, 4, 2, 32), dtype)
    q = qkv_write(**given, impl="reference")
    rows, slots = range(len(POSITIONS)), slots_of(POSITIONS, 3)
    for found, exact in zip((q, given["keys"][rows, slots], given["values"][rows, slots]), oracle(given, dtype), strict=True):
        assert torch.allclose(found, exact, rtol=0, atol=16 * torch.finfo(dtype).eps), "apart from rounding"


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kernel_is_as_exact_as_the_reference(shape: Shape, dtype: torch.dtype) -> None:
    given = draw(shape, dtype)
    q = qkv_write(**given, impl="triton")
    rows, slots = range(len(POSITIONS)), slots_of(POSITIONS, shape.slots)
    found = (q, given["keys"][rows, slots], given["values"][rows, slots])
    for ours, exact, baseline in zip(found, oracle(given, torch.float64), oracle(given, dtype), strict=True):
        close(ours, exact, baseline)


@pytest.mark.parametrize("impl", IMPLS)
def test_only_the_slot_of_the_frame_is_written(impl: str) -> None:
    slots = 3
    for positions in ((0, 1), (2, 3), (4, 9)):
        given = draw(Shape(slots, 2, 2, 1, 16), torch.float32, positions)
        qkv_write(**given, impl=impl)
        untouched = torch.stack([given[name].isnan().flatten(2).all(-1) for name in ("keys", "values")])
        assert untouched.sum() == 2 * len(positions) * (slots - 1)
        assert not untouched[:, range(len(positions)), slots_of(positions, slots)].any()


@pytest.mark.parametrize("impl", IMPLS)
def test_int8_write_keeps_the_largest_and_rounds_the_rest(impl: str) -> None:
    given = draw(Shape(3, 5, 4, 2, 32), torch.float32, ring=torch.int8)
    given["qkv"][0, 0] = 0
    qkv_write(**given, impl=impl)
    rows, slots = range(len(POSITIONS)), slots_of(POSITIONS, 3)
    for name, exact in zip(("key", "value"), oracle(given, torch.float64)[1:], strict=True):
        scale = given[f"{name}_scale"][rows, slots]
        stored = given[f"{name}s"][rows, slots].float() * scale[..., None]
        assert ((stored - exact).abs() <= scale[..., None] / 2 * 1.001 + 1e-9).all()
        torch.testing.assert_close(stored.abs().amax(-1), exact.abs().amax(-1).float(), rtol=1e-5, atol=1e-9)
        assert given[f"{name}_scale"].isnan().sum() == 2 * scale.numel()


@pytest.mark.parametrize("impl", IMPLS)
def test_ring_of_another_dtype_and_angles_shared_by_rows(impl: str) -> None:
    given = draw(Shape(3, 5, 4, 2, 16), torch.float32, ring=torch.bfloat16)
    given |= {name: given[name][:1].contiguous() for name in ("cos", "sin")}
    q = qkv_write(**given, impl=impl)
    exact, key, _ = oracle(given, torch.float64)
    torch.testing.assert_close(q, exact.float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(given["keys"][range(3), slots_of(POSITIONS, 3)], key.bfloat16(), atol=0, rtol=0.01)


@settings(max_examples=settings().max_examples // 10)
@given(
    st.builds(Shape, st.integers(1, 5), st.integers(1, 20), st.sampled_from([2, 4]), st.sampled_from([1, 2]), st.just(16)),
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
)
def test_any_shape(shape: Shape, positions: list[int]) -> None:
    results = []
    for impl in IMPLS:
        arguments = draw(shape, torch.float32, tuple(positions))
        results.append((qkv_write(**arguments, impl=impl), arguments["keys"], arguments["values"]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5, equal_nan=True)


GOOD = draw(Shape(3, 2, 4, 2, 16), torch.float32)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("qkv", {"qkv": GOOD["qkv"][..., :-1].contiguous()}),
        ("qkv", {"qkv": GOOD["qkv"][..., : 4 * 16].contiguous()}),
        ("qkv", {"qkv": GOOD["qkv"][:, :1].contiguous()}),
        ("qkv", {"qkv": GOOD["qkv"].double()}),
        ("query_weight", {"query_weight": GOOD["query_weight"][:8]}),
        ("key_weight", {"key_weight": GOOD["key_weight"].double()}),
        ("cos", {"cos": GOOD["cos"][:2]}),
        ("sin", {"sin": GOOD["sin"][..., :4].contiguous()}),
        ("keys", {"keys": GOOD["keys"][0]}),
        ("values", {"values": GOOD["values"].half()}),
        ("position", {"position": GOOD["position"].int()}),
        ("key_scale", {"key_scale": torch.ones(3, 3, 2, 2, device=DEVICE)}),
        ("impl", {"impl": "none"}),
    ],
)
def test_bad_arguments_are_named(name: str, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        qkv_write(**{**GOOD, **bad})


@pytest.mark.parametrize("ring", [None, torch.int8])
def test_operator_is_sound(ring: torch.dtype | None) -> None:
    given = draw(Shape(3, 2, 4, 2, 16), torch.float32, ring=ring)
    *tensors, key_scale, value_scale = given.values()
    torch.library.opcheck(torch.ops.worldsim.qkv_write, (*tensors, 1e-6, key_scale, value_scale))


def test_compiles_without_a_break() -> None:
    eager, compiled = (draw(Shape(3, 2, 4, 2, 16), torch.float32) for _ in range(2))
    q = torch.compile(qkv_write, fullgraph=True, backend="aot_eager")(**compiled)
    torch.testing.assert_close(q, qkv_write(**eager))
    torch.testing.assert_close(compiled["keys"], eager["keys"], equal_nan=True)
