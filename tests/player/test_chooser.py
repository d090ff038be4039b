from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest

from worldsim.player.chooser import Choice, Chooser, find_choices, start_picture
from worldsim.world import World, read_config
from worldsim.worlds import shipped_worlds


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[pygame.Surface]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    pygame.font.init()
    yield pygame.display.set_mode((660, 560))
    pygame.quit()


@pytest.fixture
def chooser(screen: pygame.Surface, tiny_world_path: Path) -> Chooser:
    config = read_config(tiny_world_path)
    return Chooser(screen, [Choice(f"world {i}", tiny_world_path, config) for i in range(5)])


def press(key: int) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN, key=key)


def test_arrow_keys_and_enter_choose(chooser: Chooser) -> None:
    for key, chosen in ((pygame.K_RIGHT, 1), (pygame.K_DOWN, 3), (pygame.K_DOWN, 3), (pygame.K_LEFT, 2), (pygame.K_UP, 0)):
        assert not chooser.handle(press(key))
        assert chooser.chosen == chosen, "two columns; beyond the last there is nothing"
    assert chooser.handle(press(pygame.K_RETURN))


def test_the_mouse_chooses(chooser: Chooser) -> None:
    centre = chooser.cards()[1].center
    assert not chooser.handle(pygame.event.Event(pygame.MOUSEMOTION, pos=centre)) and chooser.chosen == 1
    assert not chooser.handle(pygame.event.Event(pygame.MOUSEBUTTONDOWN, pos=(1, 1), button=1))
    assert chooser.handle(pygame.event.Event(pygame.MOUSEBUTTONDOWN, pos=centre, button=1))


def test_running_it_gives_the_world_or_none(chooser: Chooser) -> None:
    pygame.event.post(press(pygame.K_RIGHT))
    pygame.event.post(press(pygame.K_RETURN))
    assert chooser.run() == "world 1"
    pygame.event.post(press(pygame.K_ESCAPE))
    assert chooser.run() is None


def test_pictures_come_one_by_one(chooser: Chooser, tiny_world_path: Path) -> None:
    chooser.load_one_picture()
    picture = chooser.choices[0].picture
    assert picture is not None and chooser.choices[1].picture is None
    world = World.load(tiny_world_path, device="cpu")
    frame = world.decode(world.starts[:1, -1])[0].numpy()
    assert picture.shape == frame.shape and np.abs(picture.astype(int) - frame).mean() < 2
    before = pygame.surfarray.array3d(chooser.screen)
    chooser.draw()
    assert (pygame.surfarray.array3d(chooser.screen) != before).any()


@pytest.mark.parametrize("size", [(200, 150), (320, 900), (1600, 400)])
def test_the_chosen_card_is_in_the_window(chooser: Chooser, size: tuple[int, int]) -> None:
    chooser.screen = pygame.display.set_mode(size)
    chooser.load_one_picture()
    for chooser.chosen in range(5):
        card = chooser.cards()[chooser.chosen]
        assert chooser.screen.get_rect().contains(card)
        chooser.draw()


def test_it_finds_shipped_worlds_and_those_trained_here(tiny_world_path: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_world_path, tmp_path / "runs/mine/world")
    (tmp_path / "runs/broken/world").mkdir(parents=True)
    (tmp_path / "runs/broken/world/config.json").write_text(json.dumps({"name": "broken"}))
    choices = find_choices(tmp_path / "runs")
    assert [choice.name for choice in choices] == [*shipped_worlds(), str(tmp_path / "runs/mine/world")]


def test_a_damaged_world_has_a_dark_picture(tiny_world_path: Path, tmp_path: Path, screen: pygame.Surface) -> None:
    folder = tmp_path / "world"
    shutil.copytree(tiny_world_path, folder)
    (folder / "tokenizer.safetensors").write_bytes(b"damaged")
    with pytest.raises(Exception, match=r"."):
        start_picture(folder)
    chooser = Chooser(screen, [Choice("damaged", folder, read_config(folder))])
    chooser.load_one_picture()
    picture = chooser.choices[0].picture
    assert picture is not None and not picture.any()
