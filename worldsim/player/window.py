"""The window's loop: events in, frames out."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pygame

from worldsim.controls import Controls
from worldsim.data.images import save_png
from worldsim.player.commands import HELD_WITH_SHIFT, find_command, help_rows
from worldsim.player.config import SENSITIVITIES, PlayConfig
from worldsim.player.gamepad import Gamepads
from worldsim.player.hud import Hud
from worldsim.player.inputs import BUTTONS, POSITIONS, layout_names
from worldsim.player.latch import Latch
from worldsim.player.pacing import Pacer, Timings
from worldsim.player.panes import arrange, draw_frames, take_picture, window_size
from worldsim.player.recording import FAILURES
from worldsim.player.scene import Scene
from worldsim.provenance.marking import Marker

MESSAGE_SECONDS, HELP_SECONDS, RESTART_SECONDS, QUIT_SECONDS = 3.0, 8.0, 1.5, 4.0
NEVER = float("inf")
LONGEST_PROMPT = 300  # characters


class Window:
    """Plays or replays what it is given until it is closed.

    Args:
        scene: a `Session` or a `Replay`.
        config: how to play.
    """

    def __init__(self, scene: Scene, config: PlayConfig) -> None:
        self.scene, self.config = scene, config
        self.latch, self.pads = Latch(scene.spec, config.sensitivity), Gamepads()
        self.hud, self.timings = Hud(), Timings()
        self.fps = scene.fps * config.speed
        self.running, self.paused, self.single, self.with_figures, self.fullscreen = True, False, False, True, False
        self.help_until, self.quit_until, self.restart_at = 0.0, 0.0, NEVER
        self.text, self.text_until = "", 0.0
        self.typed: str | None = None  # a prompt that is being written
        pygame.display.set_caption(f"worldsim - {scene.title}")
        scene.restart()
        self.open(config.zoom)
        self.key_names = layout_names()
        if config.fullscreen:
            self.toggle_fullscreen()

    def run(self) -> None:
        """Plays until the window closes."""
        self.draw()
        sys.audit("worldsim.window", "frame")
        self.help_until = time.perf_counter() + HELP_SECONDS  # the first frame is there: now it can be read
        self.pacer = Pacer(self.fps, time.perf_counter())
        while self.running:
            self.handle_events()
            now = time.perf_counter()
            if now >= self.restart_at:
                self.restart_at = NEVER
                self.scene.after_end()
            if self.scene.done:
                break
            idle = self.typed is not None or (self.paused and not self.single)
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
        self.pads.move(self.latch, 1 / self.fps)
        self.scene.advance(self.latch.take())
        self.draw()
        self.scene.settle()
        self.timings.add(now, time.perf_counter() - now)
        if self.scene.ended and self.restart_at == NEVER:
            self.restart_at = now + RESTART_SECONDS
        if self.config.frames and self.scene.position >= self.config.frames:
            self.running = False

    def handle_events(self) -> None:
        """Keys are read by position for the game, by symbol for the window's own commands."""
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                self.running = False
            elif event.type == pygame.DROPFILE:
                self.attempt(functools.partial(self.scene.begin_with, Path(event.file)))
            elif self.typed is not None and event.type in (pygame.KEYDOWN, pygame.KEYUP, pygame.TEXTINPUT):
                self.type_prompt(event)
            elif event.type in (pygame.KEYDOWN, pygame.KEYUP):
                self.handle_key(event, event.type == pygame.KEYDOWN)
            elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
                down = event.type == pygame.MOUSEBUTTONDOWN
                if down and self.scene.spec.has_mouse and not self.captured:
                    self.capture(True)
                else:
                    self.latch.button(BUTTONS.get(event.button, ""), down)
            elif event.type == pygame.MOUSEMOTION and self.captured:
                self.latch.move(*event.rel)
            elif event.type == pygame.WINDOWFOCUSLOST:
                self.latch.release()
            elif event.type == pygame.KEYMAPCHANGED:
                self.key_names = layout_names()
            else:
                self.pads.handle(event, self.latch)

    def handle_key(self, event: pygame.event.Event, down: bool) -> None:
        """Tab and Escape are ours, unless Shift is held and the game listens to them."""
        name = POSITIONS.get(event.scancode, "")
        ours = event.key in HELD_WITH_SHIFT and not (event.mod & pygame.KMOD_SHIFT and name in self.scene.spec.keys)
        if ours and not down:
            self.latch.key(name, False)
        elif not ours and self.latch.key(name, down):
            return
        if down:
            self.command(event.key)

    def command(self, key: int) -> None:
        """Does what one of the window's own keys stands for."""
        command = find_command(key)
        if command is None:
            return
        if command.name != "leave":
            self.quit_until = 0.0
        self.attempt(getattr(self, command.name))

    def attempt(self, action: Callable[[], None]) -> None:
        """Does something that may not be possible, which the player then reads."""
        try:
            action()
        except FAILURES as error:
            self.say(str(error))

    def say_prompt(self) -> None:
        """From here on keys write a prompt; Enter says it, Escape does not. The dream waits."""
        self.latch.release()
        self.typed = ""
        pygame.key.start_text_input()

    def type_prompt(self, event: pygame.event.Event) -> None:
        """A key of a prompt that is being written."""
        assert self.typed is not None
        if event.type == pygame.TEXTINPUT:
            self.typed = (self.typed + event.text)[:LONGEST_PROMPT]
        elif event.type == pygame.KEYDOWN and event.key == pygame.K_BACKSPACE:
            self.typed = self.typed[:-1]
        elif event.type == pygame.KEYDOWN and event.key in (pygame.K_RETURN, pygame.K_KP_ENTER, pygame.K_ESCAPE):
            prompt, self.typed = self.typed.strip(), None
            pygame.key.stop_text_input()
            if event.key != pygame.K_ESCAPE:
                self.attempt(lambda: self.scene.say(prompt))

    def show_help(self) -> None:
        """Hides the help if it is shown, shows it if it is hidden."""
        self.help_until = 0.0 if time.perf_counter() < self.help_until else NEVER

    def show_figures(self) -> None:
        self.with_figures = not self.with_figures

    def record(self) -> None:
        self.scene.toggle_recording()

    def restart(self) -> None:
        self.scene.restart()
        self.restart_at = NEVER

    def pause(self) -> None:
        self.paused = not self.paused

    def one_frame(self) -> None:
        self.paused = self.single = True

    def fewer_calls(self) -> None:
        self.scene.change_num_steps(-1)

    def more_calls(self) -> None:
        self.scene.change_num_steps(1)

    def slower_mouse(self) -> None:
        self._change_sensitivity(1 / 1.25)

    def faster_mouse(self) -> None:
        self._change_sensitivity(1.25)

    def next_mode(self) -> None:
        """Dream, real, side by side; the window takes the size that this needs at the present zoom."""
        count, zoom = len(self.scene.panes), self.zoom()
        self.say("one moment ...")  # a game may take seconds to start
        self.draw()
        self.scene.next_mode()
        self.restart_at = NEVER
        if len(self.scene.panes) != count and not self.fullscreen:
            self.open(zoom)

    def toggle_fullscreen(self) -> None:
        self.fullscreen = not self.fullscreen
        if self.fullscreen:
            pygame.display.set_window_position((0, 0))
            self._set_mode(pygame.display.get_desktop_sizes()[0], pygame.FULLSCREEN)
        else:
            self.open(self.config.zoom)

    def screenshot(self) -> None:
        """Saves the frames as they are shown, without the text over them."""
        frames = {name: pane.frame for name, pane in self.scene.panes.items()}
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{self.scene.position}"
        path = self.config.recordings / f"screenshot-{stamp}.png"
        claim, marks = self.scene.claim(), self.config.marks
        marker = Marker(claim, marks)
        frames = {name: frame if name == "real" else marker.frame(frame) for name, frame in frames.items()}
        save_png(path, take_picture(frames, self.screen.get_size()), claim, marks)
        self.say(f"saved {path}")

    def leave(self) -> None:
        """Releases the mouse; then asks; then quits."""
        now = time.perf_counter()
        if self.captured:
            self.capture(False)
        elif now < self.quit_until:
            self.running = False
        else:
            self.quit_until = now + QUIT_SECONDS
            self.say("quit? press Esc again" + ("; the recording is saved" if self.scene.recording else ""))

    @property
    def captured(self) -> bool:
        """Whether the mouse turns the player."""
        return bool(pygame.event.get_grab())

    def capture(self, on: bool) -> None:
        """Captures the mouse, or lets it go."""
        pygame.event.set_grab(on)
        pygame.mouse.set_visible(not on)

    def open(self, zoom: int) -> None:
        """Gives the window the size of what it shows, at that zoom if the screen has room, and centres it."""
        count, desktop, header, size = len(self.scene.panes), pygame.display.get_desktop_sizes()[0], 0, (0, 0)
        for _ in range(4):  # a heading is as high as its text, which depends on the size
            size = window_size(self.frame_size(), count, zoom, desktop, header)
            header = self.hud.header(size) if count > 1 else 0
        self._set_mode(size, pygame.RESIZABLE)
        pygame.display.set_window_position(((desktop[0] - size[0]) // 2, (desktop[1] - size[1]) // 2))

    def frame_size(self) -> tuple[int, int]:
        """`(width, height)` of a frame in pixels."""
        height, width, _ = next(iter(self.scene.panes.values())).frame.shape
        return width, height

    def zoom(self) -> int:
        """How large frames are now, as a whole number."""
        count, size = len(self.scene.panes), self.screen.get_size()
        places = arrange(self.frame_size(), count, size, self.hud.header(size) if count > 1 else 0)
        return max(1, round(places[0].zoom))

    def say(self, text: str) -> None:
        """Shows a message for a while."""
        self.text, self.text_until = text, time.perf_counter() + MESSAGE_SECONDS

    def draw(self) -> None:
        """Frames first, then text, what matters most first."""
        if self.scene.notices:
            self.say("; ".join(self.scene.notices))
            self.scene.notices.clear()
        several, now = len(self.scene.panes) > 1, time.perf_counter()
        frames = {name: pane.frame for name, pane in self.scene.panes.items()}
        header = self.hud.header(self.screen.get_size()) if several else 0
        areas = draw_frames(self.screen, frames, header)
        self.hud.clear(header)
        if several:
            for name, area in areas.items():
                self.hud.heading(self.screen, f"{name}   {_progress(self.scene, name)}", area)
        if self.typed is not None:
            self.hud.message(self.screen, f"what comes next? {self.typed}_")
        elif now < self.text_until:
            self.hud.message(self.screen, self.text)
        elif self.scene.spec.has_mouse and not self.captured:
            self.hud.message(self.screen, "click to capture the mouse")
        if now < self.help_until and not self.hud.help(self.screen, self.help_lines()):
            self.help_until = 0.0
            self.say("make the window larger to read the help")
        if self.with_figures:
            self.hud.figures(self.screen, self.figure_lines(several))
        pygame.display.flip()

    def help_lines(self) -> list[tuple[str, str]]:
        """Keys and what they do."""
        return help_rows(self.scene.spec, self.scene.meanings, self.key_names)

    def figure_lines(self, several: bool) -> list[str]:
        """What is shown in the corner."""
        scene, times = self.scene, self.timings
        state = [scene.mode, *(["recording"] if scene.recording else []), *(["paused"] if self.paused else [])]
        progress = [] if several else [_progress(scene, next(iter(scene.panes)))]
        return [
            ", ".join(state),
            *progress,
            f"{times.fps():.0f} of {self.fps:.1f} frames/s, {1000 * times.percentile(99):.0f} ms p99",
            scene.figures,
            _held(scene.held, self.key_names),
        ]

    def _set_mode(self, size: tuple[int, int], flags: int) -> None:
        """Changes the window; pygame lets go of the mouse with it."""
        captured = self.captured
        self.screen = pygame.display.set_mode(size, flags)
        self.capture(captured)

    def _change_sensitivity(self, factor: float) -> None:
        low, high = SENSITIVITIES
        self.latch.sensitivity = min(max(self.latch.sensitivity * factor, low), high)
        self.say(f"mouse sensitivity {self.latch.sensitivity:.2f}")


def _progress(scene: Scene, name: str) -> str:
    """Score and frames survived of one game."""
    pane = scene.panes[name]
    score = [] if pane.score is None else [f"score {round(pane.score, 1) + 0.0:.1f}"]  # no -0.0
    frames = f"{pane.survived} frame{'' if pane.survived == 1 else 's'}"
    return ", ".join([*score, frames, *(["over"] if pane.over else [])])


def _held(controls: Controls, names: Mapping[str, str]) -> str:
    """What is held, by the names that the keyboard prints on its keys."""
    held = sorted(names.get(key, key) for key in controls.keys) + [f"{button} click" for button in sorted(controls.buttons)]
    held += [f"turn {controls.mouse[0]:+.0f}"] if controls.mouse[0] else []
    held += [f"look {controls.mouse[1]:+.0f}"] if controls.mouse[1] else []
    return "held: " + (" ".join(held) or "-")
