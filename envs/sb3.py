"""The batched dreams as a Stable-Baselines3 `VecEnv`, whose interface differs from that of Gymnasium's vector environments.

>>> env = SB3VecEnv(gymnasium.make_vec(id, num_envs=32, obs="latent", actions="flat", autoreset_mode="SameStep"))
>>> PPO("MlpPolicy", env).learn(100_000)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import EnvError

try:
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices
except ImportError as error:
    raise ImportError('worldsim.envs.sb3 needs Stable-Baselines3; pip install "worldsim-dit[rl]".') from error


class SB3VecEnv(VecEnv):
    """Gives batched steps to Stable-Baselines3. Attributes and methods of single environments are those of the batched one.

    Options of a reset are those of `DreamEnv`, one dict per environment.

    Args:
        env: a `DreamVectorEnv`, from `gymnasium.make_vec`, with flat actions, SAME_STEP autoreset and NumPy output.

    Raises:
        EnvError: if it is another kind of environment.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        dreams = env.unwrapped
        fitting = isinstance(dreams, DreamVectorEnv) and dreams.view.is_flat and dreams.output == "numpy"
        if not fitting or env.metadata["autoreset_mode"] != AutoresetMode.SAME_STEP:
            raise EnvError(
                f"{env} does not fit Stable-Baselines3; make it with "
                'gymnasium.make_vec(id, num_envs=N, actions="flat", autoreset_mode="SameStep").'
            )
        self.env = env
        self._actions: NDArray[Any] = np.zeros(0)
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> NDArray[Any]:
        obs, infos = self.env.reset(seed=self._seeds, options=_joined(self._options))  # type: ignore[arg-type]
        self.reset_infos = _rows(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return obs

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        obs, rewards, terminated, truncated, infos = self.env.step(self._actions)
        final, last = infos.pop("final_obs", None), _rows(infos.pop("final_info", {}), self.num_envs)
        rows = [new | old for new, old in zip(_rows(infos, self.num_envs), last, strict=True)]  # of the episode that is over
        for i, row in enumerate(rows):
            row["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            if terminated[i] or truncated[i]:
                row["terminal_observation"] = final[i]
        return obs, rewards, terminated | truncated, rows

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any) -> list[Any]:
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        frames: Any = self.env.render()
        return [None] * self.num_envs if frames is None else frames


def _joined(options: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Options of every row -> those of the one environment: `start` differs by row, all others must agree."""
    names = {name for row in options for name in row}
    for name in names - {"start"}:
        if any(row.get(name) != options[0].get(name) for row in options):
            raise EnvError(f"option {name!r} differs between the environments; only 'start' may.")
    joined = {name: options[0][name] for name in names - {"start"}}
    return joined | ({"start": [row.get("start") for row in options]} if "start" in names else {})


def _rows(infos: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """One dict per row of what Gymnasium gives as arrays, or dicts of arrays, with masks."""
    return [_row(infos, row) for row in range(count)]


def _row(infos: Mapping[str, Any], row: int) -> dict[str, Any]:
    """The infos of one row; values without a mask belong to every row."""
    named = {name: values for name, values in infos.items() if not (name.startswith("_") and name[1:] in infos)}
    return {name: _value(values, row) for name, values in named.items() if f"_{name}" not in infos or infos[f"_{name}"][row]}


def _value(values: Any, row: int) -> Any:
    if isinstance(values, Mapping):
        return _row(values, row)
    value = values[row]
    return value.item() if isinstance(value, np.generic) else value
