"""Which inputs belong to which frame."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldsim.capture.config import DEGREES_PER_PIXEL
from worldsim.controls import ControlSpec


class Input(NamedTuple):
    """Something that a keyboard or mouse did.

    Attributes:
        time: of `time.monotonic()`, in seconds.
        kind: "key", "button" or "motion".
        name: of the key or button.
        down: whether it went down.
        dx, dy: motion in pixels.
    """

    time: float
    kind: str
    name: str = ""
    down: bool = False
    dx: float = 0.0
    dy: float = 0.0


class Timeline:
    """Turns inputs, as they come, into one control vector for every frame.

    An input belongs to the first frame that can show it: the first one taken `delay` seconds after it or later. Its place in a
    recording is the row before that frame, whose action produced it. What was pressed and released between two frames counts as
    held.

    Args:
        spec: controls that count.
        delay: seconds between an input and the picture that shows it.
    """

    def __init__(self, spec: ControlSpec, delay: float = 0.0) -> None:
        self.spec, self.delay = spec, delay
        self._waiting: deque[Input] = deque()
        self._held = np.zeros(spec.size, bool)
        names = {("key", name): i for i, name in enumerate(spec.keys)}
        first = len(spec.keys) + 2 * spec.has_mouse
        self._index = names | {("button", name): first + i for i, name in enumerate(spec.buttons)}

    def add(self, event: Input) -> None:
        """Takes an input; inputs come in the order of their times."""
        self._waiting.append(event)

    def release(self, time: float) -> None:
        """Lets everything go, as when the window loses focus."""
        for kind, name in self._index:
            self._waiting.append(Input(time, kind, name, False))

    def take(self, until: float) -> NDArray[np.float32]:
        """The control vector `(A,)` of the row before the frame that was taken at `until`."""
        pressed, motion = self._held.copy(), [0.0, 0.0]
        pressed[:] = False
        while self._waiting and self._waiting[0].time + self.delay <= until:
            event = self._waiting.popleft()
            if event.kind == "motion":
                motion[0] += event.dx
                motion[1] += event.dy
                continue
            index = self._index.get((event.kind, event.name))
            if index is not None:
                self._held[index] = event.down
                pressed[index] |= event.down
        vector = (self._held | pressed).astype(np.float32)
        if self.spec.has_mouse:
            k = len(self.spec.keys)
            vector[k : k + 2] = np.array(motion, np.float32) * DEGREES_PER_PIXEL
        return self.spec.check_vector(vector)
