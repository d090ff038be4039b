"""Plays episodes, dreamed or real, from an episode's beginning or from recorded moments, and gives their scores."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.data import Dataset
from worldsim.envs.games import GameSpec
from worldsim.envs.twin import TwinEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.envs.view import View
from worldsim.errors import DataError
from worldsim.eval.replay import replay
from worldsim.transfer.config import Randomness, TransferConfig
from worldsim.transfer.inputs import action_sizes
from worldsim.world import World

# Observations (B, ...), and the last flat actions (B, ...) or None where episodes begin -> flat actions (B, ...)
Actor = Callable[[NDArray[Any], NDArray[Any] | None], NDArray[Any]]
Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # frames (B, H, W, 3) -> latents (B, D)


class Moment(NamedTuple):
    """A recorded frame at which a policy takes over: position of its episode in the dataset, and the frame's position there."""

    episode: int
    frame: int


def draw_moments(dataset: Dataset, window: int, count: int, seed: int) -> list[Moment]:
    """Moments with a start context of `window` frames that ends with them, drawn evenly from all there are.

    Raises:
        DataError: if no episode is that long.
    """
    room = np.cumsum(np.maximum(dataset.lengths - window + 1, 0))
    if not room[-1]:
        raise DataError(f"no episode is {window} frames long, which a start context needs; collect longer ones.")
    drawn = np.random.default_rng(seed).integers(0, room[-1], count)
    episodes = np.searchsorted(room, drawn, side="right")
    firsts = drawn - np.where(episodes > 0, room[episodes - 1], 0)
    return [Moment(int(episode), int(first) + window - 1) for episode, first in zip(episodes, firsts, strict=True)]


def start_contexts(world: World, dataset: Dataset, moments: Sequence[Moment]) -> tuple[Tensor, Tensor]:
    """Latents `(S, window, h, w, C)` and controls `(S, window, A)` up to each moment; see `World.set_starts`."""
    window, scale = world.config.dynamics.window, dataset.spec.scale()
    latents, controls = [], []
    for episode, frame in moments:
        clip = dataset.clips(episode, frame - window + 1, window)
        latents.append(world.encode(clip.frames[0]))
        controls.append(torch.from_numpy(clip.controls[0] / scale))
    return torch.stack(latents), torch.stack(controls)


def open_dreams(
    folder: Path,
    randomness: Randomness,
    batch: int,
    horizon: int,
    recordings: Dataset,
    moments: Sequence[Moment],
    game: GameSpec,
    device: str,
) -> DreamVectorEnv:
    """Dreams as policies meet them, with latents and flat actions.

    Args:
        folder: of the world.
        randomness: of the dreams.
        batch: dreams at a time.
        horizon: frames after which a dream is truncated.
        recordings: that the moments are of.
        moments: in which dreams begin.
        game: that the world was trained on.
        device: where to dream.
    """
    world = dream_world(folder, randomness, batch, device)
    return dreams_from(world, start_contexts(world, recordings, moments), horizon, game)


def dream_world(folder: Path, randomness: Randomness, batch: int, device: str) -> World:
    """A world as policies learn in it; arguments as for `open_dreams`."""
    return World.load(
        folder,
        batch=batch,
        device=device,
        temperature=randomness.temperature,
        context_level=randomness.context_level,
        runtime="torch",  # the same dreams whatever graphs are kept here
    )


def dreams_from(world: World, starts: tuple[Tensor, Tensor], horizon: int, game: GameSpec | None) -> DreamVectorEnv:
    """Dreams of a world that begin in the start contexts given, see `start_contexts`; other arguments as for `open_dreams`."""
    world.set_starts(*starts)
    return DreamVectorEnv(world, world.batch, obs="latent", actions="flat", horizon=horizon, autoreset_mode="SameStep", game=game)


def open_twin(world: World, config: TransferConfig, game: GameSpec) -> TwinEnv:
    """The real game with the same flat actions and horizon. It shows frames, since only those that are decided on have to
    be encoded."""
    return TwinEnv(game, world=world, actions="flat", horizon=horizon(config, world.config.frame_skip))


def frame_encoder(world: World) -> Encode:
    """Gives the latents of real frames as dreams of `world` would show them."""
    view = View(world.control_spec, (world.config.height, world.config.width), latent_size(world), obs="latent")
    return lambda frames: view.flatten(world.encode(frames)).cpu().numpy()


def latent_size(world: World) -> int:
    """Numbers in the latent of a frame."""
    return int(np.prod(world.latent_shape))


