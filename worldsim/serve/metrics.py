"""What there is to watch about a server, in the text format of Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping

from worldsim.machine import resident_bytes
from worldsim.serve.catalog import Catalog
from worldsim.serve.play import RealGames

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Name of a count or a gauge -> its help and type. Counts end in _total.
HELP: Mapping[str, str] = {
    "worldsim_up_seconds": "Seconds since the server started.",
    "worldsim_connections": "WebSockets that are open.",
    "worldsim_connections_total": "WebSockets that were opened.",
    "worldsim_ended_total": "Connections that the server ended, by cause.",
    "worldsim_messages_total": "Messages that players sent.",
    "worldsim_sent_frames_total": "Frames that were sent to players.",
    "worldsim_sent_bytes_total": "Bytes of those frames.",
    "worldsim_clips_total": "Clips that were downloaded.",
    "worldsim_real_games": "Real games that run beside a dream.",
    "worldsim_players": "Places that are taken, by world.",
    "worldsim_places": "Places there are, by world.",
    "worldsim_preparing": "1 while places are still being added, by world.",
    "worldsim_waiting": "Players who wait for a place, by world.",
    "worldsim_frames_total": "Frames that were made, by world.",
    "worldsim_late_frames_total": "Frames that took longer than the time between two, by world.",
    "worldsim_skipped_frames_total": "Frames that a newer one replaced before they were sent, by world.",
    "worldsim_frame_seconds": "Seconds that making a frame took of late, by world and quantile.",
    "worldsim_player_frames_per_second": "Rate of the slowest and of the fastest player, by world.",
    "process_resident_memory_bytes": "Memory of the process.",
    "process_cpu_seconds_total": "Time of the CPU that the process took.",
}


class Counts:
    """Counts since the start of a server; only its event loop changes them."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.connections = 0
        self.total: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()


def metrics_text(counts: Counts, catalog: Catalog, games: RealGames) -> str:
    """All figures, as Prometheus reads them."""
    rows = [*_of_server(counts), ("worldsim_real_games", {}, float(games.running)), *_of_worlds(catalog)]
    lines = []
    for name, text in HELP.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"]
        lines += [f"{name}{_labels(labels)} {float(value)!r}" for row, labels, value in rows if row == name]
    return "\n".join(lines) + "\n"


Row = tuple[str, dict[str, str], float]


def _of_server(counts: Counts) -> Iterator[Row]:
    yield "worldsim_up_seconds", {}, time.monotonic() - counts.begun
    yield "worldsim_connections", {}, counts.connections
    for name in ("connections", "messages", "sent_frames", "sent_bytes", "clips"):
        yield f"worldsim_{name}_total", {}, counts.total[name]
    for cause, number in counts.ended.items():
        yield "worldsim_ended_total", {"cause": cause}, number
    if (memory := resident_bytes()) is not None:
        yield "process_resident_memory_bytes", {}, memory
    yield "process_cpu_seconds_total", {}, time.process_time()


def _of_worlds(catalog: Catalog) -> Iterator[Row]:
    for name, offer in catalog.offers.items():
        world = {"world": name}
        yield "worldsim_waiting", world, len(offer.line)
        if offer.running is None:
            yield "worldsim_players", world, 0
            continue
        figures = offer.running.figures()
        yield "worldsim_players", world, figures["players"]
        yield "worldsim_places", world, figures["limit"]
        yield "worldsim_preparing", world, not figures["prepared"]
        yield "worldsim_frames_total", world, figures["frames"]
        yield "worldsim_late_frames_total", world, figures["late"]
        yield "worldsim_skipped_frames_total", world, figures["skipped"]
        for quantile, key in (("0.5", "frame_seconds_p50"), ("0.99", "frame_seconds_p99")):
            yield "worldsim_frame_seconds", {**world, "quantile": quantile}, figures[key]
        for player in ("slowest", "fastest"):
            yield "worldsim_player_frames_per_second", {**world, "player": player}, figures[f"rate_{player}"]


def _labels(labels: Mapping[str, str]) -> str:
    quoted = {name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in quoted.items()) + "}" if labels else ""
