from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from worldsim.envs.games.studio import KINDS, PLACES, STATES, WEAPONS
from worldsim.errors import DataError, WorldError
from worldsim.studio.attributes import AttributeNet, Attributes, Judge, agreement, in_columns, targets
from worldsim.studio.scene import Scene, Thing

from .test_scene import states


def judged(clips: int = 2) -> Attributes:
    """Clips in basic, with a pistol, and an imp on the left."""
    places, weapons = np.zeros((clips, len(PLACES)), np.float32), np.zeros((clips, len(WEAPONS)), np.float32)
    places[:, 0], weapons[:, WEAPONS.index("pistol")] = 1, 1
    seen, where = np.full((2, clips, len(KINDS)), 0.1, np.float32)
    seen[:, KINDS.index("imp")] = 0.9
    return Attributes(places, weapons, seen, where, np.full(len(KINDS), 0.5, np.float32))


def test_agreement_counts_what_was_wanted_and_shown() -> None:
    wanted = [
        Scene("basic", (Thing("imp", "left"), Thing("demon")), "pistol"),
        Scene("take-cover", (Thing("imp", "right"),), None),
    ]
    figures = agreement(wanted, judged())
    assert figures == {"place": 0.5, "weapon": 1.0, "things": pytest.approx(2 / 3), "sides": 0.5, "absent": 1.0}
    assert np.isnan(agreement([Scene(), Scene()], judged())["place"])
    with pytest.raises(DataError, match="1 scenes for 2 clips"):
        agreement(wanted[:1], judged())


def test_a_scene_is_what_is_probable() -> None:
    assert judged().scene(0) == Scene("basic", (Thing("imp", "left"),), "pistol")
    seen = judged()
    unsure = replace(seen, places=np.full_like(seen.places, 0.2), weapons=np.full_like(seen.weapons, 0.2), seen=seen.where)
    assert unsure.scene(0) == Scene()


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (80, 80), (360, 640)])
def test_arrays_and_tensors_of_any_size_are_judged_alike(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    judge = Judge(AttributeNet())
    clips = np.random.default_rng(0).integers(0, 255, (2, 3, *size, 3), np.uint8)
    seen = judge(clips)
    again = judge(torch.from_numpy(clips).permute(0, 1, 4, 2, 3) / 255)
    assert seen.places.shape == (2, len(PLACES)) and seen.where.shape == seen.seen.shape == (2, len(KINDS))
    assert seen.places.sum(1) == pytest.approx(1, abs=1e-5) and np.allclose(seen.seen, again.seen, atol=1e-6)


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 64, 96, 3), np.uint8), np.zeros((1, 2, 64, 96, 3)), torch.zeros(1, 2, 64, 96, 3)]
)
def test_other_arrays_are_refused(frames) -> None:
    with pytest.raises(DataError, match=r"frames is .*; give "):
        Judge(AttributeNet())(frames)


def test_a_thing_on_one_side_changes_that_side_alone() -> None:
    torch.manual_seed(0)
    net = AttributeNet().eval()
    plain = torch.full((1, 3, 64, 96), 0.4)
    marked = plain.clone()
    marked[..., 8:24] = 0.9
    with torch.inference_mode():
        change = (net(marked)[2] - net(plain)[2]).abs().amax(dim=(0, 1))
    assert change.shape == (12,) and change[:4].min() > 0 and not change[7:].any()


def test_things_are_where_they_are_in_most_frames() -> None:
    class Told(AttributeNet):
        def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            """An imp in the first column, for one frame in the last."""
            columns = torch.full((len(frames), len(KINDS), 10), -9.0)
            columns[:, 0, 0] = 9
            columns[0, 0, 0], columns[0, 0, 9] = -9, 9
            columns[-2:, 0] = -9
            return torch.zeros(len(frames), len(PLACES)), torch.zeros(len(frames), len(WEAPONS)), columns

    seen = Judge(Told())(np.zeros((1, 6, 64, 96, 3), np.uint8))
    assert seen.seen[0, 0] > 0.9 and seen.where[0, 0] == pytest.approx(0.05) and seen.scene(0).things == (Thing("imp", "left"),)


def test_weights_are_kept_and_others_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    judge = Judge(AttributeNet())
    judge.net.thresholds[2] = 0.25
    judge.save(tmp_path / "judge.safetensors")
    clips = np.random.default_rng(0).integers(0, 255, (1, 2, 64, 96, 3), np.uint8)
    again = Judge.load(tmp_path / "judge.safetensors")
    assert np.allclose(judge(clips).places, again(clips).places, atol=0.02) and again.thresholds[2] == 0.25
    state = load_file(tmp_path / "judge.safetensors")
    save_file({**state, "things.weight": state["things.weight"][:3]}, tmp_path / "other.safetensors")
    with pytest.raises(WorldError, match="holds no judge"):
        Judge.load(tmp_path / "other.safetensors")
    with pytest.raises(WorldError, match="cannot be read"):
        Judge.load(tmp_path / "none.safetensors")


def test_targets_are_what_the_state_says() -> None:
    rows = np.concatenate(
        [
            states(1, place=3, weapon=2, object0__kind=1, object0__x=0.1, object0__height=0.4),
            states(1, place=3, weapon=2, object0__kind=1, object0__x=0.95, object0__height=0.01),
        ]
    )
    places, weapons, things = targets(rows, STATES)
    assert places.tolist() == [3, 3] and weapons.tolist() == [2, 2] and things.shape == (2, 6, 3)
    target, weight = in_columns(things, 10, 1.0)
    assert target[0, 1].tolist() == [0, 1, *[0] * 8] and target.sum() == 1
    assert weight[0, 1].tolist() == [0, 2, 0, *[1] * 7], "the columns beside it are not counted"
    assert weight[1, 1].tolist() == [*[1] * 8, 0, 0], "nor those of what is too small to be told"
    assert (weight[:, [0, *range(2, len(KINDS))]] == 1).all()
