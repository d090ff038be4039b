"""Marks a clip or a picture while it is written; `worldsim.data.images` is the one place that does so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldsim.files import named_errors
from worldsim.provenance import manifest, tags, watermark
from worldsim.provenance.claim import MARKS, Claim, MarkOptions


class Marker:
    """Marks what a world generated; without a claim it leaves everything as it is.

    Args:
        claim: what the file says of itself; None for what no world generated.
        options: which marks it gets besides metadata.
    """

    def __init__(self, claim: Claim | None, options: MarkOptions = MARKS) -> None:
        self._claim, self._options = claim, options

    @property
    def mp4_tags(self) -> dict[str, str]:
        """For the header of an .mp4."""
        return {} if self._claim is None else {tags.COMMENT: self._claim.to_text()}

    def frame(self, frame: NDArray[np.uint8], generated: bool = True) -> NDArray[np.uint8]:
        """A frame as it is to be written, uint8 `(H, W, 3)`; one that was given stays as it is."""
        if self._claim is None or not self._options.watermark or not generated:
            return frame
        return watermark.embed(frame, self._claim.payload)

    def finish(self, path: Path, ending: str) -> None:
        """Completes a whole file, in place.

        Args:
            path: of the file, which nobody has seen yet.
            ending: of its final name: ".mp4", ".gif" or ".png".
        """
        if self._claim is None:
            return
        with named_errors("write", path):
            if ending != ".mp4":
                tags.write_claim(path, ending, self._claim)
        if self._options.c2pa:
            manifest.sign(path, ending, self._claim)
