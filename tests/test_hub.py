"""Worlds and datasets go to a Hub and come back, through the package huggingface_hub and real HTTP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import TOKEN, Hub, running_hub

from worldsim.cli.app import main
from worldsim.cli.options import existing_data
from worldsim.data import Dataset
from worldsim.data.check import check
from worldsim.errors import DataError, FileError, WorldError
from worldsim.hub import check_inside, download, is_hub_id, upload
from worldsim.world import World

pytest.importorskip("huggingface_hub")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that the package takes for the real one, with a cache of its own; we work in an empty folder."""
    with running_hub() as hub:
        monkeypatch.chdir(tmp_path)
        settings = {
            "ENDPOINT": hub.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
            "HF_HUB_CACHE": str(tmp_path / "hf/hub"),
            "HF_HUB_DISABLE_XET": True,
        }
        for name, value in settings.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield hub


def test_a_world_goes_up_and_comes_down(
    hub: Hub, tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["push", str(tiny_world_path), "me/tiny", "--license", "mit"])
    assert capsys.readouterr().out.strip() == f"{hub.address}/me/tiny"
    there = hub.repos["models", "me/tiny"]
    assert sorted(there) == sorted(["README.md", *(path.name for path in tiny_world_path.iterdir())])
    assert all(there[path.name] == path.read_bytes() for path in tiny_world_path.iterdir())
    card = there["README.md"].decode()
    assert card.startswith("---\nlibrary_name: worldsim\nlicense: mit\n") and "World.load('me/tiny')" in card
    assert "| frames | 48x32, 17.5/s |" in card

    world = World.load("me/tiny", device="cpu")
    assert world.folder is not None and world.folder.is_relative_to(tmp_path / "hf/hub")
    assert not [line for line in hub.requests if "../" in line]
    main(["worlds", "--json", "worlds.json"])
    worlds = {world["name"]: world for world in json.loads(Path("worlds.json").read_text())["worlds"]}
    assert worlds["me/tiny"]["place"] == "downloaded" and worlds["doom/take-cover"]["place"] == "shipped"

    asked = len(hub.requests)
    code = "from worldsim.world import find_world; print(find_world('me/tiny'))"
    settings = {"HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "hf/hub"), "HF_HUB_OFFLINE": "1"}
    offline = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **settings})
    assert offline.stdout.strip() == str(world.folder) and len(hub.requests) == asked, offline.stderr

    main(["push", str(tiny_world_path), "me/tiny", "--private"])
    assert not hub.private, "a repository that is there stays as public as it is"


def test_a_dataset_goes_up_and_comes_down(hub: Hub, tmp_path: Path) -> None:
    main(["collect", "toy/dodge", "--frames", "40", "--eval-frames", "10", "--processes", "1", "--out", "mine"])
    Path("mine/secret.txt").write_text("not to be shared")
    main(["push", "mine", "me/dodge", "--private"])
    there = hub.repos["datasets", "me/dodge"]
    assert "meta/info.json" in there and "secret.txt" not in there and hub.private == {"me/dodge"}
    assert all(content == Path("mine", name).read_bytes() for name, content in there.items() if name != "README.md")
    card = there["README.md"].decode()
    assert card.startswith("---\ntags:\n- worldsim\n") and "data_files: data/*/*.parquet" in card
    assert "Dataset('me/dodge')" in card and "policies: restless" in card

    mine, theirs = Dataset("mine"), Dataset("me/dodge")
    assert theirs.root.is_relative_to(tmp_path / "hf/hub") and theirs.fingerprint == mine.fingerprint
    np.testing.assert_array_equal(theirs.frames(0), mine.frames(0))
    assert check(theirs.root, progress=False)["problems"] == []
    assert existing_data(Path("me/dodge"), Path("data/default")) == theirs.root  # --data me/dodge


def test_what_cannot_be_had_is_one_line(
    hub: Hub, tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WorldError, match=r"no world 'me/nothing'; shipped: .*the Hugging Face Hub did not give 'me/nothing'"):
        World.load("me/nothing")
    with pytest.raises(DataError, match="no dataset at me/nothing; the Hugging Face Hub did not give"):
        Dataset("me/nothing")
    Path("me").mkdir()
    asked = len(hub.requests)
    with pytest.raises(DataError, match="no dataset at me/nothing"):
        Dataset("me/nothing")  # a folder "me" is here, so this is a slip of the pen
    assert len(hub.requests) == asked
    for words, said in (
        (("tiny",), "repo was 'tiny'; give a user and a name, such as me/my-world."),
        (("me/tiny", "--license", "a: b"), "license was 'a: b'"),
        (("me/tiny", "--figures", "none.json"), "none.json"),
    ):
        with pytest.raises(SystemExit) as exit:
            main(["push", str(tiny_world_path), *words])
        assert exit.value.code == 2 and said in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(SystemExit):
        main(["push", str(tiny_world_path), "me/tiny"])
    assert "Log in first: hf auth login." in capsys.readouterr().err
    assert not hub.repos


def test_a_damaged_world_and_a_link_are_not_shared(
    hub: Hub, tiny_world_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tiny_world_path, tmp_path / "copy"))
    (tmp_path / "key").write_text("secret")
    (copy / "README.md").symlink_to(tmp_path / "key")
    for said in ("README.md is a link that leads out of", "dynamics.safetensors cannot be read"):
        with pytest.raises(SystemExit):
            main(["push", "copy", "me/tiny"])
        assert said in capsys.readouterr().err
        (copy / "README.md").unlink(missing_ok=True)
        (copy / "dynamics.safetensors").write_bytes(b"damaged")
    main(["collect", "toy/dodge", "--frames", "40", "--eval-frames", "0", "--processes", "1", "--out", "mine"])
    (video,) = Path("mine/videos/observation.images.main/chunk-000").glob("file-000.mp4")
    video.rename(tmp_path / "elsewhere.mp4")
    video.symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(SystemExit):
        main(["push", "mine", "me/dodge"])
    assert "file-000.mp4 is a link that leads out of" in capsys.readouterr().err
    with pytest.raises(DataError, match="is a link that leads out of"):
        Dataset("mine").frames(0)
    assert not hub.repos


def test_names_of_the_hub() -> None:
    assert is_hub_id("me/world") and is_hub_id("a.b/c_d-e")
    assert not any(map(is_hub_id, ("me", "me/a/b", "../a", "me/..", "", "me/ä", ".me/x", "/x", "me/" + "x" * 97)))
    with pytest.raises(FileError, match=r"repo was '\.\./x'"):
        upload({}, "../x", "model", message="")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileError, match=r'pip install "worldsim-dit\[hub\]"'):
        download("me/world", "model", ("config.json",))


def test_links_may_lead_nowhere_but_into_the_cache_beside(tmp_path: Path) -> None:
    cache, outside = tmp_path / "models--me--world", tmp_path / "outside"
    snapshot = cache / "snapshots/abc"
    for folder in (snapshot, cache / "blobs"):
        folder.mkdir(parents=True)
    outside.write_text("secret")
    (cache / "blobs/123").write_text("fine")
    (snapshot / "config.json").symlink_to("../../blobs/123")
    check_inside(snapshot / "config.json", snapshot)
    check_inside(snapshot / "missing", snapshot)
    (snapshot / "dynamics.safetensors").symlink_to(outside)
    with pytest.raises(FileError, match="is a link that leads out of"):
        check_inside(snapshot / "dynamics.safetensors", snapshot)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").symlink_to(cache / "blobs/123")
    with pytest.raises(FileError, match="is a link that leads out of"):
        check_inside(elsewhere / "config.json", elsewhere)