def horizon(config: TransferConfig, frame_skip: int) -> int:
    """Frames after which an episode is truncated."""
    return max(1, config.cap // frame_skip)


def play_dreams(env: DreamVectorEnv, act: Actor, hold: int, starts: int, seed: int) -> NDArray[np.float64]:
    """Plays a dream from each of the first `starts` start contexts.

    Args:
        env: dreams.
        act: decides.
        hold: frames for which a decision holds.
        starts: dreams to play, as many at a time as `env` has rows.
        seed: of the noise, and of what the policy draws.

    Returns:
        Scores `(starts,)`.
    """
    scores = []
    for first in range(0, starts, env.num_envs):
        torch.manual_seed(seed + first)
        obs = _begin(env, np.minimum(np.arange(first, first + env.num_envs), starts - 1), seed + first)
        score, alive, frame, action = np.zeros(env.num_envs), np.ones(env.num_envs, bool), 0, None
        while alive.any():
            if frame % hold == 0:
                action = act(obs, action)
            obs, reward, terminated, truncated, _ = env.step(action)
            score += reward * alive
            alive, frame = alive & ~(terminated | truncated), frame + 1
        scores.append(score)
    return np.concatenate(scores)[:starts]


def _begin(env: DreamVectorEnv, starts: NDArray[np.int64], seed: int) -> NDArray[Any]:
    """Begins row i in start context `starts[i]`."""
    obs, _ = env.reset(seed=seed)
    for row, start in enumerate(starts):
        mask = np.arange(env.num_envs) == row
        obs, _ = env.reset(seed=range(seed, seed + env.num_envs), options={"start": int(start), "reset_mask": mask})
    return obs


def play_real(env: TwinEnv, act: Actor, hold: int, seeds: Iterable[int]) -> NDArray[np.float64]:
    """Plays a real episode from its beginning for every seed, which also decides what the policy draws; see `play_dreams`."""
    scores = []
    for seed in seeds:
        torch.manual_seed(seed)
        frame, _ = env.reset(seed=seed)
        scores.append(_play_on(env.step, frame, act, hold, None))
    return np.array(scores)


def play_real_from(
    env: TwinEnv, act: Actor, hold: int, recordings: Dataset, moments: Sequence[Moment], seed: int
) -> NDArray[np.float64]:
    """Plays on from recorded moments: the game is brought there by the recorded seed and actions, then the policy takes over.

    Args:
        env: the game; its horizon counts from the moment on.
        act, hold: as for `play_dreams`.
        recordings: that the moments are of.
        moments: one for each score.
        seed: of what the policy draws.

    Returns:
        Scores `(moments,)` from the moments on.

    Raises:
        DataError: if the game, played again, does not show what was recorded.
    """

    def step(action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        frame, reward, terminated, truncated, info = env.game.step(env.control_spec.to_action(env.view.vector(action)))
        return np.array(frame), float(reward), terminated, truncated, info

    scores = []
    for i, (episode, position) in enumerate(moments):
        torch.manual_seed(seed + i)
        [(frame, _)] = deque(replay(env.game, recordings, episode, position), maxlen=1)
        scores.append(_play_on(step, np.array(frame), act, hold, env.horizon))
    return np.array(scores)


def _play_on(
    step: Callable[[Any], tuple[NDArray[Any], float, bool, bool, dict[str, Any]]],
    frame: NDArray[Any],
    act: Actor,
    hold: int,
    horizon: int | None,
) -> float:
    """What an episode that shows `frame` scores from here on."""
    score, over, age = 0.0, False, 0
    action: NDArray[Any] | None = None
    while not over and age != horizon:
        if action is None or age % hold == 0:
            action = act(frame[None], action)
        frame, reward, terminated, truncated, _ = step(action[0])
        score, over, age = score + reward, terminated or truncated, age + 1
    return score


def random_actor(space: gymnasium.Space[Any], seed: int) -> Actor:
    """Draws a new action every time, all equally likely."""
    space.seed(seed)
    return lambda obs, last: np.array([space.sample() for _ in obs])


def constant_actors(space: gymnasium.Space[Any]) -> dict[str, Actor]:
    """An actor for each flat action that always takes it, by the action's name."""
    sizes = action_sizes(space)
    chosen = np.stack([part.reshape(-1) for part in np.indices(sizes)], 1)

    def constant(action: NDArray[Any]) -> Actor:
        return lambda obs, last: np.repeat((action if len(sizes) > 1 else action[0])[None], len(obs), 0)

    return {str(action.tolist()): constant(action) for action in chosen}
