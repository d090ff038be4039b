"""The `worldsim` command. Each subcommand is a function; what it needs is imported inside, so that `--help` is quick."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from worldsim.cli.bench import Device, bench, write_json
from worldsim.errors import WorldsimError, one_line_errors, suggest
from worldsim.transfer.config import TransferConfig

if TYPE_CHECKING:
    from worldsim.presets import Collection

Policies = Literal["auto", "random", "pacing", "sweeping", "coverage"]
UNITS = {"s": 1, "m": 60, "h": 3600}
CARD = TransferConfig()

app = SubcommandApp()


@app.command
def play(
    world: Positional[str] = "",
    *,
    num_steps: int | None = None,
    speed: float = 1.0,
    seed: int = 0,
    device: Device = "auto",
    zoom: int = 6,
    recordings: Path = Path("recordings"),
) -> None:
    """Open a window and play; F1 shows the keys.

    Args:
        world: Name, folder or Hub id; by default the one that ships first.
        num_steps: Network calls per frame; by default the world's own.
        speed: 2 plays twice as fast as the world's own rate.
        seed: Of the first start.
        device: Where the world runs.
        zoom: Window pixels per frame pixel at the start.
        recordings: Folder of recordings and screenshots.
    """
    from worldsim.player import PlayConfig
    from worldsim.player import play as open_window
    from worldsim.worlds import DEFAULT_WORLD

    name = world or DEFAULT_WORLD
    open_window(PlayConfig(name, num_steps=num_steps, speed=speed, seed=seed, device=device, zoom=zoom, recordings=recordings))


@app.command
def record(
    world: Positional[str],
    *,
    out: Path = Path("dream.mp4"),
    frames: int = 300,
    seed: int = 0,
    num_steps: int | None = None,
    scale: int = 4,
    device: Device = "auto",
) -> None:
    """Dream with random controls into a video; needs no display.

    Args:
        world: Name, folder or Hub id.
        out: The video.
        frames: How many.
        seed: Of the start, the controls and the noise; where an episode ends, another begins, of the next seed.
        num_steps: Network calls per frame; by default the world's own.
        scale: Video pixels per frame pixel.
        device: Where the world runs.
    """
    from worldsim.studio.record import record_clip
    from worldsim.world import World

    print(record_clip(World.load(world, device=device, num_steps=num_steps), out, frames, seed, scale=scale))


@app.command
def generate(
    world: Positional[str],
    *,
    out: Path = Path("generated.png"),
    frames: int = 1,
    num_steps: int = 8,
    seed: int = 0,
    scale: int = 4,
    device: Device = "auto",
) -> None:
    """Imagine a picture or a clip out of nothing but noise.

    Args:
        world: Name, folder or Hub id.
        out: A .png shows the frames side by side, an .mp4 one after another.
        frames: How many, denoised all together.
        num_steps: Network calls.
        seed: Of the controls and the noise.
        scale: Pixels per frame pixel.
        device: Where the world runs.
    """
    import numpy as np

    from worldsim.data.images import save_mp4, save_png
    from worldsim.studio.generate import generate as imagine
    from worldsim.studio.record import wander
    from worldsim.world import World

    if out.suffix not in (".png", ".mp4"):
        raise WorldsimError(f"out was {str(out)!r}; give a name that ends in .png or .mp4.")
    loaded = World.load(world, device=device)
    controls = wander(loaded.control_spec, seed)
    clip = imagine(loaded, [controls(t) for t in range(frames)], num_steps=num_steps, seed=seed)
    clip = clip.repeat(scale, axis=1).repeat(scale, axis=2)
    if out.suffix == ".png":
        save_png(out, np.concatenate(list(clip), axis=1))
    else:
        save_mp4(out, clip, loaded.config.fps)
    print(out)


@app.command
def worlds(*, json: Path | None = None) -> None:
    """List the worlds that come with the package.

    Args:
        json: File that gets the table.
    """
    from worldsim.world.shelf import describe_world, format_worlds
    from worldsim.worlds import SHIPPED, shipped_worlds

    table = [describe_world(SHIPPED / name) for name in shipped_worlds()]
    print(format_worlds(table))
    write_json(json, {"worlds": table})


@app.command
def collect(
    game: Positional[str],
    *,
    out: Path | None = None,
    frames: int | None = None,
    eval_frames: int | None = None,
    policy: Policies = "auto",
    processes: int | None = None,
    seed: int = 0,
    lossless: bool = False,
    json: Path | None = None,
) -> None:
    """Record a game as policies play it; the same command again resumes.

    Args:
        game: Such as doom/take-cover.
        out: Folder of the dataset; by default data/GAME.
        frames: Training frames; by default what the game's world is trained on.
        eval_frames: Held-out frames, from episodes that training never sees.
        policy: Who plays; "auto" is the mixture the game's world is trained on.
        processes: Games played at a time; by default one a core.
        seed: Of all episodes.
        lossless: Store frames bit for bit.
        json: File that gets the figures of what was covered.
    """
    from worldsim.data.coverage import format_coverage
    from worldsim.presets import find_collection

    wanted = find_collection(game)
    figures = _collect(
        game,
        out or Path("data") / game,
        frames=wanted.frames if frames is None else frames,
        eval_frames=wanted.eval_frames if eval_frames is None else eval_frames,
        policies=wanted.policies if policy == "auto" else {policy: 1.0},
        processes=processes,
        seed=seed,
        lossless=lossless,
    )
    print(format_coverage(figures))
    write_json(json, figures)


@app.command
def train(
    name: Positional[str],
    *,
    budget: str = "2h",
    data: Path | None = None,
    out: Path | None = None,
    start: str | None = None,
    device: Device = "auto",
    compile: bool = True,
    json: Path | None = None,
) -> None:
    """Train a world, from a recording or from nothing; the same command again resumes.

    Args:
        name: Of a preset, such as doom/take-cover.
        budget: Training time in all, such as 90s, 10m or 2h.
        data: Dataset; by default data/NAME. It is recorded first where it is missing.
        out: Run folder, which ends up with the world in `world/`; by default runs/NAME.
        start: World to begin with, whose tokenizer is kept; by default both networks begin with random weights.
        device: Where to train.
        compile: Compile the networks, which pays off after some minutes.
        json: File that gets where the world is, and how long it took.
    """
    seconds = parse_duration(budget)
    from worldsim.presets import find_collection, find_preset
    from worldsim.train.run import train as run
    from worldsim.world import world_hash

    config = find_preset(name)
    data, out = data or Path("data") / name, out or Path("runs") / name
    if not data.exists():
        _collect_whole(name, data, find_collection(name))
    begun = time.monotonic()
    world = run(config, data, out, seconds, device, compile and _compiler_found(), start)
    print(f"{world}\nplay it: worldsim play {world}\nmeasure it: worldsim eval {world} --data {data}")
    figures = {"world": str(world), "hash": world_hash(world), "budget_s": seconds, "wall_s": time.monotonic() - begun}
    write_json(json, figures)


@app.command(name="eval")
def evaluate(
    world: Positional[str],
    *,
    data: Path | None = None,
    out: Path | None = None,
    clips: int = 64,
    num_steps: int | None = None,
    seed: int = 0,
    objects: bool = True,
    device: Device = "auto",
    json: Path | None = None,
) -> None:
    """Measure a world on held-out play, beside its baselines.

    Args:
        world: Name, folder or Hub id.
        data: Dataset with held-out episodes; by default data/GAME.
        out: Folder for the contact sheet and the clip; by default runs/eval/GAME.
        clips: Held-out clips.
        num_steps: Network calls per frame; by default the world's own.
        seed: Of clips, noise and policies.
        objects: Count objects too, where the game's are known.
        device: Where the world runs.
        json: File that gets the figures.
    """
    from worldsim.eval.measure import EvalConfig
    from worldsim.eval.report import evaluate as run
    from worldsim.world import find_world, read_config

    game = read_config(find_world(world)).game
    config = EvalConfig(clips=clips, num_steps=num_steps, seed=seed, objects=objects)
    run(world, data or Path("data") / game, out or Path("runs/eval") / game, config=config, device=device, json=json)


@app.command
def transfer(
    name: Positional[str],
    *,
    worlds: tuple[str, ...] = (),
    shuffled: tuple[str, ...] = (),
    budget: str = "2h",
    start: str | None = None,
    seeds: tuple[int, ...] = (0, 1),
    data: Path | None = None,
    out: Path | None = None,
    card: Path | None = None,
    config: TransferConfig = CARD,
    refit_frames: int = 0,
    refit_budget: str = "20m",
    device: Device = "auto",
    json: Path | None = None,
) -> None:
    """Train agents in dreams alone, play the real game with them, and write the card; the same command again resumes.

    Args:
        name: Of a preset, such as doom/take-cover, whose agents learn in worlds of doom/take-cover-strip.
        worlds: Names, folders or Hub ids; by default they are trained, one per seed.
        shuffled: Worlds of shuffled actions; by default one is trained.
        budget: Training time of each world, such as 90s, 10m or 2h.
        start: World that they begin with; by default each begins with random weights.
        seeds: Of the worlds.
        data: Dataset that the worlds are trained on; by default data/ and the name of their preset.
        out: Folder of worlds, policies and finished runs; by default runs/transfer/NAME.
        card: Markdown file that gets the tables, its plot beside it; by default docs/transfer-NAME.md.
        config: How much of everything.
        refit_frames: Real frames played by the dreams' policies, on which the first world is trained further for a row of its
            own; 0 for none.
        refit_budget: Time of that training.
        device: Where the worlds run.
        json: File that gets the figures.
    """
    seconds, more = parse_duration(budget), parse_duration(refit_budget)
    if refit_frames < 0:
        raise WorldsimError(f"refit_frames was {refit_frames}; give the number of real frames to add, or 0 for no such row.")
    from worldsim.presets import find_collection, find_transfer
    from worldsim.transfer.run import chosen_policies
    from worldsim.transfer.run import transfer as run
    from worldsim.transfer.worlds import refit_world, train_shuffled, train_worlds
    from worldsim.world import find_world

    preset = find_transfer(name)
    data, out = data or Path("data") / preset.name, out or Path("runs/transfer") / preset.name
    if not data.exists():
        _collect_whole(preset.name, data, find_collection(preset.name))
    card = card or Path("docs") / f"transfer-{name.rsplit('/', 1)[-1]}.md"
    compiled = not (worlds and shuffled) and _compiler_found()
    true = worlds or train_worlds(preset, data, out / "worlds", seconds, seeds, device, compiled, start)
    false = shuffled or train_shuffled(preset, data, out / "shuffled", seconds, device, compiled, start)
    play = functools.partial(run, true, data, out, shuffled=false, card=card, json=json, config=config, device=device)
    figures = play()
    if refit_frames:
        refitted = refit_world(
            preset,
            find_world(true[0]),
            chosen_policies(figures, out),
            data,
            out / "refit",
            refit_frames,
            more,
            device,
            _compiler_found(),
            config,
            os.cpu_count() or 1,
        )
        play(refitted=[refitted])
    print(card)


app.command(bench, name="bench", help="Measure speed.")


def parse_duration(text: str) -> float:
    """Seconds of "90s", "10m" or "2h".

    Raises:
        WorldsimError: if it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if match is None or not float(match[1]):
        raise WorldsimError(f"budget was {text!r}; give a time above 0 with its unit, such as 90s, 10m or 2h.")
    return float(match[1]) * UNITS[match[2]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `worldsim`."""
    with one_line_errors():
        app.cli(prog="worldsim", description="Learn a video game from recordings, and play what was learned.", args=arguments)


def _collect(
    game: str, out: Path, *, policies: Mapping[str, float], processes: int | None = None, **options: Any
) -> dict[str, Any]:
    """Records a game with a mixture of policies, given as shares by name."""
    from worldsim.data.collect import PolicySource, collect
    from worldsim.envs import games

    if game not in games.GAMES:
        raise WorldsimError(f"unknown game {game!r}; choose from: {', '.join(games.GAMES)}.{suggest(game, games.GAMES)}")
    spec = games.GAMES[game].control_spec
    sources = [PolicySource(name, functools.partial(games.make_policy, name, spec), share) for name, share in policies.items()]
    make_env = functools.partial(games.make, game)
    return collect(make_env, sources, out, game=game, processes=processes or os.cpu_count() or 1, **options)


def _collect_whole(game: str, out: Path, wanted: Collection) -> None:
    """Records a dataset that appears at `out` once it is complete; an interrupted one is resumed."""
    print(f"no dataset at {out}: recording {wanted.frames} frames of {game} first")
    partial = out.with_name(f"{out.name}.part")
    _collect(game, partial, frames=wanted.frames, eval_frames=wanted.eval_frames, policies=wanted.policies)
    partial.rename(out)


def _compiler_found() -> bool:
    """Whether torch.compile can work here; says so if not."""
    found = shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")) is not None
    if not found:
        print(
            "no C++ compiler found (on Debian or Ubuntu: apt install g++): training uncompiled, which is slower", file=sys.stderr
        )
    return found


if __name__ == "__main__":
    main()
