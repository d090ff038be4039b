from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.controls import KEY_NAMES
from worldsim.serve.protocol import LARGEST_MESSAGE, MESSAGES, Allowance, ProtocolError, pack_frame, read_message, unpack_frame

VALID: dict[str, dict[str, Any]] = {
    "play": {"world": "doom/take-cover"},
    "hold": {"keys": ["a", "left"], "mouse": [1.5, -3], "buttons": ["left"]},
    "release": {},
    "shown": {"frame": 1},
    "ping": {"at": 12.5},
    "restart": {"prompt": ""},
    "pause": {"on": True},
    "one_frame": {},
    "num_steps": {"change": -1},
    "temperature": {"value": 0.5},
    "mode": {"name": "side by side"},
}
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**40,
    10**400,
    1e308,
    "",
    "a",
    "\x00",
    "x" * 600,
    [],
    ["a", "a"],
    ["é"],
    [[]],
    {},
    {"a": 1},
]
MANY = settings(max_examples=settings().max_examples * 3)


def test_every_message_of_the_page_is_read() -> None:
    assert set(VALID) == set(MESSAGES)
    for kind, fields in VALID.items():
        message = read_message(json.dumps({"type": kind, **fields}))
        assert message.kind == kind and message.fields == fields


def test_the_largest_message_of_the_page_fits() -> None:
    everything = {"type": "hold", "keys": list(KEY_NAMES), "mouse": [-99999.99, 99999.99], "buttons": ["left", "middle", "right"]}
    assert len(json.dumps(everything)) < LARGEST_MESSAGE
    assert read_message(json.dumps(everything))


@pytest.mark.parametrize("kind", VALID)
def test_fields_are_neither_missing_nor_more_nor_odd(kind: str) -> None:
    fields = VALID[kind]
    with pytest.raises(ProtocolError, match="has the fields"):
        read_message(json.dumps({"type": kind, **fields, "more": 1}))
    for name, value in fields.items():
        with pytest.raises(ProtocolError, match="has the fields"):
            read_message(json.dumps({"type": kind, **{other: v for other, v in fields.items() if other != name}}))
        for odd in ODD:
            try:
                message = read_message(json.dumps({"type": kind, **fields, name: odd}))
            except ProtocolError:
                continue
            assert type(message[name]) in (type(value), int, float) and message[name] == odd


@MANY
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_anything_is_read_or_refused(data: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        read_message(data)


@MANY
@given(st.sampled_from(sorted(VALID)), st.data())
def test_numbers_that_are_read_are_finite(kind: str, data: st.DataObject) -> None:
    given = {name: data.draw(st.sampled_from([*ODD, math.nan, math.inf, value])) for name, value in VALID[kind].items()}
    try:
        message = read_message(json.dumps({"type": kind, **given}))
    except ProtocolError:
        return
    json.dumps(dict(message.fields), allow_nan=False)


def test_frames_come_out_as_they_went_in() -> None:
    data = pack_frame({"frame": 3, "keys": ["a"]}, [b"one", b"", b"three"])
    assert unpack_frame(data) == ({"frame": 3, "keys": ["a"], "sizes": [3, 0, 5]}, [b"one", b"", b"three"])
    assert int.from_bytes(data[:4], "big") == len(data) - 4 - 8


def test_an_allowance_is_for_so_many_at_once_and_then_for_a_rate() -> None:
    allowance = Allowance(0.0, rate=10, burst=5)
    assert [allowance.take(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert allowance.take(1.0), "time brings back some"
    later = Allowance(0.0, rate=10, burst=5)
    assert all(later.take(t / 10) for t in range(1000)), "the rate can be kept for ever"
