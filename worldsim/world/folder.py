"""What a world's folder holds, and how it is read and written.

Nothing in the folder is executable and nothing is a pickle.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from worldsim.device import free_bytes
from worldsim.errors import WorldError, printable, shown
from worldsim.files import write_bytes, write_text
from worldsim.hub import check_inside
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.world.config import WorldConfig
from worldsim.worlds import FILES as FILES
from worldsim.worlds import WORDS_FILE
from worldsim.worlds import files_of as files_of
from worldsim.worlds import find_world as find_world

FLOATS = ("F32", "BF16", "F16")
ANY = -1
LARGEST_CONFIG = 2**20  # bytes


def read_config(folder: Path) -> WorldConfig:
    """Reads `config.json`.

    Raises:
        WorldError: if a file is missing, or the config is not one.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise WorldError(f"{folder} is not a whole world: {name} is missing; it needs {', '.join(FILES)}.")
        check_inside(folder / name, folder, WorldError)
    path = folder / "config.json"
    check_inside(folder / WORDS_FILE, folder, WorldError)
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_CONFIG + 1)
    except OSError as error:
        raise WorldError(f"{path} cannot be read ({error.strerror}).") from error
    if len(text) > LARGEST_CONFIG:
        raise WorldError(f"{path} is larger than {LARGEST_CONFIG // 2**20} MiB, so no world's config; copy the folder again.")
    return WorldConfig.from_json(text, path)


def world_hash(folder: Path, files: Sequence[str] | None = None) -> str:
    """Short hash of a world's weights and config, for datasets dreamed in it; or of some of its files."""
    digest = hashlib.sha256()
    for file in files_of(folder) if files is None else files:
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

    What the files say that they hold is compared with the config, and with the memory there is, before any of
    it is read.

    Raises:
        WorldError: if a file is missing or damaged, they do not belong together, or memory is short.
    """
    config = read_config(folder)
    meta = torch.device("meta")
    tokenizer, dynamics = Tokenizer(config.tokenizer, meta), DiT(config.dynamics, meta)
    window, grid = config.dynamics.window, config.tokenizer.grid(config.height, config.width)
    numbers = 0
    for name, model in (("tokenizer", tokenizer), ("dynamics", dynamics)):
        wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        numbers += _check_header(folder / f"{name}.safetensors", wanted)
    starts = {
        "latents": (ANY, window, *grid, config.tokenizer.latent_channels),
        "controls": (ANY, window, config.dynamics.controls),
    }
    numbers += _check_header(folder / "starts.safetensors", starts)
    free = free_bytes(torch.device("cpu"))
    if free is not None and 4 * numbers > free:
        raise WorldError(f"{folder} needs {4 * numbers / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free.")
    for name, model in (("tokenizer", tokenizer), ("dynamics", dynamics)):
        model.load_state_dict(_read_tensors(folder / f"{name}.safetensors"), assign=True)
    first = _read_tensors(folder / "starts.safetensors")
    return config, tokenizer, dynamics, first["latents"], first["controls"]


def _check_header(path: Path, wanted: Mapping[str, tuple[int, ...]]) -> int:
    """Compares names, types and shapes with those wanted, in which the length `ANY` may be anything but 0,
    and alike everywhere.

    Returns:
        How many numbers the file holds.

    Raises:
        WorldError: if it cannot be read, or holds other tensors.
    """
    given: dict[str, tuple[int, ...]] = {}
    with readable(path), safe_open(path, framework="pt", device="cpu") as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            part = file.get_slice(name)
            given[name] = tuple(part.get_shape())
            if part.get_dtype() not in FLOATS:
                raise WorldError(f"{path}: {shown(name)} holds {part.get_dtype()}; allowed: {', '.join(FLOATS)}.")
    count = max((given[name][0] for name, shape in wanted.items() if ANY in shape and given.get(name)), default=0)
    for name, shape in wanted.items():
        exact = tuple(max(1, count) if size == ANY else size for size in shape)
        if given.get(name) != exact:
            found = f"shape {given[name]}" if name in given else "missing"
            raise WorldError(f"{path}: {name} is {found}, config.json says {exact}; the files belong to different worlds.")
    unknown = sorted(set(given) - set(wanted))
    if unknown:
        names = ", ".join(shown(name) for name in unknown[:3])
        raise WorldError(f"{path}: unknown tensors {names}; the files belong to different worlds.")
    return sum(math.prod(shape) for shape in given.values())


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, as float32 in memory of their own."""
    with readable(path):
        tensors = {name: value.to(torch.float32, copy=True) for name, value in load_file(path, device="cpu").items()}
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise WorldError(f"{path}: {shown(name)} holds numbers that are not finite; it is damaged: copy the folder again.")
    return tensors


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what safetensors says of a damaged file into a `WorldError` that names it."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        reason = printable(str(error), 200)
        raise WorldError(f"{path} cannot be read ({reason}); it is damaged or truncated: copy the folder again.") from error
