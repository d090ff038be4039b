"""Opens an environment that nobody has described: what it shows and how fast it runs, or why it cannot be used."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import numpy as np

from worldsim.envs.games.any import Picture, to_rgb
from worldsim.envs.games.infer.controls import wire
from worldsim.envs.games.loading import load_attribute, load_module
from worldsim.envs.games.old_gym import OldGym
from worldsim.errors import GameError, WorldsimError

SMALLEST_SIDE = 32  # pixels; what is smaller is a table of numbers rather than a picture
ATARI_FPS = 60
HIGHEST_FPS = 1000  # more is no rate that a game runs at
MOST_IDS = 8  # that a message lists
# Beginning of a Gymnasium id -> the module that registers it, and what to install for it.
PACKAGES = {
    "ALE/": ("ale_py", "worldsim-dit[atari]"),
    "MiniGrid-": ("minigrid", "worldsim-dit[minigrid]"),
    "BabyAI-": ("minigrid", "worldsim-dit[minigrid]"),
    "MiniWorld-": ("miniworld", "worldsim-dit[miniworld]"),
    "Vizdoom": ("vizdoom.gymnasium_wrapper", "worldsim-dit[doom]"),
    "CarRacing-": ("gymnasium", "worldsim-dit[box2d]"),
    "LunarLander": ("gymnasium", "worldsim-dit[box2d]"),
    "BipedalWalker": ("gymnasium", "worldsim-dit[box2d]"),
    "crafter:": ("crafter", "worldsim-dit[crafter]"),
}


@dataclass(frozen=True)
class Source:
    """How an environment is made.

    Attributes:
        env: Gymnasium id, as "ALE/Pong-v5" or "module:Name-v0"; or "module:attribute" or "file.py:attribute" of what makes it.
        options: keywords, of JSON's types.
        old_gym: whether it speaks the old Gym's API.
        rendered: whether frames come from `render()`.
    """

    env: str
    options: Mapping[str, Any] = field(default_factory=dict)
    old_gym: bool = False
    rendered: bool = False

    @property
    def registered(self) -> bool:
        """Whether `env` is a Gymnasium id, rather than something to call."""
        place, _, name = self.env.rpartition(":")
        return not place or re.search(r"-v\d+$", name) is not None or not name.replace(".", "").isidentifier()

    @property
    def in_file(self) -> bool:
        """Whether it is made by something in a file, rather than in a module."""
        return not self.registered and self.env.rpartition(":")[0].endswith(".py")

    @property
    def id(self) -> str:
        """The id, with the module that registers it where we know it."""
        modules = {module for start, (module, _) in PACKAGES.items() if self.env.startswith(start)}
        known = next(iter(modules), "gymnasium")
        return self.env if ":" in self.env or known == "gymnasium" else f"{known}:{self.env}"

    def make(self) -> gymnasium.Env[Any, Any]:
        """Starts the environment.

        Raises:
            GameError: if there is none, it cannot start, or it is none of Gymnasium's.
        """
        options = {**self.options, **({"render_mode": "rgb_array"} if self.rendered else {})}
        if self.env.endswith(".py"):
            raise GameError(f"{self.env} is a file; give what makes the environment in it, too: {self.env}:NAME.")
        if self.registered and self.old_gym:
            raise GameError(
                f"{self.env} is an id of Gymnasium's, and old_gym was set; give the class or function that makes an environment "
                "of the old Gym: --env module:attribute."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of packages that nobody here can mend
                if self.registered:
                    place = self.id.rpartition(":")[0]
                    if place and place == self.env.rpartition(":")[0]:
                        load_module(place, self.env)  # the working directory is searched too
                    return gymnasium.make(self.id, **options)
                make = load_attribute(self.env)
                if not callable(make):
                    raise GameError(f"{self.env} is {_article(make)}; give the class or the function that makes an environment.")
                env = OldGym(make, **options) if self.old_gym else make(**options)
        except WorldsimError:
            raise
        except Exception as error:
            raise GameError(f"{self.env} cannot be made: {first_line(error)}.{self._remedy(error)}") from error
        if not isinstance(env, gymnasium.Env):
            raise GameError(self._not_gymnasium(env))
        return env

    def _remedy(self, error: Exception) -> str:
        package = next((package for start, (_, package) in PACKAGES.items() if self.env.startswith(start)), None)
        if _about_a_screen(error):
            return " It needs a screen: run the command under xvfb-run."
        missing = isinstance(error, ImportError | gymnasium.error.NamespaceNotFound | gymnasium.error.DependencyNotInstalled)
        if package and missing:
            return f' Install it: pip install "{package}".'
        if isinstance(error, ModuleNotFoundError) and error.name and error.name != self.env.partition(":")[0].split(".")[0]:
            return f" Install what it needs: {error.name}."
        if isinstance(error, ImportError | gymnasium.error.UnregisteredEnv):
            return self._other_ids() or " Check the name, or put the module that registers it in front: module:Name-v0."
        return " Check --env, and its keywords --options."

    def _other_ids(self) -> str:
        """What the module in front of an unknown id registers; "" if there is none."""
        module, _, name = self.env.rpartition(":")
        inside = module.split(".")[0]
        places = {id: spec.entry_point for id, spec in gymnasium.registry.items()}
        own = [id for id, place in places.items() if inside and getattr(place, "__module__", str(place)).startswith(inside)]
        if own:
            return f" {module} registers: {', '.join(sorted(own)[:MOST_IDS])}{', ...' if len(own) > MOST_IDS else ''}."
        old = sys.modules.get("gym.envs.registration")
        if name in getattr(old, "registry", {}):
            options = json.dumps({"id": self.env, "disable_env_checker": True})
            return (
                " It is registered with the old Gym; give its class or function with --old-gym, such as --env gym:make "
                f"--options '{options}'."
            )
        return ""

    def _not_gymnasium(self, env: Any) -> str:
        if callable(getattr(env, "reset", None)) and callable(getattr(env, "step", None)):
            return (
                f"{self.env} is no gymnasium.Env, but has reset() and step() as the old Gym had; give --old-gym, which "
                "translates it (done is then an end, unless info tells that time ran out)."
            )
        return f"{self.env} makes {_article(env)}; give what makes a gymnasium.Env."


def with_defaults(source: Source) -> tuple[Source, list[str]]:
    """An environment's options as a person wants to play it, and what is to be said of them."""
    if not source.env.startswith("ALE/") or "repeat_action_probability" in source.options:
        return source, []
    note = (
        "ALE repeats the last action in a quarter of all steps; repeat_action_probability=0 makes it obey at once "
        "(--options '{\"repeat_action_probability\": 0.25}' brings the chance back)"
    )
    return replace(source, options={**source.options, "repeat_action_probability": 0.0}), [note]


