"""A menu of worlds: pictures from their start contexts, chosen with arrow keys and Enter or the mouse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygame
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from worldsim.errors import WorldError
from worldsim.model.tokenizer import Tokenizer
from worldsim.player.panes import BACKGROUND, draw_picture
from worldsim.world import WorldConfig, read_config
from worldsim.worlds import DEFAULT_WORLD, SHIPPED, shipped_worlds

CARD = (300, 230)  # pixels of one world in the menu, as far as there is room
MARGIN, TITLE = 16, 56
INK, FAINT, FRAME, CHOSEN = (235, 235, 235), (150, 150, 150), (48, 48, 48), (90, 170, 255)
MOVES = {pygame.K_LEFT: (-1, 0), pygame.K_RIGHT: (1, 0), pygame.K_UP: (0, -1), pygame.K_DOWN: (0, 1)}


@dataclass
class Choice:
    """A world in the menu; `picture` is uint8 `(H, W, 3)` once it has been decoded, None before."""

    name: str
    folder: Path
    config: WorldConfig
    picture: NDArray[np.uint8] | None = None


def find_choices(runs: Path = Path("runs")) -> list[Choice]:
    """Worlds that came with the package, then those trained here."""
    folders = {name: SHIPPED / name for name in shipped_worlds()}
    folders |= {str(path.parent): path.parent for path in sorted(runs.glob("**/world/config.json"))}
    choices = []
    for name, folder in folders.items():
        try:
            choices.append(Choice(name, folder, read_config(folder)))
        except WorldError:  # a run that is being written, or damaged; naming it on the command line says what is wrong
            continue
    return choices


def start_picture(folder: Path) -> NDArray[np.uint8]:
    """Last frame of a world's first start context, uint8 `(H, W, 3)`."""
    tokenizer = Tokenizer(read_config(folder).tokenizer).eval()
    tokenizer.load_state_dict(load_file(folder / "tokenizer.safetensors"))
    with safe_open(folder / "starts.safetensors", "pt") as starts, torch.inference_mode():
        return tokenizer.decode_frames(starts.get_slice("latents")[:1, -1].float()).numpy()[0]


class Chooser:
    """The menu; `run` returns the chosen world.

    Args:
        screen: the window.
        choices: at least one world.
    """

    def __init__(self, screen: pygame.Surface, choices: list[Choice]) -> None:
        self.screen, self.choices = screen, choices
        self.chosen = next((i for i, choice in enumerate(choices) if choice.name == DEFAULT_WORLD), 0)
        self._fonts = [pygame.font.Font(pygame.font.match_font("dejavusans,liberationsans,arial"), size) for size in (22, 15, 12)]

    def run(self) -> str | None:
        """Name of the world chosen, None if the window was closed or Escape pressed."""
        clock = pygame.time.Clock()
        while True:
            self.draw()
            for event in pygame.event.get():
                if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                    return None
                if self.handle(event):
                    self.draw("loading ...")
                    return self.choices[self.chosen].name
            self.load_one_picture()
            clock.tick(30)

    def handle(self, event: pygame.event.Event) -> bool:
        """Moves the choice; returns whether it is made."""
        if event.type == pygame.KEYDOWN:
            if event.key in MOVES:
                self._move(*MOVES[event.key])
            return event.key in (pygame.K_RETURN, pygame.K_KP_ENTER, pygame.K_SPACE)
        if event.type in (pygame.MOUSEMOTION, pygame.MOUSEBUTTONDOWN):
            under = [i for i, card in enumerate(self.cards()) if card.collidepoint(event.pos)]
            self.chosen = under[0] if under else self.chosen
            return bool(under) and event.type == pygame.MOUSEBUTTONDOWN and event.button == 1
        return False

    def load_one_picture(self) -> None:
        """Decodes the next picture that is missing."""
        missing = next((choice for choice in self.choices if choice.picture is None), None)
        if missing is not None:
            try:
                missing.picture = start_picture(missing.folder)
            except (WorldError, OSError, SafetensorError, RuntimeError):  # damaged; choosing it says so
                missing.picture = np.zeros((missing.config.height, missing.config.width, 3), np.uint8)

    def cards(self) -> list[pygame.Rect]:
        """Where each world is drawn: as many columns as there is room for, scrolled to the chosen row."""
        width, height = self.screen.get_size()
        columns = self._columns()
        card = (width - MARGIN * (columns + 1)) // columns, min(CARD[1], max(60, height - TITLE - 2 * MARGIN))
        step = card[1] + MARGIN
        rows = max(1, (height - TITLE) // step)
        first = max(0, self.chosen // columns - rows + 1)
        places = [divmod(i, columns) for i in range(len(self.choices))]
        return [pygame.Rect(MARGIN + x * (card[0] + MARGIN), TITLE + (y - first) * step, *card) for y, x in places]

    def draw(self, hint: str = "arrow keys and Enter, or the mouse; Esc quits") -> None:
        """Shows the menu."""
        self.screen.fill(BACKGROUND)
        for i, (card, choice) in enumerate(zip(self.cards(), self.choices, strict=True)):
            self._draw_card(card, choice, i == self.chosen)
        pygame.draw.rect(self.screen, BACKGROUND, (0, 0, self.screen.get_width(), TITLE))
        self._text("Choose a world", 0, INK, (MARGIN, 8), self.screen.get_width() - 2 * MARGIN)
        self._text(hint, 2, FAINT, (MARGIN, 34), self.screen.get_width() - 2 * MARGIN)
        pygame.display.flip()

    def _draw_card(self, card: pygame.Rect, choice: Choice, chosen: bool) -> None:
        pygame.draw.rect(self.screen, FRAME, card, border_radius=6)
        if chosen:
            pygame.draw.rect(self.screen, CHOSEN, card, width=3, border_radius=6)
        inside = card.inflate(-16, -16)
        room = inside.width, inside.height - 44
        config = choice.config
        if choice.picture is not None and min(room) > 0:
            zoom = min(room[0] / config.width, room[1] / config.height)
            area = pygame.Rect(0, 0, round(config.width * zoom), round(config.height * zoom))
            area.midtop = inside.centerx, inside.top + (room[1] - area.height) // 2
            draw_picture(self.screen, choice.picture, area)
        self._text(choice.name, 1, INK, (inside.left, inside.bottom - 38), inside.width)
        size = f"{config.width}x{config.height} pixels, {config.fps:g} frames/s"
        self._text(size, 2, FAINT, (inside.left, inside.bottom - 16), inside.width)

    def _text(self, text: str, font: int, ink: tuple[int, int, int], at: tuple[int, int], width: int) -> None:
        """A line, cut where it would be wider than `width`."""
        picture = self._fonts[font].render(text, True, ink)
        self.screen.blit(picture, at, (0, 0, width, picture.get_height()))

    def _columns(self) -> int:
        return max(1, min(len(self.choices), self.screen.get_width() // CARD[0]))

    def _move(self, x: int, y: int) -> None:
        """The choice goes to the neighbour there, if there is one."""
        columns = self._columns()
        target = self.chosen + x + y * columns
        if 0 <= target < len(self.choices):
            self.chosen = target
