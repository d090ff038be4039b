"""Who executes a step of a world: PyTorch, which defines what is right and runs everywhere, or OpenVINO on a CPU.

A runtime gives what a `Stream` calls (the `DiT` itself, or what stands in for it) and a decoder. Which one a world takes
depends on what was asked for and on which graphs are kept on this machine, never on a timing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from worldsim.choices import RUNTIMES
from worldsim.errors import WorldError, shown, suggest
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.world.runtimes import cache

LARGEST_BATCH = 512  # rows for which graphs are compiled
INSTALL = "pip install openvino"


class Runtime(Protocol):
    """What executes a world's steps.

    Attributes:
        name: "torch", "openvino" or "openvino-int8".
    """

    name: str

    def network(self, batch: int) -> Any:
        """What a `Stream` of `batch` rows calls: the `DiT`, or what stands in for it."""

    def decode(self, latents: Tensor) -> Tensor:
        """Latents `(R, h, w, C)` -> uint8 frames `(R, H, W, 3)`."""


class TorchRuntime:
    """PyTorch, on any device.

    Args:
        tokenizer, dynamics: the networks, on their device and in their dtype.
        compiled: use torch.compile.
    """

    name = "torch"

    def __init__(self, tokenizer: Tokenizer, dynamics: DiT, compiled: bool):
        self._network: Any = torch.compile(dynamics, dynamic=False) if compiled else dynamics
        self._decode: Any = torch.compile(tokenizer.decode_frames) if compiled else tokenizer.decode_frames

    def network(self, batch: int) -> Any:
        return self._network

    def decode(self, latents: Tensor) -> Tensor:
        return self._decode(latents)


def pick_runtime(
    wanted: str, *, device: torch.device, batch: int, dtype: torch.dtype | None, compiled: bool, prompt: int, folder: Path | None
) -> str:
    """The runtime of a world.

    Args:
        wanted: one of `RUNTIMES`; "auto" is "openvino" where its graphs are kept on this machine and all options allow it, and
            otherwise "torch".
        device: where the world runs.
        batch: rows.
        dtype: asked for; None for the fast one here.
        compiled: whether torch.compile is asked for.
        prompt: width of prompt tokens, 0 for none.
        folder: of kept graphs, None for a world that is not from a folder.

    Raises:
        WorldError: if the name is unknown, or what was asked for cannot be done here or with these options.
    """
    if wanted not in RUNTIMES:
        raise WorldError(f"runtime was {shown(wanted)}; allowed: {', '.join(RUNTIMES)}.{suggest(str(wanted), RUNTIMES)}")
    if wanted == "torch":
        return wanted
    reasons = {
        f"runs on a CPU, and device is {device.type!r}": device.type != "cpu",
        f"is not installed ({INSTALL})": not openvino_found(),
        "chooses its own number format; leave dtype out": dtype not in (None, torch.float32),
        "compiles its own graphs; leave compiled out": compiled,
        "does not take prompts": prompt > 0,
        f"takes at most {LARGEST_BATCH} worlds, and batch is {batch}": batch > LARGEST_BATCH,
    }
    problem = next((reason for reason, holds in reasons.items() if holds), None)
    if wanted != "auto":
        if problem:
            raise WorldError(f"runtime was {wanted!r}: OpenVINO {problem}. runtime='torch' runs everywhere.")
        return wanted
    return "openvino" if problem is None and folder is not None and is_prepared(folder, batch) else "torch"


def make_runtime(
    name: str,
    tokenizer: Tokenizer,
    dynamics: DiT,
    *,
    batch: int,
    grid: tuple[int, int],
    compiled: bool,
    folder: Path | None,
    ranges: Callable[[], dict[str, float]],
) -> Runtime:
    """Builds a runtime of networks that are on their device, in their dtype.

    Args:
        name: from `pick_runtime`.
        tokenizer, dynamics: the networks; in float32 for OpenVINO.
        batch: rows of most calls.
        grid: latent grid `(h, w)`.
        compiled: use torch.compile.
        folder: of kept graphs; None to keep nothing.
        ranges: measures the largest activations, for int8; called if none are kept.
    """
    if name == "torch":
        return TorchRuntime(tokenizer, dynamics, compiled)
    from worldsim.world.runtimes.openvino import OpenVINORuntime
    from worldsim.world.runtimes.quantize import quantized_layers

    kept = _ranges(folder, quantized_layers(dynamics), ranges) if name == "openvino-int8" else None
    return OpenVINORuntime(tokenizer, dynamics, grid, batch, folder, kept)


def openvino_found() -> bool:
    """Whether OpenVINO is installed; does not import it. A folder of that name in the working directory does not count."""
    try:
        version("openvino")
    except PackageNotFoundError:
        return False
    return importlib.util.find_spec("openvino") is not None


def is_prepared(folder: Path, batch: int, names: Sequence[str] = ("step", "decode")) -> bool:
    """Whether float32 graphs for `batch` rows are kept in `folder`."""
    return all((folder / f"{name}-f32-{batch}" / "graph.xml").is_file() for name in names)


def _ranges(folder: Path | None, layers: Mapping[str, Any], measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    path = folder and folder / "ranges.json"
    kept = cache.kept_json(path) if path else None
    if kept and kept.keys() == layers.keys() and all(isinstance(value, float) and value > 0 for value in kept.values()):
        return kept
    ranges = measure()
    if path:
        cache.keep_json(path, ranges)
    return ranges
