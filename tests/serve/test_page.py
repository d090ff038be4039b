"""The page: what can be read off its files, and what a real browser makes of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from worldsim.bench.chromium import INSTALL, Browser, check_browser, open_browser
from worldsim.errors import DisplayError
from worldsim.serve.app import OWN, commands, read_static
from worldsim.worlds import SHIPPED

from .web import Serve, Served

STATIC = Path(str(find_spec("worldsim.serve").submodule_search_locations[0])) / "static"  # type: ignore[union-attr, index]
PAGE = (STATIC / "index.html").read_text()
SCRIPTS = {path.name: path.read_text() for path in STATIC.glob("*.js")}


def problem() -> str | None:
    try:
        check_browser()
    except DisplayError as error:
        return str(error).rstrip(".")
    return None


MISSING = problem()
needs_browser = pytest.mark.skipif(MISSING is not None, reason=f"{MISSING}; install: {INSTALL.partition(': ')[2]}")


def test_the_page_fetches_nothing_from_elsewhere_and_has_no_code_in_its_markup() -> None:
    for text in (PAGE, *SCRIPTS.values(), (STATIC / "style.css").read_text()):
        assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+/", text.replace("http://www.w3.org/", ""))
        assert "eval(" not in text and "innerHTML" not in text
    assert not re.search(r"\son\w+=|\sstyle=|<script(?![^>]*src=)|<style", PAGE)
    for name in re.findall(r"/static/([\w.]+)", PAGE):
        assert name in read_static(), name
    for script in SCRIPTS.values():
        assert set(re.findall(r'from "\./([\w.]+)"', script)) <= set(read_static())


def test_scripts_and_markup_speak_of_the_same_things() -> None:
    ids = set(re.findall(r'\bid="(\w+)"', PAGE))
    assert {name for script in SCRIPTS.values() for name in re.findall(r'\$\("(\w+)"\)', script)} == ids
    buttons = set(re.findall(r'data-command="(\w+)"', PAGE))
    handled = set(re.findall(r"^      (\w+): \(\) =>", SCRIPTS["game.js"].partition("const actions = {")[2], re.MULTILINE))
    named = {command["name"] for command in commands()}
    assert buttons <= handled and named <= handled and handled <= buttons | named


def test_commands_have_keys_of_their_own_and_the_words_of_the_window() -> None:
    keys = [key for command in commands() for key in command["keys"]]
    assert len(keys) == len(set(keys))
    assert not set(keys) & {"F3", "F5", "F6", "F11", "F12", "Tab", "Escape"}, "these are the browser's"
    words = {command["name"]: command["meaning"] for command in commands()}
    assert words["restart"] == "another start" and words["one_frame"] == "one frame while paused"
    assert all(command["meaning"] for command in OWN)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        browser.call("Log.enable")
        browser.call("Runtime.enable")
        yield browser


def problems(browser: Browser) -> list[str]:
    """What the browser complained about: exceptions, refused code, failed requests."""
    kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
    return [str(event["params"]) for event in browser.events if event.get("method") in kinds]


def figures(browser: Browser) -> str:
    return str(browser.evaluate("document.querySelector('#figures').textContent"))


def begin(browser: Browser, served: Served, *, phone: bool = False) -> None:
    """Opens the menu, and the first world in it."""
    browser.events.clear()
    browser.resize(*((400, 800) if phone else (1000, 700)), phone=phone)
    browser.open("about:blank")
    browser.open(served.address)
    browser.wait_for("!!document.querySelector('.card img')?.complete")
    browser.evaluate("document.querySelector('.card').focus()")
    browser.press("Enter", "Enter")
    browser.wait_for("document.querySelector('#figures').textContent.includes('held')")


@needs_browser
def test_the_page_plays_with_the_keyboard(shared: Served, browser: Browser) -> None:
    begin(browser, shared)
    assert browser.evaluate("document.activeElement.id") == "stage"
    browser.key("KeyA", True)
    browser.wait_for("document.querySelector('#figures').textContent.includes('held: a')")
    browser.evaluate("window.dispatchEvent(new Event('blur'))")
    browser.wait_for("document.querySelector('#figures').textContent.includes('held: -')")
    browser.key("KeyA", False)
    browser.key("ArrowRight", True)  # turns, as the world has a mouse and no use for up and down
    browser.key("ArrowRight", False)
    browser.press("KeyP")
    browser.wait_for("document.querySelector('#figures').textContent.startsWith('dream, paused')")
    assert browser.evaluate("document.querySelector('[data-command=pause]').ariaPressed") == "true"
    before = figures(browser).splitlines()[1]
    browser.press("KeyN")
    browser.wait_for(f"document.querySelector('#figures').textContent.split('\\n')[1] !== {before!r}")
    assert browser.evaluate("document.querySelector('[data-command=pause]').ariaPressed") == "true", "it is still paused"
    browser.press("KeyP")
    browser.wait_for("!document.querySelector('#figures').textContent.startsWith('dream, paused')")
    browser.press("BracketRight", "]")
    browser.wait_for("document.querySelector('#calls').textContent === '4'")
    browser.press("Period", ".")
    browser.wait_for("document.querySelector('#warmth').textContent === '1.1'")
    browser.press("KeyH")
    assert browser.evaluate("document.querySelector('#help').hidden") is True, "it was open at the beginning"
    browser.press("KeyH")
    help = browser.evaluate("document.querySelector('#help').innerText")
    assert "another start" in help and "download the clip" in help and "side by side" not in help
    browser.press("KeyR")
    browser.wait_for("/ [0-5] frames?$/m.test(document.querySelector('#figures').textContent)")
    browser.press("Tab", "Tab")
    assert browser.evaluate("document.activeElement.id") != "stage", "Tab leaves the game"
    assert browser.evaluate("document.querySelector('#message').textContent") == "click the picture to play"
    assert not problems(browser)


@needs_browser
def test_a_click_captures_the_mouse_and_turns(shared: Served, browser: Browser) -> None:
    begin(browser, shared)
    assert browser.evaluate("document.querySelector('#message').textContent") == "click to capture the mouse"
    browser.mouse("mousePressed", 500, 300, "left")
    browser.mouse("mouseReleased", 500, 300, "left")
    browser.wait_for("document.pointerLockElement === document.querySelector('#stage')")
    browser.mouse("mousePressed", 500, 300, "left")
    browser.wait_for("document.querySelector('#figures').textContent.includes('left click')")
    browser.mouse("mouseReleased", 500, 300, "left")
    browser.wait_for("!document.querySelector('#figures').textContent.includes('left click')")
    browser.evaluate("document.exitPointerLock()")
    browser.wait_for("document.pointerLockElement === null")
    assert not problems(browser)


RED = """(async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 200, height: 50 });
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(250, 10, 10)";
  context.fillRect(0, 0, 200, 50);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const files = new DataTransfer();
  files.items.add(new File([blob], "red.png", { type: "image/png" }));
  document.querySelector("#file").files = files.files;
  document.querySelector("#file").dispatchEvent(new Event("change"));
})()"""
SEEN = "document.querySelector('#panes canvas').getContext('2d').getImageData(4, 4, 1, 1).data"


@needs_browser
def test_a_picture_of_the_player_begins_a_dream(serve: Serve, browser: Browser) -> None:
    begin(browser, serve())
    browser.press("KeyP")
    browser.wait_for("document.querySelector('#figures').textContent.startsWith('dream, paused')")
    browser.evaluate(RED)
    browser.wait_for(f"{SEEN}[0] > 200 && {SEEN}[1] < 60")
    assert "0 frames" in figures(browser)
    browser.press("KeyP")
    browser.wait_for("!document.querySelector('#figures').textContent.includes('paused')")
    assert not [text for text in problems(browser) if "readback" not in text], (
        "this test reads the canvas back, the page does not"
    )


@needs_browser
def test_a_phone_has_buttons_for_fingers_and_nothing_is_cut_off(shared: Served, browser: Browser) -> None:
    begin(browser, shared, phone=True)
    browser.wait_for("!document.querySelector('#touch').hidden")
    assert browser.evaluate("document.querySelector('#help').hidden") is True, "there is no room for it"
    wide = "[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > 401)"
    assert browser.evaluate(f"{wide}.map(e => e.id || e.className).join()") == ""
    place = "document.querySelector('#pad button').getBoundingClientRect()"
    x, y = browser.evaluate(f"[{place}.x + 10, {place}.y + 10]")
    browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.wait_for("document.querySelector('#figures').textContent.includes('held: a')")
    browser.press("Period", ".")
    browser.wait_for("document.querySelector('#message').textContent.startsWith('temperature')")
    assert browser.evaluate(f"[{place}.x + 10, {place}.y + 10]") == [x, y], "a message does not move it from under the finger"
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.wait_for("document.querySelector('#figures').textContent.includes('held: -')")
    small = (
        "[...document.querySelectorAll('.tools button, .touch button')].filter(e => e.checkVisibility() && e.offsetHeight < 44)"
    )
    assert browser.evaluate(f"{small}.length") == 0, "a finger is 44 pixels wide"
    browser.resize(1000, 700)
    assert not problems(browser)


@needs_browser
def test_the_page_comes_back_after_a_lost_connection(shared: Served, browser: Browser) -> None:
    begin(browser, shared)
    for connection in list(shared.server.hall._here.values()):
        shared.server.hall._here[connection.key]._loop.call_soon_threadsafe(connection.end, "a fault.", 1011, "fault")
    browser.wait_for("document.querySelector('#message').textContent.includes('trying again')")
    browser.wait_for("!document.querySelector('#message').textContent.includes('trying again')")
    seen = figures(browser)
    browser.wait_for(f"document.querySelector('#figures').textContent !== {seen!r}")  # it goes on
    browser.evaluate("location.hash = ''")
    browser.wait_for("!document.querySelector('#choose').hidden")
    deadline = time.monotonic() + 60
    while shared.figure("worldsim_connections") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shared.figure("worldsim_connections") == 0, "who goes back to the menu leaves the world"


@needs_browser
def test_who_leaves_the_page_leaves_the_world(serve: Serve, browser: Browser) -> None:
    served = serve()
    begin(browser, served)
    browser.open("about:blank")
    deadline = time.monotonic() + 60
    while served.figure("worldsim_connections") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert served.figure("worldsim_connections") == 0


@needs_browser
def test_shipped_worlds_are_in_the_menu(serve: Serve, browser: Browser) -> None:
    served = serve("doom/take-cover", "doom/take-cover-strip")
    browser.open(served.address)
    browser.wait_for("document.querySelectorAll('.card img').length === 2")
    text = browser.evaluate("document.querySelector('#worlds').innerText")
    assert "doom/take-cover-strip" in text and "128x80 pixels, 17.5 frames/s" in text and "next frame 32.5 dB" in text
    assert SHIPPED.is_dir()
