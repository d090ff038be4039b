from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from worldsim.data.format import EpisodeInfo
from worldsim.provenance import Claim

CLAIM = Claim("doom/studio", "0123456789abcdef", 7, {"num_steps": 16, "guidance": 2.0}, 'a "red" room\n\u202e')


def test_a_claim_comes_back_from_its_text() -> None:
    for claim in (CLAIM, replace(CLAIM, seed=None, composite=True), Claim("a")):
        assert claim.to_text().isascii() and Claim.from_text(claim.to_text()) == claim
    assert CLAIM.to_text() == replace(CLAIM).to_text(), "nothing of it changes from one time to the next"
    assert CLAIM.payload == 0x01234567 and Claim("a").payload == Claim("a", "no hash").payload == 0
    assert (CLAIM.source, replace(CLAIM, composite=True).source) == (
        "trainedAlgorithmicMedia",
        "compositeWithTrainedAlgorithmicMedia",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"world": 3},
        {"seed": "7"},
        {"seed": 1.5},
        {"sampler": []},
        {"generated_by": "somebody"},
        {"digital_source_type": "digitalCapture"},
        {"prompt": None},
    ],
)
def test_what_is_not_ours_is_no_claim(change: dict[str, object]) -> None:
    assert Claim.from_text(json.dumps(CLAIM.to_dict() | change)) is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 50_000, "hello", json.dumps("x" * 100_000), "1e999"])
def test_other_texts_are_no_claims(text: str) -> None:
    assert Claim.from_text(text) is None


def test_dreamed_episodes_have_a_claim_and_recorded_ones_none() -> None:
    episode = EpisodeInfo(0, 9, 0, "doom/take-cover", seed=3)
    assert Claim.of_labels(asdict(episode)) is None
    sampler = json.dumps({"world": "doom/take-cover", "num_steps": 2, "runtime": "torch", "processor": "x", "prompt": "dark"})
    claim = Claim.of_labels(asdict(replace(episode, world_hash="ab" * 8, sampler=sampler)))
    assert claim == Claim("doom/take-cover", "ab" * 8, 3, {"num_steps": 2, "runtime": "torch"}, "dark")
    for damaged in ("[]", "{", "3"):
        assert Claim.of_labels({"sampler": damaged, "world_hash": "ab"}) == Claim("", "ab")
