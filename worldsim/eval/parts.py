"""Held-out clips, a batch at a time: what a world imagines in their place, and how that compares with them.

A batch is measured where the world is: here, or in a task on another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.data import Clips
from worldsim.device import pick_device
from worldsim.eval import objects, things
from worldsim.eval.clips import Way, decode, encode, roll_out
from worldsim.eval.control import EXPECTED, MIRRORED, MODEL, SHUFFLED, control_rows
from worldsim.eval.fidelity import psnr, ssim
from worldsim.eval.probe import Boxes, Probe
from worldsim.eval.tally import Tally
from worldsim.scale.folders import Files, read_files, unpacked
from worldsim.world import World, world_hash

MODES = FREE, FORCED = "free-running", "teacher-forced"
REAL, TOKENIZER, COPY = "real frames", "tokenizer ceiling", "copy-last-frame"
ROWS = (TOKENIZER, COPY, MODEL, EXPECTED[MODEL], MIRRORED, SHUFFLED, EXPECTED[MIRRORED], EXPECTED[SHUFFLED])
SEARCHED = (TOKENIZER, COPY, MODEL, EXPECTED[MODEL])  # rows in which objects are looked for
WRONG = (MIRRORED, SHUFFLED, EXPECTED[MIRRORED], EXPECTED[SHUFFLED])  # rows under wrong controls
FOLLOWED = (MODEL, EXPECTED[MODEL], SHUFFLED)  # free-running rows in which things of which there is one are

Views = dict[tuple[str, str], NDArray[np.uint8]]  # frames (B, F, H, W, 3) by mode and row
Said = Callable[[str], object]
Done = Callable[[int], object]


class Sight(NamedTuple):
    """What finds objects in frames: the probe of the game, the class of what the controls move, if known, and the number of
    classes."""

    probe: Probe
    player: int | None
    classes: int


class Part(NamedTuple):
    """A batch of clips.

    Attributes:
        clips: context and frames to predict.
        shuffled: controls `(B, F, A)` of other clips.
        seeds: one per clip.
        labels: the game's objects, per clip and predicted frame; None where they are not counted.
        pictured: whether the dream is wanted, to be drawn.
    """

    clips: Clips
    shuffled: NDArray[np.float32]
    seeds: list[int]
    labels: list[list[Boxes]] | None
    pictured: bool


class Measured(NamedTuple):
    """What came of a batch: its tally, and the frames of the model, free-running, where they are wanted."""

    tally: Tally
    dream: NDArray[np.uint8] | None


def measure_part(
    world: World,
    horizons: tuple[int, ...],
    sight: Sight | None,
    part: Part,
    said: Said = lambda what: None,
    done: Done = lambda frames: None,
) -> Measured:
    """Imagines a batch of clips in every way and tallies what came of it.

    Args:
        world: its own state is left alone.
        horizons: see `EvalConfig`.
        sight: None where objects are not counted.
        part: the clips.
        said: is told what is done now.
        done: is told how many frames were just imagined.
    """
    tally = Tally()
    said("imagining held-out clips")
    views = _imagine(world, part.clips, part.shuffled, part.seeds, tally, done)
    said("comparing held-out clips")
    _compare(views, part.clips, horizons, tally)
    if sight is not None and part.labels is not None:
        said("looking for objects in held-out clips")
        _look(sight, part.clips, views, part.labels, tally)
    return Measured(tally, views[FREE, MODEL] if part.pictured else None)


@dataclass(frozen=True)
class SentWorld:
    """A world on its way to machines that do not see its folder, where it computes as it does here.

    Attributes:
        hash: of the world.
        options: of `World.load`.
        here: type of the device that it is on here, dtype and runtime that it has there.
        files: of its folder.
    """

    hash: str
    options: tuple[tuple[str, Any], ...]
    here: tuple[str, torch.dtype, str]
    files: Files = field(compare=False, repr=False)

    @classmethod
    def of(cls, world: World, device: str, **options: Any) -> SentWorld:
        """A world that was loaded with `device` and other options."""
        assert world.folder is not None, "it was loaded from a folder"
        folder = Path(world.folder)
        here = (world.device.type, world.dtype, world.runtime.name)
        return cls(world_hash(folder), tuple({"device": device, **options}.items()), here, read_files(folder))

    def open(self) -> World:
        """The world; loaded once a process."""
        return _open(self)


@lru_cache(1)
def _open(sent: SentWorld) -> World:
    options = dict(sent.options)
    device, dtype, runtime = sent.here
    if pick_device(options["device"]).type == device:
        options |= {"dtype": dtype, "runtime": runtime}
    with unpacked(sent.files) as folder:
        return World.load(folder, **options)


def measure_there(shared: tuple[SentWorld, tuple[int, ...], Sight | None], part: Part) -> Measured:
    """`measure_part` in a task on another machine."""
    sent, horizons, sight = shared
    return measure_part(sent.open(), horizons, sight, part)


def _imagine(
    world: World,
    clips: Clips,
    shuffled: NDArray[np.float32],
    seeds: Sequence[int],
    tally: Tally,
    progress: Callable[[int], object],
) -> Views:
    """Gives all views of clips; rewards and ends of the model's rows are tallied."""
    horizon, latents = shuffled.shape[1], encode(world, clips.frames)
    before, reconstructed = clips.frames[:, -horizon - 1 : -1], decode(world, latents[:, -horizon:])
    ways = imagined_ways(world, clips.controls[:, -horizon:], shuffled)
    views: Views = {}
    for mode in MODES:
        views[mode, TOKENIZER] = reconstructed
        views[mode, COPY] = before if mode == FORCED else before[:, :1].repeat(horizon, 1)
        rollouts = roll_out(world, latents, clips.controls, list(ways.values()), seeds, mode == FORCED, progress)
        for row, rollout in zip(ways, rollouts, strict=True):
            views[mode, row] = rollout.frames
        model = rollouts[list(ways).index(MODEL)]
        tally.add("reward", mode, values=model.rewards)
        tally.add("end", mode, values=model.ends)
    return views


