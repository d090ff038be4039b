"""What a dataset covers: places, controls, motion, ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldsim.data.dataset import Dataset

STILL = 0.5  # grey levels of mean change below which a frame counts as a repeat of the one before
SAMPLE = 2048  # frames decoded to measure stillness


def coverage(dataset: Dataset, cells: Mapping[str, float] | None = None, seed: int = 0) -> dict[str, Any]:
    """Figures of a dataset, ready for JSON.

    Args:
        dataset: to describe.
        cells: recorded state variable -> size of a cell along it, in its own unit.
        seed: of the frames sampled for stillness.

    Returns:
        `episodes` and `frames` by split, `policies` (episodes by name), `mean_reward` and `end_rate` (terminations) per
        step, `held` (share of steps each key and button is held), `mouse_dx` (histogram), `still_share` of `still_sample`
        sampled frames, and `cells`, how many were visited, where `cells` are given.
    """
    rows, spec = dataset.rows, dataset.spec
    by_split = {split: [e for e in dataset.episodes if e.split == split] for split in sorted({e.split for e in dataset.episodes})}
    policies = [episode.policy for episode in dataset.episodes]
    still, sample = _still_share(dataset, seed)
    held = dict(zip(spec.names, rows.actions.mean(axis=0, dtype=np.float64).tolist(), strict=True))
    figures: dict[str, Any] = {
        "episodes": {split: len(episodes) for split, episodes in by_split.items()},
        "frames": {split: sum(e.length for e in episodes) for split, episodes in by_split.items()},
        "policies": {name: policies.count(name) for name in sorted(set(policies))},
        "mean_reward": float(rows.rewards.mean()),
        "end_rate": float(rows.terminated.mean()),
        "held": {name: share for name, share in held.items() if name not in ("mouse.dx", "mouse.dy")},
        "still_share": still,
        "still_sample": sample,
    }
    if spec.has_mouse:
        limit = spec.mouse_limit[0] or 1.0
        counts, edges = np.histogram(rows.actions[:, len(spec.keys)], bins=9, range=(-limit, limit))
        figures["mouse_dx"] = {"edges": edges.tolist(), "share": (counts / len(rows)).tolist()}
    if cells and set(cells) <= set(dataset.info.state):
        columns = [dataset.info.state.index(name) for name in cells]
        places = np.floor(rows.states[:, columns] / np.array(list(cells.values())))
        figures["cells"] = {"visited": len(np.unique(places, axis=0)), "size": dict(cells)}
    return figures


def format_coverage(figures: dict[str, Any]) -> str:
    """The figures of `coverage` as lines to read."""
    lines = [f"{split}: {count} episodes, {figures['frames'][split]} frames" for split, count in figures["episodes"].items()]
    lines.append("policies: " + ", ".join(f"{name} {count}" for name, count in figures["policies"].items()))
    if "cells" in figures:
        sides = " by ".join(f"{size:g} in {name}" for name, size in figures["cells"]["size"].items())
        lines.append(f"cells of {sides} visited: {figures['cells']['visited']}")
    lines.append("held: " + ", ".join(f"{name} {share:.1%}" for name, share in figures["held"].items()))
    if "mouse_dx" in figures:
        edges, shares = figures["mouse_dx"]["edges"], figures["mouse_dx"]["share"]
        bins = zip(edges[:-1], edges[1:], shares, strict=True)
        lines.append("mouse dx: " + ", ".join(f"{low:+.1f}..{high:+.1f} {share:.1%}" for low, high, share in bins))
    lines.append(f"near-static frames: {figures['still_share']:.1%} of {figures['still_sample']} sampled")
    lines.append(f"terminations per step: {figures['end_rate']:.5f}; mean reward: {figures['mean_reward']:.4f}")
    return "\n".join(lines)


def _still_share(dataset: Dataset, seed: int) -> tuple[float, int]:
    """Share of frames that hardly differ from the one before, and how many were looked at."""
    rng = np.random.default_rng(seed)
    still = seen = 0
    for i in rng.permutation(len(dataset)):
        length = min(dataset.episodes[i].length, SAMPLE - seen + 1)
        frames = dataset.frames(int(i), 0, length).astype(np.int16)
        changes = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
        still, seen = still + int((changes < STILL).sum()), seen + len(changes)
        if seen >= SAMPLE:
            break
    return still / max(seen, 1), seen
