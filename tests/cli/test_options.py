from __future__ import annotations

import pytest

from worldsim.cli.app import load
from worldsim.cli.options import positionals_first


@pytest.mark.parametrize(
    ("command", "given", "ordered"),
    [
        ("train", "--budget 10m doom/x", "doom/x --budget 10m"),
        ("train", "--no-compile doom/x --json=f", "doom/x --no-compile --json=f"),
        ("bench stream", "--batch 1 32 doom/x doom/y --long 0", "doom/x doom/y --batch 1 32 --long 0"),
        ("bench stream", "--modes eager compiled doom/x", "doom/x --modes eager compiled"),
        ("bench kernels", "--compile-only --arch sm_80 norm_modulate", "norm_modulate --compile-only --arch sm_80"),
        ("transfer", "--worlds a b --seeds 0 1 doom/x", "doom/x --worlds a b --seeds 0 1"),
        ("transfer", "--config.hold 3 doom/x", "doom/x --config.hold 3"),
    ],
)
def test_positional_arguments_come_first(command: str, given: str, ordered: str) -> None:
    assert positionals_first(load(command), given.split()) == ordered.split()
    assert positionals_first(load(command), ordered.split()) == ordered.split()
