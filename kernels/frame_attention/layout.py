"""Which tokens are of which frame, and which frames see which."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Layout(NamedTuple):
    """See `worldsim.kernels.frame_attention.frame_attention`.

    Attributes:
        tokens: per frame, where all clips have as many.
        causal: whether frames see no later ones.
        window: frames a frame sees, itself included.
        sinks: first frames that are seen for ever.
        copies: blocks of noisy copies after the context.
        offsets: `(clips + 1,)` int32, of the first token of each packed clip; None where every row is one clip.
        clip_tokens: `(clips,)` int32 tokens per frame of each packed clip; None where `tokens` says it.
    """

    tokens: int
    causal: bool
    window: int
    sinks: int
    copies: int
    offsets: Tensor | None
    clip_tokens: Tensor | None
