"""Records what is played in the window: one dataset for the dream, one for the real game."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from worldsim.data import DatasetInfo, Recorder
from worldsim.data.collect import state_values
from worldsim.data.recorder import next_split
from worldsim.errors import WorldsimError
from worldsim.world import WorldConfig

FAILURES = (OSError, av.FFmpegError, WorldsimError)  # of a disk that is full, read-only or gone


class Recordings:
    """Records while it is on; play goes on if it fails.

    The first start makes a folder for each source, later ones of the same session add episodes to it.

    Args:
        folder: where the datasets go.
        world: its config.
        states: names of the real game's state variables, which are recorded with its frames.
        eval_share: share of the frames to hold out.
        notices: gets a line about everything that the player should know.
    """

    def __init__(
        self,
        folder: Path,
        world: WorldConfig,
        *,
        states: tuple[str, ...] = (),
        eval_share: float = 0.0,
        notices: list[str],
    ) -> None:
        self.folder, self.world, self.eval_share, self.notices = folder, world, eval_share, notices
        self._states = {"dream": (), "real": states}
        self._roots: dict[str, Path] = {}
        self._recorders: dict[str, Recorder] = {}
        self._in_episode: set[str] = set()
        self._frames = 0

    @property
    def on(self) -> bool:
        """Whether frames are being recorded."""
        return bool(self._recorders)

    def begins(self, source: str) -> bool:
        """Whether the next frame of a source is the first of an episode being recorded."""
        return source in self._recorders and source not in self._in_episode

    def start(self, sources: Iterable[str]) -> None:
        """Begins to record "dream", "real" or both."""
        with self._failures_reported():
            world, self._frames = self.world, 0
            info = DatasetInfo(world.game, world.control_spec, world.height, world.width, world.fps, world.frame_skip)
            for source in sources:
                self._recorders[source] = Recorder(self._root(source), replace(info, state=self._states[source]))
            self.notices.append(f"recording to {', '.join(str(self._roots[source]) for source in self._recorders)}")

    def append(
        self,
        source: str,
        frame: NDArray[np.uint8],
        vector: NDArray[np.float32],
        reward: float,
        terminated: bool,
        truncated: bool,
        info: Mapping[str, Any],
        **labels: Any,
    ) -> None:
        """Adds a frame, the action taken at it and what that led to, where the source is being recorded.

        Args:
            source: "dream" or "real".
            frame, vector, reward, terminated, truncated: as for `Recorder.append`.
            info: the environment's `info` for the frame; it holds the game's state.
            labels: of the episode, if it `begins` here; see `Recorder.begin`.
        """
        if source not in self._recorders:
            return
        with self._failures_reported():
            recorder = self._recorders[source]
            if self.begins(source):
                split = next_split(recorder.episodes.values(), self.eval_share)
                recorder.begin(policy="human", split=split, **labels)
                self._in_episode.add(source)
            state = state_values(info, self._states[source])
            recorder.append(frame, vector, reward, terminated, truncated, state)
            self._frames += 1
        if terminated or truncated:
            self.end_episode(source)

    def end_episode(self, source: str) -> None:
        """Saves what was recorded of the running episode of a source."""
        if source in self._in_episode:
            self._in_episode.discard(source)
            with self._failures_reported():
                self._recorders[source].end()

    def stop(self) -> None:
        """Saves everything and ends the recording."""
        if not self.on:
            return
        for source in list(self._recorders):
            self.end_episode(source)
        with self._failures_reported():
            for recorder in self._recorders.values():
                recorder.close()
            if self.on:
                where = ", ".join(str(recorder.root) for recorder in self._recorders.values())
                self._forget()
                self.notices.append(f"saved {self._frames} frames to {where}")

    def _root(self, source: str) -> Path:
        if source not in self._roots:
            name = f"{self.world.name.replace('/', '-')}-{source}-{time.strftime('%Y%m%d-%H%M%S')}"
            self._roots[source] = self.folder / name
        return self._roots[source]

    @contextmanager
    def _failures_reported(self) -> Iterator[None]:
        """Ends the recording with a notice if the disk does not take it; episodes saved before stay."""
        try:
            yield
        except FAILURES as error:
            saved = 0
            for recorder in self._recorders.values():
                saved += len(recorder.episodes)
                _give_up(recorder)
            self._forget()
            self.notices.append(f"recording stopped, {saved} episode{'' if saved == 1 else 's'} saved: {error}")

    def _forget(self) -> None:
        """Drops the recorders, and folders in which nothing was saved."""
        for source, recorder in self._recorders.items():
            if not recorder.episodes:
                shutil.rmtree(recorder.root, ignore_errors=True)
                del self._roots[source]
        self._recorders.clear()
        self._in_episode.clear()


def _give_up(recorder: Recorder) -> None:
    """Closes a recorder whose disk refuses more, and removes the episode that it could not finish."""
    with suppress(*FAILURES):
        recorder.close()
    shutil.rmtree(recorder.partial, ignore_errors=True)
