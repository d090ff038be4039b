"""What policies learn in: dreams or real games, decisions that hold, ends that are paid for by their chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.twin import TwinEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import WorldsimError
from worldsim.transfer.memory import Past, memory_space, remember
from worldsim.transfer.play import See

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
    """Keeps what an episode of late is worth: its mean reward per frame, for as long as it lasts at the mean chance of an end and
    under the cap. In dreams an end counts by its probability, so that far fewer frames tell as much, and cuts do not matter.

    Args:
        venv: of dreams or games.
        cap: frames after which an episode is cut when it is scored.
    """

    def __init__(self, venv: VecEnv, cap: int) -> None:
        super().__init__(venv)
        self.cap, self.rewards, self.ends, self.frames, self.played = cap, 0.0, 0.0, 0, 0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Stepped:
        obs, rewards, dones, infos = self.venv.step_wait()
        self.rewards += float(rewards.sum())
        self.ends += float(_chance(dones, infos).sum())
        self.frames += self.num_envs
        self.played += self.num_envs
        return obs, rewards, dones, infos

    def take(self) -> float | None:
        """The score since this was asked last; None if no frame was played."""
        if not self.frames:
            return None
        reward, end = self.rewards / self.frames, min(self.ends / self.frames, 1.0)
        self.rewards, self.ends, self.frames = 0.0, 0.0, 0
        return reward * (1 - (1 - end) ** self.cap) / end if end else reward * self.cap


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
    """What a policy knows, see `remember`: latents, made of frames where `look` is given, and its own past."""

    def __init__(self, venv: VecEnv, numbers: int, look: See | None = None) -> None:
        super().__init__(venv, observation_space=memory_space(numbers, venv.action_space))
        self.look = look

    def reset(self) -> Any:
        self.now = self._see(self.venv.reset())
        self.past = Past.none(self.now, self.venv.action_space)
        return self._know(self.now, self.past)

    def step_async(self, actions: NDArray[Any]) -> None:
        self.past = self.past.decided(self.now, actions)
        self.venv.step_async(actions)

    def step_wait(self) -> Stepped:
        obs, rewards, dones, infos = self.venv.step_wait()
        self.now, over = self._see(obs), np.flatnonzero(dones)
        if len(over):
            last = self._see(np.stack([infos[row]["terminal_observation"] for row in over]))
            ended = self._know(last, self.past.rows(over))
            for row, final in zip(over, ended, strict=True):
                infos[row] = {**infos[row], "terminal_observation": final}
            self.past = self.past.begin(dones, self.now)
        return self._know(self.now, self.past), rewards, dones, infos

    def _see(self, obs: Any) -> NDArray[np.float32]:
        return self.look(obs) if self.look else np.asarray(obs)

    def _know(self, seen: NDArray[np.float32], past: Past) -> NDArray[np.float32]:
        return remember(seen, past, self.venv.action_space)


def _chance(dones: NDArray[Any], infos: list[dict[str, Any]]) -> NDArray[np.float64]:
    """How likely each episode was to end with this frame; in a real game that is known."""
    cut = (info.get("TimeLimit.truncated", False) for info in infos)
    return np.array([i.get("end_probability", float(d and not c)) for d, i, c in zip(dones, infos, cut, strict=True)])
