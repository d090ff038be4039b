"""Forward kernel of attention over frames: online softmax (Dao 2023, arXiv:2307.08691, section 3.1)."""

from __future__ import annotations

import triton
import triton.language as tl

from worldsim.kernels.frame_attention.blocks import UNSPECIALIZED, keys_of_block, keys_of_rows, load_rows, place, seen


@triton.jit
def _visit(
    q,
    k_ptr,
    v_ptr,
    k_step,
    v_step,
    at,
    stop,
    low,
    high,
    top,
    total,
    acc,
    scale,
    D: tl.constexpr,
    BLOCK_N: tl.constexpr,
    MASKED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Adds one block of keys to the online softmax."""
    k = load_rows(k_ptr, k_step, at, stop, D, BLOCK_N, MASKED)
    v = load_rows(v_ptr, v_step, at, stop, D, BLOCK_N, MASKED)
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    if MASKED:
        scores = tl.where(seen(at, stop, low, high, BLOCK_N), scores, float("-inf"))
    new_top = tl.maximum(top, tl.max(scores, 1) * scale)
    shift = new_top
    if MASKED:  # a row without keys so far has no maximum
        shift = tl.where(new_top == float("-inf"), 0.0, new_top)
    weights = tl.exp2(scores * scale - shift[:, None])
    decay = tl.exp2(top - shift)
    total = total * decay + tl.sum(weights, 1)
    acc = tl.dot(weights.to(v.dtype), v, acc * decay[:, None], input_precision=PRECISION)
    return new_top, total, acc


@triton.jit(do_not_specialize=UNSPECIALIZED)
def forward_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lse_ptr,
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
    q = load_rows(q_ptr + mine * q_step + head * D, q_step, start, stop, D, BLOCK_M, True)
    keys, values = k_ptr + clip * k_step + head // group * D, v_ptr + clip * v_step + head // group * D
    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, D], tl.float32)
    for at in range(full, full_stop, BLOCK_N):
        top, total, acc = _visit(
            q,
            keys,
            values,
            k_step,
            v_step,
            at,
            full_stop,
            row_low,
            row_high,
            top,
            total,
            acc,
            scale,
            D,
            BLOCK_N,
            False,
            PRECISION,
        )
    for part in range(2):  # before and after the whole blocks
        first, end = tl.where(part == 0, low, full_stop), tl.where(part == 0, full, high)
        for at in range(first, end, BLOCK_N):
            top, total, acc = _visit(
                q, keys, values, k_step, v_step, at, end, row_low, row_high, top, total, acc, scale, D, BLOCK_N, True, PRECISION
            )
    if COPIES > 0:
        keys, values = keys + segment * context * k_step, values + segment * context * v_step
        end = tl.where(segment == 0, 0, tl.minimum(tl.cdiv(stop, tokens) * tokens, context))
        for at in range(start // tokens * tokens, end, BLOCK_N):
            top, total, acc = _visit(
                q, keys, values, k_step, v_step, at, end, own, own + tokens, top, total, acc, scale, D, BLOCK_N, True, PRECISION
            )
    inside = row < stop
    total = tl.where(inside, total, 1.0)
    lse = lse_ptr + (b * heads + head) * length + begin + segment * context
    tl.store(lse + row, top + tl.log2(total), mask=inside)
    out = out_ptr + (mine * heads + head) * D
    at = row.to(tl.int64)[:, None] * (heads * D) + tl.arange(0, D)[None, :]
    tl.store(out + at, (acc / total[:, None]).to(out_ptr.dtype.element_ty), mask=inside[:, None])
