"""One streaming call of the DiT as a function of tensors alone, for engines that compile static graphs.

`DiT.forward` writes keys and values into the ring while it runs. Here the ring is an input, the slot of the current frame is
masked, and the frame's own keys and values join the attention beside it and come out as results. The values are the same to
rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.model import rope
from worldsim.model.blocks import Attention, Block
from worldsim.model.dit import DiT
from worldsim.world.runtimes.quantize import Ranges, quantized_linear

EPS = 1e-6
MASKED = -1e9  # added to attention logits of slots that hold no past frame


class StepGraph(nn.Module):
    """One or two frames per row against a ring of past frames; see `forward`.

    Args:
        dit: the dynamics, in float32.
        grid: latent grid `(h, w)`.
        ranges: largest activations by name of linear layer; those layers compute in int8. None for float32 throughout.
    """

    def __init__(self, dit: DiT, grid: tuple[int, int], ranges: Ranges | None = None):
        super().__init__()
        self.dit, self.ranges = dit, ranges or {}
        self.temporal = [i for i in range(dit.config.depth) if dit.config.kind(i) != "space"]
        space = F.pad(rope.space_angles(*grid, dit.row_speeds, dit.column_speeds), (0, 0, 1, 0))
        still = F.pad(space, (dit.time_speeds.shape[0], 0))
        self.register_buffer("space", space)
        self.register_buffer("still_cos", still.cos()[:, None])
        self.register_buffer("still_sin", still.sin()[:, None])

    space: Tensor
    still_cos: Tensor
    still_sin: Tensor

    def forward(
        self,
        z: Tensor,
        controls: Tensor,
        level: Tensor,
        step_size: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
        angles: Tensor,
        shown: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """All float32, except that the ring may be bfloat16. `F` is 1, or 2 to write a finished frame and imagine the next.

        Args:
            z: noisy latents `(B, F, h, w, C)`.
            controls: `(B, F, A)`, in the model's units.
            level: noise level `(B, F)`.
            step_size: `(B, F)`.
            keys, values: of the ring, `(layers, B, S, N, G, D)`.
            mask: `(B, F, S + F - 1)`, 0 for what a frame sees and `MASKED` for the rest: the slots of the ring, then the frames
                before it in this call. Every frame sees itself.
            angles: time angles `(B, F, pairs)` of the frames.
            shown: of a model that `reveals`, codewords drawn so far `(B, F, h, w, C + 1)`.

        Returns:
            Keys and values of the first frame `(layers, B, N, G, D)`; and of the last one clean latents `(B, h * w, C)`,
            reward logits `(B, bins)`, end logit `(B, 1)` and, with codewords, their logits `(B, h * w, codes)`.
        """
        dit, tokens, frames = self.dit, self.space.shape[0], z.shape[1]
        condition = dit.condition(level, step_size, controls)
        x = dit.embed(z, controls, shown)
        full = torch.cat([angles[:, :, None].expand(-1, -1, tokens, -1), self.space.expand(*z.shape[:2], -1, -1)], dim=-1)
        turned = full.cos()[..., None, :], full.sin()[..., None, :]
        new_keys: list[Tensor] = []
        new_values: list[Tensor] = []
        for i, block in enumerate(dit.blocks):
            assert isinstance(block, Block)
            shift1, scale1, gate1, shift2, scale2, gate2 = block.modulation(condition)[:, :, None].chunk(6, dim=-1)
            y = normalize(x) * (1 + scale1) + shift1
            q, k, v = self._qkv(i, block.attention, y, turned)
            if i in self.temporal:
                slot = len(new_keys)
                new_keys.append(k[:, 0])
                new_values.append(v[:, 0])
                y = self._attend(block.attention.kind, q, k, v, keys[slot], values[slot], mask)
            else:
                y = attend_space(*(part.flatten(0, 1) for part in (q, k, v))).unflatten(0, (-1, q.shape[1]))
            if i == self.temporal[-1] and frames > 1:  # from here on nobody sees the frames before the last
                x, y, condition = x[:, -1:], y[:, -1:], condition[:, -1:]
                gate1, shift2, scale2, gate2 = (part[:, -1:] for part in (gate1, shift2, scale2, gate2))
            x = x + gate1 * self._linear(f"blocks.{i}.attention.out", block.attention.out, y.flatten(3))
            y = normalize(x) * (1 + scale2) + shift2
            up, gate = self._linear(f"blocks.{i}.enter", block.enter, y).chunk(2, dim=-1)
            x = x + gate2 * self._linear(f"blocks.{i}.leave", block.leave, F.silu(gate) * up)
        written = torch.stack(new_keys), torch.stack(new_values)
        return *written, *self._heads(x[:, -1], condition[:, -1])

    def _attend(self, kind: str, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attention of frames `(B, F, N, H, D)` over the ring, the frames before them, and themselves."""
        seen, slots = attend_time if kind == "time" else attend_joint, keys.shape[1]
        keys, values = keys.float(), values.float()
        made = [
            seen(q[:, f], k[:, : f + 1], v[:, : f + 1], keys, values, F.pad(mask[:, f, : slots + f], (0, 1)))
            for f in range(q.shape[1])
        ]
        return torch.stack(made, dim=1)

    def _heads(self, x: Tensor, condition: Tensor) -> tuple[Tensor, ...]:
        """Of one frame `(B, N, width)`, with its condition `(B, condition)`."""
        dit = self.dit
        shift, scale = dit.final_modulation(condition)[:, None].chunk(2, dim=-1)
        y = normalize(x) * (1 + scale) + shift
        patches, readout = y[:, 1:], y[:, 0]
        code = () if dit.code_head is None else (dit.code_head(patches),)
        return dit.final(patches), dit.reward_head(readout), dit.end_head(readout), *code

    def _qkv(self, layer: int, attention: Attention, y: Tensor, turned: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries `(B, F, N, H, D)`, keys and values `(B, F, N, G, D)`, normed and rotated."""
        heads, groups = attention.heads, attention.kv_heads
        qkv = self._linear(f"blocks.{layer}.attention.qkv", attention.qkv, y).unflatten(
            -1, (heads + 2 * groups, attention.head_dim)
        )
        q, k, v = qkv.split((heads, groups, groups), dim=-2)
        q, k = normalize(q) * attention.query_norm.weight, normalize(k) * attention.key_norm.weight
        cos, sin = (self.still_cos, self.still_sin) if attention.kind == "space" else turned
        return rope.rotate(q, cos, sin), rope.rotate(k, cos, sin), v

    def _linear(self, name: str, linear: nn.Linear, x: Tensor) -> Tensor:
        return quantized_linear(x, linear, self.ranges[name]) if name in self.ranges else linear(x)


def normalize(x: Tensor) -> Tensor:
    """RMS norm over the last axis."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)


def attend_space(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention inside a frame: `q` `(B, N, H, D)`, `k`, `v` `(B, N, G, D)` -> `(B, N, H, D)`."""
    q, k, v = (a.transpose(1, 2) for a in (q, *_shared(q, k, v)))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def attend_time(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention along each position: `q` `(B, N, H, D)` over the ring `(B, S, N, G, D)` and frames `k`, `v` `(B, P, N, G, D)`.

    Ring and frames are added apart: joining them would copy the ring, whose size is what this costs. `mask` is `(B, S + P)`.
    """
    batch, tokens, heads, size = q.shape
    groups, slots = k.shape[3], keys.shape[1]
    q = (q * size**-0.5).reshape(batch, 1, tokens, groups, heads // groups, size)
    scores = [(q * part[:, :, :, :, None]).sum(-1) for part in (keys, k)]
    weights = (torch.cat(scores, dim=1) + mask[:, :, None, None, None]).softmax(1)[..., None]
    past = (weights[:, :slots] * values[:, :, :, :, None]).sum(1)
    return (past + (weights[:, slots:] * v[:, :, :, :, None]).sum(1)).reshape(batch, tokens, heads, size)


def attend_joint(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention over all tokens of the ring and of the frames; shapes as for `attend_time`."""
    k, v = (torch.cat([ring, frames], dim=1).flatten(1, 2) for ring, frames in ((keys, k), (values, v)))
    seen = mask.repeat_interleave(q.shape[1], 1)[:, None, None]
    q, k, v = (a.transpose(1, 2) for a in (q, *_shared(q, k, v)))
    return F.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2)


def _shared(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values once per query head, where several share one."""
    times = q.shape[2] // k.shape[2]
    return (k, v) if times == 1 else (k.repeat_interleave(times, 2), v.repeat_interleave(times, 2))
