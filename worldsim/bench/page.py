"""The page of `worldsim serve` in a real Chromium on a virtual screen, for `worldsim bench latency --browser`."""

from __future__ import annotations

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


# Counts the ends of episodes, as the page shows them.
COUNT = """
window.ends = 0; window.over = false;
new MutationObserver(() => {
  const over = document.querySelector("#figures").textContent.includes(", over");
  if (over && !window.over) window.ends += 1;
  window.over = over;
}).observe(document.querySelector("#figures"), { childList: true, characterData: true, subtree: true });
"""
ENDS = "window.over ? null : window.ends"


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
                browser.evaluate(COUNT)
                yield Watch(alive, lambda: browser.evaluate(ENDS))
        finally:
            server.terminate()
            server.communicate()
