"""What an environment calls its actions: in its methods, lists and enums, in its docstring, or in constants of its module."""

from __future__ import annotations

import enum
import inspect
import itertools
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium

NAMES = ("get_action_meanings", "action_names", "action_meanings", "ACTION_NAMES", "actions", "Actions", "ACTIONS")
# Words in the name of an action -> its key. The first that fits counts.
WORDS = (
    (("left", "west"), "a"),
    (("right", "east"), "d"),
    (("up", "forward", "forwards", "north", "ahead", "faster", "accelerate", "gas", "throttle"), "w"),
    (("down", "back", "backward", "backwards", "south", "slower", "brake"), "s"),
    (("fire", "shoot", "attack", "jump", "do", "use", "interact", "toggle", "flap"), "space"),
)
RESTING = ("noop", "nop", "nothing", "idle", "stay", "still", "wait", "none", "null", "rest")
REFUSED = (["do", "nothing"], ["do", "not"], ["don", "t"])  # beginnings of names of actions that do nothing
ITEM = re.compile(r"\s*(?:[-*+|]\s*)?`?(\d+)`?\s*(?:[:=|)]|\.\s|[->]+\s)\s*([^|]+)")  # "- 0: noop", "| 0 | noop |", "0 = noop"
VERBS = ("move", "turn", "go", "push", "action", "act")  # in names of constants, beside the words above
LOOK_BACK = 15  # lines in front of a list in which a docstring says that it is one of actions
LONGEST = 40  # characters of a name


def action_names(env: gymnasium.Env[Any, Any], count: int) -> tuple[list[str], str]:
    """What an environment calls its `count` actions, and where that is said; no names and "" if it does not tell."""
    inner = env.unwrapped
    module = sys.modules.get(type(inner).__module__)
    for place in (env, inner, getattr(inner, "action_type", None), module):
        for name in NAMES:
            names = _listed(getattr(place, name, None), count, call=name == "get_action_meanings")
            if names:
                return names, "names of actions"
    names = _of_buttons(inner, count)
    if names:
        return names, "names of buttons"
    for kind in type(inner).__mro__:
        names = documented(inspect.cleandoc(kind.__doc__ or ""), count) if kind is not gymnasium.Env else []
        if names:
            return names, "the docstring of the environment"
    names = _constants(vars(module) if module else {}, count)
    return names, "constants of the environment's module" if names else ""


def documented(text: str, count: int) -> list[str]:
    """Names of `count` actions out of a docstring that lists them by number, below a line about actions; else none."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        first = ITEM.match(line)
        if first is None or int(first[1]) != 0 or not _about_actions(lines[max(0, at - LOOK_BACK) : at]):
            continue
        found = itertools.takewhile(bool, (ITEM.match(after) for after in lines[at:] if after.strip()))
        items = [(int(item[1]), item[2]) for item in found if item is not None]
        if [number for number, _ in items] == list(range(count)):
            return [re.split(r"[.;(]\s|\.$", said.strip())[0].strip(" *`")[:LONGEST] for _, said in items]
    return []


def rests(name: str) -> bool:
    """Whether an action of that name does nothing."""
    words = words_of(name)
    if not words:
        return False
    refused = (words[0] == "no" and len(words) > 1) or any(words[: len(start)] == start for start in REFUSED)
    return refused or "".join(words) in RESTING or words[0] in RESTING


def words_of(name: str) -> list[str]:
    """Words of a name in lower case: "TurnLeft", "turn_left" and "turn left" have two."""
    return re.findall("[a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", name).lower())


def plain(name: str) -> str:
    """A name as people write it."""
    return re.sub("([a-z])([A-Z])", r"\1 \2", name).replace("_", " ").lower().strip()


def _listed(told: Any, count: int, *, call: bool) -> list[str]:
    """Names in a list, a dict by number or an enum, which may have further members; none if it is something else."""
    if call and callable(told):
        told = told()
    if isinstance(told, type) and issubclass(told, enum.Enum):
        members = list(told)
        told = [member.name for member in sorted(members, key=lambda member: member.value)] if _counted(members) else None
        told = None if told is None else told[:count]
    if isinstance(told, Mapping) and all(isinstance(key, int) for key in told):
        told = [told[key] for key in sorted(told)]
    if isinstance(told, list | tuple) and len(told) == count and all(isinstance(name, str) for name in told):
        return list(told)
    return []


def _counted(members: Iterable[enum.Enum]) -> bool:
    return sorted(m.value for m in members if isinstance(m.value, int)) == list(range(len(list(members))))


def _of_buttons(env: Any, count: int) -> list[str]:
    """Names of buttons, or of combinations of them joined with "+", as ViZDoom's environments have them; none for others."""
    rows, buttons = getattr(env, "button_map", None), getattr(getattr(env, "game", None), "get_available_buttons", None)
    names = [button.name for button in buttons()] if callable(buttons) else []
    if not names or not rows or len(rows) != count:
        return names if len(names) == count else []
    names = names[-len(rows[0]) :]  # the first ones take numbers
    return ["+".join(name for name, on in zip(names, row, strict=True) if on) or "noop" for row in rows]


def _about_actions(lines: list[str]) -> bool:
    """Whether the last heading in these lines, or else any of them, speaks of actions."""
    headings = [line for line in lines if line.startswith("#") or line.rstrip().endswith(":")]
    return re.search(r"\bactions?\b", headings[-1] if headings else " ".join(lines), re.IGNORECASE) is not None


def _constants(names: Mapping[str, Any], count: int) -> list[str]:
    """Names of whole numbers that say what to do, such as LEFT = 0, if there is one for every action and no other."""
    known = {word for words, _ in WORDS for word in words}
    found: dict[int, str] = {}
    for name, value in names.items():
        told = name.isupper() and (rests(name) or {*words_of(name)} - {*VERBS} <= known)
        if told and type(value) is int and value >= 0 and not (value in found and rests(name)):
            if value in found and not rests(found[value]):
                return []
            found[value] = name
    return [found[number] for number in range(count)] if sorted(found) == list(range(count)) else []
