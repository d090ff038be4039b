"""What one player plays: a dream, and the real game beside it where they want that."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import ServeError
from worldsim.provenance import MARKS, MarkOptions
from worldsim.serve.catalog import Offer
from worldsim.serve.engine import Engine
from worldsim.serve.pictures import Jpeg
from worldsim.serve.protocol import MODES
from worldsim.serve.seat import Frame, Seat
from worldsim.serve.twin import SideBySide
from worldsim.world.provenance import claim_of

DREAM, BOTH = MODES


class RealGames:
    """How many real games may run at a time, and how many do."""

    def __init__(self, most: int) -> None:
        self.most, self.running = most, 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """One more.

        Raises:
            ServeError: if there are too many.
        """
        with self._lock:
            if self.running >= self.most:
                raise ServeError("no more real games may run here now; try again later.")
            self.running += 1

    def end(self) -> None:
        """One less."""
        with self._lock:
            self.running -= 1


@dataclass(frozen=True)
class Pane:
    """One of the games that are shown.

    Attributes:
        name: "dream" or "real".
        image: uint8 `(H, W, 3)`.
        score: sum of rewards since the start; None where there are none.
        survived: frames since then.
        over: whether its episode is over.
    """

    name: str
    image: NDArray[np.uint8]
    score: float | None
    survived: int
    over: bool


class Play:
    """A seat, and all that its player may do. For the thread of an event loop: no method waits, but `save_clip`.

    Args:
        offer: the world.
        engine: of the world.
        seat: in the engine.
        games: real games of all players.
        wake: called in other threads whenever there may be something to show.

    Attributes:
        mode: one of `MODES`.
        notices: lines for the player; whoever shows them empties the list.
    """

    def __init__(self, offer: Offer, engine: Engine, seat: Seat, games: RealGames, wake: Callable[[], None]) -> None:
        self.offer, self.engine, self.seat, self.mode = offer, engine, seat, DREAM
        self.notices: list[str] = []
        self._games, self._wake, self._single = games, wake, False
        self._twin: SideBySide | None = None
        self._jpeg = Jpeg(offer.world.height, offer.world.width)
        self._overs: set[str] = set()
        self._unasked: list[int] = []  # numbers of inputs that the player did not give
        seat.watch(self._on_frame)

    def take(self) -> tuple[dict[str, Any], list[bytes]] | None:
        """The newest frame that was not taken yet: the header that the page reads, and its pictures as JPEGs.

        Raises:
            ServeError: if the place is lost.
        """
        if self._twin is not None and self._twin.failure is not None:
            self.notices.append(self._twin.failure)
            self._end_twin()
            self.seat.restart()
        if self._twin is not None:
            pair = self._twin.take()
            self.seat.take()  # raises if the place is lost
            if pair is None:
                return None
            frame, real = pair
            panes = [self._dreamed(frame), Pane("real", real.image, real.score, real.survived, real.over)]
        else:
            newest = self.seat.take()
            if newest is None:
                return None
            frame, panes = newest, [self._dreamed(newest)]
        for pane in panes:
            self._note_end(pane)
        held = self.seat.spec.from_vector(frame.controls)
        header = {
            "inputs": frame.inputs - sum(number <= frame.inputs for number in self._unasked),
            "keys": sorted(held.keys),
            "mouse": [round(degrees, 1) for degrees in held.mouse],
            "buttons": sorted(held.buttons),
            "panes": [
                {"name": p.name, "score": None if p.score is None else round(p.score, 2), "survived": p.survived, "over": p.over}
                for p in panes
            ],
        }
        return header, [self._jpeg(pane.image) for pane in panes]

    @property
    def ended(self) -> bool:
        """Whether everything that is shown is over."""
        newest = self.seat.newest
        return self._twin.ended if self._twin is not None else newest is not None and newest.over

    def about(self) -> dict[str, Any]:
        """What the page has to know of the world, once."""
        spec, game = self.offer.world.control_spec, self.offer.game
        return {
            "name": self.offer.name,
            "width": self.offer.world.width,
            "height": self.offer.world.height,
            "fps": self.offer.world.fps,
            "keys": list(spec.keys),
            "mouse_limit": list(spec.mouse_limit),
            "buttons": list(spec.buttons),
            "meanings": dict(game.meanings) if game else {},
            "real": self.offer.has_game,
            "prompt": self.offer.prompted,
        }

    def state(self) -> dict[str, Any]:
        """Settings that the page shows."""
        calls = self.offer.world.rounds + self.seat.num_steps - 1
        runtime = self.engine.world.runtime.name
        return {
            "mode": self.mode,
            "paused": self.seat.paused or self._single,
            "calls": calls,
            "temperature": self.seat.temperature,
            "figures": f"{calls} network call{'s' if calls > 1 else ''} per frame, {runtime}",
        }

    def restart(self, prompt: str = "") -> None:
        """Another start of everything that is shown.

        Args:
            prompt: what it shall show from its first new frame on, in a world that takes prompts.

        Raises:
            ServeError: if the world takes none.
        """
        self.seat.prompt = prompt
        if self._twin is not None:
            self._twin.restart()
        else:
            self.seat.restart()

    def begin(self, picture: NDArray[np.uint8]) -> None:
        """Another start, from a picture of the player's own.

        Args:
            picture: uint8 `(H, W, 3)` of the world's size.

        Raises:
            ServeError: beside the real game, which cannot begin there.
        """
        if self._twin is not None:
            raise ServeError("the real game cannot begin with a picture; leave side by side first.")
        self.seat.restart(picture=picture)

    def let_go(self) -> None:
        """Nothing is held any more, though the player did not say so."""
        self._unasked.append(self.seat.release_all())

    def pause(self, on: bool) -> None:
        """Stops everything that is shown, or goes on with it."""
        self._single = False
        self.seat.pause(on)

    def one_frame(self) -> None:
        """Goes on for one frame."""
        self._single = True
        self.seat.pause(False)

    def change_mode(self, mode: str) -> None:
        """Starts the real game, and the dream anew from it; or goes back to the dream alone, which goes on where it is.

        Raises:
            ServeError: if the world has no real game here, or too many players have theirs.
        """
        if mode == BOTH and self._twin is None:
            if not self.offer.has_game:
                raise ServeError("there is no real game beside this world here.")
            self._games.begin()
            self.mode, seed = BOTH, secrets.randbits(31)
            self._twin = SideBySide(self.offer.folder, self.engine.world, self.seat, seed, self._wake)
        elif mode == DREAM and self._twin is not None:
            self._end_twin()
            if self.ended:
                self.seat.restart()

    def save_clip(self, path: Path, scale: int, marks: MarkOptions = MARKS) -> None:
        """Writes what the player saw of the dream last as an mp4, marked as generated, but for pictures of the player's
        own; this takes a while, so not for the thread of an event loop.

        Raises:
            ServeError: before the first frame.
            FileError: if no file can be written there.
        """
        seat, clip = self.seat, self.seat.clip()
        settings: dict[str, Any] = {"num_steps": seat.num_steps, "temperature": seat.temperature}
        claim = claim_of(self.engine.world, seat.seed, seat.prompt, composite=bool(clip.given.any()), **settings)
        clip.save(path, scale, claim, marks)

    def close(self) -> None:
        """Gives the place back, and ends the real game."""
        self.seat.leave()
        self._end_twin()

    def _dreamed(self, frame: Frame) -> Pane:
        rewarded = bool(self.offer.world.dynamics.reward_bins)
        return Pane("dream", frame.image, frame.score if rewarded else None, frame.number, frame.over)

    def _note_end(self, pane: Pane) -> None:
        """Tells the player once of each end."""
        if pane.over and pane.name not in self._overs:
            ended = "the dream" if pane.name == "dream" else "the real game"
            self.notices.append(f"{ended} ended after {pane.survived} frames")
        (self._overs.add if pane.over else self._overs.discard)(pane.name)

    def _end_twin(self) -> None:
        twin, self._twin, self.mode = self._twin, None, DREAM
        if twin is not None:

            def end() -> None:
                twin.close()
                self._games.end()

            threading.Thread(target=end, name="ending a real game").start()

    def _on_frame(self) -> None:
        """Called in the engine's thread after every frame."""
        if self._single:
            self.seat.pause(True)
            self._single = False
        twin, newest = self._twin, self.seat.newest
        if twin is not None and newest is not None:
            twin.on_frame(newest)
        else:
            self._wake()
