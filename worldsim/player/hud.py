"""Text over the frames: figures, help, messages. Every box fits the window, and none covers another."""

from __future__ import annotations

from collections.abc import Sequence

import pygame

INK, SHADE = (235, 235, 235), (0, 0, 0, 200)
SMALLEST, LARGEST = 8, 30  # font sizes in pixels
FONTS = "dejavusansmono,liberationmono,couriernew,menlo,consolas"


class Hud:
    """Draws boxes of text in a fixed-width font. Begin each picture with `clear`."""

    def __init__(self) -> None:
        pygame.font.init()
        self._path = pygame.font.match_font(FONTS)
        self._fonts: dict[int, pygame.font.Font] = {}
        self._taken: list[pygame.Rect] = []
        self._top = 0

    def clear(self, top: int = 0) -> None:
        """Nothing is drawn yet, and nothing goes into the uppermost pixels, where headings are."""
        self._taken, self._top = [], top

    def text_size(self, window: tuple[int, int]) -> int:
        """Font size for a window of `(width, height)` pixels."""
        width, height = window
        return min(LARGEST, max(SMALLEST, min(width // 45, height // 26)))

    def header(self, window: tuple[int, int]) -> int:
        """Height of a heading in a window of `(width, height)` pixels."""
        return self._font(self.text_size(window)).get_linesize() + 4

    def line(self, window: tuple[int, int], text: str, ink: tuple[int, int, int]) -> pygame.Surface:
        """A picture of one line of text, for a window of `(width, height)` pixels."""
        return self._font(self.text_size(window)).render(text, True, ink)

    def figures(self, screen: pygame.Surface, lines: Sequence[str]) -> None:
        """Lines in the top left corner."""
        self._box(screen, lines, "topleft")

    def message(self, screen: pygame.Surface, text: str) -> None:
        """A sentence at the bottom, wrapped to the window's width."""
        font = self._font(self.text_size(screen.get_size()))
        self._box(screen, wrap(text, font, screen.get_width() - 4 * font.get_height()), "midbottom")

    def help(self, screen: pygame.Surface, rows: Sequence[tuple[str, str]]) -> bool:
        """Two columns, keys and what they do, in the top right corner; smaller where there is less room.

        Returns:
            Whether there was room for it.
        """
        width = max(len(key) for key, _ in rows)
        lines = [f"{key.ljust(width)}  {meaning}" for key, meaning in rows]
        return self._box(screen, lines, "topright")

    def heading(self, screen: pygame.Surface, text: str, area: pygame.Rect) -> None:
        """A line above a frame, as much of it as is no wider than the frame."""
        font = self._font(self.text_size(screen.get_size()))
        while len(text) > 1 and font.size(text)[0] > area.width:
            text = text[:-1]
        picture = font.render(text, True, INK)
        screen.blit(picture, picture.get_rect(midbottom=(area.centerx, area.top - 2)))

    def _box(self, screen: pygame.Surface, lines: Sequence[str], place: str) -> bool:
        """Draws a box where nothing else is, in the largest font with which that goes.

        A box for which there is no room even with the smallest is left out, and False returned.
        """
        for size in range(self.text_size(screen.get_size()), SMALLEST - 1, -1):
            font = self._font(size)
            pad, height = font.get_height() // 2, font.get_linesize()
            box = pygame.Rect(0, 0, max(font.size(line)[0] for line in lines) + 2 * pad, height * len(lines) + pad)
            left, top = pad, max(pad, self._top)
            area = pygame.Rect(left, top, screen.get_width() - 2 * left, screen.get_height() - top - pad)
            setattr(box, place, getattr(area, place))
            if area.contains(box) and box.collidelist(self._taken) < 0:
                self._draw(screen, lines, font, box)
                return True
        return False

    def _draw(self, screen: pygame.Surface, lines: Sequence[str], font: pygame.font.Font, box: pygame.Rect) -> None:
        pad, height = font.get_height() // 2, font.get_linesize()
        shade = pygame.Surface(box.size, pygame.SRCALPHA)
        shade.fill(SHADE)
        for i, line in enumerate(lines):
            shade.blit(font.render(line, True, INK), (pad, pad // 2 + i * height))
        screen.blit(shade, box)
        self._taken.append(box)

    def _font(self, size: int) -> pygame.font.Font:
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(self._path, size)
        return self._fonts[size]


def wrap(text: str, font: pygame.font.Font, width: int) -> list[str]:
    """The text in lines no wider than `width` pixels; words that are too long alone are split."""
    lines, letters = [""], max(1, width // max(1, font.size("m")[0]))
    for word in text.split():
        parts = [word[i : i + letters] for i in range(0, len(word), letters)]
        for part in parts:
            if lines[-1] and len(lines[-1]) + 1 + len(part) > letters:
                lines.append("")
            lines[-1] = f"{lines[-1]} {part}".strip()
    return lines
