"""Trains the policies of the card: PPO of Stable-Baselines3 in dreams or in the real game, and behaviour cloning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import nn

from worldsim.data import Dataset
from worldsim.envs.view import View
from worldsim.errors import WorldsimError
from worldsim.transfer.config import PPOConfig, TransferConfig
from worldsim.transfer.memory import LOUD, Past, action_sizes, memory_space, remember, told_size
from worldsim.transfer.play import Actor, See, horizon, latent_size, see
from worldsim.transfer.store import Result
from worldsim.world import World

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize

    from worldsim.transfer.envs import ExpectedEnds, Held, Seen, Tally
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
    ppo, tally = config.ppo, Tally(envs, horizon(config, world.config.frame_skip))
    rollout = ppo.rollout * envs.num_envs
    played = Held(ExpectedEnds(tally, ppo.gamma ** (1 / config.hold)) if dreamed else tally, config.hold)
    seen = Seen(played, latent_size(world), None if dreamed else see(world))
    rollouts, notes = math.ceil(steps / (rollout * config.hold)), []

    def rate(_: float) -> float:
        """Falls to zero with the last rollout; what SB3 calls progress begins anew with every checkpoint."""
        return ppo.learning_rate * max(0.0, 1 - tally.played / (rollouts * rollout * config.hold))

    model = PPO(
        "MlpPolicy",
        VecNormalize(seen, norm_obs=False, gamma=ppo.gamma),
        n_steps=ppo.rollout,
        batch_size=min(ppo.batch, rollout),
        n_epochs=ppo.epochs,
        learning_rate=rate,
        gamma=ppo.gamma,
        ent_coef=ppo.entropy,
        policy_kwargs=_network(world, envs.action_space, ppo),
        seed=seed,
        device="cpu",
    )
    patient(model.policy, ppo.keep)
    for i in range(config.checkpoints):
        wanted = math.ceil(rollouts * (i + 1) / config.checkpoints) * rollout - model.num_timesteps
        if wanted > 0:
            model.learn(wanted, reset_num_timesteps=i == 0)
        save_policy(model.policy, folder / f"{i:03d}.safetensors")
        notes.append({"steps": model.num_timesteps * config.hold, "training": tally.take()})
    return notes


def clone(dataset: Dataset, view: View, world: World, seed: int, config: TransferConfig) -> ActorCriticPolicy:
    """The policy for the flat actions of `view` that acts most like the dataset does."""
    known, actions = _examples(dataset, view, see(world), config)
    policy = new_policy(view, world, config.ppo, seed)
    optimizer = torch.optim.Adam(policy.parameters(), config.ppo.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(config.clone_epochs):
        for chosen in torch.randperm(len(actions), generator=generator).split(config.ppo.batch):
            _, likelihood, _ = policy.evaluate_actions(known[chosen].float(), actions[chosen])
            optimizer.zero_grad()
            (-likelihood.mean()).backward()
            optimizer.step()
    return policy


class Beside(BaseFeaturesExtractor):
    """Hidden units beside what they are made from, so that a policy is linear in both. Every patch is looked at in the same way
    first, now and as it changed, and then all of them together.

    Args:
        space: of what policies know; see `remember`.
        patches: of a frame.
        told: numbers of it that tell of decisions.
        ppo: how many units there are.
    """

    def __init__(self, space: gymnasium.spaces.Box, patches: int, told: int, ppo: PPOConfig) -> None:
        super().__init__(space, ppo.hidden + space.shape[0])
        self.split = ((space.shape[0] - told) // 2,) * 2 + (told,)
        self.patch = nn.Linear(2 * self.split[0] // patches, ppo.patch)
        self.layer = nn.Linear(patches * ppo.patch + told, ppo.hidden)
        self.patches = patches

    def forward(self, known: torch.Tensor) -> torch.Tensor:
        now, change, told = known.split(self.split, -1)
        each = torch.cat([part.unflatten(-1, (self.patches, -1)) for part in (now, change)], -1)
        hidden = torch.tanh(self.layer(torch.cat([F.silu(self.patch(each)).flatten(1), told], -1)))
        return torch.cat([hidden, known], -1)


def new_policy(view: View, world: World, ppo: PPOConfig, seed: int = 0) -> ActorCriticPolicy:
    """The network that PPO trains, with random weights, on what `remember` gives."""
    torch.manual_seed(seed)
    space = memory_space(latent_size(world), view.action_space)
    return ActorCriticPolicy(space, view.action_space, lambda _: 0.0, **_network(world, view.action_space, ppo))


def _network(world: World, actions: gymnasium.Space[Any], ppo: PPOConfig) -> dict[str, Any]:
    shape = {"patches": math.prod(world.grid), "told": told_size(actions), "ppo": ppo}
    return {
        "net_arch": [],
        "share_features_extractor": False,
        "features_extractor_class": Beside,
        "features_extractor_kwargs": shape,
    }


@torch.no_grad()
def patient(policy: ActorCriticPolicy, keep: float) -> ActorCriticPolicy:
    """`policy`, untrained, made to do as it did last with a chance of `keep` on every axis of its actions."""
    sizes = action_sizes(policy.action_space)
    gains = [math.log(keep * (size - 1) / (1 - keep)) / LOUD if size > 1 else 0.0 for size in sizes]
    weight: torch.Tensor = policy.action_net.weight  # type: ignore[assignment]
    told = weight[:, -told_size(policy.action_space) :].unflatten(1, (sum(sizes), -1))
    told += torch.diag(torch.tensor(np.repeat(gains, sizes), dtype=weight.dtype))[..., None]
    return policy


def save_policy(policy: ActorCriticPolicy, path: Path) -> None:
    path.write_bytes(save({name: value.clone() for name, value in policy.state_dict().items()}))


def load_policy(path: Path, view: View, world: World, ppo: PPOConfig) -> ActorCriticPolicy:
    """A policy for the flat actions of `view` that sees as `world` does."""
    policy = new_policy(view, world, ppo)
    policy.load_state_dict(load_file(path))
    return policy


def actor(policy: ActorCriticPolicy, look: See | None = None) -> Actor:
    """Draws actions from a frozen policy, by torch's own generator; `look` is for real frames. It remembers its past."""
    now: NDArray[Any]
    past: Past

    def act(obs: NDArray[Any], last: NDArray[Any] | None) -> NDArray[Any]:
        nonlocal now, past
        seen = look(obs) if look else obs
        past = Past.none(seen, policy.action_space) if last is None else past.decided(now, last)
        now = seen
        return policy.predict(remember(seen, past, policy.action_space))[0]  # type: ignore[return-value]

    return act


