"""A real X server, another program, and inputs as devices send them."""

from __future__ import annotations

import gc
import subprocess
import time

import numpy as np
import pytest

from worldsim.bench.display import VirtualScreen
from worldsim.bench.toywindow import TITLE
from worldsim.errors import DisplayError

from .conftest import wait_for, xdotool

Toy = subprocess.Popen[bytes]


def backend(title: str = "toy window"):  # type: ignore[no-untyped-def]
    from worldsim.capture.x11 import X11Backend

    return X11Backend(title)


def test_a_window_is_found_where_it_is(toy: Toy, screen: VirtualScreen) -> None:
    from worldsim.capture.backend import Region

    watched = backend()
    assert watched.title == TITLE and watched.region() == Region(100, 80, 320, 240) and watched.focused()
    xdotool(screen, "search", "--class", ".", "windowmove", "700", "500")
    moved = wait_for(lambda: "moved" if watched.region() != Region(100, 80, 320, 240) else "")
    assert moved and watched.region() == Region(700, 500, 100, 100), "what lies outside of the screen cannot be seen"
    toy.kill()
    wait_for(lambda: "gone" if watched.region() is None else "")
    watched.close()


def test_a_title_that_is_not_there(screen: VirtualScreen, toy: Toy) -> None:
    with pytest.raises(DisplayError, match=r"no window has 'Minetest' in its title; .* Windows: 'worldsim toy window'"):
        backend("Minetest")


def test_several_titles() -> None:
    from worldsim.capture.backend import pick_window

    titles = ["Game", "game - settings", "Editor"]
    assert pick_window("edit", titles) == 2 and pick_window("game", titles) == 0, "the one that is exactly it"
    with pytest.raises(DisplayError, match="2 windows have 'gam' in their title"):
        pick_window("gam", titles)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # python-xlib leaves two sockets to the garbage collector
def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("Xlib")
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(DisplayError, match="no X11 display answers"):
        backend()
    gc.collect()


def test_inputs_come_with_their_times_even_while_the_pointer_is_grabbed(toy: Toy, screen: VirtualScreen) -> None:
    watched, times = backend(), []
    with subprocess.Popen(["xdotool", "-"], env=screen.environment, stdin=subprocess.PIPE, text=True) as driver:
        assert driver.stdin is not None
        time.sleep(0.3)
        watched.inputs()
        # A button held grabs the pointer for the program under it; its release is an input all the same.
        lines = ("keydown w", "keyup w", "mousedown 1", "mousemove_relative -- -7 3", "mouseup 1", "keydown F9", "keyup F9")
        for line in lines:
            driver.stdin.write(f"{line}\n")
            times.append(time.monotonic())
            driver.stdin.flush()
            time.sleep(0.1)
    events = watched.inputs()
    seen = [(event.kind, event.name, event.down) for event in events]
    assert seen == [
        *(("key", "w", True), ("key", "w", False), ("button", "left", True), ("motion", "", False), ("button", "left", False)),
        *(("key", "f9", True), ("key", "f9", False)),
    ]
    assert (events[3].dx, events[3].dy) == (-7, 3)
    assert np.median(np.abs([event.time - given for event, given in zip(events, times, strict=True)])) < 0.05
    watched.close()


def test_keys_are_pressed_as_a_keyboard_would(toy: Toy, screen: VirtualScreen) -> None:
    watched = backend()
    watched.press("5", True)
    watched.press("5", False)
    # The toy shows it: pixels of the fifth square become red, window at (100, 80), square at (160, 180).
    red = wait_for(lambda: "red" if screen.pixels[80 + 190, 100 + 170, 2] > 200 else "")
    assert red and [event.name for event in watched.inputs()] == ["5", "5"]
    watched.close()


def test_the_state_is_shown_beside_the_window_and_never_in_it(toy: Toy, screen: VirtualScreen) -> None:
    from worldsim.capture.backend import Region

    watched = backend()
    inside = screen.pixels[80:320, 100:420].copy()
    watched.show("recording 0:01", (220, 40, 40), True)
    wait_for(lambda: "shown" if (screen.pixels[56:78, 100:460, 2] > 200).any() else "")
    assert np.array_equal(screen.pixels[80:320, 100:420], inside)
    watched.region = lambda: Region(0, 0, 800, 600)  # a window that fills the screen
    watched.show("recording 0:02", (220, 40, 40), True)
    time.sleep(0.2)
    text = screen.pixels[:22, :360, 2] > 200
    assert not text.any(), "where there is no room beside the window, nothing is shown while it is recorded"
    watched.show("not recording", (120, 120, 120), False)
    wait_for(lambda: "shown" if (screen.pixels[:22, :360, 2] > 200).any() else "")
    watched.close()


def test_the_clock_of_the_server_wraps_around() -> None:
    pytest.importorskip("Xlib")
    from worldsim.capture.x11 import ServerClock

    clock = ServerClock.__new__(ServerClock)
    clock._server, clock._here = 2**32 - 1000, 50.0
    assert clock.monotonic(500) == 51.5 and clock.monotonic(2**32 - 2000) == 49.0
