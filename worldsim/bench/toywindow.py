"""A program to record: a window that shows which of the keys 1 to 8 was pressed last, a known time after it was pressed.

Run as `python -m worldsim.bench.toywindow [MILLISECONDS]`.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque

TITLE, SIZE = "worldsim toy window", (320, 240)


def main(delay: float) -> None:
    """Shows the window until it is closed.

    Args:
        delay: seconds from a key to the picture that shows it.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import pygame

    pygame.display.init()
    screen = pygame.display.set_mode(SIZE)
    pygame.display.set_caption(TITLE)
    chosen, waiting = 0, deque[tuple[float, int]]()
    while True:
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                return
            if event.type == pygame.KEYDOWN and pygame.K_1 <= event.key <= pygame.K_8:
                waiting.append((time.monotonic() + delay, event.key - pygame.K_1))
        while waiting and waiting[0][0] <= time.monotonic():
            chosen = waiting.popleft()[1]
        screen.fill((30, 34, 40))
        for i in range(8):
            pygame.draw.rect(screen, (230, 60, 50) if i == chosen else (70, 80, 90), (4 + 39 * i, 180, 34, 34))
        pygame.display.flip()
        time.sleep(0.002)


if __name__ == "__main__":
    main(float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.0)