def open_source(source: Source) -> tuple[Source, gymnasium.Env[Any, Any], str]:
    """Starts an environment so that it can be seen.

    Returns:
        How it was made, the environment, and what shows it: `Picture.source`.

    Raises:
        GameError: if it cannot be used; the message says what would help.
    """
    env = source.make()
    seen = "" if source.rendered else picture_source(env.observation_space)
    if not seen:
        Watched(env, source.env).close()
        source, seen = _rendering(source, env), "render"
        env = source.make()
    env = Watched(env, source.env)
    try:
        wire(env)  # raises now if keys and mouse cannot give its actions
        check_seen(env.env, seen, source.env)
    except BaseException:
        env.close()
        raise
    return source, env, seen


def picture_source(space: gymnasium.Space[Any]) -> str:
    """`Picture.source` of an observation space that shows a picture; "" if none does."""
    if _shows_picture(space):
        return "observation"
    if isinstance(space, gymnasium.spaces.Dict):
        sizes = {name: int(np.prod(part.shape or ())) for name, part in space.items() if _shows_picture(part)}
        return f"observation:{max(sizes, key=lambda name: sizes[name])}" if sizes else ""
    return ""


def check_seen(env: gymnasium.Env[Any, Any], seen: str, name: str) -> None:
    """Plays a step, and looks at it.

    Raises:
        GameError: if the environment speaks the old Gym's API, cannot be rendered, or shows no picture.
    """
    picture = Picture(1, 1, source=seen)
    try:
        begun = env.reset(seed=0)
        if not isinstance(begun, tuple) or len(begun) != 2 or not isinstance(begun[1], dict):
            raise GameError(f"reset() of {name} does not give (observation, info), as the old Gym did not; give --old-gym.")
        if seen == "render" and not isinstance(env.render(), np.ndarray | list):
            raise GameError(
                f"render() of {name} gives {_article(env.render())}; with render_mode='rgb_array' it must give a picture, "
                "uint8 (H, W, 3)."
            )
        shown = picture.read(env, begun[0])
        stepped = env.step(env.action_space.sample())
    except WorldsimError:
        raise
    except Exception as error:
        help = " It needs a screen: run the command under xvfb-run." if _about_a_screen(error) else ""
        if isinstance(error, TypeError) and "'seed'" in str(error):
            help = " Give its reset() the keyword seed, as Gymnasium's have: reset(self, *, seed=None, options=None)."
        what = "rendered" if seen == "render" else "played"
        raise GameError(f"{name} cannot be {what}: {first_line(error)}.{help}") from error
    if len(stepped) != 5:
        raise GameError(
            f"step() of {name} gives {len(stepped)} values, and Gymnasium's five are (observation, reward, terminated, "
            "truncated, info); give --old-gym for an environment of the old Gym."
        )
    _check_reward(name, stepped[1])
    rgb = to_rgb(shown)
    if min(rgb.shape[:2]) < 16:
        raise GameError(f"{name} shows {rgb.shape[1]}x{rgb.shape[0]} pixels; a frame needs 16 a side. Make it render larger.")


