from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldsim.controls import BUTTON_NAMES, KEY_NAMES, Controls, ControlSpec
from worldsim.errors import ControlError

SPEC = ControlSpec(keys=("w", "a", "d"), mouse_limit=(10.0, 0.0), buttons=("left",), exclusive=(("a", "d"),))


@st.composite
def specs(draw: st.DrawFn) -> ControlSpec:
    keys = draw(st.lists(st.sampled_from(KEY_NAMES), max_size=5, unique=True))
    buttons = draw(st.lists(st.sampled_from(BUTTON_NAMES), max_size=3, unique=True))
    limits = draw(st.tuples(st.sampled_from([0.0, 5.0, 90.0]), st.sampled_from([0.0, 32.0])))
    return ControlSpec(keys=tuple(keys), mouse_limit=limits, buttons=tuple(buttons))


@given(specs())
def test_controls_survive_vector_and_action(spec: ControlSpec) -> None:
    space = spec.action_space()
    space.seed(0)
    vector = spec.from_action(space.sample()) if spec.size else np.zeros(0, np.float32)
    assert vector.shape == (spec.size,) and len(spec.names) == spec.size
    assert np.array_equal(spec.to_vector(spec.from_vector(vector)), vector)
    if spec.size:
        assert np.allclose(spec.from_action(spec.to_action(vector)), vector, rtol=1e-6)
        assert space.contains(spec.to_action(vector))
    assert ControlSpec.from_dict(spec.to_dict()) == spec


def test_the_vector_is_keys_mouse_buttons() -> None:
    controls = Controls(keys=frozenset({"w", "d"}), mouse=(25.0, 3.0), buttons=frozenset({"left"}))
    assert SPEC.to_vector(controls).tolist() == [1, 0, 1, 10, 0, 1]  # the mouse is clipped to its limit
    assert SPEC.names == ("w", "a", "d", "mouse.dx", "mouse.dy", "mouse.left")
    assert SPEC.scale().tolist() == [1, 1, 1, 10, 1, 1]


def test_mirror_swaps_left_and_right() -> None:
    vector = np.array([[1, 1, 0, 4, 0, 1]], np.float32)
    assert SPEC.mirror(vector).tolist() == [[1, 0, 1, -4, 0, 1]]
    assert np.array_equal(SPEC.mirror(SPEC.mirror(vector)), vector)


def test_a_spec_may_name_its_mirrored_keys() -> None:
    spec = ControlSpec(keys=("a", "d", "z", "c"), mirrored=(("z", "c"),))
    assert spec.mirror(np.array([1, 0, 1, 0], np.float32)).tolist() == [1, 0, 0, 1]
    assert ControlSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert ControlSpec(keys=("a", "d"), mirrored=()).mirrored_pairs == ()
    assert ControlSpec(keys=("a", "d")).mirrored_pairs == (("a", "d"),) and ControlSpec(keys=("a",)).mirrored_pairs == ()
    old = {"keys": ["a", "d"], "mouse_limit": [0, 0], "buttons": [], "exclusive": [["a", "d"]]}
    assert ControlSpec.from_dict(old) == ControlSpec(keys=("a", "d"), exclusive=(("a", "d"),))


def test_numpy_is_welcome() -> None:
    controls = Controls(keys=np.array(["w"]), mouse=np.array([1, 2]))  # type: ignore[arg-type]
    assert controls == Controls(keys={"w"}, mouse=(1.0, 2.0))
    assert ControlSpec(keys=np.array(["w"]), mouse_limit=np.ones(2)) == ControlSpec(keys=("w",), mouse_limit=(1.0, 1.0))  # type: ignore[arg-type]


def test_neutral_is_all_zero() -> None:
    assert not SPEC.to_vector(SPEC.neutral()).any()


