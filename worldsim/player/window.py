"""The window: play a learned world, its real twin, or both side by side."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame

from worldsim.controls import KEY_NAMES, Controls
from worldsim.data import DatasetInfo, Recorder
from worldsim.data.images import save_png
from worldsim.envs.dream import DreamEnv
from worldsim.errors import DisplayError, GameError, WorldsimError, one_line_errors
from worldsim.player.hud import Hud, integer_fit
from worldsim.player.inputs import Latch
from worldsim.player.pacing import Pacer, Timings
from worldsim.world import find_world, world_hash
from worldsim.worlds import DEFAULT_WORLD

MODES = ("dream", "real", "side by side")
MESSAGE_SECONDS, HELP_SECONDS, RESTART_SECONDS = 2.5, 8.0, 1.5
SCANCODES = {"shift": "left shift", "ctrl": "left ctrl", "alt": "left alt"}
BUTTONS = {1: "left", 2: "middle", 3: "right"}


@dataclass(frozen=True)
class PlayConfig:
    """How to play.

    Attributes:
        world: name, folder or Hub id.
        num_steps: network calls per frame; by default the world's own.
        speed: 2 plays twice as fast as the world's own rate.
        seed: of the first start.
        device: "auto", "cpu" or "cuda".
        zoom: window pixels per frame pixel at the start.
        recordings: folder of recordings and screenshots.
        frames: stop after so many; 0 for never.
    """

    world: str = DEFAULT_WORLD
    num_steps: int | None = None
    speed: float = 1.0
    seed: int = 0
    device: str = "auto"
    zoom: int = 6
    recordings: Path = Path("recordings")
    frames: int = 0

    def __post_init__(self) -> None:
        if self.speed <= 0 or self.zoom < 1:
            raise WorldsimError(f"speed was {self.speed} and zoom {self.zoom}; give a speed above 0 and a zoom of at least 1.")


class Session:
    """What is being played: a dream, its real twin where the game is installed, and what happens in both."""

    def __init__(self, config: PlayConfig) -> None:
        self.config = config
        self.folder = find_world(config.world)
        self.dream = DreamEnv(self.folder, device=config.device, num_steps=config.num_steps, rewards=False)
        self.spec = self.dream.control_spec
        self.real: Any = None
        self.mode = "dream"
        self.seed = config.seed
        self.frames: dict[str, NDArray[np.uint8]] = {}
        self.horizon = 0
        self._over: set[str] = set()
        self._recorder: Recorder | None = None
        self._recorded, self._in_episode = 0, False

    @property
    def ended(self) -> bool:
        """Whether an episode shown is over; its last frame stays."""
        return bool(self._over)

    @property
    def sources(self) -> dict[str, Any]:
        """Environments being shown, by name."""
        every = {"dream": self.dream, "real": self.real}
        return every if self.mode == "side by side" else {self.mode: every[self.mode]}

    def restart(self) -> None:
        """Another start in everything shown."""
        self._end_episode()
        self.frames = {name: env.reset(seed=self.seed)[0] for name, env in self.sources.items()}
        self.seed, self.horizon = self.seed + 1, 0
        self._over.clear()

    def next_mode(self) -> None:
        """Dream, real, side by side.

        Raises:
            GameError: if the real game is not installed.
        """
        if self.real is None:
            from worldsim.envs.games import make

            self.real = make(self.dream.world.config.game)
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]
        self.restart()

    def advance(self, controls: Controls) -> None:
        """One step of everything shown."""
        vector = self.spec.to_vector(controls)
        for name, env in self.sources.items():
            if name in self._over:
                continue
            before = self.frames[name]
            frame, reward, terminated, truncated, _ = env.step(vector)
            if terminated or truncated:
                self._over.add(name)
            if not terminated:  # of an end there is no picture
                self.frames[name] = frame
            if self._recorder is not None and name == self._recorded_name():
                self._append(before, vector, reward, terminated, truncated)
        self.horizon += 1

    def settle(self) -> None:
        """Work that can be done while the frame is being looked at."""
        if "dream" in self.sources:
            self.dream.settle()

    def toggle_recording(self) -> str:
        """Starts or stops recording what is shown (the dream, if both are); returns a message."""
        if self._recorder is not None:
            path, count = self._recorder.root, self._recorded
            self._end_episode()
            self._recorder.close()
            self._recorder = None
            return f"{count} frames in {path}"
        name, world = self._recorded_name(), self.dream.world.config
        stamp = time.strftime("%Y%m%d-%H%M%S")
        root = self.config.recordings / f"{world.name.replace('/', '-')}-{name}-{stamp}"
        info = DatasetInfo(
            game=world.game,
            control_spec=self.spec,
            height=world.height,
            width=world.width,
            fps=self.dream.fps,
            frame_skip=self.dream.frame_skip,
        )
        self._recorder, self._recorded = Recorder(root, info), 0
        return f"recording to {root}"

    @property
    def recording(self) -> bool:
        return self._recorder is not None

    def screenshot(self, picture: NDArray[np.uint8]) -> str:
        path = self.config.recordings / f"screenshot-{time.strftime('%Y%m%d-%H%M%S')}-{self.horizon}.png"
        save_png(path, picture)
        return f"saved {path}"

    def close(self) -> None:
        if self._recorder is not None:
            self.toggle_recording()
        for env in (self.dream, self.real):
            if env is not None:
                env.close()

    def _recorded_name(self) -> str:
        return "real" if self.mode == "real" else "dream"

    def _append(self, frame: NDArray[np.uint8], vector: NDArray[np.float32], reward: float, ended: bool, cut: bool) -> None:
        assert self._recorder is not None
        if not self._in_episode:
            dream = {"world_hash": world_hash(self.folder), "sampler": json.dumps({"num_steps": self.dream.world.num_steps})}
            extra = dream if self._recorded_name() == "dream" else {}
            self._recorder.begin(seed=self.seed - 1, policy="human", split="train", **extra)
            self._in_episode = True
        self._recorder.append(frame, vector, reward, ended, cut)
        self._recorded += 1
        if ended or cut:
            self._end_episode()

    def _end_episode(self) -> None:
        if self._recorder is not None and self._in_episode:
            self._recorder.end()
            self._in_episode = False


class Player:
    """The window's loop."""

    def __init__(self, session: Session) -> None:
        self.session, self.config = session, session.config
        self.latch = Latch(session.spec)
        world = session.dream.world.config
        pygame.display.init()  # not pygame.init(): there is no sound to open
        self.codes = _key_names()
        pygame.display.set_caption(f"worldsim - {world.name}")
        size = (world.width * self.config.zoom, world.height * self.config.zoom)
        self.screen = pygame.display.set_mode(size, pygame.RESIZABLE)
        self.hud, self.timings = Hud(), Timings()
        self.fps = world.fps * self.config.speed
        self.pacer = Pacer(self.fps, time.perf_counter())
        self.running, self.paused, self.single, self.figures = True, False, False, True
        self.help_until = time.perf_counter() + HELP_SECONDS
        self.text, self.text_until, self.restart_at = "", 0.0, float("inf")
        self.held = Controls()
        self.grab(session.spec.has_mouse)

    def run(self) -> None:
        """Plays until the window closes."""
        self.session.restart()
        self.draw()
        while self.running:
            self.handle_events()
            now = time.perf_counter()
            if now >= self.restart_at:
                self.session.restart()
                self.restart_at = float("inf")
            idle = self.paused and not self.single
            if not idle and self.pacer.wait(now) == 0:
                self.advance(now)
            else:
                if idle:
                    self.draw()
                time.sleep(min(0.004, self.pacer.wait(now)) if not idle else 0.02)

    def advance(self, now: float) -> None:
        """Makes and shows one frame, then does the work that can wait."""
        self.pacer.start(now)
        self.single = False
        self.held = self.latch.take()
        self.session.advance(self.held)
        self.draw()
        self.session.settle()
        self.timings.add(now, time.perf_counter() - now)
        if self.session.ended and self.restart_at == float("inf"):
            self.say("the episode ended")
            self.restart_at = now + RESTART_SECONDS
        if self.config.frames and self.session.horizon >= self.config.frames:
            self.running = False

    def handle_events(self) -> None:
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                self.running = False
            elif event.type in (pygame.KEYDOWN, pygame.KEYUP):
                taken = self.latch.key(self.codes.get(event.key, ""), event.type == pygame.KEYDOWN)
                if event.type == pygame.KEYDOWN and not taken:
                    self.command(event.key)
            elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
                down = event.type == pygame.MOUSEBUTTONDOWN
                if down and self.session.spec.has_mouse and not pygame.event.get_grab():
                    self.grab(True)
                else:
                    self.latch.button(BUTTONS.get(event.button, ""), down)
            elif event.type == pygame.MOUSEMOTION and pygame.event.get_grab():
                self.latch.move(*event.rel)
            elif event.type == pygame.WINDOWFOCUSLOST:
                self.latch.release()

    def command(self, key: int) -> None:
        """Keys of the player itself."""
        session, world = self.session, self.session.dream.world
        try:
            if key == pygame.K_ESCAPE:
                if pygame.event.get_grab():
                    self.grab(False)
                else:
                    self.running = False
            elif key == pygame.K_r:
                session.restart()
                self.restart_at = float("inf")
            elif key == pygame.K_p:
                self.paused = not self.paused
            elif key == pygame.K_n:
                self.paused = self.single = True
            elif key in (pygame.K_LEFTBRACKET, pygame.K_RIGHTBRACKET):
                world.num_steps = max(1, world.num_steps + (1 if key == pygame.K_RIGHTBRACKET else -1))
                self.say(f"{world.num_steps} network calls a frame")
            elif key == pygame.K_TAB:
                session.next_mode()
                self.say(session.mode)
            elif key == pygame.K_F1:
                self.figures = not self.figures
                self.help_until = time.perf_counter() + HELP_SECONDS if self.figures else 0.0
            elif key == pygame.K_F2:
                self.say(session.toggle_recording())
            elif key == pygame.K_F12:
                self.say(session.screenshot(self.picture()))
        except GameError as error:
            self.say(str(error))

    def grab(self, on: bool) -> None:
        """Captures the mouse, or lets it go."""
        pygame.event.set_grab(on)
        pygame.mouse.set_visible(not on)

    def say(self, text: str) -> None:
        self.text, self.text_until = text, time.perf_counter() + MESSAGE_SECONDS

    def picture(self) -> NDArray[np.uint8]:
        """What the window shows, uint8 `(H, W, 3)`."""
        return pygame.surfarray.array3d(self.screen).swapaxes(0, 1)

    def draw(self) -> None:
        self.screen.fill((12, 12, 12))
        width, height = self.screen.get_size()
        share = width // len(self.session.frames)
        for i, (name, frame) in enumerate(self.session.frames.items()):
            zoom, (x, y) = integer_fit((frame.shape[1], frame.shape[0]), (share, height))
            surface = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
            self.screen.blit(pygame.transform.scale_by(surface, zoom), (i * share + x, y))
            if len(self.session.frames) > 1:
                self.hud.label(self.screen, name, i * share + share // 2, max(2, y - 28))
        now = time.perf_counter()
        if self.figures:
            self.hud.corner(self.screen, self.figure_lines())
        if now < self.help_until:
            self.hud.help(self.screen, self.game_keys())
        if now < self.text_until:
            self.hud.message(self.screen, self.text)
        pygame.display.flip()

    def figure_lines(self) -> list[str]:
        session, times = self.session, self.timings
        held = sorted(self.held.keys) + [f"mouse {button}" for button in sorted(self.held.buttons)]
        if any(self.held.mouse):
            held.append(f"turn {self.held.mouse[0]:+.0f}")
        state = "paused" if self.paused else "recording" if session.recording else session.mode
        return [
            f"{times.fps():.0f} of {self.fps:.1f} frames/s   {state}",
            f"p50 {1000 * times.percentile(50):.0f} ms   p99 {1000 * times.percentile(99):.0f} ms",
            f"network calls {session.dream.world.num_steps}   frame {session.horizon}",
            " ".join(held) or "-",
        ]

    def game_keys(self) -> list[tuple[str, str]]:
        spec = self.session.spec
        keys = [(" ".join(spec.keys), "move")] if spec.keys else []
        mouse = [("mouse", "turn")] if spec.has_mouse else []
        return keys + mouse + [(f"{button} click", "fire" if button == "left" else "use") for button in spec.buttons]


def play(config: PlayConfig) -> None:
    """Opens the window and plays until it is closed.

    Raises:
        DisplayError: without a display.
        WorldError: if there is no such world.
    """
    check_display(config.world)
    session = Session(config)
    try:
        Player(session).run()
    except pygame.error as error:
        raise DisplayError(f"the window was lost or could not be opened: {error}.") from error
    finally:
        session.close()
        with suppress(pygame.error):
            pygame.quit()


def check_display(world: str) -> None:
    """Raises `DisplayError` where no window can open, before anything is loaded."""
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))
    if sys.platform.startswith("linux") and not shown:
        raise DisplayError(f"no display to open a window on; without one, run: worldsim record {world} --out dream.mp4")


def _key_names() -> dict[int, str]:
    """pygame key code -> our name of the key."""
    return {pygame.key.key_code(SCANCODES.get(name, name)): name for name in KEY_NAMES}


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `worldsim-play` and play.py."""
    import tyro

    with one_line_errors():
        given = sys.argv[1:] if arguments is None else arguments
        positional = ["--world", *given] if given and not given[0].startswith("-") else given
        play(tyro.cli(PlayConfig, args=positional, prog="worldsim-play", description="Play a learned world."))
