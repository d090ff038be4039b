"""A plain window that shows frames, for `render_mode="human"`."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import DisplayError

ZOOM = 6
INVISIBLE = ("offscreen", "dummy")  # SDL's drivers that draw into memory


def open_display(otherwise: str) -> None:
    """Initialises pygame's display, and makes sure that somebody can see it.

    Without a display, or with a stale `DISPLAY`, SDL falls back to a driver that draws into memory, and says nothing.
    Whoever wants such a driver names it in `SDL_VIDEODRIVER`.

    Args:
        otherwise: what to do without a display, as the end of a sentence.

    Raises:
        DisplayError: if no window can open.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import pygame

    _load_triton()
    try:
        pygame.display.init()
    except pygame.error as error:
        raise DisplayError(f"no window can open ({error}); without a display, {otherwise}") from error
    driver = pygame.display.get_driver()
    if driver in INVISIBLE and driver not in os.environ.get("SDL_VIDEODRIVER", "").split(","):
        pygame.display.quit()
        given = ", ".join(f"{name}={os.environ[name]}" for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name))
        found = f"the display at {given} does not answer" if given else "there is no display to open a window on"
        raise DisplayError(f"{found}; without a display, {otherwise}")


def has_display() -> bool:
    """Whether a window can open here."""
    try:
        open_display("")
    except DisplayError:
        return False
    import pygame

    pygame.display.quit()
    return True


def _load_triton() -> None:
    """Loads Triton, which torch may need later, before a window loads the graphics driver.

    Both bring an LLVM of their own. Triton crashes the process when it comes second, as with Mesa's drivers.
    """
    with suppress(ImportError):  # not on every platform
        importlib.import_module("triton")


class Screen:
    """A window of its own, which opens with the first frame and keeps to the rate.

    A window that the user closes stays closed, and frames are shown no more.

    Args:
        fps: frames per second.
    """

    _open: ClassVar[WeakSet[Screen]] = WeakSet()

    def __init__(self, fps: int) -> None:
        self.fps = fps
        self.closed_by_user = False
        self._window: Any = None
        self._clock: Any = None

    def show(self, frame: NDArray[np.uint8]) -> None:
        """Shows a frame, uint8 `(H, W, 3)`.

        Raises:
            DisplayError: if no window can open.
        """
        if self._window is None and not self.closed_by_user:
            open_display("use render_mode='rgb_array'.")
        import pygame

        try:
            if pygame.display.get_init():
                _close_unwanted()
            if self.closed_by_user:
                return
            if self._window is None:
                self._window = pygame.Window("worldsim", (frame.shape[1] * ZOOM, frame.shape[0] * ZOOM))
                self._clock = pygame.time.Clock()
                self._open.add(self)
            surface = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
            self._window.get_surface().blit(pygame.transform.scale_by(surface, ZOOM), (0, 0))
            self._window.flip()
        except pygame.error as error:
            raise DisplayError(f"no window can open ({error}); without a display, use render_mode='rgb_array'.") from error
        self._clock.tick(self.fps)

    def close(self) -> None:
        """Closes the window, and leaves all others open; calling it again does nothing."""
        if self._window is None:
            return
        import pygame

        self._window.destroy()
        self._window = None
        self._open.discard(self)
        if not self._open and pygame.display.get_init() and pygame.display.get_surface() is None:
            pygame.display.quit()

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles open a window of their own."""
        return {**self.__dict__, "_window": None, "_clock": None}


def _close_unwanted() -> None:
    """Closes the windows whose X was clicked."""
    import pygame

    pygame.event.pump()
    pygame.event.clear(pygame.MOUSEMOTION)  # nobody else takes them, and a full queue would lose the clicks
    clicked = [event.window for event in pygame.event.get(pygame.WINDOWCLOSE)]
    for screen in list(Screen._open):
        if screen._window in clicked:
            screen.closed_by_user = True
            screen.close()
