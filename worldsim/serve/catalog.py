"""The worlds that a server offers: what the menu shows of each, and the engine that is made when somebody first plays it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from worldsim.envs.games import GameSpec, known_game
from worldsim.errors import GameError, ServeError, WorldError, WorldsimError
from worldsim.player.chooser import find_choices, start_picture
from worldsim.serve.capacity import Budget
from worldsim.serve.config import ServeConfig
from worldsim.serve.engine import Engine, load_world
from worldsim.serve.pictures import Jpeg
from worldsim.world import find_world, read_config
from worldsim.world.shelf import count_parameters, kept_speed
from worldsim.worlds import DEFAULT_WORLD


class Offer:
    """A world that can be played.

    Args:
        name: to list it under.
        folder: of the world.
        config: of the server.
        budget: of time, shared by all engines.

    Attributes:
        line: players who wait for a place, first come first served.

    Raises:
        WorldError: if the folder is no world.
    """

    def __init__(self, name: str, folder: Path, config: ServeConfig, budget: Budget) -> None:
        self.name, self.folder, self.world = name, folder, read_config(folder)
        self.game = known_game(self.world.game)
        self.line: deque[object] = deque()
        self._config, self._budget = config, budget
        self._parameters = sum(count_parameters(folder / f"{part}.safetensors") for part in ("tokenizer", "dynamics"))
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._engine: Engine | None = None
        self._picture: bytes | None = None
        self._playable = False

    @property
    def has_game(self) -> bool:
        """Whether players may have the real game beside the dream; known once there is an engine."""
        return self._config.real_games > 0 and self._playable

    @property
    def prompted(self) -> bool:
        """Whether a start can be described in words."""
        return self.world.dynamics.prompt > 0

    @property
    def running(self) -> Engine | None:
        """The engine, if there is one by now."""
        return self._engine

    def engine(self) -> Engine:
        """The engine, which is made by the first call; that takes seconds, so not for the thread of an event loop.

        Raises:
            WorldsimError: if the world cannot be loaded.
        """
        with self._lock:
            if self._engine is not None and self._engine.reason is None:
                return self._engine
            self._playable = self._config.real_games > 0 and self.game is not None and is_installed(self.game)
            world = load_world(self.folder, device=self._config.device, runtime=self._config.runtime)
            self._engine = Engine(
                world,
                self._config.limit,
                full_rate=self._config.full_rate,
                clip_seconds=self._config.clip,
                budget=self._budget,
            )
            return self._engine

    def picture(self) -> bytes:
        """The last frame of the first start context, as a JPEG; black if it cannot be read."""
        with self._looking:  # not the lock of the engine, which takes seconds
            if self._picture is None:
                try:
                    frame = start_picture(self.folder)
                except (WorldError, OSError, SafetensorError, RuntimeError):  # damaged; playing it says so
                    frame = np.zeros((self.world.height, self.world.width, 3), np.uint8)
                self._picture = Jpeg(*frame.shape[:2])(frame)
            return self._picture

    def describe(self) -> dict[str, Any]:
        """What the menu shows."""
        spec, engine = self.world.control_spec, self._engine
        return {
            "name": self.name,
            "default": self.name == DEFAULT_WORLD,
            "width": self.world.width,
            "height": self.world.height,
            "fps": self.world.fps,
            "keys": list(spec.keys),
            "mouse": spec.has_mouse,
            "buttons": list(spec.buttons),
            "meanings": dict(self.game.meanings) if self.game else {},
            "parameters": self._parameters,
            "figures": {name: value for name, value in self.world.figures.items() if isinstance(value, int | float | str)},
            "measured_fps": kept_speed(self.folder),
            "players": engine.players if engine else 0,
            "limit": engine.limit if engine else self._config.limit,
        }

    def close(self, reason: str) -> None:
        """Ends the engine and all who play on it, each with the reason."""
        if self._engine is not None:
            self._engine.close(reason)


def is_installed(game: GameSpec) -> bool:
    """Whether a real game starts here."""
    try:
        game.start().close()
    except GameError:
        return False
    return True


class Catalog:
    """All worlds that are offered.

    Args:
        config: of the server; its worlds, or by default all that ship and those trained here.
        say: gets lines for whoever runs the server, as about a world that is left out.

    Raises:
        WorldError: if there is no world of a name that was given.
        ServeError: if there is none at all.
    """

    def __init__(self, config: ServeConfig, say: Callable[[str], None]) -> None:
        budget = Budget()
        self.offers: dict[str, Offer] = {}
        if config.worlds:
            for name in config.worlds:
                self.offers[name] = Offer(name, find_world(name), config, budget)
        else:
            for choice in find_choices():
                try:
                    self.offers[choice.name] = Offer(choice.name, choice.folder, config, budget)
                except WorldsimError as error:
                    say(f"{choice.name} is left out: {error}")
        if not self.offers:
            raise ServeError("no world was named and none is here to serve; train one with worldsim train.")

    def find(self, name: str) -> Offer | None:
        """The offer of a name, as the menu gives it; no path is looked up."""
        return self.offers.get(name)

    def close(self, reason: str) -> None:
        """Ends all engines."""
        for offer in self.offers.values():
            offer.close(reason)
