"""`worldsim new`: from the id of a Gymnasium environment to a world that can be played."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from worldsim.cli.options import FLAT, NO_OUTPUT, Output, compiler_found, use_game
from worldsim.errors import ConfigError
from worldsim.files import check_writable_folder, write_text
from worldsim.new.config import NewConfig, pairs

if TYPE_CHECKING:
    from worldsim.envs.games import GameSpec
    from worldsim.presets import Collection
    from worldsim.train.config import TrainConfig

GAME = "game.py"
MOST_EPISODES = 1000  # that a person plays at a time
SMOKE_SECONDS, SMOKE_FRAMES, SMOKE_HELD_OUT = 16.0, 600, 240


def new(config: Annotated[NewConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Makes a world of any Gymnasium environment; the same command again resumes."""
    from worldsim.envs.games.infer import check_name

    check_name(config.name)
    folder = config.folder
    check_writable_folder(folder)
    file = folder / GAME
    if file.exists():
        check_same(config.env, file)
        print(
            f"{file} is there and stays as it is: options that describe the game have no effect. Change the file, or delete it "
            "to look at the environment anew"
        )
    else:
        write_spec(config, file)
    if config.stop_after == "spec" and not config.smoke:
        return
    game, preset, collection = load(file)
    if config.smoke:
        with tempfile.TemporaryDirectory(prefix="worldsim-smoke-") as place:
            figures = smoke(config, game, preset, Path(place))
        print("the smoke test passed: recording, training and evaluation work")
    else:
        figures = make_world(config, game, preset, collection, folder)
    output.write(figures)


def check_same(env: str, file: Path) -> None:
    """Raises `ConfigError` if a game's file says nothing of the environment that was asked for."""
    if env and env.rpartition(":")[2] not in file.read_text(encoding="utf-8", errors="replace"):
        raise ConfigError(
            f"env was {env}, and {file} is of another environment; give another NAME or --out, leave --env out to go on with the "
            "file, or delete it."
        )


def write_spec(config: NewConfig, file: Path) -> None:
    """Looks at the environment; writes its pictures, then the file of the game."""
    from worldsim.data.images import save_png
    from worldsim.envs.games import make_policy
    from worldsim.envs.games.infer import Source, Wishes, describe, infer
    from worldsim.envs.games.infer.opening import parse_options
    from worldsim.envs.games.infer.write import write_game
    from worldsim.new.pictures import controls_sheet, picture_sheet
    from worldsim.new.plan import frames_for, held_out_for

    if config.env and config.python:
        from worldsim.new.minerl import write_minerl

        write_text(file, write_minerl(config, typed(), processes(config)))
        print(f"wrote {file}; look at it, and change what you like")
        return
    if not config.env:
        raise ConfigError(f"env was empty, and {file} is not there; give --env, such as ALE/Pong-v5.")
    source = Source(config.env, parse_options(config.options), config.old_gym)
    wishes = Wishes(
        size=config.height_and_width(),
        crop=config.crop or None,  # type: ignore[arg-type]
        resize=config.resize,
        fps=config.fps,
        frame_skip=config.frame_skip,
        rest=config.rest,
        rename=pairs("rename", config.rename),
        meanings=pairs("meaning", config.meaning),
        episodes=8 if config.smoke else Wishes.episodes,
        seconds=4.0 if config.smoke else Wishes.seconds,
    )
    print(f"looking at {config.env}: some seconds of random play")
    found = infer(config.name, source, wishes)
    print(describe(found))
    folder = file.parent
    save_png(folder / "picture.png", picture_sheet(found))
    save_png(folder / "controls.png", controls_sheet(found))
    rate = found.played.steps_per_second / found.repeat
    frames = config.frames or frames_for(config.seconds, rate, processes(config))
    held_out = config.eval_frames or held_out_for(frames, float(found.played.lengths.mean()) / found.repeat)
    policies = {config.policy: 1.0} if config.policy else found.policies
    for policy in policies:
        make_policy(policy, found.wiring.spec)  # raises now rather than when recording begins
    write_text(file, write_game(found, typed(), frames, held_out, policies, folder))
    print(f"look at {folder / 'picture.png'} and {folder / 'controls.png'}; change {file} if they are not what you want")


