from __future__ import annotations

import itertools
from importlib.resources import files

import numpy as np
import pytest

from worldsim.envs.games.studio import KINDS, PLACES, WEAPONS
from worldsim.errors import ConfigError
from worldsim.studio import vocabulary
from worldsim.studio.captions import LENGTHS, USUAL, describe, expand, familiar, read_prompt
from worldsim.studio.scene import Scene, Thing
from worldsim.world.words import Words

SCENE = Scene(
    "deadly-corridor",
    (Thing("zombie", "left", "near", 2), Thing("armor", "middle", "far")),
    "pistol",
    "hurt",
    ("forward", "turn left", "shoot"),
    ("brown", "brown", "dark grey"),
)


@pytest.mark.parametrize("level", LENGTHS)
@pytest.mark.parametrize("place", [place.name for place in PLACES])
def test_captions_have_the_length_of_their_level(level: int, place: str) -> None:
    low, high = LENGTHS[level]
    for seed, things in itertools.product(range(4), ((), SCENE.things)):
        scene = Scene(place, things, "none", "fine", ("dodge", "turn right"), ("grey", "brown", "black"))
        text = describe(scene, level, np.random.default_rng(seed))
        assert low <= len(text.split()) <= high and "{" not in text and "  " not in text and text.strip(" ,") == text


def test_the_same_generator_gives_the_same_caption_and_others_differ() -> None:
    texts = [describe(SCENE, 3, np.random.default_rng(seed)) for seed in range(50)]
    assert texts == [describe(SCENE, 3, np.random.default_rng(seed)) for seed in range(50)] and len(set(texts)) > 45


@pytest.mark.parametrize("level", [2, 3])
def test_captions_say_what_the_prompt_reader_finds(level: int) -> None:
    for seed in range(30):
        said = read_prompt(describe(SCENE, level, np.random.default_rng(seed)))
        assert said.place == "deadly-corridor"
        first = said.things[0]
        assert (first.kind, first.side, first.count) == ("zombie", "left", 2)
        assert set(said.doing) <= set(SCENE.doing) and said.weapon in (None, "pistol")


def test_every_place_thing_and_weapon_has_words() -> None:
    assert list(vocabulary.PLACES) == [place.name for place in PLACES] and set(USUAL) == set(vocabulary.PLACES)
    assert tuple(vocabulary.THINGS) == KINDS and tuple(vocabulary.WEAPONS) == WEAPONS


def test_unknown_things_are_not_told() -> None:
    assert describe(Scene(place="basic"), 1, np.random.default_rng(0)).split()[0] in ("a", "an")
    assert describe(Scene(things=SCENE.things), 2, np.random.default_rng(0))


def test_other_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match="level was 4; give 1, 2 or 3"):
        describe(SCENE, 4, np.random.default_rng(0))


@pytest.mark.parametrize("prompt", ["two soldiers in a corridor", "a fireball", "xyzzy", "", "dark room, pistol"])
def test_expanding_keeps_every_word_and_adds_some(prompt: str) -> None:
    for seed in range(10):
        text = expand(prompt, seed)
        assert text.startswith(prompt) and len(prompt.split()) < len(text.split()) <= 24
        assert text == expand(prompt, seed)


def test_expanding_does_not_speak_again_of_what_was_said() -> None:
    for seed in range(10):
        more = expand("two soldiers in a corridor, unarmed, standing still", seed).removeprefix("two soldiers in a corridor")
        said = read_prompt(more)
        assert not said.things and said.weapon == "none" and said.doing == ("stand",)


def test_long_prompts_come_back_as_they_are() -> None:
    prompt = "a brown stone corridor with large brown blocks, two soldiers close by on the left, pistol in hand, walking on, "
    prompt += "wounded and firing again"
    assert expand(prompt) == prompt


def test_prompts_are_read() -> None:
    said = read_prompt("A long hallway; three troopers far away on the right, holding a shotgun, strafes left and right")
    assert said == Scene("deadly-corridor", (Thing("zombie", "right", "far", 3),), "shotgun", None, ("dodge",))
    assert read_prompt("nothing that it knows") == Scene()


def test_words_that_no_caption_uses_stand_for_the_nearest() -> None:
    words = Words.load(str(files("worldsim.studio") / "words.safetensors"))
    assert read_prompt("infantrymen in a corridors").things == ()
    said = read_prompt("three rockets in a hallways, revolver", words)
    assert said.place == "deadly-corridor" and said.things[0].kind == "rocket" and said.weapon == "pistol"
    assert familiar(["the", "hallways", "xyzzy"], words) == ["the", "hallway", "xyzzy"]
    assert "revolver" in expand("a revolver", words=words)
