"""The state of a recording, on the screen: a small window beside the one that is recorded."""

from __future__ import annotations

import os
from typing import Any

from Xlib import X, display

from worldsim.capture.backend import Region

SIZE, MARGIN = (360, 22), 2
INK, PAPER = (235, 235, 235), (24, 24, 24)


class Overlay:
    """A window that no window manager touches and that never takes the focus. It is shown above or below the one that is
    recorded; where there is no room, inside it, but not while it is being recorded.

    Args:
        server: connection to the display.
    """

    def __init__(self, server: display.Display) -> None:
        self._server, self._screen = server, server.screen()
        self._window = self._screen.root.create_window(
            0, 0, *SIZE, 0, self._screen.root_depth, override_redirect=True, background_pixel=self._screen.black_pixel
        )
        self._context = self._window.create_gc()
        self._mapped = False

    def show(self, text: str, colour: tuple[int, int, int], region: Region | None, *, hidden_inside: bool) -> None:
        """Shows a line of text after a dot of that colour.

        Args:
            text: to show.
            colour: RGB of the dot.
            region: of the recorded window; None hides.
            hidden_inside: whether not to be shown where only its own area has room.
        """
        place = None if region is None else self._place(region, not hidden_inside)
        if place is None:
            self.hide()
            return
        self._window.configure(x=place[0], y=place[1], stack_mode=X.Above)
        if not self._mapped:
            self._window.map()
            self._mapped = True
        self._window.put_image(self._context, 0, 0, *SIZE, X.ZPixmap, self._screen.root_depth, 0, _draw(text, colour))
        self._server.flush()

    def hide(self) -> None:
        if self._mapped:
            self._window.unmap()
            self._mapped = False
            self._server.sync()

    def close(self) -> None:
        self._window.destroy()
        self._server.sync()

    def _place(self, region: Region, inside: bool) -> tuple[int, int] | None:
        width, height = SIZE
        left = min(max(0, region.left), max(0, self._screen.width_in_pixels - width))
        above, below = region.top - height - MARGIN, region.top + region.height + MARGIN
        if above >= 0:
            return left, above
        if below + height <= self._screen.height_in_pixels:
            return left, below
        return (region.left, region.top) if inside else None


def _draw(text: str, colour: tuple[int, int, int]) -> bytes:
    """The line as pixels, 4 bytes each, blue first."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import pygame

    pygame.font.init()
    surface: Any = pygame.Surface(SIZE, depth=32)
    surface.fill(PAPER)
    pygame.draw.circle(surface, colour, (SIZE[1] // 2, SIZE[1] // 2), 6)
    surface.blit(pygame.font.Font(None, 18).render(text, True, INK), (SIZE[1] + 2, 5))
    return pygame.image.tobytes(surface, "BGRA")
