"""What the memory of Atari games tells: where ball and paddles are, which frames show but do not say; and a player that uses it.

Addresses are those of the Atari Annotated RAM Interface (Anand et al. 2019, arXiv:1906.08226), measured against the pixels
in tests/envs/games/test_atari.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.any import Adapted, Keyed, Picture
from worldsim.envs.games.policies import StickyRandom
from worldsim.envs.games.spec import GameSpec
from worldsim.errors import GameError

Box = tuple[str, float, float, float, float]


FRAME_SKIP, TICS_PER_SECOND = 4, 60
PLAYER = "player"  # sprite that the controls move
ABSENT = -1.0  # coordinate of what is not on the screen


@dataclass(frozen=True)
class Sprite:
    """Something that moves on the screen of a console, which has 160x210 pixels.

    Attributes:
        x, y: its left and upper edge in pixels: address of a byte of memory, and what is added to the byte; without an address,
            the edge itself.
        width, height: in pixels.
        shown: address of a byte that is 0 while it is not there; None if it always is.
        top, bottom: rows between which it is drawn; what lies outside is cut off.
    """

    x: tuple[int | None, int]
    y: tuple[int | None, int]
    width: int
    height: int
    shown: int | None = None
    top: int = 0
    bottom: int = 210

    def box(self, ram: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
        """Left, upper, right and lower edge in pixels of the screen; None if it is not there."""
        x, y = (add + (0 if address is None else int(ram[address])) for address, add in (self.x, self.y))
        upper, lower = max(y, self.top), min(y + self.height, self.bottom)
        if (self.shown is not None and not ram[self.shown]) or upper >= lower:
            return None
        return float(x), float(upper), float(x + self.width), float(lower)


@dataclass(frozen=True)
class Known:
    """What is known of a game.

    Attributes:
        sprites: name -> what moves.
        keys: key that ALE suggests -> one that fits what it does.
        unused: keys that ALE suggests and that do nothing.
        meanings: key -> what it does.
        policies: who plays for recordings, with their shares. Random play alone hardly ever meets the ball.
    """

    sprites: Mapping[str, Sprite] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, float] = field(default_factory=lambda: {"worldsim.envs.games.atari:Follow": 0.7, "random": 0.3})

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the numbers that `states` gives."""
        return tuple(f"{name}_{axis}" for name in self.sprites for axis in "xy")


KNOWN: Mapping[str, Known] = {
    "pong": Known(
        sprites={
            "ball": Sprite((49, -49), (54, -14), 2, 4, shown=54, top=34, bottom=194),
            "player": Sprite((None, 140), (51, -13), 4, 16, top=34, bottom=194),
            "enemy": Sprite((None, 16), (50, -15), 4, 16, top=34, bottom=194),
        },
        keys={"d": "w", "a": "s"},  # ALE calls the paddle's ways RIGHT and LEFT
        unused=("space",),
        meanings={"w": "up", "s": "down"},
    ),
    "breakout": Known(
        sprites={
            "ball": Sprite((99, -49), (101, 9), 2, 4, shown=101, bottom=196),
            "player": Sprite((72, -47), (None, 189), 16, 4),
        },
        meanings={"space": "serve", "d": "right", "a": "left"},
    ),
}


class Follow:
    """Moves after the ball more or less well, and at random in between, so that rallies of all lengths are seen.

    It needs `ball_x`, `player_x` and so on in `info`, see `states`.

    Args:
        spec: controls with "w" and "s", or "a" and "d"; "space" serves while there is no ball.
        slack: standard deviation in pixels of where it aims at, beside the ball.
    """

    def __init__(self, spec: ControlSpec, *, slack: float = 5.0) -> None:
        self.spec, self.slack = spec, slack
        self._axis, self._keys = ("y", ("w", "s")) if "w" in spec.keys else ("x", ("a", "d"))
        if not set(self._keys) <= set(spec.keys):
            raise GameError(f"policy Follow needs the keys w and s, or a and d; this game has: {', '.join(spec.keys)}.")
        self._random = StickyRandom(spec)
        self.reset(np.random.default_rng())

    def reset(self, rng: np.random.Generator) -> None:
        self._rng, self._left, self._aside, self._wild = rng, 0, 0.0, False
        self._random.reset(rng)

    def act(self, info: Mapping[str, Any]) -> NDArray[np.float32]:
        if not self._left:
            self._left = int(self._rng.integers(8, 50))
            self._wild, self._aside = bool(self._rng.random() < 0.25), float(self._rng.normal(0, self.slack))
        self._left -= 1
        at_random = self._random.act(dict(info))
        ball, player = float(info[f"ball_{self._axis}"]), float(info[f"player_{self._axis}"])
        if self._wild or player == ABSENT:
            return at_random
        if ball == ABSENT:
            return self.spec.to_vector(Controls(keys={"space"} & set(self.spec.keys)))
        way = ball + self._aside - player
        held = set() if abs(way) < 2 else {self._keys[way > 0]}
        return self.spec.to_vector(Controls(keys=held))


