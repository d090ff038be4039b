"""Worlds that are trained alike but for one thing, on the same latents from the same seeds, and compared.

"scaling" compares sizes of the transformer at growing budgets; "shapes" compares frames as they are with frames cut to squares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldsim.data import Dataset
from worldsim.data.images import save_png
from worldsim.device import autocast, pick_device
from worldsim.errors import WorldError
from worldsim.files import plain, read_json, write_json
from worldsim.machine import describe_machine
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.plotting import check_plotting, svg_figure
from worldsim.studio.attributes import Judge
from worldsim.studio.captioning import datasets_in
from worldsim.studio.data_config import StudyConfig, held_out_of
from worldsim.studio.figures import said
from worldsim.studio.following import Example, examples, measure_following
from worldsim.studio.objective import losses, make_clips
from worldsim.studio.pipeline import Studio
from worldsim.studio.tasks import Frames
from worldsim.studio.train import (
    Bucket,
    StudioConfig,
    StudioRun,
    draw_clips,
    encode,
    export,
    find_words,
    name_of,
    open_buckets,
    pick,
    train_dynamics,
)
from worldsim.tables import text_table
from worldsim.train.start import load_start
from worldsim.world.folder import find_world, world_hash

BATCHES = 32  # of held-out clips, on which the loss is measured
FIGURES, PLOT, STRIP = "figures.json", "study.svg", "study.png"
SCALES: Mapping[str, Callable[[dict[str, Any]], float]] = {
    "loss on held-out clips": lambda trial: trial["loss"],
    "share of places told right": lambda trial: trial["following"]["generated"]["place"]["value"],
}
SHOWN, EVERY, GUIDANCE = 4, 4, 2.0  # prompts on the sheet, and every so many frames of their clips


@dataclass(frozen=True)
class Trial:
    """One world of a study.

    Attributes:
        name: of its kind.
        config: numbers of its training.
        seconds: of its training.
    """

    name: str
    config: StudioConfig
    seconds: float

    @property
    def key(self) -> str:
        """Names it in the figures, and its folder."""
        return f"{self.name}-{self.seconds:g}s"


def run_study(configs: Mapping[str, StudioConfig], study: StudyConfig) -> dict[str, Any]:
    """Trains each world for each budget, the shortest first, and measures it. The same call again resumes.

    Args:
        configs: what is compared, by name.
        study: on what, and for how long.

    Returns:
        "machine", "kind", and under "trials" for each world: its `name`, `seconds`, `parameters`, `loss` on held-out clips of
        native shapes, and what `measure_following` says of it under `following`.

    Raises:
        WorldsimError: if matplotlib, the world or the recordings are missing, or the figures in the folder are of another
            world, other recordings, prompts or presets; before anything is trained.
    """
    check_plotting()
    begun = load_start(study.world)
    device = pick_device(study.device)
    tokenizer = begun.tokenizer.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    held, out = held_out_of(study.data), study.out / study.kind
    shown = examples(datasets_in(held), study.prompts)
    budgets = study.seconds if study.kind == "scaling" else study.seconds[:1]
    path, clips, about = out / FIGURES, {}, describe_study(configs, study)
    figures: dict[str, Any] = {"machine": describe_machine(), "kind": study.kind, **about, "trials": {}}
    before = read_before(path, about)
    for seconds in sorted(budgets):
        for name, config in configs.items():
            trial = Trial(name, config, seconds)
            dataset = Dataset(held / name_of(config.size), "eval")
            words = find_words(study.world)
            run = StudioRun(config, words, dataset, out / trial.key, device, study.compile, out / "latents")
            known = before.get(trial.key) or train_trial(trial, run, study.data, tokenizer) | follow(run, shown)
            figures["trials"][trial.key] = known
            write_json(path, {**figures, "trials": before | figures["trials"]})
            clips[trial.key] = pictured(Studio.from_pretrained(run.folder / "world", study.device), shown)
    draw(figures, clips, out)
    return figures


def describe_study(configs: Mapping[str, StudioConfig], study: StudyConfig) -> dict[str, Any]:
    """What figures depend on besides a trial's name and budget: `world`, `data`, `prompts` and `presets`."""
    parts = (study.data, "train"), (held_out_of(study.data), "eval")
    data = [Dataset(root, split).fingerprint for folder, split in parts for root in datasets_in(folder)]
    about = {"data": data, "presets": {name: asdict(config) for name, config in configs.items()}}
    hashes = {name: hashlib.sha256(json.dumps(plain(part), sort_keys=True).encode()).hexdigest() for name, part in about.items()}
    return {"world": world_hash(find_world(study.world)), "prompts": study.prompts, **hashes}


