"""Windows, keys and mouse of an X11 desktop.

Keys and mouse are XInput 2's raw events, which come from the devices whatever program has the focus or has grabbed the pointer,
and carry the server's time in milliseconds.
"""

from __future__ import annotations

import queue
import select
import struct
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

from Xlib import XK, X, Xatom, display, error
from Xlib.ext import ge, xinput, xtest

from worldsim.capture.backend import Region, pick_window
from worldsim.capture.overlay import Overlay
from worldsim.capture.timeline import Input
from worldsim.errors import DisplayError

GONE = (error.BadWindow, error.BadDrawable, error.BadMatch)
RAW = struct.Struct("<HIIHHI4x")  # device, time, detail, source, words of the mask, flags
KINDS = {13: ("key", True), 14: ("key", False), 15: ("button", True), 16: ("button", False), 17: ("motion", False)}
BUTTONS = {1: "left", 2: "middle", 3: "right"}
ABSOLUTE = 1
CUT = 0.0005  # seconds that are cut off a server's times, on average
# Keys by position: what the evdev driver, and everything that came after it, calls them.
_ROWS = {10: "1234567890", 24: "qwertyuiop", 38: "asdfghjkl", 52: "zxcvbnm"}
EVDEV = {first + i: letter for first, row in _ROWS.items() for i, letter in enumerate(row)}
EVDEV |= {9: "escape", 22: "backspace", 23: "tab", 36: "return", 65: "space", 111: "up", 113: "left", 114: "right", 116: "down"}
EVDEV |= {37: "ctrl", 105: "ctrl", 50: "shift", 62: "shift", 64: "alt", 108: "alt"}
EVDEV |= {66 + number: f"f{number}" for number in range(1, 11)} | {95: "f11", 96: "f12"}
SYMBOLS = {
    "escape": "Escape", "backspace": "BackSpace", "tab": "Tab", "return": "Return", "space": "space", "up": "Up", "left": "Left",
    "right": "Right", "down": "Down", "ctrl": "Control_L", "shift": "Shift_L", "alt": "Alt_L",
}  # fmt: skip


class X11Backend:
    """An X11 display with one window that is watched. Implements `Backend`.

    Args:
        window: part of the window's title.

    Raises:
        DisplayError: if the display does not answer, lacks XInput 2, or there is no such window, or several.
    """

    name = "x11"

    def __init__(self, window: str) -> None:
        with ExitStack() as undo:
            self._display = _open()
            undo.callback(self._display.close)
            self._root = self._display.screen().root
            windows = _named_windows(self._display)
            self._window, self.title = windows[pick_window(window, [title for _, title in windows])]
            self._codes = key_names(self._display)
            self._inputs = RawInputs(self._codes)
            undo.callback(self._inputs.close)
            self._overlay = Overlay(self._display)
            undo.pop_all()

    def region(self) -> Region | None:
        try:
            size, corner = self._window.get_geometry(), self._root.translate_coords(self._window, 0, 0)
            if self._window.get_attributes().map_state != X.IsViewable:
                return None
        except GONE:
            return None
        screen = self._display.screen()
        left, top = max(0, corner.x), max(0, corner.y)
        right = min(screen.width_in_pixels, corner.x + size.width)
        bottom = min(screen.height_in_pixels, corner.y + size.height)
        return Region(left, top, right - left, bottom - top) if right - left >= 16 and bottom - top >= 16 else None

    def focused(self) -> bool:
        """Without a window manager the focus may follow the pointer, or nobody may have it; then every input counts."""
        focus = self._display.get_input_focus().focus
        if focus in (X.PointerRoot, X.NONE) or focus == self._root:
            return True
        try:
            while focus and focus != self._root:
                if focus == self._window:
                    return True
                focus = focus.query_tree().parent
        except GONE:
            pass
        return False

    def inputs(self) -> list[Input]:
        return self._inputs.take()

    def press(self, key: str, down: bool) -> None:
        code = next((code for code, name in self._codes.items() if name == key), None)
        if code is None:
            raise DisplayError(f"key was {key!r}, which this keyboard has not; give another as --press.")
        xtest.fake_input(self._display, X.KeyPress if down else X.KeyRelease, code)
        self._display.flush()

    def show(self, text: str, colour: tuple[int, int, int], recording: bool) -> None:
        self._overlay.show(text, colour, self.region(), hidden_inside=recording)

    def close(self) -> None:
        self._inputs.close()
        with suppress(OSError, error.ConnectionClosedError):
            self._overlay.close()
            self._display.close()


