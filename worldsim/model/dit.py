"""The diffusion transformer over spacetime latents: given noisy frames, levels and controls, it estimates the
clean frames.

Every frame is `1 + h * w` tokens: a register that carries its controls and reads out reward and end, then the
latent patches. Space layers attend inside a frame; every `temporal_every`-th layer attends over frames too,
either jointly over space and time (`temporal="joint"`) or along each position (`temporal="time"`). Noise
level, step size and controls enter through adaLN-zero (Peebles & Xie 2022, arXiv:2212.09748, section 3.2).
The same call streams: with a `Ring`, keys and values of past frames are read from it and those of the one
frame given are written to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.errors import ConfigError, check_choice, check_flag, check_int, check_number
from worldsim.kernels.checks import HEAD_SIZES
from worldsim.model import rope
from worldsim.model.attention import Layout, causal_mask, modulate
from worldsim.model.blocks import Block, Trunk
from worldsim.model.linear import Linear
from worldsim.model.prompt import PromptEncoder, Said
from worldsim.model.ring import Ring

CPU = torch.device("cpu")
SCALAR_FEATURES = 64  # of a noise level, and of a step size
SIZE_UNIT = 8.0  # latents along a side, as a model that is `sized` is told
BOUNDS = {
    "latent_channels": (1, 4096),
    "controls": (1, 1024),
    "width": (16, 65536),
    "depth": (1, 512),
    "heads": (1, 1024),
    "kv_heads": (1, 1024),
    "hidden": (1, 262144),
    "condition": (1, 65536),
    "window": (1, rope.TIME_PERIOD),
    "temporal_every": (1, 512),
    "prompt": (0, 65536),
    "prompt_length": (1, 4096),
    "prompt_layers": (0, 64),
    "policy_bins": (0, 4095),
    "reward_bins": (0, 4095),
    "codes": (0, 65536),
}


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the transformer.

    Attributes:
        latent_channels: `C` of the latent grid.
        controls: `A`, length of the control vector.
        width, depth, heads, kv_heads: of the trunk; `heads` must be a multiple of `kv_heads` (grouped-query
            attention).
        hidden: width of the gated feed-forward layer.
        condition: width of the per-frame condition that feeds adaLN.
        window: frames a frame may look at, itself included; also the number of slots in the ring.
        temporal: "joint" (space and time together) or "time" (along each position) in the temporal layers.
        temporal_every: every so many layers one is temporal; the others see only their own frame.
        prompt: width of a prompt's word vectors, 0 for a world without prompts.
        prompt_length: words of a prompt; shorter ones are filled up with zeros.
        prompt_layers: of self-attention over the words, before frames attend to them.
        reward_bins: bins of the two-hot symlog reward head, odd; 0 for a world without rewards.
        codes: number of codewords, of which one is drawn for every patch of a new frame; 0 for none. See
            `worldsim.model.heads.sampled_offset`.
        prediction: what the last layer gives, the clean frame "x" or the velocity "v" = noise - clean (for
            comparison).
        code_floor: codewords less likely than this are not drawn: a thousand such chances add up to patches
            that fit nothing.
        reveals: whether a frame may come with the codewords of some of its patches, so that the others are drawn knowing
            them; needs `codes`.
        free_controls: whether controls may be unknown, which are given as NaN.
        policy_bins: values in [-1, 1], odd, over which the model foresees each control of the next frame; 0 for a model that
            does not. See `worldsim.model.heads.draw_controls`.
        sized: whether frames may have any size: positions count from the centre, and the model is told the size.

    Raises:
        ConfigError: if a field is of the wrong type or out of range.
    """

    latent_channels: int = 32
    controls: int = 2
    width: int = 256
    depth: int = 8
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 640
    condition: int = 128
    window: int = 12
    temporal: str = "joint"
    temporal_every: int = 1
    prompt: int = 0
    reward_bins: int = 41
    codes: int = 0
    prediction: str = "x"
    code_floor: float = 0.005
    reveals: bool = False
    prompt_length: int = 24
    prompt_layers: int = 0
    free_controls: bool = False
    policy_bins: int = 0
    sized: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            object.__setattr__(self, name, check_int(name, getattr(self, name), least, most))
        if self.heads % self.kv_heads:
            raise ConfigError(f"kv_heads was {self.kv_heads}; give a divisor of heads, {self.heads}.")
        if self.width not in (allowed := [self.heads * size for size in HEAD_SIZES]):
            raise ConfigError(f"width was {self.width}; with {self.heads} heads give {', '.join(map(str, allowed))}.")
        for name in ("reward_bins", "policy_bins"):
            bins = getattr(self, name)
            if bins and (bins < 3 or bins % 2 == 0):
                raise ConfigError(f"{name} was {bins}; give an odd number of at least 3, or 0 for none.")
        check_choice("temporal", self.temporal, ("joint", "time"))
        check_choice("prediction", self.prediction, ("x", "v"))
        check_number("code_floor", self.code_floor, 0, 1)
        for name in ("reveals", "free_controls", "sized"):
            check_flag(name, getattr(self, name))
        if self.reveals and not self.codes:
            raise ConfigError("reveals was True and codes 0; give codes, such as 1024, or reveals=False.")

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    def kind(self, layer: int) -> str:
        """What the layer attends over: "space", "joint" or "time"."""
        return self.temporal if layer % self.temporal_every == 0 else "space"


