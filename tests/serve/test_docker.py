"""The Dockerfile, by its parts: nothing here needs Docker."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

from worldsim.cli.app import find_command, parse
from worldsim.serve.config import ServeConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent.parent
LINES = [
    line for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines() if line and not line.startswith("#")
]
STEPS = [(word, rest) for word, _, rest in (line.partition(" ") for line in LINES)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def given(word: str) -> list[str]:
    return [rest for name, rest in STEPS if name == word]


def test_every_step_is_one_that_there_is() -> None:
    known = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert {word for word, _ in STEPS} == known and STEPS[0][0] == "FROM"


def test_it_copies_all_that_is_installed_and_nothing_else() -> None:
    copied = {name for rest in given("COPY") for name in shlex.split(rest)[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    assert copied == {"constraints.txt", "pyproject.toml", "README.md", "LICENSE", "worldsim", "envs", "kernels"}
    for rest in given("COPY"):
        *names, target = shlex.split(rest)
        assert target == ("./" if len(names) > 1 or "." in names[0] else names[0])


def test_it_installs_what_the_server_needs_with_pinned_versions() -> None:
    installs = [rest for rest in given("RUN") if "pip install" in rest]
    assert all("--constraint constraints.txt" in rest for rest in installs)
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", " ".join(installs))
    assert "serve" in extras.split(",") and set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    (version,) = re.fullmatch(r"python:(3\.\d+)-slim", given("FROM")[0]).groups()  # type: ignore[union-attr]
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_it_serves_as_nobody_special() -> None:
    assert given("USER") == ["player"] and "useradd --create-home player" in " ".join(given("RUN"))
    program, *arguments = json.loads(given("CMD")[0])
    assert program == "worldsim" and callable(parse(*find_command(arguments)))
    port = arguments[arguments.index("--port") + 1]
    assert given("EXPOSE") == [port] == [str(ServeConfig().port)]
    assert not ServeConfig(host=arguments[arguments.index("--host") + 1]).loopback, "so a token is needed"
    check = json.loads(given("HEALTHCHECK")[0].partition(" CMD ")[2])
    compile(check[-1], "HEALTHCHECK", "exec")
    assert f"localhost:{port}/healthz" in check[-1]
