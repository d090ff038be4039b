"""Any Gymnasium environment as a game: what it shows becomes a frame, and what a person holds becomes its action.

`worldsim new` writes a file that puts these parts together; see `worldsim.envs.games.infer` for how it chooses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.errors import GameError

Resize = Literal["area", "max", "nearest"]


class Map(Protocol):
    """What is held -> action of an environment; see `Keyed`, `Lever` and `Stacked`."""

    def __call__(self, controls: Controls) -> Any: ...

    def held(self, action: Any) -> Controls:
        """What is held for an action."""


@dataclass(frozen=True)
class Picture:
    """How a frame is made of what an environment shows.

    Attributes:
        height, width: of the frame in pixels, multiples of 16.
        crop: `(top, left, bottom, right)` of the part that is kept, in pixels of the environment; None keeps all.
        resize: "area" takes the mean of the pixels that become one, "max" the brightest value of each colour (small bright
            things stay), "nearest" one of them.
        source: "observation", "render", or "observation:NAME" for an entry of a Dict observation.

    Raises:
        GameError: if a field is out of range.
    """

    height: int
    width: int
    crop: tuple[int, int, int, int] | None = None
    resize: Resize = "area"
    source: str = "observation"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise GameError(f"{name} of the picture was {value!r}; give a whole number of pixels of at least 1.")
        if self.resize not in get_args(Resize):
            raise GameError(f"resize was {self.resize!r}; give one of {', '.join(get_args(Resize))}.")
        if self.crop is not None:
            top, left, bottom, right = self.crop
            if not (0 <= top < bottom and 0 <= left < right):
                raise GameError(f"crop was {self.crop}; give (top, left, bottom, right), with top above bottom, left of right.")

    def __call__(self, shown: NDArray[Any]) -> NDArray[np.uint8]:
        """A picture of any kind, see `to_rgb` -> a frame, uint8 `(height, width, 3)`.

        Raises:
            GameError: if the crop does not lie inside the picture.
        """
        rgb = to_rgb(shown)
        if self.crop is not None:
            top, left, bottom, right = self.crop
            if bottom > rgb.shape[0] or right > rgb.shape[1]:
                raise GameError(
                    f"crop was {self.crop}, and the environment shows {rgb.shape[1]}x{rgb.shape[0]} pixels; crop inside them."
                )
            rgb = rgb[top:bottom, left:right]
        return resize(rgb, self.height, self.width, self.resize)

    def read(self, env: gymnasium.Env[Any, Any], observation: Any) -> NDArray[Any]:
        """What the environment shows, before it is cut and resized.

        Raises:
            GameError: if there is nothing to see.
        """
        if self.source == "render":
            shown: Any = env.render()
            shown = shown[-1] if isinstance(shown, list) and shown else shown
        elif self.source.startswith("observation:"):
            shown = observation[self.source.partition(":")[2]]
        else:
            shown = observation
        if not isinstance(shown, np.ndarray):
            raise GameError(f"{self.source} of the environment was {type(shown).__name__}; it must be an array of pixels.")
        return shown


def to_rgb(shown: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels of any kind -> uint8 `(H, W, 3)`.

    Args:
        shown: grey `(H, W)` or `(H, W, 1)`, RGB or RGBA `(H, W, 3 or 4)`, or with the channels first; uint8, other whole
            numbers or bool as they are, floats in [0, 1].

    Raises:
        GameError: if it is none of these.
    """
    pixels = np.asarray(shown)
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4) and pixels.shape[0] in (1, 3, 4):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise GameError(f"a picture had shape {pixels.shape}; it must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).")
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype != np.uint8:
        scale = 255.0 if pixels.dtype.kind == "f" else 1.0
        pixels = np.clip(np.nan_to_num(pixels * scale), 0, 255).round().astype(np.uint8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels[..., :3])


