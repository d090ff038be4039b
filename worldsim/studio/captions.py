"""A grammar that says in words what a scene shows, at three levels of detail, and makes short prompts longer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from worldsim.errors import ConfigError, shown
from worldsim.studio import vocabulary
from worldsim.studio.scene import Scene, Thing
from worldsim.world.words import Words

LENGTHS = {1: (4, 6), 2: (8, 14), 3: (15, 24)}  # level of detail -> fewest and most words
NEAR = 0.6  # likeness, from -1 to 1, above which a word stands for another
_TRIES = 60


def describe(scene: Scene, level: int, rng: np.random.Generator) -> str:
    """A caption of a scene.

    Args:
        scene: what is shown; of what is unknown nothing is said.
        level: 1 (4 to 6 words), 2 (8 to 14) or 3 (15 to 24).
        rng: draws the words; equal states give equal captions.

    Raises:
        ConfigError: for another level.
    """
    if level not in LENGTHS:
        raise ConfigError(f"level was {shown(level)}; give 1, 2 or 3.")
    low, high = LENGTHS[level]
    best, missed = "", 10_000
    for _ in range(_TRIES):
        text = _Draw(scene, rng).caption(level)
        words = len(text.split())
        miss = max(low - words, words - high, 0)
        if miss < missed:
            best, missed = text, miss
        if not miss:
            break
    return best


class _Draw:
    """One caption of a scene, drawn with a generator."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self.scene, self.rng = scene, rng

    def caption(self, level: int) -> str:
        return {1: self._short, 2: self._medium, 3: self._long}[level]()

    def pick(self, options: Sequence[str]) -> str:
        return str(options[int(self.rng.integers(len(options)))])

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _short(self) -> str:
        place, thing, doing = self.place(), self.thing(0, side=self.chance(0.3)), self.doing()
        about = self.weapon() if self.chance(0.5) else self._health()
        pairs = ([thing, doing], [place, thing], [place, doing], [doing, place], [thing, place], [place, about], [doing, about])
        patterns = [pair for pair in pairs if all(pair)]
        if not patterns:
            return place or thing or doing
        first, second = patterns[int(self.rng.integers(len(patterns)))]
        return f"{first} in {second}" if second == place and self.chance(0.7) else f"{first}, {second}"

    def _medium(self) -> str:
        place, doing = self.place(), self.doing()
        thing = self.thing(0, side=True) or self.nothing()
        orders: tuple[list[str], ...] = ([place, thing, doing], [thing, place, doing], [doing, place, thing])
        parts = orders[int(self.rng.integers(len(orders)))]
        if self.chance(0.3) and doing:
            parts = [f"{self.pick(vocabulary.PLAYER)} {self.doing(sentence=True)} in {place}" if place else doing, thing]
        if self.chance(0.25):
            parts.append(self.weapon())
        return ", ".join(part for part in parts if part)

    def _long(self) -> str:
        things = [self.thing(i, side=True, distance=self.chance(0.6)) for i in range(min(2, len(self.scene.things)))]
        things = things or [self.nothing()]
        doing = self.doing(most=2)
        if self.chance(0.4) and doing:
            doing = f"{self.pick(vocabulary.PLAYER)} {self.doing(sentence=True, most=2)}"
        health = self._health() if self.chance(0.5) else ""
        parts = {"place": self.place(), "feature": self.feature(), **dict(zip(("thing", "second"), things, strict=False))}
        parts |= {"weapon": self.weapon(), "doing": doing, "health": health}
        for name in ("health", "second", "feature", "weapon"):
            if sum(len(part.split()) for part in parts.values()) > LENGTHS[3][1]:
                parts.pop(name, None)
        where = f"{parts.pop('place')} {parts.pop('feature', '')}".strip()
        rest = list(parts.values())
        return ", ".join(part for part in ([*rest, where] if self.chance(0.3) else [where, *rest]) if part)

    def place(self) -> str:
        """ "a brown stone room"."""
        if self.scene.place is None:
            return ""
        look = vocabulary.PLACES[self.scene.place]
        words = f"{self._coloured(self.pick(look.adjectives))} {self.pick(look.nouns)}"
        if not self.scene.things and self.chance(0.3):
            words = f"{self.pick(vocabulary.EMPTY)} {words}"
        return _article(" ".join(words.split()))

    def feature(self) -> str:
        """ "with a tan floor"."""
        return "" if self.scene.place is None else self._coloured(self.pick(vocabulary.PLACES[self.scene.place].features))

    def thing(self, i: int, *, side: bool = False, distance: bool = False) -> str:
        """ "two brown imps far away on the left"; "" if there is no such thing."""
        if i >= len(self.scene.things):
            return ""
        thing: Thing = self.scene.things[i]
        names = vocabulary.THINGS[thing.kind]
        one, many = names[int(self.rng.integers(len(names)))]
        words = [_article(one) if thing.count == 1 else f"{self.pick(vocabulary.NUMBERS[min(thing.count, 6)])} {many}"]
        if distance:
            words.append(self.pick(vocabulary.DISTANCES[thing.distance]))
        if side:
            words.append(self.pick(vocabulary.SIDES[thing.side]))
        return " ".join(word for word in words if word)

    def nothing(self) -> str:
        return self.pick(("nobody around", "nothing there", "no enemies", "no one in sight"))

    def doing(self, *, sentence: bool = False, most: int = 1) -> str:
        """ "strafing left and shooting", or as a sentence, "strafes left and shoots"; at most so many of what is done."""
        names = self.scene.doing
        chosen = [names[i] for i in sorted(self.rng.permutation(len(names))[:most])]
        drawn = [vocabulary.ACTIONS[name] for name in chosen]
        return " and ".join(pairs[int(self.rng.integers(len(pairs)))][int(sentence)] for pairs in drawn)

    def weapon(self) -> str:
        return "" if self.scene.weapon is None else self.pick(vocabulary.WEAPONS[self.scene.weapon])

    def _health(self) -> str:
        return "" if self.scene.health is None else self.pick(vocabulary.HEALTHS[self.scene.health])

    def _coloured(self, text: str) -> str:
        walls, floor, ceiling = self.scene.colours or ("", "", "")
        return " ".join(text.format(walls=walls, floor=floor, ceiling=ceiling).split())


