"""Recording on a cluster: worldsim/data/remote_crew.py."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from data.moving_square import BrokenSquare, MovingSquare
from data.test_collect import content, run

from worldsim.data import Dataset
from worldsim.data.format import episode_files
from worldsim.errors import GameError, ScaleError
from worldsim.scale.cluster import Cluster, opened
from worldsim.scale.config import RayOptions

from .conftest import Machines

FRAMES = 800


class Marked(MovingSquare):
    """A file stands for every game that is open."""

    def __init__(self, folder: Path, delay: float = 0.001) -> None:
        super().__init__(delay=delay)
        self.mark = folder / f"open-{os.getpid()}"
        self.mark.touch()

    def close(self) -> None:
        self.mark.unlink()


class Fatal(MovingSquare):
    """A game that takes its process with it."""

    def step(self, action: Any) -> Any:
        os._exit(1)


def kill_in_the_middle(machines: Machines, machine: Any, out: Path, marks: Path) -> threading.Thread:
    """Kills a machine as soon as two games are open, one on each, and some episodes are there."""

    def wait_and_kill() -> None:
        while len(episode_files(out)) < 4 or len(list(marks.glob("open-*"))) < 2:
            time.sleep(0.01)
        machines.kill(machine)

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread


def test_a_machine_is_killed_and_nothing_is_lost_or_there_twice(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = functools.partial(Marked, tmp_path, 0.005)  # so slow that the second has begun long before the first is done
    run(tmp_path / "one", FRAMES, functools.partial(MovingSquare, 0.0))
    second = machines.add()
    with opened(RayOptions(ray=(machines.address,))) as cluster:
        assert cluster is not None and cluster.room == 2
        killer = kill_in_the_middle(machines, second, tmp_path / "two", tmp_path)
        run(tmp_path / "two", FRAMES, env, processes=2, cluster=cluster)
        killer.join()
    assert "a worker died; another takes its place" in capsys.readouterr().err
    assert content(tmp_path / "two") == content(tmp_path / "one")
    episodes = Dataset(tmp_path / "two").episodes
    assert len({episode.seed for episode in episodes}) == len(episodes) > 10


def test_games_are_closed_and_what_is_there_is_resumed(cluster: Cluster, tmp_path: Path) -> None:
    env = functools.partial(Marked, tmp_path)
    run(tmp_path / "data", 100, env, cluster=cluster)
    assert not list(tmp_path.glob("open-*")), "the game was closed, in the middle of an episode"
    run(tmp_path / "data", 200, env, cluster=cluster)
    run(tmp_path / "one", 200, env)
    assert content(tmp_path / "data") == content(tmp_path / "one")


def test_failures_reach_the_caller(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(GameError, match=r"RuntimeError: the square fell over \(line \d+ of .*moving_square\.py, in step\)"):
        run(tmp_path, env=BrokenSquare, cluster=cluster)
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_game_that_always_dies_ends_it(machines: Machines, tmp_path: Path) -> None:
    with (
        opened(RayOptions(ray=(machines.address,), ray_retries=1)) as cluster,
        pytest.raises(ScaleError, match=r"episode 0 of eval was lost 2 times, .*run the same command again to resume"),
    ):
        run(tmp_path, env=Fatal, cluster=cluster)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_sigterm_ends_a_cluster_of_its_own_and_keeps_finished_episodes(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray; install: pip install 'worldsim-dit[scale]'")
    command = [sys.executable, "-m", "worldsim", "collect", "toy/dodge", "--frames", "1000000", "--eval-frames", "0"]
    with subprocess.Popen([*command, "--out", "d", "--ray", "local"], cwd=tmp_path, stderr=subprocess.PIPE) as run:
        try:
            while len(episode_files(tmp_path / "d")) < 3:
                assert run.poll() is None
                time.sleep(0.05)
            # Its children by what they are told: Ray's processes are told where the session of the cluster is kept.
            (session,) = {word for line in commands_of(run.pid) for word in line if word.startswith("--session-name=")}
            run.terminate()
            assert run.wait(60) == 128 + signal.SIGTERM
        finally:
            run.kill()
    deadline = time.monotonic() + 30
    while any(session in line for line in commands_of(None)):
        assert time.monotonic() < deadline, "a process of the cluster is still there"
        time.sleep(0.1)
    assert Dataset(tmp_path / "d").total_frames > 0


def commands_of(parent: int | None) -> list[list[str]]:
    """Words of the commands of the children of a process, or of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if parent is None or int((path / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append((path / "cmdline").read_text().split("\0"))
    return found
