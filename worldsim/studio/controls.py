"""Random controls, for clips that nobody plays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games import make_policy


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
