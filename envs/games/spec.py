"""What the rest of the project needs to know of a real game, in one `GameSpec`. One file and one `register` add a game."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.loading import content_hash, load_attribute, load_module, path_of
from worldsim.errors import GameError, shown, suggest

Axes = tuple[tuple[Controls, ...], ...]
Game = gymnasium.Env[NDArray[np.uint8], Any]

SIZE_FACTOR = 16  # frames are compressed so many times along each side
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?")


@dataclass(frozen=True)
class Bar:
    """A score that an agent trained in dreams should exceed, as a row of the transfer card.

    Attributes:
        label: of the row, such as "mean above that of World Models (2018)".
        value: in the game's reward, summed over an episode.
        figure: what is compared: "mean", or "low", the lower end of its 95% interval.
    """

    label: str
    value: float
    figure: str = "low"

    def __post_init__(self) -> None:
        if self.figure not in ("mean", "low") or not math.isfinite(self.value):
            raise GameError(f"the bar was {self.figure!r} above {self.value!r}; give 'mean' or 'low' and a finite score.")


@dataclass(frozen=True)
class ObjectClass:
    """Things that a game shows, and that count as one class of objects.

    Attributes:
        names: of these things in `info["objects"]`.
        heights: how tall they look, as shares of the frame's height: above the first, up to the second.
    """

    names: tuple[str, ...]
    heights: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if isinstance(self.names, str) or not self.names or not all(isinstance(name, str) for name in self.names):
            raise GameError(f"the names of a class of objects were {self.names!r}; give a tuple of at least one.")
        low, high = self.heights
        if not 0 <= low < high <= 1:
            raise GameError(
                f"the heights of a class of objects were {self.heights!r}; give two shares from 0 to 1, the lower first."
            )


@dataclass(frozen=True)
class Mark:
    """A change that the player can make to a game now, and that has to be there still when the player comes back to it.

    Attributes:
        controls: of the frames that follow: first those that make the change, then away from it and back to the same view.
        making: how many of them make the change.
        turn: how many of them there are up to where it is out of view, and where the player may wait.
        box: x, y, width and height in pixels of what changes, in the frame now and in the last one.
        intact: whether the game is now, after those controls, as it has to be: the player is back, and nothing else came in
            between.
    """

    controls: tuple[Controls, ...]
    making: int
    turn: int
    box: tuple[float, float, float, float]
    intact: Callable[[], bool]

    def __post_init__(self) -> None:
        if not 1 <= self.making < self.turn < len(self.controls):
            raise GameError(
                f"of {len(self.controls)} controls of a mark, making was {self.making!r} and turn {self.turn!r}; first come "
                "those that make it, then those that lead away, then those that lead back."
            )


@dataclass(frozen=True)
class GameSpec:
    """A real game.

    `make` gives a Gymnasium environment with uint8 `(H, W, 3)` RGB observations and the action space
    `control_spec.action_space()`. Its `info` may hold `tics` (int, game tics played in the episode),
    `has_frame` (False where a step ended the game before it drew), `objects` and the numbers named in `states`.

    Attributes:
        name: "game" or "family/game", from letters, digits and `_.-`.
        make: function, or its import path "module:function"; called with `render_mode` where one is wanted, and with
            those `options` that are to differ from what this spec says. Child processes get the spec by pickling: a
            function must be importable.
        control_spec: controls that the game listens to.
        height, width: of a frame in pixels, multiples of 16.
        fps: steps per second.
        frame_skip: game tics per step.
        max_tics: game tics after which the game truncates an episode; None if it never does.
        options: keywords that `make` takes, out of `frame_skip`, `height`, `width`, `max_tics` (where episodes are
            truncated), `objects` (whether `info["objects"]` is filled) and the game's own.
        axes: options along each axis of the flat actions, the first of which is rest; what is chosen is held together.
            By default they are made from `control_spec`, see `FlatActions`.
        meanings: what a control does in the game, by its name in `control_spec.names`, such as `{"a": "left"}`.
        states: names of numbers in `info` that recordings keep.
        cells: state variable -> size of a cell along it; recordings report how many cells were visited.
        objects: class of object -> which of those in `info["objects"]`, a list of boxes `(name, x, y, width, height)` in pixels,
            belong to it: their names, or an `ObjectClass` where their height matters too.
        player: class in `objects` of what the controls move; evaluation looks around it for the effect of wrong controls.
        marks: function, or its import path: the running game -> a `Mark`, or None where the player can make none just now.
        policies: policies that play for recordings -> share of the episodes. A policy is one of `POLICIES`, or
            "module:function", which takes a `ControlSpec`.
        best_reward: largest reward of a tic; with it dream scores above what is possible are found.
        solved: score, mean over episodes, from which the game counts as solved.
        bars: other scores that agents trained in dreams should exceed.
        symmetric: whether the game is the same with left and right swapped, in frames and controls, so that training
            may mirror its recordings.
        source: where it was loaded from and what the file held, as `find_game` notes it; recordings and worlds remember it.

    Raises:
        GameError: if a field is out of range or does not fit the others.
    """

    name: str
    make: str | Callable[..., Game]
    control_spec: ControlSpec
    height: int
    width: int
    fps: float
    frame_skip: int = 1
    max_tics: int | None = None
    options: tuple[str, ...] = ()
    axes: Axes = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    states: tuple[str, ...] = ()
    cells: Mapping[str, float] = field(default_factory=dict)
    objects: Mapping[str, tuple[str, ...] | ObjectClass] = field(default_factory=dict)
    player: str | None = None
    marks: str | Callable[[Game], Mark | None] | None = None
    policies: Mapping[str, float] = field(default_factory=lambda: {"random": 1.0})
    best_reward: float | None = None
    solved: float | None = None
    bars: tuple[Bar, ...] = ()
    symmetric: bool = False
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise GameError(f"name was {self.name!r}; give 'game' or 'family/game', from letters, digits, '_', '.' and '-'.")
        if not isinstance(self.make, str) and not callable(self.make):
            raise self._wrong("make", "a function that makes the game, or its path 'module:function'")
        if self.marks is not None and not isinstance(self.marks, str) and not callable(self.marks):
            raise self._wrong("marks", "a function that finds marks, its path 'module:function', or None")
        if not isinstance(self.control_spec, ControlSpec):
            raise self._wrong("control_spec", "a ControlSpec")
        for name in ("height", "width", "frame_skip", "max_tics"):
            if isinstance(getattr(self, name), np.integer):
                object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("height", "width"):
            if not _whole(getattr(self, name)) or getattr(self, name) % SIZE_FACTOR:
                raise self._wrong(name, f"a multiple of {SIZE_FACTOR} pixels; scale or pad the frames")
        if not _positive(self.fps):
            raise self._wrong("fps", "steps per second, above 0")
        if not _whole(self.frame_skip):
            raise self._wrong("frame_skip", "a whole number of at least 1")
        if self.max_tics is not None and not _whole(self.max_tics):
            raise self._wrong("max_tics", "a whole number of at least 1, or None")
        if not isinstance(self.policies, Mapping) or not self.policies or not all(map(_positive, self.policies.values())):
            raise self._wrong("policies", "at least one, each with a share above 0, such as {'random': 1.0}")
        for name in ("meanings", "cells", "objects"):
            if not isinstance(getattr(self, name), Mapping):
                raise self._wrong(name, "a dict")
        self.object_classes()  # raises for what is none
        if self.player is not None and self.player not in self.objects:
            raise self._wrong("player", f"a class of its objects ({', '.join(self.objects) or 'there are none'}), or None")
        _check_named(self, "meanings", self.control_spec.names)
        _check_named(self, "cells", self.states)
        if not all(map(_positive, self.cells.values())):
            raise self._wrong("cells", "sizes above 0")
        for axis in self.axes:
            if not axis:
                raise self._wrong("axes", "at least one option on each")
            for option in axis:
                self.control_spec.to_vector(option)

    def start(self, *, render_mode: str | None = None, **overrides: Any) -> Game:
        """Starts the game.

        Args:
            render_mode: None, or one that the game has.
            overrides: options of the game. `frame_skip`, `height` and `width` may be given to any game as they are.

        Returns:
            An environment with the attributes `control_spec`, `fps` and `frame_skip`.

        Raises:
            GameError: if the game has no such option, is not installed, or gives other spaces than this spec says.
        """
        wanted = {name: value for name, value in overrides.items() if name in self.options or _differs(self, name, value)}
        for name in wanted:
            if name not in self.options:
                listed = ", ".join(self.options) or "none"
                raise GameError(f"the game {self.name} has no option {name!r}; it has: {listed}.{suggest(name, self.options)}")
        if render_mode is not None:
            wanted["render_mode"] = render_mode
        env = (load_attribute(self.make) if isinstance(self.make, str) else self.make)(**wanted)
        if not isinstance(env, gymnasium.Env):
            raise GameError(f"the game {self.name} is {type(env).__name__}; make has to return a gymnasium.Env.")
        if not all(env.has_wrapper_attr(name) for name in ("control_spec", "fps", "frame_skip")):
            env = _Described(env, self)
        check_game(env, self.name, (overrides.get("height", self.height), overrides.get("width", self.width)))
        return env

    def find_mark(self, env: Game) -> Mark | None:
        """A change that the player can make now, in a running game of this spec."""
        find = load_attribute(self.marks) if isinstance(self.marks, str) else self.marks
        return find(env) if find is not None else None

    def object_classes(self) -> dict[str, ObjectClass]:
        """`objects`, each as an `ObjectClass`."""
        return {name: kind if isinstance(kind, ObjectClass) else ObjectClass(kind) for name, kind in self.objects.items()}

    def scores_to_beat(self) -> tuple[Bar, ...]:
        """`solved` and `bars`."""
        solved = () if self.solved is None else (Bar("lower bound above what counts as solved", self.solved),)
        return (*solved, *self.bars)

    def steps(self, frame_skip: int) -> int | None:
        """Steps of `frame_skip` tics after which the game truncates an episode; None if it never does."""
        return None if self.max_tics is None else max(1, self.max_tics // frame_skip)

    def _wrong(self, name: str, allowed: str) -> GameError:
        return GameError(f"{name} of the game {self.name} was {getattr(self, name)!r}; give {allowed}.")


class _Described(gymnasium.Wrapper):  # type: ignore[type-arg]
    """A game that does not say itself what its spec says of it."""

    def __init__(self, env: Game, spec: GameSpec) -> None:
        super().__init__(env)
        self.control_spec, self.fps, self.frame_skip = spec.control_spec, spec.fps, spec.frame_skip


GAMES: dict[str, GameSpec] = {}


def register(spec: GameSpec) -> GameSpec:
    """Makes a game findable by its name, in this process; registering it again replaces it. Returns the spec."""
    GAMES[spec.name] = spec
    return spec


def find_game(game: str | GameSpec) -> GameSpec:
    """The spec of a game.

    Args:
        game: name of a registered game, import path "module:attribute" of a `GameSpec`, a file of Python whose `SPEC` is
            one, such as "pong/game.py", or a `GameSpec`. Modules are looked for in the working directory too. What is loaded
            is run: give only what you trust.

    Raises:
        GameError: if there is none.
    """
    if isinstance(game, GameSpec):
        return game
    if not isinstance(game, str):
        raise GameError(f"game was {game!r}; give a name, 'module:attribute' or a GameSpec.")
    if game in GAMES:
        return GAMES[game]
    if not is_path(game):
        raise GameError(
            f"unknown game {game!r}; choose from: {', '.join(GAMES)}; or give 'module:attribute' of a GameSpec of your own, or a "
            f"file, such as pong/game.py.{suggest(game, GAMES)}"
        )
    place = game if ":" in game else f"{game}:SPEC"
    spec = load_attribute(place)
    if not isinstance(spec, GameSpec):
        raise GameError(f"{place} is {type(spec).__name__}; it must be a GameSpec.")
    module = load_module(place.rpartition(":")[0])
    return replace(spec, make=path_of(spec.make, module), source=f"{place} (sha256 {content_hash(module)})")


def is_path(game: Any) -> bool:
    """Whether a game is given by where it is, "module:attribute" or a file of Python, rather than by name."""
    return isinstance(game, str) and game not in GAMES and (":" in game or game.endswith(".py"))


def beside(game: Any, name: str) -> Any:
    """What stands beside a `GameSpec` that was given by where it is, such as `CONFIG`; None if there is no such name."""
    return getattr(load_module((game if ":" in game else f"{game}:").rpartition(":")[0]), name, None) if is_path(game) else None


def folder_of_game(game: Any) -> Path | None:
    """Folder of a game that is given as a file; None for others."""
    file = str(game).partition(":")[0]
    return Path(file).parent if is_path(game) and file.endswith(".py") else None


def known_game(name: str | None) -> GameSpec | None:
    """The registered game of a name that comes out of a world or a dataset; None if there is none, and they do without.

    Nothing is ever loaded for such a name, which a stranger may have written.
    """
    return GAMES.get(name) if name is not None else None


def recorded_game(name: str) -> GameSpec:
    """As `known_game`, where the game is needed.

    Raises:
        GameError: if no game of that name is registered.
    """
    if name not in GAMES:
        raise GameError(
            f"the game {shown(name)}, of which this is, is not registered; name its file, such as --game pong/game.py, "
            f"or register() its GameSpec. Registered games: {', '.join(GAMES)}."
        )
    return GAMES[name]


def make(game: str | GameSpec, *, render_mode: str | None = None, **overrides: Any) -> Game:
    """Starts a real game; see `find_game` and `GameSpec.start`.

    Raises:
        GameError: if the game or an override is unknown, or the game is not installed.
    """
    return find_game(game).start(render_mode=render_mode, **overrides)


def check_game(env: Game, name: str = "given", size: tuple[int, int] | None = None) -> None:
    """Raises `GameError` unless an environment is one that a world can be learned from.

    Args:
        env: with the attributes `control_spec`, `fps` and `frame_skip`.
        name: for the message.
        size: `(H, W)` that its frames must have; by default any.
    """
    if not isinstance(env, gymnasium.Env):
        raise GameError(f"the game {name} is {type(env).__name__}; give a gymnasium.Env, a GameSpec or the name of a game.")
    for attribute in ("control_spec", "fps", "frame_skip"):
        if not env.has_wrapper_attr(attribute):
            raise GameError(f"the game {name} has no attribute {attribute!r}; describe it with a GameSpec, and give that.")
    given, spec = env.observation_space, env.get_wrapper_attr("control_spec")
    shape = (*size, 3) if size else "(H, W, 3)"
    framed = isinstance(given, gymnasium.spaces.Box) and given.dtype == np.uint8 and len(given.shape) == 3 and given.shape[2] == 3
    if not framed or (size is not None and given.shape != shape):
        raise GameError(f"observations of the game {name} are {given}; they must be RGB frames, uint8 of shape {shape}.")
    if env.action_space != spec.action_space():
        raise GameError(
            f"actions of the game {name} are {env.action_space}; they must be control_spec.action_space(), {spec.action_space()}."
        )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _positive(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and bool(0 < value < math.inf)


def _differs(spec: GameSpec, name: str, value: Any) -> bool:
    return name not in ("frame_skip", "height", "width") or getattr(spec, name) != value


def _check_named(spec: GameSpec, name: str, allowed: tuple[str, ...]) -> None:
    for key in getattr(spec, name):
        if key not in allowed:
            listed = ", ".join(allowed) or "none"
            raise GameError(f"{name} of the game {spec.name} name {key!r}; there are: {listed}.{suggest(key, allowed)}")
