from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from worldsim.errors import FileError
from worldsim.provenance import MarkOptions, manifest
from worldsim.provenance.manifest import read
from worldsim.provenance.signer import make_signer
from worldsim.provenance.tags import read_claim

from .clips import CLAIM, ENDINGS, write

pytest.importorskip("c2pa", reason="needs c2pa-python; install: pip install 'worldsim-dit[provenance]'")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))
    manifest._say.cache_clear()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("composite", [False, True])
def test_a_signed_file_is_valid_and_says_what_it_is(tmp_path: Path, ending: str, composite: bool) -> None:
    claim = replace(CLAIM, composite=composite)
    path = write(tmp_path / f"a{ending}", claim=claim)
    found = read(path, ending)
    assert found is not None and found.valid and found.here and not found.problems
    assert found.claim == claim == read_claim(path, ending) and found.source == claim.source
    assert found.maker == claim.maker and found.signer.startswith("worldsim, local signer ")
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == (1 if ending == ".png" else 3), "it plays as before"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_changed_file_is_found_out(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a{ending}")
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 1
    path.write_bytes(bytes(content))
    found = read(path, ending)
    assert found is not None and not found.valid
    assert any("ash.mismatch" in problem for problem in found.problems)


def test_a_changed_manifest_is_found_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    content = path.read_bytes()
    start = content.index(b"caBX")
    where = content.index(b"doom/studio", start)
    path.write_bytes(content[:where] + b"DOOM" + content[where + 4 :])
    found = read(path, ".png")
    assert found is not None and not found.valid and "assertion.hashedURI.mismatch" in found.problems


def test_another_computers_signature_is_valid_but_not_ours(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    make_signer()
    found = read(path, ".mp4")
    assert found is not None and found.valid and not found.here and not found.problems


@pytest.mark.parametrize("ending", ENDINGS)
def test_without_c2pa_there_is_none(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a{ending}", marks=MarkOptions(c2pa=False))
    assert read(path, ending) is None and read_claim(path, ending) == CLAIM
    assert not (tmp_path / "cache").exists(), "no certificate is made"
    assert read(write(tmp_path / f"real{ending}", claim=None), ending) is None


def test_without_the_library_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(manifest, "available", lambda: False)
    for name in ("a.png", "b.png"):
        assert read_claim(write(tmp_path / name), ".png") == CLAIM
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "worldsim: no C2PA manifest is written: pip install 'worldsim-dit[provenance]', or say --no-c2pa"
    with pytest.raises(FileError, match="to read C2PA manifests: pip install"):
        read(tmp_path / "a.png", ".png")


def test_where_no_certificate_can_be_kept_the_clip_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("in the way")
    path = write(tmp_path / "a.png")
    assert read(path, ".png") is None and read_claim(path, ".png") == CLAIM
    assert "no C2PA manifest is written: cannot write" in capsys.readouterr().err


def test_damaged_files_are_one_error_or_found_out(tmp_path: Path) -> None:
    for ending in ENDINGS:
        whole, path = write(tmp_path / f"a{ending}").read_bytes(), tmp_path / f"b{ending}"
        for cut in (30, 200, len(whole) // 2):
            path.write_bytes(whole[:cut])
            try:
                found = read(path, ending)
            except FileError as error:
                assert "its C2PA manifest cannot be read" in str(error)
            else:
                assert found is None or not found.valid


@pytest.mark.parametrize(
    "store", [None, [], {"manifests": 3}, {"active_manifest": []}, {"validation_results": {"activeManifest": 1}}]
)
def test_strange_manifests_say_nothing(store: Any) -> None:
    found = manifest._parsed(json.loads(json.dumps(store)), "Valid")
    assert found.claim is None and found.source == found.signer == found.maker == "" and found.problems == ()


def test_strange_parts_say_nothing() -> None:
    active = {
        "assertions": [3, {"label": "c2pa.actions", "data": {"actions": [None, {"action": "c2pa.created"}]}}, {"label": 7}],
        "claim_generator_info": ["x"],
        "signature_info": {"issuer": 3},
    }
    failed = {"activeManifest": {"failure": ["x", {"code": "a.b"}]}}
    store = {"manifests": {"m": active}, "active_manifest": "m", "validation_results": failed}
    found = manifest._parsed(store, "Invalid")
    assert not found.valid and found.problems == ("", "a.b") and found.source == "" and found.signer == ""
