"""Crafter (Hafner 2021, arXiv:2109.06780) as an environment of Gymnasium that repeats itself under equal seeds, a player that
gathers and builds, and marks: changes of its world that have to stay.

>>> env = Crafter()
>>> frame, info = env.reset(seed=0)
"""

from __future__ import annotations

import importlib
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.any import Adapted, Keyed, Picture
from worldsim.envs.games.policies import StickyRandom
from worldsim.envs.games.spec import Game, GameSpec, Mark
from worldsim.errors import GameError

MOVES = {"move_left": (-1, 0), "move_right": (1, 0), "move_up": (0, -1), "move_down": (0, 1)}
BACK = {"move_left": "move_right", "move_right": "move_left", "move_up": "move_down", "move_down": "move_up"}
REACH = 6  # cells that the player looks for things, to each side
LIGHT = 0.5  # of the day, below which Crafter draws noise over the picture
AWAY = 8  # steps to where a mark is out of view, at most


class Crafter(gymnasium.Env[NDArray[np.uint8], Any]):
    """Crafter with Gymnasium's interface. Equal seeds and actions give equal episodes.

    Observation: uint8 `(size, size, 3)`, RGB: 9x7 cells around the player, and what it carries below.

    Action: one of `action_names`.

    Reward: 1 for each achievement unlocked for the first time in the episode, and 0.1 for each point of health, up or down.

    Episode end: `terminated` when the player dies, `truncated` after `length` steps.

    Info: `can` and `facing`, for `Gatherer`.

    Args:
        size: of the picture in pixels.
        length: steps after which an episode is truncated.

    Raises:
        GameError: if Crafter is not installed.
    """

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, size: int = 64, length: int = 10_000) -> None:
        try:
            module = importlib.import_module("crafter")
        except ImportError as error:
            raise GameError(f"Crafter is not installed ({error}); run: pip install worldsim-dit[crafter]") from error
        self.suggested = {"marks": f"{__name__}:marks", "policies": {f"{__name__}:Gatherer": 1.0}}
        self.inner: Any = module.Env(size=(size, size), length=length, seed=0)
        self.action_names: list[str] = list(module.constants.actions)
        self.walkable, self.places = frozenset(module.constants.walkable), module.constants.place
        self.size = size
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(self.action_names))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode in a new landscape."""
        super().reset(seed=seed)
        self.inner._seed, self.inner._episode = int(self.np_random.integers(2**31 - 1)), 0
        frame = self.inner.reset()
        # Crafter keeps creatures in sets and draws from them by position, which differs from run to run.
        ordered: defaultdict[Any, _Ordered] = defaultdict(_Ordered)
        for creature in self.inner._world.objects:
            ordered[self.inner._world.chunk_key(creature.pos)].add(creature)
        self.inner._world._chunks = ordered
        return frame, self._info()

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        frame, reward, over, told = self.inner.step(int(action))
        died = told["discount"] == 0
        return frame, float(reward), died, bool(over) and not died, self._info()

    def at(self, place: tuple[int, int]) -> tuple[str | None, Any]:
        """Material of a cell, given from the player, and the creature there; None for what is not."""
        x, y = self.inner._player.pos
        material, creature = self.inner._world[int(x) + place[0], int(y) + place[1]]
        return material, creature

    @property
    def facing(self) -> tuple[int, int]:
        """Cell before the player."""
        x, y = self.inner._player.facing
        return int(x), int(y)

    @property
    def light(self) -> float:
        """Of the day, from 0 to 1."""
        return float(self.inner._world.daylight)

    def carries(self, item: str) -> int:
        """How much the player has of something."""
        return int(self.inner._player.inventory[item])

    def box(self, place: tuple[int, int]) -> tuple[float, float, float, float]:
        """Where a cell, given from the player, is drawn: x, y, width and height in pixels of the observation."""
        unit = self.inner._size // self.inner._view
        border = (self.inner._size - unit * self.inner._view) // 2
        x, y = border + (self.inner._local_view._grid // 2 + place) * unit
        return float(x), float(y), float(unit[0]), float(unit[1])

    def way(self, wanted: Mapping[str, float], rng: np.random.Generator) -> str | None:
        """First move towards something near that is wanted, which ends before it; None if there is nothing."""
        start = (0, 0)
        first: dict[tuple[int, int], str | None] = {start: None}
        queue = deque([(start, 0)])
        best: tuple[float, str | None] = (0.0, None)
        moves = list(MOVES.items())
        rng.shuffle(moves)  # type: ignore[arg-type]
        while queue:
            (x, y), steps = queue.popleft()
            for move, (dx, dy) in moves:
                place = x + dx, y + dy
                if place in first or abs(place[0]) > REACH or abs(place[1]) > REACH:
                    continue
                material, creature = self.at(place)
                first[place] = first[x, y] or move
                worth = wanted.get(type(creature).__name__ if creature is not None else material or "", 0.0) / (steps + 2)
                best = max(best, (worth, first[place]), key=lambda found: found[0])
                if creature is None and material in self.walkable:
                    queue.append((place, steps + 1))
        return best[1]

    def can_change(self) -> str | None:
        """An action that changes the cell before the player for certain; None if there is none."""
        material, creature = self.at(self.facing)
        if creature is not None or material is None:
            return None
        if material == "tree" or (material in ("stone", "coal") and self.carries("wood_pickaxe")):
            return "do"
        for name in ("stone", "table"):
            needs = self.places[name]
            if material in needs["where"] and all(self.carries(item) >= n for item, n in needs["uses"].items()):
                return f"place_{name}"
        return None

    def _info(self) -> dict[str, Any]:
        return {"can": self.can_change() or "", "facing": self.at(self.facing)[0] or ""}


class Gatherer:
    """Gathers wood, stone and coal, drinks, eats, fights, makes tools, and builds; at random in between.

    It plays the game that `attach` gives it, a `Crafter`.

    Args:
        spec: controls that it gives.
    """

    def __init__(self, spec: ControlSpec) -> None:
        self.spec, self._random = spec, StickyRandom(spec)
        self.reset(np.random.default_rng())

    def attach(self, env: gymnasium.Env[Any, Any]) -> None:
        """Takes the game that it is going to play."""
        self._game, self._held = _parts(env)

    def reset(self, rng: np.random.Generator) -> None:
        self._rng, self._left, self._mood = rng, 0, "gather"
        self._random.reset(rng)

    def act(self, info: Mapping[str, Any]) -> NDArray[np.float32]:
        if not self._left:
            self._mood = str(self._rng.choice(["gather", "random", "roam"], p=[0.6, 0.2, 0.2]))
            self._left = int(self._rng.integers(5, 40))
            self._heading = str(self._rng.choice(list(MOVES)))
        self._left -= 1
        if self._mood == "random":
            return self._random.act(dict(info))
        return self.spec.to_vector(self._held[self._choose()])

    def _choose(self) -> str:
        game, rng = self._game, self._rng
        material, creature = game.at(game.facing)
        if game.carries("wood") >= 3 and not game.carries("wood_pickaxe") and game.can_change() == "place_table":
            return "place_table"
        if rng.random() < 0.3 and game.carries("wood"):
            stuff = ("wood", "stone") if game.carries("stone") else ("wood",)
            tools = [f"{of}_{tool}" for of in stuff for tool in ("pickaxe", "sword")]
            missing = [tool for tool in tools if not game.carries(tool)]
            if missing:
                return f"make_{rng.choice(missing)}"
        if rng.random() < 0.15 and (game.can_change() or "").startswith("place_stone"):
            return "place_stone"
        if rng.random() < 0.15 and material == "grass" and creature is None and game.carries("sapling"):
            return "place_plant"
        wanted = self._wanted()
        if (type(creature).__name__ if creature is not None else material) in wanted or rng.random() < 0.05:
            return "do"
        way = game.way(wanted, rng) if self._mood == "gather" else None
        return way or self._roam()

    def _wanted(self) -> dict[str, float]:
        """What it goes for, and how much it is worth."""
        carries = self._game.carries
        wanted = {"Zombie": 8.0, "Skeleton": 6.0}
        wanted |= {"tree": 5.0} if carries("wood") < 6 else {}
        wanted |= {"water": 3.0 * (9 - carries("drink"))} if carries("drink") < 7 else {}
        wanted |= {"Cow": 3.0 * (9 - carries("food"))} if carries("food") < 7 else {}
        wanted |= {"stone": 6.0, "coal": 8.0} if carries("wood_pickaxe") and carries("stone") < 9 else {}
        return wanted | ({"iron": 9.0} if carries("stone_pickaxe") else {})

    def _roam(self) -> str:
        material, creature = self._game.at(MOVES[self._heading])
        if creature is not None or material not in self._game.walkable or self._rng.random() < 0.1:
            self._heading = str(self._rng.choice(list(MOVES)))
        return self._heading


def marks(env: Game) -> Mark | None:
    """A block that the player can take or place now, then walk away from until it is out of view, and come back.

    None in the dark, when noise lies over the picture, and where nothing can be changed or the way is not free.
    """
    game, held = _parts(env)
    change = game.can_change()
    if change is None or game.light < LIGHT or game.inner._player.sleeping:
        return None
    (x, y), (right, below) = game.facing, game.inner._local_view._grid // 2
    ways = []
    for move, (dx, dy) in MOVES.items():
        hidden = next(n for n in range(1, AWAY + 1) if abs(x - n * dx) > right or abs(y - n * dy) > below)
        cells = [game.at((n * dx, n * dy)) for n in range(1, hidden + 1)]
        if (dx, dy) != (x, y) and all(creature is None and material in game.walkable for material, creature in cells):
            ways.append((hidden, move))
    if not ways:
        return None
    steps, away = min(ways)
    begun, picture = tuple(game.inner._player.pos), env.get_wrapper_attr("picture")
    scale = picture.width / game.size, picture.height / game.size
    left, top, width, height = game.box((x, y))

    def intact() -> bool:
        place = (x, y)
        return tuple(game.inner._player.pos) == begun and game.light >= LIGHT and game.at(place)[1] is None

    return Mark(
        controls=tuple(held[name] for name in (change, *steps * (away,), *steps * (BACK[away],))),
        making=1,
        turn=1 + steps,
        box=(left * scale[0], top * scale[1], width * scale[0], height * scale[1]),
        intact=intact,
    )


def _parts(env: gymnasium.Env[Any, Any]) -> tuple[Crafter, dict[str, Controls]]:
    """The environment inside a game of it, and what is held for each of its actions.

    Raises:
        GameError: if it is another game.
    """
    game = env.get_wrapper_attr("env").unwrapped if env.has_wrapper_attr("env") else None
    if not isinstance(game, Crafter):
        raise GameError("this is for games of worldsim.envs.games.crafter:Crafter, as `worldsim new` writes them.")
    actions = env.get_wrapper_attr("actions")
    return game, {name: actions.held(number) for number, name in enumerate(game.action_names)}


class _Ordered(dict[Any, None]):
    """A set that keeps its order."""

    def add(self, item: Any) -> None:
        self[item] = None

    def remove(self, item: Any) -> None:
        del self[item]


MAX_TICS = 1000  # after which an episode is truncated
PICTURE = Picture(height=80, width=80, resize="area")
KEYS = {  # of every action but the first, which is none
    "a": "move left",
    "d": "move right",
    "w": "move up",
    "s": "move down",
    "space": "do",
    "l": "sleep",
    "t": "place stone",
    "1": "place table",
    "f": "place furnace",
    "p": "place plant",
    "2": "make wood pickaxe",
    "3": "make stone pickaxe",
    "4": "make iron pickaxe",
    "o": "make wood sword",
    "5": "make stone sword",
    "6": "make iron sword",
}
CONTROLS = ControlSpec(keys=tuple(KEYS), exclusive=(tuple(KEYS),))


def make_crafter(*, render_mode: str | None = None, max_tics: int = MAX_TICS) -> Adapted:
    """Starts the game.

    Raises:
        GameError: if Crafter is not installed.
    """
    actions = Keyed({"": 0, **{key: action for action, key in enumerate(KEYS, 1)}})
    return Adapted(Crafter(80), PICTURE, CONTROLS, actions, fps=10, max_tics=max_tics, render_mode=render_mode)


CRAFTER = GameSpec(
    name="crafter/reward",
    make="worldsim.envs.games.crafter:make_crafter",
    control_spec=CONTROLS,
    height=PICTURE.height,
    width=PICTURE.width,
    fps=10,
    frame_skip=1,
    max_tics=MAX_TICS,
    options=("max_tics",),
    meanings=KEYS,
    policies={f"{__name__}:Gatherer": 1.0},
    marks=f"{__name__}:marks",
)
