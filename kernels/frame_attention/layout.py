"""Which tokens belong to which frame, and which frames attend to which."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Layout(NamedTuple):
    """See `worldsim.kernels.frame_attention.frame_attention`.

    Attributes:
        tokens: tokens per frame, if all clips have equally many.
        causal: whether frames attend to no later frame.
        window: number of frames that a frame attends to, itself included.
        copies: number of noisy copies after the context.
        offsets: `(clips + 1,)` int32, the first token of each packed clip; None if every row is one clip.
        clip_tokens: `(clips,)` int32, tokens per frame of each packed clip; None if `tokens` is right for
            all.
    """

    tokens: int
    causal: bool
    window: int
    copies: int
    offsets: Tensor | None
    clip_tokens: Tensor | None
