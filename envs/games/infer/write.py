"""Writes what was found out of an environment as a file of Python that people can read and change."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from worldsim.envs.games import atari
from worldsim.envs.games.any import Keyed, Lever, Map, Stacked
from worldsim.envs.games.infer import Found, Source, rest_of

WIDTH = 110  # columns


def write_game(
    found: Found, command: str, frames: int, eval_frames: int, policies: Mapping[str, float], folder: Path = Path()
) -> str:
    """The text of a game's file.

    Args:
        found: what was found out.
        command: that was typed, for the docstring.
        frames, eval_frames: to record.
        policies: who plays, with their shares.
        folder: that the file is for; an environment that is given as a file is named from there.
    """
    console = found.atari if found.atari in atari.KNOWN else None
    actions, used = _actions(found.wiring.actions)
    names = sorted({"Adapted", "Picture", *used}, key=str.lower)
    preset = "small_things" if found.look.small else "any_game"
    lines = [
        f'"""{found.source.env} as a game of worldsim. The file is yours: change what you like.',
        "",
        *_wrapped(f"Written by `{command}`; picture.png and controls.png beside it show what it says.", ""),
        '"""',
        "",
        *_imports(found.source),
        "from worldsim import ControlSpec, GameSpec",
        *(["from worldsim.envs.games import atari"] if console else []),
        f"from worldsim.envs.games.any import {', '.join(names)}",
        *(["from worldsim.envs.games.loading import load_attribute"] if found.source.in_file else []),
        *(["from worldsim.envs.games.old_gym import OldGym"] if found.source.old_gym else []),
        f"from worldsim.presets import Collection, {preset}",
        "",
        f"FPS = {found.fps:.6g}  # frames a second",
        f"FRAME_SKIP = {found.frame_skip}  # tics a frame",
        f"MAX_TICS = {found.max_tics}  # after which an episode is truncated: {found.horizon} frames",
        "",
        *_picture(found),
        "",
        *_controls(found),
        "",
        *_comment(f"Keys held -> action of the environment. Nothing held: {rest_of(found.wiring)}."),
        f"ACTIONS = {actions}",
        "",
        "",
        *_make(found, console, folder),
        "",
        "",
        *_spec(found, console, policies),
        f"CONFIG = {preset}(SPEC, window={found.window}, frames={found.frames})  # sizes and numbers of training",
        f"COLLECTION = Collection(frames={frames:_}, eval_frames={eval_frames:_})  # what is recorded",
    ]
    return "\n".join(lines) + "\n"


def _picture(found: Found) -> list[str]:
    picture = found.look.picture
    crop = "" if picture.crop is None else f", crop={picture.crop}"
    source = "" if picture.source == "observation" else f', source="{picture.source}"'
    kept = ", ".join(f"{way} {share:.0%}" for way, share in found.look.kept.items())
    why = f"Of the contrast of the smallest thing that moves, ways to resize keep: {kept}."
    text = f'PICTURE = Picture(height={picture.height}, width={picture.width}{crop}, resize="{picture.resize}"{source})'
    return [*_comment(why + (" Crop: top, left, bottom, right." if crop else "")), text]


def _controls(found: Found) -> list[str]:
    spec = found.wiring.spec
    parts = [f"keys={_tuple(spec.keys)}"]
    parts += [f"mouse_limit={spec.mouse_limit}"] if spec.has_mouse else []
    parts += [f"buttons={_tuple(spec.buttons)}"] if spec.buttons else []
    parts += [f"exclusive=({', '.join(map(_tuple, spec.exclusive))},)"] if spec.exclusive else []
    return [
        f"# From {found.wiring.origin}. Keys of an exclusive group are never held together.",
        *_call("CONTROLS = ControlSpec", parts),
    ]


def _imports(source: Source) -> list[str]:
    """What the environment is made with."""
    if source.in_file:
        return ["from pathlib import Path", ""]
    return ["import gymnasium" if source.registered else f"import {source.env.rpartition(':')[0]}", ""]


