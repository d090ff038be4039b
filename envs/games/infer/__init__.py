"""Finds out what has to be known of an environment that nobody has described: its picture, its time and its controls.

>>> found = infer("atari/pong", Source("ALE/Pong-v5"))
>>> found.fps, found.wiring.spec.keys
(15.0, ('space', 'w', 's'))
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from worldsim.controls import Controls, ControlSpec
from worldsim.envs.games import atari
from worldsim.envs.games.any import Adapted, Keyed, Lever, Picture, Resize, to_rgb
from worldsim.envs.games.infer.controls import Wiring, wire
from worldsim.envs.games.infer.opening import Source, fps_of, frame_skip_of, open_source, with_defaults
from worldsim.envs.games.infer.picture import Look, choose_picture
from worldsim.envs.games.infer.play import Clip, Played, hold, mirrors, play_at_random, still_actions
from worldsim.errors import GameError

__all__ = ["Found", "Source", "Wishes", "infer"]

FASTEST = 20.0  # frames a second that a world is asked to make
USUAL_FPS = 10.0  # of a game of turns, which tells no rate
LONGEST = 5000  # steps; a longer limit of the environment's own is no horizon
WINDOW, FRAMES = 12, 16  # frames that a world looks back, and those of a training window, where episodes are long enough
SHORTEST = 4
LONG_ENOUGH = 20  # frames of an episode
STILL = 0.5  # share of still frames from which a game is taken for one of turns


@dataclass(frozen=True)
class Wishes:
    """What people want otherwise than it would be found.

    Attributes:
        size: `(height, width)` of the frames.
        crop: `(top, left, bottom, right)` of the environment's picture.
        resize: how frames are made smaller.
        fps: steps of the environment per second.
        frame_skip: steps of the environment per frame.
        rest: number of the action for nothing held.
        rename: key -> key that takes its place.
        meanings: control -> what it does.
        episodes: of random play that are looked at.
        seconds: that random play may take, about.
    """

    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    resize: Resize | None = None
    fps: float | None = None
    frame_skip: int | None = None
    rest: int | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    meanings: Mapping[str, str] = field(default_factory=dict)
    episodes: int = 20
    seconds: float = 20.0


@dataclass(frozen=True)
class Found:
    """What was found out.

    Attributes:
        name: of the game.
        source: how the environment is made.
        look: its frames.
        wiring: its controls.
        fps: frames per second.
        frame_skip: tics per frame.
        repeat: steps of the environment per frame.
        max_tics: tics after which an episode is truncated.
        window, frames: that a world looks back, and those of a training window, so that episodes are long enough.
        played: random play, one step of the environment per frame.
        symmetric: whether left and right may be swapped.
        atari: what is known of the console's memory, if it is one.
        suggested: fields of the `GameSpec` that the environment suggests itself, in an attribute of that name: `policies`
            and `marks`.
        strips: `(controls, clip)` for every option, held for ten frames.
        notes: what people should know.
    """

    name: str
    source: Source
    look: Look
    wiring: Wiring
    fps: float
    frame_skip: int
    repeat: int
    max_tics: int
    window: int
    frames: int
    played: Played
    symmetric: bool
    atari: str | None
    suggested: Mapping[str, Any]
    strips: tuple[tuple[Controls, Clip], ...]
    notes: tuple[str, ...]

    @property
    def policies(self) -> Mapping[str, float]:
        """Who plays for recordings, with their shares, unless something else is wanted."""
        known = atari.KNOWN.get(self.atari or "")
        if known is not None:
            return known.policies
        if "policies" in self.suggested:
            return dict(self.suggested["policies"])
        return {"restless" if self.played.still > STILL else "random": 1.0}

    @property
    def horizon(self) -> int:
        """Frames after which an episode is truncated."""
        return max(1, self.max_tics // self.frame_skip)


def infer(name: str, source: Source, wishes: Wishes | None = None) -> Found:
    """Plays an environment for some seconds and finds out what a `GameSpec` needs.

    Args:
        name: of the game.
        source: how the environment is made.
        wishes: what is settled.

    Raises:
        GameError: if no world can be learned from it; the message says what would help.
        ControlError: if a wish names a key that there is not.
    """
    wishes = wishes or Wishes()
    source, notes = with_defaults(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that nobody here can mend
        source, env, seen = open_source(source)
        try:
            return _infer(name, source, env, seen, wishes, notes)
        finally:
            env.close()


def _infer(name: str, source: Source, env: gymnasium.Env[Any, Any], seen: str, wishes: Wishes, notes: list[str]) -> Found:
    console = atari.known(env)
    wiring = _wire(env, seen, wishes, console)
    skip, fps = frame_skip_of(env), wishes.fps or fps_of(env)
    if fps is None:
        fps = USUAL_FPS
        notes.append(f"the environment tells no rate, so {fps:g} frames a second are taken; --fps changes it")
    shape = _shape(env, seen)
    native = Adapted(env, Picture(*shape, source=seen), wiring.spec, wiring.actions, fps=fps, frame_skip=skip)
    played = play_at_random(native, episodes=wishes.episodes, seconds=wishes.seconds)
    if played.still == 1 and all((clip == played.clips[0][0]).all() for clip in played.clips):
        raise GameError(
            f"{source.env} shows the same picture in all {len(played.rewards)} steps of random play, so that there is nothing to "
            "learn; wrap it so that it starts by itself and shows what happens, and give that as --env module:function."
        )
    repeat = wishes.frame_skip or _repeat(fps, played)
    if repeat > 1:
        notes.append(f"a frame is {repeat} steps of the environment, {fps / repeat:.3g} a second; --frame-skip changes it")
    if fps / repeat > FASTEST:
        notes.append(f"{fps / repeat:.3g} frames a second are many for a CPU to make; a larger --frame-skip makes fewer")
    look = choose_picture(played.clips, seen, size=wishes.size, crop=wishes.crop, how=wishes.resize)
    game = Adapted(env, look.picture, wiring.spec, wiring.actions, fps=fps / repeat, frame_skip=skip * repeat, repeat=repeat)
    options = held_options(wiring)
    short = played.shortest() // repeat
    strips = tuple(zip(options, hold(game, options, lead=max(0, min(20, short - 10))), strict=True))
    window, frames = _windows(short)
    if played.longest // repeat < SHORTEST:
        raise GameError(
            f"random episodes of {source.env} last {_frames(played.longest // repeat)} at most, and a world learns from "
            f"{SHORTEST} in a row; wrap the environment so that episodes go on, or give a smaller --frame-skip."
        )
    if short < FRAMES:
        notes.append(f"a tenth of random episodes end within {_frames(short)}, so a world looks back {window} frames")
    if played.still > STILL:
        notes.append(
            f"{played.still:.0%} of all frames are those before them, as in a game of turns; policies that play for recordings "
            "change their minds often. If time passes by itself there, a larger --frame-skip would show more change"
        )
    if not played.rewards.any():
        notes.append("random play earned nothing, so the world will know no rewards; record with a --policy that earns some")
    return Found(
        name=name,
        source=source,
        look=look,
        wiring=wiring,
        fps=fps / repeat,
        frame_skip=skip * repeat,
        repeat=repeat,
        max_tics=_horizon(env, played, repeat) * skip * repeat,
        window=window,
        frames=frames,
        played=played,
        symmetric=mirrors(native, played.clips),
        atari=console,
        suggested=getattr(env.unwrapped, "suggested", {}),
        strips=strips,
        notes=(*notes, *wiring.notes, *look.notes),
    )


def held_options(wiring: Wiring) -> list[Controls]:
    """Nothing, then everything that can be held on its own, and both ways of the mouse."""
    spec = wiring.spec
    options = [Controls(), *(Controls(keys={key}) for key in spec.keys)]
    for axis, limit in enumerate(spec.mouse_limit):
        options += [Controls(mouse=(way * limit, 0) if axis == 0 else (0, way * limit)) for way in (-1, 1) if limit]
    return options


def _wire(env: gymnasium.Env[Any, Any], seen: str, wishes: Wishes, console: str | None) -> Wiring:
    wiring = wire(env, wishes.rest)
    waits = isinstance(wiring.actions, Keyed) and wiring.actions.table[""] is None
    if waits and isinstance(env.action_space, gymnasium.spaces.Discrete):
        wiring = wire(env, None, still_actions(env, seen, int(env.action_space.n)))
    known = atari.KNOWN.get(console or "")
    if known is not None:
        renamed = {old: new for old, new in known.keys.items() if old in wiring.spec.keys}
        wiring = wiring.renamed({old: wishes.rename.get(old, new) for old, new in renamed.items()})
        wiring = wiring.without(known.unused).meaning(known.meanings)
        left = {old: new for old, new in wishes.rename.items() if old not in renamed}
        return wiring.renamed(left).meaning(wishes.meanings)
    return wiring.renamed(wishes.rename).meaning(wishes.meanings)


def _shape(env: gymnasium.Env[Any, Any], seen: str) -> tuple[int, int]:
    observation, _ = env.reset(seed=0)
    shape = to_rgb(Picture(1, 1, source=seen).read(env, observation)).shape
    return shape[0], shape[1]


def _repeat(fps: float, played: Played) -> int:
    """Steps of the environment per frame: as many as it takes to come down to 20 frames a second, if episodes stay long."""
    return max(1, min(math.ceil(fps / FASTEST), played.shortest() // LONG_ENOUGH))


def _horizon(env: gymnasium.Env[Any, Any], played: Played, repeat: int) -> int:
    """Frames after which an episode is truncated: where the environment does so, or did, else four times the longest random
    one. A game of turns counts no steps while it waits, so that its episodes may be longer than its own limit.
    """
    own = env.spec.max_episode_steps if env.spec is not None else None
    limits = [limit for limit in (own, played.cut) if limit is not None and limit <= LONGEST]
    return math.ceil(max(limits, default=0) / repeat) or math.ceil(max(4 * played.longest, 100) / repeat / 100) * 100


def _frames(count: int) -> str:
    return f"{count} frame{'' if count == 1 else 's'}"


def _windows(shortest: int) -> tuple[int, int]:
    """Frames that a world looks back, and those of a training window."""
    frames = max(SHORTEST, min(FRAMES, shortest - 1))
    return max(SHORTEST - 1, min(WINDOW, frames * WINDOW // FRAMES)), frames


def describe(found: Found) -> str:
    """What was found, in lines for people to read."""
    picture, played, wiring = found.look.picture, found.played, found.wiring
    crop = "the whole picture" if picture.crop is None else "rows {0} to {2}, columns {1} to {3}".format(*picture.crop)
    kept = ", ".join(f"{way} keeps {share:.0%}" for way, share in found.look.kept.items())
    lines = [
        f"picture   {picture.width}x{picture.height} of {picture.source}: {crop}, resized by {picture.resize}",
        f"          of the contrast of the smallest thing that moves, {kept}",
        f"time      {found.fps:.4g} frames a second, {found.frame_skip} tics each; {len(played.lengths)} random episodes of "
        f"{played.lengths.min()} to {played.longest} steps, truncated after {found.horizon} frames; {played.still:.0%} still",
        f"rewards   {played.rewards.min():g} to {played.rewards.max():g}, other than 0 at {(played.rewards != 0).mean():.1%}",
        f"controls  {', '.join(map(_described(wiring), controls_of(wiring.spec)))} ({wiring.origin})",
        f"          nothing held: {rest_of(wiring)}",
        f"          mirroring left and right is {'sound' if found.symmetric else 'not sound'}",
    ]
    return "\n".join([*lines, *(f"note      {note}" for note in found.notes)])


def controls_of(spec: ControlSpec) -> list[str]:
    """Names of what does something: an axis of the mouse without a limit does not."""
    still = {f"mouse.{axis}" for axis, limit in zip(("dx", "dy"), spec.mouse_limit, strict=True) if not limit}
    return [name for name in spec.names if name not in still]


def rest_of(wiring: Wiring) -> str:
    """What nothing held does."""
    actions = wiring.actions
    if isinstance(actions, Keyed):
        named = f" ({wiring.rest})" if wiring.rest else ""
        return "the game waits" if actions.table[""] is None else f"action {actions.table['']}{named}"
    return "every axis at rest" if any(isinstance(part, Lever) for part in getattr(actions, "parts", ())) else "no button"


def _described(wiring: Wiring) -> Callable[[str], str]:
    return lambda name: f"{name} = {wiring.meanings[name]}" if name in wiring.meanings else name


def check_name(name: str) -> None:
    """Raises `GameError` unless a game can have that name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?", name):
        raise GameError(f"name was {name!r}; give 'game' or 'family/game', from letters, digits, '_', '.' and '-'.")
