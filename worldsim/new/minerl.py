"""The file of a MineRL game: what its own interpreter says of it, without starting Minecraft."""

from __future__ import annotations

from worldsim.envs.games.infer.picture import best_size, check_size
from worldsim.envs.games.minerl import HUMAN, SIMPLE, STEPS_PER_SECOND, MineRLActions, actions_of
from worldsim.envs.games.minerl_pipe import Worker
from worldsim.envs.games.spec import SIZE_FACTOR
from worldsim.errors import ConfigError
from worldsim.new.config import NewConfig
from worldsim.new.plan import frames_for, held_out_for

FRAME_SKIP = 2  # 10 frames/s
NAMED = {SIMPLE: "SIMPLE", HUMAN: "HUMAN"}  # sets of actions that have a name
FOUND = ("crop", "resize", "fps", "rest", "rename", "meaning", "old_gym")  # wishes that mean nothing here


def write_minerl(config: NewConfig, command: str, processes: int) -> str:
    """The text of the game's file.

    Args:
        config: of the command; its `env` and `python` name the environment and the interpreter that has
            MineRL.
        command: that was typed, for the docstring.
        processes: games played at a time.

    Raises:
        ConfigError: for an option that MineRL's environments do not need.
        GameError: if there is no such interpreter or environment, or keys cannot play it.
    """
    for name in FOUND:
        if getattr(config, name) != NewConfig.__dataclass_fields__[name].default:
            raise ConfigError(f"{name} was given with python; MineRL's picture, time and controls are known, so leave it out.")
    worker = Worker(config.env, config.python)
    described = worker.described
    worker.close()
    actions = actions_of(described)
    height, width = config.height_and_width() or _size(described["pov"])
    check_size((height, width))
    skip = config.frame_skip or FRAME_SKIP
    frames = config.frames or frames_for(config.seconds, STEPS_PER_SECOND / skip, processes)
    held_out = config.eval_frames or held_out_for(frames, (described["max_steps"] or 6000) / skip)
    policy = f"    policies={{{config.policy!r}: 1.0}},\n".replace("'", '"') if config.policy else ""
    return f'''\
"""{config.env} as a game of worldsim. The file is yours: change what you like.

Written by `{command}`.
"""

from worldsim.envs.games.minerl import {", ".join(sorted({*_names(actions), "minerl_game"}))}
from worldsim.presets import Collection, any_game

SPEC = minerl_game(
    "{config.name}",
    "{config.env}",
    python={config.python!r},  # the interpreter that has MineRL
    binaries={_binaries(actions)},
    height={height},
    width={width},
    frame_skip={skip},  # steps of Minecraft a frame, 20 a second
    mouse_limit={actions.mouse_limit:g},  # degrees a frame
    max_tics={described["max_steps"]},  # steps of Minecraft after which an episode is truncated
    # states=("inventory.log",),  # numbers that MineRL observes, for the recordings
{policy})
CONFIG = any_game(SPEC)  # sizes and numbers of training
COLLECTION = Collection(frames={frames:_}, eval_frames={held_out:_})  # what is recorded
'''


def _size(pov: list[int]) -> tuple[int, int]:
    """Height and width of the frames: those of MineRL where they are few pixels, otherwise the best of that
    shape.
    """
    height, width, _ = pov
    if height * width <= 40 * SIZE_FACTOR**2 and not height % SIZE_FACTOR and not width % SIZE_FACTOR:
        return height, width
    return best_size((0, 0, height, width), None)[:2]


def _names(actions: MineRLActions) -> list[str]:
    return [name for known, name in NAMED.items() if set(known) == set(actions.binaries)]


def _binaries(actions: MineRLActions) -> str:
    named = _names(actions)
    return named[0] if named else repr(actions.binaries).replace("'", '"')
