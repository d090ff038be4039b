"""A world is a folder: config, tokenizer, dynamics, starts and a model card. `World` loads one and lives in it.

Nothing in the folder is executable and nothing is a pickle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from worldsim.controls import Controls, ControlSpec
from worldsim.device import fast_dtype, pick_device
from worldsim.dit import DiT, DiTConfig
from worldsim.errors import WorldError, suggest
from worldsim.sampler import Stream
from worldsim.tokenizer import Tokenizer, TokenizerConfig

FORMAT_VERSION = 1
SHIPPED = Path(__file__).parent / "worlds"
DEFAULT_WORLD = "doom/take-cover"
FILES = ("config.json", "tokenizer.safetensors", "dynamics.safetensors", "starts.safetensors")


@dataclass(frozen=True)
class WorldConfig:
    """What `config.json` holds.

    Attributes:
        name: such as "doom/take-cover".
        game: the real game it was learned from.
        height, width: of a frame, in pixels.
        fps: the world's own rate, frames per second.
        frame_skip: game tics per frame.
        control_spec: what it listens to.
        tokenizer, dynamics: sizes of the networks.
        steps: network calls per frame, by default.
        context_level: noise level at which past frames are kept.
        data: fingerprint of the training episodes.
        figures: measured figures, by name.
        format_version: of the folder.
    """

    name: str
    game: str
    height: int
    width: int
    fps: float
    frame_skip: int
    control_spec: ControlSpec
    tokenizer: TokenizerConfig
    dynamics: DiTConfig
    steps: int = 2
    context_level: float = 0.05
    data: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        return json.dumps({**dataclasses.asdict(self), "figures": dict(self.figures)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: Path) -> WorldConfig:
        """Parses `config.json`.

        Raises:
            WorldError: if it is not JSON, of a newer format, or holds unknown or missing fields.
        """
        try:
            fields = json.loads(text)
            version = fields["format_version"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise WorldError(f"{where} is not a world's config ({error}); copy the folder again.") from error
        if version > FORMAT_VERSION:
            raise WorldError(f"{where} has format {version}, this worldsim reads up to {FORMAT_VERSION}; upgrade worldsim.")
        try:
            fields["control_spec"] = ControlSpec.from_dict(fields["control_spec"])
            tokenizer = fields["tokenizer"]
            fields["tokenizer"] = TokenizerConfig(**{**tokenizer, "channels": tuple(tokenizer["channels"])})
            fields["dynamics"] = DiTConfig(**fields["dynamics"])
            return cls(**fields)
        except (TypeError, KeyError, ValueError) as error:
            raise WorldError(f"{where} does not describe a world ({error}); copy the folder again.") from error


class Step(NamedTuple):
    """What a step of `B` worlds gives. Arrays are NumPy.

    Attributes:
        frame: uint8 `(B, H, W, 3)`.
        latent: float32 tensor `(B, h, w, C)`, on the world's device.
        reward: float32 `(B,)`, of the action that led to this frame.
        terminated: bool `(B,)`: the episode ends with this frame. The stream itself goes on if asked.
        end_probability: float32 `(B,)`, that `terminated` was drawn from.
    """

    frame: NDArray[np.uint8]
    latent: Tensor
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    end_probability: NDArray[np.float32]


class World:
    """A learned game, as a batch of independent worlds.

    >>> world = World.load("doom/take-cover")
    >>> step = world.reset(seed=0)
    >>> step = world.step(Controls(keys={"a"}))

    Args:
        config: as in `config.json`.
        tokenizer, dynamics: the networks.
        starts: latents `(S, window, h, w, C)` of start contexts.
        start_controls: `(S, window, A)` in the model's units, that produced them.
        batch: worlds, `B`.
        device: where to run.
        dtype: of weights and activations; by default the faster one here.
        steps: network calls per frame; by default the world's own.
        compiled: compile the networks (needs a C++ compiler on a CPU, and a minute).
    """

    def __init__(
        self,
        config: WorldConfig,
        tokenizer: Tokenizer,
        dynamics: DiT,
        starts: Tensor,
        start_controls: Tensor,
        *,
        batch: int = 1,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        steps: int | None = None,
        compiled: bool = False,
    ):
        if batch < 1:
            raise WorldError(f"batch was {batch}; give at least 1.")
        self.config, self.batch = config, batch
        self.device = pick_device(device)
        self.dtype = dtype or fast_dtype(self.device)
        self.tokenizer = tokenizer.to(self.device, self.dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.dynamics = dynamics.to(self.device, self.dtype).eval()
        self.starts, self.start_controls = starts.to(self.device), start_controls.to(self.device)
        self.grid = config.tokenizer.grid(config.height, config.width)
        network: Any = torch.compile(self.dynamics, dynamic=False) if compiled else self.dynamics
        self._decode: Any = torch.compile(self.tokenizer.decode_frames) if compiled else self.tokenizer.decode_frames
        self.stream = Stream(network, self.grid, batch, steps=steps or config.steps, context_level=config.context_level)
        self._scale = config.control_spec.scale()
        self._rows: list[torch.Generator] = []
        self._pending: tuple[Tensor, Tensor] | None = None

    @classmethod
    def load(cls, name: str | Path, **options: Any) -> World:
        """Loads a shipped world by name, any world by path, or one from the Hugging Face Hub by its id.

        Args:
            name: "doom/take-cover", a folder, or "user/repository".
            options: `batch`, `device`, `dtype`, `steps`, `compiled`; see `World`.

        Raises:
            WorldError: if there is no such world, or its folder is damaged.
        """
        folder = find_world(name)
        config = read_config(folder)
        tokenizer, dynamics = Tokenizer(config.tokenizer), DiT(config.dynamics)
        _fill(tokenizer, folder / "tokenizer.safetensors")
        _fill(dynamics, folder / "dynamics.safetensors")
        starts = _read_tensors(folder / "starts.safetensors")
        grid = config.tokenizer.grid(config.height, config.width)
        frames, latent, controls = config.dynamics.window, config.tokenizer.latent_channels, config.dynamics.controls
        for key, shape in {"latents": (frames, *grid, latent), "controls": (frames, controls)}.items():
            if key not in starts or tuple(starts[key].shape[1:]) != shape:
                given = tuple(starts[key].shape) if key in starts else "missing"
                raise WorldError(
                    f"{folder / 'starts.safetensors'}: {key!r} is {given}, expected (starts, {shape}); copy the folder again."
                )
        return cls(config, tokenizer, dynamics, starts["latents"].float(), starts["controls"].float(), **options)

    @property
    def control_spec(self) -> ControlSpec:
        return self.config.control_spec

    @property
    def steps(self) -> int:
        """Network calls per frame; may be changed while playing."""
        return self.stream.steps

    @steps.setter
    def steps(self, value: int) -> None:
        if value < 1:
            raise WorldError(f"steps was {value}; give at least 1.")
        self.stream.steps = value

    @torch.inference_mode()
    def reset(self, *, seed: int | Sequence[int] = 0, start: int | None = None) -> Step:
        """Starts all worlds anew.

        Args:
            seed: of row 0, further rows taking the next ones; or one seed per row. Equal seeds and controls give equal frames.
            start: which start context; by default drawn from each row's seed.

        Returns:
            The last frame of the start context, with reward 0.
        """
        seeds = [int(seed) + row for row in range(self.batch)] if isinstance(seed, (int, np.integer)) else list(seed)
        if len(seeds) != self.batch:
            raise WorldError(f"{len(seeds)} seeds for {self.batch} worlds; give one seed, or one per world.")
        if start is not None and not 0 <= start < len(self.starts):
            raise WorldError(f"start was {start}; this world has starts 0 to {len(self.starts) - 1}.")
        self._rows = [torch.Generator().manual_seed(s) for s in seeds]
        drawn = [int(torch.randint(len(self.starts), (), generator=row)) for row in self._rows]
        index = torch.tensor(drawn if start is None else [start] * self.batch, device=self.device)
        context, controls = self.starts[index], self.start_controls[index]
        self.stream.ring.position.zero_()
        noise = torch.stack([self._noise() for _ in range(context.shape[1])], 1)
        self.stream.prefill(context, controls, noise)
        self._pending = None
        still = np.zeros(self.batch, np.float32)
        return Step(self._decode(context[:, -1].to(self.dtype)).cpu().numpy(), context[:, -1], still, still.astype(bool), still)

    @torch.inference_mode()
    def step(self, controls: Controls | Sequence[Controls] | NDArray[Any]) -> Step:
        """Imagines the next frame of every world.

        The frame is handed out first; it joins the context at the start of the next step (or in `settle`).

        Args:
            controls: for all rows, one per row, or an array `(B, A)` in the units of `control_spec`.

        Raises:
            WorldError: before the first `reset`.
            ControlError: if the controls do not fit.
        """
        if not self._rows:
            raise WorldError("step() before reset(); call reset(seed=...) first.")
        vectors = self.control_spec.to_vectors(controls, self.batch) / self._scale
        now = torch.from_numpy(vectors).to(self.device)
        self.settle()
        said = self.stream.imagine(now, self._noise())
        self._pending = (said.latent, now)
        frame = self._decode(said.latent.to(self.dtype)).cpu().numpy()
        chance = said.end.cpu()
        ended = chance > torch.stack([torch.rand((), generator=row) for row in self._rows])
        return Step(frame, said.latent, said.reward.cpu().numpy(), ended.numpy(), chance.numpy())

    def settle(self) -> None:
        """Writes the frame handed out last into the context, if that has not happened yet. Cheap to call while idle."""
        if self._pending is not None:
            self.stream.commit(*self._pending, self._noise())
            self._pending = None

    def _noise(self) -> Tensor:
        """Standard normal `(B, h, w, C)`, every row from its own generator."""
        shape = (*self.grid, self.config.tokenizer.latent_channels)
        return torch.stack([torch.randn(shape, generator=row) for row in self._rows]).to(self.device)


def shipped_worlds() -> list[str]:
    """Names of the worlds that come with the package."""
    return sorted(str(path.parent.relative_to(SHIPPED)) for path in SHIPPED.glob("*/*/config.json"))


def find_world(name: str | Path) -> Path:
    """Folder of a world given by shipped name, path or Hub id.

    Raises:
        WorldError: if none of them fits.
    """
    if str(name) in shipped_worlds():
        return SHIPPED / str(name)
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    names = ", ".join(shipped_worlds()) or "none"
    problem = f"no world {str(name)!r}; shipped: {names}; or give a folder.{suggest(str(name), shipped_worlds())}"
    if isinstance(name, Path) or name.count("/") != 1 or name.startswith((".", "/", "~")) or name.startswith("doom/"):
        raise WorldError(problem)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise WorldError(f'{problem} To load from the Hugging Face Hub: pip install "worldsim-dit[hub]".') from error
    try:
        return Path(snapshot_download(name, allow_patterns=[*FILES, "README.md"]))
    except Exception as error:
        raise WorldError(f"{problem} The Hugging Face Hub did not give it either: {error}") from error


def read_config(folder: Path) -> WorldConfig:
    for file in FILES:
        if not (folder / file).is_file():
            raise WorldError(f"{folder} is not a whole world: {file} is missing; it needs {', '.join(FILES)}.")
    path = folder / "config.json"
    return WorldConfig.from_json(path.read_text(), path)


def world_hash(folder: Path) -> str:
    """Short hash of a world's weights and config, for datasets dreamed in it."""
    digest = hashlib.sha256()
    for file in FILES:
        digest.update((folder / file).read_bytes())
    return digest.hexdigest()[:16]


