"""Turns the QKV projection of one frame into queries, and writes its keys and values into the ring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from worldsim.kernels.checks import FLOATS, check_head_size, check_layout
from worldsim.kernels.choose import choose
from worldsim.kernels.qkv_write import reference
from worldsim.kernels.ring_attention.checks import check_scales

__all__ = ["qkv_write"]

torch.library.define(
    "worldsim::qkv_write",
    "(Tensor qkv, Tensor query_weight, Tensor key_weight, Tensor cos, Tensor sin, Tensor(a!) keys, Tensor(b!) values, "
    "Tensor position, float eps, Tensor(c!)? key_scale, Tensor(d!)? value_scale) -> Tensor",
)


def _by_triton(*given: Any) -> Tensor:
    from worldsim.kernels.qkv_write import triton

    return triton.qkv_write(*given)


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
    eps: float = 1e-6,
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
    impl: str = "auto",
) -> Tensor:
    """RMSNorm and RoPE of queries and keys; writes keys and values into the ring in place.

    Frame `p` goes to slot `p % S`. Not differentiable.

    Args:
        qkv: `(B, N, (H + 2 * G) * D)` contiguous, float32, bfloat16 or float16: query, key and value heads of
            one frame.
        query_weight, key_weight: `(D,)`, weights of the norms, in one of the dtypes above.
        cos, sin: `(B or 1, N, D / 2)` of the rotation angles, in one of the dtypes above; angle `i` rotates
            the pair `(x[i], x[i + D / 2])`.
        keys, values: the ring `(B, S, N, G, D)`, written in place; int8 or one of the dtypes above.
        position: `(B,)` int64 on the device, at least 0: index of the current frame of each row.
        eps: added to the mean square in the norms.
        key_scale, value_scale: `(B, S, N, G)` float32, for int8 rings only, written in place: the scale by
            which the stored integers are multiplied. The largest magnitude of each head vector is stored as
            127.
        impl: "auto" (by device), "reference" or "triton".

    Returns:
        Queries `(B, N, H, D)` contiguous, in the dtype of `qkv`.

    Raises:
        ValueError: naming the argument that does not fit.
    """
    weights, tables = {"query_weight": query_weight, "key_weight": key_weight}, {"cos": cos, "sin": sin}
    _check(qkv, weights, tables, keys, values, position)
    check_scales(keys, key_scale, value_scale)
    arguments = (qkv, query_weight, key_weight, cos, sin, keys, values, position, eps, key_scale, value_scale)
    if choose(impl, qkv.device) == "reference":
        return reference.qkv_write(*arguments)
    return torch.ops.worldsim.qkv_write(*arguments) if impl == "auto" else _by_triton(*arguments)


def _check(
    qkv: Tensor, weights: Mapping[str, Tensor], tables: Mapping[str, Tensor], keys: Tensor, values: Tensor, position: Tensor
) -> None:
    if keys.ndim != 5 or 0 in keys.shape:
        raise ValueError(f"keys has shape {tuple(keys.shape)}; it must be (B, S, N, G, D), without an empty axis.")
    check_head_size("keys", keys)
    batch, _, tokens, groups, size = keys.shape
    width = qkv.shape[-1] if qkv.ndim == 3 else 0
    if width % size or width // size <= 2 * groups:
        raise ValueError(f"qkv has shape {tuple(qkv.shape)}; it must be (B, N, (H + 2 * {groups}) * {size}) to go with keys.")
    check_layout("qkv", qkv, (batch, tokens, width), FLOATS, keys.device)
    for name, weight in weights.items():
        check_layout(name, weight, (size,), FLOATS, keys.device)
    cos = tables["cos"]
    rows = len(cos) if cos.ndim == 3 and len(cos) == 1 else batch
    for name, table in tables.items():
        check_layout(name, table, (rows, tokens, size // 2), FLOATS, keys.device)
    check_layout("keys", keys, keys.shape, (*FLOATS, torch.int8), keys.device)
    check_layout("values", values, keys.shape, (keys.dtype,), keys.device)
    check_layout("position", position, (batch,), (torch.int64,), keys.device)
