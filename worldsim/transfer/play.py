"""Plays whole episodes, dreamed or real, and says what they scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.data import Dataset
from worldsim.envs.games import GameSpec
from worldsim.envs.twin import TwinEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.envs.view import View
from worldsim.errors import DataError
from worldsim.transfer.config import Randomness, TransferConfig
from worldsim.transfer.memory import action_sizes
from worldsim.world import World

# What the game shows (B, ...), and the flat actions (B, ...) that held last or None where episodes begin -> flat actions (B, ...)
Actor = Callable[[NDArray[Any], NDArray[Any] | None], NDArray[Any]]
See = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # frames (B, H, W, 3) -> latents (B, D)


def open_dreams(
    world: Path, randomness: Randomness, config: TransferConfig, device: str, game: GameSpec, recorded: Dataset | None = None
) -> DreamVectorEnv:
    """Dreams as policies meet them: latents and flat actions.

    Args:
        world: folder.
        randomness: of the dreams.
        config: how many there are.
        device: where to dream.
        game: that the world was learned from.
        recorded: where dreams to learn in set out from, each of `config.dream_frames`; without it they set out from the world's
            own starts, and are cut where the real game is.
    """
    loaded = World.load(
        world,
        batch=config.dreams,
        device=device,
        temperature=randomness.temperature,
        context_level=randomness.context_level,
    )
    frames = horizon(config, loaded.config.frame_skip)
    if recorded is not None:
        loaded.set_starts(*recorded_starts(loaded, recorded, config.starts))
        frames = min(frames, config.dream_frames)
    return DreamVectorEnv(
        loaded, config.dreams, obs="latent", actions="flat", horizon=frames, autoreset_mode="SameStep", game=game
    )


def recorded_starts(world: World, dataset: Dataset, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Start contexts out of a dataset, drawn evenly from all moments that fit: see `World.set_starts`."""
    window = world.config.dynamics.window
    room = np.cumsum(np.maximum(dataset.lengths - window + 1, 0))
    if not room[-1]:
        raise DataError(f"no episode is {window} frames long, which a start context needs; collect longer ones.")
    latents, controls = [], []
    for moment in np.random.default_rng(0).integers(0, room[-1], count):
        episode = int(np.searchsorted(room, moment, side="right"))
        first = int(moment - (room[episode - 1] if episode else 0))
        clip = dataset.clips(episode, first, window)
        latents.append(world.encode(clip.frames[0]))
        controls.append(torch.from_numpy(clip.controls[0] / dataset.spec.scale()))
    return torch.stack(latents), torch.stack(controls)


def open_twin(world: World, config: TransferConfig, game: GameSpec) -> TwinEnv:
    """The real game with the same actions and cuts, its frames as they are; only those that are decided on need `see`."""
    return TwinEnv(game, world=world, actions="flat", horizon=horizon(config, world.config.frame_skip))


def see(world: World) -> See:
    """How policies see real frames: as the latents that dreams of `world` would show."""
    view = View(world.control_spec, (world.config.height, world.config.width), latent_size(world), obs="latent")
    return lambda frames: view.flatten(world.encode(frames)).cpu().numpy()


def latent_size(world: World) -> int:
    return int(np.prod(world.latent_shape))


def horizon(config: TransferConfig, frame_skip: int) -> int:
    """Steps of `cap_tics`."""
    return max(1, config.cap // frame_skip)


def play_dreams(env: DreamVectorEnv, act: Actor, hold: int, episodes: int, seed: int) -> NDArray[np.float64]:
    """Scores `(episodes,)` of the first episode of every row, in as many rounds as it takes; decisions hold for `hold` frames."""
    scores = []
    for first in range(0, episodes, env.num_envs):
        torch.manual_seed(seed + first)
        obs, _ = env.reset(seed=seed + first)
        score, alive, frame, action = np.zeros(env.num_envs), np.ones(env.num_envs, bool), 0, None
        while alive.any():
            if frame % hold == 0:
                action = act(obs, action)
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
                action = act(obs[None], action)
            obs, reward, terminated, truncated, _ = env.step(action[0])
            score, over, frame = score + reward, terminated or truncated, frame + 1
        scores.append(score)
    return np.array(scores)


def random_actor(space: gymnasium.Space[Any], seed: int) -> Actor:
    """Every time another action, all equally likely."""
    space.seed(seed)
    return lambda obs, last: np.array([space.sample() for _ in obs])


def constant_actors(space: gymnasium.Space[Any]) -> dict[str, Actor]:
    """By name, actors that never change their mind: one for each flat action."""
    sizes = action_sizes(space)
    chosen = np.stack([part.reshape(-1) for part in np.indices(sizes)], 1)

    def constant(action: NDArray[Any]) -> Actor:
        return lambda obs, last: np.repeat((action if len(sizes) > 1 else action[0])[None], len(obs), 0)

    return {str(action.tolist()): constant(action) for action in chosen}
