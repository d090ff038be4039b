"""The `worldsim` command: one table of commands, and how a command gets its options.

A command is a function of frozen dataclasses, whose fields and docstrings tyro makes into options with their help. The module
of a command is imported when that command is given, so that `worldsim --help` loads neither PyTorch nor tyro.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from worldsim.errors import WorldsimError, one_line_errors, suggest

DESCRIPTION = "Learn a video game from recordings, and play what was learned."


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        function: where it is, as "module:function".
        summary: one line for the help.
    """

    function: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "new": Command("worldsim.cli.new:new", "Make a world of any Gymnasium environment; the same command again resumes."),
    "play": Command("worldsim.cli.play:play", "Open a window and play."),
    "serve": Command("worldsim.cli.serve:serve", "Let people play in their browsers, many on one model."),
    "record": Command("worldsim.cli.play:record", "Record a world, a game or any environment, as a clip or as a dataset."),
    "capture": Command("worldsim.cli.capture:capture", "Record the window of any program with its keys and mouse."),
    "generate": Command("worldsim.cli.make:generate", "Make clips of what prompts say."),
    "image": Command("worldsim.cli.make:image", "Make a picture of what a prompt says."),
    "animate": Command("worldsim.cli.make:animate", "Make a clip that begins with a picture."),
    "extend": Command("worldsim.cli.make:extend", "Make what came before a clip, and what comes after it."),
    "connect": Command("worldsim.cli.make:connect", "Make what leads from one clip to another."),
    "loop": Command("worldsim.cli.make:loop", "Make what leads from the end of a clip back to its beginning."),
    "edit": Command("worldsim.cli.make:edit", "Make a clip anew, in its old structure."),
    "worlds": Command("worldsim.cli.worlds:worlds", "List the worlds there are: shipped, downloaded and trained here."),
    "inspect": Command("worldsim.cli.origin:inspect", "Tell whether a clip, picture or dataset is generated, and by what."),
    "collect": Command("worldsim.cli.data:collect", "Record a game while policies play it; the same command again resumes."),
    "data merge": Command("worldsim.cli.data:merge", "Join recordings into one dataset."),
    "data check": Command("worldsim.cli.data:check", "Read a whole dataset, list what is wrong with it, and mend it."),
    "data info": Command("worldsim.cli.data:info", "Describe a dataset: counts, sizes, controls, what it covers, pictures."),
    "data import video": Command("worldsim.cli.exchange:import_video", "Import videos, each beside a table of its controls."),
    "data import vpt": Command("worldsim.cli.exchange:import_vpt", "Import Minecraft recordings of VPT: mp4 and jsonl."),
    "data import minerl": Command("worldsim.cli.exchange:import_minerl", "Import MineRL's dataset: folders with mp4 and npz."),
    "data import owl": Command("worldsim.cli.exchange:import_owl", "Import recordings of OWL Control: mp4 and inputs.csv."),
    "data import d4rl": Command("worldsim.cli.exchange:import_d4rl", "Import an HDF5 file with D4RL's arrays."),
    "data import minari": Command("worldsim.cli.exchange:import_minari", "Import a Minari dataset."),
    "data import lerobot": Command("worldsim.cli.exchange:import_lerobot", "Import a LeRobot v3 dataset."),
    "data export": Command("worldsim.cli.exchange:export", "Write a dataset for Minari or LeRobot, or a clip of an episode."),
    "studio collect": Command("worldsim.cli.studio:collect", "Record the studio's data, at several sizes, with captions."),
    "studio captions": Command("worldsim.cli.studio:captions", "Write the captions of the studio's data again."),
    "studio gallery": Command("worldsim.cli.studio:gallery", "Make a page with a clip of every task, beside the game."),
    "studio judge": Command("worldsim.cli.studio:judge", "Train and measure the network that tells what pictures show."),
    "studio study": Command("worldsim.cli.studio:study", "Train worlds that differ in one thing, and compare them."),
    "studio detector": Command("worldsim.cli.studio:detector", "Train and measure the network that tells dreams from play."),
    "studio watermark": Command("worldsim.cli.studio:watermark", "Measure the watermark of generated clips."),
    "studio words": Command("worldsim.cli.studio:words", "Make the word vectors, with which a world reads prompts."),
    "push": Command("worldsim.cli.push:push", "Share a world or a dataset on the Hugging Face Hub."),
    "train": Command("worldsim.cli.train:train", "Train a world on recordings; the same command again resumes."),
    "eval": Command("worldsim.cli.evaluate:evaluate", "Measure a world on held-out recordings, beside its baselines."),
    "replay": Command("worldsim.cli.evaluate:replay", "Dream a recorded episode again, bit for bit, or say what differs."),
    "transfer": Command("worldsim.cli.transfer:transfer", "Train agents inside worlds and play the real game with them."),
    "bench stream": Command("worldsim.cli.bench:stream", "Time generated frames, part by part."),
    "bench env": Command("worldsim.cli.bench:env", "Time steps of agents in the batched environment."),
    "bench start": Command("worldsim.cli.bench:start", "Time the way from the start of a process to its first frame."),
    "bench latency": Command("worldsim.cli.bench:latency", "Time the way from a key to the changed picture in the window."),
    "bench capture": Command("worldsim.cli.bench:capture", "Record another program under known inputs, and compare."),
    "bench record": Command("worldsim.cli.bench:record", "Time what recording adds to a step of ViZDoom."),
    "bench serve": Command("worldsim.cli.bench:serve", "Count the players that a server holds at full rate."),
    "bench dreams": Command("worldsim.cli.bench:dreams", "Time a learner that is fed by dream servers on a Ray cluster."),
    "bench train": Command("worldsim.cli.bench:train", "Time training steps, and where the time goes."),
    "bench plan": Command("worldsim.cli.bench:plan", "Plan the training of a large world on many GPUs: memory, hours, cost."),
    "bench kernels": Command("worldsim.cli.bench:kernels", "Time the GPU kernels beside those of PyTorch, or compile them."),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `worldsim`.

    Args:
        arguments: of the command line; by default those of this process.

    Raises:
        SystemExit: 2 after an error in one line on stderr, 130 after Ctrl-C, 143 after SIGTERM.
    """
    with one_line_errors():
        name, rest = find_command(list(sys.argv[1:] if arguments is None else arguments))
        if name not in COMMANDS:
            print(format_help(name))
            return
        parse(name, rest)()


def find_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Name of the command given, and what comes after it. The name is "" or a group, such as "bench", if its help is wanted.

    Raises:
        WorldsimError: if there is no such command.
    """
    name, rest = "", list(arguments)
    while name not in COMMANDS:
        if not rest or rest[0] in ("-h", "--help"):
            return name, rest
        allowed = _words_after(name)
        if rest[0] not in allowed:
            what = f"worldsim {name}".rstrip()
            raise WorldsimError(
                f"{what} has no command {rest[0]!r}; choose from: {', '.join(allowed)}.{suggest(rest[0], allowed)}"
            )
        name = f"{name} {rest.pop(0)}".lstrip()
    return name, rest


