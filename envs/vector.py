"""Many dreams of one world as a Gymnasium vector environment: one batched network call per step and no extra processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from worldsim.envs.dreams import Dreams, DreamState
from worldsim.envs.games import GameSpec
from worldsim.envs.options import WorldOptions, check_reset_options, check_rewards, check_seed
from worldsim.envs.view import check_render_mode
from worldsim.errors import EnvError, check_choice, check_int, shown
from worldsim.world import World

OUTPUTS = ("numpy", "torch")
Array = Any  # NDArray, or Tensor with output="torch"


class DreamVectorEnv(VectorEnv[Array, Any, Array]):
    """`num_envs` dreams, generated in one batch. Row i draws the same starts, noise and ends as a `DreamEnv` with its seed.

    Infos: `has_frame` and `end_probability`, and with SAME_STEP `final_obs` and `final_info`, each with its mask. With
    `output="torch"` observations, rewards and ends are tensors on the world's device, and `final_obs` is one tensor
    `(num_envs, ...)`, in which the rows of the mask are valid.

    Gymnasium's wrappers that keep statistics, such as `RecordEpisodeStatistics`, `NormalizeReward` and `NormalizeObservation`,
    compute in NumPy: put them around an environment with NumPy output, and `gymnasium.wrappers.vector.NumpyToTorch` around them
    where tensors are wanted.

    Args:
        world: name, folder or Hub id; or a loaded `World` of that batch.
        num_envs: dreams.
        obs, obs_size, actions, stack, game: as for `DreamEnv`.
        device, dtype, num_steps, temperature, context_level, compiled, runtime: as for `DreamEnv`.
        horizon: steps until truncation; None for never, "game" for what the real game does.
        max_episode_steps: takes the place of the horizon where given; -1 for never, as in Gymnasium.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, or its value.
        output: "numpy" or "torch".
        render_mode: None or "rgb_array".

    Raises:
        EnvError: if an option is out of range.
        WorldError: if there is no such world, memory for fewer dreams only, or another environment uses the world.
    """

    metadata = {  # noqa: RUF012 (Gymnasium's own convention)
        "render_modes": ["rgb_array"],
        "render_fps": 18,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        world: str | Path | World,
        num_envs: int = 1,
        *,
        obs: str = "pixels",
        obs_size: Sequence[int] | None = None,
        actions: str = "native",
        stack: int = 1,
        horizon: int | str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        output: str = "numpy",
        render_mode: str | None = None,
        game: str | GameSpec | None = None,
        device: str = "auto",
        dtype: str = "auto",
        num_steps: int | None = None,
        temperature: float = 1.0,
        context_level: float | None = None,
        compiled: bool = False,
        runtime: str = "auto",
    ) -> None:
        num_envs = check_int("num_envs", num_envs, 1, error=EnvError)
        check_choice("output", output, OUTPUTS, EnvError)
        check_render_mode(render_mode, ("rgb_array",))
        limit = horizon if max_episode_steps is None else None if max_episode_steps == -1 else max_episode_steps
        view = {"obs": obs, "obs_size": obs_size, "actions": actions, "stack": stack}
        options = WorldOptions(device, dtype, num_steps, temperature, context_level, compiled, runtime)
        self._dreams = Dreams(world, num_envs, view, limit, options, game)
        self.world, self.view = self._dreams.world, self._dreams.view
        self.world.claim(self)
        check_rewards(self.world)
        self.num_envs, self.render_mode, self.output = num_envs, render_mode, output
        self.autoreset_mode = _mode(autoreset_mode)
        self.metadata = {**self.metadata, "render_fps": round(self.world.config.fps), "autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = self.view.observation_space, self.view.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._started = False

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Restarts all dreams, or those of `options["reset_mask"]`.

        Args:
            seed: of row 0, row i taking `seed + i`; or one per row. None continues from the last seeds.
            options: `start`, a start context for all or one for each row, None for one drawn from the row's seed;
                `reset_mask`, bool `(num_envs,)`, with seeds and starts of all rows.

        Raises:
            EnvError: if a seed, a start or an option is none of these.
        """
        given = check_reset_options(options, ["start", "reset_mask"])
        rows = self._rows(given.get("reset_mask"))
        seeds, start = self._each("seed", seed), self._each("start", given.get("start"))
        seeds = [check_seed(seeds[row]) for row in rows] if isinstance(seeds, list) else check_seed(seeds)
        super().reset(seed=seeds if isinstance(seeds, int) else None)
        self._dreams.reset(rows, seeds, [start[row] for row in rows] if isinstance(start, list) else start)
        self._started = True
        chosen = np.isin(np.arange(self.num_envs), rows)
        return self._out(self._dreams.obs), _infos(np.zeros(self.num_envs), chosen)

    def step(self, actions: Any) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Generates the next frame of every dream; dreams that are over restart as the autoreset mode says.

        Raises:
            EnvError: before the first reset, or with DISABLED if a dream is over that was not reset.
            ControlError: if the actions do not fit.
        """
        before = self._dreams.over
        if not self._started:
            raise EnvError("step() before reset(); call reset(seed=...) first.")
        if self.autoreset_mode == AutoresetMode.DISABLED and before.any():
            over = np.flatnonzero(before).tolist()
            raise EnvError(f"dreams {over} are over; call reset(options={{'reset_mask': terminated | truncated}}) first.")
        reward, ended, cut, probability = self._dreams.step(self.view.vectors(actions, self.num_envs), ~before)
        infos: dict[str, Any] = {}
        again = before
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            again = ended | cut
            infos = self._final(self._dreams.obs, probability, again) if again.any() else {}
        if again.any():
            self._dreams.reset(np.flatnonzero(again).tolist(), None, None)
        infos |= _infos(np.where(again, 0.0, probability))
        obs = self._out(self._dreams.obs)
        if self.output == "torch":
            return obs, reward, *(torch.from_numpy(end).to(reward.device) for end in (ended, cut)), infos  # type: ignore[return-value]
        return obs, reward.cpu().numpy(), ended, cut, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The current frames, uint8 `(H, W, 3)` each.

        Raises:
            EnvError: before the first `reset`.
        """
        if self.render_mode is not None and not self._started:
            raise EnvError("render() before reset(); call reset(seed=...) first.")
        return tuple(self._dreams.frames()) if self.render_mode == "rgb_array" else None

    def frames(self) -> NDArray[np.uint8]:
        """The current frames, uint8 `(num_envs, H, W, 3)`, as a copy, whatever the observations are."""
        return self._dreams.frames()

    def get_action_meanings(self) -> list[Any]:
        """What the actions of one dream do; see `View.action_meanings`."""
        return self.view.action_meanings()

    def close_extras(self, **kwargs: Any) -> None:
        """Releases the world, which other environments may then use."""
        self.world.release(self)

    def get_state(self, rows: Sequence[int] | None = None) -> DreamState:
        """A copy of all that the next frames of some dreams depend on; by default of all. Setting it gives bit-equal frames."""
        return self._dreams.get_state(range(self.num_envs) if rows is None else rows)

    def set_state(
        self, state: DreamState, rows: Sequence[int] | None = None, *, seed: int | Sequence[int | None] | None = None
    ) -> Array:
        """Continues from states: one for each of `rows` (by default all), or one for all of them, which branches it.

        Args:
            state: of this or another environment of the same world.
            rows: which dreams.
            seed: restarts the random numbers of every row; with None all branches share those of their state and
                differ only by their actions.

        Returns:
            Observations of all dreams.
        """
        self._dreams.set_state(state, list(range(self.num_envs) if rows is None else rows), seed)
        self._started = True
        return self._out(self._dreams.obs)

    def _each(self, name: str, values: Any) -> Any:
        """One value, or a list of one for each dream."""
        if not isinstance(values, Sequence | np.ndarray | Tensor) or isinstance(values, str) or np.ndim(values) == 0:
            return values
        if len(values) != self.num_envs:
            raise EnvError(f"{len(values)} {name}s for {self.num_envs} dreams; give one {name}, or one per dream.")
        return list(values)

    def _rows(self, mask: Any) -> list[int]:
        if mask is None:
            return list(range(self.num_envs))
        array = mask.cpu().numpy() if isinstance(mask, Tensor) else mask
        if not isinstance(array, np.ndarray) or array.shape != (self.num_envs,) or array.dtype != np.bool_ or not array.any():
            raise EnvError(f"reset_mask was {shown(mask)}; give a bool array of shape ({self.num_envs},) with at least one True.")
        return np.flatnonzero(array).tolist()

    def _out(self, obs: Tensor) -> Array:
        return obs if self.output == "torch" else obs.cpu().numpy().copy()

    def _final(self, obs: Tensor, probability: NDArray[np.float64], ended: NDArray[np.bool_]) -> dict[str, Any]:
        """The last observations and infos of the dreams that ended, which are about to restart."""
        final: Any = obs
        if self.output != "torch":
            final = np.full(self.num_envs, None, object)
            for row in np.flatnonzero(ended):
                final[row] = obs[row].cpu().numpy().copy()
        info = _infos(np.where(ended, probability, 0.0), ended)
        return {"final_obs": final, "_final_obs": ended, "final_info": info, "_final_info": ended.copy()}


def _mode(given: AutoresetMode | str) -> AutoresetMode:
    if isinstance(given, AutoresetMode):
        return given
    check_choice("autoreset_mode", given, [mode.value for mode in AutoresetMode], EnvError)
    return AutoresetMode(given)


def _infos(end_probability: NDArray[np.float64], rows: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Infos of some rows (by default all), each with its mask."""
    rows = np.ones(len(end_probability), bool) if rows is None else rows
    return {
        "has_frame": rows.copy(),
        "_has_frame": rows.copy(),
        "end_probability": end_probability,
        "_end_probability": rows.copy(),
    }
