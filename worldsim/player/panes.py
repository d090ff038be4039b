"""Frames in the window: where each goes, how large, and the picture without anything written over it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pygame
from numpy.typing import NDArray

GAP = 12  # pixels between two frames
BACKGROUND = (12, 12, 12)


@dataclass(frozen=True)
class Place:
    """Where a frame is shown: in the rectangle `area`, `zoom` times as large as it is."""

    zoom: float
    area: pygame.Rect


def fit_zoom(frame: tuple[int, int], area: tuple[int, int]) -> float:
    """Largest zoom at which a frame `(width, height)` fits an area.

    It is a whole number, at which pixels are equal squares, unless a tenth of the size would be lost by that.
    """
    zoom = min(area[0] / frame[0], area[1] / frame[1])
    return float(int(zoom)) if zoom < 1.1 * int(zoom) else max(zoom, 1 / max(frame))


def arrange(frame: tuple[int, int], count: int, window: tuple[int, int], header: int = 0) -> list[Place]:
    """Places for equal frames, beside or below each other, whichever shows them larger; centred as a group.

    Args:
        frame: `(width, height)` of a frame.
        count: frames.
        window: `(width, height)` of the window.
        header: pixels to leave above each frame.
    """
    gaps = GAP * (count - 1)
    beside = fit_zoom(frame, ((window[0] - gaps) // count, window[1] - header))
    below = fit_zoom(frame, (window[0], (window[1] - gaps) // count - header))
    zoom = max(beside, below)
    width, height = max(1, round(frame[0] * zoom)), max(1, round(frame[1] * zoom))
    step = (width + GAP, 0) if beside >= below else (0, height + header + GAP)
    whole = (width + (count - 1) * step[0], height + header + (count - 1) * step[1])
    left, top = (window[0] - whole[0]) // 2, (window[1] - whole[1]) // 2 + header
    return [Place(zoom, pygame.Rect(left + i * step[0], top + i * step[1], width, height)) for i in range(count)]


def window_size(frame: tuple[int, int], count: int, zoom: int, screen: tuple[int, int], header: int = 0) -> tuple[int, int]:
    """Size of a window that shows frames beside each other, or very wide ones below each other.

    Args:
        frame: `(width, height)` of a frame.
        count: frames.
        zoom: wanted; it is smaller where the screen has no room.
        screen: `(width, height)` of the screen.
        header: pixels to leave above each frame.
    """
    across, down = (1, count) if frame[0] > 2 * frame[1] else (count, 1)
    gaps = GAP * (across - 1), GAP * (down - 1) + header * down
    room = (screen[0] - gaps[0]) // across, (screen[1] - gaps[1]) // down
    zoom = max(1, min(zoom, int(fit_zoom(frame, room))))
    width, height = across * frame[0] * zoom + gaps[0], down * frame[1] * zoom + gaps[1]
    return min(width, screen[0]), min(height, screen[1])


def draw_frames(screen: pygame.Surface, frames: Mapping[str, NDArray[np.uint8]], header: int) -> dict[str, pygame.Rect]:
    """Draws frames, uint8 `(H, W, 3)` each, on a dark ground; returns where each is."""
    screen.fill(BACKGROUND)
    height, width, _ = next(iter(frames.values())).shape
    places = arrange((width, height), len(frames), screen.get_size(), header)
    for place, frame in zip(places, frames.values(), strict=True):
        draw_picture(screen, frame, place.area)
    return {name: place.area for name, place in zip(frames, places, strict=True)}


def draw_picture(screen: pygame.Surface, frame: NDArray[np.uint8], area: pygame.Rect) -> None:
    """Draws a frame, uint8 `(H, W, 3)`, over the whole area; its pixels become sharp squares."""
    surface = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
    larger = pygame.transform.scale_by(surface, math.ceil(area.width / surface.get_width()))
    fits = larger if larger.get_size() == area.size else pygame.transform.smoothscale(larger, area.size)
    screen.blit(fits, area)


def take_picture(frames: Mapping[str, NDArray[np.uint8]], window: tuple[int, int]) -> NDArray[np.uint8]:
    """The frames as large as the window shows them, uint8 `(H, W, 3)`, and nothing else."""
    surface = pygame.Surface(window)
    areas = list(draw_frames(surface, frames, 0).values())
    whole = areas[0].unionall(areas[1:]).clip(surface.get_rect())
    return pygame.surfarray.array3d(surface.subsurface(whole)).swapaxes(0, 1)
