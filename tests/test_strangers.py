"""A stranger's world or dataset, damaged or made to do harm, is opened or refused with one error of ours, in little memory.

`pytest --hypothesis-profile=search tests/test_strangers.py` looks for new failures, with 20 times as many examples.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data.importers.test_minerl import save as save_minerl
from data.importers.vpt_recordings import controls as vpt_controls
from data.importers.vpt_recordings import save as save_vpt
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.controls import ControlSpec
from worldsim.data import Dataset, DatasetInfo, Recorder
from worldsim.data.check import check
from worldsim.data.exporters.lerobot import export_lerobot
from worldsim.data.format import INFO_PATH, data_path, episode_path, video_path
from worldsim.data.importers.config import LeRobotConfig, MineRLConfig, OwlConfig, VptConfig
from worldsim.data.importers.lerobot import import_lerobot
from worldsim.data.importers.minerl import import_minerl
from worldsim.data.importers.owl import import_owl
from worldsim.data.importers.vpt import import_vpt
from worldsim.errors import WorldsimError
from worldsim.studio.captioning import CAPTIONS_PATH, Captions
from worldsim.world.folder import load_world
from worldsim.world.words import Words

FUZZ = settings(max_examples=settings().max_examples * 3 // 10)  # each opens a whole folder
FEW = settings(max_examples=settings().max_examples // 10)  # each writes a dataset
MOST = 600 << 20  # bytes that a refused file may cost at its peak
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 1, 16, 2**31, 2**62, 10**400, 1e308, float("nan"), float("inf"), -0.0]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["../../etc", "\x1b[2J", "a\x00b", "\ud800", "x" * 10_000, "/etc/passwd", "doom/take-cover"]),
    st.lists(st.integers(-1, 2**33), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def world(tiny_world_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_world_path, tmp_path_factory.mktemp("strangers") / "world"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, spec = tmp_path_factory.mktemp("strangers") / "dataset", ControlSpec(keys=("a", "d"), mouse_limit=(10.0, 0.0))
    with Recorder(root, DatasetInfo("test/game", spec, 32, 48, 20.0, state=("x",))) as recorder:
        for seed in range(2):
            rng = np.random.default_rng(seed)
            recorder.begin(seed=seed)
            for t in range(20):
                frame, vector = rng.integers(0, 255, (32, 48, 3), np.uint8), rng.integers(0, 2, 4)
                recorder.append(frame, vector, float(t), t == 19, False, state=rng.normal(size=1))
            recorder.end()
    return root


def open_world(folder: Path) -> None:
    load_world(folder)


def read_captions(root: Path) -> None:
    Captions(root).at(0, 3, np.random.default_rng(0))


def open_dataset(root: Path) -> None:
    """All that the project reads of a dataset."""
    dataset = Dataset(root)
    assert dataset.rows.actions.shape[0] == dataset.total_frames and len(dataset.fingerprint) == 16
    dataset.frames(0)
    dataset.clips([0], [0], 3)
    check(root, progress=False)


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """The file with another content, for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def survives(path: Path, content: bytes, read: Callable[[Path], None], root: Path) -> None:
    """Reads a folder with one changed file: it works, or raises one printable error of ours that is not long."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with changed(path, content):
        try:
            read(root)
        except WorldsimError as error:
            assert len(str(error)) < 5000
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < MOST


def load_words(path: Path) -> None:
    Words.load(path)


def fields(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value inside JSON."""
    yield path
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in inner:
        yield from fields(value, (*path, name))


