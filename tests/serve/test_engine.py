from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from worldsim.errors import FullError, ServeError, WorldError
from worldsim.machine import resident_bytes
from worldsim.serve import Budget, Engine, Frame, Seat, load_world
from worldsim.world import World

PATIENCE = 120.0  # seconds that a test waits, on however busy a machine


def next_frame(seat: Seat) -> Frame:
    frame = seat.frame(PATIENCE)
    assert frame is not None
    return frame


def all_frames(seat: Seat, count: int) -> list[Frame]:
    """The first so many, none of them missed: taken in the engine's thread."""
    frames: list[Frame] = []
    done = threading.Event()

    def keep() -> None:
        if seat.reason is None and (frame := seat.take()) is not None:
            frames.append(frame)
            if len(frames) == count:
                done.set()

    seat.watch(keep)
    assert done.wait(PATIENCE)
    return frames[:count]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_player_sees_what_a_world_of_their_own_would_show(engine: Engine, tiny_world_path: Path) -> None:
    """While others come, so that the batch grows."""
    alone = World.load(tiny_world_path, device="cpu", dtype=torch.float32)
    seat = engine.join(seed=3)
    seat.hold({"a"}, mouse=(30, 0))
    for seed in (4, 5):
        engine.join(seed=seed)
    frames = all_frames(seat, 8)
    assert engine.figures()["rows"] == 4
    numbers = [frame.number for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 8)) and numbers[0] <= 1
    expected = [alone.reset(seed=3).frame[0]]
    if numbers[0] == 1:
        frames = [Frame(expected[0], frames[0].controls, 0, 1, 0.0, False, 0, 0.0), *frames]
    for frame in frames[1:]:
        expected.append(alone.step(frame.controls[None]).frame[0])
    assert frames[2].controls[0] == 1
    for frame, image in zip(frames, expected, strict=True):
        assert np.abs(frame.image.astype(int) - image).max() <= 2


def test_players_come_and_go_under_way_and_memory_stays_flat(engine: Engine) -> None:
    staying = engine.join(seed=0)
    before = 0
    for i in range(300):
        if i == 100:  # by then all that is kept is there
            gc.collect()
            before = resident_bytes() or 0
        visitor = engine.join(seed=i)
        if i % 3:
            next_frame(visitor)
        visitor.leave()
        until(lambda: engine.players == 1)
    gc.collect()
    assert (resident_bytes() or 0) - before < 8 * 2**20
    assert engine.figures()["joined"] == 301 and engine.figures()["faults"] == 0
    newest = next_frame(staying)
    until(lambda: next_frame(staying).number > newest.number)


def test_many_may_come_and_go_at_once(engine: Engine) -> None:
    """No row is lost on the way, however their calls fall together."""

    def visit(_: int) -> None:
        with suppress(FullError):
            engine.join().leave()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(visit, range(200)))
    until(lambda: engine.players == 0 and not engine._rows._rows)
    seats = [engine.join() for _ in range(4)]
    until(lambda: all(seat.frames > 2 for seat in seats))


def test_past_the_limit_newcomers_are_told_to_wait(engine: Engine) -> None:
    seats = [engine.join() for _ in range(4)]
    with pytest.raises(FullError, match="all 4 places are taken; wait until somebody leaves"):
        engine.join()
    assert not engine.has_room and engine.figures()["refused"] == 1
    seats[1].leave()
    engine.join()
    with pytest.raises(ServeError, match="you left"):
        seats[1].take()


def test_newcomers_wait_when_one_more_would_slow_down_those_who_play(tiny_world: World) -> None:
    with Engine(tiny_world, limit=2) as engine:
        engine.sizes.wait()
        engine._capacity.slowdown = 1e6  # as if the machine were busy
        first = engine.join()
        with pytest.raises(FullError, match="one more player would slow down those who play"):
            engine.join()
        with pytest.raises(ServeError, match="4 steps a frame"):
            budget = engine._budget
            budget.set(object(), 0.5)
            first.num_steps = 4