class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment of a stranger's, whose failures become one sentence.

    Args:
        env: the environment.
        name: for messages.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        super().__init__(env)
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.env, name)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        return self._try("reset", **options)  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        stepped = self._try("step", action)
        _check_reward(self._name, stepped[1])
        return stepped  # type: ignore[no-any-return]

    def render(self) -> Any:
        return self._try("render")

    def close(self) -> None:
        """Closes the environment; if that fails, nothing is lost."""
        with suppress(Exception):
            self.env.close()

    def _try(self, what: str, *given: Any, **options: Any) -> Any:
        try:
            return getattr(self.env, what)(*given, **options)
        except WorldsimError:
            raise
        except Exception as error:
            raise GameError(
                f"{what}() of {self._name} failed under random play: {first_line(error)}. Mend the environment, or give one that "
                "wraps it and starts a new episode instead: --env module:function."
            ) from error


def _check_reward(name: str, reward: Any) -> None:
    if (
        np.shape(reward) != ()
        or not isinstance(reward, int | float | np.number | np.ndarray | np.bool_)
        or not np.isfinite(reward)
    ):
        raise GameError(f"step() of {name} gives the reward {reward!r}; it must be a finite number.")


def frame_skip_of(env: gymnasium.Env[Any, Any]) -> int:
    """Tics a step.

    Raises:
        GameError: if they differ from step to step.
    """
    for name in ("_frameskip", "frameskip", "frame_skip", "_frame_skip"):
        given = getattr(env.unwrapped, name, None)
        if isinstance(given, tuple | list):
            raise GameError(
                f"the frame skip is drawn from {given} at every step, and a world has one; give --options '{{\"frameskip\": 4}}'."
            )
        if isinstance(given, int | np.integer) and given >= 1:
            return int(given)
    return 1


def fps_of(env: gymnasium.Env[Any, Any]) -> float | None:
    """Steps a second: of an Atari console by its frame skip, otherwise as the environment says; None if it does not.

    ALE's own `render_fps` is a constant that no game runs at.
    """
    if hasattr(env.unwrapped, "ale"):
        return ATARI_FPS / frame_skip_of(env)
    given = env.metadata.get("render_fps") or env.metadata.get("video.frames_per_second")
    return float(given) if isinstance(given, int | float) and 0 < given <= HIGHEST_FPS else None


def parse_options(text: str) -> dict[str, Any]:
    """Keywords of an environment out of JSON.

    Raises:
        GameError: if it is no JSON object.
    """
    try:
        options = json.loads(text)
    except ValueError as error:
        raise GameError(f"options was {text!r}, which is not JSON ({error}); give such as '{{\"size\": 8}}'.") from error
    if not isinstance(options, dict):
        raise GameError(f"options was {text!r}; give a JSON object, such as '{{\"size\": 8}}'.")
    return options


def _shows_picture(space: Any) -> bool:
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) not in (2, 3):
        return False
    shape = tuple(space.shape)
    if len(shape) == 3 and shape[2] not in (1, 3, 4):
        shape = (shape[1], shape[2], shape[0])
    if len(shape) == 3 and shape[2] not in (1, 3, 4):
        return False
    bounded = space.dtype == np.uint8 or (space.dtype.kind == "f" and space.low.min() >= 0 and space.high.max() <= 1)
    return bounded and min(shape[:2]) >= SMALLEST_SIDE


def _rendering(source: Source, env: gymnasium.Env[Any, Any]) -> Source:
    modes = list(env.metadata.get("render_modes") or env.metadata.get("render.modes") or [])
    takes = source.registered or "render_mode" in _keywords(source)
    if "rgb_array" not in modes:
        raise GameError(
            f"{source.env} observes {_shorten(env.observation_space)}, which is no picture, and has no render_mode 'rgb_array' "
            f"(it has: {', '.join(map(str, modes)) or 'none'}); wrap it so that it shows uint8 (H, W, 3) of at least "
            f"{SMALLEST_SIDE} pixels a side, or give it a render()."
        )
    if not takes:
        raise GameError(
            f"{source.env} observes {_shorten(env.observation_space)}, which is no picture, and takes no keyword render_mode, "
            "with which Gymnasium asks for one; give it that keyword, or wrap it so that it shows uint8 (H, W, 3)."
        )
    return replace(source, rendered=True)


def _keywords(source: Source) -> list[str]:
    make: Callable[..., Any] = load_attribute(source.env)
    parameters = inspect.signature(make).parameters.values()
    taken = ["render_mode"] if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters) else []
    return taken + [parameter.name for parameter in parameters]


def _about_a_screen(error: Exception) -> bool:
    told = f"{type(error).__name__} {error}".lower()
    return any(word in told for word in ("display", "opengl", "glx", "egl", "x server", "screen", "window"))


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.?! ')}" if lines else type(error).__name__


def _article(value: Any) -> str:
    name = type(value).__name__
    return "nothing" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _shorten(space: gymnasium.Space[Any], most: int = 80) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def installed(module: str) -> bool:
    """Whether a module can be imported."""
    return importlib.util.find_spec(module) is not None
