from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worldsim.scale.folders import read_files
from worldsim.transfer.store import Store


class Counted:
    """Makes results and policies, and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def result(self) -> dict[str, Any]:
        self.made += 1
        return {"scores": [1.0, float("nan")], "made": self.made}

    def policies(self, folder: Path) -> list[dict[str, Any]]:
        self.made += 1
        for i in range(2):
            (folder / f"{i:03d}.safetensors").write_bytes(bytes([i, self.made]))
        return [{"steps": 10}, {"steps": 20}]


def test_results_are_made_once_for_a_key(tmp_path: Path) -> None:
    counted = Counted()
    for _ in range(2):
        found = Store(tmp_path, {"hold": 2}).result("run", {"steps": 3}, counted.result)
        assert found["made"] == 1 and found["scores"] == [1.0, None] and found["seconds"] >= 0
    assert Store(tmp_path, {"hold": 2}).result("run", {"steps": 4}, counted.result)["made"] == 2
    assert Store(tmp_path, {"hold": 3}).result("run", {"steps": 4}, counted.result)["made"] == 3


@pytest.mark.parametrize("content", [b"", b'{"key": {', b"\xff\xfe", b"[1, 2]", b'{"key": {}}', b'{"key": {}, "result": 3}'])
def test_damaged_results_are_made_again(tmp_path: Path, content: bytes) -> None:
    counted, store = Counted(), Store(tmp_path, {})
    store.result("run", {}, counted.result)
    (tmp_path / "runs" / "run.json").write_bytes(content)
    assert store.result("run", {}, counted.result)["made"] == 2
    assert store.result("run", {}, counted.result)["made"] == 2


def test_policies_are_trained_once_for_a_key(tmp_path: Path) -> None:
    counted, store = Counted(), Store(tmp_path, {})
    for _ in range(2):
        files, notes = store.policies("run", {"steps": 3}, counted.policies)
        assert [file.name for file in files] == ["000.safetensors", "001.safetensors"] and notes[1]["steps"] == 20
        assert files[1].read_bytes() == bytes([1, 1])
    own = tmp_path / "policies" / "run" / "mine.safetensors"
    own.write_bytes(b"of somebody else")
    files, _ = store.policies("run", {"steps": 4}, counted.policies)
    assert files[1].read_bytes() == bytes([1, 2]) and len(files) == 2 and own.read_bytes() == b"of somebody else"
    assert store.policies("run", {"steps": 4}, counted.policies)[0] == files and counted.made == 2


@pytest.mark.parametrize("damage", ["cut", "missing", "notes"])
def test_damaged_policies_are_trained_again(tmp_path: Path, damage: str) -> None:
    counted, store = Counted(), Store(tmp_path, {})
    files, _ = store.policies("run", {}, counted.policies)
    if damage == "missing":
        files[0].unlink()
    else:
        (files[0] if damage == "cut" else files[0].with_name("notes.json")).write_bytes(b"")
    files, _ = store.policies("run", {}, counted.policies)
    assert counted.made == 2 and files[0].read_bytes() == bytes([0, 2])


def test_what_fails_leaves_nothing_that_counts_as_finished(tmp_path: Path) -> None:
    counted, store = Counted(), Store(tmp_path, {})

    def fail(folder: Path) -> list[dict[str, Any]]:
        (folder / "000.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.policies("run", {}, fail)
    files, _ = store.policies("run", {}, counted.policies)
    assert counted.made == 1 and [path.name for path in (tmp_path / "policies").iterdir()] == ["run"]
    assert files[0].read_bytes() == bytes([0, 1])


def test_what_another_machine_made_is_adopted(tmp_path: Path) -> None:
    counted, there, here = Counted(), Store(tmp_path / "there", {}), Store(tmp_path / "here", {})
    there.result("run", {}, counted.result)
    there.policies("training", {}, counted.policies)
    here.policies("training", {"older": True}, counted.policies)
    assert not here.is_finished(lambda: here.result("run", {}, counted.result)) and counted.made == 3
    here.adopt(read_files(tmp_path / "there"))
    assert here.is_finished(lambda: here.result("run", {}, counted.result))
    assert here.policies("training", {}, counted.policies)[1] == [{"steps": 10}, {"steps": 20}] and counted.made == 3
    assert read_files(tmp_path / "here").keys() == read_files(tmp_path / "there").keys()
