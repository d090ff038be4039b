"""Pictures of a part of the screen."""

from __future__ import annotations

import time

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from worldsim.capture.backend import INSTALL, Region
from worldsim.errors import DisplayError

try:
    import mss
    from mss.exception import ScreenShotError
except ImportError as error:
    raise DisplayError(f"recording a window needs mss; {INSTALL}.") from error


class Grabber:
    """Takes pictures of the screen and scales them by area.

    Raises:
        DisplayError: if the screen cannot be read; in `grab` too.
    """

    def __init__(self) -> None:
        try:
            self._screen = mss.MSS()
        except ScreenShotError as error:
            raise DisplayError(f"the screen cannot be read: {error}.") from error
        self._reformatter = VideoReformatter()

    def grab(self, region: Region) -> tuple[float, NDArray[np.uint8]]:
        """The time, of `time.monotonic()`, and the pixels there then, uint8 `(height, width, 4)`, blue first."""
        where = {"left": region.left, "top": region.top, "width": region.width, "height": region.height}
        begun = time.monotonic()
        try:
            shot = self._screen.grab(where)
        except ScreenShotError as error:
            raise DisplayError(f"the screen cannot be read: {error}.") from error
        taken = (begun + time.monotonic()) / 2
        return taken, np.frombuffer(shot.raw, np.uint8).reshape(shot.height, shot.width, 4)

    def scale(self, pixels: NDArray[np.uint8], height: int, width: int, kind: str = "rgb24") -> NDArray[np.uint8]:
        """`grab`'s pixels as uint8 `(height, width, 3)` RGB, or with the kind "gray" `(height, width)`."""
        picture = av.VideoFrame.from_ndarray(pixels, format="bgra")
        return self._reformatter.reformat(  # type: ignore[union-attr,return-value]
            picture, width, height, kind, interpolation=Interpolation.AREA
        ).to_ndarray()

    def close(self) -> None:
        self._screen.close()
