from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from conftest import TINY_DIT, TINY_TOKENIZER, randomize
from tqdm import tqdm

from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import make_policy
from worldsim.envs.games.dodge import DODGE
from worldsim.errors import DataError, FileError, WorldsimError
from worldsim.eval.config import EvalConfig, ProbeConfig
from worldsim.eval.fidelity import Estimate
from worldsim.eval.report import evaluate
from worldsim.eval.tables import _cell, format_figures
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.new.card import write_card
from worldsim.world import WorldConfig, export_world, world_hash

from .test_objects import RandomPolicy, TakeCover

SMALL = EvalConfig(
    clips=6,
    horizons=(1, 3, 5),
    batch=4,
    dreams=2,
    dream_frames=8,
    sheet_frames=8,
    sheet_every=4,
    probe=ProbeConfig(frames=8, steps=2),
)


def test_a_world_is_measured(
    tiny_world_path: Path, recorded_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = evaluate(tiny_world_path, recorded_path, tmp_path, config=SMALL, device="cpu", json=tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text()) == json.loads(json.dumps(figures))
    assert figures["world"]["hash"] == world_hash(tiny_world_path) and "objects" not in figures
    for mode in ("free-running", "teacher-forced"):
        rows = figures["psnr"][mode]
        wrong = ["mirrored controls", "shuffled controls"]
        drawn = ["tokenizer ceiling", "copy-last-frame", "model", "model, expected", *wrong]
        assert list(rows) == [*drawn, *(f"{row}, expected" for row in wrong)]
        assert all(len(row) == 4 and len(figures["ssim"][mode][name]) == 3 for name, row in rows.items())
        lead = rows["model"][2]["value"] - rows["copy-last-frame"][2]["value"]
        assert figures["lead"][mode]["copy-last-frame"][2]["value"] == pytest.approx(lead)
        cost = rows["model, expected"][3]["value"] - rows["mirrored controls, expected"][3]["value"]
        assert figures["lead"][mode]["mirrored controls, expected"][3]["value"] == pytest.approx(cost)
    assert rows["tokenizer ceiling"][0]["count"] == 6
    assert figures["heads"]["teacher-forced"]["reward_error"]["count"] == rows["model"][3]["count"] + ends(figures)
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("PSNR dB, free-running", "mirrored controls", "half-life", "end recall"))


def ends(figures: dict) -> int:
    return figures["heads"]["free-running"]["end_recall"]["count"]


