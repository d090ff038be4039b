from __future__ import annotations

import sys
from pathlib import Path

import pytest

from worldsim.errors import WorldsimError
from worldsim.plotting import svg_figure


def draw(path: Path) -> str:
    with svg_figure(path, 3, 2) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [1, 2])
        axes.set_title("a title")
    return path.read_text()


def test_equal_plots_are_equal_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one, other = (draw(tmp_path / "docs" / name) for name in ("one.svg", "other.svg"))
    assert one == other and ">a title<" in one
    assert sorted(path.name for path in (tmp_path / "docs").iterdir()) == ["one.svg", "other.svg"]


def test_what_fails_while_drawing_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ZeroDivisionError), svg_figure(tmp_path / "plot.svg", 3, 2):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_missing_matplotlib_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(WorldsimError, match=r"worldsim-dit\[plot\]"), svg_figure(tmp_path / "plot.svg", 3, 2):
        pytest.fail("there is nothing to draw with")
