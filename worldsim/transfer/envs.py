"""What policies learn in: dreams or real games as Stable-Baselines3 takes them, and wrappers around both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.envs.twin import TwinEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import WorldsimError
from worldsim.transfer.episodes import Encode
from worldsim.transfer.inputs import History, input_space, policy_inputs

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
    """`count` real games, one after the other in this process."""
    return DummyVecEnv([make] * count)


class ScoreEstimate(VecEnvWrapper):
    """Estimates what an episode scores, from the mean reward and the mean chance of an end per frame.

    With reward `r` and chance `p` per frame, an episode that is truncated after `cap` frames scores
    `r * (1 - (1 - p) ** cap) / p` on average. In dreams `p` is the predicted probability, so that far fewer frames are
    needed than if ends were counted, and it does not matter that dreams are truncated early.

    Args:
        venv: dreams or games.
        cap: frames after which an episode is truncated when it is scored.
    """

    def __init__(self, venv: VecEnv, cap: int) -> None:
        super().__init__(venv)
        self.cap, self.rewards, self.ends, self.frames, self.total_frames = cap, 0.0, 0.0, 0, 0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Stepped:
        obs, rewards, dones, infos = self.venv.step_wait()
        self.rewards += float(rewards.sum())
        self.ends += float(_end_chances(dones, infos).sum())
        self.frames += self.num_envs
        self.total_frames += self.num_envs
        return obs, rewards, dones, infos

    def take(self) -> float | None:
        """The estimate over all frames since the last call; None if there were none."""
        if not self.frames:
            return None
        reward, end = self.rewards / self.frames, min(self.ends / self.frames, 1.0)
        self.rewards, self.ends, self.frames = 0.0, 0.0, 0
        return reward * (1 - (1 - end) ** self.cap) / end if end else reward * self.cap


class ExpectedEnds(VecEnvWrapper):
    """Dreams whose rewards hold the expected cost of an end, in place of the ends that are drawn.

    From every reward the frame's predicted chance of an end is subtracted, times what an end costs: the return that is
    lost, with mean reward `r` and mean chance `p` per frame `r / (1 - gamma * (1 - p))`. Ends that are drawn are marked
    as truncated, so that they cost nothing more. The policy thus learns from every frame how dangerous it was, and not
    only from the few ends that were drawn.

    Args:
        venv: dreams.
        gamma: discount per frame.
    """

    DECAY = 0.999  # of the running means of r and p, per step

    def __init__(self, venv: VecEnv, gamma: float) -> None:
        super().__init__(venv)
        self.gamma, self.means, self.weight = gamma, np.zeros(2), 0.0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Stepped:
        obs, rewards, dones, infos = self.venv.step_wait()
        chances = _end_chances(dones, infos)
        self.means = self.DECAY * self.means + (1 - self.DECAY) * np.array([rewards.mean(), chances.mean()])
        self.weight = self.DECAY * self.weight + (1 - self.DECAY)
        reward, end = self.means / self.weight
        for row in np.flatnonzero(dones):
            infos[row]["TimeLimit.truncated"] = True
        return obs, (rewards - chances * reward / (1 - self.gamma * (1 - end))).astype(np.float32), dones, infos


class HeldActions(VecEnvWrapper):
    """Every action is held for some frames, whose rewards are summed.

    Where an episode ends meanwhile, the next one begins at once under the same action; its rewards are added to the next
    step.
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


class PolicyInputs(VecEnvWrapper):
    """Observations are what policies are given, see `policy_inputs`.

    Args:
        venv: of latents, or of frames.
        latent: numbers in a latent.
        encode: gives the latents of frames; None where `venv` gives latents.
    """

    def __init__(self, venv: VecEnv, latent: int, encode: Encode | None = None) -> None:
        super().__init__(venv, observation_space=input_space(latent, venv.action_space))
        self.encode = encode

    def reset(self) -> Any:
        self.latents = self._latents(self.venv.reset())
        self.history = History.start(self.latents, self.venv.action_space)
        return policy_inputs(self.latents, self.history, self.venv.action_space)

    def step_async(self, actions: NDArray[Any]) -> None:
        self.history = self.history.decided(self.latents, actions)
        self.venv.step_async(actions)

    def step_wait(self) -> Stepped:
        obs, rewards, dones, infos = self.venv.step_wait()
        self.latents, over = self._latents(obs), np.flatnonzero(dones)
        if len(over):
            last = self._latents(np.stack([infos[row]["terminal_observation"] for row in over]))
            final = policy_inputs(last, self.history.rows(over), self.venv.action_space)
            for row, inputs in zip(over, final, strict=True):
                infos[row] = {**infos[row], "terminal_observation": inputs}
            self.history = self.history.restarted(dones, self.latents)
        return policy_inputs(self.latents, self.history, self.venv.action_space), rewards, dones, infos

    def _latents(self, obs: Any) -> NDArray[np.float32]:
        return self.encode(obs) if self.encode else np.asarray(obs)


def _end_chances(dones: NDArray[Any], infos: list[dict[str, Any]]) -> NDArray[np.float64]:
    """How likely each episode was to end with this frame: as predicted in dreams, 0 or 1 in real games."""
    truncated = (info.get("TimeLimit.truncated", False) for info in infos)
    return np.array([i.get("end_probability", float(d and not t)) for d, i, t in zip(dones, infos, truncated, strict=True)])
