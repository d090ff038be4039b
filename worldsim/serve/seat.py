"""A player's place in a world that many share: controls go in, the newest frame comes out."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.data.images import ClipWriter
from worldsim.errors import ServeError, check_int, check_number
from worldsim.player.latch import Latch
from worldsim.player.pacing import Timings
from worldsim.provenance import MARKS, Claim, MarkOptions
from worldsim.serve.start import Past, Start, check_start
from worldsim.world.checks import LARGEST_SEED

MOST_STEPS, MOST_TEMPERATURE = 16, 10.0
CLIP_BYTES = 16 * 2**20  # of frames that are kept for a clip


@dataclass(frozen=True)
class Frame:
    """What a player sees.

    Attributes:
        image: uint8 `(H, W, 3)`, not to be changed. Of an end there is no picture: the last one stays.
        controls: float32 `(A,)` in the units of the world's `ControlSpec`, that led to it.
        number: frames since the start; 0 for the first, which no controls led to.
        episode: starts since the player came; the first is 1.
        score: sum of the rewards since the start.
        over: whether the episode ended here; nothing follows until `Seat.restart`.
        inputs: how many calls of `Seat.hold` and `Seat.release_all` count in its controls.
        made: `time.perf_counter()` when it was ready.
        given: whether it was not generated, such as a picture that the dream begins with.
    """

    image: NDArray[np.uint8]
    controls: NDArray[np.float32]
    number: int
    episode: int
    score: float
    over: bool
    inputs: int
    made: float
    given: bool = False


class Clip(NamedTuple):
    """What a player saw last.

    Attributes:
        frames: uint8 `(N, H, W, 3)`.
        controls: float32 `(N, A)`, that led to each.
        given: bool `(N,)`, which of them were not generated.
        fps: frames per second.
    """

    frames: NDArray[np.uint8]
    controls: NDArray[np.float32]
    given: NDArray[np.bool_]
    fps: float

    def save(self, path: Path, scale: int = 1, claim: Claim | None = None, marks: MarkOptions = MARKS) -> None:
        """Writes an .mp4 or a .gif, whole or not at all.

        Args:
            path: file that ends in .mp4 or .gif.
            scale: every pixel becomes a square of so many.
            claim, marks: see `ClipWriter`.

        Raises:
            FileError: if the name ends otherwise, or no file can be written there.
        """
        with ClipWriter(path, self.fps, scale, claim, marks) as writer:
            for frame, given in zip(self.frames, self.given, strict=True):
                writer.append(frame, not given)


class Seat:
    """A player's place, from `Engine.join`. All methods may be called from any thread, and none waits for the model.

    Only the newest frame is kept: whoever reads slowly misses frames, and never gets old ones.

    Args:
        spec: controls that count.
        fps: frames per second.
        start: the first one.
        starts: how many start contexts there are.
        num_steps, temperature: of the sampler.
        reads_prompts: whether the world does.
        clip_seconds: how much is kept for `clip`.
        poke: wakes the engine.
        allow: raises `ServeError` unless there is time for this seat to take so many denoising steps.

    Attributes:
        seed: of the present episode.
        frames: frames made so far.
        skipped: frames that were replaced before anybody took them.
        inputs: calls of `hold` and `release_all` so far.
        reason: why the place was lost, in a sentence; None while it is held.
    """

    def __init__(
        self,
        spec: ControlSpec,
        fps: float,
        start: Start,
        *,
        starts: int,
        num_steps: int,
        temperature: float,
        reads_prompts: bool = False,
        clip_seconds: float,
        poke: Callable[[], None],
        allow: Callable[[Seat, int], None],
    ) -> None:
        self.spec, self.fps, self.seed = spec, fps, start.seed
        self.frames = self.skipped = self.inputs = 0
        self.reason: str | None = None
        self._poke, self._allow, self._clip_seconds, self._starts = poke, allow, clip_seconds, starts
        self._changed = threading.Condition()
        self._latch = Latch(spec)
        self._wanted: Start | None = start
        self._num_steps, self._temperature = num_steps, temperature
        self._prompt, self._reads = "", reads_prompts
        self._paused = False
        self._newest: Frame | None = None
        self._unread = False
        self._watchers: list[Callable[[], None]] = []
        self._kept: deque[Frame] = deque()
        self._timings = Timings(max(2, round(2 * fps)))

    def hold(self, keys: Iterable[str] = (), mouse: tuple[float, float] = (0.0, 0.0), buttons: Iterable[str] = ()) -> int:
        """What is held from now on. A key that was pressed and let go between two frames counts for one frame.

        Args:
            keys: names of all keys held, from `KEY_NAMES`; arrow keys stand in for w, a, s, d where the world has none.
            mouse: motion `(dx, dy)` since the last call, in pixels; right and down are positive. Motions add up.
            buttons: names of all mouse buttons held.

        Returns:
            How many inputs there were so far; frames that count this one have at least as many `inputs`.

        Raises:
            ControlError: for unknown names or a motion that is not finite. Nothing has changed then.
        """
        given = Controls(keys=frozenset(keys), mouse=mouse, buttons=frozenset(buttons))
        with self._changed:
            self._latch.hold(given.keys, given.buttons)
            self._latch.move(*given.mouse)
            self.inputs += 1
            return self.inputs

    def release_all(self) -> int:
        """Lets everything go, as when the player's window lost the focus. Returns what `hold` returns."""
        with self._changed:
            self._latch.release()
            self.inputs += 1
            return self.inputs

    def restart(
        self,
        seed: int | None = None,
        start: int | None = None,
        past: Past | None = None,
        picture: NDArray[np.uint8] | None = None,
    ) -> None:
        """Starts another episode with the next frame; of several calls before that, the last one counts.

        Args:
            seed: from 0 to 2**64 - 1; by default the one after the present episode's.
            start: index of the start context; by default drawn from the seed.
            past: frames of this world to go on from instead.
            picture: of the player's own, to begin with instead, uint8 `(H, W, 3)` of the world's size.

        Raises:
            ServeError: if the place is lost.
            WorldError: if there is no such seed or start.
        """
        self._check_open()
        after = (self.seed + 1) % LARGEST_SEED
        wanted = check_start(after if seed is None else seed, start, self._starts)._replace(past=past, picture=picture)
        with self._changed:
            self._wanted = wanted
        self._poke()

    def pause(self, paused: bool = True) -> None:
        """Stops the dream, or goes on with it. A pause keeps the place, and takes no time from others."""
        with self._changed:
            if paused != self._paused:
                self._timings = Timings(max(2, round(2 * self.fps)))
            self._paused = paused
        self._poke()

    @property
    def newest(self) -> Frame | None:
        """The newest frame, taken or not; None before the first."""
        return self._newest

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def num_steps(self) -> int:
        """Denoising steps per frame. Those who take another number than the rest need a network call of their own.

        Setting it raises `ServeError` if there is no time for that, or for so many steps, while the others play at full rate.
        """
        return self._num_steps

    @num_steps.setter
    def num_steps(self, value: int) -> None:
        value = check_int("num_steps", value, 1, MOST_STEPS, ServeError)
        self._allow(self, value)
        self._num_steps = value

    @property
    def prompt(self) -> str:
        """What the dream shows from the next frame on, in a world that reads prompts; "" for anything.

        Setting it raises `ServeError` in a world that reads none.
        """
        return self._prompt

    @prompt.setter
    def prompt(self, value: str) -> None:
        if value and not self._reads:
            raise ServeError("this world takes no prompts.")
        self._prompt = value

    @property
    def temperature(self) -> float:
        """Temperature of random events, from 0 to 10; 1 as trained."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._temperature = check_number("temperature", value, 0, MOST_TEMPERATURE, error=ServeError)

    def frame(self, timeout: float | None = None) -> Frame | None:
        """Waits for a frame that was not taken yet; of several, the newest. Not for the thread of an event loop: see `watch`.

        Args:
            timeout: seconds to wait at most; None for ever.

        Returns:
            The frame; None if none came in time.

        Raises:
            ServeError: if the place is lost; it says why.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._unread or self.reason is not None, timeout)
        return self.take()

    def take(self) -> Frame | None:
        """The newest frame if it was not taken yet, without waiting.

        Raises:
            ServeError: if the place is lost; it says why.
        """
        self._check_open()
        with self._changed:
            fresh, self._unread = self._unread, False
            return self._newest if fresh else None

    def watch(self, callback: Callable[[], None]) -> None:
        """Calls a function after every frame, and when the place is lost, in the engine's thread. It must return at once and
        raise nothing: with asyncio give `lambda: loop.call_soon_threadsafe(event.set)`, and `take` the frame there.
        """
        self._watchers.append(callback)
        if self._unread or self.reason is not None:
            callback()

    def clip(self) -> Clip:
        """What was shown last, as copies: as many seconds as the engine keeps.

        Raises:
            ServeError: before the first frame.
        """
        with self._changed:
            kept = list(self._kept)
        if not kept:
            raise ServeError("nothing was shown yet; ask for a clip after the first frame.")
        images, controls = np.stack([frame.image for frame in kept]), np.stack([frame.controls for frame in kept])
        return Clip(images, controls, np.array([frame.given for frame in kept]), self.fps)

    def rate(self) -> float:
        """Frames per second of the last two seconds; 0 while nothing moves."""
        return self._timings.fps() if self.active else 0.0

    def leave(self, reason: str = "you left.") -> None:
        """Gives the place back; another may have it from the next frame on. May be called again."""
        self.end(reason)
        self._poke()

    def _check_open(self) -> None:
        if self.reason is not None:
            raise ServeError(self.reason)

    # What follows is called by the engine.

    @property
    def active(self) -> bool:
        """Whether the next frame is to be imagined."""
        return not self._paused and self.reason is None and self._newest is not None and not self._newest.over

    @property
    def is_new(self) -> bool:
        """Whether it has not got its first frame yet."""
        return self.reason is None and self._newest is None

    @property
    def waits(self) -> bool:
        """Whether there is something to do for it: a frame or a start."""
        return self.reason is None and (self._wanted is not None or self.active)

    def wanted(self) -> Start | None:
        """The start asked for, once."""
        with self._changed:
            start, self._wanted = self._wanted, None
            return start

    def latch(self) -> tuple[NDArray[np.float32], int]:
        """The control vector `(A,)` of the next frame, which uses up taps and motion, and the inputs it counts."""
        with self._changed:
            return self.spec.to_vector(self._latch.take()), self.inputs

    def begin(self, image: NDArray[np.uint8], start: Start) -> None:
        """Shows the first frame of an episode."""
        self.seed, given = start.seed, start.picture is not None or start.past is not None
        episode = 1 if self._newest is None else self._newest.episode + 1
        still = np.zeros(self.spec.size, np.float32)
        self._show(Frame(image, still, 0, episode, 0.0, False, self.inputs, time.perf_counter(), given))

    def follow(self, image: NDArray[np.uint8], controls: NDArray[np.float32], inputs: int, reward: float, over: bool) -> None:
        """Shows the next frame."""
        last = self._newest
        assert last is not None
        image = last.image if over else image
        number, score = last.number + 1, last.score + reward
        self._show(Frame(image, controls, number, last.episode, score, over, inputs, time.perf_counter(), over and last.given))

    def end(self, reason: str) -> None:
        """Takes the place away."""
        with self._changed:
            if self.reason is not None:
                return
            self.reason = reason
            self._changed.notify_all()
        self._call()

    def _show(self, frame: Frame) -> None:
        longest = max(1, min(round(self._clip_seconds * self.fps), CLIP_BYTES // frame.image.nbytes))
        with self._changed:
            self.skipped += self._unread
            self.frames += 1
            self._newest, self._unread = frame, True
            self._kept.append(frame)
            while len(self._kept) > longest:
                self._kept.popleft()
            self._timings.add(frame.made, 0.0)
            self._changed.notify_all()
        self._call()

    def _call(self) -> None:
        for callback in self._watchers:
            callback()