def test_the_bar_counts_every_imagined_frame(
    tiny_world_path: Path, recorded_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[tqdm] = []

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            bars.append(self)

    monkeypatch.setattr("worldsim.eval.figures.tqdm", Bar)
    evaluate(tiny_world_path, recorded_path, tmp_path, config=SMALL, device="cpu")
    assert [(bar.n, bar.total) for bar in bars] == [(6 * 5 * 12, 6 * 5 * 12)]  # clips, frames, and 6 rows in either mode


def test_pictures_are_drawn(tiny_world_path: Path, recorded_path: Path, tmp_path: Path) -> None:
    evaluate(tiny_world_path, recorded_path, tmp_path, config=replace(SMALL, pictured=2), device="cpu")
    with av.open(str(tmp_path / "sheet.png")) as picture:
        (sheet,) = picture.decode(video=0)
        assert (sheet.height, sheet.width) == (2 * 2 * 2 * 32, 2 * 4 * 48)  # zoom 2, two clips of two rows, four columns
    with av.open(str(tmp_path / "clip.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 4 + 5 and frames[0].shape == (2 * 2 * 32, 2 * 2 * 48, 3)
    assert (tmp_path / "dreams.png").exists()
    context = frames[3].astype(int)
    assert abs(context[:64] - context[64:]).mean() < 3  # the dream starts from the real context


def test_equal_settings_give_equal_figures(tiny_world_path: Path, recorded_path: Path, tmp_path: Path) -> None:
    one, other = (evaluate(tiny_world_path, recorded_path, tmp_path / str(i), config=SMALL, device="cpu") for i in range(2))
    assert one["psnr"] == other["psnr"] and one["heads"] == other["heads"]


def test_a_dataset_of_another_game_is_refused(tiny_world_path: Path, recorded_path: Path, tmp_path: Path) -> None:
    config = json.loads((tiny_world_path / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    for file in tiny_world_path.glob("*.safetensors"):
        (other / file.name).write_bytes(file.read_bytes())
    (other / "config.json").write_text(json.dumps({**config, "game": "doom/take-cover", "frame_skip": 4}))
    with pytest.raises(DataError, match=r"game test/tiny there, doom/take-cover here; frame_skip 2 there, 4 here"):
        evaluate(other, recorded_path, tmp_path, config=SMALL, device="cpu")


@pytest.mark.parametrize(
    "wrong",
    [{"clips": 0}, {"clips": 1}, {"horizons": ()}, {"horizons": (0, 2)}, {"batch": 0}, {"seed": -1}, {"seed": 2**31},
     {"num_steps": 0}, {"dream_frames": 1.5}, {"sheet_frames": 0}, {"sheet_every": 0}],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(wrong: dict) -> None:
    with pytest.raises(WorldsimError, match=f"^{next(iter(wrong))} was .*; give "):
        replace(SMALL, **wrong)


def test_outputs_are_checked_before_the_work(tiny_world_path: Path, recorded_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("here already")
    for out, json_path in ((file, None), (tmp_path / "out", tmp_path), (tmp_path / "out", file / "figures.json")):
        with pytest.raises(FileError, match=str(tmp_path)):
            evaluate(tiny_world_path, recorded_path, out, config=SMALL, device="cpu", json=json_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and file.read_text() == "here already"


def test_names_out_of_a_file_are_safe_to_print(tiny_world_path: Path, recorded_path: Path, tmp_path: Path) -> None:
    figures = evaluate(tiny_world_path, recorded_path, tmp_path, config=SMALL, device="cpu")
    figures["world"]["name"] = "\x1b[2J" + 100_000 * "x"
    (line, *_) = format_figures(_estimates(figures)).split("\n")
    assert "\x1b" not in line and "x1b[2J" in line and len(line) < 400


def _estimates(value: Any) -> Any:
    """Figures with their estimates, out of what was made plain for JSON."""
    if isinstance(value, dict) and set(value) == {"value", "ci95", "count"}:
        known: dict[str, Any] = {name: math.nan if part is None else part for name, part in value.items()}
        return Estimate(**known)
    if isinstance(value, dict):
        return {name: _estimates(part) for name, part in value.items()}
    return [_estimates(part) for part in value] if isinstance(value, list) else value


def test_objects_of_doom_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("vizdoom")
    data = tmp_path / "data"
    source = PolicySource("random", RandomPolicy)
    collect(TakeCover, [source], data, game="doom/take-cover", frames=1, eval_frames=120, progress=False)
    figures = evaluate(random_world(tmp_path / "world", Dataset(data)), data, tmp_path / "out", config=SMALL, device="cpu")
    found = figures["objects"]["found"]
    assert list(found) == ["real frames", "tokenizer ceiling", "copy-last-frame", "model", "model, expected"]
    assert found["real frames"]["monster"]["recall"]["count"] > 10
    fireballs = figures["objects"]["per_frame"]["fireball"]
    assert fireballs["dreams"]["count"] <= 16 == fireballs["real"]["count"] and len(fireballs["dreams_by_quarter"]) == 4
    printed = capsys.readouterr().out
    assert "fireball recall" in printed and "dreams / real" in printed and "confidence, dreams" in printed
    assert f"in {fireballs['dreams']['count']} of dreams and 16 of the game" in printed


def test_things_are_followed_and_told_on_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = PolicySource("restless", partial(make_policy, "restless", DODGE.control_spec))
    collect(DODGE.start, [source], tmp_path / "data", game=DODGE.name, frames=60, eval_frames=120, progress=False)
    world = random_world(tmp_path / "world", Dataset(tmp_path / "data"))
    figures = evaluate(world, tmp_path / "data", tmp_path / "out", config=SMALL, device="cpu")
    assert list(figures["things"]) == ["brick", "player"] and figures["around"]["class"] == "player"
    followed = figures["things"]["player"]
    assert set(followed["seen_at_contrast"]) == {"75%", "25%"}
    assert {"real frames", "tokenizer ceiling", "model"} <= set(followed["teacher-forced"])
    assert set(followed["free-running"]) == {"model", "model, expected", "shuffled controls"}
    assert len(followed["free-running"]["model"]["near"]) == len(SMALL.horizons)
    assert followed["teacher-forced"]["real frames"]["visible"]["count"] > 10
    psnr, cost = (figures["around"][name]["free-running"] for name in ("psnr", "cost"))
    assert cost["shuffled controls"][-1]["value"] == pytest.approx(
        psnr["model"][-1]["value"] - psnr["shuffled controls"][-1]["value"]
    )
    assert figures["collapse"]["ages"] == list(range(1, 9)) and set(figures["collapse"]["at_most_one"]) == {"brick", "player"}
    printed = capsys.readouterr().out
    assert all(
        said in printed for said in ("player: median distance", "dB around the player", "look like the game", "at most one")
    )
    text = write_card(world, tmp_path / "data", figures, DODGE, "worldsim new").read_text()
    assert f"makes {figures['world']['calls']} network" in text
    assert "player: distance in px" in text and "around the player, free-running" in text and "long dreams" in text


def random_world(folder: Path, dataset: Dataset) -> Path:
    """A world with random weights that fits the dataset."""
    spec, info = dataset.spec, dataset.info
    sizes = replace(TINY_DIT, controls=spec.size)
    tokenizer, dynamics = Tokenizer(TINY_TOKENIZER), DiT(sizes)
    randomize(tokenizer)
    randomize(dynamics)
    config = WorldConfig("test/doom", info.game, info.height, info.width, info.fps, info.frame_skip, spec, TINY_TOKENIZER, sizes)
    grid = TINY_TOKENIZER.grid(info.height, info.width)
    return export_world(folder, config, tokenizer, dynamics, torch.randn(2, 4, *grid, 6), torch.zeros(2, 4, spec.size))


def test_one_case_has_no_interval() -> None:
    assert _cell(Estimate(0.5, math.nan, 1), 3, counted=True) == "0.500 (1)"
    assert _cell(Estimate(0.5, 0.25, 4), 3, counted=True) == "0.500+-0.250 (4)"
