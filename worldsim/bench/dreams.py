"""`worldsim bench dreams`: frames per second of a learner whose dreams come from servers on a Ray cluster."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worldsim.bench.config import DreamsBenchConfig
from worldsim.envs.games import known_game
from worldsim.machine import describe_machine
from worldsim.scale.cluster import Cluster, opened
from worldsim.scale.config import RayOptions
from worldsim.scale.folders import read_files
from worldsim.tables import text_table
from worldsim.transfer.config import Randomness, TransferConfig
from worldsim.transfer.envs import VecEnv, VecEnvWrapper, dream_envs
from worldsim.transfer.policies import train_ppo
from worldsim.transfer.servers import DreamPlan, DreamServers, check_room
from worldsim.world import World, find_world

TITLES = ("servers", "dreams", "steps/s", "times those of one", "ms a step", "learner waits")


@dataclass(frozen=True)
class DreamsRow:
    """What was measured with one number of servers.

    Attributes:
        servers: 0 for dreams in the learner's process.
        dreams: of all of them.
        steps_per_second: frames of all dreams.
        seconds: of one step of all dreams, with the learner's share.
        waiting: share of the time in which the learner waited for frames.
    """

    servers: int
    dreams: int
    steps_per_second: float
    seconds: float
    waiting: float


class _Timed(VecEnvWrapper):
    """Notes when steps begin and end."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self.begun: list[float] = []
        self.ended: list[float] = []

    def reset(self) -> Any:
        return self.venv.reset()

    def step_async(self, actions: Any) -> None:
        self.begun.append(time.perf_counter())
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        stepped = self.venv.step_wait()
        self.ended.append(time.perf_counter())
        return stepped


def bench_dreams(config: DreamsBenchConfig, options: RayOptions) -> dict[str, Any]:
    """Trains a policy for some rollouts with each number of servers, prints a table and returns it.

    Returns:
        "results": a dict per number of servers, see `DreamsRow`, the first without any; "machine" and "cluster".

    Raises:
        WorldError: if there is no such world.
        ScaleError: if there is no such cluster, or no room in it.
    """
    folder = find_world(config.world)
    world = World.load(folder, device=config.device, runtime="torch")
    game = known_game(world.config.game)
    learner = TransferConfig(cap_tics=10_000, checkpoints=1)
    starts = (world.starts.cpu(), world.start_controls.cpu())
    plan = DreamPlan(read_files(folder), Randomness(), learner.dream_frames, starts, game, config.device)
    rows: list[DreamsRow] = []
    with opened(options) as cluster:
        assert cluster is not None, "the options of a bench ask for one"
        for servers in config.actors:
            check_room(cluster, servers)
        rows.append(_measure(config, learner, world, 0, lambda: dream_envs(plan.open(config.dreams))))
        rows += [_measure(config, learner, world, count, _opener(cluster, plan, config, count)) for count in config.actors]
        described = cluster.described()
    print(text_table(TITLES, [_cells(row, rows) for row in rows]))
    machine = describe_machine()
    print(f"servers have {options.ray_cpus:g} CPUs and {options.ray_gpus:g} GPUs each; learner on {machine['cpu']}")
    return {
        "results": [asdict(row) for row in rows],
        "world": world.config.name,
        "machine": machine,
        "cluster": described,
    }


def _opener(cluster: Cluster, plan: DreamPlan, config: DreamsBenchConfig, servers: int) -> Callable[[], VecEnv]:
    return lambda: DreamServers(cluster, plan, servers * config.dreams, servers)


def _measure(
    config: DreamsBenchConfig, learner: TransferConfig, world: World, servers: int, make: Callable[[], VecEnv]
) -> DreamsRow:
    """Times the rollouts after the first."""
    dreams = max(1, servers) * config.dreams
    steps = learner.ppo.rollout * learner.hold
    with tempfile.TemporaryDirectory() as folder, closing(make()) as envs:
        timed = _Timed(envs)
        train_ppo(timed, world, (1 + config.rollouts) * steps * dreams, 0, learner, Path(folder), dreamed=True)
        end = time.perf_counter()
    begun, ended = timed.begun[steps:], timed.ended[steps:]
    seconds = (end - begun[0]) / len(begun)
    waited = sum(end - begin for begin, end in zip(begun, ended, strict=True)) / len(begun)
    return DreamsRow(servers, dreams, dreams / seconds, seconds, waited / seconds)


def _cells(row: DreamsRow, rows: list[DreamsRow]) -> list[str]:
    one = next((other for other in rows if other.servers == 1), rows[0])
    cells = [str(row.servers) if row.servers else "none, in the learner", str(row.dreams), f"{row.steps_per_second:.0f}"]
    return [*cells, f"{row.steps_per_second / one.steps_per_second:.2f}", f"{1e3 * row.seconds:.1f}", f"{row.waiting:.0%}"]
