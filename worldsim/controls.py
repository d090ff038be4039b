"""Controls: the one type that recorder, dataset, model, envs, player and every real game speak.

A `Controls` says what a person holds during one step: keys, mouse motion and mouse buttons. A `ControlSpec`
says which of them a world listens to, and turns them into the arrays that datasets and models carry.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ControlError, shown, suggest

if TYPE_CHECKING:
    import gymnasium

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
DIGITS = tuple("0123456789")
NAMED_KEYS = ("space", "return", "escape", "tab", "backspace", "shift", "ctrl", "alt", "up", "down", "left", "right")
KEY_NAMES = LETTERS + DIGITS + NAMED_KEYS
BUTTON_NAMES = ("left", "middle", "right")
LARGEST_TURN = 36_000  # degrees per step
MIRRORED = (("a", "d"), ("left", "right"), ("q", "e"))  # keys that trade places in a mirror, unless a spec says otherwise


@dataclass(frozen=True)
class Controls:
    """What is held during one step.

    Attributes:
        keys: names of the keys held, from `KEY_NAMES`.
        mouse: motion `(dx, dy)` in degrees per step; right and down are positive.
        buttons: mouse buttons held, from `BUTTON_NAMES`.
    """

    keys: Set[str] = frozenset()
    mouse: tuple[float, float] = (0.0, 0.0)
    buttons: Set[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", frozenset(_names("keys", self.keys)))
        object.__setattr__(self, "buttons", frozenset(_names("buttons", self.buttons)))
        _check_names("key", self.keys, KEY_NAMES)
        _check_names("mouse button", self.buttons, BUTTON_NAMES)
        mouse = _numbers(self.mouse)
        if len(mouse) != 2 or not all(math.isfinite(v) for v in mouse):
            raise ControlError(f"mouse was {self.mouse!r}; give two finite numbers (dx, dy) in degrees per step.")
        object.__setattr__(self, "mouse", mouse)


@dataclass(frozen=True)
class ControlSpec:
    """Which controls a world or game listens to, and in what units.

    The vector form is `[keys..., dx, dy, buttons...]` with only the parts that exist: keys and buttons 0 or 1,
    mouse in degrees per step. `size` is its length `A`.

    Attributes:
        keys: key names, in the order of the vector.
        mouse_limit: largest |dx| and |dy| in degrees per step; 0 means that axis is ignored.
        buttons: mouse-button names, in the order of the vector.
        exclusive: groups of keys of which at most one acts at a time, such as `("a", "d")` (used by random policies).
        mirrored: pairs of keys that trade places when left and right are swapped; None for those of `MIRRORED` that
            it has.

    Raises:
        ControlError: for an unknown or repeated name, a key in two groups or pairs, or a limit that is out of range.
    """

    keys: tuple[str, ...] = ()
    mouse_limit: tuple[float, float] = (0.0, 0.0)
    buttons: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    mirrored: tuple[tuple[str, ...], ...] | None = None

    def __post_init__(self) -> None:
        keys, limit = _names("keys", self.keys), _numbers(self.mouse_limit)
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "buttons", _names("buttons", self.buttons))
        object.__setattr__(self, "exclusive", tuple(_names("exclusive", group) for group in _names("exclusive", self.exclusive)))
        if self.mirrored is not None:
            object.__setattr__(self, "mirrored", tuple(_names("mirrored", pair) for pair in _names("mirrored", self.mirrored)))
        if len(limit) != 2 or not all(0 <= v <= LARGEST_TURN for v in limit):
            raise ControlError(
                f"mouse_limit was {shown(self.mouse_limit)}; give two finite numbers of at least 0 in degrees, "
                f"and at most {LARGEST_TURN:,}."
            )
        object.__setattr__(self, "mouse_limit", limit)
        _check_names("key", self.keys, KEY_NAMES)
        _check_names("mouse button", self.buttons, BUTTON_NAMES)
        for field, groups in (("exclusive", self.exclusive), ("mirrored", self.mirrored_pairs)):
            _check_names(f"key in {field}", (key for group in groups for key in group), self.keys)
            _check_once(field, [key for group in groups for key in group])
        _check_once("keys", self.keys)
        _check_once("buttons", self.buttons)
        if any(len(pair) != 2 for pair in self.mirrored_pairs):
            raise ControlError(f"mirrored was {self.mirrored!r}; give pairs of keys, such as (('a', 'd'),).")

    @property
    def mirrored_pairs(self) -> tuple[tuple[str, ...], ...]:
        """Pairs of keys that trade places when left and right are swapped."""
        return tuple(pair for pair in MIRRORED if set(pair) <= set(self.keys)) if self.mirrored is None else self.mirrored

    @property
    def has_mouse(self) -> bool:
        return any(limit > 0 for limit in self.mouse_limit)

    @property
    def size(self) -> int:
        """Length `A` of the vector form."""
        return len(self.keys) + 2 * self.has_mouse + len(self.buttons)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry of the vector form."""
        mouse = ("mouse.dx", "mouse.dy") if self.has_mouse else ()
        return (*self.keys, *mouse, *(f"mouse.{button}" for button in self.buttons))

    def neutral(self) -> Controls:
        """Nothing held, mouse still."""
        return Controls()

    def to_vector(self, controls: Controls) -> NDArray[np.float32]:
        """`Controls` -> float32 `(A,)`. Mouse is clipped to its limit.

        Raises:
            ControlError: for a key or button this spec does not know.
        """
        _check_names("key", controls.keys, self.keys)
        _check_names("mouse button", controls.buttons, self.buttons)
        mouse = [min(max(v, -m), m) for v, m in zip(controls.mouse, self.mouse_limit, strict=True)] if self.has_mouse else []
        held = [float(key in controls.keys) for key in self.keys]
        pressed = [float(button in controls.buttons) for button in self.buttons]
        return np.array([*held, *mouse, *pressed], dtype=np.float32)

    def to_vectors(self, controls: Controls | Sequence[Controls] | NDArray[Any], batch: int) -> NDArray[np.float32]:
        """One `Controls` (used for every row), one per row, or an array `(B, A)` -> checked float32 `(B, A)`."""
        if isinstance(controls, Controls):
            return np.tile(self.to_vector(controls), (batch, 1))
        if isinstance(controls, np.ndarray):
            array = self.check_vector(controls)
        else:
            array = np.stack([self.to_vector(c) for c in controls]) if len(controls) else np.zeros((0, self.size), np.float32)
        if array.shape != (batch, self.size):
            raise ControlError(f"controls have shape {array.shape}; give ({batch}, {self.size}): one row per world.")
        return array

    def from_vector(self, vector: NDArray[Any]) -> Controls:
        """Vector `(A,)` -> `Controls`; entries of at least 0.5 count as held."""
        vector = self.check_vector(vector)
        keys, mouse, buttons = self.split(vector)
        return Controls(
            keys=frozenset(k for k, v in zip(self.keys, keys, strict=True) if v >= 0.5),
            mouse=(float(mouse[0]), float(mouse[1])) if self.has_mouse else (0.0, 0.0),
            buttons=frozenset(b for b, v in zip(self.buttons, buttons, strict=True) if v >= 0.5),
        )

    def split(self, vector: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """`(..., A)` -> keys `(..., K)`, mouse `(..., 2 or 0)`, buttons `(..., M)`."""
        k, m = len(self.keys), len(self.keys) + 2 * self.has_mouse
        return vector[..., :k], vector[..., k:m], vector[..., m:]

    def check_vector(self, vector: NDArray[Any]) -> NDArray[np.float32]:
        """Checks shape and finiteness, clips the mouse to its limit; returns float32 of the same shape."""
        array = _floats("control vector", vector)
        if array.shape[-1:] != (self.size,):
            raise ControlError(
                f"control vector has shape {array.shape}; the last axis must be {self.size}: {', '.join(self.names)}."
            )
        if not np.isfinite(array).all():
            raise ControlError(f"control vector holds a non-finite number: {array.tolist()}; every entry must be finite.")
        if self.has_mouse:
            array = array.copy()
            limit = np.array(self.mouse_limit, np.float32)
            mouse = array[..., len(self.keys) : len(self.keys) + 2]
            np.clip(mouse, -limit, limit, out=mouse)
        return array

    def scale(self) -> NDArray[np.float32]:
        """Float32 `(A,)` that divides a vector into the model's units: 1 for keys and buttons, the limit for the mouse."""
        mouse = [limit or 1.0 for limit in self.mouse_limit] if self.has_mouse else []
        return np.array([*(1.0 for _ in self.keys), *mouse, *(1.0 for _ in self.buttons)], dtype=np.float32)

    def mirror(self, vector: NDArray[Any]) -> NDArray[np.float32]:
        """`(..., A)` with left and right swapped: the keys of `mirrored_pairs` trade places, and dx changes sign."""
        out = np.array(vector, dtype=np.float32)
        for one, other in self.mirrored_pairs:
            i, j = self.keys.index(one), self.keys.index(other)
            out[..., i], out[..., j] = vector[..., j], vector[..., i]
        if self.has_mouse:
            out[..., len(self.keys)] *= -1
        return out

    def action_space(self) -> gymnasium.spaces.Dict:
        """Gymnasium space of one step: `keys` MultiBinary, `mouse` Box(2) in [-1, 1], `buttons` MultiBinary; where present.

        The mouse is in units of its limit; an axis without one does nothing.
        """
        from gymnasium import spaces

        parts: dict[str, spaces.Space[Any]] = {}
        if self.keys:
            parts["keys"] = spaces.MultiBinary(len(self.keys))
        if self.has_mouse:
            parts["mouse"] = spaces.Box(-1, 1, (2,), np.float32)
        if self.buttons:
            parts["buttons"] = spaces.MultiBinary(len(self.buttons))
        return spaces.Dict(parts)

    def from_action(self, action: Mapping[str, Any]) -> NDArray[np.float32]:
        """An element (or batch) of `action_space()` -> checked vector `(..., A)`.

        Raises:
            ControlError: if a part is missing, unknown or of the wrong shape.
        """
        widths = {"keys": len(self.keys), "mouse": 2 * self.has_mouse, "buttons": len(self.buttons)}
        wanted = {name: width for name, width in widths.items() if width}
        if not isinstance(action, Mapping) or set(action) != set(wanted):
            given = sorted(action) if isinstance(action, Mapping) else type(action).__name__
            raise ControlError(f"action was {given}; give a dict with {', '.join(wanted)}.")
        parts = [_floats(f"action[{name!r}]", action[name]) for name in wanted]
        for (name, width), part in zip(wanted.items(), parts, strict=True):
            if part.shape[-1:] != (width,):
                raise ControlError(f"action[{name!r}] has shape {part.shape}; its last axis must be {width}.")
        if len({part.shape[:-1] for part in parts}) > 1:
            shapes = ", ".join(f"{name} {part.shape}" for name, part in zip(wanted, parts, strict=True))
            raise ControlError(f"the parts of the action have shapes {shapes}; all axes but the last must be the same.")
        return self.check_vector(np.concatenate(parts, axis=-1) * self.scale())

    def to_action(self, vector: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Vector `(..., A)` -> an element (or batch) of `action_space()`."""
        keys, mouse, buttons = self.split(self.check_vector(vector) / self.scale())
        action: dict[str, NDArray[Any]] = {}
        if self.keys:
            action["keys"] = (keys >= 0.5).astype(np.int8)
        if self.has_mouse:
            action["mouse"] = mouse.astype(np.float32)
        if self.buttons:
            action["buttons"] = (buttons >= 0.5).astype(np.int8)
        return action

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ControlSpec:
        """Reads what `to_dict` wrote; a spec from before `mirrored` existed has the default pairs.

        Raises:
            ControlError: if it is something else.
        """
        known = cls.__dataclass_fields__
        if not isinstance(fields, Mapping) or any(name not in known for name in fields):
            raise ControlError(f"the control spec was {shown(fields)}; its fields are {', '.join(known)}.")
        return cls(**{name: value for name, value in fields.items() if value is not None})


def _names(field: str, given: Iterable[Any]) -> tuple[Any, ...]:
    """The names in a collection; a string, whose letters would be taken for names, is refused."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ControlError(f"{field} was {shown(given)}; give a tuple of names, such as ('a', 'd').")
    return tuple(given)


def _numbers(given: Any) -> tuple[float, ...]:
    """The numbers in a sequence; empty where they are none."""
    try:
        return tuple(math.nan if isinstance(value, str | bytes | bool) else float(value) for value in given)
    except (TypeError, ValueError, OverflowError):
        return ()


def _floats(what: str, given: Any) -> NDArray[np.float32]:
    try:
        return np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ControlError(f"{what} was {given!r}; give an array of numbers.") from error


def _check_once(field: str, names: Sequence[str]) -> None:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ControlError(f"{field} has {shown(twice)} twice; give every name once.")


def _check_names(what: str, given: Iterable[str], allowed: Sequence[str]) -> None:
    for name in given:
        if name not in allowed:
            listed = ", ".join(allowed) or "none"
            raise ControlError(f"unknown {what} {shown(name)}; allowed: {listed}.{suggest(str(name), allowed)}")
