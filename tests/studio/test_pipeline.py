from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldsim.controls import Controls
from worldsim.errors import ControlError, StudioError, WorldError
from worldsim.studio import pipeline, tasks
from worldsim.studio.pipeline import Studio
from worldsim.world import World


def test_a_clip_from_words(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    made = studio("a red room", frames=4, num_steps=3, seed=1)
    assert made.frames.shape == (4, 32, 48, 3) and made.frames.dtype == np.uint8 and made.frames.std() > 1
    assert np.isnan(made.controls).all() and not made.given.any()
    again, other, unsaid = (
        studio(text, frames=4, num_steps=3, seed=seed).frames for text, seed in (("a red room", 1), ("a red room", 2), ("", 1))
    )
    assert (again == made.frames).all() and (other != made.frames).any() and (unsaid != made.frames).any()
    monkeypatch.setattr(pipeline, "DECODED", 3)
    parts = studio("a red room", frames=4, num_steps=3, seed=1).frames
    assert np.abs(parts.astype(int) - made.frames).max() <= 1, "decoded in parts"


def test_guidance_goes_beyond_the_prompt(studio: Studio) -> None:
    plain, guided = (studio("two soldier", frames=2, num_steps=2, guidance=g).frames.astype(int) for g in (1.0, 6.0))
    assert np.abs(plain - guided).max() > 2


def test_given_frames_stay_as_they_are_at_any_size_and_length(studio: Studio) -> None:
    clip = np.random.default_rng(0).integers(0, 255, (3, 48, 32, 3), np.uint8)
    ticks: list[int] = []
    made = studio.render(tasks.extend(clip, after=9, before=4), "room", num_steps=2, tick=lambda: ticks.append(1))
    assert made.frames.shape == (16, 48, 32, 3) and (made.frames[4:7] == clip).all() and made.given.sum() == 3
    assert len(ticks) == 2 * len(tasks.windows(made.given, studio.window, 3))
    assert made.frames[[0, -1]].std() > 1
    kept = studio(video=clip, mask=[False, True, False], num_steps=2).frames
    assert (kept[[0, 2]] == clip[[0, 2]]).all() and (kept[1] != clip[1]).any()


def test_an_edit_keeps_more_the_weaker_it_is(studio: Studio) -> None:
    clip = studio(frames=4, num_steps=2).frames
    errors = [np.abs(studio(video=clip, strength=s, num_steps=4, seed=3).frames.astype(int) - clip).mean() for s in (0.05, 1.0)]
    assert errors[0] < errors[1] or errors[1] == 0


def test_controls_lead_from_frame_to_frame(studio: Studio) -> None:
    one, other = (studio(frames=4, num_steps=2, controls=text) for text in ("a*4", "d*2,mouse:10:0*2"))
    assert (one.frames != other.frames).any()
    assert one.controls[:, 0].tolist() == [1, 1, 1, 1] and other.controls[2].tolist() == [0, 0, 10, 0, 0]
    given = studio(frames=4, num_steps=2, controls=[Controls(keys={"a"})] * 4)
    assert (given.frames == one.frames).all()


def test_the_world_plays_itself(studio: Studio) -> None:
    made = studio("a soldier", frames=9, num_steps=3, controls="policy", seed=4)
    assert made.frames.shape == (9, 32, 48, 3) and np.isnan(made.controls[0]).all()
    assert np.isfinite(made.controls[1:]).all() and len(np.unique(made.controls[2:], axis=0)) > 1
    begun = studio(image=made.frames[0], frames=4, num_steps=2, controls="policy")
    assert (begun.frames[0] == made.frames[0]).all()


def test_a_world_without_prompts_makes_clips_under_random_controls(tiny_world: World) -> None:
    made = Studio(tiny_world)(frames=4, num_steps=3)
    assert made.frames.std() > 1 and np.isfinite(made.controls).all()
    with pytest.raises(WorldError, match="reads no prompts"):
        Studio(tiny_world)("a room")
    with pytest.raises(StudioError, match="makes 48x32 only"):
        Studio(tiny_world)(size=(64, 64))
    with pytest.raises(StudioError, match="foresees controls"):
        Studio(tiny_world)(controls="policy")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frames": 0}, "frames was 0"),
        ({"num_steps": 0}, "num_steps was 0"),
        ({"guidance": -1}, "guidance was -1"),
        ({"size": (50, 32)}, "width was 50; give a multiple of 16, such as 48"),
        ({"size": (1024, 1024)}, "at most 400 are made"),
        ({"image": np.zeros((4, 4), np.uint8)}, r"frames were uint8 \(4, 4\)"),
        ({"video": np.zeros((2, 32, 48, 3), np.uint8), "mask": [True]}, r"mask has shape \(1,\)"),
        ({"image": "no.png"}, "there is no file no.png"),
        ({"controls": "x*3"}, "controls held 'x'; allowed: a, d, left, mouse:DX:DY, ."),
        ({"controls": "*"}, "controls had the part"),
    ],
)
def test_wrong_requests_are_named(studio: Studio, given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        studio(**given)  # type: ignore[arg-type]


def test_controls_of_another_length(studio: Studio) -> None:
    with pytest.raises(ControlError):
        studio(frames=3, controls=[Controls()] * 2)


def test_files(studio: Studio, tmp_path: Path) -> None:
    made = studio(frames=3, num_steps=2)
    clip, picture = made.save(tmp_path / "clip.mp4"), studio(frames=1, num_steps=2).save(tmp_path / "one.png", scale=1)
    read = studio(video=clip, frames=5, num_steps=2, size=(48, 32))
    assert read.frames.shape == (5, 32, 48, 3) and read.given.tolist() == [True] * 3 + [False] * 2
    assert studio(image=picture, frames=2, num_steps=2).frames.shape == (2, 32, 48, 3)
