"""Simulated players on a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("websockets")

from worldsim.bench.config import ServeBenchConfig
from worldsim.bench.serve import bench_serve, held_at_full_rate
from worldsim.cli import main
from worldsim.errors import ServeError, WorldError, WorldsimError


def test_players_come_play_wait_and_are_counted(
    tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--players", "1", "3", "--seconds", "2", "--runtime", "torch", "--device", "cpu", "--threads", "1"]
    main(["bench", "serve", str(tiny_world_path), *options, "--json", str(tmp_path / "serve.json")])
    figures = json.loads((tmp_path / "serve.json").read_text())
    assert [result["players"] for result in figures["results"]] == [1, 3]
    for result in figures["results"]:
        assert result["playing"] + result["waiting"] == result["players"] and result["playing"] >= 1
        assert 0 < result["rates"]["slowest"] <= result["rates"]["fastest"] and result["fps"] == 17.5
        assert result["full_rate"] == (result["rates"]["slowest"] >= 0.95 * 17.5)
        assert 0 < result["between_frames_ms"]["p50"] <= result["between_frames_ms"]["p99"]
        assert result["first_frame_ms"]["p50"] > 0 and result["model_ms"]["p50"] > 0 and result["resident_bytes"] > 0
    assert set(figures["held"]) == {str(tiny_world_path)} and figures["machine"]["threads"] >= 1
    assert "players at full rate" in capsys.readouterr().out


def test_a_server_that_does_not_start_is_explained(tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ServeError, match="cannot be played"):
        bench_serve(ServeBenchConfig((str(tiny_world_path),), players=(1,), seconds=1, device="cuda"))
    with pytest.raises(WorldError, match="no world"):
        bench_serve(ServeBenchConfig(("nothing/here",)))


def test_the_most_players_at_full_rate_count() -> None:
    results = [{"playing": playing, "full_rate": full} for playing, full in ((1, True), (4, True), (6, False))]
    assert held_at_full_rate(results) == 4 and held_at_full_rate(results[2:]) == 0


@pytest.mark.parametrize("wrong", [{"players": ()}, {"players": (0,)}, {"players": (1000,)}, {"seconds": 0.0}, {"seed": -1}])
def test_what_is_out_of_range_is_explained(wrong: dict[str, object]) -> None:
    with pytest.raises(WorldsimError, match=f"{next(iter(wrong))} was"):
        ServeBenchConfig(**wrong)  # type: ignore[arg-type]