def imagined_ways(world: World, true: NDArray[np.float32], shuffled: NDArray[np.float32]) -> dict[str, Way]:
    """How each row imagines the frames that the controls `true` `(B, F, A)` lead to."""
    controls = control_rows(world.control_spec, true, shuffled)
    ways = {row: Way(given) for row, given in controls.items()}
    if world.config.dynamics.codes:
        ways |= {EXPECTED[row]: Way(given, expected=True) for row, given in controls.items()}
    return ways


def _compare(views: Views, clips: Clips, horizons: tuple[int, ...], tally: Tally) -> None:
    """Tallies PSNR of every frame, SSIM at the horizons, and what is true of the predicted frames."""
    frames = max(horizons)
    real, picked = clips.frames[:, -frames:], [h - 1 for h in horizons]
    for (mode, row), view in views.items():
        tally.add("psnr", mode, row, values=psnr(view, real))
        tally.add("ssim", mode, row, values=ssim(view[:, picked], real[:, picked]))
    tally.add("exists", values=clips.real[:, -frames:])
    tally.add("true end", values=clips.ends[:, -frames:])
    tally.add("true reward", values=clips.rewards[:, -frames:])


def _look(sight: Sight, clips: Clips, views: Views, labels: list[list[Boxes]], tally: Tally) -> None:
    """Tallies what can be seen in real frames, reconstructions and dreams: objects, and things of which there is one."""
    frames, classes = views[FORCED, MODEL].shape[1], sight.classes
    real, truth = clips.frames[:, -frames:], things.places_listed(labels, frames, classes)
    searched = {(FORCED, REAL): real, **{(FORCED, row): views[FORCED, row] for row in SEARCHED if (FORCED, row) in views}}
    if things.single(truth):
        searched |= {(FREE, row): views[FREE, row] for row in FOLLOWED if (FREE, row) in views}
    for (mode, row), view in searched.items():
        found = objects.search(sight.probe, view, labels)
        if mode == FORCED:
            tally.add("objects", row, values=objects.score(found, labels, classes, sight.probe.smallest))
        seen = things.places_found(found, frames, classes)
        tally.add("counts", mode, row, values=seen.counts)
        tally.add("centres", mode, row, values=seen.centres)
    tally.add("counts", "truth", values=truth.counts)
    tally.add("centres", "truth", values=truth.centres)
    tally.add("faded", values=things.faded(sight.probe, real, labels, classes))
    if sight.player is not None:
        for (mode, row), view in views.items():
            tally.add("around", mode, row, values=things.around(labels, sight.player, view, real))
