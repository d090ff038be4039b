"""What all connections of a server share: the worlds, who is here, and what is counted."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.websockets import WebSocket

from worldsim.errors import FileError, ServeError
from worldsim.serve.catalog import Catalog, Offer
from worldsim.serve.config import ServeConfig
from worldsim.serve.connection import GOING, Connection
from worldsim.serve.engine import Engine
from worldsim.serve.metrics import Counts
from worldsim.serve.play import RealGames

CLIP_WIDTH = 640  # pixels, at least about, so that a clip is not tiny on a screen
CLIPS = 2  # that are written at a time
MOST_CONNECTIONS = 256


class Hall:
    """Everything a server holds.

    Args:
        config: how worlds are served.
        say: gets lines for whoever runs the server.

    Raises:
        WorldError: if there is no world of a name that was given.
        ServeError: if there is none at all.
    """

    def __init__(self, config: ServeConfig, say: Callable[[str], None]) -> None:
        self.config, self.say = config, say
        self.catalog, self.counts, self.games = Catalog(config, say), Counts(), RealGames(config.real_games)
        self.closing = ""
        self._here: dict[str, Connection] = {}
        self._clips = asyncio.Semaphore(CLIPS)
        self._loader = ThreadPoolExecutor(thread_name_prefix="loading")  # of its own, since players of a world wait for it
        self._loading: dict[str, asyncio.Future[Engine]] = {}

    async def serve(self, socket: WebSocket) -> None:
        """Lets a browser play, until it leaves."""
        if self.closing or len(self._here) >= MOST_CONNECTIONS:
            await socket.close(GOING)
            return
        connection = Connection(socket, self)
        self._here[connection.key] = connection
        self.counts.connections += 1
        self.counts.total["connections"] += 1
        try:
            await connection.run()
        finally:
            del self._here[connection.key]
            self.counts.connections -= 1

    async def engine(self, offer: Offer) -> Engine:
        """The engine of a world; who comes while it is made waits, in no thread.

        Raises:
            WorldsimError: if the world cannot be loaded.
        """
        loading = self._loading.get(offer.name)
        if loading is None or loading.done():
            loading = asyncio.get_running_loop().run_in_executor(self._loader, offer.engine)
            self._loading[offer.name] = loading
        return await asyncio.shield(loading)

    async def clip(self, key: str) -> tuple[str, bytes] | None:
        """What a player saw last, as an mp4 with its name; None if there is no such player, or nothing was shown yet.

        Raises:
            FileError: if it cannot be written here.
        """
        connection = self._here.get(key)
        play = None if connection is None else connection.play
        if play is None:
            return None
        scale = max(1, -(-CLIP_WIDTH // play.offer.world.width))
        async with self._clips:
            with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
                path = Path(folder) / "clip.mp4"
                try:
                    await asyncio.to_thread(play.save_clip, path, scale, self.config.marks)
                except ServeError:
                    return None
                except FileError as error:
                    self.say(f"a clip could not be made: {error}")
                    raise
                content = path.read_bytes()
        self.counts.total["clips"] += 1
        name = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in play.offer.name)
        return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.mp4", content

    def size(self, key: str) -> tuple[int, int] | None:
        """`(H, W)` of what a player plays; None if there is no such player."""
        connection = self._here.get(key)
        play = None if connection is None else connection.play
        return None if play is None else (play.offer.world.height, play.offer.world.width)

    def begin(self, key: str, picture: NDArray[np.uint8]) -> None:
        """Starts a player's dream anew from a picture, uint8 `(H, W, 3)` of the size that `size` tells.

        Raises:
            ServeError: if that cannot be, or was done just before.
        """
        connection = self._here.get(key)
        if connection is None or connection.play is None:
            raise ServeError("you do not play any more.")
        if not connection.pictures.take(time.monotonic()):
            raise ServeError("wait a moment before the next picture.")
        connection.play.begin(picture)

    async def close(self, text: str) -> None:
        """Says goodbye to all players, waits until they have heard it, and ends the engines."""
        self.closing = text
        for connection in list(self._here.values()):
            connection.end(text, GOING, "closing")
        deadline = time.monotonic() + 5
        while self._here and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self.catalog.close, text)
        self._loader.shutdown(wait=False)