class RawInputs:
    """Keys and mouse from all devices, read in a thread.

    Args:
        codes: our name of every key, by the server's code.
    """

    def __init__(self, codes: dict[int, str]) -> None:
        self._codes, self._display = codes, _open()
        self._queue: queue.SimpleQueue[Input] = queue.SimpleQueue()
        if not self._display.has_extension("XInputExtension"):
            raise DisplayError("the X server has no XInput 2, which keys and mouse are read with.")
        _ask_for_raw_events(self._display)
        self._clock = ServerClock(self._display)
        self._absolute = _absolute_devices(self._display)
        self._last: dict[tuple[int, int], float] = {}
        mask = sum(1 << kind for kind in KINDS)
        self._display.screen().root.xinput_select_events([(xinput.AllMasterDevices, mask)])
        self._display.sync()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="worldsim-inputs", daemon=True)
        self._thread.start()

    def take(self) -> list[Input]:
        """Inputs since the last call."""
        taken = []
        with suppress(queue.Empty):
            while True:
                taken.append(self._queue.get_nowait())
        return taken

    def close(self) -> None:
        self._open = False
        self._thread.join()
        with suppress(OSError, error.ConnectionClosedError):
            self._display.close()

    def _run(self) -> None:
        with suppress(OSError, error.ConnectionClosedError):
            while self._open:
                if not self._display.pending_events() and not select.select([self._display.fileno()], [], [], 0.1)[0]:
                    continue
                while self._display.pending_events():
                    self._read(self._display.next_event())

    def _read(self, event: Any) -> None:
        if event.type != ge.GenericEventCode or event.evtype not in KINDS or not isinstance(event.data, bytes):
            return
        kind, down = KINDS[event.evtype]
        _, server_time, detail, source, words, _ = RAW.unpack_from(event.data)
        now = self._clock.monotonic(server_time)
        if kind == "key" and detail in self._codes:
            self._queue.put(Input(now, kind, self._codes[detail], down))
        elif kind == "button" and detail in BUTTONS:
            self._queue.put(Input(now, kind, BUTTONS[detail], down))
        elif kind == "motion":
            dx, dy = self._motion(event.data, source, words)
            if dx or dy:
                self._queue.put(Input(now, kind, dx=dx, dy=dy))

    def _motion(self, data: bytes, source: int, words: int) -> tuple[float, float]:
        """Motion along the first two axes; the values of the axes that the mask names follow it, as 32.32 fixed point."""
        mask, at, moved = data[RAW.size : RAW.size + 4 * words], RAW.size + 4 * words, [0.0, 0.0]
        for axis in range(32 * words):
            if not mask[axis // 8] & (1 << axis % 8):
                continue
            whole, part = struct.unpack_from("<iI", data, at)
            at += 8
            if axis < 2:
                value = whole + part / 2**32
                if (source, axis) in self._absolute:
                    before = self._last.get((source, axis), value)
                    self._last[(source, axis)] = value
                    value -= before
                moved[axis] = value
        return moved[0], moved[1]


class ServerClock:
    """Turns the times of an X server into those of `time.monotonic()`.

    Args:
        server: a connection of which nobody reads events yet.
    """

    def __init__(self, server: display.Display) -> None:
        window = server.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent, event_mask=X.PropertyChangeMask)
        atom, answers = server.get_atom("WORLDSIM_CLOCK"), []
        for _ in range(20):
            before = time.monotonic()
            window.change_property(atom, Xatom.INTEGER, 32, [0])
            server.flush()
            while (event := server.next_event()).type != X.PropertyNotify:
                pass
            after = time.monotonic()
            answers.append((after - before, event.time, (before + after) / 2))
        window.destroy()
        server.sync()
        self._server = answers[0][1]
        quick = sorted(answers)[: len(answers) // 2]  # the quickest answers tell the time best
        # The server cuts its time to whole milliseconds: the smallest difference is that of the least that was cut.
        self._here = min(here - self._passed(then) for _, then, here in quick) + CUT

    def monotonic(self, milliseconds: int) -> float:
        """Seconds of `time.monotonic()`; the server's time begins anew after 2**32 milliseconds."""
        return self._here + self._passed(milliseconds)

    def _passed(self, milliseconds: int) -> float:
        """Seconds since the first answer."""
        return ((milliseconds - self._server + 2**31) % 2**32 - 2**31) / 1000


def key_names(server: display.Display) -> dict[int, str]:
    """Our name of every key by the server's code: by position where it numbers keys as evdev does, otherwise by symbol."""
    if server.keysym_to_keycode(XK.string_to_keysym("Up")) == 111:
        return EVDEV
    letters = {name: name for name in (*"abcdefghijklmnopqrstuvwxyz0123456789",)}
    functions = {f"f{number}": f"F{number}" for number in range(1, 13)}
    symbols = {**letters, **functions, **SYMBOLS}
    codes = {server.keysym_to_keycode(XK.string_to_keysym(symbol)): name for name, symbol in symbols.items()}
    return {code: name for code, name in codes.items() if code}


def _ask_for_raw_events(server: display.Display) -> None:
    """From XInput 2.1 on raw events come whoever has grabbed the device; python-xlib itself asks for 2.0."""
    opcode = server.display.get_extension_major(xinput.extname)
    answer = xinput.XIQueryVersion(display=server.display, opcode=opcode, major_version=2, minor_version=2)
    if (answer.major_version, answer.minor_version) < (2, 1):
        raise DisplayError(f"the X server has XInput {answer.major_version}.{answer.minor_version}; recording needs 2.1.")


def _open() -> display.Display:
    try:
        return display.Display()
    except (error.DisplayError, OSError, ValueError) as problem:
        raise DisplayError(f"no X11 display answers ({problem}); set DISPLAY, or start the program under Xvfb.") from problem


def _named_windows(server: display.Display) -> list[tuple[Any, str]]:
    """Visible windows and their titles; of windows inside each other that share a title, the innermost."""
    name, found = server.get_atom("_NET_WM_NAME"), list[tuple[Any, str]]()

    def visit(window: Any, outer: str) -> None:
        try:
            if window.get_attributes().map_state != X.IsViewable:
                return
            text = window.get_full_property(name, X.AnyPropertyType)
            title = text.value.decode(errors="replace") if text and isinstance(text.value, bytes) else window.get_wm_name()
            title = title.decode(errors="replace") if isinstance(title, bytes) else title or ""
            if title:
                if title == outer:
                    found.pop()
                found.append((window, title))
            for child in window.query_tree().children:
                visit(child, title or outer)
        except GONE:
            pass

    for child in server.screen().root.query_tree().children:
        visit(child, "")
    return found


def _absolute_devices(server: display.Display) -> set[tuple[int, int]]:
    """Device and axis of pointers that tell where they are rather than how far they moved, such as tablets."""
    absolute = set()
    for device in server.xinput_query_device(xinput.AllDevices).devices:
        for part in device.classes:
            if part.type == xinput.ValuatorClass and part.mode == ABSOLUTE:
                absolute.add((device.deviceid, part.number))
    return absolute
