"""What recording a window needs of the operating system, and who provides it here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol

from worldsim.capture.timeline import Input
from worldsim.errors import DisplayError

INSTALL = 'pip install "worldsim-dit[capture]"'


@dataclass(frozen=True)
class Region:
    """Where a window is on the screen, in pixels."""

    left: int
    top: int
    width: int
    height: int


class Backend(Protocol):
    """A desktop on which one window is watched.

    Attributes:
        name: such as "x11".
        title: of the window, in full.
    """

    name: str
    title: str

    def region(self) -> Region | None:
        """Where the window's content is now; None if the window is gone."""

    def focused(self) -> bool:
        """Whether keys go to the window now."""

    def inputs(self) -> list[Input]:
        """Keys and mouse since the last call, in the order of their times, whatever window they went to."""

    def press(self, key: str, down: bool) -> None:
        """Presses or releases a key, as a keyboard would."""

    def show(self, text: str, colour: tuple[int, int, int], recording: bool) -> None:
        """Shows the state beside the window, never inside it; or nowhere, where there is no room."""

    def close(self) -> None: ...


def open_backend(window: str) -> Backend:
    """The desktop of this system, with the one window whose title holds `window`.

    Raises:
        DisplayError: if there is no display, no such window or several, or the libraries are missing.
    """
    try:
        if sys.platform in ("win32", "darwin"):
            from worldsim.capture.hooks import HooksBackend

            return HooksBackend(window)
        from worldsim.capture.x11 import X11Backend

        return X11Backend(window)
    except ImportError as error:
        raise DisplayError(f"recording a window needs {error.name}; {INSTALL}.") from error


def pick_window(wanted: str, titles: list[str]) -> int:
    """Position of the one title that holds `wanted`, capitals aside; of several, the one that is exactly it.

    Raises:
        DisplayError: if there is none, or several.
    """
    fitting = [i for i, title in enumerate(titles) if wanted.lower() in title.lower()]
    exact = [i for i in fitting if titles[i].lower() == wanted.lower()]
    chosen = exact if len(exact) == 1 else fitting
    if len(chosen) == 1:
        return chosen[0]
    shown = ", ".join(repr(titles[i]) for i in fitting) if fitting else ", ".join(map(repr, sorted(set(titles)))) or "none"
    problem = f"{len(fitting)} windows have {wanted!r} in their title" if fitting else f"no window has {wanted!r} in its title"
    raise DisplayError(f"{problem}; give more of it as --window. Windows: {shown}.")
