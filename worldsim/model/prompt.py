"""Prompts: word vectors to the tokens that frames attend to, and a summary that conditions every layer.

Words are static vectors; which of them belong together (a soldier, on the left) is worked out by a few layers of
self-attention over the prompt, once for a whole clip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.model.attention import EPS
from worldsim.model.linear import Linear

if TYPE_CHECKING:
    from worldsim.model.dit import DiTConfig


class Said(NamedTuple):
    """A prompt as the blocks take it: tokens `(B, L, width)`, and a summary `(B, 1, condition)`."""

    tokens: Tensor
    summary: Tensor


class PromptLayer(nn.Module):
    """Self-attention over the words, then a feed-forward layer of twice the width."""

    def __init__(self, width: int, heads: int, device: torch.device):
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width, device, bias=False)
        self.out = Linear(width, width, device, bias=False)
        self.enter = Linear(width, 2 * width, device)
        self.leave = Linear(2 * width, width, device)

    def forward(self, x_BLC: Tensor) -> Tensor:
        shape = x_BLC.shape[-1:]
        q, k, v = rearrange(self.qkv(F.rms_norm(x_BLC, shape, None, EPS)), "b l (s h d) -> s b h l d", s=3, h=self.heads)
        x_BLC = x_BLC + self.out(rearrange(F.scaled_dot_product_attention(q, k, v), "b h l d -> b l (h d)"))
        return x_BLC + self.leave(F.silu(self.enter(F.rms_norm(x_BLC, shape, None, EPS))))


class PromptEncoder(nn.Module):
    """See the module. A place without a word, all zeros, becomes a learned vector; so does each of a prompt that is absent."""

    def __init__(self, config: DiTConfig, device: torch.device):
        super().__init__()
        self.size = config.prompt_length, config.prompt
        self.enter = Linear(config.prompt, config.width, device)
        self.place = nn.Parameter(torch.zeros(config.prompt_length, config.width, device=device, dtype=torch.float32))
        self.empty = nn.Parameter(torch.zeros(config.width, device=device, dtype=torch.float32))
        self.layers = nn.ModuleList(PromptLayer(config.width, config.heads, device) for _ in range(config.prompt_layers))
        self.summary = Linear(config.width, config.condition, device)

    def forward(self, prompt: Tensor | None, batch: int) -> Said:
        """Word vectors `(B', L, prompt)`, `batch` a multiple of `B'`, or None -> what the blocks take."""
        weight = self.enter.weight
        if prompt is None:
            prompt = torch.zeros(1, *self.size, device=weight.device, dtype=weight.dtype)
        prompt = prompt.to(weight.dtype)
        prompt = prompt.repeat_interleave(batch // len(prompt), 0)
        absent = (prompt == 0).all(-1, keepdim=True)
        x = torch.where(absent, self.empty.to(weight.dtype), self.enter(prompt)) + self.place.to(weight.dtype)
        for layer in self.layers:
            x = layer(x)
        return Said(F.rms_norm(x, x.shape[-1:], None, EPS), self.summary(x.mean(1, keepdim=True)))
