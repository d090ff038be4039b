"""A virtual screen (Xvfb) whose pixels lie in memory and whose keyboard is ours (XTEST). Linux and X11 only."""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import DisplayError, WorldsimError, shown

SIZE = (1280, 960)
HEADER = struct.Struct(">25I")  # of an X window dump, version 7; colours follow
INSTALL = "on Debian or Ubuntu: sudo apt install xvfb libxtst6"


def check_display() -> None:
    """Raises `DisplayError` unless a virtual screen can be had here."""
    if sys.platform != "linux":
        raise DisplayError("a virtual screen needs Linux with Xvfb.")
    missing = [] if shutil.which("Xvfb") else ["Xvfb"]
    missing += [f"lib{name}" for name in ("X11", "Xtst") if ctypes.util.find_library(name) is None]
    if missing:
        raise DisplayError(f"{', '.join(missing)} not found; {INSTALL}.")


def no_end() -> int:
    """Of players of whom no more than the screen is known."""
    return 0


@dataclass(frozen=True)
class Watch:
    """How a player on a screen is watched.

    Attributes:
        alive: raises once it has ended.
        ends: of episodes, so far; None while one is over and the next has not begun.
    """

    alive: Callable[[], None]
    ends: Callable[[], int | None] = no_end


class VirtualScreen:
    """A screen of its own; see `virtual_screen`.

    Attributes:
        environment: variables of programs that shall open their windows on it.
        pixels: what is on it now, uint8 `(H, W, 4)`, blue first; a view of the server's memory.
    """

    def __init__(self, display: str, pixels: NDArray[np.uint8]) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY")}
        self.environment = {**kept, "DISPLAY": display, "SDL_AUDIODRIVER": "dummy"}
        self.pixels = pixels
        self._x, self._xtest = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XStringToKeysym.restype = ctypes.c_ulong
        self._server = ctypes.c_void_p(self._x.XOpenDisplay(display.encode()))

    def key(self, name: str, down: bool) -> None:
        """Presses or releases a key, as a keyboard would.

        Args:
            name: as in a `ControlSpec`, such as "a", "left" or "space"; or as X names it, such as "F1".

        Raises:
            WorldsimError: if the keyboard has no such key.
        """
        symbols = (self._x.XStringToKeysym(text.encode()) for text in (name, name.title()))
        codes = (self._x.XKeysymToKeycode(self._server, ctypes.c_ulong(symbol)) for symbol in symbols if symbol)
        code = next(filter(None, codes), 0)
        if not code:
            raise WorldsimError(f"key was {shown(name)}, which this keyboard has not; give a letter, digit, arrow or space.")
        self._xtest.XTestFakeKeyEvent(self._server, ctypes.c_uint(code), ctypes.c_int(down), ctypes.c_ulong(0))
        self._x.XFlush(self._server)

    def close(self) -> None:
        self._x.XCloseDisplay(self._server)


@contextmanager
def virtual_screen(size: tuple[int, int] = SIZE) -> Iterator[VirtualScreen]:
    """Starts an X server that draws into a file in memory, and ends it.

    Raises:
        DisplayError: if a program or library is missing, or the server does not start.
    """
    check_display()
    read, write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        screen = ["-screen", "0", f"{size[0]}x{size[1]}x24", "-fbdir", folder]
        command = ["Xvfb", "-displayfd", str(write), *screen, "-nolisten", "tcp", "-noreset"]
        server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        try:
            with os.fdopen(read) as pipe:
                number = pipe.readline().strip()
            if not number:
                raise DisplayError("Xvfb did not start; try: Xvfb :99")
            opened = VirtualScreen(f":{number}", _framebuffer(Path(folder) / "Xvfb_screen0"))
            try:
                yield opened
            finally:
                opened.close()
        finally:
            server.terminate()
            server.wait()


def _framebuffer(path: Path) -> NDArray[np.uint8]:
    """Pixels of the window dump that Xvfb keeps up to date at `path`."""
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    header = HEADER.unpack_from(memory)
    width, height, line, colours = header[4], header[5], header[12], header[19]
    begin = header[0] + 12 * colours
    rows = np.frombuffer(memory, np.uint8, height * line, begin).reshape(height, line)
    return rows[:, : 4 * width].reshape(height, width, 4)
