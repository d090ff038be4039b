"""Who may talk to the server, and the headers under which a browser runs its page.

A page of another site can make a visitor's browser send requests to this machine. So the name under which the server is
asked for must be one of its own (a foreign name that resolves to this machine would share its cookies with the foreign
site), and a request that says which page made it must come from our own. Beyond this machine a token is needed besides.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worldsim.serve.config import is_loopback

OPEN = ("/healthz",)  # paths that need no token
LARGEST_TARGET = 2048  # characters of a path with its query
REFUSED = 1008  # WebSocket close code: policy violation
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Lets through what may come, and adds `HEADERS` to every answer.

    Args:
        app: what is behind it.
        loopback: whether only this machine can reach the server; then it must be asked for under a name of this machine.
        token: that every request must bring, in a cookie, in the address, or as `Authorization: Bearer`; None for none.
        names: further names under which the server may be asked for.
        port: of the server, which is part of the cookie's name: browsers do not keep the cookies of ports apart.
    """

    def __init__(self, app: ASGIApp, *, loopback: bool, token: str | None, names: Sequence[str], port: int) -> None:
        self.app, self.loopback, self.token = app, loopback, token
        own = () if loopback else (socket.gethostname(), socket.getfqdn())
        self.names = {name.lower() for name in (*names, *own)}
        self.cookie = f"worldsim-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        answer = self.answer(scope)
        if scope["type"] == "websocket":
            if answer is None:
                await self.app(scope, receive, send)
            else:  # before the connection is accepted, which the server turns into status 403
                await send({"type": "websocket.close", "code": REFUSED})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_ENCODED]}
            await send(message)

        await (answer or self.app)(scope, receive, send_with_headers)

    def answer(self, scope: Scope) -> Response | None:
        """What to say to a request that is not let through, or to one that brings the token in its address."""
        headers = Headers(scope=scope)
        if len(scope["path"]) + len(scope["query_string"]) > LARGEST_TARGET:
            return PlainTextResponse("this address is too long.", 414)
        host = headers.get("host", "")
        if not self.is_own_name(host):
            return PlainTextResponse("this server is not known by that name; it can be allowed with --allow-host.", 421)
        origin = headers.get("origin")
        if origin is not None and not _same_host(origin, host):
            return PlainTextResponse("this request was made by a page of another site.", 403)
        if self.token is None or scope["path"] in OPEN:
            return None
        if scope["path"] == "/" and scope["type"] == "http" and self._is_token(_in_query(scope["query_string"])):
            return self._remember()
        if self._is_token(_bearer(headers)) or self._is_token(_cookie(headers, self.cookie)):
            return None
        return PlainTextResponse("the token is missing or wrong; open the whole address that the server printed.", 401)

    def is_own_name(self, host: str) -> bool:
        """Whether the server may be asked for under a `Host`: a name of this machine, an address, or one that was allowed.

        An address is harmless, as no foreign site has a name that is one.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self.names or (not self.loopback and _is_address(name))

    def _is_token(self, given: str) -> bool:
        return self.token is not None and secrets.compare_digest(given.encode(), self.token.encode())

    def _remember(self) -> Response:
        """Moves the token from the address, which is shown and kept in the history, to a cookie, which is not."""
        assert self.token is not None
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.cookie, self.token, max_age=7 * 86_400, httponly=True, samesite="lax")
        return answer


_ENCODED = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_host(origin: str, host: str) -> bool:
    """Whether a page's origin is this server; the scheme may differ behind a proxy."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _bearer(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _in_query(query: bytes) -> str:
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=8).get("token", [""])[0]
    except ValueError:
        return ""


def _cookie(headers: Headers, name: str) -> str:
    # Not http.cookies, which reads nothing where another service of the host has set a cookie that it does not like.
    return cookie_parser(headers.get("cookie", "")).get(name, "")
