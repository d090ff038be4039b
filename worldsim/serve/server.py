"""The server: an address, a token where one is needed, and an end without anybody left in the dark."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable

import uvicorn

from worldsim.errors import ServeError, printable
from worldsim.serve.app import make_app
from worldsim.serve.config import TOKEN, ServeConfig
from worldsim.serve.guard import Guard
from worldsim.serve.hall import MOST_CONNECTIONS, Hall
from worldsim.serve.protocol import LARGEST_MESSAGE

PING = 10.0  # seconds between two signs of life that a browser is asked for, and in which it has to give one
GRACE = 3  # seconds for requests that run when the server ends
GOODBYE = "the server is closing."


def serve(config: ServeConfig) -> None:
    """Serves worlds until Ctrl-C or SIGTERM, after which all players have been told, and prints the address.

    Args:
        config: how.

    Raises:
        ServeError: if the address cannot be had, or there is no world.
        WorldError: if there is no world of a name that was given.
        KeyboardInterrupt: after Ctrl-C or SIGTERM.
    """
    with listen(config) as listener:
        asyncio.run(WorldServer(config, listener.getsockname()[1], _print_address).serve([listener]))


def listen(config: ServeConfig) -> socket.socket:
    """A socket at the address of the config.

    Raises:
        ServeError: if there is no such address, or it is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # an address in use by others is refused all the same
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ServeError(
            f"cannot listen at {config.host}, port {config.port}: {error.strerror}; give another --port or --host."
        ) from error
    return listener


def address(config: ServeConfig, port: int, token: str | None) -> str:
    """What a player opens in a browser."""
    host = socket.gethostname() if config.host in ("0.0.0.0", "::") else config.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


class WorldServer(uvicorn.Server):
    """Says when it answers, and says goodbye before it ends, which `should_exit` asks for.

    Args:
        config: how worlds are served.
        port: that it will listen at.
        ready: gets the address, once it answers.
        say: gets lines for whoever runs the server; by default they go to stderr.

    Raises:
        WorldError: if there is no world of a name that was given.
        ServeError: if there is none at all.
    """

    def __init__(
        self, config: ServeConfig, port: int, ready: Callable[[str], None], say: Callable[[str], None] | None = None
    ) -> None:
        token = os.environ.get(TOKEN) or (None if config.loopback else secrets.token_urlsafe(24))
        self.hall = Hall(config, say or _say)
        self._ready, self._address = ready, address(config, port, token)
        guard = Guard(make_app(self.hall), loopback=config.loopback, token=token, names=config.allow_host, port=port)
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # players are told what concerns them, and we say what goes wrong
        super().__init__(
            uvicorn.Config(
                guard,
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=LARGEST_MESSAGE,
                ws_ping_interval=PING,
                ws_ping_timeout=PING,
                ws_per_message_deflate=False,  # pictures are small already
                limit_concurrency=4 * MOST_CONNECTIONS,
                timeout_graceful_shutdown=GRACE,
                log_config=None,
                access_log=False,  # addresses may hold tokens
                proxy_headers=False,
                server_header=False,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        await super().startup(sockets)
        self._ready(self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Says goodbye, and stops."""
        await self.hall.close(GOODBYE)
        await super().shutdown(sockets)


def _print_address(text: str) -> None:
    print(f"play at {text}\nCtrl-C ends it", flush=True)


def _say(line: str) -> None:
    print(f"worldsim: {printable(line, 500)}", file=sys.stderr, flush=True)
