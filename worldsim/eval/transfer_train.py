"""Trains the policies of the card: PPO of Stable-Baselines3 in dreams or in the real game, and behaviour cloning."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from worldsim.data import Dataset
from worldsim.envs.view import View
from worldsim.errors import WorldsimError
from worldsim.eval.transfer_config import TransferConfig
from worldsim.eval.transfer_play import LOUD, Actor, See, action_sizes, latent_size, memory_space, remember, see
from worldsim.eval.transfer_store import Result
from worldsim.world import World

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize

    from worldsim.eval.transfer_envs import ExpectedEnds, Held, Seen, Tally
except ImportError as error:
    raise WorldsimError('transfer needs Stable-Baselines3; pip install "worldsim-dit[doom,rl]".') from error


def train_ppo(
    envs: VecEnv, world: World, steps: int, seed: int, config: TransferConfig, folder: Path, *, dreamed: bool
) -> list[Result]:
    """PPO over at least `steps` frames, keeping `config.checkpoints` policies on the way.

    Args:
        envs: of flat actions; dreams of latents, or real games of frames.
        world: whose latents policies see.
        steps: frames of all environments together.
        seed: of weights, actions and environments.
        config: the learner.
        folder: gets the policies.
        dreamed: whether `envs` are dreams.

    Returns:
        For each policy its `steps`, and in `training` the mean score since the one before it, or None; see `Tally`.
    """
    ppo, tally = config.ppo, Tally(envs)
    rollout = ppo.rollout * envs.num_envs
    played = Held(ExpectedEnds(tally, ppo.gamma ** (1 / config.hold)) if dreamed else tally, config.hold)
    seen = Seen(played, latent_size(world), None if dreamed else see(world))
    model = PPO(
        "MlpPolicy",
        VecNormalize(seen, norm_obs=False, gamma=ppo.gamma),
        n_steps=ppo.rollout,
        batch_size=min(ppo.batch, rollout),
        n_epochs=ppo.epochs,
        learning_rate=ppo.learning_rate,
        gamma=ppo.gamma,
        ent_coef=ppo.entropy,
        policy_kwargs={"net_arch": []},
        seed=seed,
        device="cpu",
    )
    patient(model.policy, ppo.keep)
    rollouts, notes = math.ceil(steps / (rollout * config.hold)), []
    for i in range(config.checkpoints):
        wanted = math.ceil(rollouts * (i + 1) / config.checkpoints) * rollout - model.num_timesteps
        if wanted > 0:
            model.learn(wanted, reset_num_timesteps=i == 0)
        save_policy(model.policy, folder / f"{i:03d}.safetensors")
        notes.append({"steps": model.num_timesteps * config.hold, "training": tally.take()})
    return notes


def clone(dataset: Dataset, view: View, world: World, seed: int, config: TransferConfig) -> ActorCriticPolicy:
    """The policy for the flat actions of `view` that acts most like the dataset does."""
    latents, actions, last = _examples(dataset, view, see(world), config)
    policy = new_policy(view, world, seed)
    optimizer = torch.optim.Adam(policy.parameters(), config.ppo.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(config.clone_epochs):
        for chosen in torch.randperm(len(actions), generator=generator).split(config.ppo.batch):
            seen = torch.cat([latents[chosen].float(), last[chosen]], 1)
            _, likelihood, _ = policy.evaluate_actions(seen, actions[chosen])
            optimizer.zero_grad()
            (-likelihood.mean()).backward()
            optimizer.step()
    return policy


def new_policy(view: View, world: World, seed: int = 0) -> ActorCriticPolicy:
    """The network that PPO trains, with random weights: linear in what `remember` gives."""
    torch.manual_seed(seed)
    space = memory_space(latent_size(world), view.action_space)
    return ActorCriticPolicy(space, view.action_space, lambda _: 0.0, net_arch=[])


@torch.no_grad()
def patient(policy: ActorCriticPolicy, keep: float) -> ActorCriticPolicy:
    """`policy`, untrained, made to do as it did last with a chance of `keep` on every axis of its actions."""
    sizes = action_sizes(policy.action_space)
    gains = [math.log(keep * (size - 1) / (1 - keep)) / LOUD if size > 1 else 0.0 for size in sizes]
    weight: torch.Tensor = policy.action_net.weight  # type: ignore[assignment]
    weight[:, -sum(sizes) :] += torch.diag(torch.tensor(np.repeat(gains, sizes), dtype=weight.dtype))
    return policy


def save_policy(policy: ActorCriticPolicy, path: Path) -> None:
    path.write_bytes(save({name: value.contiguous() for name, value in policy.state_dict().items()}))


def load_policy(path: Path, view: View, world: World) -> ActorCriticPolicy:
    """A policy for the flat actions of `view` that sees as `world` does."""
    policy = new_policy(view, world)
    policy.load_state_dict(load_file(path))
    return policy


def actor(policy: ActorCriticPolicy, look: See | None = None) -> Actor:
    """Draws actions from a frozen policy, by torch's own generator; `look` is for real frames."""
    space = policy.action_space
    return lambda obs, last: policy.predict(remember(look(obs) if look else obs, last, space))[0]  # type: ignore[arg-type]


def _examples(dataset: Dataset, view: View, look: See, config: TransferConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents `(N, D)`; for each frame the action that was taken, and the one before it as in `remember`."""
    latents: list[torch.Tensor] = []
    actions: list[NDArray[np.float32]] = []
    starts: list[int] = []
    count = 0
    for i, length in enumerate(dataset.lengths):
        if count >= config.clone_frames:
            break
        episode = dataset.episode(i)
        latents += [torch.from_numpy(look(part)).half() for part in np.split(episode.frames, range(64, length, 64))]
        actions.append(episode.actions)
        starts.append(count)
        count += length
    chosen = view.flat.nearest(np.concatenate(actions))
    last = remember(np.zeros((count, 0)), np.roll(chosen, 1, 0), view.action_space)
    last[starts] = 0  # nothing came before an episode's first frame
    return torch.cat(latents), torch.from_numpy(chosen), torch.from_numpy(last)
