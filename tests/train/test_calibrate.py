from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_DIT, TINY_TOKENIZER

from worldsim.data import Dataset
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.train.calibrate import CodeCalibration, calibrate_codes
from worldsim.train.store import LatentStore

QUICK = CodeCalibration(rounds=4, batches=1, batch=16, frames=16)
BOOK = np.eye(5, 6, dtype=np.float32) * 12 - 2


@pytest.fixture(scope="module")
def store(square: Path, tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    """Every patch of it is a codeword, some of them rare."""
    store = LatentStore(
        Dataset(square, "train"), Tokenizer(TINY_TOKENIZER), tmp_path_factory.mktemp("cache") / "latents.bin", torch.device("cpu")
    )
    share = np.array([0.4, 0.3, 0.2, 0.08, 0.02])
    store.latents = BOOK[np.random.default_rng(0).choice(5, store.latents.shape[:-1], p=share)].astype(np.float16)
    return store


@pytest.fixture
def model() -> DiT:
    """Keeps what is drawn, and draws what is rare in the game often."""
    model = DiT(replace(TINY_DIT, controls=2, prediction="v"))
    model.codebook.copy_(torch.from_numpy(BOOK))
    assert model.code_head is not None
    with torch.no_grad():
        model.code_head.bias.copy_(torch.linspace(-1, 1, 5))
    return model


def calibrate(model: DiT, store: LatentStore, calibration: CodeCalibration, seconds: float = math.inf) -> list[float]:
    return calibrate_codes(model, store, calibration, {"context_level": 0.05, "draw_level": 0.15}, seconds=seconds)


def test_dreams_come_to_hold_as_much_of_each_codeword_as_the_game(store: LatentStore, model: DiT) -> None:
    before = copy.deepcopy(model.state_dict())
    apart = calibrate(model, store, QUICK)
    assert len(apart) == QUICK.rounds and apart[-1] < 0.3 * apart[0], apart
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed <= {"code_head.weight", "code_head.bias"} and "code_head.bias" in changed


def test_calibration_is_reproducible_and_can_be_left_out(store: LatentStore, model: DiT) -> None:
    twin, untouched = copy.deepcopy(model), copy.deepcopy(model)
    assert calibrate(model, store, QUICK) == calibrate(twin, store, QUICK)
    assert model.code_head is not None and twin.code_head is not None
    assert torch.equal(model.code_head.bias, twin.code_head.bias)
    assert calibrate(untouched, store, replace(QUICK, rounds=0)) == []


def test_dreams_are_no_longer_than_what_was_recorded(store: LatentStore, model: DiT) -> None:
    longest = calibrate(copy.deepcopy(model), store, replace(QUICK, frames=21))
    assert calibrate(model, store, replace(QUICK, frames=999)) == longest


def test_little_time_makes_one_short_round(store: LatentStore, model: DiT) -> None:
    assert len(calibrate(model, store, QUICK, seconds=0.0)) == 1
