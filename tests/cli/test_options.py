from __future__ import annotations

from pathlib import Path

import pytest

from worldsim.cli.app import load
from worldsim.cli.options import positionals_first, use_game
from worldsim.envs.games import GAMES


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
        ("collect", "--game mine/game.py --frames 3", "mine/game.py --frames 3"),
        ("collect", "--frames 3 doom/x --ray", "doom/x --frames 3 --ray"),
        ("collect", "doom/x --ray auto --frames 3", "doom/x --ray auto --frames 3"),
        ("train", "--budget 10m --game=mine/game.py", "mine/game.py --budget 10m"),
        ("eval", "--game mine/game.py mine/world", "mine/world --game mine/game.py"),
    ],
)
def test_positional_arguments_come_first(command: str, given: str, ordered: str) -> None:
    assert positionals_first(load(command), given.split()) == ordered.split()
    assert positionals_first(load(command), ordered.split()) == ordered.split()


def test_a_game_that_has_changed_since_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(GAMES)
    try:
        (tmp_path / "game.py").write_text("from worldsim.envs.games.dodge import DODGE as SPEC\n")
        game = use_game(str(tmp_path / "game.py"))
        assert GAMES["toy/dodge"] is game and not capsys.readouterr().err
        use_game(str(tmp_path / "game.py"), game.source)
        assert not capsys.readouterr().err
        use_game(str(tmp_path / "game.py"), "elsewhere/game.py:SPEC (sha256 0123456789abcdef)")
        assert "has changed since" in capsys.readouterr().err
    finally:
        GAMES.clear()
        GAMES.update(before)
