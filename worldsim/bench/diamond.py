"""DIAMOND's denoiser (Alonso et al. 2024, arXiv:2405.12399) beside ours, from a checkout of its public code: frames of 64x64,
three steps each, four frames of context, untrained weights. Only imagining is timed; rewards, ends and the agent come on top.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from worldsim.bench.stream import in_own_process
from worldsim.errors import WorldsimError
from worldsim.machine import describe_machine

CONTEXT, SIZE, ACTIONS, WARM_UP = 4, 64, 6, 2


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        folder: to import its models from; see `_stand_ins`.
        batch: frames imagined at a time.
        dtype: "float32" or "bfloat16" (by autocast).
        frames: calls measured, of `batch` frames each.
        device: "cpu" or "cuda".
        threads: of torch; 0 leaves the number to it.
    """

    folder: Path
    batch: int
    dtype: str
    frames: int
    device: str
    threads: int


def bench_diamond(source: Path, batch: Sequence[int], *, frames: int, device: str, threads: int = 0) -> list[dict[str, Any]]:
    """Measures it at every batch in float32 and bfloat16, each in a process of its own, and prints a line for each.

    Args:
        source: checkout of github.com/eloialonso/diamond.
        batch: frames imagined at a time.
        frames: calls to measure, of `batch` frames each.
        device: "cpu" or "cuda".
        threads: of torch; 0 leaves the number to it.

    Returns:
        A dict per case, with `steps_per_second`.

    Raises:
        WorldsimError: if the checkout lacks the denoiser.
    """
    if not (source / "src" / "models" / "diffusion").is_dir():
        raise WorldsimError(
            f"no src/models/diffusion in {source}; give a checkout of DIAMOND's code: "
            "git clone https://github.com/eloialonso/diamond, then --diamond diamond."
        )
    results = []
    with _stand_ins(source) as folder:
        for size, dtype in product(batch, ("float32", "bfloat16")):
            results.append(in_own_process(measure, Case(folder, size, dtype, frames, device, threads)))
            print(f"DIAMOND {size:6d} {dtype:>9} {results[-1]['steps_per_second']:10.1f} steps/s", flush=True)
    return results


def measure(case: Case) -> dict[str, Any]:
    """Figures of one case, taken in this process, whose import path leads to DIAMOND's models."""
    if case.threads:
        torch.set_num_threads(case.threads)
    sys.path.insert(0, str(case.folder))
    sampler = _sampler(torch.device(case.device))
    shape = (case.batch, CONTEXT, 3, SIZE, SIZE)
    seen = torch.randn(shape, device=case.device).clamp(-1, 1)
    actions = torch.randint(ACTIONS, shape[:2], device=case.device)

    def step() -> None:
        with torch.autocast(case.device, torch.bfloat16, enabled=case.dtype == "bfloat16"):
            sampler.sample(seen, actions)
        if case.device == "cuda":
            torch.cuda.synchronize()

    for _ in range(WARM_UP):
        step()
    begun = time.perf_counter()
    for _ in range(case.frames):
        step()
    seconds = time.perf_counter() - begun
    figures = {name: value for name, value in asdict(case).items() if name != "folder"}
    figures["steps_per_second"] = case.batch * case.frames / seconds
    parameters = sum(weight.numel() for weight in sampler.denoiser.parameters())
    return {**figures, "parameters": parameters, "machine": describe_machine()}


def _sampler(device: torch.device) -> Any:
    """Its sampler in the published configuration; its models are found on the path that `_stand_ins` prepared."""
    from models import diffusion  # type: ignore[import-not-found]

    inner = diffusion.InnerModelConfig(3, CONTEXT, 256, [2] * 4, [64] * 4, [0] * 4, ACTIONS)
    denoiser = diffusion.Denoiser(diffusion.DenoiserConfig(inner, 0.5, 0.3)).to(device).eval()
    return diffusion.DiffusionSampler(denoiser, diffusion.DiffusionSamplerConfig(3))


@contextmanager
def _stand_ins(source: Path) -> Iterator[Path]:
    """A folder to import from, in which `models` is the checkout's. Of its other modules the models only need names of types."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data.py").write_text("Batch = object\n")
        (folder / "utils.py").write_text("LossAndLogs = object\n")
        (folder / "models").mkdir()
        (folder / "models" / "__init__.py").write_text(f"__path__.append({str(source.resolve() / 'src' / 'models')!r})\n")
        yield folder