def _examples(dataset: Dataset, view: View, look: See, config: TransferConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """What a policy would have known at every frame, float16 `(N, D)`, and the flat action taken there."""
    known: list[torch.Tensor] = []
    actions: list[NDArray[Any]] = []
    count = 0
    for i, length in enumerate(dataset.lengths):
        if count >= config.clone_frames:
            break
        episode = dataset.episode(i)
        seen = np.concatenate([look(part) for part in np.split(episode.frames, range(64, length, 64))])
        chosen = view.flat.nearest(episode.actions)
        told = remember(seen, past_of(seen, chosen.reshape(length, -1), config.hold), view.action_space)
        known.append(torch.from_numpy(told).half())
        actions.append(chosen)
        count += length
    return torch.cat(known), torch.from_numpy(np.concatenate(actions))


def past_of(seen: NDArray[Any], chosen: NDArray[Any], hold: int) -> Past:
    """As if a policy had made an episode's decisions: latents `(N, D)`, flat actions `(N, A)`. For every frame the last decision
    is that `hold` frames before, and so on back to the first `hold` frames, which have no past."""
    since = np.ones_like(chosen)
    for frame in range(hold, len(chosen)):
        since[frame] += np.where(chosen[frame] == chosen[frame - hold], since[frame - hold], 0)
    frames = np.arange(len(chosen))
    last, begun = np.maximum(frames - hold, 0), frames[:, None] >= hold
    return Past(np.where(begun, seen[last], seen), chosen[last], np.where(begun, since[last], 0))
