from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worldsim.cli.app import COMMANDS, main, parse

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


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_for_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main([*command.split(), "--help"])
    shown = capsys.readouterr().out
    assert not exit.value.code and f"worldsim {command}" in shown and COMMANDS[command].summary.split(";")[0] in shown


def test_unknown_commands_and_options_suggest_the_nearest(failure: Failure, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'train'?" in failure("trian")
    assert "Did you mean 'stream'?" in failure("bench", "strem")
    with pytest.raises(SystemExit) as exit:
        main(["worlds", "--jsn", "x"])
    assert exit.value.code == 2 and "--json" in capsys.readouterr().err


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
