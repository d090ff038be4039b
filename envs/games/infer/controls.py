"""What a person holds to give an environment its actions: from the names that it tells, otherwise by number."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import DIGITS, KEY_NAMES, LETTERS, ControlSpec
from worldsim.envs.games.any import Keyed, Lever, Map, Stacked
from worldsim.envs.games.infer.names import WORDS, action_names, plain, rests, words_of
from worldsim.errors import ControlError, GameError, suggest

NUMBERS = (*DIGITS[1:], DIGITS[0], *"qertyuiopfghjklzxcvbnmwasd")  # keys of actions that have no name
PAIRS = (("a", "d"), ("s", "w"), ("j", "l"), ("k", "i"), ("f", "h"), ("g", "t"), ("n", "m"), ("v", "b"))  # low and high end
HALVES = ("w", "s", "e", "q", "r", "f", "t", "g", "y", "h", "u", "j")  # one-sided axes
MOST_CHOICES = 1000  # along an axis of whole numbers; more cannot be told apart anyway
LIMIT = 10.0  # degrees a step that lead to the end of an axis
JOYSTICK = re.compile(r"(UP|DOWN)?(LEFT|RIGHT)?(FIRE)?")
PUSHES = {"UP": "w", "DOWN": "s", "LEFT": "a", "RIGHT": "d", "FIRE": "space"}
OLD_CODES = {273: "up", 274: "down", 275: "right", 276: "left"}  # pygame's before version 2, in older environments
CODES = {" ": "space", "\r": "return", "\t": "tab", "\b": "backspace"}


@dataclass(frozen=True)
class Wiring:
    """What a person can do in an environment.

    Attributes:
        spec: the controls.
        actions: `Controls` -> the environment's action.
        meanings: control -> what it does, as far as the environment tells.
        origin: where names come from, for people to read.
        rest: what the environment calls the action for nothing held; "" if it does not tell.
        notes: what people should know.
    """

    spec: ControlSpec
    actions: Map
    meanings: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    rest: str = ""
    notes: tuple[str, ...] = ()

    def renamed(self, names: Mapping[str, str]) -> Wiring:
        """The same with other keys.

        Args:
            names: key -> key that takes its place.

        Raises:
            ControlError: if a key is unknown, or two would be the same.
        """
        for key in names:
            if key not in self.spec.keys:
                listed = ", ".join(self.spec.keys) or "none"
                raise ControlError(f"rename names the key {key!r}; the keys are: {listed}.{suggest(key, self.spec.keys)}")
        new = {key: names.get(key, key) for key in self.spec.keys}
        spec = replace(
            self.spec,
            keys=tuple(new.values()),
            exclusive=tuple(tuple(new[key] for key in group) for group in self.spec.exclusive),
        )
        meanings = {new.get(name, name): meaning for name, meaning in self.meanings.items()}
        return replace(self, spec=spec, actions=_rename(self.actions, new), meanings=meanings)

    def without(self, keys: Collection[str]) -> Wiring:
        """The same without some keys of a Discrete space, which do nothing."""
        if not isinstance(self.actions, Keyed):
            return self
        table = {held: number for held, number in self.actions.table.items() if not set(held.split("+")) & set(keys)}
        groups = [tuple(key for key in group if key not in keys) for group in self.spec.exclusive]
        left = tuple(key for key in self.spec.keys if key not in keys)
        spec = replace(self.spec, keys=left, exclusive=tuple(group for group in groups if len(group) > 1))
        meanings = {name: meaning for name, meaning in self.meanings.items() if name not in keys}
        return replace(self, spec=spec, actions=Keyed(table), meanings=meanings)

    def meaning(self, meanings: Mapping[str, str]) -> Wiring:
        """The same, which says what controls do.

        Raises:
            ControlError: if a control is unknown.
        """
        for name in meanings:
            if name not in self.spec.names:
                listed = ", ".join(self.spec.names) or "none"
                raise ControlError(f"meanings names {name!r}; the controls are: {listed}.{suggest(name, self.spec.names)}")
        return replace(self, meanings={**self.meanings, **meanings})


def wire(env: gymnasium.Env[Any, Any], rest: int | None = None, still: Sequence[int] = ()) -> Wiring:
    """Finds controls for an environment's actions.

    Args:
        env: the environment.
        rest: number of the action that nothing held stands for; by default found by its name or effect.
        still: actions that were seen to change nothing.

    Raises:
        GameError: if its actions cannot be given with keys and mouse.
    """
    space = env.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return _wire_discrete(env, space, rest, still)
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return _wire_buttons(env, space, [0] * int(np.prod(space.shape)))
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return _wire_multi(env, space, np.ravel(space.start), np.ravel(space.nvec))
    if isinstance(space, gymnasium.spaces.Box) and space.dtype.kind in "iu":
        low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
        return _wire_multi(env, space, low, np.minimum(high - low + 1, MOST_CHOICES))
    if isinstance(space, gymnasium.spaces.Box) and space.dtype.kind == "f":
        return _wire_box(space)
    raise GameError(
        f"actions are {space}, which keys and mouse cannot give; wrap the environment so that it takes Discrete, MultiBinary, "
        "MultiDiscrete or a bounded Box of floats, and give that as --env module:function."
    )


def _wire_discrete(
    env: gymnasium.Env[Any, Any], space: gymnasium.spaces.Discrete, rest: int | None, still: Sequence[int]
) -> Wiring:
    first, count = int(space.start), int(space.n)
    if rest is not None and not first <= rest < first + count:
        raise GameError(f"rest was {rest}; give the number of an action, {first} to {first + count - 1}.")
    names, told_by = action_names(env, count)
    held, origin = keys_to_action(env, count), "get_keys_to_action"
    if not held:
        held, origin = from_names(names), told_by
    if not held and count > len(NUMBERS):
        raise GameError(
            f"there are {count} actions, and at most {len(NUMBERS)} can have a key of their own; wrap the environment so that "
            "it has fewer, or tells get_keys_to_action()."
        )
    if not held:
        held, origin = {(NUMBERS[i],): i for i in range(count)}, "numbers, since the actions have no names"
    resting = rest if rest is None else rest - first
    if resting is None:
        resting = resting_action(held, names, still)
    table: dict[str, int | None] = {"": None if resting is None else first + resting}
    rows = [(keys, number) for keys, number in held.items() if keys and number != resting]
    order = list(dict.fromkeys(key for keys, _ in sorted(rows, key=lambda row: len(row[0])) for key in keys))
    table |= {"+".join(sorted(keys, key=order.index)): first + number for keys, number in rows}
    spec = ControlSpec(keys=tuple(order), exclusive=exclusive_groups([set(keys) for keys, _ in rows], order))
    alone = {keys[0]: number for keys, number in rows if len(keys) == 1}
    meanings = {key: plain(names[number]) for key, number in alone.items()} if names else {}
    notes: tuple[str, ...] = ()
    if resting is None:
        notes = (
            "no action is known to do nothing, so the game waits while nothing is held; if one does, name it: --rest NUMBER",
        )
    told = {key: text for key, text in meanings.items() if text}
    return Wiring(spec, Keyed(table), told, origin, plain(names[resting]) if names and resting is not None else "", notes)


def keys_to_action(env: gymnasium.Env[Any, Any], count: int) -> dict[tuple[str, ...], int]:
    """Keys held -> number of the action, as `get_keys_to_action` tells; empty if it does not, or its keys are unknown to us."""
    get = _attribute(env, "get_keys_to_action")
    if not callable(get):
        return {}
    held: dict[tuple[str, ...], int] = {}
    for keys, action in get().items():
        if not isinstance(action, int | np.integer) or not 0 <= int(action) < count:
            return {}
        named = [key_name(key) for key in (keys if isinstance(keys, tuple | list | frozenset) else (keys,))]
        if not all(named):
            return {}
        held[tuple(str(key) for key in named)] = int(action)
    return held if len(set(held.values())) == count else {}


def key_name(key: Any) -> str | None:
    """Our name of a key that is given as a character, a name, or a code of pygame's; None if there is none."""
    if isinstance(key, int | np.integer):
        if int(key) in OLD_CODES:
            return OLD_CODES[int(key)]
        import pygame

        key = pygame.key.name(int(key))
    name = CODES.get(key, str(key).lower().strip())
    name = {"left shift": "shift", "left ctrl": "ctrl", "left alt": "alt", "enter": "return"}.get(name, name)
    return name if name in KEY_NAMES else None


