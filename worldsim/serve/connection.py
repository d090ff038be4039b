"""One player's connection: messages come in, frames go out, and everything ends when it does."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from worldsim.errors import FullError, ServeError, WorldsimError
from worldsim.serve.catalog import Offer
from worldsim.serve.engine import Engine
from worldsim.serve.play import Play
from worldsim.serve.protocol import Allowance, Message, ProtocolError, pack_frame, read_message
from worldsim.serve.seat import Seat

if TYPE_CHECKING:
    from worldsim.serve.hall import Hall

UNSHOWN = 4  # frames on their way to a player; more are not sent until one of them is shown
HELLO = 10.0  # seconds in which the first message has to come
SILENCE = 3.0  # seconds without any message, after which nothing counts as held
RESTART = 1.5  # seconds between an end and another start
ASK = 0.25  # seconds between two tries to get a place
WARNING = 20.0  # seconds before an idle player has to leave
PICTURES = 0.5, 4.0  # pictures to begin with, a second in the long run, and at once
FAREWELL = 2.0  # seconds that a goodbye may take
NORMAL, GOING, REFUSED, FAULT = 1000, 1001, 1008, 1011  # WebSocket close codes


class Ended(Exception):
    """The connection ends here.

    Args:
        text: why, in a sentence for the player.
        code: of WebSockets.
        cause: in a word, for the metrics.
    """

    def __init__(self, text: str, code: int, cause: str) -> None:
        super().__init__(text)
        self.text, self.code, self.cause = text, code, cause


class Connection:
    """A browser that plays one world.

    Args:
        socket: not yet accepted.
        hall: of the server.

    Attributes:
        key: known to this player only, for the download of a clip.
        play: what is played; None before there is a place.
        pictures: how many to begin with may still come.
    """

    def __init__(self, socket: WebSocket, hall: Hall) -> None:
        self.socket, self.hall, self.key = socket, hall, secrets.token_urlsafe(16)
        self.play: Play | None = None
        self._loop = asyncio.get_running_loop()
        self._asked: asyncio.Future[Offer] = self._loop.create_future()
        self._ending: asyncio.Future[Ended] = self._loop.create_future()
        self._wake = asyncio.Event()
        self._allowance = Allowance(time.monotonic())
        self.pictures = Allowance(time.monotonic(), *PICTURES)
        self._heard = self._acted = time.monotonic()
        self._sent = self._shown = 0
        self._silent = self._warned = False
        self._restarts: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serves the player until they leave, or have to."""
        await self.socket.accept()
        tasks = [asyncio.create_task(part) for part in (self._read(), self._send_frames(), self._watch())]
        end = Ended("the server ended this by a fault of its own.", FAULT, "fault")
        try:
            waited: list[asyncio.Future[Any]] = [*tasks, self._ending]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            end = self._ending.result() if self._ending.done() else self._why(next(task for task in tasks if task.done()))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._restarts is not None:
                self._restarts.cancel()
            if self.play is not None:
                self.play.close()
            self.hall.counts.ended[end.cause] += 1
            await self._say_goodbye(end)

    def end(self, text: str, code: int, cause: str) -> None:
        """Ends the connection from outside, with a sentence for the player."""
        if not self._ending.done():
            self._ending.set_result(Ended(text, code, cause))

    async def _read(self) -> None:
        """Takes messages as they come."""
        while True:
            event = await self.socket.receive()
            if event["type"] == "websocket.disconnect":
                raise Ended("you left.", NORMAL, "left")
            now = time.monotonic()
            if not self._allowance.take(now):
                raise Ended("too many messages came at once.", REFUSED, "rate")
            self.hall.counts.total["messages"] += 1
            try:
                message = read_message(event["text"] if event.get("text") is not None else event.get("bytes", b""))
            except ProtocolError as error:
                raise Ended(str(error), REFUSED, "protocol") from None
            self._heard = now
            await self._handle(message)

    async def _handle(self, message: Message) -> None:
        if message.kind == "ping":
            await self._send({"type": "pong", "at": message["at"]})
        elif message.kind == "play":
            self._choose(message["world"])
        elif self.play is None:
            raise Ended("a world has to be chosen, and a place found, before anything is played.", REFUSED, "protocol")
        elif message.kind == "shown":
            if not self._shown <= message["frame"] <= self._sent:
                raise Ended("a frame was shown that was not sent.", REFUSED, "protocol")
            self._shown = message["frame"]
            self._wake.set()
        else:
            self._acted, self._warned = self._heard, False
            try:
                await self._command(message, self.play)
            except ServeError as error:
                await self._send({"type": "notice", "text": str(error)})

    def _choose(self, name: str) -> None:
        if self._asked.done():
            raise Ended("a connection is for one world.", REFUSED, "protocol")
        offer = self.hall.catalog.find(name)
        if offer is None:
            raise Ended("there is no such world here.", REFUSED, "protocol")
        self._asked.set_result(offer)

    async def _command(self, message: Message, play: Play) -> None:
        kind = message.kind
        if kind == "hold":
            play.seat.hold(message["keys"], (message["mouse"][0], message["mouse"][1]), message["buttons"])
            return
        if kind == "release":
            play.seat.release_all()
            return
        if kind == "restart":
            play.restart(message["prompt"])
        elif kind == "pause":
            play.pause(message["on"])
        elif kind == "one_frame":
            play.one_frame()
        elif kind == "num_steps":
            play.seat.num_steps = max(1, play.seat.num_steps + message["change"])
        elif kind == "temperature":
            play.seat.temperature = message["value"]
        else:
            play.change_mode(message["name"])
        await self._send_state(play)

    async def _send_frames(self) -> None:
        """Waits for a place, and then sends the newest frame whenever there is one and the line is free."""
        try:
            offer = await asyncio.wait_for(asyncio.shield(self._asked), HELLO)
        except asyncio.TimeoutError:
            raise Ended("no world was chosen.", REFUSED, "protocol") from None
        engine = await self._load(offer)
        seat = await self._sit(offer, engine)
        self._acted = time.monotonic()
        self.play = play = Play(offer, engine, seat, self.hall.games, self._wake_up)
        await self._send({"type": "world", "clip": f"/clip/{self.key}", "start": f"/start/{self.key}", **play.about()})
        await self._send_state(play)
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._sent - self._shown < UNSHOWN:
                    await self._send_newest(play)
        except ServeError as error:
            raise Ended(str(error), GOING, "lost") from None

    async def _send_newest(self, play: Play) -> None:
        mode, taken = play.mode, play.take()
        for text in play.notices:
            await self._send({"type": "notice", "text": text})
        play.notices.clear()
        if play.mode != mode:  # the real game is gone
            await self._send_state(play)
        if taken is None:
            return
        header, pictures = taken
        self._sent += 1
        data = pack_frame({"frame": self._sent, **header}, pictures)
        self.hall.counts.total["sent_frames"] += 1
        self.hall.counts.total["sent_bytes"] += len(data)
        await self.socket.send_bytes(data)
        if play.ended and self._restarts is None:
            self._restarts = self._loop.call_later(RESTART, self._restart, play)

    def _restart(self, play: Play) -> None:
        """After an end, unless the player was faster."""
        self._restarts = None
        if play.ended:
            with suppress(ServeError):  # the place is lost; whoever sends frames says so
                play.restart()

    async def _load(self, offer: Offer) -> Engine:
        """The engine of a world; who comes first waits until it is made."""
        if offer.running is None:
            await self._send({"type": "loading"})
        try:
            return await self.hall.engine(offer)
        except WorldsimError as error:
            self.hall.say(f"{offer.name} cannot be played: {error}")
            raise Ended(f"{offer.name} cannot be played here; the server says why.", GOING, "load") from None

    async def _sit(self, offer: Offer, engine: Engine) -> Seat:
        """A place, in the order in which players came."""
        offer.line.append(self)
        said = (-1, "")
        try:
            while True:
                ahead, text = offer.line.index(self), "all places are taken; wait until somebody leaves."
                if not ahead:
                    try:
                        return engine.join()
                    except FullError as error:
                        text = str(error)
                if (ahead, text) != said:
                    said = ahead, text
                    await self._send({"type": "wait", "ahead": ahead, "text": text})
                await asyncio.sleep(ASK)
        except ServeError as error:  # the engine has ended
            raise Ended(str(error), GOING, "lost") from None
        finally:
            offer.line.remove(self)

    async def _watch(self) -> None:
        """Lets go of everything when nothing is heard, and ends who is idle."""
        while True:
            await asyncio.sleep(min(0.5, self.hall.config.idle / 4))
            now, play = time.monotonic(), self.play
            if play is None:
                continue
            silent = now - self._heard > SILENCE
            if silent and not self._silent:
                play.let_go()
            self._silent = silent
            left = self.hall.config.idle - (now - self._acted)
            if left <= 0:
                raise Ended("you did nothing for a long time, so your place is free for others.", NORMAL, "idle")
            if left < min(WARNING, self.hall.config.idle / 2) and not self._warned:
                self._warned = True
                await self._send({"type": "notice", "text": "press a key to keep your place"})

    def _wake_up(self) -> None:
        """Called in other threads when there may be something to show."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _send_state(self, play: Play) -> None:
        await self._send({"type": "state", **play.state()})

    async def _send(self, message: dict[str, Any]) -> None:
        await self.socket.send_json(message)

    async def _say_goodbye(self, end: Ended) -> None:
        """Tells the player why it ends, if they can still hear it."""

        async def say() -> None:
            await self._send({"type": "bye", "text": end.text, "again": end.code == FAULT})
            await self.socket.close(end.code)

        if end.cause != "left":
            with suppress(WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):
                await asyncio.wait_for(say(), FAREWELL)

    def _why(self, task: asyncio.Task[None]) -> Ended:
        error = task.exception()
        if isinstance(error, Ended):
            return error
        if isinstance(error, WebSocketDisconnect):
            return Ended("you left.", NORMAL, "left")
        self.hall.say(f"a connection ended by a fault: {error!r}")
        return Ended("the server ended this by a fault of its own.", FAULT, "fault")
