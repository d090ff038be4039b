"""Held keys, mouse buttons and mouse motion as a picture, a strip to put below a frame."""

from __future__ import annotations

import numpy as np
import pygame
from numpy.typing import NDArray

from worldsim.controls import ControlSpec

DARK, EDGE, LIT, INK, LIT_INK = (24, 24, 28), (90, 90, 98), (250, 190, 60), (150, 150, 158), (20, 20, 20)
SMALLEST, LARGEST = 12, 30  # font sizes in pixels
SHORT = {"mouse.left": "LMB", "mouse.middle": "MMB", "mouse.right": "RMB", "escape": "esc", "backspace": "back"}


class Overlay:
    """Draws the controls of a spec as caps in one or more lines, and the mouse's motion as a line from the
    middle of a dial.

    Args:
        spec: of the controls.
        width: of the strip in pixels.

    Attributes:
        height: of the strip in pixels, an even number.
    """

    def __init__(self, spec: ControlSpec, width: int) -> None:
        pygame.font.init()
        self._spec, self._width = spec, width
        size = min(LARGEST, max(SMALLEST, width // 24))
        self._font, self._gap = pygame.font.Font(None, size), size // 3
        cap = size + self._gap
        self.boxes: dict[str, pygame.Rect] = {}  # where each control is drawn; the dial's name is "mouse"
        x = y = self._gap
        names = [name for name in spec.names if name not in ("mouse.dx", "mouse.dy")]
        for name in [*names, *(["mouse"] if spec.has_mouse else [])]:
            text = self._font.size(SHORT.get(name, name))[0] + 2 * self._gap
            wide = 2 * cap if name == "mouse" else max(cap, text)
            if x > self._gap and x + wide + self._gap > width:
                x, y = self._gap, y + cap + self._gap
            self.boxes[name] = pygame.Rect(x, y, wide, wide if name == "mouse" else cap)
            x += wide + self._gap
        bottom = max((box.bottom for box in self.boxes.values()), default=0) + self._gap
        self.height = bottom + bottom % 2

    def draw(self, vector: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The strip for a control vector `(A,)`: uint8 RGB `(height, width, 3)`."""
        strip = pygame.Surface((self._width, self.height))
        strip.fill(DARK)
        values = dict(zip(self._spec.names, vector, strict=True))
        for name, box in self.boxes.items():
            if name == "mouse":
                self._dial(strip, box, values)
                continue
            held = values[name] >= 0.5
            pygame.draw.rect(strip, LIT if held else EDGE, box, 0 if held else 1, border_radius=3)
            text = self._font.render(SHORT.get(name, name), True, LIT_INK if held else INK)
            strip.blit(text, text.get_rect(center=box.center))
        return np.ascontiguousarray(pygame.surfarray.array3d(strip).transpose(1, 0, 2))

    def _dial(self, strip: pygame.Surface, box: pygame.Rect, values: dict[str, np.float32]) -> None:
        pygame.draw.circle(strip, EDGE, box.center, box.width // 2, 1)
        limits = [limit or 1.0 for limit in self._spec.mouse_limit]
        shares = np.array([values["mouse.dx"] / limits[0], values["mouse.dy"] / limits[1]], np.float64)
        length = float(np.abs(shares).max())
        if length:  # the square root makes small motions visible
            end = np.array(box.center) + shares / length * min(length, 1.0) ** 0.5 * (box.width // 2 - 2)
            pygame.draw.line(strip, LIT, box.center, end.round().astype(int).tolist(), 3)
