"""What the benchmark compares: each op with other implementations of it, at a range of sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from worldsim.kernels import baselines
from worldsim.kernels.frame_attention import frame_attention
from worldsim.kernels.norm_modulate import norm_modulate
from worldsim.kernels.norm_modulate import reference as norm_reference
from worldsim.kernels.qkv_write import qkv_write
from worldsim.kernels.qkv_write import reference as write_reference
from worldsim.kernels.qkv_write.reference import quantize
from worldsim.kernels.ring_attention import ring_attention
from worldsim.kernels.temporal_decode import temporal_decode

OURS = "ours"
Implementations = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Comparison:
    """One op at one size.

    Attributes:
        op: name of the op.
        size: the size, as text.
        draw: returns random inputs.
        implementations: functions of these inputs, by name; one of them is `OURS`.
        flops: floating-point operations of the matrix products.
        traffic: bytes that any implementation must read or write.
    """

    op: str
    size: str
    draw: Callable[[], tuple[Tensor, ...]]
    implementations: Mapping[str, Callable[..., Any]]
    flops: float
    traffic: float


def compare_ring_attention(
    tokens: int, slots: int, heads: int, groups: int, size: int, device: str, tuned: bool = False
) -> Comparison:
    """`ring_attention` with a full ring."""
    position = torch.full((1,), slots - 1, dtype=torch.int64, device=device)
    blocks = baselines.slot_blocks(slots, tokens, position)
    rebuild = partial(baselines.slot_blocks, slots, tokens)
    implementations: Implementations = {
        OURS: ring_attention,
        "SDPA flash": baselines.over_ring(baselines.sdpa(baselines.FLASH)),
        "SDPA cuDNN": baselines.over_ring(baselines.sdpa(baselines.CUDNN)),
        "SDPA efficient + mask": baselines.over_ring(baselines.sdpa(baselines.EFFICIENT), baselines.slot_mask(slots, tokens)),
        "Flex": baselines.over_ring(baselines.flex(), lambda _: blocks),
        "Flex, mask rebuilt": baselines.over_ring(baselines.flex(), rebuild),
    }
    if tuned:
        implementations["Flex max-autotune"] = baselines.over_ring(baselines.flex(tuned=True), lambda _: blocks)
    draw = partial(_draw_ring, tokens, slots, heads, groups, size, position)
    label = f"N={tokens} S={slots} H={heads}/{groups} D={size}"
    flops = 4.0 * tokens * slots * tokens * heads * size
    return Comparison("ring_attention", label, draw, implementations, flops, 4.0 * tokens * size * (heads + slots * groups))


def compare_temporal_decode(
    tokens: int, slots: int, heads: int, groups: int, size: int, device: str, tuned: bool = False
) -> Comparison:
    """`temporal_decode` with a full ring."""
    position = torch.full((1,), slots - 1, dtype=torch.int64, device=device)
    blocks = baselines.slot_blocks(slots, 1, position)
    implementations: Implementations = {
        OURS: temporal_decode,
        "SDPA flash": baselines.along_time(baselines.sdpa(baselines.FLASH)),
        "SDPA cuDNN": baselines.along_time(baselines.sdpa(baselines.CUDNN)),
        "SDPA efficient + mask": baselines.along_time(baselines.sdpa(baselines.EFFICIENT), baselines.slot_mask(slots, 1)),
        "Flex": baselines.along_time(baselines.flex(), lambda _: blocks),
    }
    if tuned:
        implementations["Flex max-autotune"] = baselines.along_time(baselines.flex(tuned=True), lambda _: blocks)
    draw = partial(_draw_ring, tokens, slots, heads, groups, size, position)
    label = f"N={tokens} S={slots} H={heads}/{groups} D={size}"
    flops = 4.0 * tokens * slots * heads * size
    return Comparison("temporal_decode", label, draw, implementations, flops, 4.0 * tokens * size * (heads + slots * groups))


def compare_int8_decode(tokens: int, slots: int, heads: int, groups: int, size: int, device: str) -> Comparison:
    """`temporal_decode` with an int8 ring, against dequantising the ring to bfloat16 first."""
    position = torch.full((1,), slots - 1, dtype=torch.int64, device=device)

    def draw() -> tuple[Tensor, ...]:
        q, keys, values, _ = _draw_ring(tokens, slots, heads, groups, size, position)
        return q, position, *quantize(keys), *quantize(values)

    def ours(q: Tensor, position: Tensor, keys: Tensor, key_scale: Tensor, values: Tensor, value_scale: Tensor) -> Tensor:
        return temporal_decode(q, keys, values, position, key_scale=key_scale, value_scale=value_scale)

    def dequantised(q: Tensor, position: Tensor, keys: Tensor, key_scale: Tensor, values: Tensor, value_scale: Tensor) -> Tensor:
        k, v = ((a * scale[..., None]).to(q.dtype) for a, scale in ((keys, key_scale), (values, value_scale)))
        return baselines.along_time(baselines.sdpa(baselines.FLASH))(q, k, v, position)

    implementations: Implementations = {OURS: ours, "dequantise + SDPA flash": dequantised}
    traffic = 4.0 * tokens * heads * size + 2.0 * slots * tokens * groups * (size + 4)
    label = f"int8 N={tokens} S={slots} H={heads}/{groups} D={size}"
    return Comparison("temporal_decode", label, draw, implementations, 4.0 * tokens * slots * heads * size, traffic)


def compare_qkv_write(tokens: int, slots: int, heads: int, groups: int, size: int, device: str) -> Comparison:
    """`qkv_write`."""
    position = torch.full((1,), 7, dtype=torch.int64, device=device)

    def draw() -> tuple[Tensor, ...]:
        _, keys, values, _ = _draw_ring(tokens, slots, heads, groups, size, position)
        qkv = torch.randn(1, tokens, (heads + 2 * groups) * size, device=device, dtype=torch.bfloat16)
        weights = torch.ones(2, size, device=device, dtype=torch.bfloat16)
        angles = torch.rand(2, 1, tokens, size // 2, dtype=torch.float32, device=device)
        return qkv, *weights, *angles, keys, values, position

    eager = partial(write_reference.qkv_write, eps=1e-6, key_scale=None, value_scale=None)
    implementations: Implementations = {OURS: qkv_write, "eager": eager, "Inductor": baselines.inductor(eager)}
    traffic = 4.0 * tokens * (heads + 2 * groups) * size + 4.0 * tokens * size
    return Comparison("qkv_write", f"N={tokens} S={slots} H={heads}/{groups} D={size}", draw, implementations, 0, traffic)


def compare_norm_modulate(batch: int, frames: int, tokens: int, width: int, device: str, train: bool) -> Comparison:
    """`norm_modulate`, forward only or with its backward pass."""

    def draw() -> tuple[Tensor, ...]:
        x, branch = torch.randn(2, batch, frames, tokens, width, device=device, dtype=torch.bfloat16)
        shift, scale, gate = torch.randn(3, batch, frames, 1, width, device=device, dtype=torch.bfloat16)
        return tuple(a.detach().requires_grad_(train) for a in (x, shift, scale, branch, gate))

    eager = partial(norm_reference.norm_modulate, eps=1e-6)
    implementations: Implementations = {OURS: norm_modulate, "eager": eager, "Inductor": baselines.inductor(eager)}
    if train:
        implementations = {name: baselines.trained(run) for name, run in implementations.items()}
    passes = 10 if train else 4  # over tensors of the size of x: forward reads 2 and writes 2, backward reads 4 and writes 2
    label = f"{'forward + backward' if train else 'forward'} B={batch} T={frames} N={tokens} W={width}"
    return Comparison("norm_modulate", label, draw, implementations, 0, 2.0 * passes * batch * frames * tokens * width)


def compare_frame_attention(
    frames: int, tokens: int, heads: int, groups: int, size: int, device: str, causal: bool = True, tuned: bool = False
) -> Comparison:
    """`frame_attention`, forward and backward: causal with a window of all frames, or bidirectional."""
    length = frames * tokens

    def draw() -> tuple[Tensor, ...]:
        projection = torch.randn(2, length, heads + 2 * groups, size, device=device, dtype=torch.bfloat16)
        return tuple(a.contiguous().requires_grad_() for a in projection.split((heads, groups, groups), dim=2))

    implementations: Implementations = {OURS: partial(frame_attention, tokens_per_frame=tokens, causal=causal)}
    if causal:
        blocks = baselines.frame_blocks(length, tokens, frames, device)
        mask = baselines.frame_mask(length, tokens, frames, device)
        implementations["SDPA efficient + mask"] = baselines.over_frames(baselines.sdpa(baselines.EFFICIENT), mask)
        implementations["Flex"] = baselines.over_frames(baselines.flex(), blocks)
        if tuned:
            implementations["Flex max-autotune"] = baselines.over_frames(baselines.flex(tuned=True), blocks)
    else:
        implementations["SDPA flash"] = baselines.over_frames(baselines.sdpa(baselines.FLASH))
        implementations["SDPA cuDNN"] = baselines.over_frames(baselines.sdpa(baselines.CUDNN))
    pairs = tokens**2 * (frames * (frames + 1) / 2 if causal else frames**2)
    traffic = 2.0 * 2 * length * size * (5 * heads + 8 * groups)  # q, k, v, out and their gradients: read twice, written once
    label = f"{'causal' if causal else 'bidirectional'} T={frames} N={tokens} H={heads}/{groups} D={size}"
    implementations = {name: baselines.trained(run) for name, run in implementations.items()}
    return Comparison("frame_attention", label, draw, implementations, 2 * 14.0 * pairs * heads * size, traffic)


def grid(device: str = "cuda") -> Iterator[Callable[[], Comparison]]:
    """Every op at the sizes of a 360p world and at some around them.

    Each entry returns its comparison when called.
    """
    for tokens in (64, 128, 256, 512, 2048):
        yield partial(compare_ring_attention, tokens, 32, 16, 4, 64, device, tuned=tokens == 256)
    yield partial(compare_ring_attention, 256, 32, 16, 16, 64, device)
    for tokens, slots in ((256, 32), (1024, 32), (1024, 128)):
        yield partial(compare_temporal_decode, tokens, slots, 16, 16, 64, device, tuned=slots == 128)
    yield partial(compare_temporal_decode, 1024, 32, 16, 4, 64, device)
    yield partial(compare_int8_decode, 1024, 32, 16, 16, 64, device)
    for tokens in (256, 1024):
        yield partial(compare_qkv_write, tokens, 32, 16, 4, 64, device)
    yield partial(compare_norm_modulate, 1, 1, 256, 1024, device, False)
    yield partial(compare_norm_modulate, 2, 32, 256, 1024, device, True)
    for tokens in (100, 240, 256):
        yield partial(compare_frame_attention, 16, tokens, 16, 4, 64, device, tuned=tokens == 256)
    yield partial(compare_frame_attention, 16, 256, 16, 4, 64, device, causal=False)


def _draw_ring(tokens: int, slots: int, heads: int, groups: int, size: int, position: Tensor) -> tuple[Tensor, ...]:
    options: dict[str, Any] = {"device": position.device, "dtype": torch.bfloat16}
    keys, values = torch.randn(2, 1, slots, tokens, groups, size, **options)
    return torch.randn(1, tokens, heads, size, **options), keys, values, position
