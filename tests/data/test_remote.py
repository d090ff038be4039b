"""Datasets at a URL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from worldsim.cli.options import existing_data
from worldsim.data import Dataset, Recorder
from worldsim.data.remote import MIRROR, as_url, mirror
from worldsim.errors import DataError

from .moving_square import info
from .recording import record


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    with Recorder(tmp_path / "recorded", info()) as recorder:
        for seed in range(3):
            record(recorder, 6 + seed, seed=seed)
    return tmp_path / "recorded"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


@pytest.fixture
def in_memory(recorded: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    system.put(str(recorded), "/bucket/data", recursive=True)
    yield "memory://bucket/data"
    system.rm("/bucket", recursive=True)


@pytest.fixture
def served(recorded: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(recorded)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("place", ["in_memory", "served"])
def test_a_dataset_elsewhere_is_the_one_here(place: str, recorded: Path, cache: Path, request: pytest.FixtureRequest) -> None:
    """Metadata comes at once, and each episode when it is first read."""
    here, there = Dataset(recorded), Dataset(request.getfixturevalue(place))
    assert there.fingerprint == here.fingerprint and there.lengths.tolist() == here.lengths.tolist()
    assert not list(cache.rglob("*.mp4"))
    np.testing.assert_array_equal(there.episode(1).frames, here.episode(1).frames)
    np.testing.assert_array_equal(there.episode(1).actions, here.episode(1).actions)
    assert len(list(cache.rglob("*.mp4"))) == 1 and there.fingerprint == here.fingerprint


def test_what_is_here_is_not_fetched_again(in_memory: str) -> None:
    first = Dataset(in_memory)
    first.frames(0)
    (video,) = first.root.rglob("*.mp4")
    before = video.stat().st_mtime_ns
    second = Dataset(in_memory)
    second.frames(0)
    assert second.root == first.root and video.stat().st_mtime_ns == before


def test_the_commands_take_urls(in_memory: str) -> None:
    """Which have lost a slash on the way, since options are paths."""
    assert (existing_data(Path(in_memory), Path("unused")) / MIRROR).is_file()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        (Path("s3://bucket/a"), "s3://bucket/a"),
        ("https://host:80/a/", "https://host:80/a"),
        ("file:///a", None),
        ("C:/a/b", None),
        ("data/doom", None),
        ("user/name", None),
    ],
)
def test_urls_are_told_from_paths(given: str | Path, url: str | None) -> None:
    assert as_url(given) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nothing/here", "no dataset at 'memory://nothing/here'"),
        ("nosuch://bucket/a", "'nosuch://bucket/a' cannot be read: Protocol not known: nosuch"),
        ("http://127.0.0.1:9/data", "no dataset at 'http://127.0.0.1:9/data'"),
    ],
)
def test_what_is_not_there_is_one_error(url: str, message: str, cache: Path) -> None:
    with pytest.raises(DataError, match=message):
        Dataset(url)
    assert not cache.exists()


def test_files_that_no_dataset_has_stay_there(in_memory: str) -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/data/meta/../../escaped.json", b"{}")
    system.pipe("/bucket/data/run.py", b"import os")
    names = {path.name for path in mirror(in_memory).rglob("*") if path.is_file()}
    assert not names & {"run.py", "escaped.json"}
