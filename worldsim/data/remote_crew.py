"""Those that record on the machines of a cluster. They see no file of this machine: episodes come back as bytes."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from worldsim.data.crew import Job, OpenGame, Recorded, blamed
from worldsim.data.format import DatasetInfo
from worldsim.errors import ScaleError, WorldsimError
from worldsim.files import named_errors
from worldsim.scale.cluster import Cluster, LostError, Reply, Worker

SLICE = 5.0  # seconds of play in one call, so that nobody has to be waited for longer when recording ends


class Sent(NamedTuple):
    """A recorded episode and its video."""

    recorded: Recorded
    video: bytes


class RemoteGame:
    """Plays and records in a process of the cluster."""

    def __init__(self, job: Job) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="worldsim-")
        self._job = replace(job, folder=Path(self._folder.name))
        self._recording: Generator[Recorded | None] | None = None
        try:
            self._game = OpenGame(self._job)
        except Exception as error:
            self._folder.cleanup()
            raise self._named(error) from error

    def describe(self) -> DatasetInfo:
        return self._game.info

    def begin(self, index: int, split: str) -> Sent | None:
        """Begins an episode, and goes on with it."""
        self._recording = self._game.record(index, split)
        return self.go_on()

    def go_on(self) -> Sent | None:
        """Plays for a while; the episode, if it is over then."""
        assert self._recording is not None, "an episode was begun"
        begun = time.monotonic()
        try:
            for recorded in self._recording:
                if recorded is not None:
                    video = recorded.take.video.read_bytes()
                    recorded.take.video.unlink()
                    return Sent(recorded, video)
                if time.monotonic() - begun > SLICE:
                    return None
        except Exception as error:
            raise self._named(error) from error
        raise AssertionError("an episode ends by being given")

    def close(self) -> None:
        """Abandons the episode and closes the game."""
        if self._recording is not None:
            self._recording.close()
        self._game.close()
        self._folder.cleanup()

    def _named(self, error: Exception) -> WorldsimError:
        return error if isinstance(error, WorldsimError) else blamed(error, self._job.game)


class _Seat:
    """A place in the crew: its worker, and what it is doing."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.losses = 0  # of workers one after the other that got ready to do nothing
        self.reply: Reply | None = worker.call("describe")
        self.task: tuple[int, str] | None = None  # the episode; None while the game starts


class RemoteCrew:
    """A crew whose members are workers of a cluster; see `Crew`.

    A worker that is lost is replaced, and its episode is given to whoever is idle next. Nothing else has to be done again:
    an episode is lost until it is here whole, and then never.

    Args:
        job: as for local processes; its folder is this machine's.
        cluster: where they are.
        size: how many; those for whom there is no room start when there is.
    """

    def __init__(self, job: Job, cluster: Cluster, size: int) -> None:
        self._job, self._cluster = job, cluster
        self._lost: Counter[tuple[int, str]] = Counter()
        self._again: list[tuple[int, str]] = []
        self._info: DatasetInfo | None = None
        self._seats = [_Seat(cluster.start(RemoteGame, job)) for _ in range(size)]

    def describe(self) -> DatasetInfo:
        while self._info is None:
            for _ in self.results():
                raise AssertionError("nothing was assigned yet")
        return self._info

    def assign(self, split: str, indices: Iterator[int]) -> None:
        self._again = [task for task in self._again if task[1] == split]
        for seat in self._seats:
            if seat.reply is None:
                seat.task = self._again.pop(0) if self._again else (next(indices), split)
                seat.reply = seat.worker.call("begin", *seat.task)

    def results(self) -> Iterator[Recorded]:
        busy = {seat.reply: seat for seat in self._seats if seat.reply is not None}
        for reply in self._cluster.ready(list(busy)):
            seat = busy[reply]
            try:
                answer = reply.get()
            except LostError:
                self._replace(seat)
                continue
            if isinstance(answer, Sent):
                seat.reply = seat.task = None
                yield self._received(answer)
            elif seat.task is None:  # its game is open
                self._info, seat.reply, seat.losses = answer, None, 0
            else:
                seat.reply = seat.worker.call("go_on")

    def close(self) -> None:
        seats, self._seats = self._seats, []
        self._cluster.stop(seat.worker for seat in seats)

    def _received(self, sent: Sent) -> Recorded:
        recorded = sent.recorded
        path = self._job.folder / f"{recorded.split}-{recorded.index}.mp4"
        with named_errors("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sent.video)
        return replace(recorded, take=replace(recorded.take, video=path))

    def _replace(self, seat: _Seat) -> None:
        """Puts a new worker in place of one that was lost, whose episode is recorded again."""
        most = self._cluster.options.ray_retries
        if seat.task is None:
            seat.losses += 1
            times, what = seat.losses, "the game of a worker could not be started"
        else:
            self._lost[seat.task] += 1
            self._again.append(seat.task)
            times, what = self._lost[seat.task], f"episode {seat.task[0]} of {seat.task[1]} was lost"
        if times > most:
            raise ScaleError(
                f"{what} {times} times, each time because its process or its machine died; run the same command again to "
                "resume, with more for each worker (--ray-cpus) or fewer of them (--processes) if memory is short."
            )
        print("worldsim: a worker died; another takes its place, and its episode is recorded again", file=sys.stderr)
        losses = seat.losses
        self._seats[self._seats.index(seat)] = new = _Seat(self._cluster.start(RemoteGame, self._job))
        new.losses = losses
