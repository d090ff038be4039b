from __future__ import annotations

from collections.abc import Iterator

import pygame
import pytest

from worldsim.player.hud import Hud, wrap

SIZES = [(200, 150), (320, 240), (640, 400), (768, 480), (1280, 800), (400, 1100), (1800, 300)]
FIGURES = ["side by side, recording", "18 of 17.5 frames/s, 20 ms p99", "2 network calls per frame", "held: w turn +3"]
ROWS = [(f"F{i}", "show or hide this help") for i in range(18)]


class Boxes(Hud):
    """Remembers where boxes were drawn."""

    def boxes(self) -> list[pygame.Rect]:
        return list(self._taken)


@pytest.fixture
def hud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Boxes]:
    yield Boxes()
    pygame.font.quit()


@pytest.mark.parametrize("size", SIZES)
def test_boxes_fit_the_window_and_never_overlap(hud: Boxes, size: tuple[int, int]) -> None:
    screen = pygame.Surface(size)
    hud.message(screen, "quit? press Esc again; the recording is saved")
    hud.help(screen, ROWS)
    hud.figures(screen, FIGURES)
    boxes = hud.boxes()
    assert boxes and all(screen.get_rect().contains(box) for box in boxes)
    assert all(box.collidelist(boxes[i + 1 :]) < 0 for i, box in enumerate(boxes))


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) >= 240])
def test_everything_has_room_in_a_window_of_common_size(hud: Boxes, size: tuple[int, int]) -> None:
    screen = pygame.Surface(size)
    hud.message(screen, "paused")
    assert hud.help(screen, ROWS)
    if size[0] >= 640:
        hud.figures(screen, FIGURES)
        assert len(hud.boxes()) == 3


def test_boxes_leave_headings_free(hud: Boxes) -> None:
    screen = pygame.Surface((768, 300))
    hud.clear(hud.header(screen.get_size()))
    assert hud.help(screen, ROWS)
    hud.figures(screen, FIGURES)
    assert all(box.top >= hud.header(screen.get_size()) for box in hud.boxes())


def test_help_without_room_says_so(hud: Boxes) -> None:
    assert not hud.help(pygame.Surface((100, 80)), ROWS)


def test_long_messages_are_wrapped(hud: Boxes) -> None:
    font = pygame.font.Font(None, 20)
    lines = wrap("cannot write " + "x" * 300 + ": the disk is full", font, 200)
    assert all(font.size(line)[0] <= 200 for line in lines if "x" not in line)
    assert "".join(lines).replace(" ", "") == "cannotwrite" + "x" * 300 + ":thediskisfull"
    screen = pygame.Surface((640, 400))
    hud.message(screen, "a word " * 60)
    assert len(hud.boxes()) == 1
