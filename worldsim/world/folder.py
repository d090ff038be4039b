"""What a world's folder holds, and how it is found, read and written.

Nothing in the folder is executable and nothing is a pickle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from worldsim.controls import ControlSpec
from worldsim.errors import WorldError, suggest
from worldsim.files import write_bytes, write_text
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.worlds import SHIPPED, shipped_worlds

FORMAT_VERSION = 2
RENAMED = {"steps": "num_steps"}  # fields of format 1
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
        num_steps: network calls per frame, by default.
        context_level: noise level at which past frames are kept.
        draw_level: noise level that the first step goes to where codewords are drawn; see `Stream`.
        data: fingerprint of the training episodes.
        mirrored: it was trained on them with left and right swapped, too.
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
    num_steps: int = 2
    context_level: float = 0.05
    draw_level: float = 0.15
    data: str = ""
    mirrored: bool = False
    figures: Mapping[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def row_bytes(self, itemsize: int) -> int:
        """About what one world of a batch takes in memory: its ring, and the largest things alive at once during a step.

        Args:
            itemsize: bytes of a weight or activation.
        """
        model, tokens = self.dynamics, 1 + math.prod(self.tokenizer.grid(self.height, self.width))
        layer = 2 * model.window * tokens * model.kv_heads * model.head_dim * itemsize
        layers = sum(model.kind(i) != "space" for i in range(model.depth))
        scores = 8 * model.heads * tokens**2 * (model.window if model.temporal == "joint" else 1)
        trunk = tokens * itemsize * (4 * model.width + 3 * model.hidden)
        decoder = self.height * self.width * (self.tokenizer.channels[0] * itemsize // 4 + 3 * 9)
        return layers * layer + max(2 * layer + scores + trunk, decoder)

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
        if version == 1:
            fields = {RENAMED.get(name, name): value for name, value in fields.items()} | {"format_version": FORMAT_VERSION}
        try:
            fields["control_spec"] = ControlSpec.from_dict(fields["control_spec"])
            tokenizer = fields["tokenizer"]
            fields["tokenizer"] = TokenizerConfig(**{**tokenizer, "channels": tuple(tokenizer["channels"])})
            fields["dynamics"] = DiTConfig(**fields["dynamics"])
            return cls(**fields)
        except (TypeError, KeyError, ValueError) as error:
            raise WorldError(f"{where} does not describe a world ({error}); copy the folder again.") from error


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
    families = {shipped.split("/")[0] for shipped in shipped_worlds()}  # whose unknown names are no Hub ids
    local = isinstance(name, Path) or name.count("/") != 1 or name.startswith((".", "/", "~"))
    if local or str(name).split("/")[0] in families:
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
    """Reads `config.json`.

    Raises:
        WorldError: if a file is missing, or the config is not one.
    """
    for file in FILES:
        if not (folder / file).is_file():
            raise WorldError(f"{folder} is not a whole world: {file} is missing; it needs {', '.join(FILES)}.")
    path = folder / "config.json"
    return WorldConfig.from_json(path.read_text(), path)


def world_hash(folder: Path, files: Sequence[str] = FILES) -> str:
    """Short hash of a world's weights and config, for datasets dreamed in it; or of some of its files."""
    digest = hashlib.sha256()
    for file in files:
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
        weights = {key: value.detach().cpu().bfloat16().contiguous() for key, value in state.items()}
        write_bytes(folder / name, save(weights))  # save_file would let nobody else read it
    write_config(folder, config)
    return folder


def write_config(folder: Path, config: WorldConfig) -> None:
    write_text(folder / "config.json", config.to_json())


def load_world(folder: Path) -> tuple[WorldConfig, Tokenizer, DiT, Tensor, Tensor]:
    """Config, tokenizer, dynamics, start latents and the controls that produced them.

    Raises:
        WorldError: if a file is missing or damaged, or they do not belong together.
    """
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
    return config, tokenizer, dynamics, starts["latents"].float(), starts["controls"].float()


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
