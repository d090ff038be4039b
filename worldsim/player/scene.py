"""What a window can show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worldsim.controls import Controls, ControlSpec
from worldsim.provenance import Claim


@dataclass
class Pane:
    """One of the games being shown.

    Attributes:
        frame: the current frame, uint8 `(H, W, 3)`.
        score: sum of rewards since the player took over; None where there are no rewards.
        survived: frames since then.
        over: whether its episode is over; the last frame stays.
    """

    frame: NDArray[np.uint8]
    score: float | None = 0.0
    survived: int = 0
    over: bool = False


class Scene(Protocol):
    """What a window can show: a `Session` that is played, or a `Replay` that is watched.

    Attributes:
        title: of the window.
        spec: controls that it listens to.
        fps: its own rate.
        meanings: what controls do, by their names in the spec.
        panes: what is shown, by name.
        mode: in a word or two.
        position: frames since the last start.
        held: controls of the current frame.
        notices: lines for the player to read; whoever shows them empties the list.
        figures: a line of settings.
        done: whether there is nothing more to show, so that the window closes.
    """

    title: str
    spec: ControlSpec
    fps: float
    meanings: dict[str, str]
    panes: dict[str, Pane]
    position: int
    held: Controls
    notices: list[str]
    done: bool

    @property
    def mode(self) -> str: ...
    @property
    def figures(self) -> str: ...
    @property
    def ended(self) -> bool: ...
    @property
    def recording(self) -> bool: ...
    def restart(self) -> None: ...
    def next_mode(self) -> None: ...
    def after_end(self) -> None: ...
    def advance(self, controls: Controls) -> None: ...
    def settle(self) -> None: ...
    def change_num_steps(self, change: int) -> None: ...
    def say(self, prompt: str) -> None: ...
    def begin_with(self, picture: Path) -> None: ...
    def toggle_recording(self) -> None: ...
    def claim(self) -> Claim | None:
        """That what is shown is generated, and how; None for a real game."""
        ...

    def close(self) -> None: ...