def read_before(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """The trials in a file of figures, if there is one.

    Raises:
        WorldError: if they are of another study.
    """
    before = read_json(path, "trials") if path.exists() else {**about, "trials": {}}
    for name, value in about.items():
        if before.get(name) != value:
            raise WorldError(f"{path} holds figures with other {name}; give another --out, or remove what is there.")
    trials: dict[str, Any] = before["trials"]
    return trials


def train_trial(trial: Trial, run: StudioRun, data: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    """Trains a world with a given tokenizer, and measures its loss."""
    buckets = open_buckets(run.config, data)
    torch.manual_seed(run.config.loop.seed)
    model = train_dynamics(run, buckets, tokenizer, trial.seconds, None)
    export(run, buckets, tokenizer, model)
    held = open_buckets(run.config, held_out_of(data), "eval")
    native = replace(run, config=replace(run.config, square=False))
    encode(native, held, tokenizer, "held-latents")
    return {
        "name": trial.name,
        "seconds": trial.seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss": held_out_loss(native, held, model),
    }


@torch.inference_mode()
def held_out_loss(run: StudioRun, buckets: list[Bucket], model: DiT) -> float:
    """Mean weighted error of held-out clips at random noise levels, the same clips and noise for every model."""
    total = 0.0
    for i in range(BATCHES):
        rng = np.random.default_rng(i)
        windows, prompt = draw_clips(run, pick(buckets, rng), "clips", rng)
        batch = make_clips(windows, run.config.objective, False, run.device, i)
        with autocast(run.device):
            total += float(losses(model, batch, run.config.objective, False, prompt)["flow"])
    return total / BATCHES


def follow(run: StudioRun, shown: list[Example]) -> dict[str, Any]:
    """How a world follows prompts."""
    studio = Studio.from_pretrained(run.folder / "world", str(run.device))

    def make(prompt: str, frames: int, size: tuple[int, int], seed: int) -> Frames:
        return studio(prompt, frames=frames, size=size, seed=seed, guidance=GUIDANCE).frames

    return {"following": measure_following(make, Judge.load(), shown)}


def pictured(studio: Studio, shown: list[Example]) -> Frames:
    """Clips of the first prompts, one after the other."""
    size = studio.config.width, studio.config.height
    made = [studio(e.prompt, frames=studio.window, size=size, seed=i).frames[::EVERY] for i, e in enumerate(shown[:SHOWN])]
    return np.concatenate(made)


def draw(figures: dict[str, Any], clips: Mapping[str, Frames], out: Path) -> None:
    """The sheet, a row for each world in the order of the figures, and for a study of several budgets the plot."""
    save_png(out / STRIP, np.concatenate([np.concatenate(list(clips[key]), axis=1) for key in figures["trials"]]))
    if figures["kind"] == "scaling":
        plot(figures, out / PLOT)


def plot(figures: dict[str, Any], path: Path) -> None:
    """Loss and places told right against minutes of training, a line for each world."""
    with svg_figure(path, 7.0, 3.0) as figure:
        for axes, (title, read) in zip(figure.subplots(1, 2), SCALES.items(), strict=True):
            for name in dict.fromkeys(trial["name"] for trial in figures["trials"].values()):
                trials = [trial for trial in figures["trials"].values() if trial["name"] == name]
                label = f"{name}, {trials[0]['parameters'] / 1e6:.1f}M"
                axes.plot([trial["seconds"] / 60 for trial in trials], [read(trial) for trial in trials], "o-", label=label)
            axes.set(xscale="log", xlabel="minutes of training", title=title)
            minutes = sorted({trial["seconds"] / 60 for trial in figures["trials"].values()})
            axes.set_xticks(minutes, [f"{number:g}" for number in minutes])
            axes.minorticks_off()
        axes.legend()


def format_study(figures: dict[str, Any]) -> str:
    """A table."""
    rows = []
    for trial in figures["trials"].values():
        told = trial["following"]["generated"]
        size, minutes, loss = f"{trial['parameters'] / 1e6:.1f}M", f"{trial['seconds'] / 60:g}", f"{trial['loss']:.4f}"
        rows.append((trial["name"], size, minutes, loss, said(told["place"]), said(told["things"])))
    return text_table(("trained", "parameters", "minutes", "held-out loss", "place told right", "things"), rows)
