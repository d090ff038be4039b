"""Trains the policies of the card: PPO of Stable-Baselines3 in dreams or in the real game, and behaviour cloning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from worldsim.data import Dataset
from worldsim.envs.twin import TwinEnv
from worldsim.errors import WorldsimError
from worldsim.eval.transfer_config import TransferConfig
from worldsim.eval.transfer_play import Actor, memory_space, remember
from worldsim.eval.transfer_store import Result
from worldsim.world import World

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize

    from worldsim.envs.sb3 import SB3VecEnv
    from worldsim.eval.transfer_envs import ExpectedEnds, Held, Tally
except ImportError as error:
    raise WorldsimError('transfer needs Stable-Baselines3; pip install "worldsim-dit[doom,rl]".') from error


def train_ppo(envs: VecEnv, steps: int, seed: int, config: TransferConfig, folder: Path) -> list[Result]:
    """PPO over at least `steps` frames, keeping `config.checkpoints` policies on the way.

    Args:
        envs: of stacked latents and flat actions.
        steps: frames of all environments together.
        seed: of weights, actions and environments.
        config: the learner.
        folder: gets the policies.

    Returns:
        For each policy its `steps`, and in `training` the mean score since the one before it, or None; see `Tally`.
    """
    ppo, tally = config.ppo, Tally(envs)
    dreamed, rollout = isinstance(envs, SB3VecEnv), ppo.rollout * envs.num_envs
    played = ExpectedEnds(tally, ppo.gamma ** (1 / config.hold)) if dreamed else tally
    model = PPO(
        "MlpPolicy",
        VecNormalize(Held(played, config.hold), norm_obs=False, gamma=ppo.gamma),
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
    rollouts, notes = math.ceil(steps / (rollout * config.hold)), []
    for i in range(config.checkpoints):
        wanted = math.ceil(rollouts * (i + 1) / config.checkpoints) * rollout - model.num_timesteps
        if wanted > 0:
            model.learn(wanted, reset_num_timesteps=i == 0)
        save_policy(model.policy, folder / f"{i:03d}.safetensors")
        notes.append({"steps": model.num_timesteps * config.hold, "training": tally.take()})
    return notes


def clone(dataset: Dataset, twin: TwinEnv, seed: int, config: TransferConfig) -> ActorCriticPolicy:
    """The policy that acts most like the dataset does, in the view of `twin`."""
    assert twin.world is not None
    latents, index, actions, last = _examples(dataset, twin, twin.world, config)
    policy = new_policy(twin.observation_space, twin.action_space, config, seed)
    optimizer = torch.optim.Adam(policy.parameters(), config.ppo.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(config.clone_epochs):
        for chosen in torch.randperm(len(index), generator=generator).split(config.ppo.batch):
            seen = torch.cat([latents[index[chosen]].flatten(1).float(), last[chosen]], 1)
            _, likelihood, _ = policy.evaluate_actions(seen, actions[chosen])
            optimizer.zero_grad()
            (-likelihood.mean()).backward()
            optimizer.step()
    return policy


def new_policy(
    obs: gymnasium.Space[Any], actions: gymnasium.Space[Any], config: TransferConfig, seed: int = 0
) -> ActorCriticPolicy:
    """The network that PPO trains, with random weights, for what `remember` makes of `obs`."""
    torch.manual_seed(seed)
    return ActorCriticPolicy(memory_space(obs, actions), actions, lambda _: 0.0, net_arch=list(config.ppo.layers))


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
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents `(N, D)`; for each example the frames it sees `(N, stack)`, its action, and the one before, as in `remember`."""
    latents: list[torch.Tensor] = []
    index: list[NDArray[np.int64]] = []
    actions: list[NDArray[np.float32]] = []
    starts: list[int] = []
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
        starts.append(count)
        count += length
    chosen = twin.view.flat.nearest(np.concatenate(actions))
    last = remember(np.zeros((count, 0)), np.roll(chosen, 1, 0), twin.action_space)
    last[starts] = 0  # nothing came before an episode's first frame
    return torch.cat(latents), torch.from_numpy(np.concatenate(index)), torch.from_numpy(chosen), torch.from_numpy(last)
