from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsim.bench import display
from worldsim.bench.config import StartConfig
from worldsim.bench.marks import Marks
from worldsim.bench.start import PHASES, bench_start, phases
from worldsim.cli import main
from worldsim.errors import DisplayError, WorldError, WorldsimError


def test_starts_are_timed_phase_by_phase(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "start.json"
    options = ["--shows", "file", "--runtimes", "torch", "--rounds", "1", "--device", "cpu"]
    main(["bench", "start", str(tiny_world_path), *options, "--json", str(out)])
    figures = json.loads(out.read_text())
    (result,) = figures["results"]
    assert result["cache"] == "-" and result["shown"] == "file" and figures["machine"]["cores"] > 0
    for kind in ("wall", "cpu"):
        assert sum(result[kind][name] for name in PHASES) == pytest.approx(result[kind]["total"])
        assert all(result[kind][name] > 0 for name in PHASES)
    assert "first frame" in capsys.readouterr().out


def test_a_cold_start_compiles_and_a_warm_one_does_not(tiny_world_path: Path) -> None:
    pytest.importorskip("openvino")
    config = StartConfig((str(tiny_world_path),), ("file",), ("openvino",), rounds=1, device="cpu")
    cold, warm = bench_start(config)["results"]
    assert (cold["cache"], warm["cache"]) == ("cold", "warm")
    assert cold["cpu"]["graphs"] > warm["cpu"]["graphs"]


def test_phases_add_up_to_the_total() -> None:
    events = ("opened", "torch begin", "torch end", "load begin", "load read", "load end", "frame")
    marks = {event: (float(i**2), float(i)) for i, event in enumerate(events)}
    figures = phases(marks)
    assert figures["wall"] == {
        "imports": 6.0, "torch": 3.0, "read": 7.0, "graphs": 9.0, "first frame": 11.0, "total": 36.0, "window": 0.0,
    }  # fmt: skip
    assert figures["cpu"]["total"] == 6.0


def test_the_first_event_of_a_kind_counts(tmp_path: Path) -> None:
    marks = Marks(0.0, str(tmp_path / "picture.png"))
    marks("worldsim.load", ("begin",))
    first = marks.at["load begin"]
    marks("worldsim.load", ("begin",))
    marks("os.rename", (tmp_path / "a", tmp_path / "other.png", -1, -1))
    assert marks.at == {"load begin": first}
    marks("os.rename", (tmp_path / "a", tmp_path / "picture.png", -1, -1))
    assert set(marks.at) == {"load begin", "frame"}


def test_what_the_command_says_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WorldsimError, match=r"worldsim record .* failed: worldsim: .* is not a whole world"):
        bench_start(StartConfig((str(tmp_path),), ("file",), rounds=1))


def test_worlds_and_screens_are_looked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorldError, match="no world 'doom/nowhere'"):
        bench_start(StartConfig(("doom/nowhere",)))
    monkeypatch.setattr(display.shutil, "which", lambda program: None)
    with pytest.raises(DisplayError, match="Xvfb not found; on Debian or Ubuntu: sudo apt install xvfb"):
        bench_start(StartConfig(shows=("screen",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds was 0"),
        ({"shows": ()}, "shows was empty; give at least one of: file, screen"),
        ({"shows": ("page",)}, "shows was 'page'; allowed: 'file', 'screen'"),
        ({"runtimes": ("onnx",)}, "runtimes was 'onnx'"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        StartConfig(**options)  # type: ignore[arg-type]
