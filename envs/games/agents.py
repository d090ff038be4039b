"""Agents of Stable-Baselines3 as players of recordings."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.errors import GameError


def load_model(path: Path) -> Any:
    """A model that Stable-Baselines3 saved. Such a file holds pickles, which run code: load only your own.

    Raises:
        GameError: if it cannot be read, or Stable-Baselines3 is missing.
    """
    try:
        import stable_baselines3
    except ImportError as error:
        raise GameError('a .zip needs Stable-Baselines3; pip install "worldsim-dit[rl]".') from error
    try:
        with zipfile.ZipFile(path) as file:
            module = json.loads(file.read("data"))["policy_class"]["__module__"]
        learner = next((name for name in ("DQN", "SAC", "TD3") if f".{name.lower()}." in module), "PPO")
        return getattr(stable_baselines3, learner).load(path, device="cpu")
    except Exception as error:  # whatever a pickle raises
        raise GameError(f"{path} cannot be loaded as an agent of Stable-Baselines3: {error}") from error


class Agent:
    """A model that was trained on an environment, which is now played as a game; see `worldsim.envs.games.any.Adapted`.

    Args:
        path: its .zip file.
        spec: controls that it gives.
    """

    def __init__(self, path: str | Path, spec: ControlSpec) -> None:
        self.path, self.spec, self.model = Path(path), spec, load_model(Path(path))

    def attach(self, env: gymnasium.Env[Any, Any]) -> None:
        """Takes the game that it is going to play.

        Raises:
            GameError: if the model was trained on something else.
        """
        if not env.has_wrapper_attr("observation") or not env.has_wrapper_attr("actions"):
            raise GameError(f"{self.path} can only play a game that adapts an environment, as `worldsim new` writes it.")
        inner = env.get_wrapper_attr("env")
        wanted, given = self.model.observation_space, inner.observation_space
        self._turned = len(wanted.shape or ()) == 3 and wanted.shape != given.shape
        seen = (given.shape[2], *given.shape[:2]) if self._turned and len(given.shape) == 3 else given.shape
        if wanted.shape != seen or self.model.action_space != inner.action_space:
            raise GameError(
                f"{self.path} sees {wanted} and takes {self.model.action_space}; the environment shows {given} and takes "
                f"{inner.action_space}. Give a model of that environment, without wrappers, or a --policy module:Class."
            )
        self._env = env

    def reset(self, rng: np.random.Generator) -> None:
        self.model.set_random_seed(int(rng.integers(2**31)))

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        seen = np.asarray(self._env.get_wrapper_attr("observation"))
        action, _ = self.model.predict(seen.transpose(2, 0, 1) if self._turned else seen)
        return self.spec.to_vector(self._env.get_wrapper_attr("actions").held(action))
