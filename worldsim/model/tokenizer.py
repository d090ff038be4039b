"""Frame autoencoder: image -> latent grid -> image.

Convolutional, one frame at a time, no convolution above a quarter of the resolution: the image enters through
a pixel-unshuffle and leaves through a pixel-shuffle, which is what keeps decoding real-time on a CPU. Works
at any size that is a multiple of `factor`. Norms act per pixel over channels, so an image means the same to
it at every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.errors import ConfigError, WorldError, check_int, shown

CPU = torch.device("cpu")


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes of the autoencoder.

    Attributes:
        channels: width of each stage, finest first; every further stage halves the resolution, starting at
            1/4.
        encoder_blocks: residual blocks per stage on the way in.
        decoder_blocks: residual blocks per stage on the way out.
        latent_channels: `C` of the latent grid.

    Raises:
        ConfigError: if a field is of the wrong type or out of range.
    """

    channels: tuple[int, ...] = (96, 144, 192)
    encoder_blocks: int = 1
    decoder_blocks: int = 2
    latent_channels: int = 32

    def __post_init__(self) -> None:
        given = self.channels
        if isinstance(given, str) or not isinstance(given, Sequence) or not 1 <= len(given) <= 8:
            raise ConfigError(f"channels was {shown(given)}; give 1 to 8 widths, one for each stage.")
        object.__setattr__(self, "channels", tuple(check_int("channels", value, 1, 8192) for value in given))
        for name, (least, most) in {"encoder_blocks": (0, 64), "decoder_blocks": (0, 64), "latent_channels": (1, 4096)}.items():
            object.__setattr__(self, name, check_int(name, getattr(self, name), least, most))

    @property
    def factor(self) -> int:
        """Pixels per latent along each side."""
        return 4 * 2 ** (len(self.channels) - 1)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Latent grid of an image.

        Raises:
            WorldError: if a side is not a positive multiple of `factor`.
        """
        f = self.factor
        if height <= 0 or width <= 0 or height % f or width % f:
            raise WorldError(f"frame size {width}x{height} is not supported; both sides must be positive multiples of {f}.")
        return height // f, width // f


class ChannelNorm(nn.Module):
    """RMS norm over channels of an NCHW tensor (channels-last in memory)."""

    def __init__(self, channels: int, device: torch.device = CPU):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, device=device, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.permute(0, 2, 3, 1), (x.shape[1],), self.weight.to(x.dtype), 1e-6).permute(0, 3, 1, 2)


class Conv(nn.Module):
    """Convolution whose weight is kept as a matrix `(out, k * k * in)`: channels-last as it is, and fit
    for Muon.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, device: torch.device = CPU):
        super().__init__()
        self.kernel = kernel
        size = kernel * kernel * inputs
        weight = torch.empty(outputs, size, device=device, dtype=torch.float32)
        if not weight.is_meta:  # arithmetic on meta tensors imports torch's compiler, which takes longer than loading
            weight.normal_().mul_(size**-0.5)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs, device=device, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        weight = rearrange(self.weight, "o (r s i) -> o i r s", r=self.kernel, s=self.kernel)
        return F.conv2d(x, weight, self.bias, padding=self.kernel // 2)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, device: torch.device = CPU):
        super().__init__()
        self.norm = ChannelNorm(channels, device)
        self.enter = Conv(channels, channels, 3, device)
        self.leave = Conv(channels, channels, 3, device)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.leave(F.silu(self.enter(self.norm(x))))


class Tokenizer(nn.Module):
    """Autoencoder with latents normalised to unit scale; the scale is part of the weights.

    Images are float `(B, 3, H, W)` in [-1, 1]; latents are float `(B, h, w, C)`. Weights are made in float32
    on `device`.
    """

    def __init__(self, config: TokenizerConfig, device: torch.device = CPU):
        super().__init__()
        self.config = config
        widths, c = config.channels, config.latent_channels
        self.encoder = nn.Sequential(nn.PixelUnshuffle(4), Conv(48, widths[0], 3, device))
        for i, width in enumerate(widths):
            if i:
                self.encoder += nn.Sequential(nn.PixelUnshuffle(2), Conv(4 * widths[i - 1], width, 1, device))
            self.encoder += nn.Sequential(*(ResidualBlock(width, device) for _ in range(config.encoder_blocks)))
        self.encoder += nn.Sequential(ChannelNorm(widths[-1], device), Conv(widths[-1], c, 1, device))
        self.decoder = nn.Sequential(Conv(c, widths[-1], 3, device))
        for i in reversed(range(len(widths))):
            self.decoder += nn.Sequential(*(ResidualBlock(widths[i], device) for _ in range(config.decoder_blocks)))
            if i:
                self.decoder += nn.Sequential(Conv(widths[i], 4 * widths[i - 1], 1, device), nn.PixelShuffle(2))
        self.decoder += nn.Sequential(ChannelNorm(widths[0], device), Conv(widths[0], 48, 3, device), nn.PixelShuffle(4))
        self.register_buffer("latent_mean", torch.zeros(c, device=device, dtype=torch.float32))
        self.register_buffer("latent_std", torch.ones(c, device=device, dtype=torch.float32))

    latent_mean: Tensor
    latent_std: Tensor

    def encode(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)` in [-1, 1] -> unit-scale latents `(B, h, w, C)`."""
        latents = rearrange(self.encoder(images), "b c h w -> b h w c")
        latents = F.rms_norm(latents, (latents.shape[-1],), None, 1e-6)
        return (latents - self.latent_mean.to(latents.dtype)) / self.latent_std.to(latents.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Unit-scale latents `(B, h, w, C)` -> images `(B, 3, H, W)`, about [-1, 1] (clip before showing)."""
        latents = latents * self.latent_std.to(latents.dtype) + self.latent_mean.to(latents.dtype)
        return self.decoder(rearrange(latents, "b h w c -> b c h w").contiguous(memory_format=torch.channels_last))

    def decode_frames(self, latents: Tensor) -> Tensor:
        """Latents `(B, h, w, C)` -> uint8 frames `(B, H, W, 3)`."""
        return to_frames(self.decode(latents))


def to_images(frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 frames `(B, H, W, 3)` -> images `(B, 3, H, W)` in [-1, 1], channels-last in memory."""
    return (frames.to(dtype) / 127.5 - 1).permute(0, 3, 1, 2)


def to_frames(images: Tensor) -> Tensor:
    """Images `(B, 3, H, W)` in [-1, 1] -> uint8 frames `(B, H, W, 3)`."""
    pixels = (images.float() * 127.5 + 127.5).round_().clamp_(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous()
