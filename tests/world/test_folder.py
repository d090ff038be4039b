from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from worldsim.errors import WorldError
from worldsim.world import World, find_world, load_world, read_config, world_hash
from worldsim.worlds import shipped_worlds


@pytest.fixture
def copy(tiny_world_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_world_path, tmp_path / "copy"))


@pytest.mark.parametrize(
    "name",
    [
        "~nosuchuser/world",
        "~nosuchuser",
        "x" * 5_000,
        "x" * 5_000 + "/y",
        "doom/" + "x" * 5_000,
        "\x1b[2J\x1b[31m/owned",
        "a\x00b",
        "a\nb/c",
        "",
        "/nowhere/at/all",
        "../..//..x",
        "doom/take-cover/",
        None,
        3,
        b"doom/take-cover",
        Path("/nowhere"),
        Path("\x1b[2J"),
        ["doom/take-cover"],
    ],
)
def test_odd_names_are_refused_in_one_printable_line(name: Any) -> None:
    with pytest.raises(WorldError, match=r"^no world .*; shipped: doom/") as caught:
        find_world(name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


@pytest.mark.parametrize(("name", "meant"), [("doom/my-way-hone", "doom/my-way-home"), ("take-over", "doom/take-cover")])
def test_unknown_name_suggests(name: str, meant: str) -> None:
    with pytest.raises(WorldError, match=rf"no world '{name}'.* Did you mean '{meant}'\?"):
        find_world(name)


def test_unknown_name_unlike_any_suggests_nothing() -> None:
    with pytest.raises(WorldError, match=r"no world '/nowhere'.* or give a folder\.$"):
        find_world("/nowhere")


def test_shipped_worlds_are_found_and_whole() -> None:
    for name in shipped_worlds():
        config, *_ = load_world(find_world(name))
        assert config.name == name


def test_a_pipe_is_no_file(copy: Path) -> None:
    (copy / "config.json").unlink()
    os.mkfifo(copy / "config.json")
    with pytest.raises(WorldError, match=r"config\.json is missing"):
        load_world(copy)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("dynamics", lambda state: state.pop("patch.weight"), r"patch\.weight is missing, config\.json says \(32, 6\)"),
        ("dynamics", lambda state: state.update({"\x1b[2J": torch.zeros(1)}), r"unknown tensors '\\x1b\[2J'"),
        (
            "tokenizer",
            lambda state: state.update(latent_std=torch.ones(6, dtype=torch.int32)),
            "'latent_std' holds I32; allowed: F32",
        ),
        ("starts", lambda state: state.pop("controls"), r"controls is missing"),
        ("starts", lambda state: state.update(controls=torch.zeros(2, 4, 5)), r"controls is shape \(2, 4, 5\).* \(3, 4, 5\)"),
        (
            "starts",
            lambda state: state.update(latents=torch.zeros(0, 4, 2, 3, 6), controls=torch.zeros(0, 4, 5)),
            r"is shape \(0, 4",
        ),
        ("starts", lambda state: state.update(latents=torch.zeros(())), r"latents is shape \(\)"),
    ],
)
def test_files_are_compared_with_the_config(copy: Path, file: str, change: Any, message: str) -> None:
    path = copy / f"{file}.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(WorldError, match=message) as caught:
        load_world(copy)
    assert str(caught.value).isprintable()


def test_weights_do_not_follow_the_file(copy: Path) -> None:
    path = copy / "dynamics.safetensors"
    save_file({name: value.float() for name, value in load_file(path).items()}, path)
    _, _, dynamics, _, _ = load_world(copy)
    before = dynamics.patch.weight.clone()
    with path.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(bytes(1000))
    assert torch.equal(dynamics.patch.weight, before) and dynamics.patch.weight.requires_grad


def test_missing_file(copy: Path) -> None:
    (copy / "starts.safetensors").unlink()
    with pytest.raises(WorldError, match=r"starts\.safetensors is missing"):
        World.load(copy)


@pytest.mark.parametrize("file", ["tokenizer.safetensors", "dynamics.safetensors", "starts.safetensors"])
def test_truncated_file(copy: Path, file: str) -> None:
    whole = (copy / file).read_bytes()
    (copy / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorldError, match=f"{file} cannot be read .* copy the folder again"):
        World.load(copy)


def test_wrong_shape(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["dynamics"]["hidden"] = 64
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorldError, match=r"blocks\.0\.enter\.weight is shape \(96, 32\), config\.json says \(128, 32\)"):
        World.load(copy)


def test_newer_format(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text()) | {"format_version": 99}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorldError, match="has format 99, this worldsim reads up to 2; upgrade"):
        World.load(copy)


def test_older_format_is_read_under_its_old_names(copy: Path, tiny_world_path: Path) -> None:
    config = json.loads((copy / "config.json").read_text()) | {"format_version": 1}
    config["steps"] = config.pop("num_steps") + 1
    (copy / "config.json").write_text(json.dumps(config))
    old, new = read_config(copy), read_config(tiny_world_path)
    assert old.num_steps == new.num_steps + 1 and replace(old, num_steps=new.num_steps) == new and old.format_version == 2


@pytest.mark.parametrize("text", ["{", '{"format_version": 1, "colour": 3}', "[]"])
def test_broken_config(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(WorldError, match="copy the folder again"):
        World.load(copy)


def test_hash_follows_the_weights(tiny_world_path: Path, copy: Path) -> None:
    assert world_hash(copy) == world_hash(tiny_world_path)
    with (copy / "dynamics.safetensors").open("ab") as file:
        file.write(b" ")
    assert world_hash(copy) != world_hash(tiny_world_path)
