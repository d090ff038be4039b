"""Records a window at a steady rate, each input in the row before the first frame that can show it."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.capture.backend import Backend, open_backend
from worldsim.capture.config import CaptureConfig, choose_size
from worldsim.capture.grabber import Grabber
from worldsim.capture.timeline import Timeline
from worldsim.data.background import Background
from worldsim.data.folder import PARTIAL, check_recordable
from worldsim.data.format import DatasetInfo
from worldsim.data.recorder import Recorder, next_split
from worldsim.data.writer import EpisodeWriter
from worldsim.errors import DisplayError, WorldsimError
from worldsim.files import read_json, write_json

SETTINGS = "meta/capture.json"  # what calibration found
STATES = ("seconds",)  # since the first frame of the episode, when each frame was taken
LATE = 0.05  # seconds after a frame by which its inputs have come
RED, GREY, AMBER = (220, 40, 40), (120, 120, 120), (235, 160, 30)
SHOWN_EVERY = 0.5  # seconds


@dataclass
class Taken:
    """A frame, when it was taken, and whether it is a copy of the one before because there was no time."""

    frame: NDArray[np.uint8]
    time: float
    dropped: bool = False


@dataclass(frozen=True)
class Finished:
    """An episode that is to be saved: its writer, its label, the time of its first frame, how many were dropped."""

    writer: EpisodeWriter
    label: str
    first: float
    dropped: int


@dataclass
class Counts:
    """What was recorded in this session."""

    episodes: int = 0
    frames: int = 0
    dropped: int = 0
    inputs: int = 0
    first_times: list[float] = field(default_factory=list)  # of `time.monotonic()`, of each episode's first frame


def describe(config: CaptureConfig, backend: Backend) -> DatasetInfo:
    """The dataset that a window is recorded into.

    Raises:
        DisplayError: if the window is gone.
    """
    region = backend.region()
    if region is None:
        raise DisplayError(f"the window {backend.title!r} is closed, hidden or too small; show it, then try again.")
    height, width = config.size or choose_size(region.height, region.width)
    return DatasetInfo(
        config.game or f"capture/{config.slug}", config.spec, height, width, config.fps, lossless=config.lossless, state=STATES
    )


def known_delay(config: CaptureConfig) -> float | None:
    """Seconds of delay to shift out: the one given, otherwise the one measured; None if there is neither."""
    if config.delay_ms is not None:
        return config.delay_ms / 1000
    path = config.folder / SETTINGS
    return float(read_json(path, "delay_ms")["delay_ms"]) / 1000 if path.is_file() else None


def capture(config: CaptureConfig, started: Callable[[], None] | None = None) -> Counts:
    """Records until the window is closed, Ctrl-C comes, or `config.seconds` are recorded.

    Args:
        config: what to record.
        started: called once frames are being looked at.

    Raises:
        DisplayError: if there is no such window, or the screen cannot be read.
        DataError: if the folder holds anything but a dataset of the same kind.
        FileError: if it cannot be written. Finished episodes stay.
    """
    check_recordable(config.folder)
    backend = open_backend(config.window)
    try:
        info = describe(config, backend)
        check_recordable(config.folder, info)
        delay = known_delay(config)
        if delay is None:
            print(
                "worldsim: the delay between input and picture is not known, and taken for 0; measure it first, with the same "
                "options and --calibrate.",
                file=sys.stderr,
            )
        with Recorder(config.folder, info) as recorder:
            return Session(config, backend, recorder, delay or 0.0).run(started)
    finally:
        backend.close()


class Session:
    """One run of `capture`.

    Args:
        config: what to record.
        backend: of the window.
        recorder: of the dataset.
        delay: seconds between input and picture.
    """

    def __init__(self, config: CaptureConfig, backend: Backend, recorder: Recorder, delay: float) -> None:
        self.config, self.backend, self.recorder = config, backend, recorder
        self.timeline, self.counts, self.delay = Timeline(recorder.info.control_spec, delay), Counts(), delay
        self._grabber = Grabber()
        self._taken: deque[Taken] = deque()
        self._recording, self._wanted, self._focused = False, config.now, True
        self._saver, self._names = Background(self._commit), count()
        self._writer: EpisodeWriter | None = None
        self._rows = self._dropped = self._total = 0
        self._first, self._shown_at = 0.0, 0.0

    def run(self, started: Callable[[], None] | None = None) -> Counts:
        """Records; see `capture`."""
        interval = 1 / self.recorder.info.fps
        try:
            print(f"recording {self.backend.title!r}: {self.config.hotkey.upper()} starts and stops, Ctrl-C ends", flush=True)
            if started is not None:
                started()
            with _signals() as stopped:
                due = time.monotonic()
                while not stopped.is_set() and self._tick(interval):
                    due += interval
                    now = time.monotonic()
                    while now - due > interval:  # no time for these
                        self._repeat(due)
                        due += interval
                    stopped.wait(max(0.0, due - now))
                self._end()
                self._saver.finish()
        finally:
            self._grabber.close()
            if self._writer is not None:
                self._writer.discard()
            with suppress(WorldsimError):  # after another error: what is finished is saved all the same, if that is possible
                self._saver.finish()
        if self.counts.dropped:
            print(
                f"worldsim: {self.counts.dropped} of {self.counts.frames} frames were dropped, and the frames before them "
                "repeated: the machine was too busy. Record fewer frames per second (--fps), or make the window smaller.",
                file=sys.stderr,
            )
        return self.counts

    def _tick(self, interval: float) -> bool:
        """Takes one frame; returns whether to go on."""
        region = self.backend.region()
        if region is None:
            print(f"worldsim: the window {self.backend.title!r} is gone.", file=sys.stderr)
            return False
        self._read_inputs()
        if self._wanted != self._recording:
            self._begin() if self._wanted else self._end()
        if self._recording:
            taken, pixels = self._grabber.grab(region)
            height, width, _ = self.recorder.info.frame_shape
            self._add(Taken(self._grabber.scale(pixels, height, width), taken))
            if self.config.seconds and self._total >= self.config.seconds * self.recorder.info.fps:
                return False
            if self._rows * interval >= self.config.episode_seconds:
                self._save()
                self._open_episode()
        self._show()
        return True

    def _read_inputs(self) -> None:
        focused = self.backend.focused()
        for event in self.backend.inputs():
            if event.kind == "key" and event.name == self.config.hotkey:
                self._wanted ^= event.down
            elif focused:
                self.timeline.add(event)
                self.counts.inputs += 1
        if self._focused and not focused:
            self.timeline.release(time.monotonic())
        self._focused = focused

    def _begin(self) -> None:
        self.timeline.take(time.monotonic() - self.delay)  # what came before does not count; what is held does
        self._taken.clear()
        self._recording = True
        self._open_episode()

    def _open_episode(self) -> None:
        """The next episode; a frame that waits is its first."""
        self._writer = EpisodeWriter(self.recorder.root / PARTIAL / f"episode-{next(self._names)}.mp4", self.recorder.info)
        self._rows = self._dropped = 0
        self._first = self._taken[0].time if self._taken else 0.0

    def _end(self) -> None:
        """Stops recording; the last frame has no successor, and so no row."""
        if not self._recording:
            return
        self._recording = False
        time.sleep(LATE)
        self._read_inputs()
        self._write(len(self._taken) - 1)
        self._save()

    def _save(self) -> None:
        """Hands the episode over to the thread that saves it."""
        about = {"window": self.backend.title, "delay_ms": round(1000 * self.delay, 1), "dropped": self._dropped}
        label = json.dumps({**about, "backend": self.backend.name})
        writer, self._writer = self._writer, None
        assert writer is not None
        self._saver.put(Finished(writer, label, self._first, self._dropped))

    def _commit(self, done: Finished) -> None:
        take = done.writer.close()
        if take is None:
            return
        split = next_split(self.recorder.episodes.values(), self.config.eval_share)
        self.recorder.commit(take, policy="human", split=split, capture=done.label)
        self.counts.episodes += 1
        self.counts.frames += len(take.rows)
        self.counts.dropped += done.dropped
        self.counts.first_times.append(done.first)

    def _repeat(self, due: float) -> None:
        """Stands in for a frame that there was no time for."""
        if self._recording and self._taken:
            self._add(Taken(self._taken[-1].frame, due, dropped=True))

    def _add(self, taken: Taken) -> None:
        if not self._taken:
            self._first = taken.time
        self._taken.append(taken)
        certain = sum(one.time <= taken.time - LATE for one in self._taken)
        self._write(certain - 1)

    def _write(self, rows: int) -> None:
        """Writes the first `rows` frames that wait, each with what was done between it and the next."""
        for _ in range(rows):
            now = self._taken.popleft()
            vector = self.timeline.take(self._taken[0].time)
            seconds = np.array([now.time - self._first], np.float32)
            assert self._writer is not None
            self._writer.append(now.frame, vector, 0.0, False, False, seconds)
            self._rows += 1
            self._total += 1
            self._dropped += now.dropped

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown_at < SHOWN_EVERY:
            return
        self._shown_at = now
        key = self.config.hotkey.upper()
        if not self._recording:
            saved = f", {self._total} frames saved" if self._total else ""
            self.backend.show(f"not recording: {key} starts{saved}", GREY, False)
            return
        seconds = self._rows / self.recorder.info.fps
        dropped = f", {self._dropped} DROPPED" if self._dropped else ""
        away = "" if self._focused else ", window not in front"
        text = f"recording {seconds // 60:.0f}:{seconds % 60:02.0f}, {self._rows} frames{dropped}{away}; {key} stops"
        self.backend.show(text, AMBER if self._dropped or away else RED, True)


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM, which end a recording where it is whole rather than in the middle of a row."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report(counts: Counts, folder: Path) -> str:
    """What was recorded, in a line."""
    if not counts.episodes:
        return "nothing was recorded"
    dropped = f", {counts.dropped} of them repeated because there was no time" if counts.dropped else ""
    return f"{counts.episodes} episodes, {counts.frames} frames{dropped}: {folder}"


def save_settings(folder: Path, figures: dict[str, Any]) -> None:
    """Keeps what calibration found."""
    write_json(folder / SETTINGS, figures)
