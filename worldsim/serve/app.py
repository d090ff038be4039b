"""The web application: the page, the menu, the WebSocket, clips, health and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from worldsim.errors import FileError, ServeError
from worldsim.player.commands import COMMANDS
from worldsim.serve.hall import Hall
from worldsim.serve.metrics import CONTENT_TYPE, metrics_text

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# What the page does -> its keys there, as far as the game does not use them. F3, F5, F11 and others belong to the browser.
KEYS: Mapping[str, tuple[str, ...]] = {
    "show_help": ("F1", "h"),
    "restart": ("r",),
    "pause": ("p",),
    "one_frame": ("n",),
    "fewer_calls": ("[",),
    "more_calls": ("]",),
    "slower_mouse": ("-",),
    "faster_mouse": ("=",),
    "show_figures": ("f",),
    "toggle_fullscreen": ("u",),
    "next_mode": ("m",),
}
OWN: tuple[dict[str, Any], ...] = (
    {"name": "colder", "keys": [","], "meaning": "lower temperature"},
    {"name": "warmer", "keys": ["."], "meaning": "higher temperature"},
    {"name": "clip", "keys": ["c"], "meaning": "download the clip"},
    {"name": "picture", "keys": ["o"], "meaning": "start from a picture"},
)


def make_app(hall: Hall) -> Starlette:
    """The application of a server; put a `Guard` before it."""
    pages = read_static()

    async def index(request: Request) -> Response:
        return pages["index.html"]

    async def static(request: Request) -> Response:
        return pages.get(request.path_params["name"]) or _missing()

    async def worlds(request: Request) -> Response:
        offers = [{**offer.describe(), "picture": f"/picture/{i}"} for i, offer in enumerate(hall.catalog.offers.values())]
        return JSONResponse({"worlds": offers, "commands": commands()}, headers=NOT_KEPT)

    def picture(request: Request) -> Response:  # no coroutine, so that decoding happens in a thread
        offers = list(hall.catalog.offers.values())
        index: int = request.path_params["index"]
        if index >= len(offers):
            return _missing()
        return Response(offers[index].picture(), media_type="image/jpeg", headers={"Cache-Control": "private, max-age=60"})

    async def clip(request: Request) -> Response:
        try:
            made = await hall.clip(request.path_params["key"])
        except FileError:
            return PlainTextResponse("the server cannot write clips at the moment.", 503)
        if made is None:
            return PlainTextResponse("there is nothing to download: play first, and stay connected.", 404)
        name, content = made
        headers = {**NOT_KEPT, "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="video/mp4", headers=headers)

    async def start(request: Request) -> Response:
        key = request.path_params["key"]
        size = hall.size(key)
        if size is None:
            return PlainTextResponse("you do not play here.", 404)
        wanted, content = size[0] * size[1] * 3, b""
        async for part in request.stream():
            content += part
            if len(content) > wanted:
                break
        if len(content) != wanted:
            return PlainTextResponse(f"a picture has {wanted} bytes: {size[1]}x{size[0]} pixels of red, green and blue.", 400)
        try:
            hall.begin(key, np.frombuffer(bytearray(content), np.uint8).reshape(*size, 3))
        except ServeError as error:
            return PlainTextResponse(str(error), 409)
        return Response(status_code=204)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "closing"} if hall.closing else {"status": "ok"}, 503 if hall.closing else 200, NOT_KEPT)

    async def metrics(request: Request) -> Response:
        return Response(metrics_text(hall.counts, hall.catalog, hall.games), media_type=CONTENT_TYPE, headers=NOT_KEPT)

    async def play(socket: WebSocket) -> None:
        await hall.serve(socket)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/static/{name}", static),
            Route("/worlds", worlds),
            Route("/picture/{index:int}", picture),
            Route("/clip/{key}", clip),
            Route("/start/{key}", start, methods=["POST"]),
            Route("/healthz", health),
            Route("/metrics", metrics),
            WebSocketRoute("/play", play),
        ]
    )


NOT_KEPT = {"Cache-Control": "no-store"}


def read_static() -> dict[str, Response]:
    """The files of the page by their names, read once: nothing that a client asks for is looked up on the disk."""
    folder = files("worldsim.serve") / "static"
    found = {}
    for file in folder.iterdir():
        ending = file.name[file.name.rfind(".") :]
        if ending in TYPES:
            found[file.name] = Response(file.read_bytes(), media_type=TYPES[ending], headers={"Cache-Control": "no-cache"})
    return found


def commands() -> list[dict[str, Any]]:
    """What the page does besides passing on controls, in the words of the window."""
    meanings = {command.name: command.meaning for command in COMMANDS}
    shared = [{"name": name, "keys": list(keys), "meaning": meanings[name]} for name, keys in KEYS.items()]
    return [*shared, *OWN]


def _missing() -> Response:
    return PlainTextResponse("there is nothing here.", 404)
