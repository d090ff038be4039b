"""Runs of the transfer card as tasks on the machines of a cluster. They see no file of this machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from worldsim.envs.games import GameSpec
from worldsim.scale.cluster import Cluster
from worldsim.scale.folders import Files, read_files, write_files
from worldsim.transfer.config import TransferConfig
from worldsim.transfer.runs import Job, Runs

FINISHED = "runs/replay.json"  # which all runs need, and this machine has


class Task(NamedTuple):
    """A method of `Runs`, with the number of its world in place of the folder."""

    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class SentRuns:
    """All that runs are made from.

    Attributes:
        folders: files of every world.
        worlds, shuffled: their numbers.
        refitted: number of a world -> files of its larger dataset.
        data: files of the dataset.
        finished: results that are there already.
        config, device, game: as for `Runs`.
    """

    folders: list[Files]
    worlds: list[int]
    shuffled: list[int]
    refitted: dict[int, Files]
    data: Files
    finished: Files
    config: TransferConfig
    device: str
    game: GameSpec

    def open(self, root: Path) -> Runs:
        """The runs below a folder of this machine."""
        folders = [write_files(root / f"world-{i}", files) for i, files in enumerate(self.folders)]
        larger = {folders[i]: write_files(root / f"data-{i}", files) for i, files in self.refitted.items()}
        chosen = [folders[i] for i in self.worlds], [folders[i] for i in self.shuffled]
        out, data = write_files(root / "out", self.finished), write_files(root / "data", self.data)
        return Runs(*chosen, larger, data, out, self.config, self.device, self.game)


def spread(runs: Runs, cluster: Cluster) -> None:
    """Makes all runs that are not finished as tasks of the cluster, each with what `RayOptions` give it.

    Their files are stored here as they come, so that the same call again goes on where it was. A run that is lost with its
    machine begins again. Where dreams come from servers, trainings in dreams are left to this process.

    Raises:
        ScaleError: if a run is lost too often.
        WorldsimError: the first that a run raises.
    """
    jobs = [job for made in (runs.jobs(), runs.side_jobs()) for of_row in made.values() for job in of_row]
    jobs += [partial(runs.head, folder) for folder in runs.folders]
    if runs.servers is not None:
        jobs = [job for job in jobs if job.func.__name__ != runs.dream.__name__]
    wanted = [job for job in jobs if not runs.store.is_finished(job)]
    if not wanted:
        return
    print(f"{len(wanted)} runs on the cluster, at most {cluster.room} at a time ...", flush=True)
    tasks = [_task(runs, job) for job in wanted]
    for count, files in enumerate(cluster.map(run_there, _sent(runs), tasks, ordered=False), 1):
        runs.store.adopt(files)
        named = ", ".join(sorted(Path(name).stem for name in files if name.startswith("runs/")))
        print(f"{named} ({count} of {len(wanted)})", flush=True)


def run_there(sent: SentRuns, task: Task) -> Files:
    """The files of a run that is made on another machine."""
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        runs = sent.open(Path(folder))
        folders = list(runs.worlds)
        args = [folders[arg.number] if isinstance(arg, _World) else arg for arg in task.args]
        getattr(runs, task.method)(*args, **task.options)
        return {name: content for name, content in read_files(runs.out).items() if name not in sent.finished}


class _World(NamedTuple):
    number: int


def _task(runs: Runs, job: Job) -> Task:
    numbers = {folder: _World(i) for i, folder in enumerate(runs.worlds)}
    args = tuple(numbers[arg] if isinstance(arg, Path) else arg for arg in job.args)
    return Task(job.func.__name__, args, dict(job.keywords))


def _sent(runs: Runs) -> SentRuns:
    numbers = {folder: i for i, folder in enumerate(runs.worlds)}
    return SentRuns(
        folders=[read_files(folder) for folder in runs.worlds],
        worlds=[numbers[folder] for folder in runs.folders],
        shuffled=[numbers[folder] for folder in runs.shuffled],
        refitted={numbers[folder]: read_files(larger.root) for folder, larger in runs.recorded.items()},
        data=read_files(runs.train.root),
        finished={FINISHED: read_files(runs.out / "runs")["replay.json"]},
        config=runs.config,
        device=runs.device,
        game=runs.game,
    )
