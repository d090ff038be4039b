"""A plain window that shows frames, for `render_mode="human"`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import DisplayError

ZOOM = 6


class Screen:
    """Opens with the first frame, and keeps to the rate.

    Args:
        fps: frames per second.
    """

    def __init__(self, fps: int) -> None:
        self.fps = fps
        self._window: Any = None
        self._clock: Any = None

    def show(self, frame: NDArray[np.uint8]) -> None:
        """Shows a frame, uint8 `(H, W, 3)`.

        Raises:
            DisplayError: if no window can open.
        """
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        try:
            if self._window is None:
                pygame.display.init()
                self._window = pygame.display.set_mode((frame.shape[1] * ZOOM, frame.shape[0] * ZOOM))
                self._clock = pygame.time.Clock()
            pygame.event.pump()
            surface = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
            self._window.blit(pygame.transform.scale_by(surface, ZOOM), (0, 0))
            pygame.display.flip()
        except pygame.error as error:
            raise DisplayError(f"no window can open ({error}); without a display, use render_mode='rgb_array'.") from error
        self._clock.tick(self.fps)

    def close(self) -> None:
        """Closes the window; calling it again does nothing."""
        if self._window is not None:
            import pygame

            pygame.display.quit()
            self._window = None
