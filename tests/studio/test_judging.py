from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.cli.app import main
from worldsim.data import Dataset, DatasetInfo, Recorder
from worldsim.envs.games import make as make_game
from worldsim.envs.games.studio import CONTROLS, KINDS, STATES, WEAPONS
from worldsim.studio.attributes import Judge
from worldsim.studio.captioning import Captions, caption_dataset
from worldsim.studio.judging import format_measured, judge_clips, measure, picture_scenes, set_thresholds, train_judge

LEFT, PLACE = STATES.index("object0.x"), STATES.index("place")


def make(root: Path, episodes: int, seed: int = 0) -> Path:
    """Frames of one of two colours, each a place; in half of them a bright square, an imp, stands on one side."""
    rng = np.random.default_rng(seed)
    with Recorder(root, DatasetInfo("doom/studio", CONTROLS, 32, 48, 8.75, 4, state=STATES)) as recorder:
        for number in range(episodes):
            place, seen, left = int(rng.integers(2)), bool(rng.integers(2)), bool(rng.integers(2))
            values = np.zeros(len(STATES), np.float32)
            for slot in range(6):
                values[STATES.index(f"object{slot}.kind")] = -1
            values[PLACE] = place
            frame = np.full((32, 48, 3), (40, 40, 160) if place else (150, 60, 30), np.uint8)
            if seen:
                values[STATES.index("object0.kind")], values[STATES.index("object0.height")] = KINDS.index("imp"), 0.4
                values[LEFT] = 0.15 if left else 0.85
                frame[10:22, slice(2, 14) if left else slice(34, 46)] = 250
            recorder.begin(seed=number)
            for _ in range(6):
                noise = rng.integers(0, 12, frame.shape, np.uint8)
                vector = np.zeros(CONTROLS.size)
                vector[CONTROLS.keys.index("w")] = 1
                recorder.append(np.minimum(frame, 240) + noise, vector, 0.0, False, False, values)
            recorder.end()
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("judging")
    return make(root / "train", 96), make(root / "held-out", 40, seed=1)


def test_a_judge_learns_places_and_sides_and_captions_by_pictures(data: tuple[Path, Path], tmp_path: Path) -> None:
    judge = train_judge([data[0]], steps=60, batch=16, progress=False)
    set_thresholds(judge, judge_clips(judge, [data[0]], tuning=True))
    figures = measure(judge_clips(judge, [data[1]]))
    assert figures["clips"] == 40 and figures["real"]["place"] == 1 and figures["shuffled"]["place"] < 0.8
    assert figures["kinds"]["imp"]["found"] > 0.9 and figures["kinds"]["imp"]["absent"] > 0.9
    assert figures["real"]["sides"] > 0.9 and figures["true"] > 0.8
    assert "40 held-out clips" in format_measured(figures)
    scene = picture_scenes(judge)(Dataset(data[1]), 0)[0]
    assert scene.place in ("basic", "take-cover") and scene.doing == ("forward",) and scene.health is None
    assert caption_dataset(data[1], scenes=picture_scenes(judge), progress=False) == 40 * 6
    assert Captions(data[1]).at(0, 0, np.random.default_rng(0))


def test_the_command_trains_writes_and_measures(
    data: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["studio", "judge", "--data", str(data[0]), "--eval-data", str(data[1]), "--out", str(tmp_path / "j.safetensors")]
    main([*options, "--steps", "2"])
    first = capsys.readouterr().out
    main([*options, "--steps", "0"])
    assert "told right" in first and capsys.readouterr().out == first


def test_the_judge_that_ships_tells_the_places_of_the_game_apart() -> None:
    pytest.importorskip("vizdoom")
    judge = Judge.load()
    with make_game("doom/studio") as env:
        for place in ("basic", "take-cover", "health-gathering", "predict-position"):
            frame, info = env.reset(seed=11, options={"place": place})
            scene = judge(frame[None, None]).scene(0)
            assert scene.place == place and scene.weapon == WEAPONS[int(info["weapon"])]
            assert {thing.kind for thing in scene.things} <= {kind for kind, *_ in info["objects"]}
