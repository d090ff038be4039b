"""A recorded dataset, watched in the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.data import Dataset
from worldsim.data.format import data_path, video_path
from worldsim.data.tables import read_rows
from worldsim.data.video import read_frames
from worldsim.errors import DataError
from worldsim.player.scene import Pane
from worldsim.provenance import Claim


class Replay:
    """Shows the episodes of a dataset, one frame at a time. Implements `Scene`.

    Args:
        root: folder of the dataset.
        episode: the first to show.

    Raises:
        DataError: if there is no such dataset or episode.
    """

    def __init__(self, root: Path, episode: int = 0) -> None:
        self.data = Dataset(root)
        if episode >= len(self.data):
            raise DataError(f"episode was {episode}; {root} has episodes 0 to {len(self.data) - 1}.")
        self.recorded_spec, self.spec = self.data.info.control_spec, ControlSpec()  # nothing to press here
        self.fps, self.title = self.data.info.fps, f"{self.data.info.game}, recorded in {root}"
        self.meanings: dict[str, str] = {}
        self.notices: list[str] = []
        self.panes: dict[str, Pane] = {}
        self.position, self.held, self.recording, self.done = 0, Controls(), False, False
        self._episode = episode

    @property
    def mode(self) -> str:
        return f"episode {self._episode} of {len(self.data)}"

    @property
    def figures(self) -> str:
        info = self.data.episodes[self._episode]
        return f"{info.policy}, {info.split}, frame {self.position + 1} of {info.length}"

    @property
    def ended(self) -> bool:
        return self.panes["recording"].over

    def restart(self) -> None:
        """The same episode from its first frame."""
        root, episode, self.position = self.data.root, self.data.episodes[self._episode], 0
        self._rows = read_rows(data_path(root, episode.index), self.data.info)
        video = video_path(root, episode.index)
        self._frames: Iterator[NDArray[np.uint8]] = read_frames(video, self.data.info.fps, 0, episode.length, episode.length)
        self.panes = {"recording": Pane(next(self._frames))}
        self._show_controls()

    def next_mode(self) -> None:
        """The next episode; after the last the first."""
        self._episode = (self._episode + 1) % len(self.data)
        self.restart()

    def after_end(self) -> None:
        self.next_mode()

    def advance(self, controls: Controls) -> None:
        """The next frame, whatever is held."""
        pane = self.panes["recording"]
        if pane.over:
            return
        pane.score = (pane.score or 0.0) + float(self._rows.rewards[self.position])
        frame = next(self._frames, None)
        if frame is None:
            pane.over = True
            return
        pane.frame, pane.survived = frame, pane.survived + 1
        self.position += 1
        self._show_controls()

    def settle(self) -> None:
        """Nothing waits."""

    def say(self, prompt: str) -> None:
        """Nothing here reads prompts."""
        self.notices.append("only a dream reads prompts")

    def begin_with(self, picture: Path) -> None:
        """Nothing here starts from a picture."""
        self.notices.append("only a dream starts from a picture")

    def change_num_steps(self, change: int) -> None:
        self.notices.append("a recording has no network calls")

    def toggle_recording(self) -> None:
        self.notices.append("this is a recording already")

    def claim(self) -> Claim | None:
        """That the episode was dreamed, and how; None for one of a real game."""
        return Claim.of_labels(asdict(self.data.episodes[self._episode]))

    def close(self) -> None:
        """Nothing is open."""

    def _show_controls(self) -> None:
        self.held = self.recorded_spec.from_vector(self._rows.actions[self.position])
