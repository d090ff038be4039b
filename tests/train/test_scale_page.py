"""The commands of docs/how-to/scale.md run, in a small version."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from eval.test_report import random_world
from test_docs import ROOT, shell

from worldsim.cli.app import main
from worldsim.data import Dataset
from worldsim.world import World

PAGE = ROOT / "docs" / "how-to" / "scale.md"
COMMANDS = [shlex.join(words) for words in shell(PAGE)]
PROGRAMS = {"worldsim": ["-m", "worldsim"], "torchrun": ["-m", "torch.distributed.run"]}
FEW = (
    "--config.dream-steps 60 --config.equal-steps 40 --config.clone-frames 40 --config.clone-epochs 1 --config.checkpoints 1 "
    "--config.dreams 2 --config.dream-frames 8 --config.starts 4 --config.games 1 --config.hold 2 --config.dream-episodes 2 "
    "--config.checkpoint-episodes 1 --config.choice-episodes 1 --config.episodes 1 --config.cap-tics 10 --config.head-clips 2 "
    "--config.resamples 10 --config.policy-seeds 0 --config.side-seeds 0 --config.long-seeds 0 --config.ppo.rollout 2"
)
# Written on the page -> what the test runs instead.
SHORTER = {
    "doom/take-cover-strip": "WORLD",
    "eval doom/take-cover": "eval WORLD --data DATA --clips 2 --horizons 1 2 --batch 1 --dreams 1 --dream-frames 4 --no-objects",
    "doom/take-cover": "toy/dodge",
    "worlds/a worlds/b --shuffled worlds/c": f"WORLD --shuffled WORLD --data DATA --card card.md {FEW}",
    "--ray auto": "--ray local --ray-cpus 0.5",
    "--servers 4": "--servers 2",
    "--frames 2000000": "--frames 100 --eval-frames 50 --out run",
    "--actors 1 2 4 --dreams 16": "--actors 1 2 --dreams 2 --rollouts 1 --json figures.json",
    "--nproc 8": "--nproc 2",
    "--nproc 4": "--nproc 2",
    "--nproc 1 2 4": "--nproc 1 2",
    "--nproc 2 4": "--nproc 2",
    "--batches 16": "--batches 4",
    "--nproc-per-node 8": "--nproc-per-node 2",
    "--nnodes 2": "--nnodes 1",
    "--rdzv-endpoint host1:29500": "--rdzv-endpoint 127.0.0.1:0 --local-addr 127.0.0.1",
    "--budget 2h": "--budget 1s --no-compile --device cpu --out run",
    "bench train toy/dodge": "bench train toy/dodge --size 32 32 --steps 1 --no-compile --device cpu --json figures.json",
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "data"
    main(["collect", "toy/dodge", "--out", str(folder), "--frames", "400", "--eval-frames", "100"])
    return folder


@pytest.fixture(scope="module")
def world(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_world(tmp_path_factory.mktemp("world") / "world", Dataset(recorded))


@pytest.fixture
def address(recorded: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(recorded)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def cost(command: str) -> pytest.param:  # type: ignore[valid-type]
    """The first of a kind runs always, the others with the slow tests: each starts two processes or more."""
    quick = command == COMMANDS[0] or "bench plan" in command or " collect " in command
    return pytest.param(command, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize("command", [cost(command) for command in COMMANDS])
def test_commands_run(command: str, recorded: Path, world: Path, address: str, tmp_path: Path) -> None:
    if "--ray" in command:
        pytest.importorskip("ray", reason="needs Ray; install: pip install 'worldsim-dit[scale]'")
    for written, shorter in SHORTER.items():
        command = command.replace(written, shorter)
    command = command.replace("https://host/take-cover", address).replace("WORLD", str(world)).replace("DATA", str(recorded))
    if " train toy/dodge" in command and "bench" not in command and "--data" not in command:
        command += f" --data {recorded}"
    program, *words = shlex.split(command)
    environment = {**os.environ, "WORLDSIM_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    run = subprocess.run(
        [sys.executable, *PROGRAMS[program], *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stderr[-3000:]
    if "bench train" in command:
        rows = json.loads((tmp_path / "figures.json").read_text())["results"]
        assert {row["stage"] for row in rows} == {"tokenizer", "dynamics"}
        for row in rows:
            assert row["seconds"] > 0 and 0 <= row["communication"] < 1 and (row["muon"] > 0)
            assert (row["muon_bytes"] > 0) == (row["sharding"] == "shard")
        assert "Muon sends, MB" in run.stdout and "cores" in run.stdout
    elif "bench dreams" in command:
        rows = json.loads((tmp_path / "figures.json").read_text())["results"]
        assert [row["servers"] for row in rows] == [0, 1, 2] and all(row["steps_per_second"] > 0 for row in rows)
    elif " collect " in command:
        assert Dataset(tmp_path / "run").total_frames >= 150
    elif " eval " in command:
        assert "PSNR dB, free-running" in run.stdout and list(tmp_path.rglob("sheet.png"))
    elif " transfer " in command:
        assert "runs on the cluster" in run.stdout and "dream of shuffled actions" in (tmp_path / "card.md").read_text()
    elif "bench plan" in command:
        assert "not yet measured on a GPU" in run.stdout
    else:
        assert World.load(tmp_path / "run" / "world", device="cpu").reset(seed=0).frame.any()
        assert run.stdout.count("play it:") == 1, "one process speaks"
        assert run.stderr.count("training dynamics:") > 0
