"""The words of captions: what things, places, weapons and actions of the studio's game are called, as they look."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a place looks, in words any of which may stand for it.

    Attributes:
        adjectives: go before a noun; "{walls}" is the colour of the walls in view.
        nouns: of the place.
        features: of it, after the noun; "{walls}", "{floor}" and "{ceiling}" are colours in view.
    """

    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]
    features: tuple[str, ...]


PLACES: Mapping[str, Look] = {
    "basic": Look(
        ("brown stone", "brown block", "wide brown", "brown brick", "square brown"),
        ("room", "chamber", "hall", "arena"),
        ("with a dark grid ceiling", "under a dark metal grid", "with a tan floor", "with a tan floor and a grid ceiling"),
    ),
    "take-cover": Look(
        ("tan brick", "wide tan", "long brick", "light brick", "wide brick"),
        ("hall", "room", "gallery"),
        ("with a grey floor", "with a grey floor and a grey ceiling", "under a plain grey ceiling", "with tan brick walls"),
    ),
    "defend-the-center": Look(
        ("round tan", "round stone", "circular tan", "open round", "round"),
        ("arena", "courtyard", "pit", "yard"),
        ("under a dark blue sky", "under a night sky", "with a grey tiled floor", "with plain tan walls and a dark sky"),
    ),
    "defend-the-line": Look(
        ("tan brick", "wide brick", "light brick", "long tan"),
        ("firing range", "hall", "room", "gallery"),
        ("with a grey floor", "with a grey floor and a grey ceiling", "with tan brick walls", "under a plain grey ceiling"),
    ),
    "health-gathering": Look(
        ("green slime", "acid green", "mossy green", "toxic green", "open green"),
        ("yard", "pool", "field", "courtyard"),
        ("under a dark blue sky", "with mossy stone walls", "with mossy walls under a night sky", "flooded with green slime"),
    ),
    "my-way-home": Look(
        ("{walls}", "dim {walls}", "narrow {walls}", "small {walls}", "winding {walls}"),
        ("maze", "labyrinth", "maze room", "winding maze", "maze of rooms"),
        ("with brown stone floors", "with {walls} walls", "with a brown floor and {walls} walls", "with a brown stone ceiling"),
    ),
    "deadly-corridor": Look(
        ("dark brown", "brown stone", "dim brown", "long brown", "dark stone"),
        ("corridor", "hallway", "passage", "tunnel"),
        ("with brown stone walls", "with large brown blocks", "with a dark brown floor", "with a low brown ceiling"),
    ),
    "predict-position": Look(
        ("wide grey", "large grey", "grey stone", "cracked grey", "red lit"),
        ("hall", "warehouse", "room", "hangar"),
        ("under round red lights", "with a cracked grey floor", "with red lamps above", "with red circles above"),
    ),
    "freedoom1-e1m3": Look(
        ("{walls}", "{walls} metal", "military {walls}", "{walls} industrial", "{walls} concrete"),
        ("base", "facility", "outpost", "bunker"),
        ("with {walls} walls", "with {walls} walls and a {floor} floor", "with a {floor} floor", "with {ceiling} overhead"),
    ),
    "freedoom1-e2m1": Look(
        ("{walls}", "{walls} stone", "old {walls}", "gloomy {walls}", "ancient {walls}"),
        ("castle", "fortress", "keep", "crypt"),
        ("with {walls} walls", "with {walls} walls and a {floor} floor", "with a {floor} floor", "with {ceiling} overhead"),
    ),
    "freedoom1-e3m1": Look(
        ("{walls}", "{walls} rock", "burning {walls}", "infernal {walls}", "hellish {walls}"),
        ("hell", "cavern", "canyon", "inferno"),
        ("with {walls} rock walls", "with {walls} walls and a {floor} floor", "with a {floor} floor", "with {ceiling} overhead"),
    ),
    "freedoom2-map01": Look(
        ("{walls}", "{walls} steel", "modern {walls}", "{walls} tech", "high tech {walls}"),
        ("laboratory", "station", "complex", "lab"),
        ("with {walls} walls", "with {walls} walls and a {floor} floor", "with a {floor} floor", "with {ceiling} overhead"),
    ),
}