def resize(frame: NDArray[np.uint8], height: int, width: int, how: Resize) -> NDArray[np.uint8]:
    """uint8 `(H, W, C)` -> `(height, width, C)`; a side that is too short is filled with copies of its pixels.

    Every pixel of the result stands for a block of pixels, which do not overlap.
    """
    repeat = [max(1, math.ceil(new / old)) for new, old in zip((height, width), frame.shape, strict=False)]
    frame = frame.repeat(repeat[0], 0).repeat(repeat[1], 1) if max(repeat) > 1 else frame
    if frame.shape[:2] == (height, width):
        return np.ascontiguousarray(frame)
    rows, columns = (np.arange(n) * size // n for n, size in zip((height, width), frame.shape, strict=False))
    if how == "nearest":
        middle = [(at + np.append(at[1:], size)) // 2 for at, size in zip((rows, columns), frame.shape, strict=False)]
        return np.ascontiguousarray(frame[middle[0]][:, middle[1]])
    if how == "max":
        return np.maximum.reduceat(np.maximum.reduceat(frame, rows, axis=0), columns, axis=1)
    sums = np.add.reduceat(np.add.reduceat(frame, rows, axis=0, dtype=np.uint32), columns, axis=1)
    count = np.outer(np.diff(rows, append=frame.shape[0]), np.diff(columns, append=frame.shape[1]))[..., None]
    return ((sums + count // 2) // count).astype(np.uint8)


@dataclass(frozen=True)
class Keyed:
    """Keys held -> a number.

    Attributes:
        table: keys joined with "+", such as "space+w", or "" for nothing held -> number of the action; None for the game to
            wait, which is what it does in a game of turns.

    Of keys that are held together and have no row, as many as possible count, and of equally many the row that comes first.
    """

    table: Mapping[str, int | None]
    _rows: tuple[tuple[frozenset[str], int | None], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = [(frozenset(keys.split("+")) if keys else frozenset(), number) for keys, number in self.table.items()]
        if frozenset() not in {keys for keys, _ in rows}:
            raise GameError(f"the table of keys was {dict(self.table)}; it needs a row '' for nothing held, None to wait.")
        object.__setattr__(self, "_rows", tuple(sorted(rows, key=lambda row: -len(row[0]))))

    def __call__(self, controls: Controls) -> int | None:
        return next(number for keys, number in self._rows if keys <= controls.keys)

    def held(self, action: Any) -> Controls:
        """What is held for an action.

        Raises:
            GameError: if nothing gives it.
        """
        for keys, number in reversed(self._rows):  # the fewest keys first
            if number is not None and number == int(action):
                return Controls(keys=keys)
        raise GameError(f"no key gives the action {action}; the table is {dict(self.table)}.")


@dataclass(frozen=True)
class Lever:
    """Mouse motion or keys held -> a number on an axis.

    Attributes:
        rest: with nothing held.
        low, high: at the ends of the axis.
        mouse: "dx" or "dy", of which `limit` leads to the end of the axis; or None.
        limit: of the mouse in degrees per step.
        keys: key -> number while it is held; of several keys, the first counts.
    """

    rest: float
    low: float
    high: float
    mouse: Literal["dx", "dy"] | None = None
    limit: float = 10.0
    keys: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, controls: Controls) -> float:
        held = next((value for key, value in self.keys.items() if key in controls.keys), None)
        if held is not None:
            return held
        share = controls.mouse[self.mouse == "dy"] / self.limit if self.mouse else 0.0
        share = min(max(share, -1.0), 1.0)
        return self.rest + share * (self.high - self.rest if share > 0 else self.rest - self.low)

    def held(self, value: Any) -> Controls:
        """What is held for about that value."""
        offset = float(value) - self.rest
        if self.mouse:
            way = self.limit * offset / ((self.high - self.rest if offset > 0 else self.rest - self.low) or 1.0)
            return Controls(mouse=(way, 0.0) if self.mouse == "dx" else (0.0, way))
        nearest = min(self.keys, key=lambda key: abs(self.keys[key] - float(value)))
        return Controls(keys={nearest} if abs(self.keys[nearest] - float(value)) < abs(offset) else set())


@dataclass(frozen=True)
class Stacked:
    """Several numbers at once, as MultiBinary, MultiDiscrete and Box spaces take them.

    Attributes:
        parts: one for each entry.
        dtype, shape: of the array.
    """

    parts: Sequence[Keyed | Lever]
    dtype: str
    shape: tuple[int, ...]

    def __call__(self, controls: Controls) -> NDArray[Any]:
        return np.array([part(controls) for part in self.parts], self.dtype).reshape(self.shape)

    def held(self, action: Any) -> Controls:
        """What is held for about that action."""
        parts = [part.held(value) for part, value in zip(self.parts, np.asarray(action).ravel(), strict=True)]
        keys = frozenset(key for part in parts for key in part.keys)
        return Controls(keys=keys, mouse=(sum(part.mouse[0] for part in parts), sum(part.mouse[1] for part in parts)))


class Adapted(gymnasium.Env[NDArray[np.uint8], Any]):
    """An environment that shows frames and takes our controls.

    Observation: uint8 `(height, width, 3)` RGB.

    Action: an element of `action_space` (see `ControlSpec.action_space`), a `Controls`, or a control vector `(A,)`.

    Reward and end of an episode: the environment's own; `truncated` after `max_tics` tics, too.

    Info: that of the environment, `tics` (int), `has_frame` (True), and what `states` and `objects` read.

    Args:
        env: the environment, which takes actions as `actions` gives them.
        picture: how frames are made.
        control_spec: what it listens to.
        actions: what is held -> its action; None leaves the environment as it is for one step, for games of turns.
        fps: steps per second.
        frame_skip: tics per step.
        repeat: steps of the environment per step, with the same action; their rewards are added up.
        max_tics: tics after which an episode is truncated; None for never.
        states: environment, picture -> numbers by name, for `info`.
        objects: environment, picture -> boxes `(name, x, y, width, height)` in pixels of the frame, for `info["objects"]`.
        render_mode: None or "rgb_array".
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        picture: Picture,
        control_spec: ControlSpec,
        actions: Map,
        *,
        fps: float,
        frame_skip: int = 1,
        repeat: int = 1,
        max_tics: int | None = None,
        states: Callable[[gymnasium.Env[Any, Any], Picture], dict[str, float]] | None = None,
        objects: Callable[[gymnasium.Env[Any, Any], Picture], list[tuple[str, float, float, float, float]]] | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise GameError(f"render_mode was {render_mode!r}; give None or 'rgb_array'.")
        self.env, self.picture, self.control_spec, self.actions = env, picture, control_spec, actions
        self.fps, self.frame_skip, self.max_tics, self.render_mode = fps, frame_skip, max_tics, render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": max(1, round(fps))}
        self.observation_space = gymnasium.spaces.Box(0, 255, (picture.height, picture.width, 3), np.uint8)
        self.action_space = control_spec.action_space()
        self.repeat, self._states, self._objects = repeat, states, objects
        self._frame = np.zeros(self.observation_space.shape, np.uint8)
        self.observation: Any = None  # the environment's own, for policies that were trained on it
        self._told: dict[str, Any] = {}
        self._tics, self._over = 0, True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode; equal seeds give equal episodes under equal actions, if they do in the environment."""
        super().reset(seed=seed)
        given = {} if options is None else {"options": options}  # which not everyone's reset() takes
        self.observation, self._told = self.env.reset(seed=seed, **given)
        self._frame = self.picture(self.picture.read(self.env, self.observation))
        self._tics, self._over = 0, False
        return self._frame.copy(), self._info()

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Plays one step of the environment with these controls held."""
        if self._over:
            raise GameError("the episode is over, or has not begun; call reset() before the next step().")
        chosen = self.actions(self._controls(action))
        reward, terminated, truncated = 0.0, False, False
        for _ in range(0 if chosen is None else self.repeat):
            self.observation, earned, terminated, truncated, self._told = self.env.step(chosen)
            reward += float(earned)
            if terminated or truncated:
                break
        if chosen is not None:
            self._frame = self.picture(self.picture.read(self.env, self.observation))
        terminated, truncated = bool(terminated), bool(truncated)
        self._tics += self.frame_skip
        truncated = truncated or (not terminated and self.max_tics is not None and self._tics >= self.max_tics)
        self._over = terminated or truncated
        return self._frame.copy(), reward, terminated, truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The current frame, uint8 `(height, width, 3)`."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self.env.close()

    def _controls(self, action: Any) -> Controls:
        if isinstance(action, Controls):
            return self.control_spec.from_vector(self.control_spec.to_vector(action))
        vector = self.control_spec.from_action(action) if isinstance(action, Mapping) else action
        return self.control_spec.from_vector(vector)

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {**self._told, "tics": self._tics, "has_frame": True}
        if self._states is not None:
            info.update(self._states(self.env, self.picture))
        if self._objects is not None:
            info["objects"] = self._objects(self.env, self.picture)
        return info
