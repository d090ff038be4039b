"""The page of `worldsim serve` in a real Chromium on a virtual screen, for `worldsim bench latency --browser`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from worldsim.bench.chromium import open_browser
from worldsim.bench.config import LatencyConfig
from worldsim.bench.display import SIZE, VirtualScreen, Watch
from worldsim.errors import WorldsimError
from worldsim.world import find_world

BEGINS = 300.0  # seconds in which the first frame is there
HIDE_HELP = "document.querySelector('#help').hidden || document.querySelector('[data-command=show_help]').click()"


FIGURES = "document.querySelector('#figures').textContent"


@contextmanager
def page_player(config: LatencyConfig, screen: VirtualScreen) -> Iterator[Watch]:
    """A server, and a browser that plays on it and fills the screen.

    Raises:
        DisplayError: without Chromium.
        WorldsimError: if the server or the page does not begin.
    """
    folder = str(find_world(config.world).resolve())
    options = ["--port", "0", "--limit", "1", "--idle", "86400", "--device", config.device, "--runtime", config.runtime]
    command = [sys.executable, "-m", "worldsim", "serve", folder, *options]
    with tempfile.TemporaryFile("w+") as said:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, cwd=Path(tempfile.gettempdir()))

        def alive() -> None:
            if server.poll() is not None:
                said.seek(0)
                lines = said.read().strip().splitlines() or ["it said nothing"]
                raise WorldsimError(f"worldsim serve {config.world} ended: {lines[-1]}")

        try:
            assert server.stdout is not None
            address = server.stdout.readline().removeprefix("play at ").strip()
            if not address:
                server.wait()
                alive()
            with open_browser(f"{address}#{quote(folder, safe='')}", environment=screen.environment, size=SIZE) as browser:
                browser.wait_for("document.querySelector('#figures').textContent.includes('held')", BEGINS)
                browser.evaluate(HIDE_HELP)
                browser.evaluate("document.querySelector('#stage').focus()")
                yield Watch(alive, lambda: survived(str(browser.evaluate(FIGURES))))
        finally:
            server.terminate()
            server.communicate()


def survived(figures: str) -> int | None:
    """Frames since the start of the episode, as the page says; None once it is over, when nothing shows a key."""
    frames = re.search(r"([0-9]+) frames?(, over)?$", figures, re.MULTILINE)
    return None if frames is None or frames[2] else int(frames[1])
