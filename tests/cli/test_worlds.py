from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldsim.cli.app import main
from worldsim.world import World
from worldsim.world.shelf import count_parameters, describe_world, format_worlds


def test_worlds(tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["worlds", "--json", str(tmp_path / "worlds.json")])
    listed = [world["name"] for world in json.loads((tmp_path / "worlds.json").read_text())["worlds"]]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["world", *listed]

    world, about = World.load(tiny_world_path, device="cpu"), describe_world(tiny_world_path)
    parameters = sum(value.numel() for net in (world.tokenizer, world.dynamics) for value in net.state_dict().values())
    assert about["parameters"] == parameters == sum(count_parameters(p) for p in tiny_world_path.glob("[dt]*.safetensors"))
    assert (about["width"], about["height"]) == (48, 32)
    assert "48x32" in format_worlds([about | {"figures": {"psnr_1": 30.123, "table": [1]}}]).splitlines()[1]
    assert format_worlds([about | {"figures": {"psnr_1": 30.123, "table": [1]}}]).endswith("psnr_1 30.12")