def expand(prompt: str, seed: int = 0, *, words: Words | None = None, most: int = LENGTHS[3][1]) -> str:
    """A short prompt with more detail: what it does not speak of is added by the grammar of the captions.

    >>> expand("two soldiers in a corridor")
    'two soldiers in a corridor with large brown blocks, straight ahead, pistol in hand, backing away'

    Args:
        prompt: text; all of it stands at the beginning of the result.
        seed: of what is added.
        words: with which it understands words that no caption uses; see `read_prompt`.
        most: words that the result may have; a prompt that is as long already comes back as it is.
    """
    rng = np.random.default_rng(seed)
    said = read_prompt(prompt, words)
    scene = complete(said, rng)
    draw = _Draw(scene, rng)
    parts: list[Callable[[], str]] = []
    if said.place is None:
        parts.append(lambda: f"in {draw.place()}")
    parts.append(draw.feature)
    if not said.things:
        parts.append(lambda: draw.thing(0, side=True, distance=True))
    if said.weapon is None:
        parts.append(draw.weapon)
    if not said.doing:
        parts.append(draw.doing)
    text = prompt.strip().rstrip(".,;")
    for part in parts:
        more = part()
        if more and len(text.split()) + len(more.split()) <= most:
            joint = " " if "," not in text and more.startswith(("in ", "with ", "under ", "between ")) else ", "
            text = f"{text}{joint if text else ''}{more}"
    return text


