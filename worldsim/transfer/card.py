"""The transfer card: Markdown tables of what `worldsim transfer` measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.files import markdown_table, write_text
from worldsim.transfer.plot import save_plot
from worldsim.transfer.statistics import REFIT

Figures = Mapping[str, Any]


def write_card(path: Path, figures: Figures) -> None:
    """Writes the card, and its plot beside it under the same name with .svg."""
    plot = path.with_suffix(".svg")
    save_plot(plot, figures)
    write_text(path, format_card(figures, plot.name))


def format_card(figures: Figures, plot: str | None = None) -> str:
    """The whole card as Markdown."""
    sections = [
        f"# Transfer card: {figures['data']['game']}",
        _intro(figures),
        *([f"![scores of all rows, and of the checkpoints]({plot})"] if plot else []),
        _alarms(figures),
        "## Scores in the real game\n\n" + _rows_table(figures),
        "## Bars\n\n" + _bars_table(figures),
        "## Every run\n\n" + _runs_table(figures),
        "## Randomness of the dream\n\n" + _randomness_table(figures),
        "## Does the dream score tell which policy is better?\n\n" + _correlation(figures),
        "## Reward and end heads on held-out play\n\n" + _heads_table(figures),
        "## How it was measured\n\n" + _method(figures),
    ]
    return "\n\n".join(sections) + "\n"


def _intro(figures: Figures) -> str:
    data, config = figures["data"], figures["config"]
    collected = np.array(data["score"])
    return (
        "A policy is trained by PPO in the dreams of a world, without one step in the real game. Its checkpoint is chosen by "
        f"dream score alone, frozen, and then plays {config['episodes']} real episodes.\n\n"
        f"**Data**: {data['train_frames']:,} training and {data['held_out_frames']:,} held-out frames of the policies "
        f"{', '.join(data['policies'])} (hash `{data['hash']}`), who scored {_number(collected.mean())} +- "
        f"{_number(collected.std())} (mean and standard deviation of {len(collected)} episodes). **Worlds**: "
        f"{_codes(figures['worlds'])}, {figures['steps']} network calls a frame; of shuffled actions: "
        f"{_codes(figures['shuffled']) or 'none'}. **Score**: the game's reward, summed; frame skip {figures['frame_skip']}, "
        f"episodes are cut after {config['cap_tics']:,} tics."
    )


def _alarms(figures: Figures) -> str:
    alarms, best = figures["alarms"], figures["config"]["best_reward"]
    if best is None:
        return "The game's largest reward is unknown, so dream scores above what is possible cannot be found."
    limit = figures["config"]["cap_tics"] * best
    if not alarms:
        return f"No dream score exceeds what is possible ({_number(limit)})."
    lines = [f"`{a['run']}`: {a['count']} scores, up to {_number(a['largest'])}" for a in alarms]
    return (
        f"**Alarm: dream scores above the largest possible one ({_number(limit)}).** There the policy has learned a flaw of the "
        f"world: {'; '.join(lines)}."
    )


def _rows_table(figures: Figures) -> str:
    rows = []
    for name, row in figures["summary"].items():
        dream = "" if row["dream"] is None else _number(row["dream"])
        gap = "" if row["gap"] is None else _number(row["gap"])
        cells = [_number(row["mean"]), f"{_number(row['low'])} to {_number(row['high'])}", _number(row["median"])]
        rows.append([name, *cells, f"{row['capped']:.0%}", dream, gap, str(row["runs"]), f"{row['real_frames']:,}"])
    titles = ["row", "mean", "95% interval", "median", "at the cap", "dream score", "gap", "runs", "real steps"]
    return markdown_table(titles, rows)


def _bars_table(figures: Figures) -> str:
    rows = [[b["bar"], _number(b["needed"]), _number(b["measured"]), "met" if b["met"] else "missed"] for b in figures["bars"]]
    return markdown_table(["the dream row's", "to exceed", "measured", ""], rows)


def _runs_table(figures: Figures) -> str:
    rows = []
    for name, runs in figures["rows"].items():
        for run in runs:
            scores, dreamed = np.array(run["scores"]), run.get("dream_scores")
            rows.append([name, f"`{run['name']}`", f"{_number(scores.mean())} +- {_number(scores.std())}",
                         _number(np.mean(dreamed)) if dreamed else "", _chosen(run), f"{run['seconds'] / 60:.0f}"])  # fmt: skip
    return markdown_table(["row", "run", "real, mean +- deviation", "dream score", "chosen", "minutes"], rows)


def _chosen(run: Figures) -> str:
    if "checkpoints" not in run:
        return str(run.get("chosen", ""))
    return f"after {run['checkpoints'][run['chosen']]['steps']:,} steps"


def _randomness_table(figures: Figures) -> str:
    rows = [
        [level, _number(row["dream"]), f"{_number(row['mean'])} ({_number(row['low'])} to {_number(row['high'])})",
         _number(row["gap"]), str(row["runs"])]
        for level, row in figures["randomness"].items()
    ]  # fmt: skip
    return "The first level was fixed beforehand and is the dream row; the others show how much it matters.\n\n" + markdown_table(
        ["level", "dream score", "real score (95% interval)", "gap", "runs"], rows
    )


def _correlation(figures: Figures) -> str:
    found, config = figures["correlation"], figures["config"]
    runs = ", ".join(f"{_number(value, 2)} (`{name}`)" for name, value in found["by_run"].items())
    return (
        "Spearman's rank correlation of dream score (while training) and real score "
        f"({config['checkpoint_episodes']} episodes, on seeds of their own) over {found['checkpoints']} checkpoints: "
        f"**{_number(found['pooled'], 2)}**. By run: {runs}."
    )


def _heads_table(figures: Figures) -> str:
    names = ("end_recall", "end_precision", "ends_expected_per_end", "reward_error", "reward_error_of_mean")
    rows = [
        [f"`{world}`", mode, *(_estimate(heads[mode][name]) for name in names)]
        for world, heads in zip(figures["worlds"], figures["heads"], strict=True)
        for mode in ("teacher-forced", "free-running")
    ]
    clips = figures["config"]["head_clips"]
    titles = ["world", "mode", "end recall", "end precision", "ends expected per end", "reward error", "of a constant"]
    return f"Over up to {clips} held-out clips of 32 frames; in brackets how many ends or frames.\n\n" + markdown_table(
        titles, rows
    )


def _method(figures: Figures) -> str:
    config, machine, seeds = figures["config"], figures["machine"], figures["seeds"]["test"]
    ppo = config["ppo"]
    return (
        "Policies know the latest frame as a latent of the world's tokenizer, in dreams and in the real game alike, how it "
        "differs from that at their last decision, what they then did and how many times in a row. They are linear in that and "
        f"in {ppo['hidden']} hidden units over {ppo['patch']} of every patch, and sample an action that holds for "
        f"{config['hold']} frames, as in every row. "
        f"Untrained, they do as they did last with a chance of {ppo['keep']:g}. A dream to learn in sets out from one of "
        f"{config['starts']} moments of the training frames and is cut after {config['dream_frames']} frames, one that is scored "
        "from a held-out moment, a real episode from its beginning. "
        f"PPO: {config['dream_steps']:,} imagined frames in {config['dreams']} dreams at a time, or "
        f"real frames in {config['games']} games; {ppo['rollout']} decisions between updates, {ppo['epochs']} epochs of batches "
        f"of {ppo['batch']}, learning rate {ppo['learning_rate']:g}, discount {ppo['gamma']:g}, entropy {ppo['entropy']:g}. "
        f"In dreams every frame is charged its chance of an end instead of the ends drawn. "
        f"Of {config['checkpoints']} checkpoints the one with the best score while training is chosen (what an episode is worth "
        "at the rewards and ends per frame since the one before, ends in dreams being counted by their chance, and cut at the "
        "cap); a dream policy then gets its dream score on "
        f"{config['dream_episodes']} fresh dreams, whose ends are drawn. Real episodes have seeds {seeds[0]} to {seeds[1]}, "
        "the same for every row. Intervals: "
        f"{config['resamples']:,} bootstrap samples of runs, and of episodes within them.{_refit(figures)}\n\n"
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, {machine['device']} "
        f"{machine['dtype']}, torch {machine['torch']}."
    )


def _refit(figures: Figures) -> str:
    row = figures["summary"].get(REFIT)
    if row is None:
        return ""
    return (
        f" The world of the row {REFIT!r} is the first one, trained further on the same recordings and {row['real_frames']:,} "
        "frames that the policies learned in it met in the real game; its policies begin anew."
    )


def _codes(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _estimate(estimate: Figures) -> str:
    value, ci = estimate["value"], estimate["ci95"]
    if value is None or math.isnan(value):
        return "-"
    spread = "" if ci is None or math.isnan(ci) else f" +- {ci:.3f}"
    return f"{value:.3f}{spread} ({estimate['count']})"


def _number(value: float | None, digits: int | None = None) -> str:
    """Scores of a hundred and more as whole numbers."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.{(0 if abs(value) >= 100 else 1) if digits is None else digits}f}"