def format_help(group: str = "") -> str:
    """What `worldsim --help`, or that of a group of commands, prints."""
    chosen = {name: command for name, command in COMMANDS.items() if f"{name} ".startswith(f"{group} ".lstrip())}
    width = max(map(len, chosen))
    lines = [f"  {name.ljust(width)}  {command.summary}" for name, command in chosen.items()]
    usage = f"usage: {f'worldsim {group}'.rstrip()} COMMAND [OPTIONS]"
    last = "worldsim COMMAND --help shows the options of a command."
    return "\n".join([usage, "", DESCRIPTION, "", *lines, "", last])


def load(name: str) -> Callable[..., None]:
    """The function of a command."""
    module, _, function = COMMANDS[name].function.partition(":")
    loaded: Callable[..., None] = getattr(import_module(module), function)
    return loaded


def parse(name: str, arguments: Sequence[str]) -> Callable[[], None]:
    """Reads and checks the options of a command.

    Args:
        name: one of `COMMANDS`.
        arguments: what was given after it.

    Returns:
        What runs the command.

    Raises:
        WorldsimError: if a config does not accept its values, or a file cannot be written.
            Or if an option is unknown, missing or cannot be read.
        SystemExit: after `--help`.
    """
    import tyro

    from worldsim.cli.options import option_types, positionals_first

    function = load(name)

    @functools.wraps(function)
    def deferred(*args: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(function, *args, **options)

    # tyro explains an error in a box, a config's together with the value of the whole config; ours is one line.
    explained = io.StringIO()
    try:
        with contextlib.redirect_stderr(explained):
            run: Callable[[], None] = tyro.cli(
                deferred,
                prog=f"worldsim {name}",
                description=COMMANDS[name].summary,
                args=positionals_first(function, arguments),
            )
    except SystemExit as exit:
        for error in _causes(exit):
            if isinstance(error, WorldsimError):
                raise error from None
        if exit.code:
            raise WorldsimError(_first_sentence(explained.getvalue(), option_types(function))) from None
        raise
    sys.stderr.write(explained.getvalue())
    return run


def _words_after(group: str) -> list[str]:
    """Words that may follow "worldsim" and the name of a group."""
    depth = len(group.split())
    return list(dict.fromkeys(name.split()[depth] for name in COMMANDS if name.split()[:depth] == group.split()))


def _first_sentence(box: str, options: Iterable[str]) -> str:
    """What a box of tyro's says between its title and its first rule, with the option that an unknown one may have meant."""
    parts = re.split("[─-]{4,}", box)
    said = " ".join(re.sub("[│╮]", " ", parts[1] if len(parts) > 1 else box).split())
    unknown = re.match(r"Unrecognized options: (-[^, ]+)", said)
    return f"{said.rstrip('.')}." + (suggest(unknown[1], [f"--{name}" for name in options]) if unknown else "")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


if __name__ == "__main__":
    main()
