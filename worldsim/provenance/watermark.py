"""An invisible watermark: 32 bits in the low spatial frequencies of every frame.

A frame's brightness is written as a sum of cosines. Of these, 400 that are neither too coarse nor too fine are shared out,
in an order that depends on a key, among 64 bits: 32 of a payload and 32 that are always the same. The frame's projection on the
cosines of a bit is moved to the nearest point of one of two interleaved grids, which stand for 0 and 1: quantisation index
modulation with spread transform (Chen and Wornell, "Quantization index modulation", 2001). So what the frame shows
does not disturb the bits, however strong it is. The cosines are counted per height and width of the frame, so that a resized one
is read in the same way.

The bits that are always the same tell whether there is a watermark at all: in other pictures each of them is right by chance in
half of the cases. The key is public: whoever knows this file can read, forge and remove the watermark. It tells honest people
where a clip comes from; it does not stop others.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

KEY = "worldsim"
BITS = 32  # of the payload, and as many that are always the same
LOWEST, HIGHEST = 4, 24  # half cycles per height and width of the cosines used
GRID = 0.5  # distance between two points of a grid, in levels of brightness of 255, as a root mean square over the frame
SMALLEST = 32  # pixels along a side, below which a frame is left as it is
PASSES = 4  # over a frame, in which what was lost to rounding and to black and white is put in again
SURE = 1e-6  # a watermark counts as found below this probability that chance agrees as well
TILES = 64  # frames side by side in a film strip, at most
SHAPES = 0.4, 2.5  # width by height of frames that are looked for in a film strip
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of video, ITU-R BT.601


@dataclass(frozen=True)
class Found:
    """What was read from pictures.

    Attributes:
        payload: 32 bits.
        agreeing: how many of the bits that are always the same were read right.
        p: probability that chance alone agrees as well in any of the places that were looked at.
        confidence: mean distance of the bits from being undecided, 0 to 1.
    """

    payload: int
    agreeing: int
    p: float
    confidence: float

    @property
    def sure(self) -> bool:
        """Whether there is a watermark."""
        return self.p < SURE


def embed(frame: NDArray[np.uint8], payload: int, key: str = KEY) -> NDArray[np.uint8]:
    """A frame with a watermark.

    Args:
        frame: uint8 RGB `(H, W, 3)`; one with a side below 32 pixels is given back as it is.
        payload: 0 to 2**32 - 1.
        key: whoever reads the watermark has to know it.

    Returns:
        uint8 `(H, W, 3)`.
    """
    height, width, _ = frame.shape
    if min(height, width) < SMALLEST:
        return frame
    code, bits = _code(key), _bits(payload, key)
    rows, columns = _cosines(height), _cosines(width)
    pixels = frame.astype(np.float32)
    marked = pixels
    for _ in range(PASSES):
        seen = _projections(np.clip(np.rint(marked), 0, 255), code)
        shift = _to_grid(seen, code.dither, bits)
        if not shift.any():
            break
        change = np.zeros((HIGHEST, HIGHEST), np.float32)
        np.add.at(change, (code.u, code.v), code.signs * shift[code.bit] / np.sqrt(code.counts)[code.bit])
        marked = marked + (rows.T @ (change / _gains(height, width)) @ columns)[..., None]
    return np.clip(np.rint(marked), 0, 255).astype(np.uint8)


def find(frames: Iterable[NDArray[np.uint8]], key: str = KEY) -> Found:
    """Looks for a watermark in frames that belong together, such as those of a clip.

    Args:
        frames: uint8 RGB `(H, W, 3)` each. A wide picture is also looked at as a film strip: frames from left to right.
        key: that it was made with.
    """
    sums: dict[int, NDArray[np.float64]] = {}
    read: dict[int, int] = {}
    code = _code(key)
    for frame in frames:
        for tiles in _tilings(*frame.shape[:2]):
            for tile in _split(frame, tiles):
                phase = 2 * np.pi * (_projections(tile.astype(np.float32), code) - code.dither) / GRID
                sums[tiles] = sums.get(tiles, 0.0) + np.cos(phase)
                read[tiles] = read.get(tiles, 0) + 1
    if not sums:
        return Found(0, 0, 1.0, 0.0)
    return min((_decide(total / read[tiles], len(sums), key) for tiles, total in sums.items()), key=lambda found: found.p)


@dataclass(frozen=True)
class _Code:
    """Which cosines carry which bit: `u`, `v`, `bit` and `signs` of each cosine, `counts` and `dither` of each bit."""

    u: NDArray[np.intp]
    v: NDArray[np.intp]
    bit: NDArray[np.intp]
    signs: NDArray[np.float32]
    counts: NDArray[np.float32]
    dither: NDArray[np.float32]
    pilot: NDArray[np.bool_]


@lru_cache(maxsize=8)
def _code(key: str) -> _Code:
    """Drawn from a hash of the key, so that it is the same for ever."""
    span, total = HIGHEST - LOWEST, 2 * BITS
    drawn = np.frombuffer(hashlib.shake_256(key.encode()).digest(4 * (2 * span * span + 2 * total)), "<u4")
    order, signs, dither, pilot = np.split(drawn, np.cumsum([span * span, span * span, total]))
    place = np.argsort(order, kind="stable")
    bit = np.arange(span * span) % total
    return _Code(
        u=place // span + LOWEST,
        v=place % span + LOWEST,
        bit=bit,
        signs=np.where(signs & 1, 1, -1).astype(np.float32),
        counts=np.bincount(bit).astype(np.float32),
        dither=(GRID * (dither / 2**32)).astype(np.float32),
        pilot=(pilot[:BITS] & 1).astype(bool),
    )


def _bits(payload: int, key: str) -> NDArray[np.bool_]:
    """The payload, highest bit first, and then the bits that are always the same."""
    return np.concatenate([[(payload >> i) & 1 for i in reversed(range(BITS))], _code(key).pilot]).astype(bool)


def _decide(mean: NDArray[np.float64], looks: int, key: str) -> Found:
    """What mean cosines `(64,)` say, after looking at so many divisions of the picture."""
    bits = mean < 0
    agreeing = int((bits[BITS:] == _code(key).pilot).sum())
    chance = sum(math.comb(BITS, k) for k in range(agreeing, BITS + 1)) / 2**BITS
    payload = int("".join("01"[int(bit)] for bit in bits[:BITS]), 2)
    return Found(payload, agreeing, min(1.0, looks * chance), float(np.abs(mean).mean()))


def _to_grid(seen: NDArray[np.float32], dither: NDArray[np.float32], bits: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How far each projection is from the nearest point of the grid of its bit; 0 where it is near enough."""
    points = dither + np.where(bits, GRID / 2, 0)
    shift = points + GRID * np.rint((seen - points) / GRID) - seen
    return np.where(np.abs(shift) < GRID / 50, 0, shift).astype(np.float32)


