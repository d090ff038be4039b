"""MineRL, Minecraft for agents, played with keys and mouse: of MineRL 0.4.4 and of 1.0.

MineRL needs an old Gym, an old Python and Java, so it runs in an interpreter of its own, which this module
talks to over a pipe. `worldsim new minerl/treechop --env MineRLTreechop-v0 --python PATH` describes such a
game; by hand it is one line:

>>> SPEC = minerl_game("minerl/treechop", "MineRLTreechop-v0", python="/opt/minerl/bin/python", binaries=SIMPLE)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import av
import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games.minerl_pipe import Worker
from worldsim.envs.games.spec import GameSpec
from worldsim.errors import ControlError, GameError, shown, suggest

DEGREES_PER_PIXEL = 0.15  # that the view turns for a pixel of the mouse, in MineRL and in VPT's recordings
LARGEST_TURN = 180.0  # of the camera action, in degrees
STEPS_PER_SECOND = 20.0
MOUSE_LIMIT = 18.0  # degrees per step by default: faster turns are rare, and a world learns best if the limit is near what occurs
LARGEST_SEED = 2**31  # and below
# MineRL's binary actions -> the keys and mouse buttons that Minecraft has for them.
KEYS: Mapping[str, str] = {
    "forward": "w", "back": "s", "left": "a", "right": "d", "jump": "space", "sneak": "shift", "sprint": "ctrl",
    "inventory": "e", "drop": "q", "swapHands": "f", **{f"hotbar.{i}": str(i) for i in range(1, 10)}, "ESC": "escape",
}  # fmt: skip
BUTTONS: Mapping[str, str] = {"attack": "left", "use": "right", "pickItem": "middle"}
SIMPLE = ("attack", "back", "forward", "jump", "left", "right", "sneak", "sprint")  # Treechop, Navigate and Obtain of 0.4.4
HUMAN = (*KEYS, *BUTTONS)  # all 23, in 1.0


@dataclass(frozen=True)
class MineRLActions:
    """Translates between the actions of a MineRL environment and `Controls`, exactly in both directions.

    The camera action is `(pitch, yaw)` in degrees per step, down and right positive; the mouse is `(yaw,
    pitch)`.

    Attributes:
        binaries: names of the binary actions.
        noops: actions that keys cannot choose, such as crafting -> the value that does nothing.
        mouse_limit: largest turn in degrees per step, up to 180.

    Raises:
        GameError: for a binary action that is none of MineRL's, or a limit out of range.
    """

    binaries: tuple[str, ...] = HUMAN
    noops: tuple[tuple[str, str], ...] = ()
    mouse_limit: float = LARGEST_TURN

    def __post_init__(self) -> None:
        for name in self.binaries:
            if name not in HUMAN:
                raise GameError(
                    f"binaries has {shown(name)}; MineRL's binary actions are {', '.join(HUMAN)}.{suggest(str(name), HUMAN)}"
                )
        if not 0 < self.mouse_limit <= LARGEST_TURN:
            raise GameError(f"mouse_limit was {self.mouse_limit!r}; give degrees per step above 0 and at most {LARGEST_TURN:g}.")

    @property
    def control_spec(self) -> ControlSpec:
        """The controls, with the keys and buttons in the order of `KEYS` and `BUTTONS`."""
        keys = tuple(key for name, key in KEYS.items() if name in self.binaries)
        exclusive = tuple(pair for pair in (("w", "s"), ("a", "d")) if set(pair) <= set(keys))
        buttons = tuple(button for name, button in BUTTONS.items() if name in self.binaries)
        return ControlSpec(keys, (self.mouse_limit, self.mouse_limit), buttons, exclusive)

    @property
    def meanings(self) -> dict[str, str]:
        """What each control does, by its name in `control_spec.names`."""
        held = {**KEYS, **{name: f"mouse.{button}" for name, button in BUTTONS.items()}}
        turns = {"mouse.dx": "turn", "mouse.dy": "look up and down"}
        return {**{held[name]: name for name in self.binaries}, **turns}

    def to_action(self, controls: Controls) -> dict[str, Any]:
        """`Controls` -> MineRL's action: an int for each binary, `camera` float32 `(2,)`, and the no-op of
        all others.

        Raises:
            ControlError: for a key or button that this environment does not have.
        """
        self.control_spec.to_vector(controls)  # raises
        dx, dy = (min(max(turn, -self.mouse_limit), self.mouse_limit) for turn in controls.mouse)
        held = {
            name: int(KEYS[name] in controls.keys if name in KEYS else BUTTONS[name] in controls.buttons)
            for name in self.binaries
        }
        return {**held, "camera": np.array([dy, dx], np.float32), **dict(self.noops)}

    def from_action(self, action: Mapping[str, Any]) -> Controls:
        """MineRL's action -> `Controls`; the inverse of `to_action`.

        Raises:
            ControlError: for an action that keys and mouse cannot give, such as crafting.
        """
        noops = dict(self.noops)
        for name, value in action.items():
            if name != "camera" and name not in self.binaries and (name not in noops or str(value) != noops[name]):
                raise ControlError(f"action has {name} = {shown(value)}, for which there is no key.")
        held = {name for name in self.binaries if int(action.get(name, 0))}
        pitch, yaw = (float(turn) for turn in np.asarray(action.get("camera", (0.0, 0.0)), np.float32))
        return Controls(
            keys={KEYS[name] for name in held if name in KEYS},
            mouse=(yaw, pitch),
            buttons={BUTTONS[name] for name in held if name in BUTTONS},
        )


def actions_of(described: Mapping[str, Any], mouse_limit: float = MOUSE_LIMIT) -> MineRLActions:
    """The actions of an environment, from what its worker says of its spaces.

    Raises:
        GameError: if it has no camera or frames, or an action of an unknown kind.
    """
    actions = described["actions"]
    kinds = {name: about["kind"] for name, about in actions.items()}
    if kinds.get("camera") != "camera" or described["pov"] is None or described["pov"][2:] != [3]:
        raise GameError(
            f"its actions are {shown(sorted(actions))} and its frames {shown(described['pov'])}; it needs 'camera' and RGB "
            "frames 'pov': choose an environment without VectorObf in its name."
        )
    for name, kind in kinds.items():
        if kind == "other":
            raise GameError(f"its action {shown(name)} is {shown(actions[name]['space'])}, which no key can give.")
    noops = tuple((name, about["noop"]) for name, about in actions.items() if about["kind"] == "enum")
    return MineRLActions(tuple(name for name, kind in kinds.items() if kind == "binary"), noops, mouse_limit)


class MineRLEnv(gymnasium.Env[NDArray[np.uint8], Any]):
    """A MineRL environment as a Gymnasium environment with our controls.

    Observation: uint8 `(height, width, 3)`, what the player sees; each pixel is the average of those that it
    covers.

    Action: an element of `action_space`, that of `control_spec`. With a `frame_skip` above 1, keys are held
    for all steps of Minecraft, and each gets an equal part of the mouse's motion.

    Reward: MineRL's, summed over the steps.

    Episode end: `terminated` when MineRL ends the episode, `truncated` at its step limit or after `max_tics`
    steps.

    Info: `tics` (int, Minecraft's steps), `has_frame` (True), and every number that MineRL observes, such as
    `inventory.log`.

    Args:
        env_id: such as "MineRLTreechop-v0".
        python: interpreter that has MineRL.
        actions: of the environment.
        height, width: of a frame, in pixels.
        frame_skip: steps of Minecraft, 20 a second, for each of ours.
        max_tics: steps of Minecraft after which an episode is truncated; None for MineRL's own limit alone.
        package: module whose import registers the environment.
        render_mode: None or "rgb_array".

    Raises:
        GameError: if the interpreter or the environment is missing, or has other actions; here and in every
            method, if Minecraft fails.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(STEPS_PER_SECOND)}  # noqa: RUF012 (Gymnasium's convention)

    def __init__(
        self,
        env_id: str,
        *,
        python: str,
        actions: MineRLActions | None = None,
        height: int = 64,
        width: int = 64,
        frame_skip: int = 1,
        max_tics: int | None = None,
        package: str = "minerl",
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise GameError(f"render_mode was {render_mode!r}; give None or 'rgb_array'.")
        self.render_mode, self.frame_skip, self.max_tics = render_mode, frame_skip, max_tics
        self.fps = STEPS_PER_SECOND / frame_skip
        self._worker = Worker(env_id, python, package)
        try:
            there = actions_of(self._worker.described, MOUSE_LIMIT if actions is None else actions.mouse_limit)
        except GameError as error:
            self._worker.close()
            raise GameError(f"{env_id} cannot be played: {error}") from error
        if actions is not None and set(actions.binaries) != set(there.binaries):
            self._worker.close()
            raise GameError(
                f"{env_id} has the binary actions {', '.join(sorted(there.binaries))}, its GameSpec those of "
                f"{', '.join(sorted(actions.binaries))}; describe it again."
            )
        self.actions, self.control_spec = there, there.control_spec
        self.action_space = self.control_spec.action_space()
        self.observation_space = gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)
        self._tics, self._over = 0, True
        self._frame = np.zeros((height, width, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Starts an episode; the first one starts Minecraft, which takes minutes. The seed decides the world."""
        super().reset(seed=seed)
        answer, frame = self._worker.call({"call": "reset", "seed": int(self.np_random.integers(LARGEST_SEED))})
        self._tics, self._over = 0, False
        return self._take(frame), self._info(answer)

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Holds the controls for `frame_skip` steps of Minecraft."""
        if self._over:
            raise GameError("the episode is over, or has not begun; call reset() before the next step().")
        controls = self.control_spec.from_vector(self.control_spec.from_action(action))
        dx, dy = (turn / self.frame_skip for turn in controls.mouse)
        given = self.actions.to_action(Controls(controls.keys, (dx, dy), controls.buttons))
        given["camera"] = given["camera"].tolist()
        total, terminated, truncated = 0.0, False, False
        for _ in range(self.frame_skip):
            answer, frame = self._worker.call({"call": "step", "action": given})
            self._tics += 1
            total += answer["reward"]
            terminated, truncated = answer["terminated"], answer["truncated"]
            truncated = truncated or (not terminated and self.max_tics is not None and self._tics >= self.max_tics)
            if terminated or truncated:
                break
        self._over = terminated or truncated
        return self._take(frame), float(total), terminated, truncated, self._info(answer)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The current frame, uint8 `(height, width, 3)`."""
        return self._frame if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Ends Minecraft and its interpreter."""
        self._worker.close()

    def _take(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width, _ = self.observation_space.shape or ()
        if frame.shape != (height, width, 3):
            image = av.VideoFrame.from_ndarray(frame, format="rgb24")
            image = image.reformat(width=width, height=height, interpolation="AREA")
            frame = np.asarray(image.to_ndarray(format="rgb24"), np.uint8)
        self._frame = frame
        return frame

    def _info(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        numbers = {name: value for name, value in answer["numbers"].items() if math.isfinite(value)}
        return {**numbers, "tics": self._tics, "has_frame": True}


def minerl_game(
    name: str,
    env_id: str,
    *,
    python: str,
    binaries: tuple[str, ...] = HUMAN,
    height: int = 64,
    width: int = 64,
    frame_skip: int = 1,
    mouse_limit: float = MOUSE_LIMIT,
    max_tics: int | None = None,
    package: str = "minerl",
    **more: Any,
) -> GameSpec:
    """The spec of a MineRL environment.

    Args:
        name: of the game, such as "minerl/treechop".
        env_id, python, height, width, frame_skip, max_tics, package: as for `MineRLEnv`.
        binaries: names of its binary actions: `SIMPLE`, `HUMAN`, or others.
        mouse_limit: largest turn in degrees per step of ours.
        more: other fields of `GameSpec`.

    Raises:
        GameError: if a field is out of range.
    """
    actions = MineRLActions(binaries, mouse_limit=mouse_limit)
    sizes: dict[str, Any] = {"height": height, "width": width, "frame_skip": frame_skip, "max_tics": max_tics}
    make = functools.partial(MineRLEnv, env_id, python=python, actions=actions, package=package, **sizes)
    fps, options = STEPS_PER_SECOND / frame_skip, ("frame_skip", "height", "width", "max_tics")
    return GameSpec(name, make, actions.control_spec, fps=fps, options=options, **{"meanings": actions.meanings, **sizes, **more})
