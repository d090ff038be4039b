"""`worldsim bench serve`: simulated players on a real server, over WebSockets on this machine.

A server runs in a process of its own; all players share another. Each holds other keys ten times a second, answers every
frame as the page does, and asks for another start at once when an episode is over. Where there are several, the last one
leaves and comes back all the time, so that what coming and going costs the others is in their figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from worldsim.bench.config import ServeBenchConfig
from worldsim.bench.stream import format_machine
from worldsim.errors import ServeError
from worldsim.machine import describe_machine
from worldsim.serve.config import TOKEN
from worldsim.serve.protocol import unpack_frame
from worldsim.tables import text_row
from worldsim.world import find_world
from worldsim.worlds import shipped_worlds

FULL_RATE = 0.95  # of the world's frames per second: what counts as full rate
HOLD, STAY = 0.1, 2.0  # seconds between two inputs of a player; that the last player stays
SETTLE, PREPARE, GOODBYE = 2.0, 600.0, 20.0  # seconds of play before it is measured; of patience with the server


@dataclass
class Player:
    """What happened to one simulated player.

    Attributes:
        seed: of the keys it holds.
        asked: when it asked for a place, `time.perf_counter()`.
        arrivals: when frames came.
        firsts: seconds from asking to the first frame, for each time it came.
        waits: whether it was told to wait, and still does.
        fps: of the world, once it plays.
        bye: the server's last word, if it ended the connection.
    """

    seed: int
    asked: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    waits: bool = False
    fps: float = 0.0
    bye: str = ""

    @property
    def plays(self) -> bool:
        """Whether it sees frames."""
        return bool(self.arrivals) and not self.waits and not self.bye


def bench_serve(config: ServeBenchConfig) -> dict[str, Any]:
    """Measures every world with every number of players, prints a table and returns it.

    Returns:
        "results": a dict per world and number of players. "held": by world, the most players that all had 95% of its frame rate.
        "machine".

    Raises:
        WorldError: if there is no such world.
        ServeError: if a server does not start.
    """
    worlds = config.worlds or tuple(shipped_worlds())
    for world in worlds:
        find_world(world)
    results: list[dict[str, Any]] = []
    machine = describe_machine()
    print(format_machine(machine), _line(COLUMNS), sep="\n", flush=True)
    for world in worlds:
        with served(world, config) as address:
            for result in asyncio.run(_bench(address, world, config)):
                results.append(result)
    held = {world: held_at_full_rate([result for result in results if result["world"] == world]) for world in worlds}
    for world, most in held.items():
        print(f"{world}: {most} players at full rate, of at most {max(config.players)} who came")
    return {"results": results, "held": held, "machine": machine}


def held_at_full_rate(results: Sequence[dict[str, Any]]) -> int:
    """The most players of a world that all had full rate; 0 if there were none."""
    return max((result["playing"] for result in results if result["full_rate"]), default=0)


@contextmanager
def served(world: str, config: ServeBenchConfig) -> Iterator[str]:
    """A server of one world in a process of its own; gives its address, such as "127.0.0.1:40123".

    Raises:
        ServeError: if it does not start.
    """
    environment = {name: value for name, value in os.environ.items() if name != TOKEN}
    if config.threads:
        environment["OMP_NUM_THREADS"] = str(config.threads)
    command = [sys.executable, "-m", "worldsim", "serve", world, "--port", "0"]
    command += ["--device", config.device, "--runtime", config.runtime]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None and server.stderr is not None
        found = re.search(r"http://([\w.:]+)/", server.stdout.readline())
        if found is None:
            raise ServeError(f"the server of {world} did not start: {server.stderr.read().strip()[-500:]}")
        yield found[1]
    finally:
        server.terminate()
        try:
            server.communicate(timeout=GOODBYE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.communicate()


async def _bench(address: str, world: str, config: ServeBenchConfig) -> list[dict[str, Any]]:
    begun = time.perf_counter()
    first = Player(config.seed)
    async with playing(address, world, [first]):
        await _until(lambda: first.plays or bool(first.bye), PREPARE)
        loaded = time.perf_counter() - begun
        while (await _metrics(address)).get("worldsim_preparing", 0) and time.perf_counter() - begun < PREPARE:
            await asyncio.sleep(0.2)
    if first.bye or not first.arrivals:
        raise ServeError(f"{world} cannot be played: {first.bye or 'no frame came'}")
    ready, results = time.perf_counter() - begun, []
    for count in config.players:
        results.append(await _measure(address, world, count, config))
        results[-1] |= {"seconds_to_play": loaded, "seconds_to_ready": ready}
        print(_line(_cells(results[-1])), flush=True)
    return results


async def _measure(address: str, world: str, count: int, config: ServeBenchConfig) -> dict[str, Any]:
    """Figures of so many players."""
    players = [Player(config.seed + i) for i in range(count)]
    async with playing(address, world, players):
        await _until(lambda: all(player.plays or player.waits or player.bye for player in players), PREPARE)
        await asyncio.sleep(SETTLE)
        before, begun = await _metrics(address), time.perf_counter()
        await asyncio.sleep(config.seconds)
        after, ended = await _metrics(address), time.perf_counter()
        waiting = sum(player.waits for player in players)
    stayed = [player for player in players if len(player.firsts) == 1 and player.arrivals[0] < begun and not player.bye]
    times = [np.array([t for t in player.arrivals if begun <= t < ended]) for player in stayed]
    rates = [(len(t) - 1) / (t[-1] - t[0]) if len(t) > 1 else 0.0 for t in times]
    between = 1e3 * np.concatenate([np.diff(t) for t in times]) if times else np.zeros(0)
    firsts = [1e3 * seconds for player in players for seconds in player.firsts]
    fps = players[0].fps
    return {
        "world": world,
        "players": count,
        "playing": count - waiting,
        "waiting": waiting,
        "fps": fps,
        "rates": {"slowest": min(rates, default=0.0), "fastest": max(rates, default=0.0)},
        "full_rate": bool(rates) and min(rates) >= FULL_RATE * fps,
        "between_frames_ms": _percentiles(between),
        "model_ms": {name: 1e3 * after[f"worldsim_frame_seconds {share}"] for name, share in (("p50", "0.5"), ("p99", "0.99"))},
        "first_frame_ms": _percentiles(np.array(firsts)),
        "cores": (after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]) / (ended - begun),
        "resident_bytes": int(after["process_resident_memory_bytes"]),
        "seconds": ended - begun,
    }


@asynccontextmanager
async def playing(address: str, world: str, players: Sequence[Player]) -> AsyncIterator[None]:
    """Lets players play a world; of several, the last one leaves and comes back all the time. All have left when this ends."""
    tasks = [asyncio.create_task(_play(address, world, player)) for player in players[:-1] or players]
    if len(players) > 1:
        tasks.append(asyncio.create_task(_come_and_go(address, world, players[-1])))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    await _until_nobody_plays(address)


async def _come_and_go(address: str, world: str, player: Player) -> None:
    while True:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_play(address, world, player), STAY)


async def _play(address: str, world: str, player: Player) -> None:
    """One connection, until it is cancelled or the server ends it."""
    async with connect(f"ws://{address}/play", compression=None, max_size=None) as socket:
        player.asked, new = time.perf_counter(), True
        await _say(socket, type="play", world=world)
        holding: asyncio.Task[None] | None = None
        try:
            async for data in socket:
                if isinstance(data, bytes):
                    now = time.perf_counter()
                    player.arrivals.append(now)
                    player.firsts += [now - player.asked] * new
                    player.waits = new = False
                    header, _ = unpack_frame(data)
                    await _say(socket, type="shown", frame=header["frame"])
                    if all(pane["over"] for pane in header["panes"]):
                        await _say(socket, type="restart", prompt="")
                    continue
                message = json.loads(data)
                player.waits = message["type"] == "wait" or (player.waits and message["type"] != "world")
                if message["type"] == "world":
                    player.fps = message["fps"]
                    holding = asyncio.create_task(_hold(socket, message["keys"], player.seed))
                elif message["type"] == "bye":
                    player.bye = message["text"]
        finally:
            if holding is not None:
                holding.cancel()


async def _hold(socket: ClientConnection, keys: Sequence[str], seed: int) -> None:
    """Holds other keys all the time."""
    choice = random.Random(seed)
    with suppress(ConnectionClosed):
        while True:
            held = [key for key in keys if choice.random() < 0.3]
            await _say(socket, type="hold", keys=held, mouse=[choice.randint(-40, 40), 0], buttons=[])
            await asyncio.sleep(HOLD)


async def _say(socket: ClientConnection, **message: Any) -> None:
    with suppress(ConnectionClosed):
        await socket.send(json.dumps(message))


async def _until(true: Callable[[], bool], patience: float) -> None:
    """Waits until something is true, or for so many seconds."""
    deadline = time.perf_counter() + patience
    while not true() and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)


async def _until_nobody_plays(address: str) -> None:
    deadline = time.perf_counter() + GOODBYE
    while (await _metrics(address))["worldsim_players"] and time.perf_counter() < deadline:
        await asyncio.sleep(0.1)


async def _metrics(address: str) -> dict[str, float]:
    """What the server says of itself, by name, with the quantile where there is one."""

    def read() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=GOODBYE) as answer:
            return answer.read().decode()

    figures = {}
    for line in (await asyncio.to_thread(read)).splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            quantile = re.search(r'quantile="([\d.]+)"', name)
            figures[name.partition("{")[0] + (f" {quantile[1]}" if quantile else "")] = float(value)
    return figures


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"p{q}": float(np.percentile(values, q)) if len(values) else 0.0 for q in (50, 99)}


COLUMNS = ("world", "came", "play", "wait", "slowest", "fastest", "of", "held", "p50 ms", "p99", "model", "p99", "first", "p99")
WIDTHS = (26, 5, 5, 5, 8, 8, 6, 5, 7, 7, 7, 7, 7, 7)


def _cells(result: dict[str, Any]) -> list[str]:
    times = [result[name][share] for name in ("between_frames_ms", "model_ms", "first_frame_ms") for share in ("p50", "p99")]
    rates = [f"{rate:.2f}" for rate in (*result["rates"].values(), result["fps"])]
    counts = [str(result[name]) for name in ("players", "playing", "waiting")]
    return [result["world"], *counts, *rates, "yes" if result["full_rate"] else "no", *(f"{ms:.1f}" for ms in times)]


def _line(cells: Sequence[str]) -> str:
    return text_row(cells, WIDTHS, left=(0,))