def test_engines_of_a_process_share_its_time(tiny_world_path: Path) -> None:
    budget = Budget()
    worlds = [World.load(tiny_world_path, device="cpu", dtype=torch.float32) for _ in range(2)]
    with Engine(worlds[0], limit=1, budget=budget) as one, Engine(worlds[1], limit=1, budget=budget) as other:
        budget.set("a third", 0.95)
        with pytest.raises(FullError):
            one.join()
        budget.set("a third", 0.0)
        seat = one.join()
        next_frame(seat)
        assert budget.others(other) > 0
        seat.leave()
        until(lambda: budget.others(other) == 0)
    assert budget.others("a third") == 0


def test_a_slow_reader_gets_the_newest_frame_and_slows_nobody(engine: Engine) -> None:
    slow, fast = engine.join(), engine.join()
    while fast.frames < 12:
        next_frame(fast)
    frame = next_frame(slow)
    assert frame.number >= 10 and slow.skipped >= 10
    assert engine.figures()["skipped"] >= slow.skipped


def test_a_restart_begins_another_episode_and_the_last_one_asked_for_counts(engine: Engine) -> None:
    seat = engine.join(seed=0)
    first = next_frame(seat)
    for seed in range(50):
        seat.restart(seed=seed, start=1)
    until(lambda: next_frame(seat).episode > first.episode)
    assert seat.seed == 49
    cases: tuple[dict[str, Any], ...] = ({"seed": -1}, {"start": 3})
    for wrong in cases:
        with pytest.raises(WorldError):
            seat.restart(**wrong)
        with pytest.raises(WorldError):
            engine.join(**wrong)


def test_a_pause_stops_one_player_only(engine: Engine) -> None:
    paused, playing = engine.join(), engine.join()
    next_frame(paused)
    paused.pause()
    begun = playing.frames
    until(lambda: playing.frames > begun + 2)  # by then the frame that was being made is there
    still = paused.frames
    until(lambda: playing.frames > begun + 7)
    assert paused.frames == still and paused.rate() == 0 and paused.paused
    paused.pause(False)
    until(lambda: paused.frames > still)


def test_settings_differ_by_player(engine: Engine, tiny_world_path: Path) -> None:
    """Steps and temperature of one change nothing for the other, and act as they would alone."""
    usual, other = engine.join(seed=1), engine.join(seed=2)
    other.num_steps, other.temperature = 3, 0.0
    other.restart(seed=2)
    usual.restart(seed=1)
    until(lambda: usual.frames > 8 and other.frames > 8)
    cases: list[tuple[Seat, dict[str, Any]]] = [(usual, {}), (other, {"num_steps": 3, "temperature": 0.0})]
    for seat, settings in cases:
        world = World.load(tiny_world_path, device="cpu", dtype=torch.float32, **settings)
        clip, seed = seat.clip(), seat.seed
        first = world.reset(seed=seed).frame[0]
        at = max(i for i, image in enumerate(clip.frames[:-3]) if np.array_equal(image, first))
        for i in range(at + 1, at + 4):
            shown = world.step(clip.controls[i][None]).frame[0]
            assert np.abs(shown.astype(int) - clip.frames[i]).max() <= 2
    with pytest.raises(ServeError, match="num_steps was 0"):
        other.num_steps = 0
    with pytest.raises(ServeError, match="temperature was -1"):
        other.temperature = -1


def test_an_episode_that_is_over_waits_for_a_restart(short_world_path: Path) -> None:
    with Engine(World.load(short_world_path, device="cpu"), limit=1) as engine:
        seat = engine.join(seed=0)
        until(lambda: (frame := seat.frame(0.1)) is not None and frame.over)
        frames = seat.frames
        time.sleep(0.2)
        assert seat.frames == frames and np.array_equal(seat.clip().frames[-1], seat.clip().frames[-2])
        seat.restart()
        assert next_frame(seat).number == 0


