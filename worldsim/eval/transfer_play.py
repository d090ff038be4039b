"""Plays whole episodes, dreamed or real, and says what they scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.envs.twin import Game, TwinEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.eval.transfer_config import Randomness, TransferConfig
from worldsim.world import World, read_config

LOUD = 8.0  # the few numbers of an action stand beside thousands of a picture
Actor = Callable[[NDArray[Any]], NDArray[Any]]  # what `remember` gives (B, D) -> flat actions (B, ...)
MakeGame = Callable[[], Game]


def open_dreams(world: Path, randomness: Randomness, config: TransferConfig, device: str) -> DreamVectorEnv:
    """Dreams as policies meet them: stacked latents, flat actions, cut where the real game is."""
    return DreamVectorEnv(
        world,
        config.dreams,
        obs="latent",
        actions="flat",
        stack=config.stack,
        horizon=horizon(config, read_config(world).frame_skip),
        autoreset_mode="SameStep",
        temperature=randomness.temperature,
        context_level=randomness.context_level,
        device=device,
    )


def open_twin(world: World, config: TransferConfig, make_game: MakeGame | None, *, frames: bool = False) -> TwinEnv:
    """The real game behind the same view, its frames seen through the world's tokenizer; or single frames as they are."""
    cut, game = horizon(config, world.config.frame_skip), make_game() if make_game else None
    if frames:
        return TwinEnv(game, world=world, actions="flat", horizon=cut)
    return TwinEnv(game, world=world, obs="latent", actions="flat", stack=config.stack, horizon=cut)


def horizon(config: TransferConfig, frame_skip: int) -> int:
    """Steps of `cap_tics`."""
    return max(1, config.cap_tics // frame_skip)


def remember(obs: Any, last: NDArray[Any] | None, actions: gymnasium.Space[Any]) -> NDArray[np.float32]:
    """What a policy sees: observations `(B, ...)` made flat, and the flat actions `(B, ...)` that held last, one-hot `(B, K)`.

    Args:
        obs: what the game shows.
        last: actions; None at the start of an episode, which gives zeros.
        actions: Discrete or MultiDiscrete.
    """
    sizes = _sizes(actions)
    told = np.zeros((len(obs), sum(sizes)), np.float32)
    if last is not None:
        places = np.asarray(last).reshape(len(obs), -1) + np.cumsum([0, *sizes[:-1]])
        np.put_along_axis(told, places, LOUD, 1)
    return np.concatenate([obs.reshape(len(obs), -1), told], 1, dtype=np.float32)


def memory_space(obs: gymnasium.Space[Any], actions: gymnasium.Space[Any]) -> gymnasium.spaces.Box:
    """Of what `remember` gives."""
    return gymnasium.spaces.Box(-np.inf, np.inf, (int(np.prod(obs.shape or ())) + sum(_sizes(actions)),), np.float32)


def play_dreams(env: DreamVectorEnv, act: Actor, hold: int, episodes: int, seed: int) -> NDArray[np.float64]:
    """Scores `(episodes,)` of the first episode of every row, in as many rounds as it takes; decisions hold for `hold` frames."""
    scores = []
    for first in range(0, episodes, env.num_envs):
        torch.manual_seed(seed + first)
        obs, _ = env.reset(seed=seed + first)
        score, alive, frame, action = np.zeros(env.num_envs), np.ones(env.num_envs, bool), 0, None
        while alive.any():
            if frame % hold == 0:
                action = act(remember(obs, action, env.single_action_space))
            obs, reward, terminated, truncated, _ = env.step(action)
            score += reward * alive
            alive, frame = alive & ~(terminated | truncated), frame + 1
        scores.append(score)
    return np.concatenate(scores)[:episodes]


def play_real(env: TwinEnv, act: Actor, hold: int, seeds: Sequence[int]) -> NDArray[np.float64]:
    """Score of one real episode per seed, as in `play_dreams`; what a policy draws comes from the same seed."""
    scores = []
    for seed in seeds:
        torch.manual_seed(seed)
        obs, _ = env.reset(seed=seed)
        score, over, frame = 0.0, False, 0
        action: NDArray[Any] | None = None
        while not over:
            if action is None or frame % hold == 0:
                action = act(remember(obs[None], action, env.action_space))
            obs, reward, terminated, truncated, _ = env.step(action[0])
            score, over, frame = score + reward, terminated or truncated, frame + 1
        scores.append(score)
    return np.array(scores)


def random_actor(space: gymnasium.Space[Any], seed: int) -> Actor:
    """Every time another action, all equally likely."""
    space.seed(seed)
    return lambda obs: np.array([space.sample() for _ in obs])


def constant_actors(space: gymnasium.Space[Any]) -> dict[str, Actor]:
    """By name, actors that never change their mind: one for each flat action."""
    sizes = _sizes(space)
    chosen = np.stack([part.reshape(-1) for part in np.indices(sizes)], 1)

    def constant(action: NDArray[Any]) -> Actor:
        return lambda obs: np.repeat((action if len(sizes) > 1 else action[0])[None], len(obs), 0)

    return {str(action.tolist()): constant(action) for action in chosen}


def _sizes(actions: gymnasium.Space[Any]) -> list[int]:
    return [int(actions.n)] if isinstance(actions, gymnasium.spaces.Discrete) else actions.nvec.tolist()  # type: ignore[attr-defined]
