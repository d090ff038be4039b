"""What each part of the objective buys: the preset of take-cover against itself with one thing changed, at equal CPU budget.

python examples/ablation.py --run runs/doom/take-cover --minutes 10

Every variant trains its dynamics on the latents of a tokenizer that is there already (from `worldsim train`), and is then
measured on held-out clips. A variant that is finished is not trained again; several processes may take different `--only`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro

from worldsim.eval.config import EvalConfig
from worldsim.eval.report import evaluate
from worldsim.presets import find_preset
from worldsim.train.calibrate import CodeCalibration
from worldsim.train.config import DynamicsStage, Run, TrainConfig
from worldsim.train.export import export
from worldsim.train.stages import train_dynamics, train_tokenizer


@dataclass(frozen=True)
class Args:
    """What to compare.

    Attributes:
        name: of the preset.
        run: folder of a finished run of it.
        data: its dataset.
        minutes: training of each variant.
        only: variants to train; by default all.
        clips: held-out clips that each is measured on.
        threads: of torch.
        compiled: use torch.compile.
    """

    name: str = "doom/take-cover"
    run: Path = Path("runs/doom/take-cover")
    data: Path = Path("data/doom/take-cover")
    minutes: float = 10.0
    only: tuple[str, ...] = ()
    clips: int = 16
    threads: int = 1
    compiled: bool = True


def variants(stage: DynamicsStage) -> dict[str, DynamicsStage]:
    """The stage as it is, and with one thing changed."""
    objective, noise, model = stage.objective, stage.objective.noise, stage.model

    def noised(**changes: Any) -> DynamicsStage:
        return replace(stage, objective=replace(objective, noise=replace(noise, **changes)))

    rows = stage.batch * (1 + objective.copies)
    plain = replace(objective, copies=0, noise=replace(noise, context_share=0.3))
    return {
        "preset": stage,
        "velocity instead of the clean frame": replace(stage, model=replace(model, prediction="v")),
        "loss on velocities": replace(stage, objective=replace(objective, space="v")),
        "no ramp weights": noised(ramp=1.0),
        "clean context": noised(context_max=0.0),
        "no noisy copies: all frames equally noisy": replace(stage, batch=rows, objective=plain),
        "no shortcut targets": noised(shortcut_share=0.0),
        "no weight on hard patches": replace(stage, objective=replace(objective, hard_weight=0.0)),
        "no codewords": replace(stage, model=replace(model, codes=0)),
    }


def measure(name: str, config: TrainConfig, args: Args) -> dict[str, Any]:
    """Trains and measures a variant, or reads what was measured before."""
    folder = args.run / "ablation" / name.replace(" ", "-").replace(":", "")
    done = folder / f"figures-{args.minutes:g}.json"
    if not done.exists():
        run = Run.open(config, args.data, args.run, "cpu", args.compiled)
        tokenizer = train_tokenizer(replace(run, compiled=False), 1e-3)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "cache").exists():
            (folder / "cache").symlink_to((args.run / "cache").absolute())
        run = replace(run, folder=folder)
        world = export(run, tokenizer, train_dynamics(run, tokenizer, 60 * args.minutes))
        sizes = EvalConfig(clips=args.clips, horizons=(1, 8), objects=False)
        evaluate(world, args.data, folder, config=sizes, device="cpu", json=done)
    figures: dict[str, Any] = json.loads(done.read_text())
    return figures


def row(figures: dict[str, Any]) -> list[float]:
    """Next frame over copy-last, eight frames on over copy-last, and what mirrored controls cost there; dB."""
    forced, free = figures["psnr"]["teacher-forced"], figures["psnr"]["free-running"]
    suffix = ", expected" if "model, expected" in forced else ""
    model, mirrored = f"model{suffix}", f"mirrored controls{suffix}"
    first, later = (table[model][i]["value"] - table["copy-last-frame"][i]["value"] for table, i in ((forced, 0), (free, 1)))
    return [first, later, free[model][1]["value"] - free[mirrored][1]["value"]]


def main(args: Args) -> None:
    torch.set_num_threads(args.threads)
    preset = find_preset(args.name)
    stage = replace(preset.dynamics, calibration=CodeCalibration(rounds=0))  # as long as training, and alike for all
    lines = ["| variant | next frame | 8 frames on | mirrored controls cost |", "|---|---|---|---|"]
    for name, changed in variants(stage).items():
        if not args.only or name in args.only:
            cells = row(measure(name, replace(preset, dynamics=changed), args))
            lines.append(f"| {name} | " + " | ".join(f"{cell:+.2f} dB" for cell in cells) + " |")
    print("\n".join(lines))


if __name__ == "__main__":
    main(tyro.cli(Args))