@st.composite
def changed_json(draw: st.DrawFn, content: Any) -> Any:
    """JSON with one to three values replaced, removed or added."""
    content = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([path for path in fields(content) if path]))
        target = content
        for name in place[:-1]:
            target = target[name]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                target[place[-1]] = draw(ODD)
            case "remove":
                del target[place[-1]]
            case _ if isinstance(target, dict):
                target[draw(st.text(max_size=5))] = draw(ODD)
        if not content:
            break
    return content


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes that are cut, spliced, or have some replaced; most often near the ends, where formats keep their sizes."""
    data = bytearray(content)
    near = st.one_of(st.integers(0, min(200, len(data) - 1)), st.integers(max(0, len(data) - 400), len(data) - 1))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.one_of(near, st.integers(0, len(data) - 1)))
        match draw(st.sampled_from(["byte", "word", "cut", "insert"])):
            case "byte":
                data[at] = draw(st.integers(0, 255))
            case "word":
                data[at : at + 4] = struct.pack(
                    draw(st.sampled_from("<>")) + "I", draw(st.sampled_from([0, 1, 2**31, 2**32 - 1]))
                )
            case "cut":
                del data[at : at + draw(st.integers(1, 2000))]
            case "insert":
                data[at:at] = draw(st.binary(max_size=20))
        if not data:
            return b""
        near = st.integers(0, len(data) - 1)
    return bytes(data)


def dumped(content: Any) -> bytes:
    return json.dumps(content).encode("utf-8", "surrogatepass")


@FUZZ
@given(st.data())
def test_words_of_a_world(world: Path, data: st.DataObject) -> None:
    path = world / "words.safetensors"
    Words.of(["brick", "wall", "left"], np.random.default_rng(0).normal(size=(3, 8))).save(path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = dumped(data.draw(changed_json(json.loads(content[8 : 8 + length])), label="header"))
    whole = struct.pack("<Q", len(header)) + header + content[8 + length :]
    survives(path, data.draw(st.one_of(st.just(whole), changed_bytes(content)), label="words"), load_words, path)


@FEW
@given(st.data())
def test_captions_of_a_dataset(dataset: Path, data: st.DataObject) -> None:
    path = dataset / CAPTIONS_PATH
    columns = {"episode": [0, 0], "start": [0, 16], "stop": [16, 20], "level": [1, 1], "text": ["a room", "an imp"]}
    pq.write_table(pa.table(columns), path)
    survives(path, data.draw(changed_bytes(path.read_bytes()), label="captions"), read_captions, dataset)


@FUZZ
@given(st.data())
def test_config_of_a_world(world: Path, data: st.DataObject) -> None:
    path = world / "config.json"
    content = data.draw(changed_json(json.loads(path.read_text())), label="config")
    survives(path, dumped(content), open_world, world)


@FUZZ
@given(st.data())
def test_bytes_of_a_config(world: Path, data: st.DataObject) -> None:
    path = world / "config.json"
    survives(path, data.draw(changed_bytes(path.read_bytes()), label="config"), open_world, world)


@pytest.mark.parametrize("name", ["tokenizer", "dynamics", "starts"])
@FUZZ
@given(data=st.data())
def test_header_of_weights(world: Path, name: str, data: st.DataObject) -> None:
    path = world / f"{name}.safetensors"
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = dumped(data.draw(changed_json(json.loads(content[8 : 8 + length])), label="header"))
    stated = data.draw(st.sampled_from([len(header), 0, 1, 2**31, 2**63, 2**64 - 1, len(header) + 1]), label="length")
    survives(path, struct.pack("<Q", stated) + header + content[8 + length :], open_world, world)


@FUZZ
@given(st.data())
def test_bytes_of_weights(world: Path, data: st.DataObject) -> None:
    path = world / data.draw(st.sampled_from(["tokenizer.safetensors", "starts.safetensors"]), label="file")
    survives(path, data.draw(changed_bytes(path.read_bytes()), label="weights"), open_world, world)


@FUZZ
@given(st.data())
def test_info_of_a_dataset(dataset: Path, data: st.DataObject) -> None:
    path = dataset / INFO_PATH
    content = data.draw(changed_json(json.loads(path.read_text())), label="info")
    survives(path, dumped(content), open_dataset, dataset)


@pytest.mark.parametrize("of", [episode_path, data_path, video_path], ids=["episode", "rows", "video"])
@FUZZ
@given(data=st.data())
def test_bytes_of_an_episode(dataset: Path, of: Callable[[Path, int], Path], data: st.DataObject) -> None:
    path = of(dataset, 0)
    survives(path, data.draw(changed_bytes(path.read_bytes()), label=path.suffix), open_dataset, dataset)


@pytest.fixture(scope="module")
def foreign(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings in formats of others, each in a folder of its own."""
    root = tmp_path_factory.mktemp("strangers") / "foreign"
    export_lerobot(Dataset(dataset), root / "lerobot", progress=False)
    save_vpt(root / "vpt", "one", vpt_controls(8))
    save_minerl(root / "minerl/one", steps=8)
    (root / "owl").mkdir()
    shutil.copy(root / "vpt/one.mp4", root / "owl")
    events = ["1.0,START,[]", '1.1,KEYBOARD,"[87,true]"', '1.15,MOUSE_MOVE,"[3,-4]"', "1.3,END,[]"]
    (root / "owl/inputs.csv").write_text("timestamp,event_type,event_args\n" + "\n".join(events) + "\n")
    return root


