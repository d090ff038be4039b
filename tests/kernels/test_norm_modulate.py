from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from worldsim.kernels.norm_modulate import norm_modulate

from .rings import DEVICE, close, poison


class Shape(NamedTuple):
    """Rows, frames, tokens per frame and width."""

    batch: int
    frames: int
    tokens: int
    width: int


TINY = [Shape(2, 3, tokens, 48) for tokens in (1, 5, 48)] + [Shape(1, 2, 3, width) for width in (256, 384, 4096)]
REAL = [Shape(2, 4, tokens, 1024) for tokens in (1, 15, 48, 64, 100, 240, 256, 4096)] + [Shape(2, 48, 257, 1536)]
SHAPES = TINY + [pytest.param(shape, marks=pytest.mark.gpu) for shape in REAL]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
IMPLS = ["reference", "triton"]


def draw(shape: Shape, dtype: torch.dtype, gated: bool) -> list[Tensor]:
    """x, shift and scale, then branch and gate if gated; vectors are slices of one projection."""
    batch, frames, tokens, width = shape
    generator = torch.Generator().manual_seed(0)
    x, branch = torch.randn(2, batch, frames, tokens, width, generator=generator).to(DEVICE, dtype)
    made = torch.randn(batch, frames, 1, 6 * width, generator=generator).to(DEVICE, dtype)
    shift, scale, gate = made.chunk(6, dim=-1)[:3]
    return [x, shift, scale, branch, gate] if gated else [x, shift, scale]


def oracle(x: Tensor, shift: Tensor, scale: Tensor, branch: Tensor | None = None, gate: Tensor | None = None) -> Any:
    residual = x if branch is None or gate is None else x + gate * branch
    return residual, F.rms_norm(residual, (x.shape[-1],), None, 1e-6) * (1 + scale) + shift


def results(run: Any, given: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Both outputs of `run` computed in this dtype, and the gradients of all inputs."""
    leaves = [a.detach().to(dtype).requires_grad_() for a in given]
    outs = run(*leaves)
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(out.shape, generator=generator).to(out) for out in outs]
    return [*(out.detach() for out in outs), *torch.autograd.grad(outs, leaves, grads)]


def check(given: list[Tensor], impl: str) -> None:
    exact, baseline = results(oracle, given, torch.float64), results(oracle, given, given[0].dtype)
    with poison():
        found = results(lambda *parts: norm_modulate(*parts, impl=impl), given, given[0].dtype)
    for one, precise, other in zip(found, exact, baseline, strict=True):
        assert one.shape == precise.shape and one.dtype == given[0].dtype
        close(one, precise, other)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_gradients(shape: Shape, dtype: torch.dtype, gated: bool, impl: str) -> None:
    check(draw(shape, dtype, gated), impl)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("unused", [0, 1])
def test_one_output_may_be_unused(unused: int, impl: str) -> None:
    given = [a.requires_grad_() for a in draw(Shape(2, 3, 5, 48), torch.float32, True)]
    used = 1 - unused
    wanted = given if used else [given[i] for i in (0, 3, 4)]  # the residual does not depend on shift and scale
    expected = torch.autograd.grad(oracle(*given)[used].sum(), wanted)
    with poison():
        found = torch.autograd.grad(norm_modulate(*given, impl=impl)[used].sum(), wanted)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_same_bits_every_time() -> None:
    given = draw(Shape(2, 3, 40, 48), torch.bfloat16, True)
    once, again = (results(lambda *parts: norm_modulate(*parts, impl="triton"), given, torch.bfloat16) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


@settings(max_examples=settings().max_examples // 10)
@given(
    st.builds(Shape, st.integers(1, 3), st.integers(1, 3), st.integers(1, 40), st.integers(16, 80)),
    st.sampled_from([torch.float32, torch.float16]),
    st.booleans(),
)
@example(Shape(1, 1, 1, 35), torch.float16, True)  # so few values that the baseline is almost exact by chance
def test_any_shape(shape: Shape, dtype: torch.dtype, gated: bool) -> None:
    for impl in IMPLS:
        check(draw(shape, dtype, gated), impl)


X, SHIFT, SCALE, BRANCH, GATE = (a.contiguous() for a in draw(Shape(2, 3, 4, 16), torch.float32, True))
GOOD: dict[str, Any] = {"x": X, "shift": SHIFT, "scale": SCALE, "branch": BRANCH, "gate": GATE}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("x", {"x": X[0]}),
        ("x", {"x": X.double()}),
        ("x", {"x": X.mT.contiguous().mT}),
        ("x", {"x": torch.zeros(1, 1, 1, 4097, device=DEVICE)}),
        ("shift", {"shift": SHIFT[:, :, 0]}),
        ("shift", {"shift": SHIFT.half()}),
        ("scale", {"scale": SCALE[:, :2]}),
        ("scale", {"scale": SCALE.mT.contiguous().mT.repeat(1, 1, 1, 2)[..., ::2]}),
        ("branch", {"branch": BRANCH[:, :, :2]}),
        ("gate", {"gate": None}),
        ("gate", {"branch": None}),
        ("gate", {"gate": GATE.bfloat16()}),
        ("impl", {"impl": "eager"}),
    ],
)
def test_bad_arguments_are_named(name: str, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        norm_modulate(**{**GOOD, **bad})


@pytest.mark.parametrize("gated", [True, False])
def test_operators_are_sound(gated: bool) -> None:
    more = (BRANCH, GATE) if gated else (None, None)
    torch.library.opcheck(torch.ops.worldsim.norm_modulate_forward, (X, SHIFT, SCALE, *more, 1e-6))
    grads = (X.clone() if gated else None, torch.ones_like(X))
    torch.library.opcheck(torch.ops.worldsim.norm_modulate_backward, (*grads, X, SCALE, *more, 1e-6))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # a warning of torch.compile itself
@pytest.mark.parametrize("gated", [True, False])
def test_compiles_without_a_break_and_differentiates(gated: bool) -> None:
    def run(*parts: Tensor) -> tuple[Tensor, Tensor]:
        residual, out = norm_modulate(*parts, impl="triton")
        return residual * 2, out * 3

    given = list(GOOD.values())[: 5 if gated else 3]
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for one, other in zip(results(compiled, given, X.dtype), results(run, given, X.dtype), strict=True):
        torch.testing.assert_close(one, other)
