"""Controls for clips that nobody plays: random ones, and those written down as a short text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games import make_policy
from worldsim.errors import StudioError, shown

MOST_TIMES = 100_000
PART = re.compile(r"([^*]+?)(?:\*([0-9]{1,6}))?")
MOUSE = re.compile(r"mouse:(-?[0-9.]+):(-?[0-9.]+)")


def random_controls(spec: ControlSpec, seed: int) -> Iterator[Controls]:
    """Endless controls from the policy "random", which also records games: each is held for a while.

    Args:
        spec: controls to give.
        seed: equal seeds give equal controls.
    """
    policy = make_policy("random", spec)
    policy.reset(np.random.default_rng(seed))
    while True:
        yield spec.from_vector(policy.act({}))


def parse_controls(spec: ControlSpec, text: str, frames: int) -> list[Controls]:
    """Controls of each frame from a text such as "w*8,a+space*4,mouse:10:0*6,.*3".

    Parts are separated by commas, `*8` holds one for 8 frames, `+` joins what is held together, `mouse:DX:DY` turns by so
    many degrees a frame, and `.` holds nothing. After the last part nothing is held; what is too long is cut.

    Args:
        spec: what the world listens to.
        text: as above.
        frames: how many controls are wanted.

    Raises:
        StudioError: if a part cannot be read, or the world does not listen to it.
    """
    held: list[Controls] = []
    for part in text.split(","):
        match = PART.fullmatch(part.strip())
        if match is None or int(match[2] or 1) > MOST_TIMES:
            raise StudioError(f'controls had the part {shown(part)}; write parts such as "w*8" or "a+space*4".')
        held += [_held(spec, match[1].strip())] * min(int(match[2] or 1), frames)
    return (held + [Controls()] * frames)[:frames]


def _held(spec: ControlSpec, text: str) -> Controls:
    keys, buttons, mouse = set(), set(), (0.0, 0.0)
    for one in () if text == "." else text.split("+"):
        moved = MOUSE.fullmatch(one)
        if moved and spec.has_mouse:
            mouse = float(moved[1]), float(moved[2])
        elif one in spec.keys:
            keys.add(one)
        elif one in spec.buttons:
            buttons.add(one)
        else:
            allowed = [*spec.keys, *spec.buttons, *(["mouse:DX:DY"] if spec.has_mouse else []), "."]
            raise StudioError(f"controls held {shown(one)}; allowed: {', '.join(allowed)}.")
    return Controls(keys=frozenset(keys), mouse=mouse, buttons=frozenset(buttons))
