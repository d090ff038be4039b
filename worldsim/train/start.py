"""What a run begins with: its folder, and the weights of its models."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from worldsim import files
from worldsim.errors import FileError, TrainingError
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.tokenizer import Tokenizer
from worldsim.train import distributed
from worldsim.train.codebook import cached_codebook
from worldsim.train.config import Run, TrainConfig
from worldsim.train.store import LatentStore
from worldsim.world import WorldConfig, find_world, load_world, world_hash

HOLDER, IDENTITY = "running.json", "run.json"  # files of a run folder: who trains in it, and what


@dataclass(frozen=True)
class Start:
    """A finished world to go on from.

    Attributes:
        hash: names it.
        config: what it says of itself.
        tokenizer: is kept.
        dynamics: is trained further.
    """

    hash: str
    config: WorldConfig
    tokenizer: Tokenizer
    dynamics: DiT


def load_start(name: str | Path) -> Start:
    """Reads a world by shipped name, path or Hub id.

    Raises:
        WorldError: if there is none, or it is damaged.
    """
    folder = find_world(name)
    config, tokenizer, dynamics, *_ = load_world(folder)
    return Start(world_hash(folder), config, tokenizer, dynamics)


@contextmanager
def holding(folder: Path, config: TrainConfig, start: Start | None) -> Iterator[None]:
    """Holds a run folder, so that no other training writes there, and removes what killed ones left. The first of several
    processes holds it for all.

    Raises:
        TrainingError: if another process trains in it, or it holds another run.
        FileError: if it cannot be written.
    """
    if not distributed.is_main():
        distributed.wait()
        yield
        return
    files.check_writable_folder(folder)
    try:
        lock = files.lock(folder, "training in")
    except FileError as error:
        raise TrainingError(f"{error}{_holder(folder / HOLDER)}") from error
    with lock:
        for place in (folder, folder / "cache", folder / "previews"):
            files.remove_temporary(place)
        _identify(folder / IDENTITY, {"name": config.name, "start": None if start is None else start.hash})
        files.write_json(folder / HOLDER, {"process": os.getpid(), "host": socket.gethostname()})
        distributed.wait()
        try:
            yield
        finally:
            (folder / HOLDER).unlink(missing_ok=True)


def _holder(path: Path) -> str:
    try:
        who = files.read_json(path, "process", "host")
    except FileError:
        return ""
    return f" It is held by process {who['process']} on {who['host']}."


def _identify(path: Path, identity: dict[str, str | None]) -> None:
    """Writes what a folder's run is, or checks that it is the same one."""
    try:
        known = files.read_json(path)
    except FileError:  # a new folder, or an old or damaged note
        files.write_json(path, identity)
        return
    for name, value in identity.items():
        if known.get(name) != value:
            raise TrainingError(
                f"{path.parent} holds a run with {name} {known.get(name)!r}, and this one has {value!r}; give another run folder."
            )


def first_weights(run: Run, store: LatentStore, tokenizer: Tokenizer, begun: DiT | None, seconds: float) -> DiT:
    """The dynamics as training begins: random weights, or those of a trained model.

    Args:
        run: what to train.
        store: latents that codewords are fitted to, where the model has some and `begun` has none.
        tokenizer: that made the latents.
        begun: trained model, or None.
        seconds: that codewords may take.
    """
    stage = run.config.dynamics
    sizes = run.dynamics_sizes(tokenizer.config.latent_channels)
    if begun is not None:
        check_alike(begun.config, sizes)
    model = DiT(sizes)
    kept = {} if begun is None else begun.state_dict()
    model.load_state_dict(kept, strict=False)
    if sizes.codes and "codebook" not in kept:
        path = run.cache("codebook.pt")
        fit = (path, store, sizes.codes, stage.loop.seed, stage.codebook, seconds)
        model.codebook.copy_(distributed.main_first(lambda: cached_codebook(*fit)))
    if begun is not None and distributed.is_main():
        new = sorted(set(model.state_dict()) - set(kept))
        print(f"kept from the world to start from: {len(kept)} tensors; new: {', '.join(new) or 'none'}")
    return model


def check_alike(begun: DiTConfig, sizes: DiTConfig) -> None:
    """A trained model can go on with another window or floor of codewords, on which no weight depends, with codewords where it
    had none, and with rounds in which they are drawn.

    Raises:
        TrainingError: if anything else differs.
    """
    free = {name: getattr(sizes, name) for name in ("window", "code_floor", "reveals")}
    adapted = replace(begun, codes=begun.codes or sizes.codes, **free)
    differing = [name for name, value in vars(sizes).items() if getattr(adapted, name) != value]
    if differing:
        there, here = (", ".join(f"{name}={getattr(config, name)!r}" for name in differing) for config in (begun, sizes))
        raise TrainingError(f"the world to start from has {there}, the preset {here}; start from a world of this preset.")
