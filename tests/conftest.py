"""Shared fixtures: a tiny world with random weights, in which everything runs in milliseconds."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from worldsim.controls import ControlSpec
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.world import World, WorldConfig, export_world
from worldsim.world.words import Words
from worldsim.worlds import WORDS_FILE

os.environ["WORLDSIM_PREPARE"] = "0"  # no compiling in the background
_CACHE = tempfile.TemporaryDirectory(prefix="worldsim-cache-")
os.environ["WORLDSIM_CACHE"] = _CACHE.name  # what other runs and people keep changes nothing here
# Before anything imports a kernel: without a GPU, Triton interprets kernels if told so before they are defined.
if torch.cuda.is_available():
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # otherwise `poison` forbids matrix products
else:
    os.environ.setdefault("TRITON_INTERPRET", "1")
torch.set_num_threads(1)

# The suite gives the same result every time. To look for new failures: `pytest --hypothesis-profile=search`, random examples,
# 20 times as many.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("repeatable")

TINY_SPEC = ControlSpec(keys=("a", "d"), mouse_limit=(20.0, 0.0), buttons=("left",), exclusive=(("a", "d"),))
TINY_TOKENIZER = TokenizerConfig(channels=(8, 12, 16), encoder_blocks=1, decoder_blocks=1, latent_channels=6)
TINY_DIT = DiTConfig(
    latent_channels=6,
    controls=TINY_SPEC.size,
    width=32,
    depth=4,
    heads=2,
    kv_heads=1,
    hidden=48,
    condition=16,
    window=4,
    codes=5,
    reveals=True,
)
VOCABULARY = ("a", "red", "room", "soldier", "left", "right", "two")
STUDIO_DIT = replace(
    TINY_DIT,
    codes=0,
    reveals=False,
    temporal="time",
    temporal_every=2,
    window=6,
    prompt=4,
    prompt_length=5,
    prompt_layers=1,
    free_controls=True,
    policy_bins=5,
    sized=True,
)


def randomize(module: torch.nn.Module, seed: int = 0) -> None:
    """Gives every weight a value, so that zero-initialised gates let signals through."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2 / max(1, parameter.shape[-1]) ** 0.5)
        if isinstance(module, DiT):
            module.codebook.copy_(4 * torch.randn(module.codebook.shape, generator=generator))
            if module.code_head is not None:
                module.code_head.bias.copy_(torch.linspace(0, 6, module.config.codes))  # some codewords are rare


@pytest.fixture(scope="session")
def tiny_world_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny world with random weights: frames 32x48, three controls kinds, window 4."""
    torch.manual_seed(0)
    tokenizer, dynamics = Tokenizer(TINY_TOKENIZER), DiT(TINY_DIT)
    randomize(tokenizer)
    randomize(dynamics)
    torch.nn.init.constant_(dynamics.end_head.bias, -8.0)  # dreams that last
    torch.nn.init.zeros_(dynamics.end_head.weight)
    config = WorldConfig(
        name="test/tiny",
        game="test/tiny",
        height=32,
        width=48,
        fps=17.5,
        frame_skip=2,
        control_spec=TINY_SPEC,
        tokenizer=TINY_TOKENIZER,
        dynamics=TINY_DIT,
        rounds=2,
    )
    starts, controls = torch.randn(3, 4, 2, 3, 6), torch.rand(3, 4, TINY_SPEC.size)
    return export_world(tmp_path_factory.mktemp("worlds") / "tiny", config, tokenizer, dynamics, starts, controls)


@pytest.fixture(scope="session")
def short_world_path(tiny_world_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same world, whose dreams end with every tenth frame or so."""
    world = World.load(tiny_world_path, device="cpu", dtype=torch.float32)
    torch.nn.init.constant_(world.dynamics.end_head.bias, -2.2)
    folder = tmp_path_factory.mktemp("worlds") / "short"
    return export_world(folder, world.config, world.tokenizer, world.dynamics, world.starts, world.start_controls)


@pytest.fixture(scope="session")
def tiny_studio_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a world that reads prompts: frames 32x48, window 6."""
    torch.manual_seed(0)
    tokenizer, dynamics = Tokenizer(TINY_TOKENIZER), DiT(STUDIO_DIT)
    randomize(tokenizer)
    randomize(dynamics)
    torch.nn.init.constant_(dynamics.end_head.bias, -8.0)  # dreams that last
    torch.nn.init.zeros_(dynamics.end_head.weight)
    config = WorldConfig("test/studio", "test/studio", 32, 48, 8.75, 4, TINY_SPEC, TINY_TOKENIZER, STUDIO_DIT, num_steps=3)
    starts = torch.randn(2, 6, 2, 3, 6, generator=torch.Generator().manual_seed(1))
    folder = tmp_path_factory.mktemp("worlds") / "tiny-studio"
    export_world(folder, config, tokenizer, dynamics, starts, torch.zeros(2, 6, TINY_SPEC.size))
    vectors = np.random.default_rng(0).standard_normal((len(VOCABULARY), 4))
    Words.of(VOCABULARY, vectors).save(folder / WORDS_FILE)
    return folder


@pytest.fixture
def tiny_world(tiny_world_path: Path) -> World:
    return World.load(tiny_world_path, device="cpu", dtype=torch.float32)


def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """Every fixture draws the same numbers, whichever tests ran before it."""
    _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """So does every test."""
    _seed()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Generator[None]:
    """Says at the very end how to run the skipped tests whose reason ends in "; install: COMMAND"."""
    yield
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple))
    for reason, count in reasons.items():
        needs, _, command = reason.removeprefix("Skipped: ").partition("; install: ")
        if command:
            terminalreporter.write_line(f"{count} skipped, {needs}. To run them: {command}", yellow=True)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB with no room left but for one small file."""
    folder = tmp_path / "full"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system to fill up")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
