"""What policies learn in: dreams or real games, decisions that hold, ends that are paid for by their chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.twin import TwinEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import WorldsimError
from worldsim.eval.transfer_play import See, memory_space, remember

try:
    from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper

    from worldsim.envs.sb3 import SB3VecEnv
except ImportError as error:
    raise WorldsimError('transfer needs Stable-Baselines3; pip install "worldsim-dit[doom,rl]".') from error

Stepped = tuple[Any, NDArray[Any], NDArray[Any], list[dict[str, Any]]]


def dream_envs(dreams: DreamVectorEnv) -> VecEnv:
    """Dreams as Stable-Baselines3 takes them."""
    return SB3VecEnv(dreams)


def real_envs(make: Callable[[], TwinEnv], count: int) -> VecEnv:
    """Real games, one after the other in this process."""
    return DummyVecEnv([make] * count)


class Tally(VecEnvWrapper):
    """Keeps the mean score of the episodes of late: rewards over ends. In dreams an end counts by its probability, so that far
    fewer frames tell as much."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self.rewards = self.ends = 0.0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Stepped:
        obs, rewards, dones, infos = self.venv.step_wait()
        self.rewards += float(rewards.sum())
        self.ends += float(np.where(_cut(infos), 1.0, _chance(dones, infos)).sum())
        return obs, rewards, dones, infos

    def take(self) -> float | None:
        """The mean score since this was asked last; None if nothing can have ended."""
        score = self.rewards / self.ends if self.ends > 0 else None
        self.rewards = self.ends = 0.0
        return score


class ExpectedEnds(VecEnvWrapper):
    """Dreams in which each frame is charged its chance of an end, as the world says it, times what an end costs. The ends that
    are drawn become cuts that cost nothing, so a policy hears of every danger at once and not only of the few that came true.

    An end costs what is still to come on average: with rewards `r` and chances `p` per frame, `r / (1 - gamma * (1 - p))`.

    Args:
        venv: of dreams.
        gamma: discount per frame.
    """

    MEMORY = 0.999  # of the running means of r and p, per step

    def __init__(self, venv: VecEnv, gamma: float) -> None:
        super().__init__(venv)
        self.gamma, self.means, self.weight = gamma, np.zeros(2), 0.0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Stepped:
        obs, rewards, dones, infos = self.venv.step_wait()
        chance = _chance(dones, infos)
        self.means = self.MEMORY * self.means + (1 - self.MEMORY) * np.array([rewards.mean(), chance.mean()])
        self.weight = self.MEMORY * self.weight + (1 - self.MEMORY)
        reward, end = self.means / self.weight
        for row in np.flatnonzero(dones):
            infos[row]["TimeLimit.truncated"] = True
        return obs, (rewards - chance * reward / (1 - self.gamma * (1 - end))).astype(np.float32), dones, infos


class Held(VecEnvWrapper):
    """Every action holds for some frames, whose rewards are summed.

    Where an episode ends meanwhile, the next one begins at once under the same action; its rewards come with the next step.
    """

    def __init__(self, venv: VecEnv, frames: int) -> None:
        super().__init__(venv)
        self.frames, self.carried = frames, np.zeros(venv.num_envs, np.float32)

    def reset(self) -> Any:
        self.carried[:] = 0
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        self.actions = actions

    def step_wait(self) -> Stepped:
        total, self.carried = self.carried, np.zeros_like(self.carried)
        over = np.zeros(self.num_envs, bool)
        last: list[dict[str, Any]] = [{}] * self.num_envs
        for _ in range(self.frames):
            obs, rewards, dones, infos = self.venv.step(self.actions)
            total, self.carried = total + rewards * ~over, self.carried + rewards * over
            last = [old if ended else new for old, new, ended in zip(last, infos, over, strict=True)]
            over |= dones
        return obs, total, over, last


class Seen(VecEnvWrapper):
    """What a policy sees: latents, made of frames where `look` is given, and the action that was taken last; see `remember`."""

    def __init__(self, venv: VecEnv, numbers: int, look: See | None = None) -> None:
        super().__init__(venv, observation_space=memory_space(numbers, venv.action_space))
        self.look = look

    def reset(self) -> Any:
        return self._see(self.venv.reset(), None)

    def step_async(self, actions: NDArray[Any]) -> None:
        self.actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> Stepped:
        obs, rewards, dones, infos = self.venv.step_wait()
        seen, over = self._see(obs, self.actions), np.flatnonzero(dones)
        if len(over):
            seen[over] = self._see(np.asarray(obs)[over], None)
            ended = self._see(np.stack([infos[row]["terminal_observation"] for row in over]), self.actions[over])
            for row, last in zip(over, ended, strict=True):
                infos[row] = {**infos[row], "terminal_observation": last}
        return seen, rewards, dones, infos

    def _see(self, obs: Any, last: NDArray[Any] | None) -> NDArray[np.float32]:
        return remember(self.look(obs) if self.look else obs, last, self.venv.action_space)


def _chance(dones: NDArray[Any], infos: list[dict[str, Any]]) -> NDArray[np.float64]:
    """How likely each episode was to end with this frame; in a real game that is known."""
    return np.array([info.get("end_probability", float(done)) for done, info in zip(dones, infos, strict=True)])


def _cut(infos: list[dict[str, Any]]) -> NDArray[np.bool_]:
    return np.array([info.get("TimeLimit.truncated", False) for info in infos])