class Prediction(NamedTuple):
    """Predictions for every frame: clean latents `(B, T, h, w, C)`, reward logits `(B, T, bins)`, end logit
    `(B, T)`; with codewords, logits `(B, T, h, w, codes)` of the codeword that each patch is nearest to; and from a
    model that foresees controls, logits `(B, T, A, bins)` of those that come after the frame.
    """

    x: Tensor
    reward: Tensor
    end: Tensor
    code: Tensor | None = None
    controls: Tensor | None = None


class Modulations(NamedTuple):
    """Shifts, scales and gates of adaLN: of each block `(B, T, 6 * width)` and of the last layer
    `(B, T, 2 * width)`.
    """

    blocks: tuple[Tensor, ...]
    final: Tensor

    def at(self, t: int) -> Modulations:
        """Those of entry `t` alone, `T` being 1."""
        return Modulations(tuple(block[:, t : t + 1] for block in self.blocks), self.final[:, t : t + 1])


def embed_scalar(value: Tensor, size: int) -> Tensor:
    """Sinusoidal features `(..., size)` of a number in [0, 1]."""
    speeds = torch.exp(torch.linspace(0, math.log(1000.0), size // 2, device=value.device, dtype=torch.float32))
    angles = value[..., None].float() * speeds
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class DiT(nn.Module):
    """The dynamics model; see `forward`. Weights are made in float32 on `device`."""

    def __init__(self, config: DiTConfig, device: torch.device = CPU):
        super().__init__()
        self.config, width = config, config.width
        self.patch = Linear(config.latent_channels, width, device)
        controls = config.controls + config.free_controls  # and whether they are known
        self.register = Linear(controls, width, device)
        self.level_in = Linear(2 * SCALAR_FEATURES, config.condition, device)
        self.control_in = Linear(controls, config.condition, device)
        self.size_in = Linear(2, config.condition, device) if config.sized else None
        self.condition_out = Linear(config.condition, config.condition, device)
        self.prompt = PromptEncoder(config, device) if config.prompt else None
        self.blocks = nn.ModuleList(Block(config, i, device) for i in range(config.depth))
        self.final_modulation = Linear(config.condition, 2 * width, device)
        self.final = Linear(width, config.latent_channels, device)
        self.reward_head = Linear(width, config.reward_bins, device)
        self.end_head = Linear(width, 1, device)
        self.policy_head = Linear(width, config.controls * config.policy_bins, device) if config.policy_bins else None
        self.code_head = Linear(width, config.codes, device) if config.codes else None
        codebook = torch.zeros(config.codes, config.latent_channels, device=device if config.codes else CPU, dtype=torch.float32)
        self.register_buffer("codebook", codebook, persistent=config.codes > 0)
        time, rows, columns = rope.frequencies(config.head_dim)
        self.reveal = Linear(config.latent_channels + 1, width, device, bias=False) if config.reveals else None
        self.register_buffer("time_speeds", time, persistent=False)
        self.register_buffer("row_speeds", rows, persistent=False)
        self.register_buffer("column_speeds", columns, persistent=False)
        self.reset_parameters()

    time_speeds: Tensor
    row_speeds: Tensor
    column_speeds: Tensor
    codebook: Tensor

    @property
    def device(self) -> torch.device:
        return self.patch.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.patch.weight.dtype

    @property
    def ring_dtype(self) -> torch.dtype:
        """Of past keys and values."""
        return self.dtype

    def reset_parameters(self) -> None:
        """Draws all weights anew from torch's global generator; on the meta device there are none."""
        if self.patch.weight.is_meta:
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        modulations = [block.modulation for block in self.blocks if isinstance(block, Block)]
        heads = [head for head in (self.reward_head, self.end_head, self.code_head, self.policy_head) if head is not None]
        added = [] if self.reveal is None else [self.reveal]
        for zeroed in (*modulations, self.final_modulation, self.final, *heads, *added):
            nn.init.zeros_(zeroed.weight)

    def forward(
        self,
        z: Tensor,
        levels: Tensor,
        step_sizes: Tensor,
        controls: Tensor,
        *,
        causal: bool = True,
        prompt: Tensor | None = None,
        ring: Ring | None = None,
        copies: int = 0,
        modulations: Modulations | None = None,
        shown: Tensor | None = None,
    ) -> Prediction:
        """Estimates clean frames.

        Args:
            z: noisy latents `(B, T, h, w, C)`; `T` is 1 when streaming.
            levels: noise level of each frame in [0, 1], `(B, T)`.
            step_sizes: step size about to be taken from that level, `(B, T)`.
            controls: control vectors in the model's units `(B, T, A)`; those at `t` produced frame `t`. NaN where they
                are unknown, for a model with `free_controls`.
            causal: each frame sees itself and the `window - 1` before it; otherwise all frames see all.
            prompt: word vectors `(B, prompt_length, prompt)`, zeros where there is no word; None for no prompt.
            ring: past frames; the frame given is written to it at its current position.
            copies: noisy copies of the context that follow it along `T`, which then is `(1 + copies) * F`. A
                copy of frame `t` sees itself and the context before `t`, like a frame that is being imagined;
                the context does not see copies. Causal only.
            modulations: those of these levels, step sizes and controls, if they were computed before; see
                `modulations`.
            shown: codewords of some patches, `(B, T, h, w, C + 1)` from `worldsim.model.heads.reveal`; none by default.

        Returns:
            Prediction for every frame, or with copies for those alone, in the dtype of the weights or
            autocast.
        """
        batch, frames, height, width, _ = z.shape
        x = Trunk(self.embed(z, controls, shown))
        layout = self.layout(batch, frames, height, width, causal, ring, copies)
        said = None if self.prompt is None else self.prompt(prompt, batch)
        made = modulations if modulations is not None else self._modulations(levels, step_sizes, controls, said, (height, width))
        tokens = None if said is None else said.tokens
        context = frames // (1 + copies) if copies else 0
        last = max(i for i in range(self.config.depth) if self.config.kind(i) != "space")  # from here on nobody sees the context
        for i, block in enumerate(self.blocks):
            modulation = made.blocks[i][:, context:] if i > last else made.blocks[i]
            x = block(x, modulation, layout, ring, tokens, context if i == last else 0)
        shift, scale = made.final[:, context:, None].chunk(2, dim=-1)
        _, y = modulate(x.residual, shift, scale, x.branch, x.gate)
        latents = rearrange(self.final(y[:, :, 1:]), "b t (h w) c -> b t h w c", h=height)
        code = None if self.code_head is None else self.code_head(y[:, :, 1:]).unflatten(2, (height, width))
        if self.config.prediction == "v":
            latents = z[:, context:] - levels[:, context:, None, None, None].to(z.dtype) * latents
        readout, bins = y[:, :, 0], self.config.policy_bins
        policy = None if self.policy_head is None else self.policy_head(readout).unflatten(-1, (-1, bins))
        return Prediction(latents, self.reward_head(readout), self.end_head(readout)[..., 0], code, policy)

    def write(
        self, z: Tensor, levels: Tensor, step_sizes: Tensor, controls: Tensor, ring: Ring, *, prompt: Tensor | None = None
    ) -> None:
        """Writes one frame to the ring as `forward` does, and stops after the last layer that keeps it."""
        batch, frames, height, width, _ = z.shape
        x = Trunk(self.embed(z, controls))
        layout = self.layout(batch, frames, height, width, True, ring)
        said = None if self.prompt is None else self.prompt(prompt, batch)
        made = self._modulations(levels, step_sizes, controls, said, (height, width))
        tokens = None if said is None else said.tokens
        last = max(i for i in range(self.config.depth) if self.config.kind(i) != "space")
        for i, block in enumerate(self.blocks[:last]):
            x = block(x, made.blocks[i], layout, ring, tokens)
        cast(Block, self.blocks[last]).write(x, made.blocks[last], layout, ring)

    def embed(self, z: Tensor, controls: Tensor, shown: Tensor | None = None) -> Tensor:
        """Tokens `(B, T, 1 + h * w, width)`: the register, which carries the controls, and the patches."""
        patches = self.patch(z.flatten(2, 3))
        if shown is not None and self.reveal is not None:
            patches = patches + self.reveal(shown.flatten(2, 3).to(z.dtype))
        return torch.cat([self.register(self._known(controls))[:, :, None], patches], dim=2)

    def _known(self, controls: Tensor) -> Tensor:
        """Where controls may be unknown: zeros instead of NaN, and one entry more that tells, `(B, T, A + 1)`."""
        if not self.config.free_controls:
            return controls
        known = ~controls.isnan().any(-1, keepdim=True)
        return torch.cat([torch.where(known, controls, 0), known.to(controls.dtype)], dim=-1)

    def condition(
        self, levels: Tensor, step_sizes: Tensor, controls: Tensor, said: Said | None = None, grid: tuple[int, int] = (0, 0)
    ) -> Tensor:
        """Per-frame condition `(B, T, condition)` of adaLN."""
        scalars = torch.cat([embed_scalar(value, SCALAR_FEATURES) for value in (levels, step_sizes)], dim=-1).to(
            self.level_in.weight.dtype
        )
        hidden = self.level_in(scalars) + self.control_in(self._known(controls))
        if said is not None:
            hidden = hidden + said.summary
        if self.size_in is not None:
            hidden = hidden + self.size_in(torch.tensor(grid, dtype=hidden.dtype, device=hidden.device) / SIZE_UNIT)
        hidden = F.silu(hidden)
        return F.silu(self.condition_out(hidden))

    def modulations(
        self, levels: Tensor, step_sizes: Tensor, controls: Tensor, prompt: Tensor | None = None, grid: tuple[int, int] = (0, 0)
    ) -> Modulations:
        """Shifts, scales and gates of all blocks, for levels and step sizes `(B, T)`, controls `(B, T, A)`, a prompt as in
        `forward`, and the latent grid `(h, w)`, which a model that is `sized` is told.
        """
        said = None if self.prompt is None else self.prompt(prompt, len(levels))
        return self._modulations(levels, step_sizes, controls, said, grid)

    def _modulations(
        self, levels: Tensor, step_sizes: Tensor, controls: Tensor, said: Said | None, grid: tuple[int, int]
    ) -> Modulations:
        condition = self.condition(levels, step_sizes, controls, said, grid)
        return Modulations(
            tuple(block.modulation(condition) for block in self.blocks if isinstance(block, Block)),
            self.final_modulation(condition),
        )

    def layout(
        self, batch: int, frames: int, height: int, width: int, causal: bool, ring: Ring | None, copies: int = 0
    ) -> Layout:
        device, window, prompted = self.row_speeds.device, self.config.window, self.prompt is not None
        centred = self.config.sized
        space = F.pad(rope.space_angles(height, width, self.row_speeds, self.column_speeds, centred), (0, 0, 1, 0))
        if ring is None:
            context = frames // (1 + copies)
            position = torch.arange(frames, device=device, dtype=torch.int64)[None] % context
            mask = causal_mask(context, copies, window, device)[None] if prompted and causal and frames > 1 else None
        else:
            position, mask = ring.position[:, None], ring.valid()[:, None, :] if prompted else None
        time = rope.time_angles(position, self.time_speeds)
        tokens = space.shape[0]
        full = torch.cat([time[:, :, None].expand(-1, -1, tokens, -1), space.expand(*time.shape[:2], -1, -1)], dim=-1)
        still = F.pad(space, (self.time_speeds.shape[0], 0))
        rotations = (still.cos()[:, None], still.sin()[:, None]), (full.cos()[:, :, :, None], full.sin()[:, :, :, None])
        return Layout(*rotations, causal, window, copies, mask)