def load(file: Path) -> tuple[GameSpec, TrainConfig, Collection]:
    """The game of a file, how it is trained, and how much is recorded."""
    from worldsim.presets import find_collection, find_preset

    game = use_game(str(file))
    return game, find_preset(str(file)), find_collection(str(file))


def make_world(config: NewConfig, game: GameSpec, preset: TrainConfig, collection: Collection, folder: Path) -> dict[str, Any]:
    """Records, trains and evaluates, as far as it is not done yet; returns the figures."""
    from worldsim.new.plan import format_plan, time_everything

    wanted = replace(
        collection,
        frames=config.frames or collection.frames,
        eval_frames=config.eval_frames or collection.eval_frames,
    )
    compiled = config.compile and compiler_found()
    print("timing a few steps of everything", flush=True)
    speeds = time_everything(game, preset, config.device)
    print(format_plan(speeds, preset, wanted, config.seconds, processes(config), compiled), flush=True)
    record(config, game, wanted, folder / "data")
    if config.stop_after == "collect":
        return {}
    world = train(preset, folder, config.seconds, config.device, compiled)
    if config.stop_after == "train":
        return {"world": str(world)}
    return evaluate(world, folder, game, config.device, smoke=False)


def smoke(config: NewConfig, game: GameSpec, preset: TrainConfig, folder: Path) -> dict[str, Any]:
    """All stages on very little, in a folder of their own."""
    from worldsim.presets import Collection, smoke_test

    record(config, game, Collection(SMOKE_FRAMES, SMOKE_HELD_OUT), folder / "data")
    world = train(smoke_test(preset), folder, SMOKE_SECONDS, config.device, compiled=False)
    return evaluate(world, folder, game, config.device, smoke=True)


def record(config: NewConfig, game: GameSpec, wanted: Collection, data: Path) -> None:
    """Records what is missing."""
    if config.human:
        record_person(config, wanted, data)
        return
    from worldsim.studio.collect import record_game

    record_game(
        game,
        data,
        policies=game.policies,
        processes=processes(config),
        frames=wanted.frames,
        eval_frames=wanted.eval_frames,
        seed=config.seed,
    )


def record_person(config: NewConfig, wanted: Collection, data: Path) -> None:
    """Lets a person play in a window, until there are enough frames or the window is closed; whole episodes are held out."""
    from worldsim.cli.play import record as play
    from worldsim.data import Dataset
    from worldsim.data.format import INFO_PATH, SPLITS
    from worldsim.data.merge import merge
    from worldsim.studio.config import RecordConfig

    frames = wanted.frames + wanted.eval_frames
    left = frames - sum(Dataset(data, split).total_frames for split in SPLITS if (data / INFO_PATH).exists())
    if left <= 0:
        return
    print(f"play {left:,} frames, or as many as you like; closing the window ends it")
    played = data.with_name("played")
    play(RecordConfig(str(config.folder / GAME), out=played, policy="human", episodes=MOST_EPISODES, frames=left))
    merge([played], data, eval_share=wanted.eval_frames / frames)


def train(preset: TrainConfig, folder: Path, seconds: float, device: str, compiled: bool) -> Path:
    """Trains in the folder, on `data` in it; returns the world's folder."""
    from worldsim.train.run import train as run

    return run(preset, folder / "data", folder, seconds, device, compiled).world


def evaluate(world: Path, folder: Path, game: GameSpec, device: str, smoke: bool) -> dict[str, Any]:
    """Measures the world and writes its card."""
    from worldsim.eval.config import EvalConfig
    from worldsim.eval.report import evaluate as run
    from worldsim.new.card import write_card

    few = EvalConfig(clips=4, horizons=(1, 2, 4), objects=False, dreams=1, dream_frames=8, pictured=2, runtime="torch")
    few = replace(few, sheet_frames=8, sheet_every=2)
    measured = run(
        world,
        folder / "data",
        folder / "eval",
        config=few if smoke else EvalConfig(),
        device=device,
        json=folder / "eval" / "figures.json",
    )
    card = write_card(world, folder / "data", measured, game, typed())
    if not smoke:
        print(f"{card}\nplay it: worldsim play {world} --game {folder / GAME}")
    return measured


def processes(config: NewConfig) -> int:
    """Games played at a time."""
    return config.processes or os.cpu_count() or 1


def typed() -> str:
    """The command as it was typed."""
    return " ".join(["worldsim", *map(shlex.quote, sys.argv[1:])])
