"""Records a game played by policies, in several processes, so that it can be stopped and resumed at any time.

Episode i of a dataset is the same whatever the number of processes and interruptions: its seeds come from (seed, i)
alone, and episodes join the dataset in order.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from worldsim.data.config import LARGEST_SEED, MOST_FRAMES, MOST_PROCESSES
from worldsim.data.coverage import coverage
from worldsim.data.crew import Crew, Job, LocalCrew, Policy, PolicySource, Recorded, episode_seeds, state_values
from worldsim.data.dataset import Dataset
from worldsim.data.folder import PARTIAL, check_recordable
from worldsim.data.format import check_whole
from worldsim.data.recorder import Recorder
from worldsim.data.remote_crew import RemoteCrew
from worldsim.errors import DataError, Terminated
from worldsim.scale.cluster import Cluster

if TYPE_CHECKING:
    import gymnasium

__all__ = ["Policy", "PolicySource", "collect", "episode_seeds", "state_values"]


def collect(
    make_env: Callable[[], gymnasium.Env[Any, Any]],
    policies: Sequence[PolicySource],
    out: str | Path,
    *,
    game: str,
    frames: int,
    eval_frames: int = 0,
    seed: int = 0,
    processes: int = 1,
    cluster: Cluster | None = None,
    lossless: bool = False,
    max_steps: int = 10_000,
    state: Sequence[str] = (),
    cells: Mapping[str, float] | None = None,
    about: str = "",
    progress: bool = True,
) -> dict[str, Any]:
    """Records episodes until the dataset at `out` holds `frames` training frames and `eval_frames` held-out ones.

    The same call again resumes: episodes already there count. Ctrl-C and SIGTERM keep every finished episode, close
    the games and raise KeyboardInterrupt.

    Args:
        make_env: picklable; makes an environment with uint8 `(H, W, 3)` observations and the attributes `control_spec`,
            `fps` and `frame_skip`.
        policies: who plays; one is drawn for each episode.
        out: folder of the dataset.
        game: name of the game, stored in the dataset.
        frames, eval_frames, seed, processes, lossless: as in `CollectConfig`; the last episode of a split is kept whole.
        cluster: where the processes are, if not on this machine. Episodes come back through the cluster and are written here.
            Those that are lost with a machine are recorded again.
        max_steps: episodes are truncated at this many steps.
        state: names of numbers in the environment's `info` that are recorded with each frame.
        cells: state variable -> size of a cell along it, for the figures; see `worldsim.data.coverage.coverage`.
        about: where the game was loaded from, stored in the dataset; see `DatasetInfo.source`.
        progress: show a progress bar.

    Returns:
        What the dataset covers; see `worldsim.data.coverage.coverage`.

    Raises:
        DataError: if an argument is out of range, or `out` holds anything but a dataset of the same kind.
        FileError: if `out` cannot be written, or another process is recording into it.
        ScaleError: if the cluster loses the same episode too often.
    """
    frames, eval_frames, seed = (
        check_whole(name, value, 0, most)
        for name, value, most in (
            ("frames", frames, MOST_FRAMES),
            ("eval_frames", eval_frames, MOST_FRAMES),
            ("seed", seed, LARGEST_SEED),
        )
    )
    processes = check_whole("processes", processes, 1, MOST_PROCESSES)
    max_steps = check_whole("max_steps", max_steps, 1, 2**31 - 1)
    check_recordable(out)  # before games are started
    if not policies or any(source.share <= 0 for source in policies):
        raise DataError(f"policies was {policies!r}; give at least one, each with a share above 0.")
    job = Job(make_env, tuple(policies), game, Path(out) / PARTIAL, seed, lossless, max_steps, tuple(state), about)
    targets = {"eval": eval_frames, "train": frames}
    with (
        _terminated_as_interrupted(),
        closing(RemoteCrew(job, cluster, processes) if cluster else LocalCrew(job, processes)) as crew,
        Recorder(out, crew.describe()) as recorder,
        closing(crew),  # the processes must end before the recorder clears their folder
        _bar(recorder, targets, progress) as bar,
    ):
        for split, target in targets.items():
            _fill(recorder, crew, split, target, bar)
    return coverage(Dataset(out), cells)


def _frames_of(recorder: Recorder, split: str) -> int:
    return sum(episode.length for episode in recorder.episodes.values() if episode.split == split)


def _wanted(recorder: Recorder, split: str, target: int) -> bool:
    return _frames_of(recorder, split) < target or (split == "train" and recorder.has_gap)


def _bar(recorder: Recorder, targets: dict[str, int], progress: bool) -> tqdm[Any]:
    done = sum(_frames_of(recorder, split) for split in targets)
    return tqdm(total=max(done, sum(targets.values())), initial=done, unit="frame", desc="collect", disable=not progress)


def _fill(recorder: Recorder, crew: Crew, split: str, target: int, bar: tqdm[Any]) -> None:
    """Records episodes of one split until it has `target` frames (and, for "train", no deleted episode is missing)."""
    missing = (index for index in count() if index not in recorder.episodes)
    waiting: dict[int, Recorded] = {}
    while _wanted(recorder, split, target):
        crew.assign(split, missing)
        for recorded in crew.results():
            if recorded.split == split:
                waiting[recorded.index] = recorded
            else:
                recorded.take.video.unlink()
        while _wanted(recorder, split, target) and recorder.next_index in waiting:
            recorded = waiting.pop(recorder.next_index)
            labels = {"seed": recorded.seed, "policy": recorded.policy, "split": split, "place": recorded.place}
            episode = recorder.commit(recorded.take, **labels)
            bar.update(episode.length)
    for recorded in waiting.values():
        recorded.take.video.unlink()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM cleans up as Ctrl-C does, unless the program handles it itself."""

    def interrupt(number: int, frame: object) -> None:
        raise Terminated

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
