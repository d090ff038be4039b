"""What agents may choose about a world, and checks that dreams and twins share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldsim.choices import RUNTIMES
from worldsim.device import DTYPES, pick_device
from worldsim.envs.games import GameSpec
from worldsim.errors import EnvError, check_choice, check_int, check_number, suggest
from worldsim.world import World

LARGEST_SEED = 2**64 - 1


@dataclass(frozen=True)
class WorldOptions:
    """How a world is loaded; see `World`.

    Attributes:
        device: "auto", "cpu" or "cuda".
        dtype: "auto" for the faster one here, "float32" or "bfloat16".
        num_steps: network calls per frame, at least 1; by default the world's own.
        temperature: of what happens by chance, at least 0. Above 1 the dream is less certain, and so harder to exploit.
        context_level: noise level in [0, 1) at which past frames are kept; by default the world's own. A higher one too
            makes the dream less certain.
        compiled: compile the networks.
        runtime: who executes a step, "auto", "torch", "openvino" or "openvino-int8".

    Raises:
        EnvError: if an option is out of range.
        WorldsimError: if there is no such device.
    """

    device: str = "auto"
    dtype: str = "auto"
    num_steps: int | None = None
    temperature: float = 1.0
    context_level: float | None = None
    compiled: bool = False
    runtime: str = "auto"

    def __post_init__(self) -> None:
        pick_device(self.device)
        check_choice("runtime", self.runtime, RUNTIMES, EnvError)
        check_choice("dtype", self.dtype, ("auto", *DTYPES), EnvError)
        if self.num_steps is not None:
            check_int("num_steps", self.num_steps, 1, error=EnvError)
        check_number("temperature", self.temperature, 0, float("inf"), error=EnvError)
        if self.context_level is not None:
            check_number("context_level", self.context_level, 0, 1, below=True, error=EnvError)

    def open(self, world: str | Path | World, batch: int) -> World:
        """The world itself if it is loaded, otherwise loads it.

        Raises:
            EnvError: if a loaded world has another batch, or options are given with it.
            WorldError: if there is no such world, or not enough memory.
        """
        if not isinstance(world, World):
            return World.load(world, batch=batch, **{**vars(self), "dtype": DTYPES.get(self.dtype)})
        if world.batch != batch:
            raise EnvError(f"the world has a batch of {world.batch}, and {batch} are needed; load it with batch={batch}.")
        changed = [name for name, value in vars(self).items() if value != getattr(WorldOptions, name)]
        if changed:
            raise EnvError(f"{', '.join(changed)} given with a loaded world; give them to World.load(...) instead.")
        return world


def check_rewards(world: World) -> None:
    """Raises `EnvError` where a world has no rewards to learn from."""
    if world.config.dynamics.reward_bins == 0:
        raise EnvError(
            f"world {world.config.name!r} has no reward head (reward_bins is 0), so no agent can learn in it; "
            "train it with rewards, or pass rewards=False to only watch."
        )


def horizon_steps(horizon: int | str | None, game: GameSpec | None, frame_skip: int) -> int | None:
    """Steps after which an episode is truncated: as given, or "game" for what the game does (never, if it is unknown).

    Raises:
        EnvError: if it is neither.
    """
    if horizon is None:
        return None
    if isinstance(horizon, str):
        check_choice("horizon", horizon, ("game",), EnvError)
        return game.steps(frame_skip) if game else None
    return check_int("horizon", horizon, 1, error=EnvError)


def check_seed(seed: Any) -> int | None:
    """A seed as Python's int, since Gymnasium takes no NumPy integers.

    Raises:
        EnvError: if it is neither None nor a whole number from 0 to 2**64 - 1.
    """
    return None if seed is None else check_int("seed", seed, 0, LARGEST_SEED, EnvError)


def check_reset_options(options: Mapping[str, Any] | None, allowed: Iterable[str]) -> Mapping[str, Any]:
    """The options of a reset, empty for None.

    Raises:
        EnvError: if there is an unknown one.
    """
    options, allowed = options or {}, tuple(allowed)
    for name in options:
        if name not in allowed:
            raise EnvError(f"reset() has no option {name!r}; it has: {', '.join(allowed)}.{suggest(str(name), allowed)}")
    return options
