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
from worldsim.files import write_bytes
from worldsim.transfer.config import PPOConfig, TransferConfig
from worldsim.transfer.episodes import Actor, Encode, frame_encoder, horizon, latent_size
from worldsim.transfer.inputs import ACTION_SCALE, History, action_sizes, history_size, input_space, policy_inputs
from worldsim.transfer.store import Result
from worldsim.world import World

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize

    from worldsim.transfer.envs import ExpectedEnds, HeldActions, PolicyInputs, ScoreEstimate
except ImportError as error:
    raise WorldsimError('transfer needs Stable-Baselines3; pip install "worldsim-dit[doom,rl]".') from error


def train_ppo(
    envs: VecEnv, world: World, steps: int, seed: int, config: TransferConfig, folder: Path, *, dreamed: bool
) -> list[Result]:
    """PPO over at least `steps` frames, which stores `config.checkpoints` policies on the way.

    Args:
        envs: of flat actions; dreams that give latents, or real games that give frames.
        world: whose tokenizer the policies see with.
        steps: frames of all environments together.
        seed: of weights, actions and environments.
        config: the learner.
        folder: gets the policies.
        dreamed: whether `envs` are dreams.

    Returns:
        For each policy the `steps` so far, and in `training` its estimated score since the one before, or None; see
        `ScoreEstimate`.
    """
    ppo, estimate = config.ppo, ScoreEstimate(envs, horizon(config, world.config.frame_skip))
    rollout = ppo.rollout * envs.num_envs
    learned = ExpectedEnds(estimate, ppo.gamma ** (1 / config.hold)) if dreamed else estimate
    held = HeldActions(learned, config.hold)
    inputs = PolicyInputs(held, latent_size(world), None if dreamed else frame_encoder(world))
    rollouts, notes = math.ceil(steps / (rollout * config.hold)), []

    def rate(_: float) -> float:
        """Falls linearly to zero over all rollouts; the progress that SB3 passes starts again with every checkpoint."""
        return ppo.learning_rate * max(0.0, 1 - estimate.total_frames / (rollouts * rollout * config.hold))

    model = PPO(
        "MlpPolicy",
        VecNormalize(inputs, norm_obs=False, gamma=ppo.gamma),
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
    favour_repeats(model.policy, ppo.keep)
    for i in range(config.checkpoints):
        wanted = math.ceil(rollouts * (i + 1) / config.checkpoints) * rollout - model.num_timesteps
        if wanted > 0:
            model.learn(wanted, reset_num_timesteps=i == 0)
        save_policy(model.policy, folder / f"{i:03d}.safetensors")
        notes.append({"steps": model.num_timesteps * config.hold, "training": estimate.take()})
    return notes


def clone_behaviour(dataset: Dataset, view: View, world: World, seed: int, config: TransferConfig) -> ActorCriticPolicy:
    """Behaviour cloning: a policy for the flat actions of `view`, trained to take the actions of the dataset."""
    inputs, actions = _examples(dataset, view, frame_encoder(world), config)
    policy = new_policy(view, world, config.ppo, seed)
    optimizer = torch.optim.Adam(policy.parameters(), config.ppo.learning_rate)
    generator = torch.Generator("cpu").manual_seed(seed)
    for _ in range(config.clone_epochs):
        for chosen in torch.randperm(len(actions), generator=generator, device="cpu").split(config.ppo.batch):
            _, likelihood, _ = policy.evaluate_actions(inputs[chosen].float(), actions[chosen])
            optimizer.zero_grad()
            (-likelihood.mean()).backward()
            optimizer.step()
    return policy


class PatchFeatures(BaseFeaturesExtractor):
    """The inputs themselves, and hidden units made from them, so that a policy is linear in both.

    One small layer is applied to every patch of the latent, with its value and its change; a second one to all of these
    together with the last decisions.

    Args:
        space: of the inputs, see `policy_inputs`.
        patches: of a latent.
        decisions: inputs that are about decisions.
        ppo: sizes of the layers.
    """

    def __init__(self, space: gymnasium.spaces.Box, patches: int, decisions: int, ppo: PPOConfig) -> None:
        super().__init__(space, ppo.hidden + space.shape[0])
        self.split = ((space.shape[0] - decisions) // 2,) * 2 + (decisions,)
        self.patch = nn.Linear(2 * self.split[0] // patches, ppo.patch)
        self.layer = nn.Linear(patches * ppo.patch + decisions, ppo.hidden)
        self.patches = patches

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        now, change, decisions = inputs.split(self.split, -1)
        each = torch.cat([part.unflatten(-1, (self.patches, -1)) for part in (now, change)], -1)
        hidden = torch.tanh(self.layer(torch.cat([F.silu(self.patch(each)).flatten(1), decisions], -1)))
        return torch.cat([hidden, inputs], -1)


def new_policy(view: View, world: World, ppo: PPOConfig, seed: int = 0) -> ActorCriticPolicy:
    """The network that PPO trains, with random weights."""
    torch.manual_seed(seed)
    space = input_space(latent_size(world), view.action_space)
    return ActorCriticPolicy(space, view.action_space, lambda _: 0.0, **_network(world, view.action_space, ppo))


def _network(world: World, actions: gymnasium.Space[Any], ppo: PPOConfig) -> dict[str, Any]:
    shape = {"patches": math.prod(world.grid), "decisions": history_size(actions), "ppo": ppo}
    return {
        "net_arch": [],
        "share_features_extractor": False,
        "features_extractor_class": PatchFeatures,
        "features_extractor_kwargs": shape,
    }


@torch.no_grad()
def favour_repeats(policy: ActorCriticPolicy, keep: float) -> ActorCriticPolicy:
    """Sets the action head of an untrained policy so that on every axis it repeats its last decision with probability `keep`."""
    sizes = action_sizes(policy.action_space)
    gains = [math.log(keep * (size - 1) / (1 - keep)) / ACTION_SCALE if size > 1 else 0.0 for size in sizes]
    weight: torch.Tensor = policy.action_net.weight  # type: ignore[assignment]
    decisions = weight[:, -history_size(policy.action_space) :].unflatten(1, (sum(sizes), -1))
    decisions += torch.diag(torch.tensor(np.repeat(gains, sizes), dtype=weight.dtype, device=weight.device))[..., None]
    return policy


def save_policy(policy: ActorCriticPolicy, path: Path) -> None:
    """Writes the weights as safetensors."""
    write_bytes(path, save({name: value.clone() for name, value in policy.state_dict().items()}))


def load_policy(path: Path, view: View, world: World, ppo: PPOConfig) -> ActorCriticPolicy:
    """A policy for the flat actions of `view` that sees with the tokenizer of `world`."""
    policy = new_policy(view, world, ppo)
    policy.load_state_dict(load_file(path))
    return policy


def policy_actor(policy: ActorCriticPolicy, encode: Encode | None = None) -> Actor:
    """Draws actions from a frozen policy by torch's global generator, and keeps its history.

    Args:
        policy: decides.
        encode: gives the latents of real frames; None in dreams, whose observations are latents.
    """
    latents: NDArray[Any]
    history: History

    def act(obs: NDArray[Any], last: NDArray[Any] | None) -> NDArray[Any]:
        nonlocal latents, history
        now = encode(obs) if encode else obs
        history = History.start(now, policy.action_space) if last is None else history.decided(latents, last)
        latents = now
        return policy.predict(policy_inputs(now, history, policy.action_space))[0]  # type: ignore[return-value]

    return act


def _examples(dataset: Dataset, view: View, encode: Encode, config: TransferConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """For every recorded frame the inputs of a policy, float16 `(N, D)`, and the flat action taken there."""
    inputs: list[torch.Tensor] = []
    actions: list[NDArray[Any]] = []
    count = 0
    for i, length in enumerate(dataset.lengths):
        if count >= config.clone_frames:
            break
        episode = dataset.episode(i)
        latents = np.concatenate([encode(part) for part in np.split(episode.frames, range(64, length, 64))])
        chosen = view.flat.nearest(episode.actions)
        history = recorded_history(latents, chosen.reshape(length, -1), config.hold)
        inputs.append(torch.from_numpy(policy_inputs(latents, history, view.action_space)).half())
        actions.append(chosen)
        count += length
    return torch.cat(inputs), torch.from_numpy(np.concatenate(actions))


def recorded_history(latents: NDArray[Any], chosen: NDArray[Any], hold: int) -> History:
    """The history at each frame of a recorded episode, as if a policy that decides every `hold` frames had played it.

    The last decision before frame t is that of frame `t - hold`, and so on back to the first `hold` frames, which have no
    history.

    Args:
        latents: of the episode, `(N, D)`.
        chosen: its flat actions, `(N, A)`.
        hold: frames for which a decision holds.
    """
    repeats = np.ones_like(chosen)
    for frame in range(hold, len(chosen)):
        repeats[frame] += np.where(chosen[frame] == chosen[frame - hold], repeats[frame - hold], 0)
    frames = np.arange(len(chosen))
    last, begun = np.maximum(frames - hold, 0), frames[:, None] >= hold
    return History(np.where(begun, latents[last], latents), chosen[last], np.where(begun, repeats[last], 0))
