"""What is drawn over the frame: figures, help, messages."""

from __future__ import annotations

from collections.abc import Sequence

import pygame

INK, SHADE = (235, 235, 235), (0, 0, 0, 150)
HELP = (
    ("R", "another start"),
    ("P", "pause"),
    ("N", "one frame while paused"),
    ("[ ]", "fewer, more sampler steps"),
    ("Tab", "dream, real, side by side"),
    ("F1", "help and figures"),
    ("F2", "record to a dataset"),
    ("F12", "screenshot"),
    ("Esc", "let the mouse go, then quit"),
)


class Hud:
    """Draws text on the window; sizes follow the window's height."""

    def __init__(self) -> None:
        pygame.font.init()
        self._fonts: dict[int, pygame.font.Font] = {}

    def corner(self, screen: pygame.Surface, lines: Sequence[str]) -> None:
        """Small lines in the top left corner."""
        self._box(screen, lines, "topleft")

    def message(self, screen: pygame.Surface, text: str) -> None:
        """One line at the bottom."""
        self._box(screen, [text], "midbottom")

    def help(self, screen: pygame.Surface, controls: Sequence[tuple[str, str]]) -> None:
        """Keys of the game and of the player, in the top right corner."""
        rows = [*controls, *HELP]
        width = max(len(key) for key, _ in rows)
        self._box(screen, [f"{key.ljust(width)}   {meaning}" for key, meaning in rows], "topright")

    def label(self, screen: pygame.Surface, text: str, centre: int, top: int) -> None:
        """A heading above one half of the window."""
        picture = self._font(screen).render(text, True, INK)
        screen.blit(picture, picture.get_rect(midtop=(centre, top)))

    def _box(self, screen: pygame.Surface, lines: Sequence[str], place: str) -> None:
        font = self._font(screen)
        pictures = [font.render(line, True, INK) for line in lines]
        pad, height = font.get_height() // 2, font.get_linesize()
        size = max(picture.get_width() for picture in pictures) + 2 * pad, height * len(pictures) + pad
        box = pygame.Surface(size, pygame.SRCALPHA)
        box.fill(SHADE)
        for i, picture in enumerate(pictures):
            box.blit(picture, (pad, pad // 2 + i * height))
        area = screen.get_rect().inflate(-2 * pad, -2 * pad)
        where = box.get_rect()
        setattr(where, place, getattr(area, place))
        screen.blit(box, where)

    def _font(self, screen: pygame.Surface) -> pygame.font.Font:
        size = max(14, screen.get_height() // 32)
        if size not in self._fonts:
            names = "dejavusansmono,liberationmono,couriernew,menlo,consolas"
            path = pygame.font.match_font(names)
            self._fonts[size] = pygame.font.Font(path, size if path is None else int(size * 0.85))
        return self._fonts[size]


def integer_fit(frame: tuple[int, int], area: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Largest whole zoom at which a frame `(width, height)` fits an area, at least 1, and its top left corner when centred."""
    zoom = max(1, min(area[0] // frame[0], area[1] // frame[1]))
    return zoom, ((area[0] - zoom * frame[0]) // 2, (area[1] - zoom * frame[1]) // 2)
