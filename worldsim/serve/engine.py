"""Continuous batching: one thread, one batched world, and players who come and go between two frames."""

from __future__ import annotations

import atexit
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from worldsim.errors import FullError, ServeError, WorldError, WorldsimError, check_int, check_number
from worldsim.player.pacing import Pacer
from worldsim.serve.capacity import SHARE, Budget, Capacity
from worldsim.serve.rows import Move, Rows
from worldsim.serve.seat import Seat
from worldsim.serve.sizes import Sizes
from worldsim.serve.start import check_start
from worldsim.world import World

LARGEST, MOST_PLAYERS = 32, 512  # players, unless a limit is given; and that can be given
CLIP_SECONDS = 20.0
PATIENCE = 5.0  # seconds in which a smaller batch has to suffice before it is taken


class Engine:
    """A world that many play at once, at its own rate, each their own dream.

    >>> with Engine(load_world("doom/take-cover")) as engine:
    ...     seat = engine.join(seed=0)
    ...     seat.hold({"a"})
    ...     frame = seat.frame()

    All who play share one network call per frame. Worlds of more and more rows are prepared in the background, and timed, up to
    the largest batch that keeps full rate on this machine; there is room for as many players. A player's dream depends on their
    seed, start and controls alone, to rounding.

    Args:
        world: a batch of 1, or of as many players as there is room for from the first moment. The engine has it until `close`;
            meanwhile others may use its config, its starts, `encode` and `decode`.
        limit: players at most.
        full_rate: whether newcomers have to wait when one more would slow down those who play; otherwise as many may join as
            the limit allows.
        clip_seconds: how much is kept of each player for `Seat.clip`.
        budget: shared by all engines of a process, so that players of one world do not slow down those of another.
        say: gets a line about each batch size that is prepared.

    Attributes:
        world: the one that was given.
        sizes: the batch sizes being prepared; `sizes.wait()` waits until there will be no more.
        reason: why the engine ended, in a sentence; None while it runs.

    Raises:
        WorldError: if something else uses the world.
        ServeError: if `limit` or `clip_seconds` is out of range.
    """

    def __init__(
        self,
        world: World,
        limit: int | None = None,
        *,
        full_rate: bool = True,
        clip_seconds: float = CLIP_SECONDS,
        budget: Budget | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        limit = LARGEST if limit is None else check_int("limit", limit, 1, MOST_PLAYERS, ServeError)
        self._clip_seconds = check_number("clip_seconds", clip_seconds, 0, 3600, error=ServeError)
        world.claim(self)
        self.world, self.reason = world, cast(str | None, None)
        self._usual = world.num_steps, world.temperature
        self._full_rate, self._budget = full_rate, budget or Budget()
        rounds = world.stream.rounds
        self._capacity = Capacity(1 / world.config.fps, lambda steps: rounds + steps - 1, world.num_steps)
        self._rows: Rows[Seat] = Rows(world)
        self._limit = limit
        self.sizes = Sizes(self._rows, self._capacity, limit, full_rate, say or (lambda line: None))
        self._wake = threading.Condition()
        self._seats: list[Seat] = []
        self._closing: str | None = None
        self._counts: Counter[str] = Counter()
        self._seconds: deque[float] = deque(maxlen=1000)
        self._roomy_since = 0.0
        self._thread = threading.Thread(target=self._run, name=f"engine of {world.config.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def limit(self) -> int:
        """Players for whom rows are prepared so far."""
        return min(self._limit, self._rows.sizes[-1])

    @property
    def players(self) -> int:
        """Seats that are taken."""
        return sum(seat.reason is None for seat in self._seats)

    @property
    def has_room(self) -> bool:
        """Whether `join` would give a seat now."""
        with self._wake:
            return self._refusal() is None

    def join(self, seed: int | None = None, start: int | None = None) -> Seat:
        """Takes a seat; its first frame is there within the time between two frames.

        Args:
            seed: of the first episode, from 0 to 2**64 - 1; by default unpredictable.
            start: index of the start context; by default drawn from the seed.

        Raises:
            FullError: if one more would keep the others from full rate; it says so in a sentence for the player.
            ServeError: if the engine has ended.
            WorldError: if there is no such seed or start.
        """
        starts = len(self.world.starts)
        first = check_start(secrets.randbits(32) if seed is None else seed, start, starts)
        with self._wake:
            if self._closing is not None:
                raise ServeError(self._closing)
            refusal = self._refusal()
            self._counts["refused" if refusal else "joined"] += 1
            if refusal:
                raise FullError(refusal)
            seat = Seat(
                self.world.control_spec,
                self.world.config.fps,
                first,
                starts=starts,
                num_steps=self._usual[0],
                temperature=self._usual[1],
                reads_prompts=self.world.words is not None,
                clip_seconds=self._clip_seconds,
                poke=self._poke,
                allow=self._allow,
            )
            self._seats.append(seat)
            self._wake.notify_all()
        return seat

    def close(self, reason: str = "the server is closing.") -> None:
        """Ends the clock and all seats, each with the reason. May be called again."""
        with self._wake:
            if self._closing is None:
                self._closing = reason
            self._wake.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def figures(self) -> dict[str, Any]:
        """What there is to watch: counts since the start, and times of the last thousand frames in seconds."""
        with self._wake:
            seats, counts = list(self._seats), Counter(self._counts)
            seconds = list(self._seconds)
        rates = [seat.rate() for seat in seats if seat.active]
        p50, p99 = np.percentile(seconds, (50, 99)).tolist() if seconds else (0.0, 0.0)
        return {
            "players": len(seats),
            "limit": self.limit,
            "prepared": self.sizes.done,
            "rows": self._rows.size,
            "fps": self.world.config.fps,
            "rate_slowest": min(rates, default=0.0),
            "rate_fastest": max(rates, default=0.0),
            "frame_seconds_p50": p50,
            "frame_seconds_p99": p99,
            "slowdown": self._capacity.slowdown,
            "skipped": counts["skipped"] + sum(seat.skipped for seat in seats),
            **{name: counts[name] for name in ("frames", "late", "joined", "refused", "left", "faults")},
        }

    def _refusal(self) -> str | None:
        """Why one more player cannot come now, in a sentence for them; None if they can."""
        steps = [seat.num_steps for seat in self._seats if seat.reason is None]
        if len(steps) >= self.limit:
            if self.limit < self._limit and not self.sizes.done:
                return "more places are being prepared; wait a moment."
            return f"all {self.limit} places are taken; wait until somebody leaves."
        if self._fits([*steps, self._usual[0]]):
            return None
        return "one more player would slow down those who play; wait until somebody leaves."

    def _fits(self, steps: list[int]) -> bool:
        """Whether there is time for players who take so many denoising steps each. One who disturbs nobody may take any."""
        others = self._budget.others(self)
        alone = len(steps) == 1 and others == 0
        return alone or not self._full_rate or self._capacity.share(steps) + others <= SHARE

    def _allow(self, seat: Seat, num_steps: int) -> None:
        """Raises `ServeError` unless there is time for a seat to take so many steps."""
        with self._wake:
            others = [other.num_steps for other in self._seats if other is not seat and other.reason is None]
            before, after = [*others, seat.num_steps], [*others, num_steps]
            cheaper = self._capacity.share(after) <= self._capacity.share(before)
            if not cheaper and not self._fits(after):
                raise ServeError(f"{num_steps} steps a frame would slow down others who play; take as many as they do, or wait.")

    def _poke(self) -> None:
        with self._wake:
            self._wake.notify_all()

    def _run(self) -> None:
        """The thread: seats newcomers whenever they come, and makes a frame for everybody when it is due."""
        pacer, fault = Pacer(self.world.config.fps, time.perf_counter()), "the engine stopped because of a fault of its own."
        try:
            while self._wait(pacer):
                self._usher()
                now = time.perf_counter()
                if not pacer.wait(now) and any(seat.waits for seat in self._seats):
                    pacer.start(now)
                    self._frame()
        except WorldsimError as error:
            fault = f"the engine stopped: {error}"
            raise
        finally:
            self._end(fault)

    def _wait(self, pacer: Pacer) -> bool:
        """Sleeps until there is something to do; returns whether to go on."""
        with self._wake:
            while self._closing is None:
                if any(seat.reason is not None or seat.is_new for seat in self._seats):
                    return True
                wait = pacer.wait(time.perf_counter()) if any(seat.waits for seat in self._seats) else None
                if wait == 0:
                    return True
                self._wake.wait(wait)
            return False

    def _usher(self) -> None:
        """Frees the rows of those who left, and gives rows and first frames to those who came."""
        with self._wake:
            gone = {seat for seat in self._seats if seat.reason is not None}  # asked once, since anybody may leave meanwhile
            seats = [seat for seat in self._seats if seat not in gone]
            self._seats = list(seats)
            self._counts["left"] += len(gone)
            self._counts["skipped"] += sum(seat.skipped for seat in gone)
        for seat in gone:
            self._rows.free(seat)
        if len(seats) > self._rows.size:
            self._rows.resize(self._rows.fitting(len(seats)))
        for seat in seats:
            if seat.is_new:
                self._start(seat)
        self._report(seats)

    def _start(self, seat: Seat) -> bool:
        """Starts the episode that a seat asked for; returns whether it did."""
        start = seat.wanted()
        if start is not None:
            self._guarded(seat, lambda: seat.begin(self._rows.start(seat, start), start))
        return start is not None

    def _frame(self) -> None:
        """Makes the next frame of everybody who plays."""
        begun = time.perf_counter()
        moves: dict[Seat, Move] = {}
        inputs: dict[Seat, int] = {}
        for seat in self._seats:
            if seat.waits and not seat.is_new and not self._start(seat):  # who came since then has no row yet
                vector, inputs[seat] = seat.latch()
                moves[seat] = Move(vector, seat.num_steps, seat.temperature, seat.prompt)
        made = self._rows.step(moves)
        for seat, (image, reward, over, sound) in made.items():
            if sound:
                follow = partial(seat.follow, image, moves[seat].vector, inputs[seat], reward, over)
                self._guarded(seat, follow)
            else:
                self._fail(seat, "the dream broke: it holds numbers that are not finite; join again.")
        if made:
            self._note(time.perf_counter() - begun, [move.num_steps for move in moves.values()])
        self._shrink(begun)

    def _shrink(self, now: float) -> None:
        """Takes a smaller batch once it has sufficed for a while, so that players who come and go do not move everybody."""
        size = self._rows.fitting(max(1, self._rows.dreams))  # who came or left since then is not counted
        if size >= self._rows.size:
            self._roomy_since = now
        elif now - self._roomy_since > PATIENCE:
            self._rows.resize(size)

    def _guarded(self, seat: Seat, call: Callable[[], None]) -> None:
        """Calls something of one seat, whose fault ends that seat and no other."""
        try:
            call()
        except Exception as error:
            self._fail(seat, f"your place was lost by a fault: {type(error).__name__}.")

    def _fail(self, seat: Seat, reason: str) -> None:
        self._counts["faults"] += 1
        with suppress(Exception):
            seat.end(reason)

    def _note(self, seconds: float, steps: list[int]) -> None:
        self._capacity.note(seconds, self._rows.size, steps)
        with self._wake:
            self._seconds.append(seconds)
            self._counts["frames"] += len(steps)
            self._counts["late"] += seconds > self._capacity.interval

    def _report(self, seats: list[Seat]) -> None:
        """Tells the other engines how much time this one takes."""
        steps = [seat.num_steps for seat in seats]
        self._budget.set(self, self._capacity.share(steps) if seats else 0.0)

    def _end(self, fault: str) -> None:
        """Ends all seats, and gives the world back."""
        atexit.unregister(self.close)
        with self._wake:
            self.reason = self._closing = reason = self._closing or fault
            seats, self._seats = self._seats, []
        for seat in seats:
            with suppress(Exception):
                seat.end(reason)
        self.sizes.close()
        self._budget.set(self, 0.0)
        self.world.num_steps, self.world.temperature = self._usual
        self.world.release(self)


def load_world(name: str | Path, *, device: str = "auto", runtime: str = "auto") -> World:
    """Loads a world to be served: with "auto" by OpenVINO wherever that can run it, since waiting for its graphs pays here.

    Args:
        name, device, runtime: as for `World.load`.

    Raises:
        WorldError: if there is no such world, its folder is damaged, or it cannot run so.
    """
    if runtime == "auto":
        with suppress(WorldError):
            return World.load(name, device=device, runtime="openvino")
    return World.load(name, device=device, runtime=runtime)
