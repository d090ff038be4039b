from __future__ import annotations

from itertools import islice, pairwise

from worldsim.controls import ControlSpec
from worldsim.studio.controls import random_controls

SPEC = ControlSpec(keys=("a", "d"), mouse_limit=(20.0, 0.0), buttons=("left",), exclusive=(("a", "d"),))


def test_equal_seeds_give_equal_controls_that_the_world_knows() -> None:
    one, same, other = (list(islice(random_controls(SPEC, seed), 200)) for seed in (3, 3, 4))
    assert one == same != other
    for controls in one:
        SPEC.to_vector(controls)
        assert len(controls.keys) <= 1, "a and d exclude each other"
    assert {key for controls in one for key in controls.keys} == {"a", "d"}
    assert any(controls.mouse[0] for controls in one) and any(controls.buttons for controls in one)
    changes = sum(before.keys != after.keys for before, after in pairwise(one))
    assert changes < 100, "keys are held for a while"