def _make(found: Found, console: str | None, folder: Path) -> list[str]:
    source = found.source
    options = [f"{name}={_quoted(repr(value))}" for name, value in source.options.items()]
    options += ['render_mode="rgb_array"'] if source.rendered else []
    if source.registered:
        made = f"gymnasium.make({', '.join([_quoted(repr(source.id)), *options])})"
    else:
        file, _, name = source.env.rpartition(":")
        target = f"{file}.{name}"
        if source.in_file:
            place = Path(os.path.relpath(Path(file).expanduser().resolve(), folder.resolve())).as_posix()
            target = f'load_attribute(f"{{Path(__file__).parent}}/{place}:{name}")'
        made = f"OldGym({', '.join([target, *options])})" if source.old_gym else f"{target}({', '.join(options)})"
    parts = ["env", "PICTURE", "CONTROLS", "ACTIONS", "fps=FPS", "frame_skip=FRAME_SKIP"]
    parts += [f"repeat={found.repeat}"] if found.repeat > 1 else []
    parts += ["max_tics=max_tics"]
    parts += ["states=atari.states", "objects=atari.objects"] if console else []
    parts += ["render_mode=render_mode"]
    return [
        "def make(*, render_mode=None, max_tics=MAX_TICS):",
        '    """The game, as recordings, worlds and agents see it."""',
        f"    env = {made}",
        *("    " + line for line in _call("return Adapted", parts)),
    ]


def _spec(found: Found, console: str | None, policies: Mapping[str, float]) -> list[str]:
    known = atari.KNOWN[console] if console else None
    parts = [
        f'name="{found.name}"',
        "make=make",
        "control_spec=CONTROLS",
        "height=PICTURE.height",
        "width=PICTURE.width",
        "fps=FPS",
        "frame_skip=FRAME_SKIP",
        "max_tics=MAX_TICS",
        'options=("max_tics",)',
    ]
    meanings = {name: found.wiring.meanings[name] for name in found.wiring.spec.names if name in found.wiring.meanings}
    parts += [f"meanings={_quoted(repr(meanings))}"] if meanings else []
    if known is not None:
        parts += [f"states={_tuple(known.states)}", f"objects={_quoted(repr({name: (name,) for name in known.sprites}))}"]
        parts += [f"player={_quoted(repr(atari.PLAYER))}"]
    parts += [f"policies={_quoted(repr(dict(policies)))}"] if policies != {"random": 1.0} else []
    parts += [f"marks={_quoted(repr(found.suggested['marks']))}"] if "marks" in found.suggested else []
    parts += ["symmetric=True"] if found.symmetric else []
    return _call("SPEC = GameSpec", parts)


def _actions(actions: Map) -> tuple[str, set[str]]:
    """Code of an action map, and the names that it uses."""
    if isinstance(actions, Keyed):
        return f"Keyed({_quoted(repr(dict(actions.table)))})", {"Keyed"}
    assert isinstance(actions, Stacked)
    parts, names = [], {"Stacked"}
    for part in actions.parts:
        if isinstance(part, Lever):
            names.add("Lever")
            mouse = f', "{part.mouse}", limit={part.limit:g}' if part.mouse else ""
            keys = f", keys={_quoted(repr(dict(part.keys)))}" if part.keys else ""
            parts.append(f"Lever({part.rest:g}, {part.low:g}, {part.high:g}{mouse}{keys})")
        else:
            text, more = _actions(part)
            parts.append(text)
            names |= more
    inside = "".join(f"\n        {part}," for part in parts)
    return f'Stacked(\n    ({inside}\n    ),\n    "{actions.dtype}",\n    {actions.shape},\n)', names


def _call(start: str, parts: list[str]) -> list[str]:
    """A call on one line if it fits, otherwise one argument a line."""
    line = f"{start}({', '.join(parts)})"
    return [line] if len(line) <= WIDTH else [f"{start}(", *(f"    {part}," for part in parts), ")"]


def _tuple(names: Iterable[Any]) -> str:
    return _quoted(repr(tuple(names)))


def _quoted(code: str) -> str:
    """Code whose strings are in double quotes; none of ours holds a quote."""
    return code if '"' in code else code.replace("'", '"')


def _comment(text: str) -> list[str]:
    return _wrapped(text, "# ")


def _wrapped(text: str, start: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=start)