# Kind of thing -> its names, singular and plural.
THINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "imp": (("imp", "imps"), ("brown imp", "brown imps"), ("horned imp", "horned imps"), ("brown fiend", "brown fiends")),
    "demon": (("pink worm", "pink worms"), ("pink demon", "pink demons"), ("flesh worm", "flesh worms"), ("worm", "worms")),
    "cacodemon": (("spiked beast", "spiked beasts"), ("blue beast", "blue beasts"), ("floating monster", "floating monsters")),
    "marine": (("grey marine", "grey marines"), ("armored marine", "armored marines"), ("marine", "marines")),
    "zombie": (("soldier", "soldiers"), ("zombie soldier", "zombie soldiers"), ("trooper", "troopers"), ("gunman", "gunmen")),
    "sergeant": (("dark guard", "dark guards"), ("shotgun guard", "shotgun guards"), ("guard in black", "guards in black")),
    "gunner": (("heavy gunner", "heavy gunners"), ("machine gunner", "machine gunners"), ("gunner", "gunners")),
    "skull": (("flying skull", "flying skulls"), ("burning skull", "burning skulls")),
    "fireball": (("fireball", "fireballs"), ("ball of fire", "balls of fire"), ("burning ball", "burning balls")),
    "rocket": (("rocket", "rockets"), ("missile", "missiles")),
    "medkit": (("medkit", "medkits"), ("white health pack", "white health packs"), ("medical kit", "medical kits")),
    "bonus": (("small vial", "small vials"), ("bonus item", "bonus items"), ("little bottle", "little bottles")),
    "armor": (("armor vest", "armor vests"), ("suit of armor", "suits of armor")),
    "ammo": (("ammo box", "ammo boxes"), ("box of bullets", "boxes of bullets"), ("ammunition clip", "ammunition clips")),
    "weapon": (("gun lying there", "guns lying there"), ("dropped weapon", "dropped weapons")),
    "barrel": (("barrel", "barrels"), ("explosive barrel", "explosive barrels"), ("fuel drum", "fuel drums")),
    "tree": (("bare tree", "bare trees"), ("dead tree", "dead trees"), ("tree", "trees")),
    "pillar": (("pillar", "pillars"), ("column", "columns"), ("lamp post", "lamp posts")),
    "torch": (("torch", "torches"), ("green flame", "green flames"), ("burning torch", "burning torches")),
    "body": (("dead body", "dead bodies"), ("corpse", "corpses"), ("fallen soldier", "fallen soldiers")),
}
NUMBERS = {2: ("two", "a pair of"), 3: ("three",), 4: ("four", "several"), 5: ("five", "several"), 6: ("many", "a group of")}
SIDES: Mapping[str, tuple[str, ...]] = {
    "left": ("on the left", "to the left", "at the left side"),
    "middle": ("ahead", "straight ahead", "in the middle", "in front"),
    "right": ("on the right", "to the right", "at the right side"),
}
DISTANCES: Mapping[str, tuple[str, ...]] = {
    "near": ("close by", "very near", "up close"),
    "between": ("",),
    "far": ("far away", "in the distance", "far off"),
}
WEAPONS: Mapping[str, tuple[str, ...]] = {
    "none": ("unarmed", "with empty hands", "without a weapon"),
    "fist": ("with bare fists", "fists raised"),
    "pistol": ("pistol in hand", "holding a pistol", "with a pistol", "armed with a handgun"),
    "shotgun": ("shotgun in hand", "holding a shotgun", "with a shotgun"),
    "chaingun": ("chaingun in hand", "holding a chaingun", "with a machine gun"),
    "rocket launcher": ("carrying a rocket launcher", "holding a rocket launcher", "with a rocket launcher"),
    "plasma rifle": ("plasma rifle in hand", "holding a plasma rifle", "with a plasma gun"),
}
HEALTHS: Mapping[str, tuple[str, ...]] = {
    "fine": ("unhurt", "in good health", "healthy"),
    "hurt": ("wounded", "hurt", "injured"),
    "dying": ("almost dead", "badly wounded", "near death"),
}
# What the player does -> as "strafing left" and as "strafes left".
ACTIONS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "forward": (("walking forward", "walks forward"), ("moving ahead", "moves ahead"), ("advancing", "advances")),
    "backward": (("backing away", "backs away"), ("walking backward", "walks backward"), ("retreating", "retreats")),
    "left": (("strafing left", "strafes left"), ("stepping left", "steps left"), ("sidestepping left", "sidesteps left")),
    "right": (("strafing right", "strafes right"), ("stepping right", "steps right"), ("sidestepping right", "sidesteps right")),
    "dodge": (("strafing left and right", "strafes left and right"), ("dodging from side to side", "dodges from side to side")),
    "turn left": (("turning left", "turns left"), ("rotating left", "rotates left"), ("looking left", "looks left")),
    "turn right": (("turning right", "turns right"), ("rotating right", "rotates right"), ("looking right", "looks right")),
    "look around": (("looking around", "looks around"), ("turning left and right", "turns left and right")),
    "shoot": (("shooting", "shoots"), ("firing", "fires"), ("firing the gun", "fires the gun")),
    "blocked": (("pushing against a wall", "pushes against a wall"), ("stopped by a wall", "is stopped by a wall")),
    "stand": (("standing still", "stands still"), ("waiting", "waits"), ("not moving", "does not move")),
}
PLAYER = ("the player", "someone", "the hero", "a fighter")
EMPTY = ("empty", "quiet", "deserted", "silent")  # of a place where nothing is seen
COLOURS = ("black", "dark grey", "grey", "white", "red", "brown", "tan", "yellow", "green", "blue")
MORE = ("in", "inside", "through", "and", "of", "while", "there", "is", "are", "nobody", "nothing", "around", "gray", "armoured")


def grammar_words() -> list[str]:
    """Every word that a caption may hold, sorted."""
    return sorted({word for text in _texts() for word in re.findall("[a-z]+", text)} - {"walls", "floor", "ceiling"} | {"walls"})


def _texts() -> Iterable[str]:
    for look in PLACES.values():
        yield from (*look.adjectives, *look.nouns, *look.features)
    for table in (THINGS, ACTIONS):
        yield from (name for pairs in table.values() for pair in pairs for name in pair)
    for words in (SIDES, DISTANCES, WEAPONS, HEALTHS, NUMBERS):
        yield from (text for texts in words.values() for text in texts)  # type: ignore[attr-defined]
    yield from (*PLAYER, *EMPTY, *COLOURS, *MORE)
