"""Trains the detector of dreams on real clips and dreamed ones, and measures it on held-out recordings."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from worldsim.data.dataset import Dataset
from worldsim.machine import describe_machine
from worldsim.studio.captioning import datasets_in
from worldsim.studio.detector import Detector, DetectorNet, scaled
from worldsim.studio.dreamed import FILES, LENGTH, Pair, make_pairs, recorded, through
from worldsim.studio.figures import interval
from worldsim.studio.origin_config import DetectorConfig
from worldsim.studio.pipeline import Studio
from worldsim.studio.tasks import Frames
from worldsim.tables import text_table
from worldsim.world import world_hash

RATE, BATCH = 2e-3, 8  # pairs of clips, of which one frame each is learned from
TUNING = 6  # of so many training pairs one sets the threshold, and is not trained on
ALARMS = 0.01  # share of real clips above the threshold


def make_detector(config: DetectorConfig) -> dict[str, Any]:
    """Dreams clips, trains a detector, writes and measures it. With `steps` 0 the detector that is there is measured.

    Raises:
        DataError: if there is no data.
        WorldError: if there is no such world.
    """
    studio = Studio.from_pretrained(config.world, device=config.device)
    if config.steps:
        pairs = make_pairs(studio, datasets_in(config.data), config.clips, config.seed)
        detector = train_detector(pairs, config.steps, config.seed)
        detector.save(config.out)
    held_out = datasets_in(config.held_out)
    pairs = make_pairs(studio, held_out, config.eval_clips, config.seed + 1_000_000)
    figures = measure(Detector.load(config.out), pairs, real_clips(held_out, config.eval_clips * 4, config.seed))
    folder = studio.world.folder
    about = {"world": studio.config.name, "hash": world_hash(folder) if folder else "", "clips": config.clips}
    return {**about, **figures, "machine": describe_machine()}


def train_detector(pairs: Sequence[Pair], steps: int, seed: int = 0, progress: bool = True) -> Detector:
    """Trains on single frames of clips, each of which went through a file of one kind. Pairs left out set the threshold."""
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), DetectorNet()
    learned = [pair for n, pair in enumerate(pairs) if n % TUNING]
    frames = [_coded(pair, FILES[n % len(FILES)]) for n, pair in enumerate(tqdm(learned, desc="files", disable=not progress))]
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    for _ in tqdm(range(steps), unit="batch", desc="detector", disable=not progress):
        first = int(rng.integers(len(frames)))
        fitting = [n for n in rng.permutation(len(frames)) if frames[n][0].shape[1:] == frames[first][0].shape[1:]][:BATCH]
        shown = torch.stack([frames[n][kind][int(rng.integers(LENGTH))] for kind in (0, 1) for n in fitting]).float() / 255
        dreamed = torch.arange(2 * len(fitting), dtype=torch.int64) >= len(fitting)
        bright = torch.from_numpy(rng.uniform(0.8, 1.2, (len(shown), 1, 1, 1)).astype(np.float32))
        shown = (shown * bright).clamp(0, 1)
        loss = F.binary_cross_entropy_with_logits(net(shown.flip(3) if rng.random() < 0.5 else shown), dreamed.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    detector = Detector(net)
    real = [detector.score(_through(pair.real, pair, how)) for pair in pairs[::TUNING] for how in FILES]
    net.threshold.fill_(float(np.quantile(real, 1 - ALARMS)))
    return detector


def real_clips(roots: Sequence[Path], count: int, seed: int = 0) -> list[Frames]:
    """Real clips, spread over all episodes."""
    rng, found = np.random.default_rng(seed), []
    for root in roots:
        dataset = Dataset(root)
        found += [(dataset, i, int(a)) for i in range(len(dataset)) for a in range(0, dataset.lengths[i] - LENGTH + 1, LENGTH)]
    chosen = rng.permutation(len(found))[:count]
    return [dataset.frames(i, a, a + LENGTH) for dataset, i, a in (found[int(n)] for n in chosen)]


def measure(detector: Detector, pairs: Sequence[Pair], real: Sequence[Frames]) -> dict[str, Any]:
    """How well dreamed clips are told from real ones, for each kind of file; beside the sharpness of frames alone.

    Returns:
        "pairs" and "real", numbers of clips; "files": for each kind of `FILES` the "auroc", "sharpness" (the AUROC of how blurred
        frames are), "found" (share of the dreams), of captions and continued, and "alarms" (share of the real clips); "alarms":
        of the clips of `real`, as a dataset holds them; "again": of the pairs' real clips, recorded once more, which shows that
        it is not compression that is told.
    """
    rows: dict[str, Any] = {}
    for how in FILES:
        shown = [(_through(pair.real, pair, how), _through(pair.dreamed, pair, how)) for pair in pairs]
        scores = np.array([[detector.score(clip) for clip in both] for both in shown])
        blur = np.array([[-sharpness(clip) for clip in both] for both in shown])
        continued, found = np.array([pair.continued for pair in pairs]), scores[:, 1] > detector.threshold
        rows[how] = {
            "auroc": auroc(scores[:, 0], scores[:, 1]),
            "sharpness": auroc(blur[:, 0], blur[:, 1]),
            "found": {"captions": interval(found[~continued].tolist()), "continued": interval(found[continued].tolist())},
            "alarms": interval((scores[:, 0] > detector.threshold).tolist()),
        }
    alarms = [detector.score(clip) > detector.threshold for clip in real]
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        again = [detector.score(recorded(pair.real, pair.fps, Path(folder))) > detector.threshold for pair in pairs]
    return {"pairs": len(pairs), "files": rows, "real": len(real), "alarms": interval(alarms), "again": interval(again)}


def format_measured(figures: dict[str, Any]) -> str:
    """The figures of `measure` as text."""

    def share(found: dict[str, float]) -> str:
        return f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})"

    rows = [
        [how, f"{row['auroc']:.3f}", f"{row['sharpness']:.3f}", *map(share, row["found"].values()), share(row["alarms"])]
        for how, row in figures["files"].items()
    ]
    titles = ["file", "AUROC", "of sharpness", "captions found", "continued found", "real called dreamed"]
    more = f"of {figures['real']} real clips from all recordings called dreamed: {share(figures['alarms'])}"
    again = f"of the real clips, recorded once more: {share(figures['again'])}"
    return "\n".join(
        [f"{figures['pairs']} dreamed and as many real clips of {LENGTH} frames", text_table(titles, rows), more, again]
    )


def auroc(real: NDArray[np.floating], dreamed: NDArray[np.floating]) -> float:
    """Probability that a dreamed clip scores above a real one; equal scores count half."""
    above, equal = dreamed[:, None] > real[None], dreamed[:, None] == real[None]
    return float(above.mean() + equal.mean() / 2)


def sharpness(frames: Frames) -> float:
    """Mean change from a pixel to the next, after scaling as the detector does."""
    grey = scaled(frames).mean(1)
    return float(grey.diff(dim=1).abs().mean() + grey.diff(dim=2).abs().mean())


def _through(frames: Frames, pair: Pair, how: str) -> Frames:
    with tempfile.TemporaryDirectory(prefix="worldsim-") as folder:
        return through(frames, pair.fps, how, Path(folder))


def _coded(pair: Pair, how: str) -> tuple[Tensor, Tensor]:
    """Both clips of a pair after a file, uint8 `(T, 3, h, w)`."""
    real, dreamed = ((255 * scaled(_through(clip, pair, how))).round().byte() for clip in (pair.real, pair.dreamed))
    return real, dreamed
