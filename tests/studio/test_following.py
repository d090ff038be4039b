from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.cli.app import main
from worldsim.files import read_json
from worldsim.studio.attributes import AttributeNet, Attributes, Judge
from worldsim.studio.captioning import caption_dataset
from worldsim.studio.captions import read_prompt
from worldsim.studio.evaluate import Held
from worldsim.studio.following import Example, examples, format_following, measure_following, restrict
from worldsim.studio.scene import Scene, Thing

from .test_attributes import judged
from .test_captioning import make

IMP, NONE = Scene("basic", (Thing("imp", "left"),)), Scene("take-cover")


class Bright(Judge):
    """Sees basic with an imp where pictures are bright, and nothing in take-cover elsewhere."""

    def __call__(self, frames) -> Attributes:
        seen = judged(len(frames))
        dark = frames.mean(axis=(1, 2, 3, 4)) < 100
        seen.places[dark] = np.roll(seen.places[dark], 1, axis=1)
        seen.seen[dark] = 0
        return seen


def dataset(count: int = 20) -> list[Example]:
    frames = [np.full((16, 32, 48, 3), 200 * (i % 2), np.uint8) for i in range(count)]
    return [Example("an imp" if i % 2 else "nothing", IMP if i % 2 else NONE, frames[i]) for i in range(count)]


def test_a_world_that_follows_is_told_from_one_that_does_not() -> None:
    def follows(prompt: str, frames: int, size: tuple[int, int], seed: int) -> np.ndarray:
        return np.full((frames, size[1], size[0], 3), 200 if prompt == "an imp" else 0, np.uint8)

    judge = Bright(AttributeNet())
    good = measure_following(follows, judge, dataset(), progress=False)
    assert good["real"]["place"]["value"] == good["generated"]["things"]["value"] == 1 and good["clips"] == 20
    assert good["shuffled"]["place"]["value"] < 0.7 and good["bars"] == {"place": True, "things": True}
    row = good["shuffled"]["place"]
    assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    bad = measure_following(lambda prompt, *rest: follows("an imp", *rest), judge, dataset(), progress=False)
    assert bad["generated"]["place"]["value"] == 0.5 and not any(bad["bars"].values())
    assert "place missed" in format_following(bad) and "place reached" in format_following(good)


def test_only_what_a_prompt_tells_is_asked_for() -> None:
    scene = Scene("basic", (Thing("imp", "left"), Thing("fireball", "right")), "pistol", "hurt", ("shoot",))
    assert restrict(scene, read_prompt("a fireball in a brown room")).things == (Thing("fireball", "right"),)
    assert restrict(scene, read_prompt("a brown room")).weapon is None
    assert restrict(scene, read_prompt("a brown room, holding a pistol")).weapon == "pistol"


def test_examples_are_held_out_clips_with_their_captions(tmp_path: Path) -> None:
    root = make(tmp_path / "data", (40, 33))
    caption_dataset(root, progress=False)
    found = examples([root], 3)
    assert len(found) == 3 and all(example.frames.shape == (16, 16, 16, 3) for example in found)
    assert all(example.told.place == "take-cover" for example in found)
    again = examples([root], 3)
    assert [example.prompt for example in found] == [example.prompt for example in again]


def test_the_command_measures_a_world(
    tiny_studio_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr("worldsim.studio.attributes.Judge.load", lambda path=None: Judge(AttributeNet()))
    clips = np.random.default_rng(0).integers(0, 255, (2, 28, 32, 48, 3), np.uint8)
    held = Held(clips, np.zeros((2, 28, 5), np.float32), usual=80.0)
    monkeypatch.setattr("worldsim.studio.evaluate.read_held", lambda *given: held)
    root = make(tmp_path / "data" / "16x16", (20,))
    caption_dataset(root, progress=False)
    out = ["--out", str(tmp_path / "sheets")]
    options = ["--studio", "--data", str(tmp_path / "data"), *out, "--clips", "2", "--num-steps", "1", "--device", "cpu"]
    options += ["--made.revisits", "0", "--made.pasts", "0", "--made.acts", "2", "--made.sized", "1", "--made.edits", "2"]
    main(["eval", str(tiny_studio_path), *options, "--json", str(tmp_path / "figures.json")])
    printed = capsys.readouterr().out
    assert all(words in printed for words in ("prompts followed, 1 clips", "extend after", "place of the prompt seen", "128x64"))
    assert set(read_json(tmp_path / "figures.json")) >= {"joins", "following", "edits", "sizes", "hash", "machine"}
