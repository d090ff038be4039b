"""The processes that play a game and record it, each an episode at a time."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worldsim.data.format import SPLITS, DatasetInfo
from worldsim.data.writer import EpisodeWriter, Take
from worldsim.errors import DataError, GameError, WorldsimError

if TYPE_CHECKING:
    import gymnasium


class Policy(Protocol):
    """Chooses the controls while recording. One that has a method `attach(env)` is given the game before it begins."""

    def reset(self, rng: np.random.Generator) -> None:
        """Starts an episode; everything random in it comes from `rng`."""

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        """Control vector `(A,)` for the frame that came with the environment's `info`; `info["frame"]` is that frame, uint8
        `(H, W, 3)`.
        """


@dataclass(frozen=True)
class PolicySource:
    """A policy to record with.

    Attributes:
        name: stored with each episode.
        make: picklable; makes the policy.
        share: its weight among all policies when one is drawn for an episode.
    """

    name: str
    make: Callable[[], Policy]
    share: float = 1.0


DIED = "a recording process died; run the same command again to resume, with fewer processes if memory is short."
DIED_AT_ONCE = (
    "a recording process died before it began; see its message above. A script must call collect() under "
    "`if __name__ == '__main__':`, since recording processes import it; if memory is short, use fewer processes."
)


@dataclass(frozen=True)
class Job:
    """What a recording process needs; everything in it is picklable."""

    make_env: Callable[[], gymnasium.Env[Any, Any]]
    policies: tuple[PolicySource, ...]
    game: str
    folder: Path
    seed: int
    lossless: bool
    max_steps: int
    state: tuple[str, ...]
    about: str = ""


def episode_seeds(seed: int, split: str, index: int) -> tuple[int, np.random.Generator]:
    """Seed of the environment (31 bits, odd only for "eval") and generator of the policy, for one episode."""
    sequence = np.random.SeedSequence((seed, SPLITS.index(split), index))
    environment, policy = sequence.spawn(2)
    return int(environment.generate_state(1)[0] >> 2) * 2 + SPLITS.index(split), np.random.default_rng(policy)


@dataclass(frozen=True)
class Recorded:
    """An episode as a process hands it over."""

    index: int
    split: str
    seed: int
    policy: str
    place: str | None
    take: Take


class Crew(Protocol):
    """Those that record, each an episode at a time."""

    def describe(self) -> DatasetInfo:
        """What they are going to record; waits until it is known."""

    def assign(self, split: str, indices: Iterator[int]) -> None:
        """Gives everyone who is idle the next of `indices` to record."""

    def results(self) -> Iterator[Recorded]:
        """Waits for an episode; there may be several, or none if something else has happened."""

    def close(self) -> None:
        """Ends them; those in the middle of an episode abandon it. Closing twice does nothing."""


class LocalCrew:
    """Processes on this machine.

    A process works until its pipe closes, which also happens when this process dies; so none is ever left behind.
    """

    def __init__(self, job: Job, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._idle: list[Connection] = []
        self._processes = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(job, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def describe(self) -> DatasetInfo:
        """Waits until all are ready; what they are going to record."""
        infos = [_receive(pipe, DIED_AT_ONCE) for pipe in self._pipes]
        self._idle = list(self._pipes)
        return infos[0]

    def assign(self, split: str, indices: Iterator[int]) -> None:
        """Gives every idle process the next of `indices` to record."""
        while self._idle:
            self._idle.pop().send((next(indices), split))

    def results(self) -> Iterator[Recorded]:
        """Waits for at least one episode; its process is idle again."""
        for pipe in wait([pipe for pipe in self._pipes if pipe not in self._idle]):
            assert isinstance(pipe, Connection)
            self._idle.append(pipe)
            yield _receive(pipe)

    def close(self) -> None:
        """Lets the processes end; those in the middle of an episode abandon it. Closing twice does nothing."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=10)
        for end in ("terminate", "kill"):  # the first lets it close its game
            for process in self._processes:
                if process.is_alive():
                    getattr(process, end)()
                    process.join(timeout=5)


def _receive(pipe: Connection, death: str = DIED) -> Any:
    try:
        message = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise DataError(death) from None
    if isinstance(message, Exception):
        raise message
    return message


def _work(job: Job, pipe: Connection) -> None:
    """Body of a recording process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    try:
        _record_on_demand(job, pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone or done
    except WorldsimError as error:
        pipe.send(error)
    except Exception as error:
        pipe.send(blamed(error, job.game))


def blamed(error: Exception, game: str) -> GameError:
    """What went wrong in a game's or a policy's own code, and in which line of it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return GameError(
        f"{game} failed while it was recorded: {type(error).__name__}: {error} (line {last.lineno} of {last.filename}, in "
        f"{last.name}). Finished episodes are kept; mend it and run the same command again."
    )