def test_the_fault_of_one_seat_ends_no_other(engine: Engine) -> None:
    def broken() -> None:
        raise RuntimeError("a callback's own fault")

    staying, leaving = engine.join(), engine.join()
    next_frame(staying)
    until(lambda: leaving.frames > 0)
    leaving.watch(lambda: broken() if leaving.reason is None and leaving.frames > 3 else None)
    with pytest.raises(ServeError, match="your place was lost by a fault: RuntimeError"):
        while True:
            next_frame(leaving)
    newest = next_frame(staying)
    until(lambda: next_frame(staying).number > newest.number + 2)
    assert engine.players == 1 and engine.figures()["faults"] == 1


def test_a_start_that_fails_ends_one_seat_only(engine: Engine) -> None:
    seats = [engine.join(seed=seed) for seed in (1, 2)]
    for seat in seats:
        next_frame(seat)
    seats[0].restart(picture=np.zeros((8, 8, 3), np.uint8))
    until(lambda: seats[0].reason is not None)
    assert "lost by a fault" in str(seats[0].reason)
    seen = seats[1].frames
    until(lambda: seats[1].frames > seen)


def test_a_dream_that_breaks_is_ended_and_no_other(engine: Engine) -> None:
    staying, breaking = engine.join(), engine.join()
    until(lambda: staying.frames > 2 and breaking.frames > 2)
    engine._rows.world.stream.ring.values[:, engine._rows._rows[breaking]] = torch.nan
    with pytest.raises(ServeError, match="the dream broke"):
        while True:
            next_frame(breaking)
    newest = next_frame(staying)
    until(lambda: next_frame(staying).number > newest.number + 2)
    again = engine.join()
    until(lambda: again.frames > 3 or again.reason is not None)
    assert again.reason is None


def test_a_fault_of_the_engine_is_said_to_everybody(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise WorldError("no memory is left.")

    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    seats = [engine.join(), engine.join()]
    for seat in seats:
        next_frame(seat)
    monkeypatch.setattr(engine.world, "imagine", fail)
    monkeypatch.setattr(engine._rows.world, "imagine", fail)
    for seat in seats:
        with pytest.raises(ServeError, match="the engine stopped: no memory is left"):
            while True:
                next_frame(seat)
    with pytest.raises(ServeError, match="no memory is left"):
        engine.join()
    engine.close()  # waits for the thread, whose trace the hook swallows
    assert engine.reason == "the engine stopped: no memory is left."


def test_closing_tells_every_player_why_and_gives_the_world_back(tiny_world: World) -> None:
    tiny_world.temperature = 0.5
    engine = Engine(tiny_world, limit=2)
    seat = engine.join()
    seat.temperature, seat.num_steps = 2.0, 3
    until(lambda: seat.frames > 3)
    with pytest.raises(WorldError, match="in use by another Engine"):
        Engine(tiny_world)
    engine.close("goodbye.")
    engine.close("once more.")
    with pytest.raises(ServeError, match=r"^goodbye\.$"):
        seat.frame()
    with pytest.raises(ServeError, match=r"^goodbye\.$"):
        engine.join()
    with pytest.raises(ServeError, match=r"^goodbye\.$"):
        seat.restart()
    assert seat.clip().frames.shape[1:] == (32, 48, 3)
    assert tiny_world.temperature == 0.5 and tiny_world.num_steps == 2 and tiny_world.stream.temperature == 0.5
    tiny_world.claim(engine)
    assert not [thread for thread in threading.enumerate() if "engine" in thread.name or "batches" in thread.name]


def test_an_engine_whose_players_do_nothing_sleeps(engine: Engine) -> None:
    seat = engine.join()
    next_frame(seat)
    seat.pause()

    def sleeps() -> bool:
        frames = engine.figures()["frames"]
        time.sleep(0.2)
        return engine.figures()["frames"] == frames

    until(sleeps)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 100_000}, {"clip_seconds": -1}])
def test_what_is_out_of_range_is_explained(tiny_world: World, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ServeError, match=f"{name} was"):
        Engine(tiny_world, **wrong)


def test_served_worlds_take_openvino_at_once(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path))
    assert load_world(tiny_world_path, device="cpu").runtime.name == "openvino"
    assert load_world(tiny_world_path, device="cpu", runtime="torch").runtime.name == "torch"
    with pytest.raises(WorldError, match="no world"):
        load_world(tmp_path / "nothing")
