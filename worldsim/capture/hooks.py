"""Windows, keys and mouse on Windows and macOS, through pynput. Nobody has run this file on either system yet.

The state is told in the terminal alone. On macOS the terminal needs the permissions "Screen Recording" and "Accessibility".
"""

from __future__ import annotations

import ctypes
import queue
import sys
import time
from contextlib import suppress
from typing import Any

from worldsim.capture.backend import Region, pick_window
from worldsim.capture.timeline import Input
from worldsim.controls import KEY_NAMES
from worldsim.errors import DisplayError

NAMES = {"enter": "return", "esc": "escape", "cmd": ""} | {
    f"{key}_{side}": key for key in ("shift", "ctrl", "alt") for side in ("l", "r", "gr")
}


class HooksBackend:
    """A desktop with hooks for keys and mouse. Implements `Backend`.

    Mouse motion is the pointer's; a game that keeps the pointer in its middle is recorded as far as it moves between two events.

    Args:
        window: part of the window's title.

    Raises:
        DisplayError: if there is no such window, or several.
    """

    name = "hooks"

    def __init__(self, window: str) -> None:
        from pynput import keyboard, mouse  # here, since Linux has no use for it

        windows = _windows()
        self._window, self.title = windows[pick_window(window, [title for _, title in windows])]
        self._queue: queue.SimpleQueue[Input] = queue.SimpleQueue()
        self._last: tuple[float, float] | None = None
        self._said = ""
        self._keyboard, self._keys = keyboard.Controller(), keyboard.Key
        self._listeners: list[Any] = [
            keyboard.Listener(on_press=lambda key: self._key(key, True), on_release=lambda key: self._key(key, False)),
            mouse.Listener(on_move=self._move, on_click=self._click),
        ]
        for listener in self._listeners:
            listener.start()

    def region(self) -> Region | None:
        return _region(self._window)

    def focused(self) -> bool:
        return _front() == self._window

    def inputs(self) -> list[Input]:
        taken = []
        with suppress(queue.Empty):
            while True:
                taken.append(self._queue.get_nowait())
        return taken

    def press(self, key: str, down: bool) -> None:
        pressed = getattr(self._keys, {"return": "enter", "escape": "esc"}.get(key, key), key)
        (self._keyboard.press if down else self._keyboard.release)(pressed)

    def show(self, text: str, colour: tuple[int, int, int], recording: bool) -> None:
        state = text.partition(",")[0].partition(" ")[0]
        if state != self._said:  # not every frame count
            self._said = state
            print(text, flush=True)

    def close(self) -> None:
        for listener in self._listeners:
            listener.stop()

    def _key(self, key: Any, down: bool) -> None:
        name = getattr(key, "name", None) or (getattr(key, "char", None) or "").lower()
        name = NAMES.get(name, name)
        if name in KEY_NAMES or (name.startswith("f") and name[1:].isdigit()):
            self._queue.put(Input(time.monotonic(), "key", name, down))

    def _click(self, x: float, y: float, button: Any, down: bool) -> None:
        if button.name in ("left", "middle", "right"):
            self._queue.put(Input(time.monotonic(), "button", button.name, down))

    def _move(self, x: float, y: float) -> None:
        if self._last is not None:
            self._queue.put(Input(time.monotonic(), "motion", dx=x - self._last[0], dy=y - self._last[1]))
        self._last = (x, y)


def _windows() -> list[tuple[int, str]]:
    """Visible windows and their titles."""
    if sys.platform == "darwin":
        return [(int(w["kCGWindowNumber"]), title) for w in _mac_windows() if (title := str(w.get("kCGWindowName") or ""))]
    user, found = ctypes.windll.user32, list[tuple[int, str]]()  # type: ignore[attr-defined]

    def visit(handle: int, _: int) -> bool:
        length = user.GetWindowTextLengthW(handle)
        if length and user.IsWindowVisible(handle):
            text = ctypes.create_unicode_buffer(length + 1)
            user.GetWindowTextW(handle, text, length + 1)
            found.append((handle, text.value))
        return True

    kind = ctypes.WINFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)  # type: ignore[attr-defined]
    user.EnumWindows(kind(visit), 0)
    return found


def _region(window: int) -> Region | None:
    """Where the content of a window is; None if it is gone."""
    if sys.platform == "darwin":
        bounds = next((w["kCGWindowBounds"] for w in _mac_windows() if int(w["kCGWindowNumber"]) == window), None)
        if bounds is None:
            return None
        return Region(*(int(bounds[name]) for name in ("X", "Y", "Width", "Height")))
    user = ctypes.windll.user32  # type: ignore[attr-defined]
    sides, corner = (ctypes.c_long * 4)(), (ctypes.c_long * 2)()
    if not user.IsWindowVisible(window) or not user.GetClientRect(window, sides) or not user.ClientToScreen(window, corner):
        return None
    return Region(corner[0], corner[1], sides[2], sides[3]) if sides[2] >= 16 and sides[3] >= 16 else None


def _front() -> int | None:
    """The window that gets the keys."""
    if sys.platform == "darwin":
        front = next((w for w in _mac_windows() if not w.get("kCGWindowLayer") and w.get("kCGWindowName")), None)
        return None if front is None else int(front["kCGWindowNumber"])
    return int(ctypes.windll.user32.GetForegroundWindow())  # type: ignore[attr-defined]


def _mac_windows() -> list[Any]:
    """Windows on the screen, the foremost first."""
    import Quartz

    chosen = Quartz.kCGWindowListOptionOnScreenOnly | Quartz.kCGWindowListExcludeDesktopElements
    listed = Quartz.CGWindowListCopyWindowInfo(chosen, Quartz.kCGNullWindowID)
    if listed is None:
        raise DisplayError("macOS lists no windows; allow Screen Recording for the terminal, in the privacy settings.")
    return list(listed)
