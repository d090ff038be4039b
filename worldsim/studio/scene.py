"""What a piece of play shows and what the player does in it, read from the game's own state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.envs.games.studio import KINDS, PLACES, SLOTS, WEAPONS

LEFT, RIGHT = 0.38, 0.62  # shares of the width between which a thing is in the middle
FAR, NEAR = 0.14, 0.38  # shares of the height between which a thing is neither far nor near
SEEN = 0.3  # share of the frames in which a thing must be seen to be worth a word
LEAST_HEIGHT = 0.05  # of a thing, as a share of the frame's
SPEED = 12.0  # map units per frame, below which a player who walks is stopped by something
COLUMNS = tuple(f"object{slot}.{name}" for slot in range(SLOTS) for name in ("kind", "x", "y", "height"))


@dataclass(frozen=True)
class Thing:
    """Things of one kind that are seen.

    Attributes:
        kind: one of `worldsim.envs.games.studio.KINDS`.
        side: "left", "middle" or "right", where the largest is.
        distance: "near", "between" or "far", by how tall it looks.
        count: how many at a time.
    """

    kind: str
    side: str = "middle"
    distance: str = "between"
    count: int = 1


@dataclass(frozen=True)
class Scene:
    """What a piece of play shows.

    Attributes:
        place: name of one of `worldsim.envs.games.studio.PLACES`; None if unknown.
        things: that are seen, largest first.
        weapon: one of `worldsim.envs.games.studio.WEAPONS`; None if unknown.
        health: "fine", "hurt" or "dying"; None if unknown.
        doing: what the player does, keys of `worldsim.studio.vocabulary.ACTIONS`; empty if unknown.
        colours: of walls, floor and ceiling in view; None if unknown.
    """

    place: str | None = None
    things: tuple[Thing, ...] = ()
    weapon: str | None = None
    health: str | None = None
    doing: tuple[str, ...] = ()
    colours: tuple[str, str, str] | None = None


def side_of(x: float) -> str:
    """The side of a share of the width."""
    return "left" if x < LEFT else "right" if x > RIGHT else "middle"


class SceneReader:
    """Reads scenes from the rows of a dataset of the studio's game.

    Args:
        names: of the state values, as `DatasetInfo.state`.
        spec: of the controls.
    """

    def __init__(self, names: Sequence[str], spec: ControlSpec) -> None:
        self._column = {name: i for i, name in enumerate(names)}
        self._objects = [self._column[name] for name in COLUMNS]
        self._path = [self._column["x"], self._column["y"]]
        self._controls = spec.names

    def read(self, states: NDArray[np.float32], actions: NDArray[np.float32], frame: NDArray[np.uint8]) -> Scene:
        """The scene of T frames.

        Args:
            states: `(T, S)`.
            actions: `(T, A)`.
            frame: one of the frames, uint8 `(H, W, 3)`, of which the colours are read.
        """
        middle = states[len(states) // 2]
        health = float(states[-1, self._column["health"]])
        return Scene(
            place=PLACES[int(middle[self._column["place"]])].name,
            things=self.things(states),
            weapon=WEAPONS[int(middle[self._column["weapon"]])],
            health="fine" if health > 70 else "hurt" if health > 25 else "dying",
            doing=told_actions(
                actions, self._controls, path=states[:, self._path], armed=states[:, self._column["ammo"]].max() > 0
            ),
            colours=colours(frame),
        )

    def things(self, states: NDArray[np.float32]) -> tuple[Thing, ...]:
        """What is seen in at least a third of T frames `(T, S)`, the tallest first."""
        kind, x, _, height = np.moveaxis(states[:, self._objects].reshape(len(states), SLOTS, 4), 2, 0)
        height = np.where(kind >= 0, height, 0.0)
        found: list[tuple[float, Thing]] = []
        for number in sorted({int(k) for k in kind[height >= LEAST_HEIGHT]}):
            of_kind = (kind == number) & (height >= LEAST_HEIGHT)
            visible = of_kind.any(axis=1)
            if visible.mean() < SEEN:
                continue
            largest = np.where(of_kind, height, -1).argmax(axis=1)[visible]
            rows = np.flatnonzero(visible)
            at, tall = float(np.median(x[rows, largest])), float(np.median(height[rows, largest]))
            distance = "far" if tall < FAR else "near" if tall > NEAR else "between"
            count = int(np.median(of_kind.sum(axis=1)[visible]))
            found.append((tall, Thing(KINDS[number], side_of(at), distance, max(1, count))))
        return tuple(thing for _, thing in sorted(found, key=lambda pair: -pair[0]))


def told_actions(
    actions: NDArray[np.float32], names: Sequence[str], *, path: NDArray[np.float32] | None = None, armed: bool = True
) -> tuple[str, ...]:
    """What a player does, by the controls held; keys of `worldsim.studio.vocabulary.ACTIONS`.

    Args:
        actions: `(T, A)`.
        names: of the controls, as `ControlSpec.names`. w, a, s and d walk, space or the left button shoots, mouse dx turns.
        path: where the player is at each frame, `(T, 2)` in map units; by default whoever walks counts as moving.
        armed: whether there is anything to shoot with.

    Returns:
        None of them if no such control is recorded; "stand" if none is used.
    """
    column = {name: i for i, name in enumerate(names)}
    if not {"w", "a", "s", "d", "mouse.dx"} & set(column):
        return ()

    def share(*keys: str) -> float:
        known = [column[key] for key in keys if key in column]
        return float((actions[:, known] >= 0.5).any(axis=1).mean()) if known else 0.0

    doing = _walking({key: share(key) for key in ("w", "a", "s", "d")})
    if doing and path is not None and _stopped(path, actions[:, [column[key] for key in ("w", "a", "s", "d") if key in column]]):
        doing = ["blocked"]
    turns = actions[:, column["mouse.dx"]] if "mouse.dx" in column else np.zeros(len(actions), np.float32)
    left, right = -float(turns[turns < -0.5].sum()), float(turns[turns > 0.5].sum())
    if left > 25 and right > 25 and max(left, right) < 3 * min(left, right):
        doing.append("look around")
    elif max(left, right) > 20:
        doing.append("turn left" if left > right else "turn right")
    if armed and share("space", "mouse.left") > 0.12:
        doing.append("shoot")
    return tuple(doing) or ("stand",)


def _walking(held: dict[str, float]) -> list[str]:
    """What keys of movement do, by the share of the frames in which they are held."""
    doing = []
    if held["w"] > 0.4 or held["s"] > 0.4:
        doing.append("forward" if held["w"] >= held["s"] else "backward")
    if held["a"] > 0.2 and held["d"] > 0.2:
        doing.append("dodge")
    elif held["a"] > 0.35 or held["d"] > 0.35:
        doing.append("left" if held["a"] > held["d"] else "right")
    return doing


def _stopped(path: NDArray[np.float32], keys: NDArray[np.float32]) -> bool:
    """Whether a player who walks, holding keys `(T, K)`, hardly moves along the path `(T, 2)`."""
    walks = (keys[:-1] >= 0.5).any(axis=1)
    steps = np.hypot(*np.diff(path, axis=0).T)
    return walks.sum() > 3 and float(np.median(steps[walks])) < SPEED


def colours(frame: NDArray[np.uint8]) -> tuple[str, str, str]:
    """Names of the colours of walls, floor and ceiling in a frame, uint8 `(H, W, 3)`: of its middle, sides below, and top."""
    height, width = frame.shape[:2]
    side = width // 4
    low = frame[int(0.75 * height) :]
    parts = (
        frame[int(0.3 * height) : int(0.55 * height)],
        np.concatenate([low[:, :side], low[:, -side:]], axis=1),
        frame[: int(0.15 * height)],
    )
    walls, floor, ceiling = (colour(part.reshape(-1, 3).mean(axis=0)) for part in parts)
    return walls, floor, ceiling


def colour(rgb: NDArray[np.floating]) -> str:
    """The name of a colour, three numbers from 0 to 255; one of `worldsim.studio.vocabulary.COLOURS`."""
    red, green, blue = (float(v) / 255 for v in rgb)
    value, least = max(red, green, blue), min(red, green, blue)
    if value < 0.09:
        return "black"
    if (value - least) / value < 0.22:
        return "dark grey" if value < 0.28 else "grey" if value < 0.65 else "white"
    hue = _hue(red, green, blue)
    if hue < 18 or hue >= 330:
        return "red" if (value - least) / value > 0.5 else "brown"
    if hue < 70:
        return ("yellow" if hue > 45 and (value - least) / value > 0.6 else "tan") if value > 0.45 else "brown"
    return "green" if hue < 170 else "blue"


def _hue(red: float, green: float, blue: float) -> float:
    """Hue in degrees of a colour that is not grey."""
    value, least = max(red, green, blue), min(red, green, blue)
    if value == red:
        turn = (green - blue) / (value - least)
    elif value == green:
        turn = 2 + (blue - red) / (value - least)
    else:
        turn = 4 + (red - green) / (value - least)
    return 60 * turn % 360
