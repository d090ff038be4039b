"""Trains the policies of the card: PPO of Stable-Baselines3 in dreams or in the real game, and behaviour cloning."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from worldsim.data import Dataset
from worldsim.envs.twin import TwinEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.envs.view import View
from worldsim.errors import WorldsimError
from worldsim.eval.transfer_config import TransferConfig
from worldsim.eval.transfer_play import Actor
from worldsim.eval.transfer_store import Result
from worldsim.world import World

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecMonitor, VecNormalize

    from worldsim.envs.sb3 import SB3VecEnv
except ImportError as error:
    raise WorldsimError('transfer needs Stable-Baselines3; pip install "worldsim-dit[doom,rl]".') from error


def train_ppo(envs: VecEnv, steps: int, seed: int, config: TransferConfig, folder: Path) -> list[Result]:
    """PPO over at least `steps` steps, keeping `config.checkpoints` policies on the way.

    Args:
        envs: of stacked latents and flat actions.
        steps: of all environments together.
        seed: of weights, actions and environments.
        config: the learner.
        folder: gets the policies.

    Returns:
        For each policy its `steps`, and in `training` the mean score of the last 100 episodes, NaN before the first is over.
    """
    ppo = config.ppo
    rollout = ppo.rollout * envs.num_envs
    model = PPO(
        "MlpPolicy",
        VecNormalize(VecMonitor(envs), norm_obs=False, gamma=ppo.gamma),
        n_steps=ppo.rollout,
        batch_size=min(ppo.batch, rollout),
        n_epochs=ppo.epochs,
        learning_rate=ppo.learning_rate,
        gamma=ppo.gamma,
        ent_coef=ppo.entropy,
        policy_kwargs={"net_arch": list(ppo.layers)},
        seed=seed,
        device="cpu",
    )
    rollouts, notes = math.ceil(steps / rollout), []
    for i in range(config.checkpoints):
        wanted = math.ceil(rollouts * (i + 1) / config.checkpoints) * rollout - model.num_timesteps
        if wanted > 0:
            model.learn(wanted, reset_num_timesteps=i == 0)
        recent = [episode["r"] for episode in model.ep_info_buffer or ()]
        save_policy(model.policy, folder / f"{i:03d}.safetensors")
        notes.append({"steps": model.num_timesteps, "training": float(np.mean(recent)) if recent else math.nan})
    return notes


def dream_envs(dreams: DreamVectorEnv) -> VecEnv:
    """Dreams as Stable-Baselines3 takes them."""
    return SB3VecEnv(dreams)


def real_envs(make: Callable[[], TwinEnv], count: int, world: World, stack: int) -> VecEnv:
    """Real games, one after the other in this process; their frames are encoded together.

    Args:
        make: makes a game that gives frames and takes flat actions.
        count: games.
        world: whose tokenizer encodes.
        stack: frames that a policy sees.
    """
    return _Encoded(DummyVecEnv([make] * count), world, stack)


class _Encoded(VecEnvWrapper):
    """Frames `(B, H, W, 3)` as stacked latents, which is how `DreamEnv` shows them."""

    def __init__(self, games: VecEnv, world: World, stack: int) -> None:
        size, latent = (world.config.height, world.config.width), int(np.prod(world.latent_shape))
        self.view, self.world = View(world.control_spec, size, latent, obs="latent", stack=stack), world
        super().__init__(games, self.view.observation_space)

    def reset(self) -> NDArray[np.float32]:
        self._obs = self.view.first(self._see(self.venv.reset()))
        return self._obs.cpu().numpy()

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        frames, rewards, dones, infos = self.venv.step_wait()
        seen, over = self._see(frames), np.flatnonzero(dones)
        obs = self.view.next(self._obs, seen)
        if len(over):
            last = self._see(np.stack([infos[row]["terminal_observation"] for row in over]))
            for row, ended in zip(over, self.view.next(self._obs[over], last), strict=True):
                infos[row]["terminal_observation"] = ended.cpu().numpy()
            obs = obs.clone()
            obs[over] = self.view.first(seen[over])
        self._obs = obs
        return obs.cpu().numpy(), rewards, dones, infos

    def _see(self, frames: Any) -> torch.Tensor:
        return self.view.flatten(self.world.encode(frames))


def clone(dataset: Dataset, twin: TwinEnv, seed: int, config: TransferConfig) -> ActorCriticPolicy:
    """The policy that acts most like the dataset does, in the view of `twin`."""
    assert twin.world is not None
    latents, index, actions = _examples(dataset, twin, twin.world, config)
    policy = new_policy(twin.observation_space, twin.action_space, config, seed)
    optimizer = torch.optim.Adam(policy.parameters(), config.ppo.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(config.clone_epochs):
        for chosen in torch.randperm(len(index), generator=generator).split(config.ppo.batch):
            _, likelihood, _ = policy.evaluate_actions(latents[index[chosen]].flatten(1).float(), actions[chosen])
            optimizer.zero_grad()
            (-likelihood.mean()).backward()
            optimizer.step()
    return policy


def new_policy(
    obs: gymnasium.Space[Any], actions: gymnasium.Space[Any], config: TransferConfig, seed: int = 0
) -> ActorCriticPolicy:
    """The network that PPO trains, with random weights."""
    torch.manual_seed(seed)
    return ActorCriticPolicy(obs, actions, lambda _: 0.0, net_arch=list(config.ppo.layers))


def save_policy(policy: ActorCriticPolicy, path: Path) -> None:
    path.write_bytes(save({name: value.contiguous() for name, value in policy.state_dict().items()}))


def load_policy(path: Path, env: TwinEnv, config: TransferConfig) -> ActorCriticPolicy:
    """A policy for the views of `env`, and of the dreams of the same world."""
    policy = new_policy(env.observation_space, env.action_space, config)
    policy.load_state_dict(load_file(path))
    return policy


def actor(policy: ActorCriticPolicy) -> Actor:
    """Draws actions from a frozen policy, by torch's own generator."""
    return lambda obs: policy.predict(obs)[0]


def _examples(
    dataset: Dataset, twin: TwinEnv, world: World, config: TransferConfig
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents `(N, D)`, for each example the frames it sees `(N, stack)`, and its action."""
    latents: list[torch.Tensor] = []
    index: list[NDArray[np.int64]] = []
    actions: list[NDArray[np.float32]] = []
    count = 0
    for i, length in enumerate(dataset.lengths):
        if count >= config.clone_frames:
            break
        episode = dataset.episode(i)
        latents += [
            twin.view.flatten(world.encode(part)).half().cpu() for part in np.split(episode.frames, range(64, length, 64))
        ]
        past = np.arange(length)[:, None] - np.arange(config.stack)[::-1]
        index.append(count + np.maximum(past, 0))  # an episode begins with its first frame repeated
        actions.append(episode.actions)
        count += length
    chosen = twin.view.flat.nearest(np.concatenate(actions))
    return torch.cat(latents), torch.from_numpy(np.concatenate(index)), torch.from_numpy(chosen)
