from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from worldsim.controls import ControlSpec
from worldsim.data import Dataset, Recorder
from worldsim.data.format import data_path, episode_path, video_path

from .moving_square import SPEC, info
from .recording import append, record, tree


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        ControlSpec(keys=("w",)),
        ControlSpec(buttons=("left",)),
        ControlSpec(mouse_limit=(5.0, 5.0)),
        ControlSpec(keys=("a", "d")),
    ],
    ids=lambda spec: "+".join(spec.names),
)
def test_lossless_round_trip_is_exact(tmp_path: Path, spec: ControlSpec) -> None:
    with Recorder(tmp_path, info(control_spec=spec, lossless=True)) as recorder:
        written = [record(recorder, 40, seed=1), record(recorder, 3, seed=2)]
    dataset = Dataset(tmp_path)
    assert dataset.spec == spec
    for i, want in enumerate(written):
        episode = dataset.episode(i)
        for name, value in want.items():
            got = getattr(episode, name)
            assert got.dtype == value.dtype
            np.testing.assert_array_equal(got, value)
        steps = len(want["rewards"])
        np.testing.assert_array_equal(episode.terminated, np.arange(steps) == steps - 1)
        assert not episode.truncated.any()


@pytest.mark.parametrize("fps", [35 / 3 / 16, 30000 / 1001 / 40, 1.0123456])
def test_times_of_long_episodes_are_those_of_the_video(tmp_path: Path, fps: float) -> None:
    """LeRobot compares both as float32, and takes a frame for missing that is more than 1e-4 s away."""
    length = int(2400 * fps)
    with Recorder(tmp_path, info(fps=fps, height=16, width=16)) as recorder:
        recorder.begin()
        for t in range(length):
            append(recorder, np.full((16, 16, 3), t % 256, np.uint8))
        recorder.end()
    rows = pq.read_table(data_path(tmp_path, 0))["timestamp"].to_numpy()
    with av.open(str(video_path(tmp_path, 0))) as container:
        stream = container.streams.video[0]
        shown = [float(packet.pts * stream.time_base) for packet in container.demux(stream) if packet.pts is not None]
    assert rows.dtype == np.float32 and len(shown) == length and rows[-1] > 2300
    assert np.abs(rows.astype(np.float64) - np.array(shown, np.float32)).max() < 1e-4
    assert Dataset(tmp_path).fps == recorder.info.fps == pytest.approx(fps, rel=1e-5)


def test_older_datasets_get_statistics_and_hashes(tmp_path: Path) -> None:
    with Recorder(tmp_path, info()) as recorder:
        record(recorder, 20)
    before, fingerprint = tree(tmp_path), Dataset(tmp_path).fingerprint
    table = pq.read_table(episode_path(tmp_path, 0))
    old = [name for name in table.column_names if name not in ("worldsim_stats", "content_hash", "begun_at")]
    pq.write_table(table.select(old), episode_path(tmp_path, 0))
    (tmp_path / "meta/stats.json").unlink()
    dataset = Dataset(tmp_path)
    assert dataset.episodes[0].content_hash is None and dataset.episodes[0].begun_at == 0
    assert dataset.fingerprint == fingerprint
    Recorder(tmp_path, info()).close()
    after = tree(tmp_path)
    assert {name for name in before if before[name] != after[name]} <= {
        "meta/stats.json",
        "meta/episodes/chunk-000/file-000.parquet",
    }
    assert Dataset(tmp_path).episodes[0].content_hash == dataset.content_hash(0)