def complete(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene in which what is unknown is drawn: things, weapon and actions that fit its place."""
    place = scene.place or str(rng.choice(list(vocabulary.PLACES)))
    usual, weapon = USUAL[place]
    things = scene.things
    if not things and usual:
        side = str(rng.choice(list(vocabulary.SIDES)))
        things = (Thing(str(rng.choice(usual)), side, str(rng.choice(["near", "between", "far"])), int(rng.integers(1, 4))),)
    doing = scene.doing or (str(rng.choice(["forward", "left", "right", "turn left", "turn right", "stand"])),)
    return Scene(place, things, scene.weapon or weapon, scene.health, doing, scene.colours or COLOURED.get(place))


# Place -> things that are usual there, and the weapon.
USUAL: dict[str, tuple[tuple[str, ...], str]] = {
    "basic": (("cacodemon",), "pistol"),
    "take-cover": (("imp", "fireball"), "none"),
    "defend-the-center": (("demon", "marine"), "pistol"),
    "defend-the-line": (("imp", "demon", "fireball"), "pistol"),
    "health-gathering": (("medkit",), "none"),
    "my-way-home": ((), "none"),
    "deadly-corridor": (("zombie", "sergeant", "gunner"), "pistol"),
    "predict-position": (("cacodemon",), "rocket launcher"),
    "freedoom1-e1m3": (("imp", "zombie", "sergeant", "barrel"), "shotgun"),
    "freedoom1-e2m1": (("zombie", "imp", "torch", "tree"), "pistol"),
    "freedoom1-e3m1": (("imp", "cacodemon", "tree"), "pistol"),
    "freedoom2-map01": (("zombie", "sergeant", "bonus"), "shotgun"),
}
COLOURED = {
    "my-way-home": ("brown", "brown", "brown"),
    "freedoom1-e1m3": ("grey", "brown", "grey"),
    "freedoom1-e2m1": ("brown", "brown", "dark grey"),
    "freedoom1-e3m1": ("red", "dark grey", "red"),
    "freedoom2-map01": ("grey", "dark grey", "dark grey"),
}
_COUNTS = {"two": 2, "pair": 2, "three": 3, "four": 4, "several": 4, "five": 5, "many": 6, "group": 6}


def read_prompt(prompt: str, words: Words | None = None) -> Scene:
    """What a prompt says, as far as its words are those of the captions; see `Scene` for what is unknown.

    Args:
        prompt: text.
        words: with which a word that no caption uses stands for the one that is nearest in meaning; by default for none.
    """
    spoken = re.findall("[a-z]+", prompt.lower())
    text = " ".join(spoken if words is None else familiar(spoken, words))
    things = _things_in(text)
    return Scene(
        place=_place_in(set(text.split()), {thing.kind for thing in things}),
        things=things,
        weapon=_first(text, {name: (name, *phrases) for name, phrases in vocabulary.WEAPONS.items() if name != "none"})
        or _first(text, {"none": vocabulary.WEAPONS["none"]}),
        health=_first(text, vocabulary.HEALTHS),
        doing=tuple(_actions_in(text)),
    )


def familiar(spoken: Sequence[str], words: Words) -> list[str]:
    """Words, each as it is if captions use it or nothing is near, and otherwise as the nearest word of the captions."""
    known = set(vocabulary.grammar_words())
    grammar = [word for word in vocabulary.grammar_words() if word in words]
    if not grammar:
        return list(spoken)
    vectors = np.stack([words.vector(word) for word in grammar])
    result = []
    for word in spoken:
        for part in [word] if word in known else words.known(word) or [word]:
            if part not in known and part in words:
                likeness = vectors @ words.vector(part)
                part = grammar[int(likeness.argmax())] if likeness.max() > NEAR else part
            result.append(part)
    return result


def _place_in(words: set[str], kinds: set[str]) -> str | None:
    """The place of which most is said: its noun counts for more than what many places share; what is usual there counts too,
    but does not suffice.
    """
    scores = {}
    for name, look in vocabulary.PLACES.items():
        nouns = {noun.split()[-1] for noun in look.nouns}
        other = {word for text in (*look.adjectives, *look.features) for word in re.findall("[a-z]{4,}", text)} - {"with"}
        scores[name] = 2 * len(words & nouns) + len(words & (other - nouns))
    best = max(scores, key=lambda name: scores[name] + 0.9 * len(kinds.intersection(USUAL[name][0])))
    return best if scores[best] >= 2 else None


def _things_in(text: str) -> tuple[Thing, ...]:
    found: dict[str, tuple[int, Thing]] = {}
    for kind, names in vocabulary.THINGS.items():
        for one, many in names:
            for name in (many, one):
                hit = re.search(rf"\b{name}\b", text)
                if hit and kind not in found:
                    before, after = text[: hit.start()].split()[-3:], text[hit.end() : hit.end() + 60]
                    count = next((_COUNTS[word] for word in reversed(before) if word in _COUNTS), 1 if name == one else 2)
                    sides = [side for side in ("left", "right") if re.match(rf"( \w+){{0,4}} (on|to|at) the {side}\b", after)]
                    distance = _first(after, vocabulary.DISTANCES) or "between"
                    found[kind] = (hit.start(), Thing(kind, (*sides, "middle")[0], distance, count))
    return tuple(thing for _, thing in sorted(found.values(), key=lambda pair: pair[0]))


def _actions_in(text: str) -> list[str]:
    phrases = {name: [phrase for pair in pairs for phrase in pair] for name, pairs in vocabulary.ACTIONS.items()}
    found = [name for name, said in phrases.items() if any(re.search(rf"\b{phrase}\b", text) for phrase in said)]
    parts = {"dodge": ("left", "right"), "look around": ("turn left", "turn right")}
    covered = {part for name in found for part in parts.get(name, ())}
    return [name for name in found if name not in covered]


def _first(text: str, table: Mapping[str, tuple[str, ...]]) -> str | None:
    """The key of a table of phrases of which a phrase stands in the text."""
    for key, phrases in table.items():
        if any(phrase and re.search(rf"\b{phrase}\b", text) for phrase in phrases):
            return key
    return None


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
