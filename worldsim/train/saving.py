"""What a checkpoint keeps of a training loop, in two formats of which the newer one counts.

A single process writes one file, `NAME.ckpt`; several write together below `NAME.steps/`. Any number of processes goes on from
either. A crash or kill at any moment leaves the last one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.errors import TrainingError
from worldsim.train import checkpoint, distributed
from worldsim.train.engine import Average, is_share
from worldsim.train.shared_checkpoint import SharedCheckpoints

CHECKPOINT = ("model", "average", "optimizers", "step", "elapsed")  # what a checkpoint of one process must hold


@dataclass(frozen=True)
class Position:
    """Where training is.

    Attributes:
        step: of the optimizers.
        drawn: batches that were trained on, which is the number of the next one.
        elapsed: seconds of the budget that are used.
        batches: that make one step.
    """

    step: int = 0
    drawn: int = 0
    elapsed: float = 0.0
    batches: int = 0


class Keeper:
    """Saves and restores a loop.

    Args:
        path: of the file that a single process writes.
        model, average, optimizers: what is saved, and filled when training goes on.
    """

    def __init__(self, path: Path, model: nn.Module, average: Average, optimizers: list[torch.optim.Optimizer]):
        self.path, self.model, self.average, self.optimizers = path, model, average, optimizers
        self.shared = SharedCheckpoints(_folder(path))

    def save(self, position: Position) -> None:
        """Writes a checkpoint; several processes do so in the background.

        Raises:
            TrainingError: if it cannot be written; the one before is untouched.
        """
        if distributed.count() > 1:
            self.shared.save(self._tensors(), asdict(position))
            return
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        values = (self.model.state_dict(), self.average.state_dict(), optimizers, position.step, position.elapsed)
        more = {"drawn": position.drawn, "batches": position.batches}
        checkpoint.save(self.path, dict(zip(CHECKPOINT, values, strict=True)) | more)

    def finish(self) -> None:
        """Waits for what is being written in the background."""
        self.shared.finish()

    def resume(self) -> Position | None:
        """Goes back to the newest checkpoint, or returns None if there is none.

        Raises:
            TrainingError: if it is damaged, or of another model; the message names the file.
        """
        folder = distributed.tell(self._newest_folder())
        if folder is not None:
            self._prepare(self.shared.names(folder[0]))
            self.shared.load(folder[0], self._tensors())
            return Position(**{name: folder[1][name] for name in asdict(Position())})
        state = checkpoint.load(self.path)
        return None if state is None else self._fill(state)

    def _newest_folder(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest shared checkpoint, unless the file is newer."""
        folder, file = self.shared.newest(), checkpoint.load(self.path) if self.shared.folder.is_dir() else None
        return None if folder is None or (file is not None and file.get("step", 0) > folder[1]["step"]) else folder

    def _fill(self, state: dict[str, Any]) -> Position:
        """Takes over what a file of a single process holds."""
        try:
            step, elapsed = int(state["step"]), float(state["elapsed"])
            position = Position(step, int(state.get("drawn", step)), elapsed, int(state.get("batches", 1)))
            if any(is_share(p) for p in self.model.parameters()):
                self._distribute(state)
            else:
                self.model.load_state_dict(state["model"])
                self.average.load_state_dict(state["average"])
                for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
                    _fill_optimizer(optimizer, values)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise TrainingError(
                f"the checkpoint {self.path} does not fit this configuration ({type(error).__name__}: {reason}). "
                "Use another run folder, or delete the file to begin this stage again."
            ) from error
        return position

    def _distribute(self, state: dict[str, Any]) -> None:
        """Gives this process its share of the whole tensors of a file."""
        given = {f"{part}.{name}": value for part in ("model", "average") for name, value in state[part].items()}
        names = {id(p): name for name, p in self.model.named_parameters()}
        for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for i, kept in values["state"].items():
                given |= {f"optimizer.{names[id(parameters[i])]}.{key}": value for key, value in kept.items()}
        self._prepare({name: value.shape for name, value in given.items()})
        own = self._tensors()
        if set(own) != set(given):
            raise KeyError(sorted(set(own) ^ set(given))[0])
        for name, value in own.items():
            _take(value, given[name])

    def _tensors(self) -> dict[str, Tensor]:
        """All that is saved, by name; the tensors themselves, not copies."""
        parts = (("model", self.model.state_dict()), ("average", self.average.state_dict()))
        tensors = {f"{part}.{name}": value for part, state in parts for name, value in state.items()}
        names = {id(p): name for name, p in self.model.named_parameters()}
        for optimizer in self.optimizers:
            for parameter, state in optimizer.state.items():
                tensors |= {f"optimizer.{names[id(parameter)]}.{key}": value for key, value in state.items()}
        return tensors

    def _prepare(self, shapes: dict[str, torch.Size]) -> None:
        """Makes room for what the optimizers of a checkpoint have gathered."""
        parameters = dict(self.model.named_parameters())
        owners = {id(p): optimizer for optimizer in self.optimizers for group in optimizer.param_groups for p in group["params"]}
        for name, shape in shapes.items():
            kind, _, rest = name.partition(".")
            owner, _, key = rest.rpartition(".")
            if kind != "optimizer" or owner not in parameters:
                continue  # which loading reports
            p = parameters[owner]
            alike = shape == p.shape and bool(shape)
            room = torch.zeros_like(p) if alike else torch.zeros(shape, dtype=torch.float32, device=p.device)
            owners[id(p)].state[p][key] = room.detach()


def elapsed(path: Path) -> float:
    """Seconds of training in the newest checkpoint of a stage, whose file is or would be at `path`.

    Raises:
        TrainingError: if one is damaged.
    """
    state, folder = checkpoint.load(path), SharedCheckpoints(_folder(path)).newest()
    return max(0.0 if state is None else state.get("elapsed", 0.0), 0.0 if folder is None else folder[1]["elapsed"])


def size(path: Path) -> int:
    """Bytes of the checkpoints of a stage."""
    there = [path, *_folder(path).glob("step-*/*")]
    return sum(file.stat().st_size for file in there if file.exists())


def _folder(path: Path) -> Path:
    return path.with_suffix(".steps")


def _take(own: Tensor, given: Tensor) -> None:
    """Fills `own`, or this process's share of it, from a whole tensor."""
    if own.shape != given.shape:
        raise ValueError(f"a tensor is {tuple(given.shape)} there and {tuple(own.shape)} here")
    with torch.no_grad():
        if not is_share(own):
            own.copy_(given)
            return
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(own, DTensor)
        share = distribute_tensor(given.to(own.device), own.device_mesh, own.placements, src_data_rank=None)
        own.to_local().copy_(share.to_local())


def _fill_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Loads what an optimizer has gathered; its settings stay those of the configuration."""
    groups = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in groups] != [group["params"] for group in state["param_groups"]]:
        raise ValueError("optimizers of other parameters")
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
