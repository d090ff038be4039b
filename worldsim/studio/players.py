"""Who plays a recording: policies that give controls, and agents of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from worldsim.envs.games import make_policy
from worldsim.envs.games.agents import load_model
from worldsim.envs.record import frame_of
from worldsim.errors import GameError, shown
from worldsim.studio.source import Source

Act = Callable[[Any, dict[str, Any], int], Any]  # observation, info, position in the episode -> action


@dataclass(frozen=True)
class Player:
    """Who plays.

    Attributes:
        start: environment, seed of the first episode -> what chooses its actions.
        view: what the environment must show and take, for those of ours.
    """

    start: Callable[[gymnasium.Env[Any, Any], int], Act]
    view: Mapping[str, Any] = field(default_factory=dict)


def make_player(policy: str, source: Source) -> Player:
    """The player of a name.

    Args:
        policy: name of a policy, "module:function", or a .zip of Stable-Baselines3.
        source: what is played.

    Raises:
        GameError: if there is no such policy, or it cannot play this.
    """
    if policy.endswith(".zip"):
        return load_agent(Path(policy))
    if source.control_spec is not None:
        make_policy(policy, source.control_spec)  # raises now rather than after the world is loaded
    elif policy != "random":
        raise GameError(f"policy was {shown(policy)}; {source.name} has actions of its own: give random or a .zip.")
    return Player(lambda env, seed: _policy(policy, source, env, seed))


def _policy(name: str, source: Source, env: gymnasium.Env[Any, Any], seed: int) -> Act:
    """A policy that starts anew, from the seed of its episode, at the first frame of each."""
    if source.control_spec is None:
        env.action_space.seed(seed)
        return lambda obs, info, t: env.action_space.sample()
    spec, policy = source.control_spec, make_policy(name, source.control_spec)

    def act(obs: Any, info: dict[str, Any], t: int) -> Any:
        nonlocal seed
        if t == 0:
            policy.reset(np.random.default_rng(seed))
            seed += 1
        return spec.to_action(policy.act({**info, "frame": frame_of(env, obs)}))

    return act


def load_agent(path: Path) -> Player:
    """An agent that Stable-Baselines3 saved. Such a file holds pickles, which run code: load only your own.

    Raises:
        GameError: if it cannot be read, or Stable-Baselines3 is missing.
    """
    model = load_model(path)

    def start(env: gymnasium.Env[Any, Any], seed: int) -> Act:
        seen = env.observation_space
        turned = isinstance(seen, spaces.Box) and len(seen.shape) == 3 and model.observation_space.shape != seen.shape
        wanted = model.observation_space.shape
        given = seen.shape if not turned else (seen.shape[2], *seen.shape[:2])  # type: ignore[index]
        if wanted != given or model.action_space != env.action_space:
            raise GameError(
                f"{path} sees {model.observation_space} and takes {model.action_space}; "
                f"the environment shows {seen} and takes {env.action_space}."
            )
        return lambda obs, info, t: model.predict(obs.transpose(2, 0, 1) if turned else obs)[0]

    return Player(start, _view(model.observation_space, model.action_space))


def _view(seen: spaces.Space[Any], taken: spaces.Space[Any]) -> dict[str, Any]:
    """Options with which an environment of ours shows what an agent sees, and takes what it gives."""
    view: dict[str, Any] = {"actions": "native" if isinstance(taken, spaces.Dict) else "flat"}
    if isinstance(seen, spaces.Box) and seen.dtype == np.uint8 and len(seen.shape) == 3:
        rows, columns, channels = seen.shape if seen.shape[2] % 3 == 0 and seen.shape[0] > 9 else (*seen.shape[1:], seen.shape[0])
        return {**view, "obs_size": (rows, columns), "stack": max(1, channels // 3)}
    return {**view, "obs": "latent"}
