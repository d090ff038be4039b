from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from worldsim.errors import ConfigError, WorldError
from worldsim.world.words import Words

VOCABULARY = ("brick", "wall", "strafe", "soldier", "left", "2")


@pytest.fixture
def words() -> Words:
    return Words.of(VOCABULARY, np.random.default_rng(0).normal(size=(6, 16)))


@pytest.fixture(scope="module")
def shipped() -> Words:
    return Words.load(Path(str(files("worldsim.studio") / "words.safetensors")))


def test_a_prompt_becomes_vectors_in_its_order(words: Words) -> None:
    vectors, mask = words.encode("Soldier, LEFT!", 4)
    assert vectors.shape == (4, 16) and vectors.dtype == np.float32 and mask.tolist() == [True, True, False, False]
    assert np.array_equal(vectors[0], words.vector("soldier")) and np.array_equal(vectors[1], words.vector("left"))
    assert not vectors[2:].any() and np.linalg.norm(vectors[:2], axis=1) == pytest.approx(1, abs=0.02)


def test_longer_prompts_are_cut(words: Words) -> None:
    vectors, mask = words.encode("left " * 10 + "soldier", 3)
    assert mask.all() and np.array_equal(vectors, np.stack([words.vector("left")] * 3))
    assert not words.encode("")[1].any() and words.encode("")[0].shape == (24, 16)


@pytest.mark.parametrize(
    ("prompt", "known"),
    [
        ("soldiers strafing", ["soldier", "strafe"]),
        ("brick-walled", ["brick", "wall"]),
        ("a brickwall", ["brick", "wall"]),
        ("the soldier's 2 walls", ["soldier", "2", "wall"]),
        ("ein Flur \x00 ☃ zzz", []),
    ],
)
def test_unknown_words_give_their_parts_or_are_skipped(words: Words, prompt: str, known: list[str]) -> None:
    assert words.known(prompt) == known


def test_skipped_words_are_told(words: Words) -> None:
    assert words.unknown("a brick Flur") == ["a", "flur"]


def test_files_hold_the_same_words(words: Words, tmp_path: Path) -> None:
    words.save(tmp_path / "words.safetensors")
    again = Words.load(tmp_path / "words.safetensors")
    assert again.vocabulary == words.vocabulary and np.array_equal(again.encode("brick wall")[0], words.encode("brick wall")[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("scales"), "other tensors"),
        (lambda state: state.update(vectors=state["vectors"].astype(np.float32)), "other tensors"),
        (lambda state: state.update(vectors=state["vectors"][:3]), "6 words came with vectors"),
        (lambda state: state.update(scales=np.full(6, np.nan, np.float32)), "not finite"),
        (lambda state: state.update(words=np.frombuffer(b"a\na\nb\nc\nd\ne", np.uint8)), "a word twice"),
        (lambda state: state.update(words=np.frombuffer(b"a\n\x1b[2J\nb\nc\nd\ne", np.uint8)), "it is damaged"),
        (lambda state: state.update(words=state["words"].reshape(1, -1)), "one row"),
    ],
)
def test_damaged_files_are_refused(words: Words, tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "words.safetensors"
    words.save(path)
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(WorldError, match=message) as caught:
        Words.load(path)
    assert str(caught.value).isprintable()


def test_what_is_no_file_and_no_text_is_named(words: Words, tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"words\.safetensors cannot be read"):
        Words.load(tmp_path / "words.safetensors")
    with pytest.raises(WorldError, match="the prompt was 3; give text"):
        words.encode(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="length was 0"):
        words.encode("left", 0)


@pytest.mark.parametrize(
    ("word", "near", "other"),
    [
        ("soldier", "trooper", "corridor"),
        ("soldier", "marine", "brown"),
        ("corridor", "hallway", "soldier"),
        ("brown", "tan", "soldier"),
        ("pistol", "gun", "hallway"),
        ("grey", "gray", "corridor"),
        ("two", "three", "corridor"),
    ],
)
def test_synonyms_are_nearer_than_other_words(shipped: Words, word: str, near: str, other: str) -> None:
    vector = shipped.vector(word)
    assert vector @ shipped.vector(near) > vector @ shipped.vector(other) + 0.2


def test_the_shipped_words_are_few_bytes_and_know_the_captions(shipped: Words) -> None:
    from worldsim.studio.vocabulary import grammar_words

    assert (files("worldsim.studio") / "words.safetensors").read_bytes().__len__() < 1.3e6
    assert len(shipped) > 15_000 and shipped.channels == 64
    assert not [word for word in grammar_words() if word not in shipped]
