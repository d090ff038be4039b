"""`worldsim bench latency`: from a key to the changed picture in the real window or browser, as a player sees it.

`worldsim play`, or Chromium with the page of `worldsim serve`, runs on a virtual screen whose memory we read, and gets
keys as a keyboard sends them. Both draw the line of keys held into the same picture as the frame that was made under
them, so the moment at which that line changes is the moment at which the first such frame is on the screen. Which
pixels those are is learned from a few long presses.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.bench.chromium import check_browser
from worldsim.bench.config import LatencyConfig
from worldsim.bench.display import VirtualScreen, Watch, check_display, virtual_screen
from worldsim.bench.page import page_player
from worldsim.bench.stream import format_machine
from worldsim.envs.games import recorded_game
from worldsim.errors import GameError, WorldsimError
from worldsim.machine import describe_machine
from worldsim.tables import text_table
from worldsim.world import find_world, read_config
from worldsim.world.config import WorldConfig

OPENS, TEACHES, CHANGES = 300.0, 180.0, 30.0  # seconds in which a window opens, its line is found, and a key shows
TEACHING, SLOWEST = 3, 1.0  # long presses that teach where the picture changes; and seconds that each of them takes at most
BRIGHT, DARK = 140, 100  # text, and what lies behind it
POLL = 0.0005  # seconds between two looks at the screen
PERCENTILES = (50, 90, 99)


def bench_latency(config: LatencyConfig) -> dict[str, Any]:
    """Measures every source, prints a table and returns it.

    Returns:
        "results": a dict per source, its times in milliseconds and in frames at the world's own rate; "machine".

    Raises:
        DisplayError: without Xvfb, the library that sends keys, or the browser that is asked for.
        WorldError: if there is no such world.
        WorldsimError: if it does not listen to the key, or the window does not answer.
        GameError: if only the real game is asked for, and it is not installed.
    """
    check_display()
    if config.browser:
        check_browser()
    world = read_config(find_world(config.world))
    key = _pick_key(config, world)
    sources = [source for source in _sources(config) if source == "dream" or _is_playable(world, must=len(config.sources) == 1)]
    machine = describe_machine()
    print(format_machine(machine), flush=True)
    results = [measure_source(config, world, source, key) for source in sources]
    print(format_latencies(results))
    return {"results": results, "machine": machine}


def measure_source(config: LatencyConfig, world: WorldConfig, source: str, key: str) -> dict[str, Any]:
    """Figures of the dream or the real game."""
    player = page_player if config.browser else _player
    with virtual_screen() as screen, player(config, screen) as watch:
        _open(screen, watch.alive)
        if source == "real":
            _press(screen, "Tab")
            time.sleep(5)  # the game starts
        line = find_line(screen, key, max(0.25, 3 / world.fps), watch)
        times = time_presses(line, screen, key, config, 1 / world.fps, watch)
    milliseconds = {f"p{q}": float(np.percentile(times, q)) * 1e3 for q in PERCENTILES}
    return {
        "world": config.world,
        "source": source,
        "shown": "browser" if config.browser else "window",
        "runtime": config.runtime,
        "key": key,
        "presses": len(times),
        "seed": config.seed,
        "fps": world.fps,
        "milliseconds": milliseconds,
        "frames": {name: value * world.fps / 1e3 for name, value in milliseconds.items()},
    }


class Line:
    """The pixels that are bright while a key is held, and dark while none is.

    Args:
        pixels: of the screen, `(H, W, 4)`, as they change.
        rows, columns: of those pixels.
    """

    def __init__(self, pixels: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> None:
        self.pixels, self.rows, self.columns = pixels, rows, columns

    def is_held(self) -> bool:
        """Whether the picture that is on the screen now was made while the key was held."""
        return bool(self.pixels[self.rows, self.columns, 1].mean() > (BRIGHT + DARK) / 2)


def find_line(screen: VirtualScreen, key: str, pause: float, watch: Watch) -> Line:
    """Holds and releases a key a few times, and keeps the pixels that follow it without exception.

    Args:
        screen: with the window.
        key: to press.
        pause: seconds after which a key has certainly reached the picture; prolonged while there are no such pixels,
            as while the help covers them. Rounds in which an episode ended do not count.
        watch: of the player.

    Raises:
        WorldsimError: if no pixel follows the key.
    """
    deadline = time.monotonic() + TEACHES
    while time.monotonic() < deadline:
        low = np.full(screen.pixels.shape[:2], 255, np.uint8)
        high, before = np.zeros_like(low), watch.ends()
        for down in (True, False) * TEACHING:
            screen.key(key, down)
            time.sleep(pause)
            for _ in range(5):
                watch.alive()
                green = screen.pixels[..., 1]  # text is white
                low, high = (np.minimum(low, green), high) if down else (low, np.maximum(high, green))
                time.sleep(0.03)
        rows, columns = np.nonzero((low > BRIGHT) & (high < DARK))
        if not went_on(before, watch.ends()):  # other things changed too
            continue
        if len(rows):
            return Line(screen.pixels, rows[:64], columns[:64])
        pause = min(2 * pause, SLOWEST)
    raise WorldsimError(f"nothing in the window follows the key {key!r}; give another --key that the world listens to.")


def went_on(before: int | None, after: int | None) -> bool:
    """Whether no episode ended between two looks at how many had ended."""
    return before is not None and before == after


def time_presses(line: Line, screen: VirtualScreen, key: str, config: LatencyConfig, period: float, watch: Watch) -> list[float]:
    """Seconds from each press to the picture that shows it; presses come at any moment of a frame's `period`.

    A press in whose time an episode ended, as far as that is known, does not count, and is repeated: until another begins, no
    picture comes.
    """
    pauses = random.Random(config.seed)
    times: list[float] = []
    while len(times) < config.presses:
        time.sleep((2 + pauses.random()) * period)
        before, begun = watch.ends(), time.perf_counter()
        screen.key(key, True)
        _until(line.is_held, watch.alive)
        seconds, after = time.perf_counter() - begun, watch.ends()
        if went_on(before, after):
            times.append(seconds)
        screen.key(key, False)
        _until(lambda: not line.is_held(), watch.alive)
    return times


def format_latencies(results: Sequence[dict[str, Any]]) -> str:
    """Results as a table."""
    titles = (
        "world",
        "source",
        "in",
        "runtime",
        "presses",
        *(f"p{q} ms" for q in PERCENTILES),
        *(f"p{q} frames" for q in PERCENTILES),
    )
    rows = [
        (
            result["world"],
            result["source"],
            result["shown"],
            result["runtime"],
            str(result["presses"]),
            *(f"{value:.0f}" for value in result["milliseconds"].values()),
            *(f"{value:.2f}" for value in result["frames"].values()),
        )
        for result in results
    ]
    return text_table(titles, rows, left=(0, 1, 2, 3))


def _pick_key(config: LatencyConfig, world: WorldConfig) -> str:
    keys = world.control_spec.keys
    if not keys:
        raise WorldsimError(f"world was {config.world!r}, which listens to no key; give one that does.")
    if config.key is not None and config.key not in keys:
        raise WorldsimError(f"key was {config.key!r}; {config.world} listens to: {', '.join(keys)}.")
    return config.key or keys[0]


def _sources(config: LatencyConfig) -> tuple[str, ...]:
    """What is measured; in a browser the dream only, as the real game is never shown there without it."""
    return ("dream",) if config.browser else config.sources


def _is_playable(world: WorldConfig, must: bool) -> bool:
    """Whether the real game can be played here; says so on stderr if not, or raises if it `must`."""
    try:
        recorded_game(world.game).start().close()
    except GameError as error:
        if must:
            raise
        print(f"without the real game: {error}", file=sys.stderr)
        return False
    return True


@contextmanager
def _player(config: LatencyConfig, screen: VirtualScreen) -> Iterator[Watch]:
    """`worldsim play` on a screen."""
    command = [sys.executable, "-m", "worldsim", "play", str(find_world(config.world).resolve())]
    command += ["--device", config.device, "--runtime", config.runtime]
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder, (Path(folder) / "said").open("w+") as said:
        environment = {**screen.environment, "WORLDSIM_PREPARE": "0"}
        player = subprocess.Popen(command, env=environment, cwd=folder, stdout=said, stderr=said)

        def alive() -> None:
            if player.poll() is not None:
                said.seek(0)
                lines = said.read().strip().splitlines() or ["it said nothing"]
                raise WorldsimError(f"worldsim play {config.world} ended: {lines[-1]}")

        try:
            yield Watch(alive)
        finally:
            player.terminate()
            player.wait()


def _open(screen: VirtualScreen, alive: Callable[[], None]) -> None:
    """Waits until the window shows a moving picture."""
    deadline, before, changed = time.monotonic() + OPENS, screen.pixels[..., 1].copy(), 0
    while changed < 5:  # "loading ..." stands still
        if time.monotonic() > deadline:
            raise WorldsimError(f"the window showed no moving picture in {OPENS:.0f} seconds.")
        alive()
        time.sleep(0.2)
        now = screen.pixels[..., 1].copy()
        changed += bool((now != before).any())
        before = now


def _press(screen: VirtualScreen, key: str) -> None:
    screen.key(key, True)
    screen.key(key, False)


def _until(true: Callable[[], bool], alive: Callable[[], None]) -> None:
    deadline = time.monotonic() + CHANGES
    while not true():
        if time.monotonic() > deadline:
            alive()
            raise WorldsimError(f"a key did not reach the picture in {CHANGES:.0f} seconds.")
        time.sleep(POLL)
