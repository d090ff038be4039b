"""Word vectors, with which a world reads prompts: one small file, and nothing else is needed to play."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save

from worldsim.errors import WorldError, check_int
from worldsim.files import write_bytes
from worldsim.world.folder import readable

PROMPT_WORDS = 24
MOST_WORDS, MOST_CHANNELS, MOST_BYTES = 200_000, 1024, 4_000_000
LONGEST_PROMPT = 10_000  # characters that are looked at

_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+")
_WORD = re.compile(r"[a-z0-9]{1,32}")
_ENDINGS = (("ies", "y"), ("es", ""), ("s", ""), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("ly", ""))
_SHORTEST_PART = 3


class Words:
    """A vocabulary and one static vector per word, so that words of similar meaning have similar vectors.

    >>> words = Words.load(folder / "words.safetensors")
    >>> vectors, mask = words.encode("a brick corridor, two soldiers ahead")

    Args:
        vocabulary: words in lower case, from a to z and digits.
        vectors: int8 `(V, C)`.
        scales: float32 `(V,)`; the vector of word i is `vectors[i] * scales[i]`, of length 1 where
            `Words.of` made it.

    Attributes:
        channels: C, numbers per word.

    Raises:
        WorldError: if they do not fit each other, or are out of range.
    """

    def __init__(self, vocabulary: Sequence[str], vectors: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        count = len(vocabulary)
        if vectors.dtype != np.int8 or vectors.ndim != 2 or len(vectors) != count or scales.shape != (count,):
            raise WorldError(
                f"{count} words came with vectors {vectors.dtype} {vectors.shape} and scales {scales.shape}; "
                f"give int8 ({count}, C) and ({count},)."
            )
        if not 1 <= count <= MOST_WORDS or not 1 <= vectors.shape[1] <= MOST_CHANNELS:
            raise WorldError(f"vectors have shape {vectors.shape}; allowed: 1 to {MOST_WORDS} words of 1 to {MOST_CHANNELS}.")
        if not np.isfinite(scales).all():
            raise WorldError("a scale of the words is not finite; the file is damaged: copy it again.")
        if len(set(vocabulary)) != count or not all(_WORD.fullmatch(word) for word in vocabulary):
            raise WorldError("the vocabulary holds a word twice, or one that is not of a to z and digits; it is damaged.")
        self.vocabulary = tuple(vocabulary)
        self.vectors, self.scales = vectors, scales.astype(np.float32)
        self._index = {word: i for i, word in enumerate(self.vocabulary)}

    @classmethod
    def of(cls, vocabulary: Sequence[str], vectors: NDArray[np.floating]) -> Words:
        """Words with float vectors `(V, C)`, which are brought to length 1 and rounded to 8 bits."""
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        scales = np.maximum(np.abs(unit).max(axis=1), 1e-9) / 127
        return cls(vocabulary, np.rint(unit / scales[:, None]).astype(np.int8), scales.astype(np.float32))

    @classmethod
    def load(cls, path: str | Path) -> Words:
        """Reads what `save` wrote.

        Raises:
            WorldError: if the file is missing, damaged or larger than any of ours.
        """
        path = Path(path)
        wanted = {"vectors": "I8", "scales": "F32", "words": "U8"}
        with readable(path):
            if path.stat().st_size > MOST_BYTES * 2:
                raise WorldError(f"{path} is larger than {MOST_BYTES * 2 // 10**6} MB, so no word vectors; copy it again.")
            with safe_open(path, framework="numpy") as file:
                kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 (not a dict)
            if kinds != wanted:
                said = ", ".join(f"{name} {kind}" for name, kind in wanted.items())
                raise WorldError(f"{path} holds other tensors than word vectors do ({said}); copy it again.")
            tensors = load_file(path)
        text = tensors["words"]
        if text.ndim != 1:
            raise WorldError(f"{path}: words has shape {text.shape}; it must be bytes in one row.")
        return cls(text.tobytes().decode("ascii", "replace").split("\n"), tensors["vectors"], tensors["scales"])

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file: `vectors` int8, `scales` float32, and `words`, a line each, as uint8."""
        text = np.frombuffer("\n".join(self.vocabulary).encode(), np.uint8)
        write_bytes(path, save({"vectors": self.vectors, "scales": self.scales, "words": text}))

    @property
    def channels(self) -> int:
        return self.vectors.shape[1]

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __contains__(self, word: str) -> bool:
        return word in self._index

    def vector(self, word: str) -> NDArray[np.float32]:
        """The vector `(C,)` of a word in the vocabulary."""
        i = self._index[word]
        return self.vectors[i].astype(np.float32) * self.scales[i]

    def encode(self, prompt: str, length: int = PROMPT_WORDS) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The vectors of a prompt's words, in their order.

        Args:
            prompt: text; see `known` for what becomes of its words.
            length: words that are kept; a longer prompt is cut after them.

        Returns:
            Vectors, float32 `(length, C)`, zeros after the last word, and bool `(length,)`, True where a word stands.

        Raises:
            WorldError: if the prompt is no text.
        """
        check_int("length", length, 1)
        found = self.known(prompt)[:length]
        out, mask = np.zeros((length, self.channels), np.float32), np.zeros(length, np.bool_)
        for i, word in enumerate(found):
            out[i], mask[i] = self.vector(word), True
        return out, mask

    def known(self, prompt: str) -> list[str]:
        """Words of the vocabulary that a prompt says.

        The prompt is lower-cased. A word that is unknown gives its stem ("strafing": strafe), or else the two known
        words that it is made of ("brickwall": brick, wall); others are skipped.
        """
        if not isinstance(prompt, str):
            raise WorldError(f"the prompt was {prompt!r}; give text.")
        return [part for word in _TOKEN.findall(prompt[:LONGEST_PROMPT].lower()) for part in self._parts(word)]

    def unknown(self, prompt: str) -> list[str]:
        """Words of a prompt that `known` skips."""
        return [word for word in _TOKEN.findall(prompt[:LONGEST_PROMPT].lower()) if not self._parts(word)]

    def _parts(self, word: str) -> list[str]:
        word = word.removesuffix("'s").replace("'", "")
        if word in self._index:
            return [word]
        for ending, other in _ENDINGS:
            if word.endswith(ending) and len(stem := word.removesuffix(ending) + other) >= _SHORTEST_PART and stem in self._index:
                return [stem]
        for cut in range(len(word) - _SHORTEST_PART, _SHORTEST_PART - 1, -1):
            if word[:cut] in self._index and word[cut:] in self._index:
                return [word[:cut], word[cut:]]
        return []
