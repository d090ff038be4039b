"""Dreams on the machines of a cluster, batches of them, that one learner sees as one environment.

A server that dies is replaced. The new one goes on from the last state that the learner keeps, and does again what was done
since; the learner has counted that already and does not see it again. What is learned is the same as if none had died.
"""

from __future__ import annotations

import itertools
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.envs.dreams import DreamState
from worldsim.envs.games import GameSpec
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import ScaleError, check_int
from worldsim.scale.cluster import Cluster, LostError, Reply
from worldsim.scale.folders import Files, unpacked
from worldsim.transfer.config import Randomness
from worldsim.transfer.envs import Stepped, VecEnv, dream_envs
from worldsim.transfer.episodes import dream_world, dreams_from

EVERY = 128  # steps after which the learner keeps the servers' states; so many are done again at most


@dataclass(frozen=True)
class DreamPlan:
    """What a server needs to know; it sees no file of the learner's machine.

    Attributes:
        world: files of its folder.
        randomness: of the dreams.
        horizon: frames after which a dream is truncated.
        starts: latents `(S, window, h, w, C)` and controls `(S, window, A)` in which dreams begin; see `start_contexts`.
        game: that the world was trained on; None for the one of that name, if any.
        device: where to dream.
    """

    world: Files
    randomness: Randomness
    horizon: int
    starts: tuple[Any, Any]
    game: GameSpec | None
    device: str

    def open(self, batch: int) -> DreamVectorEnv:
        """So many dreams."""
        with unpacked(self.world) as folder:
            world = dream_world(folder, self.randomness, batch, self.device)
        return dreams_from(world, self.starts, self.horizon, self.game)


class DreamServer:
    """A batch of dreams in a process of the cluster.

    Args:
        plan: of the dreams.
        batch: how many.
        state: to go on from, of the server before.
        since: what that one did after it: names of methods with their argument. It is done again.
    """

    def __init__(
        self, plan: DreamPlan, batch: int, state: DreamState | None = None, since: Sequence[tuple[str, Any]] = ()
    ) -> None:
        self._dreams = plan.open(batch)
        self._envs = dream_envs(self._dreams)
        if state is not None:
            self._dreams.set_state(_moved(state, self._dreams.world.device))
        for method, argument in since:
            getattr(self, method)(argument)

    def spaces(self) -> tuple[Any, Any]:
        """Of observations and actions of one dream."""
        return self._envs.observation_space, self._envs.action_space

    def reset(self, seeds: Sequence[int]) -> tuple[Any, list[dict[str, Any]]]:
        """Begins dreams with one seed each; observations and infos."""
        self._envs._seeds = list(seeds)
        return self._envs.reset(), self._envs.reset_infos

    def step(self, actions: NDArray[Any]) -> Stepped:
        """The next frame of each dream, under its action."""
        return self._envs.step(actions)

    def state(self) -> DreamState:
        """All that the next frames depend on."""
        return _moved(self._dreams.get_state(), "cpu")

    def close(self) -> None:
        self._envs.close()


class _Seat:
    """A server, what the learner keeps of it, and what was done since."""

    def __init__(self, cluster: Cluster, plan: Any, rows: slice) -> None:
        self.cluster, self.rows = cluster, rows
        self.made_from = (plan, rows.stop - rows.start)
        self.worker = cluster.start(DreamServer, *self.made_from)
        self.kept: DreamState | None = None
        self.since: list[tuple[str, Any]] = []
        self.call: tuple[str, tuple[Any, ...]] = ("spaces", ())
        self.reply: Reply | None = None

    def send(self, method: str, *args: Any) -> None:
        """Calls a method of the server, without waiting for it."""
        self.call = (method, args)
        self.reply = self.worker.call(method, *args)

    def answer(self) -> Any:
        """Waits for the answer, from a new server if this one dies."""
        method, args = self.call
        for _ in range(self.cluster.options.ray_retries + 1):
            assert self.reply is not None, "a method was called"
            try:
                answer = self.reply.get()
            except LostError:
                self.replace()
                continue
            if method in ("reset", "step"):
                self.since.append((method, args[0]))
            return answer
        raise ScaleError(
            f"the dream server of rows {self.rows.start} to {self.rows.stop - 1} died {self.cluster.options.ray_retries + 1} "
            "times in a row; give each more with --ray-cpus, or fewer dreams, if memory is short."
        )

    def replace(self) -> None:
        """Starts a new server in place of one that died, which goes on where that was."""
        print(f"worldsim: a dream server died; another repeats {len(self.since)} steps", file=sys.stderr)
        self.worker = self.cluster.start(DreamServer, *self.made_from, self.kept, self.since)
        self.reply = self.worker.call(self.call[0], *self.call[1])

    def keep(self) -> None:
        """Keeps the state, which was asked for."""
        self.kept, self.since = self.answer(), []


