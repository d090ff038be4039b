"""Many places of Doom behind one set of controls, at any picture size: what the studio's world is trained on."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.doom import TICS_PER_SECOND, failures_named, import_vizdoom, launch, stop
from worldsim.envs.games.spec import GameSpec
from worldsim.errors import GameError, check_int, suggest

RENDERED = 300, 400  # height and width in pixels: 4:3, of which a frame is the largest middle part of its own shape
SETTLING = 36  # tics until a player who was put elsewhere stands there and holds its weapon


@dataclass(frozen=True)
class Place:
    """A map of Doom.

    Attributes:
        name: of the place.
        scenario: file name of a ViZDoom scenario; "" for a map of a game.
        wad: file name of the game, as ViZDoom ships it; "" for a scenario.
        map: name of the map in that game.
        skill: of the monsters, 1 to 4.
        share: its weight when a place is drawn for an episode.
    """

    name: str
    scenario: str = ""
    wad: str = ""
    map: str = ""
    skill: int = 3
    share: float = 1.0


PLACES = (
    Place("basic", "basic.cfg", share=1.25),
    Place("take-cover", "take_cover.cfg", skill=2, share=1.2),
    Place("defend-the-center", "defend_the_center.cfg", skill=2),
    Place("defend-the-line", "defend_the_line.cfg", skill=2),
    Place("health-gathering", "health_gathering.cfg"),
    Place("my-way-home", "my_way_home.cfg"),
    Place("deadly-corridor", "deadly_corridor.cfg", skill=1),
    Place("predict-position", "predict_position.cfg", share=1.4),
    Place("freedoom1-e1m3", wad="freedoom1.wad", map="E1M3", skill=2, share=0.75),
    Place("freedoom1-e2m1", wad="freedoom1.wad", map="E2M1", skill=2, share=0.75),
    Place("freedoom1-e3m1", wad="freedoom1.wad", map="E3M1", skill=2, share=0.75),
    Place("freedoom2-map01", wad="freedoom2.wad", map="MAP01", skill=2, share=0.75),
)

# Kind of thing -> its names in ViZDoom. What is not named here, such as blood and smoke, counts as nothing seen.
OBJECTS: Mapping[str, tuple[str, ...]] = {
    "imp": ("DoomImp",),
    "demon": ("Demon", "Spectre"),
    "cacodemon": ("Cacodemon",),
    "marine": ("MarineChainsawVzd",),
    "zombie": ("Zombieman",),
    "sergeant": ("ShotgunGuy",),
    "gunner": ("ChaingunGuy",),
    "skull": ("LostSoul",),
    "fireball": ("DoomImpBall", "CacodemonBall"),
    "rocket": ("Rocket",),
    "medkit": ("Medikit", "Stimpack"),
    "bonus": ("HealthBonus", "ArmorBonus"),
    "armor": ("GreenArmor", "BlueArmor"),
    "ammo": ("Clip", "ClipBox", "Shell", "ShellBox", "RocketAmmo", "RocketBox", "Cell", "CellPack", "Backpack"),
    "weapon": ("Shotgun", "SuperShotgun", "Chaingun", "RocketLauncher", "PlasmaRifle", "Chainsaw"),
    "barrel": ("ExplosiveBarrel",),
    "tree": ("BigTree", "TorchTree"),
    "pillar": ("Column", "TechPillar", "HeartColumn", "Stalagtite", "ShortGreenColumn", "TallGreenColumn"),
    "torch": ("GreenTorch", "RedTorch", "BlueTorch", "ShortGreenTorch", "ShortRedTorch", "Candelabra", "Candlestick"),
    "body": (
        *("DeadDoomImp", "DeadDemon", "DeadCacodemon", "DeadMarineChainsawVzd", "DeadZombieman", "DeadZombieMan"),
        *("DeadShotgunGuy", "DeadChaingunGuy", "DeadMarine", "GibbedMarine", "GibbedMarineExtra", "Gibs"),
    ),
}
KINDS = tuple(OBJECTS)
MONSTERS = KINDS[: KINDS.index("fireball")]
WEAPONS = ("none", "fist", "pistol", "shotgun", "chaingun", "rocket launcher", "plasma rifle")  # `weapon` is the index
_GIVEN = {"shotgun": "Shotgun", "chaingun": "Chaingun", "rocket launcher": "RocketLauncher", "plasma rifle": "PlasmaRifle"}
_PICKUPS = {name for kind in ("medkit", "bonus", "armor", "ammo") for name in OBJECTS[kind]}
_KIND_OF = {name: kind for kind, names in OBJECTS.items() for name in names}

SLOTS = 6  # things of which a recording keeps where they are: the largest
_SLOT = ("kind", "x", "y", "height")
_VARIABLES = {
    "x": "POSITION_X",
    "y": "POSITION_Y",
    "angle": "ANGLE",
    "health": "HEALTH",
    "weapon": "SELECTED_WEAPON",
    "ammo": "SELECTED_WEAPON_AMMO",
    "kills": "KILLCOUNT",
}
STATES = ("place", *_VARIABLES, *(f"object{slot}.{name}" for slot in range(SLOTS) for name in _SLOT))

_BUTTONS = {
    "w": "MOVE_FORWARD",
    "a": "MOVE_LEFT",
    "s": "MOVE_BACKWARD",
    "d": "MOVE_RIGHT",
    "space": "ATTACK",
    "mouse.dx": "TURN_LEFT_RIGHT_DELTA",
}
CONTROLS = ControlSpec(keys=("w", "a", "s", "d", "space"), mouse_limit=(20.0, 0.0), exclusive=(("a", "d"), ("w", "s")))


@dataclass(frozen=True)
class StudioConfig:
    """The places, and how they are seen.

    Attributes:
        height, width: of a frame in pixels; at most those of `RENDERED`.
        places: an episode begins in one of them, which its seed draws.
        frame_skip: game tics per step.
        max_tics: episodes are truncated at this many tics.
    """

    height: int = 64
    width: int = 96
    places: tuple[Place, ...] = field(default=PLACES)
    frame_skip: int = 4
    max_tics: int = 640

    def __post_init__(self) -> None:
        for name, most in (("height", RENDERED[0]), ("width", RENDERED[1])):
            check_int(name, getattr(self, name), 16, most, GameError)
        check_int("frame_skip", self.frame_skip, 1, None, GameError)
        check_int("max_tics", self.max_tics, 1, None, GameError)
        if not self.places:
            raise GameError("places was empty; give at least one.")

    @property
    def crop(self) -> tuple[float, float, float, float]:
        """Top, left, height and width in rendered pixels of what a frame shows: as much as its shape allows."""
        scale = min(RENDERED[0] / self.height, RENDERED[1] / self.width)
        height, width = self.height * scale, self.width * scale
        return (RENDERED[0] - height) / 2, (RENDERED[1] - width) / 2, height, width


class StudioEnv(gymnasium.Env[NDArray[np.uint8], Any]):
    """Doom in one of many places; in each of them the same keys do the same.

    Observation: uint8 `(H, W, 3)` RGB, the middle of a 4:3 picture, never squashed.

    Action: as for `DoomEnv`. w, a, s and d move, space shoots, and mouse `dx` turns, in degrees per step.

    Reward: that of the place's scenario, summed over the tics of the step.

    Episode end: `terminated` when the scenario ends, `truncated` after `config.max_tics` tics.

    Info: the numbers named in `STATES`, `place_name` (str), `tics` (int), `has_frame` (False when the game ended before it
    drew), `objects`: boxes `(kind, x, y, w, h)` in pixels of the frame, largest first, and `targets`: those of monsters.
    In `STATES`, `place` is an index of `PLACES` and `weapon` one of `WEAPONS`; `objectN.kind` is one of `KINDS` (-1 for
    nothing), `objectN.x` and `.y` its centre and `.height` its height, as shares of the frame.

    `reset(options={"place": NAME})` chooses the place.

    Raises:
        GameError: if ViZDoom is missing, or its process has died.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 9}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, config: StudioConfig, *, render_mode: str | None = None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise GameError(f"render_mode was {render_mode!r}; give None or one of {self.metadata['render_modes']}.")
        self.config, self.render_mode = config, render_mode
        self.control_spec, self.frame_skip = CONTROLS, config.frame_skip
        self.fps = TICS_PER_SECOND / config.frame_skip
        self.metadata = {**self.metadata, "render_fps": round(self.fps)}
        self.observation_space = gymnasium.spaces.Box(0, 255, (config.height, config.width, 3), np.uint8)
        self.action_space = CONTROLS.action_space()
        self._vizdoom = import_vizdoom()
        self._process = os.getpid()
        self._place: Place | None = None
        self._game: Any = None
        top, left, height, width = config.crop
        self._rows = averaging(RENDERED[0], top, height, config.height)
        self._columns = averaging(RENDERED[1], left, width, config.width)
        self._frame = np.zeros(self.observation_space.shape, np.uint8)
        self._state = dict.fromkeys(STATES, 0.0)
        self._objects: list[tuple[str, float, float, float, float]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode; equal seeds give equal episodes under equal actions."""
        super().reset(seed=seed)
        place = self._draw_place((options or {}).get("place"))
        with failures_named(self._vizdoom, self._process, place.name):
            if place != self._place:
                self._open(place)
            self._game.set_seed(int(self.np_random.integers(2**31)))
            self._game.new_episode()
            if place.wad:
                self._put_somewhere()
            self._begin(everywhere=bool(place.wad))
            self._tics = 0
            has_frame = self._observe()
        return self._frame.copy(), self._info(has_frame)

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Plays `frame_skip` tics with the same controls held."""
        buttons = self._buttons(action)
        if self._game is None:
            raise GameError("no episode has begun; call reset() before the first step().")
        with failures_named(self._vizdoom, self._process, self._place.name if self._place else ""):
            if self._game.is_episode_finished():
                raise GameError("the episode is over; call reset() before the next step().")
            reward = float(self._game.make_action(buttons, self.frame_skip))
            terminated = bool(self._game.is_episode_finished())
            self._tics += self.frame_skip
            has_frame = self._observe()
        truncated = not terminated and self._tics >= self.config.max_tics
        return self._frame.copy(), reward, terminated, truncated, self._info(has_frame)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The current frame, uint8 `(H, W, 3)`."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Ends the game process; calling it again does nothing."""
        if self._game is not None:
            self._stop()
            self._game = self._place = None

    def __reduce__(self) -> Any:
        raise GameError("a running Doom cannot be copied or pickled; make another environment instead.")

    def _draw_place(self, name: str | None) -> Place:
        shares = np.array([place.share for place in self.config.places])
        drawn = self.config.places[int(self.np_random.choice(len(shares), p=shares / shares.sum()))]
        if name is None:
            return drawn
        named = {place.name: place for place in self.config.places}
        if name not in named:
            raise GameError(f"unknown place {name!r}; choose from: {', '.join(named)}.{suggest(str(name), named)}")
        return named[name]

    def _open(self, place: Place) -> None:
        """Starts a game process for a place, in the stead of the one before."""
        self.close()
        folder = Path(tempfile.mkdtemp(prefix="worldsim-doom-"))
        game = self._vizdoom.DoomGame()
        self._stop = weakref.finalize(self, stop, game, folder, self._process)
        self._game = game
        files = Path(self._vizdoom.scenarios_path)
        if place.scenario:
            game.load_config(str(files / place.scenario))
        else:
            game.set_doom_game_path(str(files.parent / place.wad))
            game.set_doom_map(place.map)
            game.set_objects_info_enabled(True)
        game.set_doom_skill(place.skill)
        height, width = RENDERED
        game.set_screen_resolution(getattr(self._vizdoom.ScreenResolution, f"RES_{width}X{height}"))
        game.set_screen_format(self._vizdoom.ScreenFormat.RGB24)
        game.set_available_buttons([getattr(self._vizdoom.Button, name) for name in _BUTTONS.values()])
        game.set_available_game_variables([getattr(self._vizdoom.GameVariable, name) for name in _VARIABLES.values()])
        game.set_labels_buffer_enabled(True)
        launch(self._vizdoom, game, folder)
        self._place = place  # last: a game that did not start is started again at the next reset

    def _put_somewhere(self) -> None:
        """Puts the player where a pickup lies, turned at random and with a weapon drawn at random."""
        state, rest = self._game.get_state(), [0.0] * len(_BUTTONS)
        spots = sorted((o.position_x, o.position_y) for o in state.objects if o.name in _PICKUPS)
        spot = spots[int(self.np_random.integers(len(spots)))] if spots else None
        weapon = self.np_random.choice(["pistol", *_GIVEN], p=[0.5, 0.2, 0.15, 0.05, 0.1])
        self._game.send_game_command("cl_showsecretmessage 0")  # no words across the picture
        if self.np_random.random() < 0.8 and spot:
            self._game.send_game_command("warp {:.0f} {:.0f}".format(*spot))
        if weapon in _GIVEN:
            self._game.send_game_command(f"give {_GIVEN[weapon]}")
            self._game.make_action(rest, 2)
            self._game.send_game_command(f"use {_GIVEN[weapon]}")
        self._game.make_action(rest, SETTLING)

    def _begin(self, everywhere: bool) -> None:
        """Turns at random, `everywhere` to where there is most to see, and takes a step."""
        rest = [0.0] * len(_BUTTONS)
        turns = [90.0] * 4 if everywhere else []
        seen = [self._turn(angle) for angle in turns]
        more = 90.0 * (1 + int(np.argmax(seen))) if seen else 0.0
        self._turn(more + float(self.np_random.normal(0, 50)))
        keys = [float(self.np_random.random() < 0.5) for _ in range(4)]
        if not self._game.is_episode_finished():
            self._game.make_action([*keys, *rest[4:]], int(self.np_random.integers(1, 12)))

    def _turn(self, angle: float) -> float:
        """Turns by an angle in degrees; how much the picture varies there."""
        if self._game.is_episode_finished():
            return 0.0
        self._game.make_action([*[0.0] * (len(_BUTTONS) - 1), angle], 1)
        state = self._game.get_state()
        return 0.0 if state is None else float(state.screen_buffer.std())

    def _buttons(self, action: Any) -> list[float]:
        """One value per ViZDoom button; the turn, which acts on every tic, is per step in our controls."""
        if isinstance(action, Controls):
            vector = CONTROLS.to_vector(action)
        elif isinstance(action, Mapping):
            vector = CONTROLS.from_action(action)
        else:
            vector = CONTROLS.check_vector(action)
        keys = len(CONTROLS.keys)
        return [*(vector[:keys] >= 0.5).astype(float).tolist(), float(vector[keys]) / self.frame_skip]

    def _observe(self) -> bool:
        """Reads the game's state; False, and the last frame stays, where it drew none."""
        state = self._game.get_state()
        if state is None:
            return False
        height, width = RENDERED
        rows = (self._rows @ state.screen_buffer.reshape(height, -1).astype(np.float32)).reshape(-1, width, 3)
        self._frame = np.rint(np.einsum("cw,hwk->hck", self._columns, rows, optimize=True)).clip(0, 255).astype(np.uint8)
        self._objects = sorted(self._boxes(state.labels), key=lambda box: -box[4])
        self._state.update(zip(_VARIABLES, map(float, state.game_variables), strict=True))
        weapon = self._state["weapon"]
        self._state["weapon"] = min(max(weapon, 0.0), len(WEAPONS) - 1.0)
        self._state["place"] = float(PLACES.index(self._place)) if self._place in PLACES else -1.0
        for slot in range(SLOTS):
            values = (-1.0, 0.0, 0.0, 0.0)
            if slot < len(self._objects):
                kind, x, y, w, h = self._objects[slot]
                size = self.config.width, self.config.height
                values = (float(KINDS.index(kind)), (x + w / 2) / size[0], (y + h / 2) / size[1], h / size[1])
            self._state.update({f"object{slot}.{name}": value for name, value in zip(_SLOT, values, strict=True)})
        return True

    def _boxes(self, labels: Any) -> Iterator[tuple[str, float, float, float, float]]:
        """What is seen of things of `OBJECTS`, in pixels of the frame, cut at its edges."""
        top, left, height, _ = self.config.crop
        scale = self.config.height / height
        for label in labels:
            kind = _KIND_OF.get(label.object_name)
            x0, y0 = (label.x - left) * scale, (label.y - top) * scale
            x1, y1 = x0 + label.width * scale, y0 + label.height * scale
            x0, x1 = max(x0, 0.0), min(x1, float(self.config.width))
            y0, y1 = max(y0, 0.0), min(y1, float(self.config.height))
            if kind is not None and x1 - x0 >= 1 and y1 - y0 >= 1:
                yield kind, x0, y0, x1 - x0, y1 - y0

    def _info(self, has_frame: bool) -> dict[str, Any]:
        place = self._place.name if self._place else ""
        targets = [box for box in self._objects if box[0] in MONSTERS]
        more = {"objects": list(self._objects), "targets": targets}
        return {"tics": self._tics, "has_frame": has_frame, "place_name": place, **self._state, **more}


def averaging(pixels: int, start: float, length: float, out: int) -> NDArray[np.float32]:
    """Weights `(out, pixels)` that average `pixels` between `start` and `start + length` into `out` equal parts."""
    edges = start + length / out * np.arange(out + 1)
    low, high = np.arange(pixels), np.arange(pixels) + 1
    overlap = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    weights = np.clip(overlap, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _make(config: StudioConfig, *, render_mode: str | None = None, **overrides: Any) -> StudioEnv:
    return StudioEnv(replace(config, **overrides), render_mode=render_mode)


_WALK = (Controls(), Controls(keys={"w"}), Controls(keys={"s"}), Controls(keys={"a"}), Controls(keys={"d"}))
_LOOK = (Controls(), *(Controls(mouse=(dx, 0)) for dx in (-3, 3, -10, 10)))
_SHOOT = (Controls(), Controls(keys={"space"}))

STUDIO = GameSpec(
    name="doom/studio",
    make=partial(_make, StudioConfig()),
    control_spec=CONTROLS,
    height=64,
    width=96,
    fps=TICS_PER_SECOND / 4,
    frame_skip=4,
    max_tics=StudioConfig.max_tics,
    options=("frame_skip", "height", "width", "max_tics", "places"),
    axes=(_WALK, _LOOK, _SHOOT),
    meanings={"w": "forward", "s": "backward", "a": "left", "d": "right", "space": "shoot", "mouse.dx": "turn"},
    states=STATES,
    cells={"x": 64.0, "y": 64.0},
    policies={"random": 0.2, "coverage": 0.3, "shooting": 0.3, "strafing": 0.12, "standing": 0.08},
)