def _projections(pixels: NDArray[np.float32], code: _Code) -> NDArray[np.float32]:
    """Of the brightness of a frame `(H, W, 3)` on the cosines of each bit, `(64,)`."""
    height, width, _ = pixels.shape
    amounts = _gains(height, width) * (_cosines(height) @ (pixels @ LUMA) @ _cosines(width).T) / (height * width)
    signed = code.signs * amounts[code.u, code.v]
    return (np.bincount(code.bit, signed) / np.sqrt(code.counts)).astype(np.float32)


@lru_cache(maxsize=64)
def _cosines(size: int) -> NDArray[np.float32]:
    """`(HIGHEST, size)`; each row has a mean square of 1."""
    angle = np.pi * np.arange(HIGHEST)[:, None] * (np.arange(size) + 0.5) / size
    return (np.sqrt(2) * np.cos(angle)).astype(np.float32)


@lru_cache(maxsize=64)
def _gains(height: int, width: int) -> NDArray[np.float32]:
    """Turns sums over pixels into integrals over squares of their size, which do not change when pixels are repeated."""
    half = np.arange(HIGHEST) / 2
    gains: NDArray[np.float64] = np.outer(np.sinc(half / height), np.sinc(half / width))
    return gains.astype(np.float32)


def _tilings(height: int, width: int) -> Iterator[int]:
    """Into how many frames side by side a picture may be divided: 1, and for a film strip all that give usual shapes."""
    if min(height, width) < SMALLEST // 2:
        return
    yield 1
    for tiles in range(2, TILES + 1):
        if SHAPES[0] <= width / tiles / height <= SHAPES[1] and width / height > SHAPES[1]:
            yield tiles


def _split(frame: NDArray[np.uint8], tiles: int) -> Iterator[NDArray[np.uint8]]:
    edges = np.rint(np.linspace(0, frame.shape[1], tiles + 1)).astype(int)
    for left, right in pairwise(edges.tolist()):
        yield frame[:, left:right]