def open_foreign(kind: str, root: Path) -> None:
    """Imports a folder into one that is removed."""
    with tempfile.TemporaryDirectory() as out:
        path, target = root / kind, Path(out) / "dataset"
        if kind == "lerobot":
            import_lerobot(LeRobotConfig(path, target), progress=False)
        elif kind == "vpt":
            import_vpt(VptConfig(path, target), progress=False)
        elif kind == "minerl":
            import_minerl(MineRLConfig(path, target), progress=False)
        else:
            import_owl(OwlConfig(path, target), progress=False)


FOREIGN = ("lerobot/meta/info.json", "vpt/one.jsonl", "minerl/one/metadata.json")


@pytest.mark.parametrize("name", FOREIGN)
@FEW
@given(data=st.data())
def test_fields_of_other_formats(foreign: Path, name: str, data: st.DataObject) -> None:
    kind, path = name.split("/")[0], foreign / name
    first, *others = path.read_text().splitlines() if name.endswith(".jsonl") else [path.read_text()]
    content = dumped(data.draw(changed_json(json.loads(first)), label=name))
    survives(path, b"\n".join([content, *(line.encode() for line in others)]), partial(open_foreign, kind), foreign)


@pytest.mark.parametrize(
    "name",
    [
        *FOREIGN,
        "lerobot/meta/episodes/chunk-000/file-000.parquet",
        "lerobot/data/chunk-000/file-000.parquet",
        "lerobot/meta/stats.json",
        "vpt/one.mp4",
        "minerl/one/rendered.npz",
        "owl/inputs.csv",
    ],
)
@FEW
@given(data=st.data())
def test_bytes_of_other_formats(foreign: Path, name: str, data: st.DataObject) -> None:
    path = foreign / name
    content = data.draw(changed_bytes(path.read_bytes()), label=name)
    survives(path, content, partial(open_foreign, name.split("/")[0]), foreign)


def test_names_that_are_no_text(dataset: Path) -> None:
    """Both were found by the tests above: pyarrow and PyAV decode names of columns and tags when they are asked for."""
    rows, video = data_path(dataset, 0), video_path(dataset, 0)
    with (
        changed(rows, rows.read_bytes().replace(b"frame_index", b"\x80rame_index")),
        pytest.raises(WorldsimError, match="damaged"),
    ):
        open_dataset(dataset)
    whole = video.read_bytes()
    assert b"Lavf" in whole
    before = Dataset(dataset).frames(0)
    with changed(video, whole.replace(b"Lavf", b"\x80avf")):
        np.testing.assert_array_equal(Dataset(dataset).frames(0), before)


def test_small_files_that_unpack_to_large_ones(dataset: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, episode, numbers = data_path(dataset, 0), episode_path(dataset, 0), foreign / "minerl/one/rendered.npz"
    million = pa.table({"next.reward": pa.nulls(1_000_000, pa.float32())})
    long = pa.Table.from_pylist([{**pq.read_table(episode).to_pylist()[0], "sampler": "x" * (32 << 20)}])
    for path, table in ((rows, million), (episode, long)):
        with changed(path, parquet(table)), pytest.raises(WorldsimError, match=r"bytes out of a file of \d{2,6}\)"):
            open_dataset(dataset)
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("reward.npy", bytes(2**21))
    monkeypatch.setattr("worldsim.data.importers.minerl.LARGEST", 2**20)
    with changed(numbers, packed.getvalue()), pytest.raises(WorldsimError, match="its arrays are too large"):
        open_foreign("minerl", foreign)


def parquet(table: pa.Table) -> bytes:
    pq.write_table(table, written := io.BytesIO(), compression="zstd")
    return written.getvalue()