def make_atari(
    name: str, picture: Picture, control_spec: ControlSpec, actions: Keyed, *, render_mode: str | None = None, max_tics: int
) -> Adapted:
    """Starts a game of the console, without sticky actions: a world could not tell them from its own mistakes.

    Args:
        name: that ALE gives it, such as "Pong".
        picture, control_spec, actions, render_mode, max_tics: see `worldsim.envs.games.any.Adapted`.

    Raises:
        GameError: if ale-py is not installed.
    """
    try:
        importlib.import_module("ale_py")
    except ImportError as error:
        raise GameError(f'{name} needs the ale-py package, which is not installed; pip install "worldsim-dit[atari]".') from error
    given: dict[str, Any] = {"states": states, "objects": objects, "max_tics": max_tics, "render_mode": render_mode}
    env = gymnasium.make(f"ale_py:ALE/{name}-v5", repeat_action_probability=0.0)
    return Adapted(env, picture, control_spec, actions, fps=TICS_PER_SECOND / FRAME_SKIP, frame_skip=FRAME_SKIP, **given)


def atari_game(name: str, picture: Picture, control_spec: ControlSpec, actions: Keyed, max_tics: int) -> GameSpec:
    """A game of the console of which `KNOWN` tells; arguments as of `make_atari`."""
    game = KNOWN[name.lower()]
    return GameSpec(
        name=f"atari/{name.lower()}",
        make=partial(make_atari, name, picture, control_spec, actions, max_tics=max_tics),
        control_spec=control_spec,
        height=picture.height,
        width=picture.width,
        fps=TICS_PER_SECOND / FRAME_SKIP,
        frame_skip=FRAME_SKIP,
        max_tics=max_tics,
        options=("max_tics",),
        meanings=game.meanings,
        states=game.states,
        objects={sprite: (sprite,) for sprite in game.sprites},
        player=PLAYER,
        policies=game.policies,
    )


def known(env: gymnasium.Env[Any, Any]) -> str | None:
    """Name of the game in a console, such as "pong"; None if the environment is no console."""
    inner = env.unwrapped
    return str(getattr(inner, "_game", "")) or None if hasattr(inner, "ale") else None


def objects(env: gymnasium.Env[Any, Any], picture: Picture) -> list[Box]:
    """Boxes `(name, x, y, width, height)` in pixels of the frame of what moves and can be seen, for `info["objects"]`."""
    boxes = []
    for name, edges in _edges(env, picture).items():
        if edges is not None:
            left, top, right, bottom = edges
            boxes.append((name, left, top, right - left, bottom - top))
    return boxes


def states(env: gymnasium.Env[Any, Any], picture: Picture) -> dict[str, float]:
    """Middle of everything that moves in pixels of the frame, by the names of `Known.states`; -1 for what cannot be seen."""
    middles: dict[str, float] = {}
    for name, edges in _edges(env, picture).items():
        left, top, right, bottom = edges or (ABSENT,) * 4
        middles |= {f"{name}_x": (left + right) / 2, f"{name}_y": (top + bottom) / 2}
    return middles


def _edges(env: gymnasium.Env[Any, Any], picture: Picture) -> dict[str, tuple[float, float, float, float] | None]:
    """Edges of every sprite in pixels of the frame, cut off where the frame ends."""
    inner: Any = env.unwrapped
    ram = inner.ale.getRAM()
    top, left, bottom, right = picture.crop or (0, 0, *inner.ale.getScreenDims())
    across, down = picture.width / (right - left), picture.height / (bottom - top)
    edges: dict[str, tuple[float, float, float, float] | None] = {}
    for name, sprite in KNOWN[known(env) or ""].sprites.items():
        box = sprite.box(ram)
        if box is not None:
            x0, x1 = (min(max((x - left) * across, 0.0), picture.width) for x in (box[0], box[2]))
            y0, y1 = (min(max((y - top) * down, 0.0), picture.height) for y in (box[1], box[3]))
            box = (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
        edges[name] = box
    return edges
