from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.data import Dataset, DatasetInfo
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import ObjectClass
from worldsim.envs.games.doom import DEFEND_THE_CENTER, TAKE_COVER, DoomEnv
from worldsim.envs.games.policies import StickyRandom
from worldsim.eval import objects
from worldsim.eval.clips import Place
from worldsim.eval.probe import THRESHOLD, Probe, detect, heat_map, load_probe, match, save_probe, train_probe


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 5)


def squares(count: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Frames 32x48 with up to two red (class 0) and one blue (class 1) square of 4 pixels, on noise."""
    rng = np.random.default_rng(seed)
    frames, labels = rng.integers(60, 100, (count, 32, 48, 3), dtype=np.uint8), []
    for frame in frames:
        rows = []
        for kind, column in ((0, 4), (0, 20), (1, 36)):
            if rng.random() < 0.6:
                x, y = column + int(rng.integers(0, 8)), int(rng.integers(0, 28))
                frame[y : y + 4, x : x + 4] = ((250, 20, 20), (20, 20, 250))[kind]
                rows.append((kind, x, y, 4, 4))
        labels.append(boxes(*rows))
    return frames, labels


def test_heat_is_one_at_centres_and_unknown_where_too_small() -> None:
    heat = heat_map(boxes((0, 10, 4, 4, 4), (1, 20, 20, 1.5, 3)), 32, 48, 2)
    assert heat.shape == (2, 16, 24)
    assert np.argwhere(heat == 1).tolist() == [[0, 3, 6]]
    assert 0 < heat[0, 3, 7] < 1 and heat[0, 10, 20] == 0
    assert (heat[0] >= 0).all() and (heat[1, 10:12, 10] == -1).all() and (heat[1] == -1).sum() == 2


def test_detections_and_labels_of_one_class_agree_where_they_meet() -> None:
    labels = boxes((0, 10, 10, 4, 4), (0, 30, 10, 4, 4), (1, 10, 10, 4, 4))
    found = np.array([(0, 12, 12, 1), (0, 15.5, 12, 1), (0, 17, 12, 1), (1, 30, 12, 1)], np.float32)
    assert match(found, labels, 2).tolist() == [[2, 1, 3, 2], [1, 0, 1, 0]]


def test_what_is_too_small_may_be_found_but_need_not() -> None:
    labels = boxes((0, 10, 10, 1, 3), (0, 30, 10, 1, 3), (0, 40, 10, 2, 2))
    assert match(np.array([(0, 10, 11, 1)], np.float32), labels, 1).tolist() == [[1, 0, 1, 1]]


def test_classes_differ_in_names_and_heights(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {
        "tall": ObjectClass(("imp", "demon"), (0.25, 1.0)),
        "low": ObjectClass(("imp",), (0.0, 0.25)),
        "ball": ObjectClass(("ball",)),
    }
    monkeypatch.setattr(objects, "object_classes", lambda game: classes)
    seen = [
        ("imp", 1, 2, 3, 8.5),
        ("imp", 1, 2, 3, 8),
        ("demon", 4, 5, 6, 7),
        ("demon", 4, 5, 6, 32),
        ("ball", 0, 0, 1, 1),
        ("gun", 1, 1, 9, 9),
    ]
    labels = objects.labelled({"objects": seen}, "test", 32)
    assert sorted(labels.tolist()) == [[0, 1, 2, 3, 8.5], [0, 4, 5, 6, 32], [1, 1, 2, 3, 8], [2, 0, 0, 1, 1]]


def test_matching_nothing() -> None:
    assert match(np.zeros((0, 4), np.float32), boxes(), 2).tolist() == [[0] * 4] * 2
    assert match(np.zeros((0, 4), np.float32), boxes((1, 4, 4, 4, 4)), 2).tolist() == [[0] * 4, [1, 0, 0, 0]]
    assert match(np.array([(0, 1, 1, 1)], np.float32), boxes(), 2).tolist() == [[0, 0, 1, 0], [0] * 4]


def test_probe_learns_to_find_things(tmp_path: Path) -> None:
    probe = train_probe(*squares(300, 0), apart=(0, 0), steps=80, seed=0)
    frames, labels = squares(60, 1)
    labelled, detected, detections, hits = objects.score([detect(probe, frames)], [labels], 2, probe.smallest)[0].T
    assert (detected >= 0.9 * labelled).all() and (hits >= 0.9 * detections).all()
    assert (detections <= 1.1 * labelled).all()
    sure = [found[:, 3] for found in detect(probe, frames)]
    assert all((np.diff(of_frame) <= 0).all() for of_frame in sure)
    assert np.concatenate(sure).min() > THRESHOLD and np.concatenate(sure).max() <= 1
    save_probe(probe, tmp_path / "probe.safetensors")
    again = load_probe(tmp_path / "probe.safetensors", (0, 0))
    assert all(np.array_equal(a, b) for a, b in zip(detect(probe, frames), detect(again, frames), strict=True))


def test_training_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    train_probe(*squares(4, 0), apart=(0, 0), steps=1, seed=0)
    assert torch.rand(1) == wanted


class TakeCover(DoomEnv):
    def __init__(self) -> None:
        super().__init__(TAKE_COVER)


class RandomPolicy(StickyRandom):
    def __init__(self) -> None:
        super().__init__(TAKE_COVER.control_spec)


def doom_recording(root: Path) -> Dataset:
    """At least 60 held-out frames of take-cover."""
    pytest.importorskip("vizdoom")
    source = PolicySource("random", RandomPolicy)
    collect(TakeCover, [source], root, game="doom/take-cover", frames=1, eval_frames=60, progress=False)
    return Dataset(root, "eval")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return doom_recording(tmp_path_factory.mktemp("doom"))


def test_replay_gives_the_objects_of_the_recorded_frames(played: Dataset) -> None:
    env = objects.open_game(played.info)
    length = played.episodes[0].length
    whole = objects.clip_boxes(env, played, Place(0, 0, length - 4 + 1), context=4)
    part = objects.clip_boxes(env, played, Place(0, 16, 8), context=4)
    env.close()
    assert len(whole) == length - 4 and sum(len(b) for b in whole) > 0
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[16:24], strict=True))
    assert all(set(b[:, 0]) <= {0, 1} for b in whole)


def test_probe_is_trained_once(played: Dataset, tmp_path: Path) -> None:
    env, config = objects.open_game(played.info), objects.ProbeConfig(frames=4, steps=1)
    one = objects.get_probe(env, played.info, config, tmp_path)
    env.close()  # from here on only the file can give it
    again = objects.get_probe(env, played.info, config, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))


def test_a_damaged_probe_is_trained_again(played: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env, config = objects.open_game(played.info), objects.ProbeConfig(frames=4, steps=1)
    one = objects.get_probe(env, played.info, config, tmp_path)
    (path,) = tmp_path.iterdir()
    for content in (path.read_bytes()[:200], b""):
        path.write_bytes(content)
        again = objects.get_probe(env, played.info, config, tmp_path)
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
        assert f"{path} is damaged" in capsys.readouterr().err
    env.close()


class Peaks(Probe):
    """Sees, in every image, objects of two classes: at the red pixels of a frame, as sure as they are red."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = torch.nn.functional.max_pool2d((images[:, :1] + 1) / 2, 2)
        return torch.logit(red.clamp(1e-4, 1 - 1e-4)).repeat(1, 2, 1, 1)


def test_of_detections_too_near_to_each_other_the_most_certain_counts() -> None:
    frame = np.zeros((1, 32, 48, 3), np.uint8)
    for x, red in ((10, 200), (16, 250), (26, 150), (44, 80)):
        frame[0, 10, x, 0] = red
    (found,) = detect(Peaks((0, 8.0)), frame)
    assert found[found[:, 0] == 0, 1].tolist() == [17, 11, 27]  # the fourth is below the threshold
    assert found[found[:, 0] == 1, 1].tolist() == [17, 27]
    assert found[:, 3] == pytest.approx(np.array([250, 250, 200, 150, 150]) / 255, abs=1e-3)


def test_what_is_tall_lies_apart(tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    info = DatasetInfo("doom/defend-the-center", DEFEND_THE_CENTER.control_spec, height=80, width=128, fps=17.5, frame_skip=2)
    env = objects.open_game(info)
    assert objects.get_probe(env, info, objects.ProbeConfig(frames=4, steps=1), tmp_path).apart == (8.0, 0.0)
    env.close()
