"""Opens the window at once, and loads behind it what it will show. Importing this loads no PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pygame

from worldsim.envs.screen import open_display
from worldsim.errors import DisplayError, WorldsimError
from worldsim.player.config import PlayConfig
from worldsim.player.hud import INK, Hud
from worldsim.worlds import DEFAULT_WORLD, find_world

if TYPE_CHECKING:
    from worldsim.player.chooser import Chooser
    from worldsim.player.replay import Replay
    from worldsim.player.scene import Scene
    from worldsim.player.session import Session

T = TypeVar("T")
SIZE = (660, 560)
BACKGROUND = (16, 16, 16)


def play(config: PlayConfig) -> None:
    """Opens the window and plays, or replays, until it is closed.

    Raises:
        DisplayError: without a display, or if the window is lost.
        WorldError: if there is no such world.
        DataError: if there is no such dataset to replay.
    """
    if config.world:
        find_world(config.world)
    open_display(f"run: worldsim serve, or: worldsim record {config.world or DEFAULT_WORLD} --out dream.mp4")
    scene: Session | Replay | None = None
    try:
        pygame.display.set_caption("worldsim")
        screen = pygame.display.set_mode(SIZE, pygame.RESIZABLE)
        if config.replay is None and not config.world:
            config = replace(config, world=choose(screen) or "")
            if not config.world:
                return
        made, wanted = load(screen, lambda: make_scene(config))
        scene = made
        if wanted:
            from worldsim.player.window import Window

            Window(made, config).run()
    except pygame.error as error:
        raise DisplayError(f"the window was lost or could not be opened: {error}.") from error
    finally:
        if scene is not None:
            scene.close()
        with suppress(pygame.error):
            pygame.quit()


def play_scene(scene: Scene, config: PlayConfig) -> None:
    """Opens a window on something that is ready, and plays it until it is done or the window is closed.

    Raises:
        DisplayError: without a display, or if the window is lost.
    """
    open_display("give another --policy than human.")
    from worldsim.player.window import Window

    try:
        Window(scene, config).run()
    except pygame.error as error:
        raise DisplayError(f"the window was lost or could not be opened: {error}.") from error
    finally:
        with suppress(pygame.error):
            pygame.quit()


def load(screen: pygame.Surface, make: Callable[[], T]) -> tuple[T, bool]:
    """Calls `make` in a thread, while the window says so and answers its close button.

    Keys that are pressed meanwhile are kept for whoever comes next.

    Returns:
        What it made, and whether the window is still open.
    """
    hud, wanted = Hud(), True
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(make)
        while wanted and not made.done():
            pygame.event.pump()
            wanted = not pygame.event.get(pygame.QUIT)
            pygame.event.clear(pygame.MOUSEMOTION)  # a full queue would lose keys
            screen = pygame.display.get_surface() or screen
            screen.fill(BACKGROUND)
            text = hud.line(screen.get_size(), "loading ...", INK)
            screen.blit(text, text.get_rect(center=screen.get_rect().center))
            pygame.display.flip()
            sys.audit("worldsim.window", "opened")
            wait([made], 0.05)
        if not wanted:
            pygame.display.quit()
        return made.result(), wanted


def make_scene(config: PlayConfig) -> Session | Replay:
    """What a config asks for: a world to play, or a dataset to watch."""
    import worldsim.player.window  # noqa: F401 (its imports take longer than loading: done here, behind the picture)
    from worldsim.player.replay import Replay
    from worldsim.player.session import Session

    return Session(config) if config.replay is None else Replay(config.replay, config.episode)


def choose(screen: pygame.Surface) -> str | None:
    """Name of the world that a person picks; None for none.

    Raises:
        WorldsimError: if there is none to choose from.
    """

    def make_menu() -> Chooser | None:
        from worldsim.player.chooser import Chooser, find_choices

        choices = find_choices()
        return Chooser(screen, choices) if choices else None

    menu, wanted = load(screen, make_menu)
    if menu is None:
        raise WorldsimError("no world was named and none is here to choose from; train one with worldsim train.")
    return menu.run() if wanted else None
