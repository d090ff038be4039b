"""What several commands share: types of options, and checks that come before any work."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import Positional, arg

from worldsim.data.folder import find_dataset
from worldsim.errors import DataError, WorldsimError, shown, suggest
from worldsim.files import check_writable, write_json

if TYPE_CHECKING:
    from worldsim.envs.games import GameSpec

FLAT = arg(name="")  # for a config: its fields are options of the command, without a prefix


@dataclass(frozen=True)
class Output:
    """Where figures go, besides the screen.

    Attributes:
        json: file for the figures.
    """

    json: Path | None = None

    def __post_init__(self) -> None:
        if self.json is not None:
            check_writable(self.json)

    def write(self, figures: dict[str, Any]) -> None:
        """Writes the figures, if they are wanted."""
        if self.json is not None:
            write_json(self.json, figures)


NO_OUTPUT = Output()


def existing_data(given: Path | None, default: Path) -> Path:
    """The dataset to use: the one given, which must exist here or on the Hub, or the default, which need not.

    Raises:
        DataError: if the dataset given does not exist.
    """
    if given is None:
        return default
    given = find_dataset(str(given))
    if not given.exists():
        near = [str(path) for path in given.parent.iterdir()] if given.parent.is_dir() else []
        raise DataError(
            f"no dataset at {given}; give the folder of one, or leave out --data to use {default}.{suggest(str(given), near)}"
        )
    return given


def use_game(given: str, source: str = "") -> GameSpec:
    """Loads a game that is named on the command line, and makes it known by its own name in this process.

    Args:
        given: name, file or "module:attribute".
        source: what a world or a dataset says of the game that it is of; if the file has changed since, that is said on stderr.

    Raises:
        GameError: if there is none.
    """
    from worldsim.envs.games import find_game, register, source_hash

    game = register(find_game(given))
    before, now = source_hash(source), source_hash(game.source)
    if before and now and before != now:
        print(f"{given} has changed since its recordings were made; what is measured may not fit", file=sys.stderr)
    return game


def folder_of(name: str) -> Path:
    """A game's name as a relative path, for a default folder.

    Raises:
        WorldsimError: if the name, which comes out of a file, would lead elsewhere.
    """
    part = "[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
    if not re.fullmatch(f"{part}(/{part})?", name):
        raise WorldsimError(f"the world's game is {shown(name)}, which cannot name a folder; give --data and --out.")
    return Path(name)


def compiler_found() -> bool:
    """Whether torch.compile can work here; says so on stderr if not."""
    found = shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")) is not None
    if not found:
        hint = "on Debian or Ubuntu: apt install g++"
        print(f"no C++ compiler found ({hint}): training without torch.compile, which is slower", file=sys.stderr)
    return found


def positionals_first(function: Callable[..., Any], arguments: Sequence[str]) -> list[str]:
    """Moves positional arguments before the options, so that `--batch 1 32 WORLD` does not take WORLD for a batch size.

    Options that take any number of strings keep all that follow them: what comes after `--worlds A B` is a world.

    Args:
        function: of the command; its parameters are dataclasses, whose fields are the options.
        arguments: as given.
    """
    takes, named = option_types(function), positional_names(function)
    first: list[str] = []
    options: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            first += rest
            break
        if not word.startswith("-") or _is_number(word):
            first.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        if name in named and (equals or rest):  # a positional argument may be given by its name, too
            first.append(value if equals else rest.pop(0))
            continue
        options.append(word)
        kind = takes.get(name, bool if name.startswith("no-") else str)
        if equals or kind is bool or name in ("h", "help"):
            continue
        many = next((part for part in (kind, *get_args(kind)) if get_origin(part) is tuple), None)  # also in "... | None"
        if many is None:
            options += rest[:1]
            del rest[:1]
            continue
        while rest and _fits(rest[0], get_args(many)[0]):
            options.append(rest.pop(0))
    return first + options


def option_types(function: Callable[..., Any]) -> dict[str, Any]:
    """Type of every option by its name; `bool` for flags, which take no value."""
    types: dict[str, Any] = {}
    hints = get_type_hints(function, include_extras=True)
    for name in inspect.signature(function).parameters:
        flat = get_origin(hints[name]) is Annotated
        types.update(_field_types(get_args(hints[name])[0] if flat else hints[name], "" if flat else f"{name}."))
    return {name.replace("_", "-"): hint for name, hint in types.items()}


def positional_names(function: Callable[..., Any]) -> set[str]:
    """Names of the arguments that are given by their position, where they take one word each."""
    marker = get_args(Positional[str])[1]
    names = set()
    hints = get_type_hints(function, include_extras=True)
    for name in inspect.signature(function).parameters:
        config = get_args(hints[name])[0] if get_origin(hints[name]) is Annotated else hints[name]
        for field, hint in get_type_hints(config, include_extras=True).items():
            if get_origin(hint) is Annotated and marker in get_args(hint) and get_args(hint)[0] is str:
                names.add(field.replace("_", "-"))
    return names


def _field_types(config: Any, prefix: str) -> dict[str, Any]:
    hints, types = get_type_hints(config, include_extras=True), {}
    for field in fields(config):
        hint = hints[field.name]
        flat = get_origin(hint) is Annotated and get_args(hint)[1:] == (FLAT,)
        hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        if is_dataclass(hint):
            types.update(_field_types(hint, prefix if flat else f"{prefix}{field.name}."))
        else:
            types[f"{prefix}{field.name}"] = hint
    return types


def _fits(word: str, kind: Any) -> bool:
    """Whether a word can be one more value of an option whose values are of that type."""
    if get_origin(kind) is Literal:
        return word in get_args(kind)
    if kind in (int, float):
        return _is_number(word)
    return not word.startswith("-")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
