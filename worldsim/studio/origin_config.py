"""What `worldsim inspect`, `studio watermark` and `studio detector` do. Importing this loads no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class InspectConfig:
    """What is looked at.

    Attributes:
        path: an .mp4, .gif or .png file, or the folder of a dataset.
    """

    path: Positional[Annotated[Path, arg(metavar="FILE")]]
