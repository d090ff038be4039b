"""`worldsim data import` and `data export`: recordings from and for other programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from worldsim.cli.options import FLAT, NO_OUTPUT, Output
from worldsim.data.exporters.config import ExportConfig
from worldsim.data.importers.config import (
    D4rlConfig,
    LeRobotConfig,
    MinariConfig,
    MineRLConfig,
    OwlConfig,
    VideoConfig,
    VptConfig,
)

if TYPE_CHECKING:
    from worldsim.data.importers.source import Imported


def import_video(config: Annotated[VideoConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Imports videos with tables of controls."""
    from worldsim.data.importers.table import import_videos

    _report(import_videos(config), config.out, output)


def import_vpt(config: Annotated[VptConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Imports VPT's recordings."""
    from worldsim.data.importers.vpt import import_vpt as run

    _report(run(config), config.out, output)


def import_minerl(config: Annotated[MineRLConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Imports MineRL's dataset."""
    from worldsim.data.importers.minerl import import_minerl as run

    _report(run(config), config.out, output)


def import_owl(config: Annotated[OwlConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Imports OWL Control's recordings."""
    from worldsim.data.importers.owl import import_owl as run

    _report(run(config), config.out, output)


def import_d4rl(config: Annotated[D4rlConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Imports an HDF5 file."""
    from worldsim.data.importers.d4rl import import_d4rl as run

    _report(run(config), config.out, output)


def import_minari(config: Annotated[MinariConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Imports a Minari dataset."""
    from worldsim.data.importers.minari import import_minari as run

    _report(run(config), config.out, output)


def import_lerobot(config: Annotated[LeRobotConfig, FLAT], output: Annotated[Output, FLAT] = NO_OUTPUT) -> None:
    """Imports a LeRobot dataset."""
    from worldsim.data.importers.lerobot import import_lerobot as run

    _report(run(config), config.out, output)


def export(config: Annotated[ExportConfig, FLAT]) -> None:
    """Writes a dataset or a clip."""
    from worldsim.data.dataset import Dataset
    from worldsim.data.exporters.clip import export_clip
    from worldsim.data.exporters.lerobot import export_lerobot
    from worldsim.data.exporters.minari import export_minari

    dataset = Dataset(config.dataset, config.split)
    if config.to in ("mp4", "gif"):
        print(f"{export_clip(dataset, config)} frames: {config.out}")
        return
    {"minari": export_minari, "lerobot": export_lerobot}[config.to](dataset, config.out)
    print(f"{len(dataset)} episodes, {dataset.total_frames} frames: {config.out}")


def _report(done: Imported, out: Path, output: Output) -> None:
    """Says what an import did."""
    more = {
        "were there": done.present,
        "without a frame": done.empty,
        "cannot be read": len(done.damaged),
    }
    others = "".join(f", {count} {what}" for what, count in more.items() if count)
    print(f"{done.episodes} episodes added with {done.frames} frames{others}: {out}")
    if done.clipped:
        print(f"{done.clipped} rows moved the mouse by more than mouse_limit and were cut to it")
    print(*done.damaged, sep="\n", end="\n" if done.damaged else "")
    output.write(dataclasses.asdict(done))
