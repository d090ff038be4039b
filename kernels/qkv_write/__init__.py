"""From the projection of one frame to its queries, with keys and values written to the ring."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldsim.kernels.checks import FLOATS, check_head_size, check_layout
from worldsim.kernels.choose import choose
from worldsim.kernels.qkv_write import reference
from worldsim.kernels.ring_attention.checks import QUANTIZED, check_scales

__all__ = ["qkv_write"]

torch.library.define(
    "worldsim::qkv_write",
    "(Tensor qkv, Tensor query_weight, Tensor key_weight, Tensor cos, Tensor sin, Tensor(a!) keys, Tensor(b!) values, "
    "Tensor position, int sinks, float eps, Tensor(c!)? key_scale, Tensor(d!)? value_scale) -> Tensor",
)


def _by_triton(qkv: Tensor, *others: Any) -> Tensor:
    from worldsim.kernels.qkv_write import triton

    return triton.qkv_write(qkv, *others)


def _shape(qkv: Tensor, query_weight: Tensor, key_weight: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, *_: object) -> Tensor:
    size, groups = keys.shape[-1], keys.shape[-2]
    return qkv.new_empty(*qkv.shape[:2], qkv.shape[-1] // size - 2 * groups, size)


torch.library.impl("worldsim::qkv_write", "cpu", reference.qkv_write)
torch.library.impl("worldsim::qkv_write", "cuda", _by_triton)
torch.library.register_fake("worldsim::qkv_write", _shape)


def qkv_write(
    qkv: Tensor,
    query_weight: Tensor,
    key_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    *,
    sinks: int = 0,
    eps: float = 1e-6,
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
    impl: str = "auto",
) -> Tensor:
    """RMSNorm on queries and keys, rotary positions, and the write of keys and values into the ring, in place.

    Frame `p` goes to slot `p` if `p < sinks`, else to `sinks + (p - sinks) % (S - sinks)`. Not differentiable.

    Args:
        qkv: `(B, N, (H + 2 * G) * D)` contiguous, float32, bfloat16 or float16: query, key and value heads of one frame.
        query_weight, key_weight: `(D,)`, gains of the norms, in one of the dtypes above.
        cos, sin: `(B or 1, N, D / 2)` of the angles; the pair `(x[i], x[i + D / 2])` turns by angle `i`.
        keys, values: the ring `(B, S, N, G, D)`, written in place; of any float dtype above, or int8 or float8_e4m3fn.
        position: `(B,)` int64 on the device, at least 0: index of the frame now imagined, per row.
        sinks: how many first frames are kept for ever, less than `S`.
        eps: added to the mean square in the norms.
        key_scale, value_scale: `(B, S, N, G)` float32, written in place, of int8 and float8 rings: largest magnitude of a head's
            vector over the largest of the dtype.
        impl: "auto" (by device), "reference" or "triton".

    Returns:
        Queries `(B, N, H, D)` contiguous, in the dtype of `qkv`.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    _check(qkv, query_weight, key_weight, cos, sin, keys, values, position, sinks)
    check_scales(keys, key_scale, value_scale)
    arguments = (qkv, query_weight, key_weight, cos, sin, keys, values, position, sinks, eps, key_scale, value_scale)
    if choose(impl, qkv.device) == "reference":
        return reference.qkv_write(*arguments)
    return torch.ops.worldsim.qkv_write(*arguments) if impl == "auto" else _by_triton(*arguments)


def _check(
    qkv: Tensor,
    query_weight: Tensor,
    key_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    sinks: int,
) -> None:
    if keys.ndim != 5 or 0 in keys.shape:
        raise ValueError(f"keys has shape {tuple(keys.shape)}; it must be (B, S, N, G, D), none of them 0.")
    check_head_size("keys", keys)
    batch, slots, tokens, groups, size = keys.shape
    width = qkv.shape[-1] if qkv.ndim == 3 else 0
    if width % size or width // size <= 2 * groups:
        raise ValueError(f"qkv has shape {tuple(qkv.shape)}; it must be (B, N, (H + 2 * {groups}) * {size}) to go with keys.")
    check_layout("qkv", qkv, (batch, tokens, width), FLOATS, keys.device)
    for name, weight in (("query_weight", query_weight), ("key_weight", key_weight)):
        check_layout(name, weight, (size,), FLOATS, keys.device)
    rows = len(cos) if cos.ndim == 3 and len(cos) == 1 else batch
    for name, table in (("cos", cos), ("sin", sin)):
        check_layout(name, table, (rows, tokens, size // 2), FLOATS, keys.device)
    check_layout("keys", keys, keys.shape, (*FLOATS, *QUANTIZED), keys.device)
    check_layout("values", values, keys.shape, (keys.dtype,), keys.device)
    check_layout("position", position, (batch,), (torch.int64,), keys.device)
    if not 0 <= sinks < slots:
        raise ValueError(f"sinks was {sinks}; a ring of {slots} slots can keep 0 to {slots - 1} first frames.")
