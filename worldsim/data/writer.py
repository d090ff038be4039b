"""Records one episode, outside any dataset."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.data.background import Background
from worldsim.data.format import DatasetInfo, Rows
from worldsim.data.stats import PICTURED, PictureSummary, Summary
from worldsim.data.video import VideoWriter
from worldsim.errors import DataError, FileError
from worldsim.files import named_errors
from worldsim.provenance import Claim
from worldsim.provenance.marking import Marker


@dataclass(frozen=True)
class Take:
    """A recorded episode that is not yet part of a dataset.

    Attributes:
        video: its finished file.
        rows: its numbers.
        pictures: statistics of its pictures.
        frames_hash: SHA-256 of its frames before they were compressed; None where it is not known.
    """

    video: Path
    rows: Rows
    pictures: Summary
    frames_hash: str | None = None


class EpisodeWriter:
    """Records one episode into `path`, outside any dataset; `Recorder.commit` takes it in.

    Frames are encoded in a thread, so that whoever plays does not wait for it. A disk that is full is therefore
    reported by a later call.

    Args:
        path: video file to write.
        info: what the episode must look like.
        claim: says that a world dreamed it, and how; the video holds it as metadata. The frames stay as they are, without a
            watermark, so that what is replayed or learned from is what was dreamed.

    Raises:
        FileError: here and in every method, if the disk is full or read-only, or permission is missing.
    """

    def __init__(self, path: Path, info: DatasetInfo, claim: Claim | None = None) -> None:
        self._path, self._info = path, info
        with named_errors("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._video = VideoWriter(path, info.height, info.width, info.fps, info.lossless, Marker(claim).mp4_tags)
        self._pictures, self._digest, self._encoded = PictureSummary(), hashlib.sha256(), 0
        self._encoder = Background(self._encode)
        self._rows: list[tuple[NDArray[np.float32], float, bool, bool, NDArray[np.float32]]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def append(
        self,
        frame: NDArray[np.uint8],
        vector: NDArray[Any],
        reward: float,
        terminated: bool,
        truncated: bool,
        state: NDArray[Any] | None = None,
    ) -> None:
        """Adds a frame, the action taken at it, and the reward and end that this action produced; all or nothing.

        Args:
            frame: uint8 RGB `(H, W, 3)`.
            vector: `(A,)`, in the order of the control spec's vector.
            reward: of the step from this frame to the next; finite.
            terminated: whether that step ended the game.
            truncated: whether that step hit a limit from outside the game.
            state: `(S,)`, the game's own state at this frame, where the dataset records one.

        Raises:
            DataError: if an argument does not fit the dataset, or the episode is over.
            ControlError: if the vector does not fit the control spec.
        """
        if self._rows and (self._rows[-1][2] or self._rows[-1][3]):
            raise DataError("this episode is over (its last step terminated or truncated it); call end() and begin() first.")
        frame, values = np.asarray(frame), _array("state", [] if state is None else state)
        if frame.shape != self._info.frame_shape or frame.dtype != np.uint8:
            raise DataError(f"frame is {frame.dtype} {frame.shape}; this dataset takes uint8 {self._info.frame_shape}.")
        if values.shape != (len(self._info.state),):
            raise DataError(f"state has shape {values.shape}; this dataset takes ({len(self._info.state)},): {self._info.state}.")
        action = _quantise(self._info.control_spec, vector)
        earned, ends = _number("reward", reward), (_flag("terminated", terminated), _flag("truncated", truncated))
        self._rows.append((action, earned, *ends, values))  # first: Ctrl-C here leaves a row without a frame, see `close`
        self._encoder.put(np.array(frame, order="C"))  # a copy: some games draw into the same array

    def close(self) -> Take | None:
        """Completes the video; an episode without rows is dropped, and None returned."""
        try:
            self._encoder.finish()
            del self._rows[self._encoded :]
            if not self._rows:
                self.discard()
                return None
            self._video.close()
        except FileError:
            self.discard()
            raise
        actions, rewards, terminated, truncated, states = zip(*self._rows, strict=True)
        rows = Rows(
            actions=np.stack(actions),
            rewards=np.array(rewards, np.float32),
            terminated=np.array(terminated, np.bool_),
            truncated=np.array(truncated, np.bool_),
            states=np.stack(states),
        )
        return Take(self._path, rows, self._pictures.result(), self._digest.hexdigest())

    def discard(self) -> None:
        """Drops the episode."""
        self._encoder.stop()
        self._video.abandon()
        self._path.unlink(missing_ok=True)

    def _encode(self, frame: NDArray[np.uint8]) -> None:
        self._video.append(frame)
        self._digest.update(frame.data)
        if self._encoded % PICTURED == 0:
            self._pictures.add(frame)
        self._encoded += 1


def _quantise(spec: ControlSpec, vector: NDArray[Any]) -> NDArray[np.float32]:
    """The vector as the game understands it: keys and buttons exactly 0 or 1, mouse within its limit."""
    keys, mouse, buttons = spec.split(spec.check_vector(vector))
    return np.concatenate([keys >= 0.5, mouse, buttons >= 0.5]).astype(np.float32)


def _number(name: str, value: Any) -> float:
    """A finite number that float32 can hold, be it Python's or NumPy's."""
    array = _array(name, value)
    if array.size != 1 or not np.isfinite(array).all():
        raise DataError(f"{name} was {value!r}; give one finite number.")
    return float(array.reshape(()))


def _flag(name: str, value: Any) -> bool:
    number = _number(name, value)
    if number not in (0, 1):
        raise DataError(f"{name} was {value!r}; give True or False.")
    return bool(number)


def _array(name: str, value: Any) -> NDArray[np.float32]:
    if value is not None and not isinstance(value, str):  # NumPy would make NaN of None, and a number of "1"
        with suppress(TypeError, ValueError), np.errstate(over="ignore"):
            return np.asarray(value, np.float32)
    raise DataError(f"{name} was {value!r}; give numbers.")
