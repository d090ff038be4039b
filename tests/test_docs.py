"""The examples of the documentation run, and its commands are ones that there are."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from worldsim.cli.app import COMMANDS, find_command, parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Written in the text -> what the tests run instead, so that they take seconds.
SHORTER = {"num_envs=32": "num_envs=2", 'world="runs/my/catch/world"': "world=TINY_WORLD"}


def blocks(page: Path, language: str) -> list[str]:
    return [code for name, code in BLOCK.findall(page.read_text()) if name == language]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_examples_run(page: Path, tiny_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after another, as a reader types them."""
    code = "\n".join(blocks(page, "python"))
    if "Real-v0" in code:
        pytest.importorskip("vizdoom")
    for written, shorter in SHORTER.items():
        code = code.replace(written, shorter)
    monkeypatch.chdir(tmp_path)
    typed: dict[str, Any] = {"__name__": "example", "TINY_WORLD": str(tiny_world_path)}
    exec(compile(code, name(page), "exec"), typed)
    for value in typed.values():
        if isinstance(value, gymnasium.Env | gymnasium.vector.VectorEnv):
            value.close()


def commands(page: Path) -> list[list[str]]:
    """Words of every line of shell, those inside sentences included."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`((?:worldsim|make|python) [^`\n]+)`", BLOCK.sub("", page.read_text()))
    return [words for line in [*lines, *inline] if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_commands_exist_and_take_these_options(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    for program, *words in commands(page):
        if program == "worldsim":
            command, rest = find_command(words)
            if command in COMMANDS and "--help" not in rest:
                parse(command, rest or placeholders(command))
        elif program == "make":
            assert set(words) <= set(targets), words
        elif program == "python" and words[0].startswith("examples/"):
            assert (ROOT / words[0]).is_file(), words
    assert not list(tmp_path.iterdir())


def placeholders(command: str) -> list[str]:
    """A sentence may name a command without what it needs."""
    return [] if command in ("play", "worlds") or command.startswith("bench") else ["NAME"]


def test_extras_of_pip_lines_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        for named in re.findall(r"pip install '\.\[([\w,]+)\]'", page.read_text()):
            assert set(named.split(",")) <= set(extras), f"{name(page)}: {named}"


def test_links_of_the_readme_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
