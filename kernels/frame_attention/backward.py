"""Backward kernels of attention over frames.

Scores are recomputed (Dao 2023, arXiv:2307.08691, section 3.2).
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

from worldsim.kernels.frame_attention.blocks import (
    UNSPECIALIZED,
    keys_of_block,
    keys_of_rows,
    load_rows,
    load_values,
    place,
    queries_of_block,
    queries_of_rows,
    seen,
)

LN2: tl.constexpr = tl.constexpr(math.log(2))  # scores are scaled for exp2


@triton.jit
def _visit_query_grad(
    q,
    grad,
    lse,
    delta,
    k_ptr,
    v_ptr,
    k_step,
    v_step,
    at,
    stop,
    low,
    high,
    acc,
    scale,
    D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    MASKED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Adds the contribution of one block of keys to the gradient of the queries."""
    k = load_rows(k_ptr, k_step, at, stop, D, BLOCK_N, MASKED)
    v = load_rows(v_ptr, v_step, at, stop, D, BLOCK_N, MASKED)
    weights = tl.exp2(tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale - lse[:, None])
    if MASKED:
        weights = tl.where(seen(at, stop, low, high, BLOCK_N), weights, 0.0)
    scores_grad = weights * (tl.dot(grad, tl.trans(v), input_precision=PRECISION) - delta[:, None])
    return tl.dot(scores_grad.to(k.dtype), k, acc, input_precision=PRECISION)


