from __future__ import annotations

from collections.abc import Callable

import pytest

from worldsim.cli.app import main

Failure = Callable[..., str]


@pytest.fixture
def failure(capsys: pytest.CaptureFixture[str]) -> Failure:
    """Runs a command that must fail, and gives the one line on stderr with which it does."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as exit:
            main(arguments)
        assert exit.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run