def from_names(names: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Keys held -> number of the action, from what actions are called: UPRIGHTFIRE of a joystick is three keys, "left+jump" is
    two, others have one.
    """
    pushed = [JOYSTICK.fullmatch(re.sub("[^A-Z]", "", name.upper())) for name in names]
    resting = [rests(name) for name in names]
    if all(match or rests for match, rests in zip(pushed, resting, strict=True)):
        keys = [() if match is None else tuple(PUSHES[part] for part in match.groups() if part) for match in pushed]
        if len(set(keys)) == len(keys):
            return {held: number for number, held in enumerate(keys)}
    held: dict[tuple[str, ...], int] = {}
    keys_of: dict[str, str] = {}
    acting = [{*words_of(name)} for name, rest in zip(names, resting, strict=True) if not rest]
    shared = set.intersection(*acting) if len(acting) > 1 else set()
    for number, name in enumerate(names):
        if rests(name) and () not in held:
            held[()] = number
            continue
        for part in name.split("+"):
            key = keys_of.get(part) or _key_for(part, {*keys_of.values()}, shared)
            if key is None:
                return {}
            keys_of[part] = key
        held[tuple(dict.fromkeys(keys_of[part] for part in name.split("+")))] = number
    return held if len(held) == len(names) else {}


def resting_action(held: Mapping[tuple[str, ...], int], names: Sequence[str], still: Sequence[int]) -> int | None:
    """The action that stands for nothing held; None if no action is known to do nothing."""
    if () in held:
        return held[()]
    if names:
        named = next((number for number, name in enumerate(names) if rests(name)), None)
        if named is not None:
            return named
        still = sorted(still, key=lambda number: names[number].lower() not in ("done", "end", "finish"))  # of no use to a player
    return still[0] if still else None


def exclusive_groups(combinations: Sequence[set[str]], keys: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of keys of which no two are ever held together, as large as can be found one after another."""
    together = {frozenset(pair) for held in combinations for pair in itertools.combinations(held, 2)}
    groups: list[list[str]] = []
    for key in keys:
        group = next((group for group in groups if all(frozenset((key, other)) not in together for other in group)), None)
        if group is None:
            groups.append([key])
        else:
            group.append(key)
    return tuple(tuple(group) for group in groups if len(group) > 1)


def _wire_buttons(env: gymnasium.Env[Any, Any], space: gymnasium.Space[Any], first: Sequence[int]) -> Wiring:
    """A key for each entry of an array that is `first` while nothing is held, and one more while the key is."""
    count = len(first)
    if count > len(NUMBERS):
        raise GameError(f"there are {count} buttons, and at most {len(NUMBERS)} can have a key; wrap the environment.")
    names, origin = action_names(env, count)
    keys = {number: held[0] for held, number in from_names(names).items() if len(held) == 1}
    named = len(keys) == count
    keys = keys if named else dict(enumerate(NUMBERS[:count]))
    parts = tuple(Keyed({"": first[i], keys[i]: first[i] + 1}) for i in range(count))
    meanings = {keys[i]: plain(names[i]) for i in range(count)} if names else {}
    spec = ControlSpec(keys=tuple(keys[i] for i in range(count)))
    return Wiring(spec, Stacked(parts, str(space.dtype), tuple(space.shape or ())), meanings, origin if named else "numbers")


def _wire_multi(env: gymnasium.Env[Any, Any], space: gymnasium.Space[Any], first: NDArray[Any], count: NDArray[Any]) -> Wiring:
    """A key for every choice but rest, for an array of which each entry is one of `count` whole numbers from `first` on."""
    if int(count.sum()) - len(count) > len(NUMBERS):
        raise GameError(f"actions are {space}, more than {len(NUMBERS)} keys can give; wrap the environment.")
    first, count = first.astype(int), count.astype(int)
    if (count == 2).all() and (first >= 0).all():
        return _wire_buttons(env, space, first.tolist())
    pool, parts, groups = iter(NUMBERS), [], []
    for low, size in zip(first.tolist(), count.tolist(), strict=True):
        rest = 0 if low <= 0 < low + size else low
        keys = {next(pool): value for value in range(low, low + size) if value != rest}
        parts.append(Keyed({"": rest, **keys}))
        groups.append(tuple(keys))
    spec = ControlSpec(keys=tuple(key for group in groups for key in group), exclusive=tuple(g for g in groups if len(g) > 1))
    note = "0, or else the first choice, of each part is taken to be what nothing held stands for"
    return Wiring(spec, Stacked(tuple(parts), str(space.dtype), tuple(space.shape or ())), {}, "numbers", notes=(note,))


def _wire_box(space: gymnasium.spaces.Box) -> Wiring:
    low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise GameError(
            f"actions are {space}, without bounds; wrap the environment in gymnasium.wrappers.ClipAction or RescaleAction and "
            "give that as --env module:function."
        )
    levers: list[Lever] = []
    axes: tuple[Literal["dx", "dy"], ...] = ("dx", "dy")
    mice, pairs, halves = iter(axes), iter(PAIRS), iter(HALVES)
    taken: set[str] = set()
    groups: list[tuple[str, ...]] = []
    keys: tuple[str, ...] | None
    for least, most in zip(low.tolist(), high.tolist(), strict=True):
        if np.isclose(least, -most):
            mouse = next(mice, None)
            if mouse is not None:
                levers.append(Lever(0.0, least, most, mouse, LIMIT))
                continue
            keys = next((pair for pair in pairs if not taken & set(pair)), None)
            values: tuple[float, ...] = (least, most)
        else:
            key = next((key for key in halves if key not in taken), None)
            keys, values = (None if key is None else (key,)), (most if abs(most) >= abs(least) else least,)
        if keys is None:
            raise GameError(f"actions are {len(low)} axes, more than mouse and keys can give; wrap the environment.")
        taken |= set(keys)
        groups.append(keys)
        rest = 0.0 if least <= 0 <= most else least
        levers.append(Lever(rest, least, most, keys=dict(zip(keys, values, strict=True))))
    limits = tuple(LIMIT if any(lever.mouse == axis for lever in levers) else 0.0 for axis in axes)
    spec = ControlSpec(
        keys=tuple(key for group in groups for key in group),
        mouse_limit=(limits[0], limits[1]),
        exclusive=tuple(group for group in groups if len(group) > 1),
    )
    return Wiring(spec, Stacked(tuple(levers), str(space.dtype), tuple(space.shape)), {}, "axes of a Box")


def _attribute(env: gymnasium.Env[Any, Any], name: str) -> Any:
    """An attribute of an environment or of one inside it."""
    for place in (env, env.unwrapped):
        if hasattr(place, name):
            return getattr(place, name)
    return None


def _key_for(name: str, taken: set[str], shared: set[str]) -> str | None:
    """A key for an action's name: by its words, then a letter of one that not all names share, then a number."""
    words = words_of(name)
    wished = [key for kinds, key in WORDS if set(kinds) & set(words)]
    own = [word for word in reversed(words) if word not in shared]
    letters = [letter for word in own for letter in word if letter in LETTERS and letter not in "wasd"]
    return next((key for key in (*wished, *letters[:1], *NUMBERS) if key not in taken), None)


def _rename(actions: Any, new: Mapping[str, str]) -> Any:
    if isinstance(actions, Keyed):
        table = {"+".join(new[key] for key in keys.split("+")) if keys else "": value for keys, value in actions.table.items()}
        return Keyed(table)
    if isinstance(actions, Lever):
        return replace(actions, keys={new[key]: value for key, value in actions.keys.items()})
    assert isinstance(actions, Stacked)
    return replace(actions, parts=tuple(_rename(part, new) for part in actions.parts))
