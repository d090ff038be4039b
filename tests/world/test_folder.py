from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from worldsim.errors import WorldError
from worldsim.world import find_world, load_world
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
    with pytest.raises(WorldError, match=r"^no world .*; shipped: atari/") as caught:
        find_world(name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(WorldError, match=r"no world 'doom/take-cove'; shipped: .* Did you mean 'doom/take-cover'\?"):
        find_world("doom/take-cove")


def test_the_name_of_a_trained_game_suggests_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/my/game/world").mkdir(parents=True)
    with pytest.raises(WorldError, match=r"Did you mean runs/my/game/world\?"):
        find_world("my/game")


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


def test_loading_imports_no_compiler(tiny_world_path: Path) -> None:
    check = f"import sys; from worldsim import World; World.load({str(tiny_world_path)!r}); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=180)
    assert done.stdout.splitlines()[-1] == "False", "it takes longer than loading"


@pytest.mark.parametrize("name", ["tokenizer", "dynamics", "starts"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_damage(copy: Path, name: str, number: float) -> None:
    tensors = load_file(copy / f"{name}.safetensors")
    first = min(tensors)
    tensors[first].view(-1)[-1] = number
    save_file(tensors, copy / f"{name}.safetensors")
    with pytest.raises(WorldError, match=rf"{name}\.safetensors: '{first}' holds numbers that are not finite"):
        load_world(copy)


def test_links_that_lead_out_of_a_world_are_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "starts.safetensors").rename(tmp_path / "elsewhere")
    (copy / "starts.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorldError, match="is a link that leads out of"):
        load_world(copy)
    (tmp_path / "alias").symlink_to(copy)  # the folder itself may be a link
    (copy / "starts.safetensors").unlink()
    shutil.copy(tmp_path / "elsewhere", copy / "starts.safetensors")
    load_world(tmp_path / "alias")
