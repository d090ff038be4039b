"""What the model will see, and what the controls do, as pictures to look at before anything is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pygame
from numpy.typing import NDArray

from worldsim.controls import Controls
from worldsim.envs.games.any import Picture, Resize, to_rgb
from worldsim.envs.games.infer import Found
from worldsim.envs.games.infer.picture import COARSE, Clip, small_things

GAP, LINE = 6, 18  # pixels between pictures, and of a line of text
GROUND, INK = 24, (235, 235, 235)
ACROSS = 1600  # pixels of a sheet's width, about
MOMENTS = 4


def picture_sheet(found: Found) -> NDArray[np.uint8]:
    """Some moments of random play in columns: the environment's picture with the crop, then every way to resize it.

    The choice is marked. Every frame is enlarged so that single pixels can be seen.
    """
    picture = found.look.picture
    moments = _moments(found.played.clips, picture)
    zoom = max(1, min(ACROSS // (len(moments) * picture.width), 480 // picture.height))
    size = picture.height * zoom, picture.width * zoom
    kept = found.look.kept
    whole = [_fit(_framed(moment, picture), size) for moment in moments]
    rows = [_strip("the environment's picture, and the part that is kept", whole)]
    for way in get_args(Resize):
        mark = "CHOSEN: " if way == picture.resize else ""
        title = f"{mark}{picture.width}x{picture.height}, resize {way}: keeps {kept[way]:.0%} of the smallest thing's contrast"
        rows.append(_strip(title, [_zoom(replace(picture, resize=way)(moment), zoom) for moment in moments]))
    return _stack(rows)


def controls_sheet(found: Found) -> NDArray[np.uint8]:
    """Every control held for ten frames from the same moment, one row each."""
    length = max(len(clip) for _, clip in found.strips)
    picture = found.look.picture
    zoom = max(1, min(ACROSS // (length * picture.width), 240 // picture.height))
    rows = []
    for controls, clip in found.strips:
        rows.append(_strip(f"held: {told(controls, found.wiring.meanings)}", [_zoom(frame, zoom) for frame in clip]))
    return _stack(rows)


def told(controls: Controls, meanings: dict[str, str] | object) -> str:
    """Controls in words."""
    known = dict(meanings) if isinstance(meanings, dict) else {}
    parts = [f"{key} ({known[key]})" if key in known else key for key in sorted(controls.keys)]
    parts += [f"mouse {axis} {way:+g} degrees a frame" for axis, way in zip(("dx", "dy"), controls.mouse, strict=True) if way]
    return ", ".join(parts) or "nothing"


def _moments(clips: Sequence[Clip], picture: Picture) -> list[NDArray[np.uint8]]:
    """Frames in which the smallest things move, otherwise some that lie apart."""
    things = small_things(list(clips), 2.0) if max(clips[0].shape[1:3]) <= COARSE else []
    smallest = sorted(things, key=lambda thing: len(thing.pixels[0]))[: max(MOMENTS, len(things) // 3)]
    frames = [thing.frame for thing in smallest] or [frame for clip in clips for frame in clip[len(clip) // 2 :: 30]]
    places = np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames))).astype(int)
    return [frames[place] for place in places]


def _framed(moment: NDArray[np.uint8], picture: Picture) -> NDArray[np.uint8]:
    """The picture with everything dimmed that the crop cuts off."""
    rgb = to_rgb(moment)
    if picture.crop is None:
        return rgb
    top, left, bottom, right = picture.crop
    out = rgb // 4
    out[top:bottom, left:right] = rgb[top:bottom, left:right]
    return out


def _fit(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image in a box of `(height, width)`, its sides in proportion."""
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    rows, columns = (np.arange(n) * old // n for n, old in zip((height, width), image.shape, strict=False))
    out = np.full((*size, 3), GROUND, np.uint8)
    y, x = (size[0] - height) // 2, (size[1] - width) // 2
    out[y : y + height, x : x + width] = image[rows][:, columns]
    return out


def _zoom(image: NDArray[np.uint8], zoom: int) -> NDArray[np.uint8]:
    return image.repeat(zoom, 0).repeat(zoom, 1)


def _strip(title: str, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images side by side under a line of text."""
    width = sum(image.shape[1] + GAP for image in images) + GAP
    text = _text(title)
    out = np.full((images[0].shape[0] + LINE + GAP, max(width, text.shape[1] + 2 * GAP), 3), GROUND, np.uint8)
    out[: text.shape[0], GAP : GAP + text.shape[1]] = text[:LINE]
    x = GAP
    for image in images:
        out[LINE : LINE + image.shape[0], x : x + image.shape[1]] = image
        x += image.shape[1] + GAP
    return out


def _stack(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((GAP, 0), (0, width - row.shape[1]), (0, 0)), constant_values=GROUND) for row in rows]
    return np.concatenate(padded)


def _text(line: str) -> NDArray[np.uint8]:
    """A line of text, uint8 `(at most LINE, W, 3)`."""
    pygame.font.init()
    surface = pygame.font.Font(None, LINE).render(line, True, INK, (GROUND,) * 3)
    return pygame.surfarray.array3d(surface).transpose(1, 0, 2)[:LINE].astype(np.uint8)
