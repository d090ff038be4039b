"""The grid on which every op is measured, and whom it meets there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from worldsim.kernels import rivals
from worldsim.kernels.frame_attention import frame_attention
from worldsim.kernels.norm_modulate import norm_modulate
from worldsim.kernels.norm_modulate import reference as norm_reference
from worldsim.kernels.qkv_write import qkv_write
from worldsim.kernels.qkv_write import reference as write_reference
from worldsim.kernels.qkv_write.reference import quantize
from worldsim.kernels.ring_attention import ring_attention
from worldsim.kernels.temporal_decode import temporal_decode

OURS = "ours"
Contenders = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Duel:
    """One op at one size.

    Attributes:
        op: its name.
        about: the size, in words.
        draw: makes a set of inputs.
        contenders: by name, what they do to such a set; `OURS` among them.
        flops: floating-point operations of the products, which nobody can avoid.
        traffic: bytes that have to be read or written at least once.
    """

    op: str
    about: str
    draw: Callable[[], tuple[Tensor, ...]]
    contenders: Mapping[str, Callable[..., Any]]
    flops: float
    traffic: float


def ring_duel(tokens: int, slots: int, heads: int, groups: int, size: int, device: str, tuned: bool = False) -> Duel:
    """One frame against a full ring."""
    position = torch.full((1,), slots - 1, device=device)
    blocks = rivals.slot_blocks(slots, tokens, position)
    rebuild = partial(rivals.slot_blocks, slots, tokens)
    contenders: Contenders = {
        OURS: ring_attention,
        "SDPA flash": rivals.over_ring(rivals.sdpa(rivals.FLASH)),
        "SDPA cuDNN": rivals.over_ring(rivals.sdpa(rivals.CUDNN)),
        "SDPA efficient + mask": rivals.over_ring(rivals.sdpa(rivals.EFFICIENT), rivals.slot_mask(slots, tokens)),
        "Flex": rivals.over_ring(rivals.flex(), lambda _: blocks),
        "Flex, mask rebuilt": rivals.over_ring(rivals.flex(), rebuild),
    }
    if tuned:
        contenders["Flex max-autotune"] = rivals.over_ring(rivals.flex(tuned=True), lambda _: blocks)
    draw = partial(_draw_ring, tokens, slots, heads, groups, size, position)
    about = f"N={tokens} S={slots} H={heads}/{groups} D={size}"
    flops = 4.0 * tokens * slots * tokens * heads * size
    return Duel("ring_attention", about, draw, contenders, flops, 4.0 * tokens * size * (heads + slots * groups))


def temporal_duel(tokens: int, slots: int, heads: int, groups: int, size: int, device: str, tuned: bool = False) -> Duel:
    """One query per position against a full ring."""
    position = torch.full((1,), slots - 1, device=device)
    blocks = rivals.slot_blocks(slots, 1, position)
    contenders: Contenders = {
        OURS: temporal_decode,
        "SDPA flash": rivals.along_time(rivals.sdpa(rivals.FLASH)),
        "SDPA cuDNN": rivals.along_time(rivals.sdpa(rivals.CUDNN)),
        "SDPA efficient + mask": rivals.along_time(rivals.sdpa(rivals.EFFICIENT), rivals.slot_mask(slots, 1)),
        "Flex": rivals.along_time(rivals.flex(), lambda _: blocks),
    }
    if tuned:
        contenders["Flex max-autotune"] = rivals.along_time(rivals.flex(tuned=True), lambda _: blocks)
    draw = partial(_draw_ring, tokens, slots, heads, groups, size, position)
    about = f"N={tokens} S={slots} H={heads}/{groups} D={size}"
    flops = 4.0 * tokens * slots * heads * size
    return Duel("temporal_decode", about, draw, contenders, flops, 4.0 * tokens * size * (heads + slots * groups))


def quantised_duel(tokens: int, slots: int, heads: int, groups: int, size: int, device: str) -> Duel:
    """The same against a ring of int8, beside the best that can be done with one of bfloat16."""
    position = torch.full((1,), slots - 1, device=device)

    def draw() -> tuple[Tensor, ...]:
        q, keys, values, _ = _draw_ring(tokens, slots, heads, groups, size, position)
        return q, position, *quantize(keys, torch.int8), *quantize(values, torch.int8)

    def ours(q: Tensor, position: Tensor, keys: Tensor, key_scale: Tensor, values: Tensor, value_scale: Tensor) -> Tensor:
        return temporal_decode(q, keys, values, position, key_scale=key_scale, value_scale=value_scale)

    def spread(q: Tensor, position: Tensor, keys: Tensor, key_scale: Tensor, values: Tensor, value_scale: Tensor) -> Tensor:
        k, v = ((a * scale[..., None]).to(q.dtype) for a, scale in ((keys, key_scale), (values, value_scale)))
        return rivals.along_time(rivals.sdpa(rivals.FLASH))(q, k, v, position)

    contenders: Contenders = {OURS: ours, "dequantise + SDPA flash": spread}
    traffic = 4.0 * tokens * heads * size + 2.0 * slots * tokens * groups * (size + 4)
    about = f"int8 N={tokens} S={slots} H={heads}/{groups} D={size}"
    return Duel("temporal_decode", about, draw, contenders, 4.0 * tokens * slots * heads * size, traffic)


def write_duel(tokens: int, slots: int, heads: int, groups: int, size: int, device: str) -> Duel:
    """From the projection of one frame to queries and ring."""
    position = torch.full((1,), 7, device=device)

    def draw() -> tuple[Tensor, ...]:
        _, keys, values, _ = _draw_ring(tokens, slots, heads, groups, size, position)
        qkv = torch.randn(1, tokens, (heads + 2 * groups) * size, device=device, dtype=torch.bfloat16)
        weights = torch.ones(2, size, device=device, dtype=torch.bfloat16)
        angles = torch.rand(2, 1, tokens, size // 2, device=device)
        return qkv, *weights, *angles, keys, values, position

    eager = partial(write_reference.qkv_write, sinks=0, eps=1e-6, key_scale=None, value_scale=None)
    contenders: Contenders = {OURS: qkv_write, "eager": eager, "Inductor": rivals.inductor(eager)}
    traffic = 4.0 * tokens * (heads + 2 * groups) * size + 4.0 * tokens * size
    return Duel("qkv_write", f"N={tokens} S={slots} H={heads}/{groups} D={size}", draw, contenders, 0, traffic)


def modulate_duel(batch: int, frames: int, tokens: int, width: int, device: str, train: bool) -> Duel:
    """The adaLN step between two sublayers, forward or with its backward pass."""

    def draw() -> tuple[Tensor, ...]:
        x, branch = torch.randn(2, batch, frames, tokens, width, device=device, dtype=torch.bfloat16)
        shift, scale, gate = torch.randn(3, batch, frames, 1, width, device=device, dtype=torch.bfloat16)
        return tuple(a.detach().requires_grad_(train) for a in (x, shift, scale, branch, gate))

    eager = partial(norm_reference.norm_modulate, eps=1e-6)
    contenders: Contenders = {OURS: norm_modulate, "eager": eager, "Inductor": rivals.inductor(eager)}
    if train:
        contenders = {name: rivals.trained(run) for name, run in contenders.items()}
    passes = 10 if train else 4  # of a tensor like x through memory: 2 read and 2 written, then 4 read and 2 written
    about = f"{'forward + backward' if train else 'forward'} B={batch} T={frames} N={tokens} W={width}"
    return Duel("norm_modulate", about, draw, contenders, 0, 2.0 * passes * batch * frames * tokens * width)


def frame_duel(
    frames: int, tokens: int, heads: int, groups: int, size: int, device: str, causal: bool = True, tuned: bool = False
) -> Duel:
    """Whole clips, forward and backward: causal in a window of all frames, or in both directions."""
    length = frames * tokens

    def draw() -> tuple[Tensor, ...]:
        projection = torch.randn(2, length, heads + 2 * groups, size, device=device, dtype=torch.bfloat16)
        return tuple(a.contiguous().requires_grad_() for a in projection.split((heads, groups, groups), dim=2))

    contenders: Contenders = {OURS: partial(frame_attention, tokens_per_frame=tokens, causal=causal)}
    if causal:
        blocks = rivals.frame_blocks(length, tokens, frames, device)
        mask = rivals.frame_mask(length, tokens, frames, device)
        contenders["SDPA efficient + mask"] = rivals.over_frames(rivals.sdpa(rivals.EFFICIENT), mask)
        contenders["Flex"] = rivals.over_frames(rivals.flex(), blocks)
        if tuned:
            contenders["Flex max-autotune"] = rivals.over_frames(rivals.flex(tuned=True), blocks)
    else:
        contenders["SDPA flash"] = rivals.over_frames(rivals.sdpa(rivals.FLASH))
        contenders["SDPA cuDNN"] = rivals.over_frames(rivals.sdpa(rivals.CUDNN))
    pairs = tokens**2 * (frames * (frames + 1) / 2 if causal else frames**2)
    traffic = 2.0 * 2 * length * size * (5 * heads + 8 * groups)  # read twice, written once: q, k, v, out and gradients
    about = f"{'causal' if causal else 'bidirectional'} T={frames} N={tokens} H={heads}/{groups} D={size}"
    contenders = {name: rivals.trained(run) for name, run in contenders.items()}
    return Duel("frame_attention", about, draw, contenders, 2 * 14.0 * pairs * heads * size, traffic)


def grid(device: str = "cuda") -> Iterator[Callable[[], Duel]]:
    """Every op at the sizes of a 360p world, and around them. Each entry makes its duel when called."""
    for tokens in (64, 128, 256, 512, 2048):
        yield partial(ring_duel, tokens, 32, 16, 4, 64, device, tuned=tokens == 256)
    yield partial(ring_duel, 256, 32, 16, 16, 64, device)
    for tokens, slots in ((256, 32), (1024, 32), (1024, 128)):
        yield partial(temporal_duel, tokens, slots, 16, 16, 64, device, tuned=slots == 128)
    yield partial(temporal_duel, 1024, 32, 16, 4, 64, device)
    yield partial(quantised_duel, 1024, 32, 16, 16, 64, device)
    for tokens in (256, 1024):
        yield partial(write_duel, tokens, 32, 16, 4, 64, device)
    yield partial(modulate_duel, 1, 1, 256, 1024, device, False)
    yield partial(modulate_duel, 2, 32, 256, 1024, device, True)
    for tokens in (100, 240, 256):
        yield partial(frame_duel, 16, tokens, 16, 4, 64, device, tuned=tokens == 256)
    yield partial(frame_duel, 16, 256, 16, 4, 64, device, causal=False)


def _draw_ring(tokens: int, slots: int, heads: int, groups: int, size: int, position: Tensor) -> tuple[Tensor, ...]:
    options: dict[str, Any] = {"device": position.device, "dtype": torch.bfloat16}
    keys, values = torch.randn(2, 1, slots, tokens, groups, size, **options)
    return torch.randn(1, tokens, heads, size, **options), keys, values, position