def export_world(
    folder: Path, config: WorldConfig, tokenizer: Tokenizer, dynamics: DiT, starts: Tensor, start_controls: Tensor
) -> Path:
    """Writes a world folder; weights become bf16. Every file is written under a temporary name, then renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "tokenizer.safetensors": tokenizer.state_dict(),
        "dynamics.safetensors": dynamics.state_dict(),
        "starts.safetensors": {"latents": starts, "controls": start_controls},
    }
    for name, state in tensors.items():
        temporary = folder / f".{name}.{os.getpid()}"
        save_file({key: value.detach().cpu().bfloat16().contiguous() for key, value in state.items()}, temporary)
        temporary.replace(folder / name)
    write_config(folder, config)
    return folder


def write_config(folder: Path, config: WorldConfig) -> None:
    temporary = folder / f".config.{os.getpid()}"
    temporary.write_text(config.to_json())
    temporary.replace(folder / "config.json")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WorldError(f"{path} cannot be read ({error}); it is damaged or truncated: copy the folder again.") from error


def _fill(model: nn.Module, path: Path) -> None:
    """Loads weights, checking every name and shape."""
    given, wanted = _read_tensors(path), model.state_dict()
    for name, value in wanted.items():
        if name not in given or given[name].shape != value.shape:
            found = f"shape {tuple(given[name].shape)}" if name in given else "missing"
            raise WorldError(
                f"{path}: {name} is {found}, config.json says {tuple(value.shape)}; the files belong to different worlds."
            )
    unknown = sorted(set(given) - set(wanted))
    if unknown:
        raise WorldError(f"{path}: unknown tensors {', '.join(unknown[:3])}; the files belong to different worlds.")
    model.load_state_dict({name: given[name].to(value.dtype) for name, value in wanted.items()})