def test_batches_take_one_or_many() -> None:
    one = Controls(keys=frozenset({"a"}))
    assert SPEC.to_vectors(one, 3).shape == (3, 6)
    assert SPEC.to_vectors([one, SPEC.neutral()], 2)[:, 1].tolist() == [1, 0]
    with pytest.raises(ControlError, match=r"shape \(1, 6\); give \(2, 6\)"):
        SPEC.to_vectors([one], 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Controls(keys=frozenset({"spce"})), "unknown key 'spce'.*Did you mean 'space'"),
        (lambda: Controls(buttons=frozenset({"top"})), "unknown mouse button 'top'; allowed: left, middle, right"),
        (lambda: Controls(mouse=(float("nan"), 0.0)), "give two finite numbers"),
        (lambda: ControlSpec(keys=("w", "ww")), "unknown key 'ww'"),
        (lambda: ControlSpec(mouse_limit=(-1.0, 0.0)), "at least 0 in degrees"),
        (lambda: ControlSpec(keys="ad"), "keys was 'ad'; give a tuple of names"),  # type: ignore[arg-type]
        (lambda: ControlSpec(keys=("a", "a")), "keys has 'a' twice; give every name once"),
        (lambda: ControlSpec(keys=("a",), exclusive=(("a", "d"),)), "unknown key in exclusive 'd'; allowed: a"),
        (lambda: ControlSpec(mouse_limit=(1.0,)), "give two finite numbers"),  # type: ignore[arg-type]
        (lambda: ControlSpec(mouse_limit=("20", 0)), "give two finite numbers"),  # type: ignore[arg-type]
        (lambda: ControlSpec(mouse_limit=(10**400, 0)), "give two finite numbers"),
        (lambda: ControlSpec(keys=(["a"],)), r"unknown key \['a'\]"),  # type: ignore[arg-type]
        (lambda: ControlSpec.from_dict({"key": ()}), "its fields are keys, mouse_limit, buttons, exclusive"),
        (lambda: SPEC.to_vector(Controls(keys=frozenset({"s"}))), "unknown key 's'; allowed: w, a, d"),
        (lambda: SPEC.check_vector(np.zeros(4)), "last axis must be 6: w, a, d, mouse.dx, mouse.dy, mouse.left"),
        (lambda: SPEC.check_vector(np.full(6, np.inf)), "non-finite"),
        (lambda: SPEC.from_action({"keys": np.zeros(3)}), "give a dict with keys, mouse, buttons"),
        (lambda: SPEC.from_action(3), "action was int"),  # type: ignore[arg-type]
        (lambda: ControlSpec.from_dict([]), r"the control spec was '?\[\]'?; its fields are keys"),  # type: ignore[arg-type]
        (lambda: ControlSpec.from_dict({"key": ["a"]}), "its fields are keys, mouse_limit"),
        (lambda: ControlSpec.from_dict({"keys": 3}), "keys was 3"),
        (lambda: Controls(keys="left"), r"keys was 'left'; give a tuple of names"),  # type: ignore[arg-type]
        (lambda: Controls(mouse=3), "mouse was 3; give two finite numbers"),  # type: ignore[arg-type]
        (lambda: ControlSpec(keys="ad"), "keys was 'ad'; give a tuple"),  # type: ignore[arg-type]
        (lambda: ControlSpec(keys=("a", "d"), exclusive=("ad",)), "exclusive was 'ad'"),  # type: ignore[arg-type]
        (lambda: ControlSpec(keys=("a", "d", "a")), "keys has 'a' twice"),
        (lambda: ControlSpec(buttons=("left", "left")), "buttons has 'left' twice"),
        (lambda: ControlSpec(keys=("a", "d"), exclusive=(("a", "w"),)), "unknown key in exclusive 'w'; allowed: a, d"),
        (lambda: ControlSpec(keys=("a", "d"), exclusive=(("a", "a"),)), "exclusive has 'a' twice"),
        (lambda: ControlSpec(keys=("a", "d", "w"), exclusive=(("a", "d"), ("d", "w"))), "exclusive has 'd' twice"),
        (lambda: ControlSpec(keys=("a", "d"), mirrored=(("a", "q"),)), "unknown key in mirrored 'q'"),
        (lambda: ControlSpec(keys=("a", "d", "w"), mirrored=(("a", "d", "w"),)), "give pairs of keys"),
        (lambda: ControlSpec(mouse_limit=(1.0,)), "give two finite numbers"),  # type: ignore[arg-type]
        (lambda: SPEC.check_vector("a"), "control vector was 'a'; give an array of numbers"),  # type: ignore[arg-type]
        (lambda: SPEC.from_action({"keys": "a", "mouse": np.zeros(2), "buttons": np.zeros(1)}), r"action\['keys'\] was 'a'"),
        (
            lambda: SPEC.from_action({"keys": np.zeros((2, 3)), "mouse": np.zeros(2), "buttons": np.zeros(1)}),
            "all axes but the last must be the same",
        ),
        (
            lambda: SPEC.from_action({"keys": np.zeros(2), "mouse": np.zeros(2), "buttons": np.zeros(1)}),
            r"action\['keys'\] has shape \(2,\); its last axis must be 3",
        ),
    ],
)
def test_bad_input_is_explained(make: object, message: str) -> None:
    with pytest.raises(ControlError, match=message):
        make()  # type: ignore[operator]
