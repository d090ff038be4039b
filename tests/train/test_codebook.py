from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_TOKENIZER

from worldsim.data import Dataset
from worldsim.model.tokenizer import Tokenizer
from worldsim.train import codebook
from worldsim.train.codebook import CodebookConfig, cached_codebook, fit_codebook
from worldsim.train.store import LatentStore


def test_codewords_lie_where_latents_do() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 5, (4, 6))
    latents = (centres[rng.integers(0, 4, (50, 2, 3))] + rng.normal(0, 0.1, (50, 2, 3, 6))).astype(np.float16)
    book = fit_codebook(latents, 16, 0)
    distance = torch.cdist(torch.from_numpy(centres).float(), book).min(1).values
    assert (distance < 0.3).all() and torch.equal(book, fit_codebook(latents, 16, 0))


def test_a_short_time_makes_few_rounds_but_one() -> None:
    latents = np.random.default_rng(0).normal(size=(50, 2, 3, 6)).astype(np.float16)
    one = fit_codebook(latents, 16, 0, CodebookConfig(rounds=1))
    assert torch.equal(fit_codebook(latents, 16, 0, seconds=0.0), one)
    assert not torch.equal(fit_codebook(latents, 16, 0), one)


def test_few_patches_make_many_codewords() -> None:
    assert fit_codebook(np.zeros((1, 2, 2, 6), np.float16), 16, 0).shape == (16, 6)


def test_fitted_codewords_are_kept(square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    store = LatentStore(Dataset(square, "train"), Tokenizer(TINY_TOKENIZER), tmp_path / "latents.bin", torch.device("cpu"))
    fits = []

    def fit(*given: object) -> torch.Tensor:
        fits.append(given)
        return fit_codebook(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(codebook, "fit_codebook", fit)
    path, config = tmp_path / "codebook.pt", CodebookConfig(rounds=2)

    def cached(codes: int, config: CodebookConfig) -> torch.Tensor:
        return cached_codebook(path, store, codes, 0, config, 9.0)

    first = cached(8, config)
    assert torch.equal(cached(8, config), first) and len(fits) == 1
    assert cached(9, config).shape == (9, 6) and len(fits) == 2, "of another number"
    cached(9, replace(config, rounds=3))
    assert len(fits) == 3, "of other settings"
    for content in (b"", b"damaged", path.read_bytes()[:500]):
        path.write_bytes(content)
        assert cached(9, config).shape == (9, 6)
    torch.save({"codebook": 3}, path)
    cached(9, config)
    assert len(fits) == 7
