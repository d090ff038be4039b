"""A real Chromium, driven over its DevTools protocol: to time the page of `worldsim serve`, and to test it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from worldsim.errors import DisplayError, WorldsimError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INSTALL = "on Debian or Ubuntu: sudo apt install chromium"
STARTS, ANSWERS = 60.0, 60.0  # seconds in which it starts, and answers
FLAGS = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-features=Translate,MediaRouter",
    "--disable-renderer-backgrounding",
    "--mute-audio",
    "--password-store=basic",
)


def find_chromium() -> str:
    """Path of the browser.

    Raises:
        DisplayError: if there is none.
    """
    for name in PROGRAMS:
        if (found := shutil.which(name)) is not None:
            return found
    raise DisplayError(f"Chromium was not found; {INSTALL}.")


def check_browser() -> None:
    """Raises `DisplayError` unless a browser can be driven here."""
    if find_spec("websockets") is None:
        raise DisplayError("driving a browser needs websockets; install with: pip install 'worldsim-dit[serve]'")
    find_chromium()


class _Refused(WorldsimError):
    """The browser does not do what it was asked for."""


class Browser:
    """One page of a running Chromium; see `open_browser`.

    Args:
        socket: WebSocket to the DevTools of the page.

    Attributes:
        events: the last ones of the domains that were enabled, such as "Log".
    """

    def __init__(self, socket: Any) -> None:
        self._socket, self.events = socket, deque[dict[str, Any]](maxlen=1000)
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the DevTools protocol and returns its result.

        Raises:
            WorldsimError: if the browser refuses, or does not answer.
        """
        from websockets.exceptions import ConnectionClosed

        number = next(self._numbers)
        deadline = time.monotonic() + ANSWERS
        try:
            self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
            while (answer := json.loads(self._socket.recv(max(0.0, deadline - time.monotonic())))).get("id") != number:
                self.events.append(answer)
        except (TimeoutError, OSError, ConnectionClosed) as error:
            raise WorldsimError(f"the browser did not answer {method}.") from error
        if "error" in answer:
            raise _Refused(f"the browser refused {method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, script: str) -> Any:
        """Value of a JavaScript expression in the page; promises are awaited.

        Raises:
            WorldsimError: if it throws.
        """
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise WorldsimError(f"the page threw: {details.get('exception', {}).get('description', details.get('text'))}")
        return result["result"].get("value")

    def wait_for(self, script: str, seconds: float = ANSWERS) -> Any:
        """Waits until an expression is true, and returns its value.

        Raises:
            WorldsimError: if it stays false.
        """
        deadline = time.monotonic() + seconds
        while True:
            value = None
            with suppress(_Refused):  # while one page gives way to another
                value = self.evaluate(script)
            if value:
                return value
            if time.monotonic() > deadline:
                raise WorldsimError(f"this stayed false in the page for {seconds:.0f} seconds: {script}")
            time.sleep(0.05)

    def open(self, address: str) -> None:
        """Goes to an address."""
        self.call("Page.navigate", url=address)
        self.wait_for(f"document.readyState === 'complete' && location.protocol === '{address.split(':')[0]}:'")

    def key(self, code: str, down: bool, key: str = "", modifiers: int = 0) -> None:
        """A key goes down or up.

        Args:
            code: its position as the browser names it, such as "KeyA".
            key: what it gives, by default that of the position on a US keyboard.
            modifiers: 1 for Alt, 2 for Ctrl, 8 for Shift, summed.
        """
        key = key or (code[3:].lower() if code.startswith("Key") else code)
        written = _WRITTEN.get(code, key if len(key) == 1 else "")
        text = {"text": written} if down and written else {}
        virtual = {"windowsVirtualKeyCode": ord(key.upper()) if len(key) == 1 else _VIRTUAL.get(code, 0)}
        kind = "keyDown" if down else "keyUp"
        self.call("Input.dispatchKeyEvent", type=kind, code=code, key=key, modifiers=modifiers, **text, **virtual)

    def press(self, code: str, key: str = "", modifiers: int = 0) -> None:
        """A key goes down and up."""
        self.key(code, True, key, modifiers)
        self.key(code, False, key, modifiers)

    def mouse(self, kind: str, x: float, y: float, button: str = "none") -> None:
        """A mouse event: `kind` is "mousePressed", "mouseReleased" or "mouseMoved"."""
        buttons = int(button == "left" and kind != "mouseReleased")
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=int(button != "none")
        )

    def resize(self, width: int, height: int, *, scale: float = 1.0, phone: bool = False) -> None:
        """Gives the page another size in CSS pixels; a phone has a touch screen and no mouse."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def screenshot(self) -> bytes:
        """What the page shows, as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


_WRITTEN = {"Enter": "\r", "Space": " "}
_VIRTUAL = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


@contextmanager
def open_browser(
    address: str = "about:blank", *, environment: Mapping[str, str] | None = None, size: tuple[int, int] = (1280, 800)
) -> Iterator[Browser]:
    """Starts a Chromium of its own, with nothing kept from before, and ends it.

    Args:
        address: of the first page; with a window one that begins with http.
        environment: with the display to open a window on, which fills it; None for no window.
        size: of the page, in pixels.

    Raises:
        DisplayError: if there is no browser, or it does not start.
    """
    check_browser()
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    with tempfile.TemporaryDirectory(prefix="worldsim-", ignore_cleanup_errors=True) as folder:
        # A window without an address bar, which would take the keys; for that the address has to be one of the web.
        window = [f"--app={address}", "--window-position=0,0"] if environment else ["--headless=new", "about:blank"]
        flags = [*FLAGS, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
        where = [f"--user-data-dir={folder}", "--remote-debugging-port=0", f"--window-size={size[0]},{size[1]}"]
        command = [find_chromium(), *flags, *where, *window]
        program = subprocess.Popen(
            command, env=dict(environment) if environment else None, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            endpoint = _endpoint(Path(folder) / "DevToolsActivePort", program)
            with connect(endpoint, max_size=None, compression=None, open_timeout=STARTS) as socket:
                browser = Browser(socket)
                try:
                    if not environment:
                        browser.open(address)
                    yield browser
                finally:
                    with suppress(WorldsimError, OSError, ConnectionClosed):
                        browser.call("Browser.close")
        finally:
            try:
                program.wait(5)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def _endpoint(file: Path, program: subprocess.Popen[bytes]) -> str:
    """Address of the DevTools of the first page."""
    from urllib.request import urlopen

    deadline = time.monotonic() + STARTS
    while time.monotonic() < deadline and program.poll() is None:
        time.sleep(0.05)
        with suppress(OSError, ValueError, IndexError):
            port = int(file.read_text().split()[0])
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            return str(pages[0]["webSocketDebuggerUrl"])
    raise DisplayError("Chromium did not start; try: chromium --headless=new --dump-dom about:blank")
