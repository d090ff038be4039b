"""The blocks of the transformer: attention over space, time or both, and a gated feed-forward layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.kernels.qkv_write import qkv_write
from worldsim.kernels.ring_attention import ring_attention
from worldsim.kernels.temporal_decode import temporal_decode
from worldsim.model import rope
from worldsim.model.attention import EPS, Layout, attend, attend_prompted, modulate, normalize
from worldsim.model.linear import Linear
from worldsim.model.ring import Ring

if TYPE_CHECKING:
    from worldsim.model.dit import DiTConfig


class Attention(nn.Module):
    def __init__(self, config: DiTConfig, layer: int, device: torch.device):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.kind = config.kind(layer)
        self.slot = sum(config.kind(i) != "space" for i in range(layer))
        self.qkv = Linear(config.width, (config.heads + 2 * config.kv_heads) * config.head_dim, device, bias=False)
        self.out = Linear(config.width, config.width, device, bias=False)
        self.query_norm = nn.RMSNorm(config.head_dim, eps=EPS, device=device, dtype=torch.float32)
        self.key_norm = nn.RMSNorm(config.head_dim, eps=EPS, device=device, dtype=torch.float32)
        prompt = 2 * config.kv_heads * config.head_dim
        self.prompt_kv = Linear(config.width, prompt, device, bias=False) if config.prompt and self.kind != "time" else None

    def forward(self, x_BTNC: Tensor, layout: Layout, ring: Ring | None, prompt_BLC: Tensor | None) -> Tensor:
        if ring is not None and self.kind != "space" and (self.kind == "time" or self.prompt_kv is None):
            return self.out(self._stream(x_BTNC, layout, ring).reshape(x_BTNC.shape))
        qkv = rearrange(self.qkv(x_BTNC), "b t n (h d) -> b t n h d", d=self.head_dim)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=3)
        q, k = normalize(q, self.query_norm.weight), normalize(k, self.key_norm.weight)
        cos, sin = (a.to(q.dtype) for a in (layout.space if self.kind == "space" else layout.full))
        q, k = rope.rotate(q, cos, sin), rope.rotate(k, cos, sin)
        q, k = q.to(v.dtype), k.to(v.dtype)  # autocast may keep norms in float32
        mask = None if self.kind == "space" else layout.frame_mask
        if ring is not None and self.kind != "space":
            k, v = (a.to(q.dtype) for a in ring.write(self.slot, k[:, 0], v[:, 0]))
        extra = None if self.kind == "time" else self._prompt(prompt_BLC)
        if extra is None:
            return self.out(attend(self.kind, q, k, v, layout).reshape(x_BTNC.shape))
        if self.kind == "space":
            q, k, v = (a.flatten(0, 1)[:, None] for a in (q, k, v))
        return self.out(attend_prompted(q, k, v, mask, extra).reshape(x_BTNC.shape))

    def write(self, x_BTNC: Tensor, layout: Layout, ring: Ring) -> Tensor:
        """Puts keys and values of one frame (`T` is 1) into the ring; returns its queries `(B, N, heads, D)`."""
        cos, sin = (a[:, 0, :, 0] for a in layout.full)
        keys, values = ring.keys[self.slot], ring.values[self.slot]
        norms = self.query_norm.weight, self.key_norm.weight
        return qkv_write(self.qkv(x_BTNC)[:, 0], *norms, cos, sin, keys, values, ring.position)

    def _stream(self, x_BTNC: Tensor, layout: Layout, ring: Ring) -> Tensor:
        q = self.write(x_BTNC, layout, ring)
        keys, values = ring.keys[self.slot], ring.values[self.slot]
        attend_ring = temporal_decode if self.kind == "time" else ring_attention
        return attend_ring(q.to(keys.dtype), keys, values, ring.position).to(q.dtype)

    def _prompt(self, prompt_BLC: Tensor | None) -> tuple[Tensor, Tensor] | None:
        if self.prompt_kv is None or prompt_BLC is None:
            return None
        k, v = rearrange(self.prompt_kv(prompt_BLC), "b l (two h d) -> two b l h d", two=2, d=self.head_dim)
        return normalize(k, self.key_norm.weight), v


class Trunk(NamedTuple):
    """What goes from block to block, `(B, T, N, width)`: the sum so far, and what is still to be added,
    `gate * branch`.
    """

    residual: Tensor
    branch: Tensor | None = None
    gate: Tensor | None = None


class Block(nn.Module):
    def __init__(self, config: DiTConfig, layer: int, device: torch.device):
        super().__init__()
        self.modulation = Linear(config.condition, 6 * config.width, device)
        self.attention = Attention(config, layer, device)
        self.enter = Linear(config.width, 2 * config.hidden, device, bias=False)
        self.leave = Linear(config.hidden, config.width, device, bias=False)

    def forward(
        self, x: Trunk, modulation: Tensor, layout: Layout, ring: Ring | None, prompt: Tensor | None, skipped: int = 0
    ) -> Trunk:
        """All frames attend to each other, then the first `skipped` leave."""
        shift, scale = modulation[:, :, None].chunk(6, dim=-1)[:2]
        residual, y = modulate(x.residual, shift, scale, x.branch, x.gate)
        y = self.attention(y, layout, ring, prompt)
        gate1, shift, scale, gate2 = modulation[:, skipped:, None].chunk(6, dim=-1)[2:]
        residual, y = modulate(residual[:, skipped:], shift, scale, y[:, skipped:], gate1)
        up, gate = self.enter(y).chunk(2, dim=-1)
        return Trunk(residual, self.leave(F.silu(gate) * up), gate2)

    def write(self, x: Trunk, modulation: Tensor, layout: Layout, ring: Ring) -> None:
        """Computes what the ring keeps of this layer, and nothing after it."""
        shift, scale = modulation[:, :, None].chunk(6, dim=-1)[:2]
        self.attention.write(modulate(x.residual, shift, scale, x.branch, x.gate)[1], layout, ring)
