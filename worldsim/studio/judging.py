"""Trains the judge of pictures on recordings, and measures it on held-out ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from worldsim.data.dataset import Dataset
from worldsim.envs.games.studio import KINDS, PLACES
from worldsim.errors import DataError
from worldsim.studio.attributes import AttributeNet, Attributes, Judge, agreement, join, loss, targets
from worldsim.studio.captioning import game_scenes, segments
from worldsim.studio.scene import Scene, colours, told_actions
from worldsim.tables import text_table

SPACING = 3  # of the frames that are learned from: neighbours look alike
RATE = 3e-3
TUNING = 8  # of so many training episodes one sets the thresholds, and is not trained on
FEWEST = 5  # clips with a kind of thing that set its threshold
LEAST = 10  # held-out clips with a kind of thing, below which its figures say nothing
Frames = tuple[Tensor, tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Clips:
    """Held-out segments of recordings: what they show and what the judge makes of them."""

    wanted: list[Scene]
    judged: Attributes


def read_frames(root: Path, spacing: int = SPACING) -> Frames:
    """Frames uint8 `(N, 3, H, W)` of a dataset's episodes, but for those that set the thresholds, and what they show; see
    `targets`.
    """
    dataset = Dataset(root)
    frames, told = [], []
    for i in range(len(dataset)):
        if i % TUNING == TUNING - 1:
            continue
        frames.append(torch.from_numpy(dataset.frames(i)[::spacing]).permute(0, 3, 1, 2).contiguous())
        told.append(targets(dataset.episode_rows(i).states[::spacing], dataset.info.state))
    places, weapons, things = (torch.cat(part) for part in zip(*told, strict=True))
    return torch.cat(frames), (places, weapons, things)


def train_judge(roots: Sequence[Path], *, steps: int, batch: int = 48, seed: int = 0, progress: bool = True) -> Judge:
    """Trains a judge on datasets of the studio's game, one picture size a batch.

    Args:
        roots: datasets.
        steps: batches.
        batch: frames in each.
        seed: of weights, batches and augmentation.
        progress: show a progress bar.

    Raises:
        DataError: if a dataset is missing, or holds no state of the game.
    """
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), AttributeNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = [read_frames(root) for root in roots]
    if not data:
        raise DataError("roots was empty; give at least one dataset.")
    shares = np.array([len(frames) for frames, _ in data], np.float64)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    for _ in tqdm(range(steps), unit="batch", desc="judge", disable=not progress):
        frames, told = data[int(rng.choice(len(data), p=shares / shares.sum()))]
        chosen = torch.from_numpy(rng.integers(len(frames), size=min(batch, len(frames))))
        pictures = frames[chosen].float() / 255
        places, weapons, things = (part[chosen] for part in told)
        if rng.random() < 0.5:
            pictures, things = pictures.flip(3), torch.stack([things[..., 0], 1 - things[..., 1], things[..., 2]], dim=2)
        bright = torch.from_numpy(rng.uniform(0.8, 1.2, (len(chosen), 1, 1, 1)).astype(np.float32))
        pictures = (pictures * bright + 0.02 * torch.randn(pictures.shape, dtype=torch.float32)).clamp(0, 1)
        if rng.random() < 0.5:  # generated pictures are softer than the game's
            pictures = F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2.0, mode="bilinear")
        value = loss(net, pictures.contiguous(memory_format=torch.channels_last), (places, weapons, things))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        schedule.step()
    return Judge(net)


def judge_clips(judge: Judge, roots: Sequence[Path], *, tuning: bool = False) -> Clips:
    """Segments of datasets, by the game's state and by the judge: all, or those of the episodes that set the thresholds."""
    wanted: list[Scene] = []
    parts: list[Attributes] = []
    for root in roots:
        dataset = Dataset(root)
        for i in range(TUNING - 1, len(dataset), TUNING) if tuning else range(len(dataset)):
            frames = dataset.frames(i)
            wanted += game_scenes(dataset, i)
            parts += [judge(frames[None, a:b]) for a, b in segments(len(frames))]
    return Clips(wanted, join(parts))


def set_thresholds(judge: Judge, clips: Clips) -> None:
    """For each kind that is common enough, the probability above which to call it seen: the best F1 score."""
    for k, kind in enumerate(KINDS):
        seen = _seen(clips.wanted, kind)
        if seen.sum() < FEWEST:
            continue
        score = clips.judged.seen[:, k]
        tried = np.unique(np.quantile(score, np.linspace(0, 1, 200)))
        scores = [2 * ((score > t) & seen).sum() / (seen.sum() + (score > t).sum()) for t in tried]
        judge.net.thresholds[k] = float(tried[int(np.argmax(scores))])


