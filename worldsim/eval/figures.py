"""The figures of a world: how its frames, controls, rewards, ends and objects compare with real play."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.data import Clips, Dataset
from worldsim.envs.games import Game, known_game
from worldsim.eval import objects, pictures, things
from worldsim.eval.clips import Place, draw_places, load_clips
from worldsim.eval.collapse import Gallery, measure_collapse
from worldsim.eval.config import EvalConfig
from worldsim.eval.control import EXPECTED, MODEL, predicted_controls
from worldsim.eval.fidelity import Estimate, estimate, half_life, masked
from worldsim.eval.marks import measure_marks
from worldsim.eval.objects import object_classes
from worldsim.eval.parts import (
    COPY,
    FREE,
    MODES,
    REAL,
    ROWS,
    SEARCHED,
    TOKENIZER,
    WRONG,
    Measured,
    Part,
    SentWorld,
    Sight,
    imagined_ways,
    measure_part,
    measure_there,
)
from worldsim.eval.rates import MOMENTS, draw_moments, dream, measure_rates, set_moments
from worldsim.eval.tally import Tally
from worldsim.scale.cluster import Cluster
from worldsim.world import World


@dataclass(frozen=True)
class Watch:
    """What it takes to look for objects: the real game, and what finds them in frames."""

    env: Game
    sight: Sight


def measure(
    world: World,
    dataset: Dataset,
    out: Path,
    cache: Path,
    config: EvalConfig,
    cluster: Cluster | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """All figures of a world on the held-out episodes of `dataset`.

    Args:
        world: with a batch of `config.dreams`.
        dataset: the split "eval".
        out: folder of the pictures.
        cache: folder of the trained object probe.
        config: how much to measure.
        cluster: where clips are imagined, a batch in each task, if not here.
        device: where the world runs there.

    Returns:
        `psnr` and `ssim` by mode and row, `lead` (paired PSNR differences), `half_life`, `heads` by mode and, where they are
        counted, `objects`. Figures are `Estimate`s.
    """
    watch = _open_watch(dataset, cache, config)
    tally = _over_clips(world, dataset, out, config, watch, cluster, device)
    figures = {**_fidelity(tally, config.horizons), "heads": {mode: _heads(tally, mode) for mode in MODES}}
    gallery, one, probe = Gallery(config.dream_frames), {}, None
    if watch is None:
        places = set_moments(world, dataset, config)
        for moment in dream(world, config.dream_frames, config.seed):
            gallery.add(moment)
    else:
        classes, probe = tuple(object_classes(dataset.info.game)), watch.sight.probe
        rates = measure_rates(world, watch.env, dataset, probe, config, gallery.add)
        places = draw_moments(dataset, world.config.dynamics.window, MOMENTS, config.seed)
        figures["objects"] = {"smallest": probe.smallest, "found": _found(tally, classes), **rates}
        figures["things"] = _things(tally, classes, config.horizons)
        one = {name: classes.index(name) for name in figures["things"]}
        if watch.sight.player is not None:
            figures["around"] = {"class": classes[watch.sight.player], **_around(tally, config.horizons)}
        watch.env.close()
    figures["collapse"] = measure_collapse(gallery, dataset, places, probe, one)
    spec = known_game(dataset.info.game)
    if spec is not None and spec.marks is not None and config.marks:
        env = objects.open_game(dataset.info)
        figures["marks"] = measure_marks(world, env, spec, dataset, config)
        env.close()
    return figures


def _open_watch(dataset: Dataset, cache: Path, config: EvalConfig) -> Watch | None:
    if not config.objects or not object_classes(dataset.info.game):
        return None
    env, spec = objects.open_game(dataset.info), known_game(dataset.info.game)
    player = None if spec is None or spec.player is None else list(spec.objects).index(spec.player)
    probe = objects.get_probe(env, dataset.info, config.probe, cache)
    return Watch(env, Sight(probe, player, len(object_classes(dataset.info.game))))


def _over_clips(
    world: World,
    dataset: Dataset,
    out: Path,
    config: EvalConfig,
    watch: Watch | None,
    cluster: Cluster | None,
    device: str,
) -> Tally:
    """Imagines every clip in every way and tallies what came of it, batch by batch."""
    context, horizon = world.config.dynamics.window, max(config.horizons)
    places = draw_places(dataset, context, horizon, config.clips, config.seed)
    sight = None if watch is None else watch.sight
    each = horizon * len(MODES) * len(imagined_ways(world, *np.zeros((2, 1, 1, world.control_spec.size), np.float32)))
    tally = Tally()
    with tqdm(total=len(places) * each, unit="frame", leave=False) as bar:
        parts = _parts(dataset, places, context, config, watch)
        if cluster is None:
            results: Iterator[Measured] = (
                measure_part(world, config.horizons, sight, part, bar.set_description, bar.update) for part in parts
            )
        else:
            bar.set_description("imagining held-out clips on the cluster")
            sent = SentWorld.of(world, device, num_steps=world.num_steps)
            results = cluster.map(measure_there, (sent, config.horizons, sight), parts)
        for at, (found, dream) in zip(range(0, len(places), config.batch), results, strict=True):
            tally.extend(found)
            if dream is not None:
                clips = load_clips(dataset, places[at : at + config.batch], context + horizon)
                _draw(out, clips, dream, config, dataset.fps)
            if cluster is not None:
                bar.update(len(places[at : at + config.batch]) * each)
    return tally


def _parts(dataset: Dataset, places: Sequence[Place], context: int, config: EvalConfig, watch: Watch | None) -> Iterator[Part]:
    """The clips at `places`, batch by batch."""
    horizon = max(config.horizons)
    for at in range(0, len(places), config.batch):
        part = slice(at, at + config.batch)
        clips, labels = load_clips(dataset, places[part], context + horizon), None
        if watch is not None:
            replays = tqdm(places[part], desc="playing them again for the game's list", unit="clip", leave=False)
            labels = [objects.clip_boxes(watch.env, dataset, place, context) for place in replays]
        seeds = [config.seed * 1_000_003 + i for i in range(len(places))[part]]
        yield Part(clips, _shuffled(dataset, places, part, context, horizon), seeds, labels, pictured=at == 0)


def _shuffled(dataset: Dataset, places: Sequence[Place], part: slice, context: int, horizon: int) -> NDArray[np.float32]:
    """For each clip the controls of the next one."""
    return predicted_controls(dataset, [*places[1:], *places[:1]][part], context, horizon)


def _draw(out: Path, clips: Clips, dream: NDArray[np.uint8], config: EvalConfig, fps: float) -> None:
    """Contact sheet and video of the first clips, whole ones where there are any; both start with real context."""
    whole = np.flatnonzero(clips.real.all(1)) if clips.real.all(1).any() else np.arange(len(clips.real))
    chosen, context = whole[: config.pictured], clips.frames.shape[1] - dream.shape[1]
    real = clips.frames[chosen]
    dreamed = np.concatenate([real[:, :context], dream[chosen]], 1)
    pictures.save_sheet(out / "sheet.png", real, dreamed, [context - 1 + h for h in (0, *config.horizons)])
    pictures.save_clip(out / "clip.mp4", real, dreamed, fps)


def _fidelity(tally: Tally, horizons: tuple[int, ...]) -> dict[str, Any]:
    """PSNR and SSIM at the horizons, the model's lead over the other rows on the same frames, and the half-life."""
    exists, picked = tally.all("exists"), [h - 1 for h in horizons]
    figures: dict[str, Any] = {name: {mode: {} for mode in MODES} for name in ("psnr", "ssim", "lead")}

    def at_horizons(values: NDArray[np.float64]) -> list[Estimate]:
        return [masked(values[:, i], exists[:, h]) for i, h in enumerate(picked)]

    for mode in MODES:
        for row in (row for row in ROWS if tally.has("psnr", mode, row)):
            values = tally.all("psnr", mode, row)
            figures["psnr"][mode][row] = [*at_horizons(values[:, picked]), masked(values, exists)]
            figures["ssim"][mode][row] = at_horizons(tally.all("ssim", mode, row))
            if row not in (TOKENIZER, MODEL, EXPECTED[MODEL]):
                model = tally.all("psnr", mode, EXPECTED[MODEL] if row in EXPECTED.values() else MODEL)
                figures["lead"][mode][row] = [*at_horizons((model - values)[:, picked]), masked(model - values, exists)]
    life = half_life(tally.all("psnr", FREE, MODEL), tally.all("psnr", FREE, COPY), exists)
    return {**figures, "half_life": {"step": life, "steps_measured": exists.shape[1]}}


