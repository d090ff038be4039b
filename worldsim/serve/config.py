"""How worlds are served, checked before anything is loaded. Importing this loads no PyTorch."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from worldsim.choices import Device, Runtime
from worldsim.errors import WorldsimError, check_int, check_number, shown
from worldsim.provenance.claim import MARKS
from worldsim.provenance.options import Marks

TOKEN = "WORLDSIM_TOKEN"  # environment variable, so that the token is not seen in the list of processes
SHORTEST_TOKEN = 16
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True)
class ServeConfig:
    """Worlds to play in a browser.

    Attributes:
        worlds: names, folders or Hub ids; by default all that ship and those trained here.
        host: address to listen at. Beyond this machine, such as at 0.0.0.0, players need the token that is printed.
        port: to listen at; 0 for any that is free.
        allow_host: further names under which a browser may ask for this server, such as that of a proxy.
        limit: players of each world at a time; who comes later waits.
        full_rate: whether newcomers wait, too, while one more player would slow down those who play.
        idle: seconds without any input after which a player has to leave.
        clip: seconds of play that a player can download.
        real_games: players at a time who may have the real game beside the dream; 0 for none.
        device: where the worlds run.
        runtime: who executes a step; "auto" is OpenVINO where that can run the world, otherwise torch.
        marks: how clips that players download are marked as generated.
    """

    worlds: Positional[Annotated[tuple[str, ...], arg(metavar="[WORLD ...]")]] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    allow_host: tuple[str, ...] = ()
    limit: int = 32
    full_rate: bool = True
    idle: float = 300.0
    clip: float = 30.0
    real_games: int = 2
    device: Device = "auto"
    runtime: Runtime = "auto"
    marks: Marks = MARKS

    def __post_init__(self) -> None:
        check_int("port", self.port, 0, 65535)
        check_int("limit", self.limit, 1, 256)
        check_number("idle", self.idle, 1, 86_400)
        check_number("clip", self.clip, 1, 600)
        check_int("real_games", self.real_games, 0, 64)
        for name in self.allow_host:
            if NAME.fullmatch(name) is None:
                raise WorldsimError(
                    f"allow_host has {shown(name)}; give names without http:// and port, such as play.example.org."
                )
        token = os.environ.get(TOKEN, "")
        if token and (len(token) < SHORTEST_TOKEN or not re.fullmatch(r"[\w.~-]+", token, re.ASCII)):
            raise WorldsimError(
                f"{TOKEN} has {len(token)} characters or odd ones; give at least {SHORTEST_TOKEN} letters, digits or any of _.~-"
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a name or an address without a port is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
