"""The commands of docs/how-to/serve.md, each on the tiny world and a free port."""

from __future__ import annotations

import functools
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from worldsim.cli.app import find_command, parse
from worldsim.serve.config import TOKEN

from .web import Served, running

PAGE = (Path(__file__).parent.parent.parent / "docs/how-to/serve.md").read_text()
LINES = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in LINES if "worldsim serve" in line])
def test_servers_of_the_page_answer(line: str, tiny_world_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line)
    while "=" in words[0]:
        name, value = words.pop(0).split("=")
        assert name == TOKEN
        monkeypatch.setenv(name, value)
    command = parse(*find_command(words[1:]))
    assert isinstance(command, functools.partial)
    (config,) = [*command.args, *command.keywords.values()]
    small = replace(config, worlds=(str(tiny_world_path),), port=0, device="cpu", runtime="torch")
    with running(small) as served:
        token = served.address.partition("?token=")[2]
        assert bool(token) == ("0.0.0.0" in line or TOKEN in line)
        assert served.get("/worlds", {"Authorization": f"Bearer {token}"})[0] == 200
        assert served.get("/worlds")[0] == (401 if token else 200)
        for host in config.allow_host:
            assert served.get("/worlds", {"Host": host, "Authorization": f"Bearer {token}"})[0] == 200


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("curl ")])
def test_what_is_watched_is_there(line: str, shared: Served) -> None:
    status, _, content = shared.get("/" + line.rpartition("/")[2])
    assert status == 200 and content
