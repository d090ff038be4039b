"""Policies that play real games for recordings: varied play that visits many places and uses every control."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import ControlSpec
from worldsim.envs.games.fighting import Shooting, Standing, Strafing
from worldsim.envs.games.loading import load_attribute
from worldsim.envs.games.sticky import Held, Policy, StickyRandom, Sweeping, geometric, turn, unit
from worldsim.errors import GameError, suggest


class _Map:
    """The visited cells of a map, and which of them are neighbours."""

    def __init__(self, cell: float) -> None:
        self._cell = cell
        self._visits: Counter[tuple[int, int]] = Counter()
        self._centre: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._links: dict[tuple[int, int], set[tuple[int, int]]] = {}
        self._here: tuple[int, int] | None = None

    def leave(self) -> None:
        """Starts an episode: the next position is no neighbour of the last one."""
        self._here = None

    def visits(self, xy: NDArray[np.float32]) -> int:
        return self._visits[int(xy[0] // self._cell), int(xy[1] // self._cell)]

    def add(self, xy: NDArray[np.float32]) -> None:
        before, here = self._here, (int(xy[0] // self._cell), int(xy[1] // self._cell))
        self._here = here
        self._visits[here] += 1
        centre = self._centre.get(here, xy)
        self._centre[here] = centre + (xy - centre) / np.float32(self._visits[here])
        self._links.setdefault(here, set())
        if before is not None and before != here:
            self._links[here].add(before)
            self._links[before].add(here)

    def route(self, rng: np.random.Generator) -> list[NDArray[np.float32]]:
        """Points on a shortest known path from here to a cell, which is drawn with weight 1 / visits."""
        assert self._here is not None
        parents = {self._here: self._here}
        queue = deque(parents)
        while queue:
            cell = queue.popleft()
            for neighbour in sorted(self._links[cell]):
                if neighbour not in parents:
                    parents[neighbour] = cell
                    queue.append(neighbour)
        cells = list(parents)
        weights = np.array([1 / self._visits[cell] for cell in cells])
        cell = cells[rng.choice(len(cells), p=weights / weights.sum())]
        way = []
        while cell != self._here:
            way.append(self._centre[cell])
            cell = parents[cell]
        return way[::-1]


class Coverage:
    """Explores a map: returns to a place that was visited rarely, then explores from there. It needs `x`, `y` and `angle` in
    `info`, in map units and degrees.

    After "First return, then explore" (Ecoffet et al. 2021, arXiv:2004.12919). It builds its map while it walks and keeps it
    between episodes; make a new policy for another map. Random controls and glances in between separate the effects of keys
    and mouse.

    Args:
        spec: controls with the key "w" and mouse dx; "a", "d" and "s" are used where present.
        cell: side of a cell of its map, in map units.
    """

    TURN = 6.0  # degrees per step, at most
    GAIN = 0.04  # share of the angle to the target turned per step

    def __init__(self, spec: ControlSpec, *, cell: float = 32.0) -> None:
        if "w" not in spec.keys or spec.mouse_limit[0] == 0:
            raise GameError(
                f"policy 'coverage' needs the key 'w' and mouse dx; this game has: {', '.join(spec.names)}; use 'random'."
            )
        self.spec = spec
        self.cell = cell
        self._map = _Map(cell)
        self._random = StickyRandom(spec, hold=(2.0, 12.0))
        self._top_speed = 1.0
        self.reset(np.random.default_rng())

    def reset(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._random.reset(rng)
        self._map.leave()
        self._phase = Held(
            lambda rng: str(rng.choice(["return", "explore", "random"], p=[0.5, 0.3, 0.2])), geometric((20.0, 60.0))
        )
        self._glance = Held(lambda rng: float(rng.normal(0, 4)) if rng.random() < 0.45 else None, geometric((4.0, 16.0)))
        self._before: NDArray[np.float32] | None = None
        self._route: list[NDArray[np.float32]] = []
        self._target = 0.0
        self._doing: str | None = None
        self._moving = 0
        self._backing = 0

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        xy, heading = np.array([info["x"], info["y"]], np.float32), float(info["angle"])
        if self._before is None:
            self._before, self._target = xy, heading
        moved = xy - self._before
        self._before = xy
        self._map.add(xy)
        last, self._doing = self._doing, self._phase.next(self._rng)
        if self._doing != "return":
            self._route = []
        if self._doing == "random":
            self._moving = 0
            return self._random.act(info)
        if self._doing == "explore" != last:
            self._aim(self._freshest(self._rng.uniform(0, 360, 12)))
        self._avoid(moved)
        if self._backing:
            self._backing -= 1
        elif self._doing == "return":
            self._follow(xy)
        return self._walk(heading)

    def _avoid(self, moved: NDArray[np.float32]) -> None:
        """Backs off from a wall that stops it; turns slowly along a wall that it slides on, and so finds doors beside it."""
        speed = float(moved @ unit(self._target))
        self._top_speed = max(self._top_speed, speed)
        self._moving += 1
        if self._moving < 5 or speed > 0.4 * self._top_speed:
            return
        if speed < 0.1 * self._top_speed:
            self._backing = int(self._rng.integers(3, 8))
            self._aim(self._freshest(self._target + 180 + self._rng.uniform(-90, 90, 6)))
            self._route = []
        else:
            along = math.degrees(math.atan2(moved[1], moved[0]))
            self._target += float(np.clip(turn(self._target, along), -3, 3))

    def _freshest(self, directions: NDArray[np.float64]) -> float:
        """The direction that leads to the least visited cells."""
        assert self._before is not None
        seen = [sum(self._map.visits(self._before + r * self.cell * unit(d)) for r in (2, 3)) for d in directions]
        return float(directions[int(np.argmin(seen))])

    def _follow(self, xy: NDArray[np.float32]) -> None:
        """Aims at the next point of the route, and plans a new one at its end."""
        while self._route and np.hypot(*(self._route[0] - xy)) < self.cell:
            self._route.pop(0)
        if not self._route:
            self._route = self._map.route(self._rng)
        if self._route:
            dx, dy = self._route[0] - xy
            self._aim(math.degrees(math.atan2(dy, dx)))

    def _aim(self, target: float) -> None:
        if abs(turn(self._target, target)) > 45:
            self._moving = 0  # it takes a few steps to gather speed again
        self._target = target

    def _walk(self, heading: float) -> NDArray[np.float32]:
        """Moves towards the target with whichever keys lead there; the view turns after it, or glances elsewhere."""
        left = turn(heading, self._target)
        keys = {"w" if abs(left) < 67.5 else "s" if abs(left) > 112.5 else None}
        if 22.5 < abs(left) < 157.5:
            keys.add("a" if left > 0 else "d")
        held = [float(key in keys) for key in self.spec.keys]
        glance = self._glance.next(self._rng)
        dx = float(np.clip(-self.GAIN * left, -self.TURN, self.TURN)) if glance is None else glance
        return self.spec.check_vector(np.array([*held, dx, 0.0, *(0.0 for _ in self.spec.buttons)]))


POLICIES: dict[str, Callable[[ControlSpec], Policy]] = {
    "random": StickyRandom,
    "pacing": partial(StickyRandom, hold=(4.0, 32.0), rest=0.05),  # moves far and rarely rests: records full speed too
    "sweeping": Sweeping,
    "coverage": Coverage,
    "shooting": Shooting,
    "strafing": Strafing,
    "standing": Standing,
    "restless": partial(StickyRandom, hold=(1.0, 4.0)),  # for games in which a step is a whole move
}


def make_policy(name: str, spec: ControlSpec) -> Policy:
    """Policy by name, one of `POLICIES`; by path "module:Class" or "file.py:Class" of what takes the controls; or the .zip file
    of a Stable-Baselines3 model.

    Raises:
        GameError: if there is none, or the policy needs controls that `spec` lacks.
    """
    if name.endswith(".zip"):
        from worldsim.envs.games.agents import Agent

        return Agent(name, spec)
    if name not in POLICIES and ":" not in name:
        raise GameError(
            f"unknown policy {name!r}; choose from: {', '.join(POLICIES)}; or give 'module:Class', or a .zip of "
            f"Stable-Baselines3.{suggest(name, POLICIES)}"
        )
    return (POLICIES[name] if name in POLICIES else load_attribute(name))(spec)
