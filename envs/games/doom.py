"""Doom scenarios (ViZDoom, on the free Freedoom assets) as Gymnasium environments that speak our controls."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.spec import Axes, Bar, GameSpec, ObjectClass
from worldsim.errors import GameError

TICS_PER_SECOND = 35
SUPERSAMPLE = 2  # rendered at twice the size and averaged, which keeps small far objects visible

STATES = ("x", "y", "angle")

_cwd_lock = threading.Lock()


@dataclass(frozen=True)
class DoomConfig:
    """One Doom scenario and how our controls drive it.

    Attributes:
        scenario: file name of the scenario, as ViZDoom ships it.
        control_spec: the controls that the game listens to.
        bindings: name of a control (from `control_spec.names`) -> ViZDoom button that it drives.
        frame_skip: game tics per step; Doom runs 35 tics per second.
        max_tics: episodes are truncated at this many tics.
        height: observation height in pixels.
        width: observation width in pixels.
        rendered: height that is rendered, of which the observation is the middle; 0 renders no more than is seen. Twice that and
            twice the width must be a ViZDoom resolution.
        objects: whether `info["objects"]` lists the boxes of visible things.
    """

    scenario: str
    control_spec: ControlSpec
    bindings: Mapping[str, str]
    frame_skip: int = 2
    max_tics: int = 2100
    height: int = 80
    width: int = 128
    rendered: int = 0
    objects: bool = False

    def __post_init__(self) -> None:
        for name in ("frame_skip", "max_tics"):
            if getattr(self, name) < 1:
                raise GameError(f"{name} was {getattr(self, name)}; give a whole number of at least 1.")
        if self.rendered and (self.rendered < self.height or (self.rendered - self.height) % 2):
            raise GameError(
                f"rendered was {self.rendered}; give 0, or the height ({self.height}) and an even number of rows to cut off."
            )

    @property
    def cut(self) -> int:
        """Rows that are rendered above those seen, and as many below."""
        return (self.rendered - self.height) // 2 if self.rendered else 0


_MOVE = {"w": "MOVE_FORWARD", "s": "MOVE_BACKWARD", "a": "MOVE_LEFT", "d": "MOVE_RIGHT"}
_TURN = {"mouse.dx": "TURN_LEFT_RIGHT_DELTA"}
_FIRE = {"mouse.left": "ATTACK"}
_WASD: dict[str, Any] = {"keys": ("w", "a", "s", "d"), "exclusive": (("a", "d"), ("w", "s"))}
_TURN_LIMIT = (20.0, 0.0)

TAKE_COVER = DoomConfig(
    scenario="take_cover.cfg",
    control_spec=ControlSpec(keys=("a", "d"), exclusive=(("a", "d"),)),
    bindings={"a": "MOVE_LEFT", "d": "MOVE_RIGHT"},
)
# Everything there happens at eye level, and nothing in less than four tics.
TAKE_COVER_STRIP = replace(TAKE_COVER, height=32, rendered=80, frame_skip=4)
MY_WAY_HOME = DoomConfig(
    scenario="my_way_home.cfg",
    control_spec=ControlSpec(mouse_limit=_TURN_LIMIT, **_WASD),
    bindings=_MOVE | _TURN,
)
DEFEND_THE_CENTER = DoomConfig(
    scenario="defend_the_center.cfg",
    control_spec=ControlSpec(mouse_limit=_TURN_LIMIT, buttons=("left",)),
    bindings=_TURN | _FIRE,
)
DEADLY_CORRIDOR = DoomConfig(
    scenario="deadly_corridor.cfg",
    control_spec=ControlSpec(mouse_limit=_TURN_LIMIT, buttons=("left",), **_WASD),
    bindings=_MOVE | _TURN | _FIRE,
)


class DoomEnv(gymnasium.Env[NDArray[np.uint8], Any]):
    """A real Doom scenario with our observations and controls.

    Observation: uint8 `(H, W, 3)` RGB, without status bar, messages or screen flashes.

    Action: an element of `action_space` (see `ControlSpec.action_space`), a `Controls`, or a control vector `(A,)`.
    Mouse `dx` is in degrees per step, positive to the right.

    Reward: the scenario's own, summed over the tics of the step.

    Episode end: `terminated` when the scenario ends (death, goal), `truncated` after `config.max_tics` tics.

    Info: `tics` (int, played this episode), `x` and `y` (float, in map units), `angle` (float, in degrees,
    counter-clockwise from +x), `has_frame` (False when the game ended before it drew, in which case the last frame is
    given again) and, with `config.objects`, `objects`: a list of `(name, x, y, w, h)` boxes in observation pixels.

    Raises:
        GameError: if ViZDoom is missing, refuses the configuration, or its process has died.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 18}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(self, config: DoomConfig, *, render_mode: str | None = None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise GameError(f"render_mode was {render_mode!r}; give None or one of {self.metadata['render_modes']}.")
        self.config = config
        self.control_spec = config.control_spec
        self.frame_skip = config.frame_skip
        self.fps = TICS_PER_SECOND / config.frame_skip
        self.metadata = {**self.metadata, "render_fps": round(self.fps)}
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(0, 255, (config.height, config.width, 3), np.uint8)
        self.action_space = self.control_spec.action_space()
        self._columns = _columns(config)
        self._is_delta = np.array([button.endswith("_DELTA") for button in config.bindings.values()])
        self._vizdoom = import_vizdoom()
        folder = Path(tempfile.mkdtemp(prefix="worldsim-doom-"))
        self._game = self._vizdoom.DoomGame()
        self._process = os.getpid()
        self._stop = weakref.finalize(self, stop, self._game, folder, self._process)
        with self._failures_named():
            _start(self._vizdoom, self._game, config, folder)
        self._frame = np.zeros(self.observation_space.shape, np.uint8)
        self._state = dict.fromkeys(STATES, 0.0)
        self._objects: list[tuple[str, float, float, float, float]] = []
        self._tics = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode; equal seeds give equal episodes under equal actions."""
        super().reset(seed=seed)
        with self._failures_named():
            self._game.set_seed(int(self.np_random.integers(2**31)))
            self._game.new_episode()
            self._tics = 0
            has_frame = self._observe()
        return self._frame.copy(), self._info(has_frame)

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Plays `frame_skip` tics with the same controls held."""
        buttons = self._buttons(action)
        with self._failures_named():
            if self._game.is_episode_finished():
                raise GameError("the episode is over; call reset() before the next step().")
            before = self._game.get_episode_time()
            reward = float(self._game.make_action(buttons, self.frame_skip))
            terminated = bool(self._game.is_episode_finished())
            self._tics += max(self._game.get_episode_time() - before, 1)  # reaching the goal sets Doom's clock back
            has_frame = self._observe()
        truncated = not terminated and self._tics >= self.config.max_tics
        return self._frame.copy(), reward, terminated, truncated, self._info(has_frame)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The current frame, uint8 `(H, W, 3)`."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Ends the game process; calling it again does nothing."""
        self._stop()

    def __reduce__(self) -> Any:
        raise GameError("a running Doom cannot be copied or pickled; make another environment instead.")

    def _buttons(self, action: Any) -> list[float]:
        """One value per ViZDoom button."""
        if isinstance(action, Controls):
            vector = self.control_spec.to_vector(action)
        elif isinstance(action, Mapping):
            vector = self.control_spec.from_action(action)
        else:
            vector = self.control_spec.check_vector(action)
        values = vector[self._columns]
        # Delta buttons act on every tic, whereas our mouse motion is per step.
        return np.where(self._is_delta, values / self.frame_skip, values >= 0.5).tolist()

    def _observe(self) -> bool:
        """Reads the game's state; False, and the last frame stays, where it drew none."""
        state = self._game.get_state()
        if state is None:
            return False
        cut = self.config.cut
        self._frame = halve(state.screen_buffer)[cut : cut + self.config.height]
        self._state = dict(zip(STATES, map(float, state.game_variables), strict=True))
        if self.config.objects:
            self._objects = [
                (label.object_name, *(v / SUPERSAMPLE for v in (label.x, label.y - cut * SUPERSAMPLE, label.width, label.height)))
                for label in state.labels
                if label.object_name != "DoomPlayer"
            ]
        return True

    def _info(self, has_frame: bool) -> dict[str, Any]:
        info: dict[str, Any] = {"tics": self._tics, "has_frame": has_frame, **self._state}
        if self.config.objects:
            info["objects"] = list(self._objects)
        return info

    def _failures_named(self) -> AbstractContextManager[None]:
        return failures_named(self._vizdoom, self._process, self.config.scenario)


def halve(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rounded mean of each 2x2 block: uint8 `(2H, 2W, C)` -> uint8 `(H, W, C)`."""
    rows = image[0::2].astype(np.uint16) + image[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def _columns(config: DoomConfig) -> NDArray[np.intp]:
    """For each ViZDoom button, the column of the control vector that drives it."""
    names = config.control_spec.names
    for control in config.bindings:
        if control not in names:
            raise GameError(f"bindings name the control {control!r}; control_spec has: {', '.join(names)}.")
    return np.array([names.index(control) for control in config.bindings])


def import_vizdoom() -> Any:
    try:
        import vizdoom
    except ImportError as error:
        raise GameError('Doom needs the vizdoom package, which is not installed; pip install "worldsim-dit[doom]".') from error
    return vizdoom


@contextmanager
def failures_named(viz: Any, process: int, what: str) -> Iterator[None]:
    """Turns every failure of a game process into a `GameError`.

    Args:
        viz: the module vizdoom.
        process: id of the process that started the game.
        what: is played, for the message.
    """
    if os.getpid() != process:
        raise GameError("this Doom belongs to the process that started it; make an environment in each process.")
    failures = (
        viz.FileDoesNotExistException,
        viz.MessageQueueException,
        viz.SharedMemoryException,
        viz.ViZDoomErrorException,
        viz.ViZDoomIsNotRunningException,
        viz.ViZDoomUnexpectedExitException,
    )
    try:
        yield
    except failures as error:
        raise GameError(f"Doom ({what}) does not run: {error} Make a new environment to go on.") from error


def _start(viz: Any, game: Any, config: DoomConfig, folder: Path) -> None:
    """Configures and starts the game process; its files go into `folder`."""
    game.load_config(str(Path(viz.scenarios_path) / config.scenario))
    rendered = config.height + 2 * config.cut
    size = f"RES_{config.width * SUPERSAMPLE}X{rendered * SUPERSAMPLE}"
    if not hasattr(viz.ScreenResolution, size):
        raise GameError(f"frames of {config.width}x{rendered} need the ViZDoom mode {size}, which does not exist; try 128x80.")
    game.set_screen_resolution(getattr(viz.ScreenResolution, size))
    game.set_screen_format(viz.ScreenFormat.RGB24)
    game.set_available_buttons([getattr(viz.Button, name) for name in config.bindings.values()])
    variables = viz.GameVariable
    game.set_available_game_variables([variables.POSITION_X, variables.POSITION_Y, variables.ANGLE])
    game.set_labels_buffer_enabled(config.objects)
    launch(viz, game, folder)


def launch(viz: Any, game: Any, folder: Path) -> None:
    """Starts the process of a game whose map, screen and controls are set, with the settings that all our games share."""
    game.set_episode_timeout(0)  # a scenario's own timeout would leave no last frame
    game.set_episode_start_time(10)  # Doom ignores controls for the first 7 tics after a spawn
    game.set_render_hud(False)
    game.set_render_crosshair(False)
    game.set_render_messages(False)
    game.set_render_screen_flashes(False)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_mode(viz.Mode.PLAYER)
    game.set_doom_config_path(str(folder / "_vizdoom.ini"))
    # ViZDoom writes a folder into the working directory at start and takes no other place for it.
    with _cwd_lock, _working_in(folder):
        game.init()


def stop(game: Any, folder: Path, process: int) -> None:
    """Ends the game process; in a forked process, to which it does not belong, does nothing."""
    if os.getpid() == process:
        game.close()
        shutil.rmtree(folder, ignore_errors=True)
    else:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(game))  # its destructor would wait for a thread that was not forked


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


_REST = Controls()
_WALK = (_REST, Controls(keys={"w"}), Controls(keys={"s"}))
_STRAFE = (_REST, Controls(keys={"a"}), Controls(keys={"d"}))
_LOOK = (_REST, *(Controls(mouse=(dx, 0)) for dx in (-2.5, 2.5, -10, 10)))
_SHOOT = (_REST, Controls(buttons={"left"}))
_MEANINGS = {
    "w": "forward",
    "s": "backward",
    "a": "left",
    "d": "right",
    "mouse.dx": "turn",
    "mouse.left": "fire",
}


def _spec(name: str, config: DoomConfig, axes: Axes, **more: Any) -> GameSpec:
    """What all Doom games share."""
    return GameSpec(
        name=name,
        make=partial(_make, config),
        control_spec=config.control_spec,
        height=config.height,
        width=config.width,
        fps=TICS_PER_SECOND / config.frame_skip,
        frame_skip=config.frame_skip,
        max_tics=config.max_tics,
        options=tuple(field.name for field in fields(DoomConfig) if field.name != "control_spec"),
        axes=axes,
        meanings={control: meaning for control, meaning in _MEANINGS.items() if control in config.control_spec.names},
        states=STATES,
        cells={"x": 64.0, "y": 64.0},
        **more,
    )


def _make(config: DoomConfig, *, render_mode: str | None = None, **overrides: Any) -> DoomEnv:
    return DoomEnv(replace(config, **overrides), render_mode=render_mode)


# A reward of 1 for each tic survived; 750 and 1,092 are of World Models (Ha and Schmidhuber 2018, arXiv:1803.10122).
_SURVIVE: dict[str, Any] = {
    "objects": {"fireball": ("DoomImpBall",), "monster": ("DoomImp",)},
    "best_reward": 1.0,
    "solved": 750.0,
    "bars": (Bar("mean above that of World Models (2018)", 1_092.0, "mean"),),
}
NEAR = 0.2  # share of the frame's height that a near monster is taller than
_MONSTERS = ("Demon", "MarineChainsawVzd")
_APPROACH = {
    "near monster": ObjectClass(_MONSTERS, heights=(NEAR, 1.0)),
    "far monster": ObjectClass(_MONSTERS, heights=(0.0, NEAR)),
}
SPECS = (
    _spec("doom/take-cover", TAKE_COVER, (_STRAFE,), **_SURVIVE),
    _spec(
        "doom/take-cover-strip",
        TAKE_COVER_STRIP,
        (_STRAFE,),
        policies={"random": 0.15, "pacing": 0.25, "sweeping": 0.6},
        symmetric=True,
        **_SURVIVE,
    ),
    _spec("doom/my-way-home", MY_WAY_HOME, (_WALK, _STRAFE, _LOOK), policies={"coverage": 0.85, "random": 0.15}),
    _spec("doom/defend-the-center", DEFEND_THE_CENTER, (_LOOK, _SHOOT), objects=_APPROACH),
    _spec("doom/deadly-corridor", DEADLY_CORRIDOR, (_WALK, _STRAFE, _LOOK, _SHOOT)),
)
