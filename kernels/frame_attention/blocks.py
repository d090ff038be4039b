"""Index arithmetic that the kernels share: the block of a program, its keys, and the queries that see it.

Tokens are numbered within a segment: the context of a clip, or one of its noisy copies. The tokens of the
context that a token sees are one range [low, high). The queries that see a token of the context are one range
of each segment.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Arguments that differ between clips, so Triton should not compile a kernel for special values of them.
UNSPECIALIZED = ["length", "tokens", "clips", "window", "group"]


@triton.jit
def place(
    pid, offsets_ptr, clip_tokens_ptr, length, tokens, clips, COPIES: tl.constexpr, BLOCK: tl.constexpr, CLIPS: tl.constexpr
):
    """What a program computes: start of its clip, tokens of its context and per frame, segment, first token.

    `CLIPS` is 0, or a power of two and at least the number of packed clips, each of which has its own number
    of blocks. The context of a program beyond the last block has 0 tokens.
    """
    begin, context, first = 0, length // (1 + COPIES), 0
    if CLIPS > 0:
        index = tl.arange(0, CLIPS)
        starts = tl.load(offsets_ptr + index, mask=index < clips, other=0)
        contexts = (tl.load(offsets_ptr + 1 + index, mask=index < clips, other=0) - starts) // (1 + COPIES)
        blocks = tl.cdiv(contexts, BLOCK) * (1 + COPIES)
        upto = tl.cumsum(blocks, 0)
        clip = tl.sum((upto <= pid).to(tl.int32), 0)
        mine = index == clip
        begin, context = tl.sum(tl.where(mine, starts, 0), 0), tl.sum(tl.where(mine, contexts, 0), 0)
        first = tl.sum(tl.where(mine, upto - blocks, 0), 0)
        if clip_tokens_ptr is not None:
            tokens = tl.load(clip_tokens_ptr + clip, mask=clip < clips, other=1)
    each = tl.maximum(tl.cdiv(context, BLOCK), 1)
    segment = (pid - first) // each
    return begin, context, tokens, segment, (pid - first) % each * BLOCK


@triton.jit
def _whole(low, high, full, full_stop, BLOCK: tl.constexpr):
    """Shortens [full, full_stop) to whole blocks.

    If there is none, [low, full) becomes all of [low, high).
    """
    blocks = tl.maximum(full_stop - full, 0) // BLOCK
    full = tl.where(blocks > 0, full, high)
    return low, high, full, full + blocks * BLOCK


@triton.jit
def keys_of_block(start, stop, context, tokens, segment, window, BLOCK: tl.constexpr, CAUSAL: tl.constexpr):
    """The keys of the context that queries [start, stop) of a segment see.

    [low, high) are seen by some of these queries; [full, full_stop), a number of whole blocks in it, by all
    of them.
    """
    low, high, full, full_stop = 0, context, 0, context
    if CAUSAL:
        itself = (segment == 0).to(tl.int32)
        oldest, newest = start // tokens, (stop - 1) // tokens
        low, high = tl.maximum((oldest - window + 1) * tokens, 0), (newest + itself) * tokens
        full, full_stop = tl.maximum((newest - window + 1) * tokens, low), (oldest + itself) * tokens
    return _whole(low, high, full, full_stop, BLOCK)


@triton.jit
def keys_of_rows(row, context, tokens, segment, window, CAUSAL: tl.constexpr):
    """For each query: the range [low, high) of the context that it sees, and the start of its own frame."""
    low, high, own = row * 0, row * 0 + context, row // tokens * tokens
    if CAUSAL:
        low, high = tl.maximum(own - (window - 1) * tokens, 0), own + tl.where(segment == 0, tokens, 0)
    return low, high, own


@triton.jit
def queries_of_block(start, stop, context, tokens, later, window, BLOCK: tl.constexpr, CAUSAL: tl.constexpr):
    """The queries of a segment that see keys [start, stop); ranges as in `keys_of_block`.

    `later` is 1 for queries of copies, which see only frames before their own, and 0 where a frame sees
    itself.
    """
    low, high, full, full_stop = 0, context, 0, context
    if CAUSAL:
        oldest, newest = start // tokens, (stop - 1) // tokens
        low, full = (oldest + later) * tokens, (newest + later) * tokens
        high = tl.maximum(tl.minimum((newest + window) * tokens, context), low)
        full_stop = tl.minimum((oldest + window) * tokens, context)
    return _whole(low, high, full, full_stop, BLOCK)


@triton.jit
def queries_of_rows(row, context, tokens, later, window, CAUSAL: tl.constexpr):
    """For each key: the range [low, high) of queries of a segment that see it."""
    low, high = row * 0, row * 0 + context
    if CAUSAL:
        frame = row // tokens
        low, high = (frame + later) * tokens, (frame + window) * tokens
    return low, high


@triton.jit
def load_rows(ptr, step, at, stop, D: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr):
    """Rows [at, at + BLOCK) of one head `(BLOCK, D)`; if masked, 0 from `stop` on."""
    index = tl.arange(0, BLOCK)
    pointers = ptr + tl.cast(at, tl.int64) * step + index[:, None] * step + tl.arange(0, D)[None, :]
    if MASKED:
        return tl.load(pointers, mask=(at + index < stop)[:, None], other=0.0)
    return tl.load(pointers)


@triton.jit
def load_values(ptr, at, stop, BLOCK: tl.constexpr, MASKED: tl.constexpr):
    """One value for each row `(BLOCK,)`; if masked, 0 from `stop` on."""
    index = tl.arange(0, BLOCK)
    if MASKED:
        return tl.load(ptr + at + index, mask=at + index < stop, other=0.0)
    return tl.load(ptr + at + index)


@triton.jit
def seen(at, stop, low, high, BLOCK: tl.constexpr):
    """`(rows, BLOCK)`, True where `at + column` is before `stop` and in the row's [low, high)."""
    position = at + tl.arange(0, BLOCK)
    return (position[None, :] >= low[:, None]) & (position[None, :] < tl.minimum(high, stop)[:, None])
