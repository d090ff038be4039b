"""Measures the delay between an input and the picture that shows it, by pressing a key and watching the window."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.capture.backend import Backend, open_backend
from worldsim.capture.config import CaptureConfig
from worldsim.capture.grabber import Grabber
from worldsim.capture.session import describe, save_settings
from worldsim.data.folder import check_recordable
from worldsim.data.recorder import Recorder
from worldsim.errors import DisplayError

WATCHED = 256  # pixels along the longer side that are looked at
BLOCK = 8  # pixels along a side of what is compared
IDLE, PATIENCE, HELD = 2.0, 1.0, 0.1  # seconds
STILL, CALMS = 0.25, 4.0  # seconds without a change before a press, and in which that must happen
PAUSE = 0.1  # seconds before a press at most, random, so that it falls anywhere in the program's own frames
CHANGED = 5.0  # grey levels, beyond the most that a block changes by itself
SHARE = 0.6  # of the presses that must show


def calibrate(config: CaptureConfig) -> dict[str, Any]:
    """Measures the delay, and keeps it in the dataset, which is made if it is not there yet.

    Returns:
        `delay_ms`, the median, with `p10_ms` and `p90_ms`; `presses` and how many were `seen`; `poll_ms` between two looks, and
        `all_ms`, the delay of every press seen.

    Raises:
        DisplayError: if there is no such window, or the picture does not tell when a key was pressed.
    """
    check_recordable(config.folder)
    backend = open_backend(config.window)
    try:
        info = describe(config, backend)
        keys, times = config.press or config.keys[:1], config.presses
        print(f"calibrating {backend.title!r}: pressing {' '.join(keys)} {times} times; leave keys and mouse alone", flush=True)
        figures = {"window": backend.title, "keys": keys, **measure(backend, keys, times)}
        with Recorder(config.folder, info):
            save_settings(config.folder, figures)
        return figures
    finally:
        backend.close()


def measure(backend: Backend, keys: Sequence[str], presses: int, seed: int = 0) -> dict[str, Any]:
    """Presses keys and watches; see `calibrate`.

    Args:
        backend: of the window, which should stand still by itself.
        keys: to press in turn.
        presses: how many.
        seed: of the pauses.

    Raises:
        DisplayError: if too few presses show, or the picture moves too much by itself.
    """
    watcher, chance = _Watcher(backend), random.Random(seed)
    try:
        watcher.learn_noise(IDLE)
        delays = []
        for press in range(presses):
            key = keys[press % len(keys)]
            watcher.wait_until_still()
            time.sleep(chance.uniform(0, PAUSE))
            _, before = watcher.look()
            backend.inputs()
            backend.press(key, True)
            sent = time.monotonic()
            seen = watcher.watch(before, sent, PATIENCE)
            time.sleep(HELD)
            backend.press(key, False)
            time.sleep(HELD)
            times = [event.time for event in backend.inputs() if event.kind == "key" and event.name == key and event.down]
            if seen is not None:
                delays.append(seen - (times[0] if times else sent))
    finally:
        watcher.close()
    if len(delays) < SHARE * presses:
        raise DisplayError(
            f"the picture changed after {len(delays)} of {presses} presses of {' '.join(keys)}; bring the window to the "
            "front, and give keys that change the picture every time, such as --press left right."
        )
    low, middle, high = np.percentile(1000 * np.maximum(delays, 0), (10, 50, 90))
    return {
        "delay_ms": float(middle),
        "p10_ms": float(low),
        "p90_ms": float(high),
        "presses": presses,
        "seen": len(delays),
        "poll_ms": 1000 * watcher.interval,
        "all_ms": [round(1000 * delay, 1) for delay in delays],
    }


def format_delay(figures: dict[str, Any]) -> str:
    """What `calibrate` found, in a line."""
    return (
        f"delay {figures['delay_ms']:.0f} ms ({figures['p10_ms']:.0f} to {figures['p90_ms']:.0f} ms, "
        f"{figures['seen']} of {figures['presses']} presses seen, looked every {figures['poll_ms']:.0f} ms)"
    )


class _Watcher:
    """Looks at the window as often as it can, in grey and made smaller."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._grabber = backend, Grabber()
        region = backend.region()
        if region is None:
            raise DisplayError(f"the window {backend.title!r} is gone.")
        scale = min(1.0, WATCHED / max(region.height, region.width))
        self._size = tuple(max(BLOCK, round(side * scale) // BLOCK * BLOCK) for side in (region.height, region.width))
        self._limit: NDArray[np.float32] = np.zeros(1, np.float32)
        self.interval = 0.0

    def look(self) -> tuple[float, NDArray[np.int16]]:
        """The time and the picture then, int16 `(height, width)`."""
        region = self._backend.region()
        if region is None:
            raise DisplayError(f"the window {self._backend.title!r} is gone.")
        taken, pixels = self._grabber.grab(region)
        height, width = self._size
        return taken, self._grabber.scale(pixels, height, width, "gray").astype(np.int16)

    def learn_noise(self, seconds: float) -> None:
        """Finds out how much each block changes by itself within the time in which presses are awaited."""
        begun, pictures = time.monotonic(), [self.look()[1]]
        while time.monotonic() - begun < seconds:
            pictures.append(self.look()[1])
        self.interval = (time.monotonic() - begun) / len(pictures)
        span = max(1, round(len(pictures) * PATIENCE / seconds))
        references = range(0, len(pictures) - span, max(1, span // 8))
        changes = [_changes(pictures[i], pictures[j]) for i in references for j in range(i + 1, i + span, max(1, span // 30))]
        self._limit = CHANGED + 1.5 * np.max(changes, axis=0, initial=0.0)

    def wait_until_still(self) -> None:
        """Waits until nothing has changed for a while.

        Raises:
            DisplayError: if that does not happen.
        """
        begun = time.monotonic()
        while self.watch(self.look()[1], time.monotonic(), STILL) is not None:
            if time.monotonic() - begun > CALMS:
                raise DisplayError(
                    f"the picture in {self._backend.title!r} does not stand still, so that presses cannot be told from it; pause "
                    "what moves, or look at something still."
                )

    def watch(self, before: NDArray[np.int16], since: float, seconds: float) -> float | None:
        """Waits for a picture that is unlike `before`; the middle between the two looks around the change, None if none came."""
        last = since
        while last - since < seconds:
            taken, picture = self.look()
            if (_changes(before, picture) > self._limit).any():
                return (last + taken) / 2
            last = taken
        return None

    def close(self) -> None:
        self._grabber.close()


def _changes(one: NDArray[np.int16], other: NDArray[np.int16]) -> NDArray[np.float32]:
    """Mean change of every block in grey levels, `(height / BLOCK, width / BLOCK)`."""
    height, width = one.shape
    blocks = np.abs(one - other).reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return blocks.mean(axis=(1, 3), dtype=np.float32)