def picture_scenes(judge: Judge) -> Callable[[Dataset, int], list[Scene]]:
    """Says what a dataset's segments show by its pictures and controls alone, for `caption_dataset`."""

    def scenes(dataset: Dataset, i: int) -> list[Scene]:
        frames, actions = dataset.frames(i), dataset.episode_rows(i).actions
        told = []
        for a, b in segments(len(frames)):
            seen = judge(frames[None, a:b]).scene(0)
            told.append(
                replace(seen, colours=colours(frames[(a + b) // 2]), doing=told_actions(actions[a:b], dataset.spec.names))
            )
        return told

    return scenes


def measure(clips: Clips, seed: int = 0) -> dict[str, Any]:
    """Accuracies on held-out clips, and what the same figures are when the scenes are shuffled among the clips.

    Returns:
        "clips"; "real" and "shuffled", see `agreement`; "places": accuracy of each; "kinds": of each kind of thing that is
        common enough, the shares found where it is and not found where it is not; and their mean, "balanced"; "true": of the
        things that a caption made of pictures would tell, the share that is seen by the game's state.
    """
    order = np.random.default_rng(seed).permutation(len(clips.wanted))
    shuffled = [clips.wanted[i] for i in order]
    named = [place.name for place in PLACES]
    right = np.array([scene.place == named[int(p.argmax())] for scene, p in zip(clips.wanted, clips.judged.places, strict=True)])
    at = np.array([scene.place for scene in clips.wanted])
    told = [
        thing.kind in {other.kind for other in scene.things}
        for i, scene in enumerate(clips.wanted)
        for thing in clips.judged.scene(i).things
    ]
    kinds = {}
    for k, kind in enumerate(KINDS):
        seen, found = _seen(clips.wanted, kind), clips.judged.seen[:, k] > clips.judged.thresholds[k]
        if min(seen.sum(), (~seen).sum()) >= LEAST:
            kinds[kind] = {"clips": int(seen.sum()), "found": float(found[seen].mean()), "absent": float((~found[~seen]).mean())}
    return {
        "clips": len(clips.wanted),
        "real": agreement(clips.wanted, clips.judged),
        "shuffled": agreement(shuffled, clips.judged),
        "places": {name: float(right[at == name].mean()) for name in named if (at == name).any()},
        "kinds": kinds,
        "true": float(np.mean(told)) if told else float("nan"),
        "balanced": float(np.mean([(row["found"] + row["absent"]) / 2 for row in kinds.values()])) if kinds else float("nan"),
    }


def format_measured(figures: dict[str, Any]) -> str:
    """The figures of `measure` as text."""
    rows = [
        [name, *(f"{100 * figures[kind][name]:.0f}%" for kind in ("real", "shuffled"))]
        for name in ("place", "weapon", "things", "sides", "absent")
    ]
    places = ", ".join(f"{name} {100 * value:.0f}%" for name, value in figures["places"].items())
    kinds = [
        [name, str(row["clips"]), f"{100 * row['found']:.0f}%", f"{100 * row['absent']:.0f}%"]
        for name, row in figures["kinds"].items()
    ]
    return "\n".join(
        [
            f"{figures['clips']} held-out clips",
            text_table(["told right", "real", "shuffled"], rows),
            f"places: {places}",
            text_table(["kind", "clips", "found", "absent told"], kinds),
            f"mean of the two over kinds: {100 * figures['balanced']:.0f}%",
            f"things told that are there: {100 * figures['true']:.0f}%",
        ]
    )


def make_judge(roots: Sequence[Path], held_out: Sequence[Path], out: Path, *, steps: int, seed: int = 0) -> dict[str, Any]:
    """Trains a judge, sets its thresholds, writes it to `out`, and measures it; see `train_judge` and `measured`."""
    begun_at = time.monotonic()
    judge = train_judge(roots, steps=steps, seed=seed)
    set_thresholds(judge, judge_clips(judge, roots, tuning=True))
    judge.save(out)
    return measured(Judge.load(out), held_out) | {"seconds": time.monotonic() - begun_at}


def measured(judge: Judge, held_out: Sequence[Path]) -> dict[str, Any]:
    """The figures of `measure` on datasets."""
    return measure(judge_clips(judge, held_out))


def _seen(scenes: Sequence[Scene], kind: str) -> NDArray[np.bool_]:
    return np.array([any(thing.kind == kind for thing in scene.things) for scene in scenes])
