from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from worldsim.errors import ConfigError, DataError, WorldError
from worldsim.presets import doom_studio, studio_study
from worldsim.studio import study
from worldsim.studio.attributes import AttributeNet, Judge
from worldsim.studio.data_config import StudyConfig
from worldsim.studio.following import Example
from worldsim.studio.scene import Scene
from worldsim.studio.study import format_study, run_study

from .test_train import CONFIG, data

__all__ = ["data"]  # a fixture


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    shown = [Example("a red room", Scene("basic"), np.zeros((4, 32, 48, 3), np.uint8))]
    monkeypatch.setattr(study, "examples", lambda roots, count: shown)
    monkeypatch.setattr(Judge, "load", classmethod(lambda cls: Judge(AttributeNet())))
    monkeypatch.setattr(study, "BATCHES", 2)


def test_a_world_is_compared_at_each_budget_and_a_second_run_trains_nothing(
    data: Path, tiny_studio_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StudyConfig("scaling", str(tiny_studio_path), data, tmp_path / "out", ("0.3s", "0.2s"), device="cpu")
    figures = run_study({"small": CONFIG}, config)
    assert list(figures["trials"]) == ["small-0.2s", "small-0.3s"]
    assert all(trial["parameters"] > 0 and np.isfinite(trial["loss"]) for trial in figures["trials"].values())
    assert "held-out loss" in format_study(figures)
    assert "minutes of training" in "".join(ElementTree.parse(tmp_path / "out" / "scaling" / "study.svg").getroot().itertext())
    assert (tmp_path / "out" / "scaling" / "study.png").exists()
    monkeypatch.setattr(study, "train_trial", lambda *given: pytest.fail("trained again"))
    again = run_study({"small": CONFIG}, config)["trials"]
    assert [(key, trial["loss"]) for key, trial in again.items()] == [
        (k, trial["loss"]) for k, trial in figures["trials"].items()
    ]
    shutil.copytree(data / "48x32", tmp_path / "less" / "48x32")
    shutil.copytree(data.with_name("data-eval"), tmp_path / "less-eval")
    for name, other in (("prompts", replace(config, prompts=9)), ("data", replace(config, data=tmp_path / "less"))):
        with pytest.raises(WorldError, match=rf"figures\.json holds figures with other {name}; give another --out"):
            run_study({"small": CONFIG}, other)


def test_squares_are_the_middle_of_frames(data: Path, tiny_studio_path: Path, tmp_path: Path) -> None:
    config = StudyConfig("shapes", str(tiny_studio_path), data, tmp_path / "out", ("0.2s", "9s"), device="cpu")
    figures = run_study({"native": CONFIG, "square": replace(CONFIG, square=True)}, config)
    assert list(figures["trials"]) == ["native-0.2s", "square-0.2s"] and not (tmp_path / "out" / "shapes" / "study.svg").exists()
    assert all(np.isfinite(trial["loss"]) for trial in figures["trials"].values())


def test_studies_differ_in_one_thing() -> None:
    shapes = studio_study("shapes")
    assert replace(shapes["native"], model=doom_studio().model) == doom_studio()
    assert shapes["square"] == replace(shapes["native"], square=True)
    assert all(replace(config, model=doom_studio().model) == doom_studio() for config in studio_study("scaling").values())


def test_missing_recordings_are_named_before_anything_is_trained(tiny_studio_path: Path, tmp_path: Path) -> None:
    config = StudyConfig("scaling", str(tiny_studio_path), tmp_path / "none", tmp_path / "out", ("1s",), device="cpu")
    with pytest.raises(DataError, match=r"no dataset at .*none-eval or in it; record one with worldsim studio collect"):
        run_study({"small": CONFIG}, config)
    assert not (tmp_path / "out" / "scaling").exists()


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="budgets was empty"):
        StudyConfig("scaling", out=tmp_path, budgets=())
    with pytest.raises(ConfigError, match="budgets was '5'; give a time"):
        StudyConfig("scaling", out=tmp_path, budgets=("5",))
