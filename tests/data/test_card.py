from __future__ import annotations

from pathlib import Path

from worldsim.data import Dataset
from worldsim.data.card import dataset_card


def test_a_card_counts_what_was_recorded(sources: list[Path]) -> None:
    dataset = Dataset(sources[1])  # three episodes, one of them held out
    card = dataset_card(dataset, "me/square", license="mit")
    head, _, text = card.removeprefix("---\n").partition("\n---\n")
    assert head.startswith("license: mit\ntags:\n- worldsim\n- LeRobot\n") and "data_files: data/*/*.parquet" in head
    assert "| game | square |" in text and "| frames | 32x32, 17.5/s, h264 |" in text
    assert "| episodes | eval 1, train 2 |" in text and "| frames in them | eval 21, train 42 |" in text
    assert "policies: p1 3" in text and dataset.fingerprint in text and "Dataset('me/square')" in text
