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
from typing import Any, cast

import numpy as np

from worldsim.errors import FullError, ServeError, WorldsimError, check_int
from worldsim.player.pacing import Pacer
from worldsim.serve.capacity import SHARE, Budget, Capacity
from worldsim.serve.rows import Move, Rows
from worldsim.serve.seat import Seat, check_start
from worldsim.world import World

LARGEST = 32  # batch sizes are powers of two up to here
CLIP_SECONDS = 20.0


class Engine:
    """A world that many play at once, at its own rate, each their own dream.

    >>> with Engine(World.load("doom/take-cover", runtime="openvino")) as engine:
    ...     seat = engine.join(seed=0)
    ...     seat.hold({"a"})
    ...     frame = seat.frame()

    All who play share one network call per frame. Making the engine takes a while: it prepares every batch size up to the largest
    that keeps full rate here, and times each; so nobody waits later when others come. A player's dream depends on their seed and
    controls alone, to rounding.

    Args:
        world: of any batch; the engine has it until `close`.
        limit: players at most; by default as many as keep full rate on this machine.
        clip_seconds: how much is kept of each player for `Seat.clip`.
        budget: shared by all engines of a process, so that players of one world do not slow those of another.
        say: gets a line about each step of the preparation.

    Attributes:
        world: the one that was given, for its config, its starts and its controls.
        reason: why the engine ended, in a sentence; None while it runs.

    Raises:
        WorldError: if an environment uses the world.
        ServeError: if `limit` is out of range.
    """

    def __init__(
        self,
        world: World,
        limit: int | None = None,
        *,
        clip_seconds: float = CLIP_SECONDS,
        budget: Budget | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._limit = LARGEST if limit is None else check_int("limit", limit, 1, 1024, ServeError)
        self._forced = limit is not None
        world.claim(self)
        self.world, self.reason = world, cast(str | None, None)
        self._clip_seconds, self._budget, self._say = clip_seconds, budget or Budget(), say or (lambda line: None)
        rounds = world.stream.rounds
        self._capacity = Capacity(1 / world.config.fps, lambda steps: rounds + steps - 1, world.num_steps)
        self._rows: Rows[Seat] = Rows(world)
        self._prepare()
        self._wake = threading.Condition()
        self._seats: list[Seat] = []
        self._closing: str | None = None
        self._counts: Counter[str] = Counter()
        self._seconds: deque[float] = deque(maxlen=1000)
        self._thread = threading.Thread(target=self._run, name=f"engine of {world.config.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def limit(self) -> int:
        """Players that it holds at full rate, as measured before anybody played, or as given."""
        return self._rows.sizes[-1]

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
                num_steps=self.world.num_steps,
                temperature=self.world.temperature,
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
        atexit.unregister(self.close)

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

    def _prepare(self) -> None:
        """Makes and times worlds of all sizes that keep full rate, or up to the limit that was given."""
        size = 1
        while self._time(size) and size < self._limit:
            size = min(2 * size, self._limit)
        if self._capacity.holds(size) or size == 1 or self._forced:
            return
        self._rows.drop(size)
        best = self._capacity.between(self._rows.sizes[-1], size)
        del self._capacity.seconds[size]
        if best > self._rows.sizes[-1] and not self._time(best):
            self._rows.drop(best)
            del self._capacity.seconds[best]

    def _time(self, size: int) -> bool:
        """Makes a world of a size and times it; returns whether to go on with larger ones."""
        if size not in self._rows.sizes:
            self._rows.prepare(size)
        seconds = self._capacity.measure(size, lambda: self._rows.time_step(size), time.perf_counter)
        self._say(f"{size} at a time: {1e3 * seconds:.1f} ms a frame, {1e3 * self._capacity.interval:.1f} ms at full rate")
        return self._forced or self._capacity.holds(size)

    def _refusal(self) -> str | None:
        """Why one more player cannot come now, in a sentence for them; None if they can."""
        steps = [seat.num_steps for seat in self._seats if seat.reason is None]
        players = len(steps) + 1
        if players > self.limit:
            return f"all {self.limit} places are taken; wait until somebody leaves."
        others = self._budget.others(self)
        share = self._capacity.share(players, [*steps, self.world.num_steps]) + others
        if share > SHARE and not self._forced and (players > 1 or others > 0):
            return "one more player would slow down those who play; wait until somebody leaves."
        return None

    def _allow(self, seat: Seat, num_steps: int) -> None:
        """Raises `ServeError` unless there is time for a seat to take so many steps."""
        with self._wake:
            others = [other.num_steps for other in self._seats if other is not seat and other.reason is None]
            alone = not others and self._budget.others(self) == 0
            share = self._capacity.share(len(others) + 1, [*others, num_steps]) + self._budget.others(self)
            fewer = num_steps < seat.num_steps and num_steps in others
            if not alone and not fewer and share > SHARE:
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
            gone = [seat for seat in self._seats if seat.reason is not None]
            self._seats = [seat for seat in self._seats if seat.reason is None]
            seats = list(self._seats)
            self._counts["left"] += len(gone)
            self._counts["skipped"] += sum(seat.skipped for seat in gone)
        for seat in gone:
            self._rows.free(seat)
        self._rows.fit(max(1, len(seats)))
        for seat in seats:
            if seat.is_new:
                self._start(seat)
        self._report(seats)

    def _start(self, seat: Seat) -> bool:
        """Starts the episode that a seat asked for; returns whether it did."""
        start = seat.wanted()
        if start is not None:
            self._guarded(seat, partial(seat.begin, self._rows.start(seat, start), start.seed))
        return start is not None

    def _frame(self) -> None:
        """Makes the next frame of everybody who plays."""
        begun = time.perf_counter()
        moves: dict[Seat, Move] = {}
        inputs: dict[Seat, int] = {}
        for seat in self._seats:
            if seat.waits and not self._start(seat):
                vector, inputs[seat] = seat.latch()
                moves[seat] = Move(vector, seat.num_steps, seat.temperature)
        made = self._rows.step(moves)
        for seat, (image, reward, over, sound) in made.items():
            if sound:
                follow = partial(seat.follow, image, moves[seat].vector, inputs[seat], reward, over)
                self._guarded(seat, follow)
            else:
                self._fail(seat, "the dream broke: it holds numbers that are not finite; join again.")
        if made:
            self._note(time.perf_counter() - begun, [move.num_steps for move in moves.values()])

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
        self._budget.set(self, self._capacity.share(len(seats), steps) if seats else 0.0)

    def _end(self, fault: str) -> None:
        """Ends all seats, and gives the world back."""
        with self._wake:
            self.reason = self._closing = reason = self._closing or fault
            seats, self._seats = self._seats, []
        for seat in seats:
            with suppress(Exception):
                seat.end(reason)
        self._budget.set(self, 0.0)
        self.world.release(self)
