"""What browser and server say to each other over the WebSocket.

The browser sends JSON objects with a "type". The server sends JSON objects too, and frames: four bytes with the length
of a JSON header, big-endian, the header, then the pictures one after another.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worldsim.controls import BUTTON_NAMES, KEY_NAMES
from worldsim.errors import WorldsimError, shown

LARGEST_MESSAGE = 4096  # bytes, of what a browser sends
LARGEST_PROMPT = 500  # characters
FARTHEST = 100_000  # pixels of mouse motion in one message
RATE, BURST = 200.0, 400.0  # messages a second in the long run, and at once
LONGEST_NAME = 300
MODES = ("dream", "side by side")
LENGTH = struct.Struct(">I")


class ProtocolError(WorldsimError):
    """A message that no page of ours sends; the connection ends."""


@dataclass(frozen=True)
class Message:
    """What a browser sent, checked.

    Attributes:
        kind: its "type", one of `MESSAGES`.
        fields: the others.
    """

    kind: str
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


Test = Callable[[Any], bool]


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(least: float, most: float) -> Test:
    def fits(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most

    return fits


def _whole(least: int, most: int) -> Test:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _text(most: int) -> Test:
    return lambda value: isinstance(value, str) and len(value) <= most


def _one_of(*allowed: str) -> Test:
    return lambda value: isinstance(value, str) and value in allowed


def _names(*allowed: str) -> Test:
    def fits(value: Any) -> bool:
        known = isinstance(value, list) and all(isinstance(name, str) and name in allowed for name in value)
        return known and len(set(value)) == len(value)

    return fits


def _motion(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_number(-FARTHEST, FARTHEST), value))


# Type of a message -> its fields, each with the test that a value must pass.
MESSAGES: Mapping[str, Mapping[str, Test]] = {
    "play": {"world": _text(LONGEST_NAME)},  # the first; which world
    # All that is held from now on, and how far the mouse moved since the last of these, in pixels.
    "hold": {"keys": _names(*KEY_NAMES), "mouse": _motion, "buttons": _names(*BUTTON_NAMES)},
    "release": {},  # everything, as when the page lost focus
    "shown": {"frame": _whole(1, 2**53)},  # so many frames are on the screen: the next may come
    "ping": {"at": _number(0, 2**53)},  # answered by "pong" with the same number
    "restart": {"prompt": _text(LARGEST_PROMPT)},  # another start; the prompt is empty where the world takes none
    "pause": {"on": _flag},
    "one_frame": {},  # while paused
    "num_steps": {"change": _whole(-1, 1)},
    "temperature": {"value": _number(0, 10)},
    "mode": {"name": _one_of(*MODES)},
}


def read_message(data: str | bytes) -> Message:
    """Parses what a browser sent.

    Args:
        data: a text or binary message of any length and content.

    Raises:
        ProtocolError: if it is none of `MESSAGES`, with exactly its fields, each in its range.
    """
    if not isinstance(data, str):
        raise ProtocolError("messages are text.")
    if len(data) > LARGEST_MESSAGE:
        raise ProtocolError(f"a message has at most {LARGEST_MESSAGE:,} bytes.")
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("a message is JSON.") from None
    kind = content.get("type") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in MESSAGES:
        raise ProtocolError(f"there is no message of the type {shown(kind)}.")
    tests, fields = MESSAGES[kind], {name: value for name, value in content.items() if name != "type"}
    if set(fields) != set(tests):
        raise ProtocolError(f"a message {kind!r} has the fields {', '.join(tests) or 'none'}.")
    for name, fits in tests.items():
        if not fits(fields[name]):
            raise ProtocolError(f"the field {name!r} of a message {kind!r} was {shown(fields[name])}.")
    return Message(kind, fields)


def pack_frame(header: Mapping[str, Any], pictures: Sequence[bytes]) -> bytes:
    """A frame as it is sent: the header, to which the sizes of the pictures are added, and the pictures."""
    text = json.dumps({**header, "sizes": [len(picture) for picture in pictures]}, allow_nan=False).encode()
    return b"".join([LENGTH.pack(len(text)), text, *pictures])


def unpack_frame(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Header and pictures of a frame, as the page reads them."""
    (length,) = LENGTH.unpack_from(data)
    at = LENGTH.size + length
    header, pictures = json.loads(data[LENGTH.size : at]), []
    for size in header["sizes"]:
        pictures.append(data[at : at + size])
        at += size
    return header, pictures


class Allowance:
    """How many messages may still come: so many at once, and so many a second in the long run.

    Args:
        now: the present time in seconds.
    """

    def __init__(self, now: float, rate: float = RATE, burst: float = BURST) -> None:
        self.rate, self.burst = rate, burst
        self._left, self._then = burst, now

    def take(self, now: float) -> bool:
        """Uses up one message; returns whether it was allowed."""
        self._left = min(self.burst, self._left + (now - self._then) * self.rate)
        self._then = now
        self._left -= 1
        return self._left >= 0


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