@triton.jit(do_not_specialize=UNSPECIALIZED)
def query_grad_kernel(
    grad_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lse_ptr,
    delta_ptr,
    q_grad_ptr,
    offsets_ptr,
    clip_tokens_ptr,
    scale,
    q_step,
    k_step,
    v_step,
    length,
    tokens,
    clips,
    window,
    group,
    D: tl.constexpr,
    COPIES: tl.constexpr,
    CAUSAL: tl.constexpr,
    CLIPS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradient of the queries, and for `key_grad_kernel` `delta`, the sum of out times its gradient."""
    begin, context, tokens, segment, start = place(
        tl.program_id(1), offsets_ptr, clip_tokens_ptr, length, tokens, clips, COPIES, BLOCK_M, CLIPS
    )
    if start >= context:
        return
    window = tl.minimum(window, context // tokens)
    stop = tl.minimum(start + BLOCK_M, context)
    low, high, full, full_stop = keys_of_block(start, stop, context, tokens, segment, window, BLOCK_N, CAUSAL)
    row = start + tl.arange(0, BLOCK_M)
    row_low, row_high, own = keys_of_rows(row, context, tokens, segment, window, CAUSAL)

    b, head, heads = tl.program_id(0).to(tl.int64), tl.program_id(2), tl.num_programs(2)
    clip = b * length + begin
    mine = clip + segment * context
    at_out, at_number = (mine * heads + head) * D, (b * heads + head) * length + begin + segment * context
    q = load_rows(q_ptr + mine * q_step + head * D, q_step, start, stop, D, BLOCK_M, True)
    grad = load_rows(grad_ptr + at_out, heads * D, start, stop, D, BLOCK_M, True)
    out = load_rows(out_ptr + at_out, heads * D, start, stop, D, BLOCK_M, True)
    lse = load_values(lse_ptr + at_number, start, stop, BLOCK_M, True)
    delta = tl.sum(out.to(tl.float32) * grad.to(tl.float32), 1)
    tl.store(delta_ptr + at_number + row, delta, mask=row < stop)

    keys, values = k_ptr + clip * k_step + head // group * D, v_ptr + clip * v_step + head // group * D
    acc = tl.zeros([BLOCK_M, D], tl.float32)
    for at in range(full, full_stop, BLOCK_N):
        acc = _visit_query_grad(
            q, grad, lse, delta, keys, values, k_step, v_step, at, full_stop, row_low, row_high, acc, scale, D, BLOCK_N, False,
            PRECISION,
        )  # fmt: skip
    for part in range(2):  # before and after the whole blocks
        first, end = tl.where(part == 0, low, full_stop), tl.where(part == 0, full, high)
        for at in range(first, end, BLOCK_N):
            acc = _visit_query_grad(
                q, grad, lse, delta, keys, values, k_step, v_step, at, end, row_low, row_high, acc, scale, D, BLOCK_N, True,
                PRECISION,
            )  # fmt: skip
    if COPIES > 0:
        keys, values = keys + segment * context * k_step, values + segment * context * v_step
        end = tl.where(segment == 0, 0, tl.minimum(tl.cdiv(stop, tokens) * tokens, context))
        for at in range(start // tokens * tokens, end, BLOCK_N):
            acc = _visit_query_grad(
                q, grad, lse, delta, keys, values, k_step, v_step, at, end, own, own + tokens, acc, scale, D, BLOCK_N, True,
                PRECISION,
            )  # fmt: skip
    at = row.to(tl.int64)[:, None] * (heads * D) + tl.arange(0, D)[None, :]
    acc *= scale * LN2
    tl.store(q_grad_ptr + at_out + at, acc.to(q_grad_ptr.dtype.element_ty), mask=(row < stop)[:, None])


@triton.jit
def _visit_key_grad(
    k,
    v,
    q_ptr,
    grad_ptr,
    lse_ptr,
    delta_ptr,
    q_step,
    grad_step,
    at,
    stop,
    low,
    high,
    k_acc,
    v_acc,
    scale,
    D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    MASKED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Adds the contribution of one block of queries to the gradients of keys and values.

    Scores are transposed: a row for each key.
    """
    q = load_rows(q_ptr, q_step, at, stop, D, BLOCK_M, MASKED)
    grad = load_rows(grad_ptr, grad_step, at, stop, D, BLOCK_M, MASKED)
    lse = load_values(lse_ptr, at, stop, BLOCK_M, MASKED)
    delta = load_values(delta_ptr, at, stop, BLOCK_M, MASKED)
    weights = tl.exp2(tl.dot(k, tl.trans(q), input_precision=PRECISION) * scale - lse[None, :])
    if MASKED:
        weights = tl.where(seen(at, stop, low, high, BLOCK_M), weights, 0.0)
    v_acc = tl.dot(weights.to(grad.dtype), grad, v_acc, input_precision=PRECISION)
    scores_grad = weights * (tl.dot(v, tl.trans(grad), input_precision=PRECISION) - delta[None, :])
    return tl.dot(scores_grad.to(q.dtype), q, k_acc, input_precision=PRECISION), v_acc


@triton.jit(do_not_specialize=UNSPECIALIZED)
def key_grad_kernel(
    grad_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    lse_ptr,
    delta_ptr,
    k_grad_ptr,
    v_grad_ptr,
    offsets_ptr,
    clip_tokens_ptr,
    scale,
    q_step,
    k_step,
    v_step,
    length,
    tokens,
    clips,
    window,
    group,
    D: tl.constexpr,
    COPIES: tl.constexpr,
    CAUSAL: tl.constexpr,
    CLIPS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of keys and values. Query heads that share them are added in a fixed order: deterministic."""
    begin, context, tokens, segment, start = place(
        tl.program_id(1), offsets_ptr, clip_tokens_ptr, length, tokens, clips, COPIES, BLOCK_N, CLIPS
    )
    if start >= context:
        return
    stop = tl.minimum(start + BLOCK_N, context)
    key = start + tl.arange(0, BLOCK_N)
    # Keys of a copy are seen from their own frame only; those of the context from every segment.
    window = tl.where(segment == 0, tl.minimum(window, context // tokens), 1)
    segments = tl.where(segment == 0, 1 + COPIES, 1)

    b, key_head, key_heads = tl.program_id(0).to(tl.int64), tl.program_id(2), tl.num_programs(2)
    heads = key_heads * group
    clip = b * length + begin
    mine = clip + segment * context
    k = load_rows(k_ptr + mine * k_step + key_head * D, k_step, start, stop, D, BLOCK_N, True)
    v = load_rows(v_ptr + mine * v_step + key_head * D, v_step, start, stop, D, BLOCK_N, True)
    k_acc = tl.zeros([BLOCK_N, D], tl.float32)
    v_acc = tl.zeros([BLOCK_N, D], tl.float32)
    for turn in range(group * segments):
        head, theirs = key_head * group + turn // segments, segment + turn % segments
        later = (theirs != segment).to(tl.int32)
        low, high, full, full_stop = queries_of_block(start, stop, context, tokens, later, window, BLOCK_M, CAUSAL)
        row_low, row_high = queries_of_rows(key, context, tokens, later, window, CAUSAL)
        other = clip + theirs * context
        queries, grads = q_ptr + other * q_step + head * D, grad_ptr + (other * heads + head) * D
        numbers = (b * heads + head) * length + begin + theirs * context
        for at in range(full, full_stop, BLOCK_M):
            k_acc, v_acc = _visit_key_grad(
                k, v, queries, grads, lse_ptr + numbers, delta_ptr + numbers, q_step, heads * D, at, full_stop, row_low, row_high,
                k_acc, v_acc, scale, D, BLOCK_M, False, PRECISION,
            )  # fmt: skip
        for part in range(2):  # before and after the whole blocks
            first, end = tl.where(part == 0, low, full_stop), tl.where(part == 0, full, high)
            for at in range(first, end, BLOCK_M):
                k_acc, v_acc = _visit_key_grad(
                    k, v, queries, grads, lse_ptr + numbers, delta_ptr + numbers, q_step, heads * D, at, end, row_low, row_high,
                    k_acc, v_acc, scale, D, BLOCK_M, True, PRECISION,
                )  # fmt: skip
    at = (mine * key_heads + key_head) * D + key.to(tl.int64)[:, None] * (key_heads * D) + tl.arange(0, D)[None, :]
    inside = (key < stop)[:, None]
    k_acc *= scale * LN2
    tl.store(k_grad_ptr + at, k_acc.to(k_grad_ptr.dtype.element_ty), mask=inside)
    tl.store(v_grad_ptr + at, v_acc.to(v_grad_ptr.dtype.element_ty), mask=inside)
