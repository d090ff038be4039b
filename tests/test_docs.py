"""The examples of the documentation run, and its commands are ones that there are."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from worldsim.cli.app import COMMANDS, find_command, load, parse
from worldsim.cli.options import option_types

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Written in the text -> what the tests run instead, so that they take seconds.
SHORTER = {
    "num_envs=32": "num_envs=2",
    'world="atari/pong/world"': "world=TINY_WORLD",
    'from_pretrained("doom/studio")': "from_pretrained(TINY_STUDIO)",
}


def blocks(page: Path, language: str) -> list[str]:
    return [code for name, code in BLOCK.findall(page.read_text()) if name == language]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_examples_run(
    page: Path, tiny_world_path: Path, tiny_studio_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a page run one after another, as a reader types them."""
    code = "\n".join(blocks(page, "python"))
    if "Real-v0" in code:
        pytest.importorskip("vizdoom")
    for written, shorter in SHORTER.items():
        code = code.replace(written, shorter)
    monkeypatch.chdir(tmp_path)
    typed: dict[str, Any] = {"__name__": "example", "TINY_WORLD": str(tiny_world_path), "TINY_STUDIO": str(tiny_studio_path)}
    exec(compile(code, name(page), "exec"), typed)
    for value in typed.values():
        if isinstance(value, gymnasium.Env | gymnasium.vector.VectorEnv):
            value.close()


def shell(page: Path) -> list[list[str]]:
    """Words of every line of shell."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def inline(page: Path) -> list[list[str]]:
    """Words of commands inside sentences, which need not be whole."""
    return [shlex.split(code) for code in re.findall(r"`((?:worldsim|make) [^`\n]+)`", BLOCK.sub("", page.read_text()))]


def make_targets() -> set[str]:
    return set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", [page for page in PAGES if shell(page)], ids=name)
def test_commands_can_be_typed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for program, *words in shell(page):
        if program == "worldsim":
            command, rest = find_command(words)
            parse(command, rest)
        elif program == "make":
            assert set(words) <= make_targets(), words
        elif program == "python" and words[0].startswith("examples/"):
            assert (ROOT / words[0]).is_file(), words
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("page", [page for page in PAGES if inline(page)], ids=name)
def test_commands_in_sentences_exist(page: Path) -> None:
    for program, *words in inline(page):
        if program == "make":
            assert set(words) <= make_targets(), words
            continue
        command, rest = find_command(words)
        given = {word.removeprefix("--") for word in rest if word.startswith("--")} - {"help"}
        known = option_types(load(command)) if command in COMMANDS else {}
        assert {option for option in given if not option.endswith("*")} <= set(known), words


def test_extras_of_pip_lines_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        for named in re.findall(r"pip install '\.\[([\w,]+)\]'", page.read_text()):
            assert set(named.split(",")) <= set(extras), f"{name(page)}: {named}"


def test_links_of_the_readme_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`((?:worldsim|envs|kernels|tests|docs|examples)/[\w/.-]*)`", page.read_text())
    missing = [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    assert not missing


def test_the_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