class DreamServers(VecEnv):
    """Dreams of several servers as one environment of Stable-Baselines3.

    Row i dreams what row i of one batch would, up to the rounding of other batch sizes.

    Args:
        cluster: where the servers are, each with what `RayOptions` give it.
        plan: of the dreams.
        dreams: of all servers together.
        servers: how many.
        every: steps after which their states are kept here.

    Raises:
        ScaleError: if there is no room for them; here and in every method, if a server dies more often in a row than
            `ray_retries` says.
    """

    def __init__(self, cluster: Cluster, plan: DreamPlan, dreams: int, servers: int, every: int = EVERY) -> None:
        check_int("servers", servers, 1, dreams, ScaleError)
        check_room(cluster, servers)
        self._cluster, self._every, self._steps = cluster, every, 0
        shared = cluster.share(plan)
        bounds = np.linspace(0, dreams, servers + 1).round().astype(int).tolist()
        self._seats = [_Seat(cluster, shared, slice(first, last)) for first, last in itertools.pairwise(bounds)]
        spaces = self._all("spaces")
        super().__init__(dreams, *spaces[0])

    def reset(self) -> Any:
        seeds = [secrets.randbits(31) if seed is None else seed for seed in self._seeds]
        parts = self._all("reset", lambda rows: seeds[rows])
        self.reset_infos = [info for _, infos in parts for info in infos]
        self._reset_seeds()
        return np.concatenate([obs for obs, _ in parts])

    def step_async(self, actions: NDArray[Any]) -> None:
        for seat in self._seats:
            seat.send("step", actions[seat.rows])

    def step_wait(self) -> Stepped:
        parts = [seat.answer() for seat in self._seats]
        self._steps += 1
        if self._steps % self._every == 0:
            for seat in self._seats:
                seat.send("state")
            for seat in self._seats:
                seat.keep()
        obs, rewards, dones, infos = zip(*parts, strict=True)
        return np.concatenate(obs), np.concatenate(rewards), np.concatenate(dones), [info for part in infos for info in part]

    def close(self) -> None:
        seats, self._seats = self._seats, []
        self._cluster.stop(seat.worker for seat in seats)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name != "render_mode":
            raise AttributeError(attr_name)
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def _all(self, method: str, argument: Callable[[slice], Any] | None = None) -> list[Any]:
        """The answers of all servers, which work at the same time."""
        for seat in self._seats:
            seat.send(method, *([] if argument is None else [argument(seat.rows)]))
        return [seat.answer() for seat in self._seats]


def check_room(cluster: Cluster, servers: int) -> None:
    """Raises `ScaleError` if the cluster has no room for so many servers, which would wait for ever."""
    if servers > cluster.room:
        given = f"{cluster.options.ray_cpus:g} CPUs and {cluster.options.ray_gpus:g} GPUs"
        raise ScaleError(
            f"{servers} dream servers were wanted, with {given} each; the cluster has room for {cluster.room}. Give fewer "
            "servers, or less for each (--ray-cpus, --ray-gpus)."
        )


def _moved(state: Any, device: str | torch.device) -> Any:
    """A state whose tensors are on a device."""
    if isinstance(state, torch.Tensor):
        return state.to(device)
    return type(state)(*(_moved(part, device) for part in state)) if isinstance(state, tuple) else state
