"""What strangers and their pages can do to a server: nothing."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from worldsim.machine import resident_bytes
from worldsim.serve.config import TOKEN
from worldsim.serve.guard import HEADERS

from .web import WAIT, Join, Player, Serve, Served

SECRET = "a-token-of-enough-characters"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("{", "a message is JSON."),
        ("[" * 4000, "a message is JSON."),
        ('{"type": "open", "path": "/etc/passwd"}', "there is no message of the type 'open'."),
        ('{"type": "hold", "keys": ["a"], "mouse": [0, NaN], "buttons": []}', "a message is JSON."),
        ('{"type": "play", "world": "doom/take-cover"}', "a connection is for one world."),
        ('{"type": "shown", "frame": 99999}', "a frame was shown that was not sent."),
        (b"\x00\x01", "messages are text."),
    ],
)
def test_what_no_page_sends_ends_the_connection(shared: Served, join: Join, sent: str | bytes, said: str) -> None:
    player = join(shared)
    player.socket.send(sent)
    assert player.goodbye() == (said, 1008)
    assert join(shared).headers, "others play on"


def test_messages_that_are_too_long_or_too_many_end_the_connection(shared: Served, join: Join) -> None:
    player = join(shared)
    player.send("restart", prompt="x" * 5000)
    assert player.goodbye()[1] == 1009
    player = join(shared)
    for at in range(1000):
        player.send("ping", at=at)
    assert player.goodbye() == ("too many messages came at once.", 1008)
    assert join(shared).headers


def test_a_connection_that_says_nothing_or_plays_too_early_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldsim.serve.connection.HELLO", 0.2)
    served = serve()
    with served.socket() as socket:
        assert Player(socket).goodbye() == ("no world was chosen.", 1008)
    with served.socket() as socket:
        early = Player(socket)
        early.hold("a")
        assert early.goodbye()[1] == 1008
    with served.socket() as socket:
        wrong = Player(socket)
        wrong.send("play", world="../../etc")
        assert wrong.goodbye() == ("there is no such world here.", 1008)


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["a", "play", "../x", "\x00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["hold", "restart", "shown", "pause", "num_steps", "temperature", "mode", "ping", "one_frame", "play"])


@settings(max_examples=settings().max_examples * 2)
@given(
    data=st.binary(max_size=300)
    | st.text(max_size=300)
    | st.builds(
        lambda k, f: json.dumps({**f, "type": k}),
        KINDS,
        st.dictionaries(
            st.sampled_from(["keys", "mouse", "buttons", "frame", "on", "value", "at", "change", "name", "prompt"]), ODD
        ),
    )
)
def test_no_message_harms_the_server(shared: Served, data: str | bytes) -> None:
    """`--hypothesis-profile=search` tries thousands. After each the connection lives, or was ended with a sentence."""
    with shared.socket() as socket:
        player = Player(socket)
        try:
            player.send("play", world=shared.world)
            player.kind("world")
            socket.send(data.encode("utf-8", "replace").decode() if isinstance(data, str) else data)
            with suppress(ConnectionClosed):  # there is more to read
                player.send("ping", at=1)
            player.kind("pong")
        except ConnectionClosed as closed:
            assert closed.rcvd is not None and closed.rcvd.code == 1008
            assert player.messages[-1]["type"] == "bye" and "Traceback" not in player.messages[-1]["text"]
    assert not shared.said, "nothing went wrong on our side"


@pytest.mark.parametrize("times", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_players_come_and_go_without_leaving_memory_behind(shared: Served, times: int) -> None:
    def come_and_go(count: int) -> int:
        for i in range(count):
            with shared.socket() as socket:
                player = Player(socket)
                player.send("play", world=shared.world)
                player.kind("frame" if i % 2 else "world")
                if i % 3 == 0:
                    os.close(os.dup(socket.socket.fileno()))
                    socket.socket.close()  # without a goodbye
        return resident_bytes() or 0

    before = come_and_go(times // 3)
    after = come_and_go(times)
    assert after - before < 16 << 20
    gone = ("worldsim_connections", f'worldsim_players{{world="{shared.world}"}}')
    deadline = time.monotonic() + WAIT
    while any(map(shared.figure, gone)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [shared.figure(line) for line in gone] == [0, 0]


def test_every_answer_has_the_headers_that_keep_a_page_safe(shared: Served) -> None:
    for path in ("/", "/static/game.js", "/worlds", "/healthz", "/nowhere", "/static/..%2fapp.py", "/picture/99", "/picture/x"):
        status, headers, content = shared.get(path)
        assert {name.lower(): value for name, value in HEADERS.items()}.items() <= headers.items(), path
        assert "server" not in headers and b"Traceback" not in content and b"/worldsim/" not in content
        assert status == (404 if path not in ("/", "/static/game.js", "/worlds", "/healthz") else 200)
    assert shared.get("/", method="POST")[0] == 405


def test_pages_of_other_sites_are_refused(shared: Served) -> None:
    own = f"http://127.0.0.1:{shared.port}"
    assert shared.get("/worlds", {"Origin": own})[0] == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", ""):
        assert shared.get("/worlds", {"Origin": origin})[0] == 403
        assert shared.refusal(origin=origin or "http://") == 403
    for host in ("evil.example", f"evil.example:{shared.port}", "192.168.0.1", "[", "127.0.0.1.evil.example"):
        assert shared.get("/worlds", {"Host": host})[0] == 421
    assert shared.get("/worlds", {"Host": f"localhost:{shared.port}"})[0] == 200
    assert shared.refusal(origin=own) == 101


def test_beyond_this_machine_the_token_is_needed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(host="0.0.0.0", allow_host=("play.example.org",))
    token = served.address.partition("?token=")[2]
    assert len(token) >= 32 and served.address.startswith("http://")
    for path in (
        "/",
        "/worlds",
        "/metrics",
        "/static/game.js",
        "/clip/x",
        "/?token=wrong",
        "/?token=",
        "/?" + "&".join("abcdefghij"),
    ):
        assert served.get(path)[0] == 401, path
    assert served.get("/healthz")[0] == 200
    for headers in ({}, {"Cookie": f"worldsim-{served.port}=wrong"}, {"Authorization": "Bearer wrong"}):
        assert served.refusal(additional_headers=headers) == 403
    status, headers, _ = served.get(f"/?token={token}")
    assert status == 303 and headers["location"] == "/"
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=lax" in headers["set-cookie"]
    cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
    assert served.get("/", cookie)[0] == 200
    others = {"Cookie": f'prefs={{"a":1}}; {cookie["Cookie"]}; b=ä'.encode().decode("latin-1")}
    assert served.get("/", others)[0] == 200, "cookies of other services of the same host"
    assert served.get("/metrics", {"Authorization": f"Bearer {token}"})[0] == 200
    assert served.get("/", {**cookie, "Host": "evil.example"})[0] == 421
    assert served.get("/", {**cookie, "Host": "play.example.org"})[0] == 200
    assert served.refusal(additional_headers=cookie, origin="http://evil.example") == 403
    assert served.refusal(additional_headers=cookie) == 101


def test_a_token_of_ones_own_is_kept_to_oneself(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    served = serve()
    assert served.address.endswith(f"?token={SECRET}")
    assert served.get("/")[0] == 401 and served.get(f"/?token={SECRET}")[0] == 303