def _heads(tally: Tally, mode: str) -> dict[str, Estimate]:
    """How well rewards and ends are predicted, over all predicted frames and the ends among them."""
    ends, reward, chance = tally.all("true end"), tally.all("true reward"), tally.all("end", mode)
    known = tally.all("exists") | ends
    predicted = (chance > 0.5) & known
    constant = reward[known].mean()
    return {
        "reward_error": masked(np.abs(tally.all("reward", mode) - reward), known),
        "reward_error_of_mean": masked(np.abs(reward - constant), known),
        "end_recall": masked((predicted & ends).astype(float), ends),
        "end_precision": masked((predicted & ends).astype(float), predicted),
        "ends_expected_per_end": estimate(np.where(known, chance, 0).sum(1), ends.sum(1)),
    }


def _found(tally: Tally, classes: tuple[str, ...]) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Recall and precision of the probe by row and class."""
    figures: dict[str, dict[str, dict[str, Estimate]]] = {}
    for row in (row for row in (REAL, *SEARCHED) if tally.has("objects", row)):
        labelled, detected, detections, hits = tally.all("objects", row).transpose(2, 0, 1)
        figures[row] = {
            name: {
                "recall": estimate(detected[:, i], labelled[:, i]),
                "precision": estimate(hits[:, i], detections[:, i]),
            }
            for i, name in enumerate(classes)
        }
    return figures


def _things(tally: Tally, classes: Sequence[str], horizons: Sequence[int]) -> dict[str, Any]:
    """Things of which there is one, by class: how good the probe is at them, and what is seen of them by mode and row."""
    truth, exists = things.Places(tally.all("counts", "truth"), tally.all("centres", "truth")), tally.all("exists")
    figures: dict[str, Any] = {}
    for kind in things.single(truth):
        faded = tally.all("faded")[:, kind]
        kept = {f"{share:.0%}": estimate(faded[:, i], faded[:, -1]) for i, share in enumerate(things.KEPT)}
        figures[classes[kind]] = {"seen_at_contrast": kept, **{mode: {} for mode in MODES}}
        for mode, row in (place for place in product(MODES, (REAL, *ROWS)) if tally.has("counts", *place)):
            seen = things.Places(tally.all("counts", mode, row), tally.all("centres", mode, row))
            figures[classes[kind]][mode][row] = things.thing_figures(seen, truth, kind, exists, horizons)
    return figures


def _around(tally: Tally, horizons: Sequence[int]) -> dict[str, Any]:
    """PSNR around the player by mode and row, and what wrong controls cost there: at the horizons, then over all frames."""
    figures: dict[str, Any] = {name: {mode: {} for mode in MODES} for name in ("psnr", "cost")}

    def at_horizons(values: NDArray[np.float64]) -> list[Estimate]:
        there = np.isfinite(values)
        return [*(masked(values[:, [h - 1]], there[:, [h - 1]]) for h in horizons), masked(values, there)]

    for mode, row in (place for place in product(MODES, ROWS) if tally.has("around", *place)):
        values = tally.all("around", mode, row)
        figures["psnr"][mode][row] = at_horizons(values)
        if row in WRONG:
            model = tally.all("around", mode, EXPECTED[MODEL] if row in EXPECTED.values() else MODEL)
            figures["cost"][mode][row] = at_horizons(model - values)
    return figures
