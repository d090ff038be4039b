"""What `worldsim capture` records. Importing this loads nothing heavy."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from worldsim.controls import BUTTON_NAMES, KEY_NAMES, ControlSpec
from worldsim.errors import DataError, check_int, check_number, shown, suggest

DEGREES_PER_PIXEL = 0.15  # of mouse motion, as in Minecraft's recordings
HOTKEYS = tuple(f"f{number}" for number in range(1, 13))
TILE = 16  # sides of frames are multiples of it
MOST_TILES = 40  # of a frame, where its size is not given


@dataclass(frozen=True)
class CaptureConfig:
    """The window, what is recorded of it, and where.

    Attributes:
        window: part of the window's title.
        out: folder of the dataset; by default data/ and the title.
        game: name of the game in the dataset; by default capture/ and the title.
        fps: frames per second.
        size: height and width of a frame in pixels, multiples of 16; by default as the window's shape asks, at most 40 tiles of
            16x16.
        keys: keys that are recorded, by their position on a US keyboard.
        buttons: mouse buttons that are recorded.
        mouse: largest mouse motion that is recorded, in degrees per frame and axis; 0 records none. A pixel is 0.15 degrees.
        hotkey: starts and stops an episode, f1 to f12; the program gets it too.
        now: start at once, without the hotkey.
        seconds: stop after so many recorded ones; 0 for never.
        episode_seconds: an episode is saved, and the next begun, after so many.
        eval_share: share of the frames to hold out as the split "eval", in whole episodes.
        lossless: store frames bit for bit.
        calibrate: measure the delay between input and picture, by pressing a key, and keep it in the dataset.
        presses: how many, while calibrating.
        press: keys to press in turn while calibrating; by default the first of those recorded.
        delay_ms: delay to shift out; by default the one measured.
    """

    window: str
    out: Path | None = None
    game: str | None = None
    fps: float = 15.0
    size: tuple[int, int] | None = None
    keys: tuple[str, ...] = ("w", "a", "s", "d", "space", "shift")
    buttons: tuple[str, ...] = ("left", "right")
    mouse: float = 45.0
    hotkey: str = "f9"
    now: bool = False
    seconds: float = 0.0
    episode_seconds: float = 120.0
    eval_share: float = 0.0
    lossless: bool = False
    calibrate: bool = False
    presses: int = 20
    press: tuple[str, ...] = ()
    delay_ms: float | None = None

    def __post_init__(self) -> None:
        if not self.window.strip():
            raise DataError("window was empty; give a part of the window's title.")
        for name, given, allowed in (
            ("keys", self.keys, KEY_NAMES),
            ("press", self.press, KEY_NAMES),
            ("buttons", self.buttons, BUTTON_NAMES),
        ):
            for one in given:
                if one not in allowed:
                    raise DataError(f"{name} held {shown(one)}; allowed: {', '.join(allowed)}.{suggest(one, allowed)}")
        if self.hotkey not in HOTKEYS:
            raise DataError(f"hotkey was {shown(self.hotkey)}; give f1 to f12.")
        if self.calibrate and not (self.press or self.keys):
            raise DataError("keys was empty; calibrating presses a key: give one as --press.")
        if self.size is not None and any(side < TILE or side % TILE for side in self.size):
            raise DataError(f"size was {self.size}; give height and width in pixels, multiples of {TILE}.")
        check_number("fps", self.fps, 1, 120, error=DataError)
        check_number("mouse", self.mouse, 0, 360, error=DataError)
        check_number("seconds", self.seconds, 0, math.inf, error=DataError)
        check_number("episode_seconds", self.episode_seconds, 1, 3600, error=DataError)
        check_number("eval_share", self.eval_share, 0, 0.9, error=DataError)
        check_int("presses", self.presses, 4, 1000, DataError)
        if self.delay_ms is not None:
            check_number("delay_ms", self.delay_ms, 0, 2000, error=DataError)
        _ = self.spec  # raises where keys are given twice

    @property
    def spec(self) -> ControlSpec:
        """The controls that are recorded."""
        return ControlSpec(keys=self.keys, mouse_limit=(self.mouse, self.mouse), buttons=self.buttons)

    @property
    def slug(self) -> str:
        """The title as a name for files."""
        return re.sub(r"[^a-z0-9]+", "-", self.window.lower()).strip("-") or "window"

    @property
    def folder(self) -> Path:
        """Where the dataset is."""
        return self.out or Path("data") / self.slug


def choose_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a frame for a window of that size: its shape as nearly as 24 to 40 tiles allow, then many tiles."""

    def badness(rows: int, columns: int) -> tuple[float, int]:
        return round(abs(math.log(columns / rows * height / width)), 2), -rows * columns

    grids = [(r, c) for r in range(1, MOST_TILES + 1) for c in range(1, MOST_TILES + 1) if 24 <= r * c <= MOST_TILES]
    rows, columns = min(grids, key=lambda grid: badness(*grid))
    return rows * TILE, columns * TILE
