"""Checkpoints that several processes write together, and any number of processes reads (torch.distributed.checkpoint).

One is a folder `step-0001234`. Its file `.metadata` comes last, so a folder without it was never finished. Files are written
in the background, from a copy in the CPU's memory, while training goes on.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed as dist
from torch import Tensor

from worldsim import files
from worldsim.errors import FileError, TrainingError
from worldsim.train import distributed

POSITION, COMPLETE = "position.json", ".metadata"  # files of a checkpoint, beside those of torch
_OURS = re.compile(r"position\.json|\.metadata(\.tmp)?|__\d+_\d+\.distcp")
_NAME = re.compile(r"step-\d{7,}")


class SharedCheckpoints:
    """The checkpoints of one stage; the newest is kept.

    Args:
        folder: of the checkpoints of this stage alone.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._writing: Any = None
        self._group: Any = None

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The finished checkpoint of the highest step, and its position: "step", "drawn", "elapsed", "batches".

        Raises:
            TrainingError: if its position cannot be read.
        """
        finished = [path for path in _steps(self.folder) if (path / COMPLETE).is_file()]
        if not finished:
            return None
        path = max(finished, key=lambda path: int(path.name.removeprefix("step-")))
        try:
            position = files.read_json(path / POSITION, "step", "drawn", "elapsed", "batches")
        except FileError as error:
            raise TrainingError(f"{error} Delete {path} to go on from what was before.") from error
        return path, position

    def save(self, tensors: Mapping[str, Tensor], position: Mapping[str, float]) -> None:
        """Begins to write a checkpoint, when the one before is written. All processes call this with the same names."""
        import torch.distributed.checkpoint as dcp

        self.finish()
        path = self.folder / f"step-{int(position['step']):07d}"
        if distributed.tell((path / COMPLETE).is_file()):
            return  # it is there; writing it again would leave none for a moment
        if distributed.is_main():
            with _named(path):
                _remove(path)  # of a run that was killed while it wrote
                files.write_json(path / POSITION, dict(position))
        distributed.wait()
        if self._group is None:
            self._group = dist.new_group(backend="gloo")  # of its own: the background must not mix with training
        with _named(path):
            self._writing = dcp.async_save(dict(tensors), checkpoint_id=path, process_group=self._group)

    def finish(self) -> None:
        """Waits until the checkpoint being written is complete, then removes older ones."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        with _named(self.folder):
            writing.result()
        distributed.wait()
        if distributed.is_main():
            newest = self.newest()
            for path in _steps(self.folder):
                if newest is None or path != newest[0]:
                    _remove(path)

    def load(self, path: Path, tensors: dict[str, Tensor]) -> None:
        """Fills `tensors`, whole or sharded in whatever way, with those of a checkpoint.

        Raises:
            TrainingError: if it is damaged, or of another model.
        """
        import torch.distributed.checkpoint as dcp
        from torch.distributed.checkpoint.api import CheckpointException

        known = self.names(path)
        try:
            if set(known) != set(tensors):
                odd = sorted(set(known) ^ set(tensors))
                raise ValueError(f"{odd[0]} is only in {'the checkpoint' if odd[0] in known else 'this model'}")
            for name, value in tensors.items():
                if known[name] != value.shape:
                    raise ValueError(f"{name} is {tuple(known[name])} there and {tuple(value.shape)} here")
            with warnings.catch_warnings():  # that there is one process
                warnings.simplefilter("ignore")
                dcp.load(tensors, storage_reader=_reader(path), no_dist=distributed.count() == 1)
        except (Exception, CheckpointException) as error:  # torch's is none of Python's Exceptions
            if distributed.is_lost(error):
                raise
            reason = " ".join(str(error).split())[:300]
            raise TrainingError(
                f"the checkpoint {path} does not fit this configuration or is damaged ({type(error).__name__}: {reason}). "
                "Use another run folder, or delete it to begin this stage again."
            ) from error

    def names(self, path: Path) -> dict[str, torch.Size]:
        """Shapes of the tensors in a checkpoint.

        Raises:
            TrainingError: if it is damaged.
        """
        try:
            return {name: value.size for name, value in _reader(path).read_metadata().state_dict_metadata.items()}
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(
                f"the checkpoint {path} cannot be read ({reason}). Delete it to begin this stage again."
            ) from error


def _steps(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []


def _remove(path: Path) -> None:
    """Removes a checkpoint, the mark that it is complete first. What we did not write stays."""
    if not path.is_dir():
        return
    own = [file for file in path.iterdir() if _OURS.fullmatch(file.name) and file.is_file() and not file.is_symlink()]
    for file in sorted(own, key=lambda file: file.name != COMPLETE):
        file.unlink(missing_ok=True)
    if not any(path.iterdir()):
        path.rmdir()


@contextmanager
def _named(path: Path) -> Any:
    """Turns what the disk refuses into one error."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except (OSError, CheckpointException) as error:
        reason = " ".join(str(error).split())[:300]
        raise TrainingError(f"cannot write the checkpoint {path} ({reason}). The last one is untouched; run again.") from error


def _reader(path: Path) -> Any:
    """A reader that makes nothing but what checkpoints consist of: torch's own would run any code in `.metadata`."""
    from torch.distributed.checkpoint import FileSystemReader

    class Reader(FileSystemReader):
        def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
            with (path / COMPLETE).open("rb") as file:
                metadata = _Unpickler(file).load()
            metadata.storage_meta.load_id = self.load_id
            return metadata

    return Reader(path)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]):
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        known = (module, name) in _KNOWN or (module == "torch" and isinstance(getattr(torch, name, None), torch.dtype))
        if module in _PARTS and "." not in name and name.lstrip("_")[:1].isupper():
            found = super().find_class(module, name)
            known = getattr(found, "__module__", None) == module  # and is not something else that the module imports
        if not known:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong into a checkpoint")
        return super().find_class(module, name)


_PARTS = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")
_KNOWN = {("torch", "Size"), ("torch.serialization", "_get_layout"), ("pathlib", "PosixPath"), ("pathlib", "WindowsPath")}
_KNOWN |= {("pathlib._local", "PosixPath"), ("pathlib._local", "WindowsPath"), ("collections", "OrderedDict")}
