"""The server as players and others on the network meet it."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from worldsim.errors import FileError, ServeError, WorldError
from worldsim.provenance import Claim
from worldsim.serve.config import ServeConfig
from worldsim.serve.server import address, listen

from .web import WAIT, Join, Player, Serve, Served


def test_a_player_sees_frames_and_is_heard(shared: Served, join: Join) -> None:
    player = join(shared)
    world = next(message for message in player.messages if message["type"] == "world")
    assert world["keys"] == ["a", "d"] and world["mouse_limit"] == [20, 0] and not world["prompt"] and not world["real"]
    player.hold("a")
    held = player.until(lambda m: m["type"] == "frame" and m["keys"] == ["a"])
    assert held["inputs"] == 1 and len(held["pictures"]) == 1
    with av.open(io.BytesIO(held["pictures"][0])) as picture:
        assert (picture.streams.video[0].width, picture.streams.video[0].height) == (48, 32)
    frames = [player.kind("frame") for _ in range(3)]
    assert [frame["frame"] for frame in frames] == [held["frame"] + i for i in (1, 2, 3)]
    assert all(frame["keys"] == ["a"] for frame in frames)
    player.hold()
    assert player.until(lambda m: m["type"] == "frame" and m["inputs"] == 2)["keys"] == []


def test_a_tap_between_two_frames_counts_once(shared: Served, join: Join) -> None:
    player = join(shared)
    player.hold("d", mouse=(20, 0), buttons=("left",))
    player.hold()
    tapped = player.until(lambda m: m["type"] == "frame" and m["inputs"] >= 1)
    if tapped["inputs"] == 1:  # the frame came between the two
        tapped = player.headers[-1]
    assert tapped["keys"] == ["d"] and tapped["buttons"] == ["left"] and tapped["mouse"] == [3.0, 0.0]
    after = [player.kind("frame") for _ in range(3)][-1]
    assert after["keys"] == [] and after["buttons"] == [] and after["mouse"] == [0, 0]


def test_nothing_stays_held_after_a_lost_focus(shared: Served, join: Join) -> None:
    player = join(shared)
    player.hold("a", "d", buttons=("left",))
    player.until(lambda m: m["type"] == "frame" and m["keys"] == ["a", "d"])
    player.send("release")
    assert player.until(lambda m: m["type"] == "frame" and m["inputs"] == 2)["keys"] == []


def test_nothing_stays_held_when_the_page_falls_silent(serve: Serve, join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldsim.serve.connection.SILENCE", 0.3)
    served = serve()
    player = join(served)
    player.hold("a")
    player.until(lambda m: m["type"] == "frame" and m["keys"] == ["a"])
    player.shows = False
    time.sleep(1.5)  # nothing is said, and so nothing is shown
    player.shows = True
    player.until(lambda m: m["type"] == "frame" and m["frame"] == player.headers[-1]["frame"])
    player.send("shown", frame=player.headers[-1]["frame"])
    let_go = player.until(lambda m: m["type"] == "frame" and m["keys"] == [])
    assert let_go["inputs"] == 1, "the page counts its own inputs only"


def test_the_player_restarts_pauses_and_changes_the_sampler(shared: Served, join: Join) -> None:
    player = join(shared)
    player.until(lambda m: m["type"] == "frame" and m["panes"][0]["survived"] >= 3)
    player.send("restart", prompt="")
    assert player.until(lambda m: m["type"] == "frame" and m["panes"][0]["survived"] == 0)
    player.send("pause", on=True)
    assert player.until(lambda m: m["type"] == "state" and m["paused"])
    with pytest.raises(TimeoutError):
        while True:
            player.receive(0.5)
    before = player.headers[-1]["panes"][0]["survived"]
    player.send("one_frame")
    assert player.kind("frame")["panes"][0]["survived"] == before + 1
    with pytest.raises(TimeoutError):
        while True:
            player.receive(0.5)
    player.send("pause", on=False)
    assert player.kind("frame")
    player.send("num_steps", change=1)
    assert player.until(lambda m: m["type"] == "state" and not m["paused"])["calls"] == 4
    player.send("temperature", value=0.5)
    assert player.kind("state")["temperature"] == 0.5
    player.send("restart", prompt="a castle")
    assert player.kind("notice")["text"] == "this world takes no prompts."
    player.send("mode", name="side by side")
    assert player.kind("notice")["text"] == "there is no real game beside this world here."


def test_players_have_dreams_of_their_own(shared: Served, join: Join) -> None:
    one, other = join(shared), join(shared)
    one.hold("a")
    assert one.until(lambda m: m["type"] == "frame" and m["keys"] == ["a"])
    assert all(header["keys"] == [] for header in [other.kind("frame") for _ in range(5)])


def test_a_dream_that_ends_starts_again(serve: Serve, join: Join, short_world_path: Path) -> None:
    player = join(serve(short_world_path))
    player.until(lambda m: m["type"] == "frame" and m["panes"][0]["over"])
    player.until(lambda m: m["type"] == "frame" and not m["panes"][0]["over"])
    assert any(m["type"] == "notice" and "the dream ended after" in m["text"] for m in player.messages)


def test_the_newest_frame_wins_on_a_slow_line(shared: Served, join: Join) -> None:
    player = join(shared)
    player.shows = False
    numbers = []
    with pytest.raises(TimeoutError):
        while True:
            message = player.receive(0.6)
            if message["type"] == "frame":
                numbers.append(message["panes"][0]["survived"])
    assert len(numbers) <= 4, "no more than that are on their way"
    player.shows = True
    player.send("shown", frame=player.headers[-1]["frame"])
    fresh = player.kind("frame")
    assert fresh["panes"][0]["survived"] > numbers[-1] + 3, "frames of meanwhile are not sent late"
    assert fresh["frame"] == player.headers[-2]["frame"] + 1


def test_a_clip_that_cannot_be_written_is_said_and_the_player_plays_on(
    shared: Served, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise FileError("no space is left.")

    monkeypatch.setattr("worldsim.serve.play.Play.save_clip", full)
    player = join(shared)
    path = next(message["clip"] for message in player.messages if message["type"] == "world")
    status, _, content = shared.get(path)
    assert (status, content) == (503, b"the server cannot write clips at the moment.")
    assert player.kind("frame")


def test_the_clip_is_an_mp4_of_what_was_played(shared: Served, join: Join) -> None:
    player = join(shared)
    path = next(message["clip"] for message in player.messages if message["type"] == "world")
    for _ in range(10):
        player.kind("frame")
    status, headers, content = shared.get(path)
    assert status == 200 and headers["content-type"] == "video/mp4"
    assert re.fullmatch(r'attachment; filename="[\w.-]+\.mp4"', headers["content-disposition"])
    with av.open(io.BytesIO(content)) as clip:
        assert clip.streams.video[0].frames >= 10 and clip.streams.video[0].width == 48 * 14
        claim = Claim.from_text(clip.metadata["comment"])
    assert claim is not None and claim.world == "test/tiny" and claim.sampler["temperature"] == 1 and claim.world_hash
    player.socket.close()
    shared.get("/metrics")
    deadline = time.monotonic() + WAIT
    while shared.get(path)[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shared.get(path)[0] == 404, "it ends with the connection"
    assert shared.get("/clip/..%2f..%2fetc%2fpasswd")[0] == 404


def test_past_the_limit_players_wait_in_order(serve: Serve, join: Join) -> None:
    served = serve(limit=1)
    first = join(served)
    second = join(served, seated=False)
    assert second.kind("wait")["ahead"] == 0
    third = join(served, seated=False)
    assert third.kind("wait")["ahead"] == 1
    line = f'{{world="{served.world}"}}'
    assert served.figure(f"worldsim_waiting{line}") == 2 and served.figure(f"worldsim_players{line}") == 1
    first.socket.close()
    assert second.kind("frame")
    assert third.until(lambda m: m["type"] == "wait" and m["ahead"] == 0)
    third.socket.close()
    second.hold("a")
    assert second.until(lambda m: m["type"] == "frame" and m["keys"] == ["a"])


def test_idle_players_are_warned_and_have_to_leave(serve: Serve, join: Join) -> None:
    player = join(serve(idle=2.0))
    text, code = player.goodbye()
    assert "you did nothing for a long time" in text and code == 1000
    assert any("press a key to keep your place" in m.get("text", "") for m in player.messages)


def test_health_metrics_menu_and_pictures(shared: Served, join: Join) -> None:
    join(shared)
    assert json.loads(shared.get("/healthz")[2]) == {"status": "ok"}
    text = shared.get("/metrics")[2].decode()
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [-+.\deinfa]+', line), line
    assert shared.figure("worldsim_connections") == 1 and shared.figure("worldsim_sent_frames_total") >= 1
    before = shared.figure("worldsim_clips_total")
    shared.server.hall.counts.total["clips"] += 12_345_678
    assert shared.figure("worldsim_clips_total") == before + 12_345_678, "large counts are exact"
    (world,) = json.loads(shared.get("/worlds")[2])["worlds"]
    assert (world["width"], world["height"], world["players"]) == (48, 32, 1)
    status, headers, picture = shared.get(world["picture"])
    assert status == 200 and headers["content-type"] == "image/jpeg" and picture[:2] == b"\xff\xd8"


def test_places_change_hands_at_any_moment(serve: Serve, join: Join) -> None:
    served = serve(limit=1)
    for _ in range(30):
        player = join(served)
        player.hold("a")
        player.socket.close()
    assert served.figure(f'worldsim_frames_total{{world="{served.world}"}}') > 0
    assert join(served).headers and not served.said


def test_sigterm_says_goodbye_to_players(tiny_world_path: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "worldsim",
        "serve",
        str(tiny_world_path),
        "--port",
        "0",
        "--limit",
        "1",
        "--runtime",
        "torch",
    ]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        port = int(re.search(r"^play at http://127\.0\.0\.1:(\d+)/$", line)[1])  # type: ignore[index]
        from websockets.sync.client import connect

        with connect(f"ws://127.0.0.1:{port}/play", open_timeout=WAIT) as socket:
            player = Player(socket)
            player.send("play", world=str(tiny_world_path))
            player.kind("frame")
            program.send_signal(signal.SIGTERM)
            assert player.goodbye() == ("the server is closing.", 1001)
        _, errors = program.communicate(timeout=WAIT)
        assert program.returncode == 143 and errors == ""
    finally:
        program.kill()
        program.wait()


def test_what_is_wrong_is_said_before_anything_is_served(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listen(ServeConfig(port=0)) as listener, pytest.raises(ServeError, match=r"cannot listen at 127\.0\.0\.1, port"):
        listener.listen()
        listen(ServeConfig(port=listener.getsockname()[1]))
    with pytest.raises(ServeError, match=r"cannot listen at nowhere\.invalid"):
        listen(ServeConfig(host="nowhere.invalid"))
    from worldsim.serve.server import WorldServer

    with pytest.raises(WorldError, match="no world 'doom/nowhere'"):
        WorldServer(ServeConfig(("doom/nowhere",)), 1, print)


def test_addresses_can_be_opened() -> None:
    assert address(ServeConfig(), 8000, None) == "http://127.0.0.1:8000/"
    assert address(ServeConfig(host="::1"), 8000, "t") == "http://[::1]:8000/?token=t"
    assert "0.0.0.0" not in address(ServeConfig(host="0.0.0.0"), 8000, "t")


def test_a_dream_starts_from_a_picture(shared: Served, join: Join) -> None:
    player = join(shared)
    world = next(message for message in player.messages if message["type"] == "world")
    player.until(lambda m: m["type"] == "frame" and m["panes"][0]["survived"] >= 2)
    size = world["height"] * world["width"] * 3
    assert shared.post(world["start"], bytes(size)) == (204, "")
    first = player.until(lambda m: m["type"] == "frame" and m["panes"][0]["survived"] == 0)
    with av.open(io.BytesIO(first["pictures"][0])) as file:
        assert next(file.decode(video=0)).to_ndarray(format="rgb24").max() < 20, "the picture is black"
    assert player.until(lambda m: m["type"] == "frame" and m["panes"][0]["survived"] == 1)
    for wrong in (b"", bytes(size - 1), bytes(size + 1), bytes(100 * size)):
        status, text = shared.post(world["start"], wrong)
        assert status == 400 and f"a picture has {size} bytes" in text
    answers = [shared.post(world["start"], bytes(size))[0] for _ in range(8)]
    assert answers[0] == 204 and answers[-1] == 409
    assert shared.post("/start/somebody", bytes(size))[0] == 404