def _leave(number: int, frame: object) -> None:
    """SIGTERM in a recording process: closes the game on the way out, undisturbed by a second signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _record_on_demand(job: Job, pipe: Connection) -> None:
    game = OpenGame(job)
    try:
        pipe.send(game.info)
        while True:
            recorded = None
            with closing(game.record(*pipe.recv())) as recording:
                while recorded is None:
                    if pipe.poll():  # nothing is sent during an episode, so the pipe has closed
                        raise EOFError
                    recorded = next(recording)
            pipe.send(recorded)
    finally:
        game.close()


class OpenGame:
    """A game that was started to be recorded.

    Attributes:
        info: what it records.

    Raises:
        DataError: if it lacks something that recording needs.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.env = job, job.make_env()
        try:
            self.info = _describe(job, self.env)
        except BaseException:
            self.close()
            raise

    def record(self, index: int, split: str) -> Generator[Recorded | None]:
        """Records an episode; gives None before every step, and then the episode.

        One that is closed before leaves nothing behind.
        """
        job = self.job
        seed, rng = episode_seeds(job.seed, split, index)
        shares = np.array([source.share for source in job.policies])
        source = job.policies[int(rng.choice(len(shares), p=shares / shares.sum()))]
        policy = source.make()  # anew, so that an episode does not depend on those before it
        if hasattr(policy, "attach"):
            policy.attach(self.env)
        policy.reset(rng)
        writer = EpisodeWriter(job.folder / f"{split}-{index}.mp4", self.info)
        try:
            place = yield from _play(self.env, policy, writer, seed, job)
        except BaseException:
            writer.discard()
            raise
        take = writer.close()
        assert take is not None
        yield Recorded(index, split, seed, source.name, place, take)

    def close(self) -> None:
        """Closes the game."""
        self.env.close()


def _describe(job: Job, env: gymnasium.Env[Any, Any]) -> DatasetInfo:
    """What the game records.

    Raises:
        DataError: if it lacks something that recording needs.
    """
    names = ("control_spec", "fps", "frame_skip")
    missing = [name for name in names if not _has(env, name)]
    if missing:
        raise DataError(f"the game has no attribute {missing[0]!r}; an environment needs {', '.join(names)} to be recorded.")
    frame, info = env.reset(seed=0)
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise DataError(f"the game shows {frame.dtype} {frame.shape}; a frame must be uint8 (H, W, 3).")
    state_values(info, job.state)  # raises now rather than after an episode
    return DatasetInfo(
        game=job.game,
        **{name: env.get_wrapper_attr(name) for name in names},
        height=frame.shape[0],
        width=frame.shape[1],
        lossless=job.lossless,
        state=job.state,
        source=job.about,
    )


def _has(env: gymnasium.Env[Any, Any], name: str) -> bool:
    try:
        env.get_wrapper_attr(name)
    except AttributeError:
        return False
    return True


def _play(
    env: gymnasium.Env[Any, Any], policy: Policy, writer: EpisodeWriter, seed: int, job: Job
) -> Generator[None, None, str | None]:
    """Records one episode; the frame after its last action is not stored. Returns the name of its place, if it has one."""
    spec = env.get_wrapper_attr("control_spec")
    frame, info = env.reset(seed=seed)
    over = False
    while not over:
        yield
        vector = spec.check_vector(policy.act({**info, "frame": frame}))
        before, state = np.array(frame), state_values(info, job.state)  # a copy: some environments draw into the same array
        frame, reward, terminated, truncated, info = env.step(spec.to_action(vector))
        if not isinstance(reward, int | float | np.number):
            raise DataError(f"the game's reward was {reward!r}; the second value of step() must be a number.")
        truncated = truncated or (not terminated and len(writer) + 1 >= job.max_steps)
        writer.append(before, vector, float(reward), terminated, truncated, state)
        over = terminated or truncated
    place = info.get("place_name")
    return place if isinstance(place, str) else None


def state_values(info: Mapping[str, Any], names: Sequence[str]) -> NDArray[np.float32]:
    """The numbers of those names in an environment's `info`, float32 `(S,)`.

    Raises:
        DataError: if one is missing or no number.
    """
    for name in names:
        value = info.get(name)
        if not isinstance(value, int | float | np.number):
            raise DataError(f"info[{name!r}] of the game is {value!r}; a state that is to be recorded must be a number.")
    return np.array([info[name] for name in names], np.float32)
