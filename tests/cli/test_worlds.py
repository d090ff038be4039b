from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from worldsim.cli.app import main
from worldsim.world import World
from worldsim.world.shelf import count_parameters, describe_world, format_worlds
from worldsim.worlds import shipped_worlds


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No world of whoever runs the tests is listed, and nothing is kept for them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("worldsim.world.shelf.downloaded", lambda kind: iter(()))


def test_worlds(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["worlds", "--json", str(tmp_path / "worlds.json")])
    listed = [world["name"] for world in json.loads((tmp_path / "worlds.json").read_text())["worlds"]]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["world", *listed] and listed == shipped_worlds()

    world, about = World.load(tiny_world_path, device="cpu"), describe_world(tiny_world_path)
    parameters = sum(value.numel() for net in (world.tokenizer, world.dynamics) for value in net.state_dict().values())
    assert about["parameters"] == parameters == sum(count_parameters(p) for p in tiny_world_path.glob("[dt]*.safetensors"))
    assert (about["width"], about["height"]) == (48, 32)
    assert "48x32" in format_worlds([about | {"figures": {"psnr_1": 30.123, "table": [1]}}]).splitlines()[1]
    assert format_worlds([about | {"figures": {"psnr_1": 30.123, "table": [1]}}]).endswith("psnr_1 30.12")


def test_trained_worlds_are_listed_with_their_speed(
    tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worldsim.world.shelf.shipped_worlds", list)
    monkeypatch.setattr("worldsim.world.shelf.TIMED", 0.0)
    for name in ("my/game", "other"):
        shutil.copytree(tiny_world_path, tmp_path / "runs" / name / "world")
    (tmp_path / "runs/other/world/dynamics.safetensors").write_bytes(b"damaged")
    for words, known in (([], False), (["--speed"], True), ([], True)):
        main(["worlds", *words, "--json", str(tmp_path / "worlds.json")])
        out, err = capsys.readouterr()
        (world,) = json.loads((tmp_path / "worlds.json").read_text())["worlds"]
        assert (world["name"], world["place"]) == ("runs/my/game/world", "trained here")
        assert (world["measured_fps"] is not None) is known and "trained here" in out
        assert "runs/other/world is left out" in err and "dynamics.safetensors cannot be read" in err
    assert world["measured_fps"] > 0
