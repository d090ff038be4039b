"""A server in a thread, as real as one started from the command line, and players that talk to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from worldsim.serve.config import ServeConfig
from worldsim.serve.protocol import unpack_frame
from worldsim.serve.server import WorldServer, listen

WAIT = 60.0  # seconds for anything that must happen


@dataclass
class Served:
    """A server that runs."""

    server: WorldServer
    port: int
    address: str
    said: list[str]

    @property
    def world(self) -> str:
        return next(iter(self.server.hall.catalog.offers))

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def post(self, path: str, content: bytes) -> tuple[int, str]:
        """Status and text of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the server need not read to the end
                connection.request("POST", path, content)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def figure(self, line: str) -> float:
        """Value of a line of /metrics; 0 without it."""
        text = self.get("/metrics")[2].decode()
        return next((float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(f"{line} ")), 0.0)

    def socket(self, **options: Any) -> AbstractContextManager[ClientConnection]:
        return connect(f"ws://127.0.0.1:{self.port}/play", max_size=None, compression=None, open_timeout=WAIT, **options)

    def refusal(self, **options: Any) -> int:
        """Status with which a WebSocket is refused; 101 if it is not."""
        try:
            with self.socket(**options):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code


@dataclass
class Player:
    """A page without a browser."""

    socket: ClientConnection
    messages: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, Any]] = field(default_factory=list)
    shows: bool = True

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def hold(self, *keys: str, mouse: tuple[float, float] = (0, 0), buttons: tuple[str, ...] = ()) -> None:
        self.send("hold", keys=list(keys), mouse=list(mouse), buttons=list(buttons))

    def receive(self, timeout: float = WAIT) -> dict[str, Any]:
        """The next message; of a frame, its header with its `pictures`."""
        data = self.socket.recv(timeout)
        if isinstance(data, str):
            message: dict[str, Any] = json.loads(data)
            self.messages.append(message)
            return message
        header, pictures = unpack_frame(data)
        if self.shows:
            with suppress(ConnectionClosed):  # there may be more to read
                self.send("shown", frame=header["frame"])
        self.headers.append(header)
        return {"type": "frame", **header, "pictures": pictures}

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Reads on to the first message that is wanted."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            message = self.receive()
            if wanted(message):
                return message
        raise AssertionError("it did not come")

    def kind(self, name: str) -> dict[str, Any]:
        return self.until(lambda message: message["type"] == name)

    def goodbye(self) -> tuple[str, int]:
        """What the server says at the end, and the code with which it closes."""
        text = ""
        try:
            while True:
                message = self.receive()
                text = message["text"] if message["type"] == "bye" else text
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return text, closed.rcvd.code


@contextmanager
def running(config: ServeConfig) -> Iterator[Served]:
    """Serves until the block ends."""
    ready = threading.Event()
    addresses: list[str] = []
    said: list[str] = []

    def note(text: str) -> None:
        addresses.append(text)
        ready.set()

    with listen(config) as listener:
        port = listener.getsockname()[1]
        server = WorldServer(config, port, note, said.append)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        try:
            assert ready.wait(WAIT)
            yield Served(server, port, addresses[0], said)
        finally:
            server.should_exit = True
            thread.join(WAIT)
            assert not thread.is_alive()


Serve = Callable[..., Served]
Join = Callable[..., Player]


@pytest.fixture
def serve(tiny_world_path: Path) -> Iterator[Serve]:
    """Starts a server of the tiny world, or of others, with options of `ServeConfig`."""
    with ExitStack() as undo:

        def start(*worlds: Path | str, **options: Any) -> Served:
            names = tuple(map(str, worlds)) or (str(tiny_world_path),)
            settings = {"port": 0, "limit": 4, "full_rate": False, "device": "cpu", "runtime": "torch", **options}
            return undo.enter_context(running(ServeConfig(worlds=names, **settings)))

        yield start


@pytest.fixture(scope="module")
def shared(tiny_world_path: Path) -> Iterator[Served]:
    """A server that several tests use, so that its engine is made once."""
    worlds = (str(tiny_world_path),)
    with running(ServeConfig(worlds, port=0, limit=4, full_rate=False, device="cpu", runtime="torch")) as served:
        yield served


@pytest.fixture
def join() -> Iterator[Join]:
    """Lets a player come, and choose the world; by default until the first frame is there."""
    with ExitStack() as undo:

        def come(served: Served, seated: bool = True, **options: Any) -> Player:
            player = Player(undo.enter_context(served.socket(**options)))
            player.send("play", world=served.world)
            if seated:
                player.kind("frame")
            return player

        yield come
