from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import docstring_parser
import pytest

from worldsim.cli.app import COMMANDS, load, main, parse
from worldsim.provenance.options import Marks

from .conftest import Failure

SLEEP = """
import sys, time
from worldsim.errors import one_line_errors
with one_line_errors():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
"""


def test_help_lists_every_command_and_loads_neither_torch_nor_tyro() -> None:
    code = (
        "import sys; from worldsim.cli import main; main(['--help']); assert not {'torch', 'pygame', 'tyro'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert all(command in run.stdout for command in COMMANDS)


def test_help_of_every_command_loads_nothing_heavy() -> None:
    code = (
        "import sys; from worldsim.cli.app import COMMANDS, main\n"
        "for name in COMMANDS:\n"
        "    try: main([*name.split(), '--help'])\n"
        "    except SystemExit: pass\n"
        "    heavy = {'torch', 'pygame', 'pyarrow', 'av'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_python_m_worldsim_is_the_command() -> None:
    run = subprocess.run([sys.executable, "-m", "worldsim", "bench"], capture_output=True, text=True)
    assert run.returncode == 0 and "bench stream" in run.stdout and "collect" not in run.stdout


def letters(text: str) -> str:
    """What is left of a text where line breaks, boxes and quotes go."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def documented(config: type[Any]) -> Iterator[tuple[str, str]]:
    """Fields of a frozen dataclass, with those of dataclasses inside, and what its docstring says of each."""
    assert is_dataclass(config) and config.__dataclass_params__.frozen, f"{config} is no frozen dataclass"  # type: ignore[attr-defined]
    docs = [docstring_parser.parse(kind.__doc__ or "") for kind in reversed(config.__mro__) if is_dataclass(kind)]
    said = {entry.arg_name: entry.description or "" for doc in docs for entry in doc.params}
    hints, flat = get_type_hints(config), get_type_hints(config, include_extras=True)
    for field in fields(config):
        inner = hints[field.name]
        if get_origin(inner) is tuple and is_dataclass(get_args(inner)[0]):  # its fields are the options, not itself
            inner = get_args(inner)[0]
        elif flat[field.name] == Marks:  # the same
            pass
        else:
            yield field.name, said.get(field.name, "")
        if is_dataclass(inner):
            yield from documented(inner)  # type: ignore[arg-type]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_and_its_help_is_a_field_of_a_dataclass(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    function = load(command)
    assert "Args:" not in (inspect.getdoc(function) or "")
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    shown = letters(capsys.readouterr().out)
    for config in get_type_hints(function).values():
        if config is not type(None):
            for name, said in documented(config):
                assert said and letters(said) in shown, f"{config.__name__}.{name} has no help"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main([*command.split(), "--help"])
    shown = capsys.readouterr().out
    assert not exit.value.code and f"worldsim {command}" in shown and COMMANDS[command].summary.split(";")[0] in shown


def test_unknown_commands_and_options_suggest_the_nearest(failure: Failure) -> None:
    assert "Did you mean 'train'?" in failure("trian")
    assert "Did you mean 'stream'?" in failure("bench", "strem")
    assert failure("worlds", "--jsn", "x") == "worldsim: Unrecognized options: --jsn, x. Did you mean '--json'?"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("play --frames nan", "--frames"),
        ("record doom/take-cover --device gpu", "--device"),
        ("eval doom/take-cover --horizons 1 x2", "x2"),
        ("bench stream --threads", "--threads"),
        ("collect toy/dodge --seed 1.5", "--seed"),
        ("transfer toy/dodge --config.ppo.gamma high", "--config.ppo.gamma"),
        ("record", "name, folder or Hub id"),
        ("data merge a b", "--out"),
    ],
)
def test_an_option_that_cannot_be_read_is_one_line(failure: Failure, given: str, named: str) -> None:
    line = failure(*given.split())
    assert line.startswith("worldsim: ") and named in line


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_line_is_the_same_in_terminals_that_draw_boxes(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "worldsim", "record", "doom/take-cover", "--device", "gpu"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    line = "worldsim: invalid choice 'gpu' for argument '--device'. Expected one of ('auto', 'cpu', 'cuda').\n"
    assert (run.returncode, run.stderr) == (2, line)


def test_a_command_is_parsed_before_it_runs(tmp_path: Path) -> None:
    run = parse("worlds", ["--json", str(tmp_path / "worlds.json")])
    assert not list(tmp_path.iterdir())
    run()
    assert (tmp_path / "worlds.json").exists()


def test_names_are_printed_without_control_characters(failure: Failure) -> None:
    assert "\\x1b[31mred" in failure("record", "./\x1b[31mred")
    assert len(failure("collect", 100_000 * "x")) < 3000


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_told_to_stop_cleans_up(number: int, code: int) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
        os.kill(run.pid, number)
        out, error = run.communicate(timeout=180)
    assert (run.returncode, out, error) == (code, "cleaned up\n", "")


def test_output_that_nobody_reads_ends_a_command_quietly() -> None:
    code = "from worldsim.cli import main; main(['worlds'])"
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        run = subprocess.run([sys.executable, "-u", "-c", code], stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (141, "")


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("play", "[WORLD]"),
        ("record", "ENV_OR_WORLD"),
        ("eval", "WORLD"),
        ("collect", "GAME"),
        ("train", "GAME"),
        ("bench env", "[WORLD]"),
    ],
)
def test_usage_names_what_a_command_takes(command: str, usage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    assert capsys.readouterr().out.splitlines()[0].endswith(f"] {usage}")
