"""Arithmetic on positions that the kernels share: where a program works, and what its block sees or is seen by.

Tokens are numbered within a segment, which is the context of a clip or one of its copies. What a token sees of the context is one
stretch of it, [low, high), and the sinks. What sees a token of the context is one stretch of the context and of each copy.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Numbers that differ from clip to clip and should not each compile a kernel of their own.
PLAIN = ["length", "tokens", "clips", "window", "sinks", "group"]


@triton.jit
def place(
    pid, offsets_ptr, clip_tokens_ptr, length, tokens, clips, COPIES: tl.constexpr, BLOCK: tl.constexpr, CLIPS: tl.constexpr
):
    """Where this program works: its clip's first token, the clip's context in tokens, tokens per frame, segment, first token.

    With `CLIPS` (a power of two, at least as many as there are), clips are packed and have any number of blocks each; for
    programs beyond the last block the context has no tokens.
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
    """Cuts [full, full_stop) to whole blocks; without one, the edges [low, full) and [full_stop, high) become one."""
    blocks = tl.maximum(full_stop - full, 0) // BLOCK
    full = tl.where(blocks > 0, full, high)
    return low, high, full, full + blocks * BLOCK


@triton.jit
def seen_by(start, stop, context, tokens, segment, window, sinks, BLOCK: tl.constexpr, CAUSAL: tl.constexpr):
    """What queries [start, stop) of a segment see of the context: first the sinks, whose number of tokens is returned last.

    Then the stretch [low, high) of all that any of them sees, and in it [full, full_stop), whole blocks that each of them sees.
    """
    low, high, full, full_stop, sunk = 0, context, 0, context, 0
    if CAUSAL:
        itself = (segment == 0).to(tl.int32)
        oldest, newest = start // tokens, (stop - 1) // tokens
        high = (newest + itself) * tokens
        sunk = tl.minimum(tl.minimum(sinks, context // tokens) * tokens, high)
        low = tl.maximum((oldest - window + 1) * tokens, sunk)
        high = tl.maximum(high, low)
        full, full_stop = tl.maximum((newest - window + 1) * tokens, low), (oldest + itself) * tokens
    low, high, full, full_stop = _whole(low, high, full, full_stop, BLOCK)
    return low, high, full, full_stop, sunk


@triton.jit
def rows_see(row, context, tokens, segment, window, CAUSAL: tl.constexpr):
    """The stretch [low, high) of the context that each of these queries sees besides sinks, and where its own frame begins."""
    low, high, own = row * 0, row * 0 + context, row // tokens * tokens
    if CAUSAL:
        low, high = tl.maximum(own - (window - 1) * tokens, 0), own + tl.where(segment == 0, tokens, 0)
    return low, high, own


@triton.jit
def seeing(start, stop, context, tokens, later, window, sinks, BLOCK: tl.constexpr, CAUSAL: tl.constexpr):
    """Which queries of a segment see keys [start, stop): [low, high) see any of them, [full, full_stop) see each; whole blocks.

    `later` is 1 for queries of copies, which see only frames before their own, and 0 where a frame sees itself.
    """
    low, high, full, full_stop = 0, context, 0, context
    if CAUSAL:
        oldest, newest = start // tokens, (stop - 1) // tokens
        low, full = (oldest + later) * tokens, (newest + later) * tokens
        high = tl.where(oldest < sinks, context, tl.minimum((newest + window) * tokens, context))
        last = tl.minimum((tl.maximum(oldest, sinks) + window) * tokens, context)
        full_stop = tl.where(newest < sinks, context, last)
        high = tl.maximum(high, low)
    return _whole(low, high, full, full_stop, BLOCK)


@triton.jit
def rows_seen(row, context, tokens, later, window, sinks, CAUSAL: tl.constexpr):
    """The stretch [low, high) of queries of a segment that see each of these keys."""
    low, high = row * 0, row * 0 + context
    if CAUSAL:
        frame = row // tokens
        low = (frame + later) * tokens
        high = tl.where(frame < sinks, context, (frame + window) * tokens)
    return low, high


@triton.jit
def load_rows(ptr, step, at, stop, D: tl.constexpr, BLOCK: tl.constexpr, MASKED: tl.constexpr):
    """Rows [at, at + BLOCK) of one head; if masked, 0 from `stop` on."""
    index = tl.arange(0, BLOCK)
    pointers = ptr + tl.cast(at, tl.int64) * step + index[:, None] * step + tl.arange(0, D)[None, :]
    if MASKED:
        return tl.load(pointers, mask=(at + index < stop)[:, None], other=0.0)
    return tl.load(pointers)


@triton.jit
def load_numbers(ptr, at, stop, BLOCK: tl.constexpr, MASKED: tl.constexpr):
    """One number for each row."""
    index = tl.arange(0, BLOCK)
    if MASKED:
        return tl.load(ptr + at + index, mask=at + index < stop, other=0.0)
    return tl.load(ptr + at + index)


@triton.jit
def seen(at, stop, low, high, BLOCK: tl.constexpr):
    """`(rows, BLOCK)`: which of the positions from `at` on lie before `stop` and in each row's [low, high)."""
    position = at + tl.arange(0, BLOCK)
    return (position[None, :] >= low[:, None]) & (position[None, :] < tl.minimum(high, stop)[:, None])
