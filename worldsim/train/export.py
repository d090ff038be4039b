"""From two trained models to a world's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from worldsim.errors import TrainingError
from worldsim.model.dit import DiT
from worldsim.model.tokenizer import Tokenizer
from worldsim.train import distributed
from worldsim.train.config import Run
from worldsim.train.store import LatentStore
from worldsim.world import WorldConfig, export_world


def export(run: Run, tokenizer: Tokenizer, model: DiT) -> Path:
    """Writes the world of two trained models, with start contexts from held-out episodes; returns its folder. Several processes
    encode the episodes together, and the first writes."""
    config, info = run.config, run.dataset.info
    store = LatentStore(run.held_out, tokenizer, run.cache("eval-latents.bin"), run.device, config=config.cache)
    folder = run.folder / "world"
    if not distributed.is_main():
        distributed.wait()
        return folder
    starts = draw_starts(store, config.starts, model.config.window, config.dynamics.loop.seed)
    world = WorldConfig(
        name=config.name,
        game=info.game,
        height=info.height,
        width=info.width,
        fps=info.fps,
        frame_skip=info.frame_skip,
        control_spec=info.control_spec,
        tokenizer=tokenizer.config,
        dynamics=model.config,
        num_steps=config.num_steps,
        context_level=config.context_level,
        draw_level=config.draw_level,
        rounds=config.rounds,
        data=run.dataset.fingerprint,
        source=info.source,
        mirrored=config.mirrored,
    )
    export_world(folder, world, tokenizer, model, *starts)
    distributed.wait()
    return folder


def draw_starts(store: LatentStore, count: int, window: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Start contexts: latents `(S, window, h, w, C)` and controls `(S, window, A)`, one per held-out episode while they last."""
    rng = np.random.default_rng(seed)
    fitting = np.flatnonzero(store.lengths >= window)
    if not len(fitting):
        raise TrainingError(f"no held-out episode is {window} frames long, which a start context needs; collect longer ones.")
    chosen = np.resize(rng.permutation(fitting), count)
    clips = [store.window(int(e), int(rng.integers(0, store.lengths[e] - window + 1)), window) for e in chosen]
    latents, controls = (torch.from_numpy(np.stack(part)) for part in zip(*clips, strict=True))
    return latents.float(), controls.float()
