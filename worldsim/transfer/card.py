"""The transfer card: Markdown tables and a plot of what `worldsim transfer` measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.files import write_text
from worldsim.plotting import svg_figure
from worldsim.tables import markdown_table
from worldsim.transfer.config import REFIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Figures = Mapping[str, Any]
DREAMED, PLAYED, RUN, BAR = "tab:blue", "black", "0.6", "tab:green"  # colours of the plot


def write_card(path: Path, figures: Figures) -> None:
    """Writes the card, and its plot beside it under the same name with .svg.

    Raises:
        WorldsimError: if matplotlib is not installed.
        FileError: if a file cannot be written.
    """
    plot = path.with_suffix(".svg")
    save_plot(plot, figures)
    write_text(path, format_card(figures, plot.name))


def format_card(figures: Figures, plot: str | None = None) -> str:
    """The whole card as Markdown; `plot` is the address of the picture."""
    sections = [
        f"# Transfer card: {figures['data']['game']}",
        _intro(figures),
        *([f"![scores of all rows, and of the checkpoints]({plot})"] if plot else []),
        _impossible(figures),
        "## Scores in the real game\n\n" + _rows_table(figures),
        "## Gap between dreams and the real game\n\n" + _gap_table(figures),
        "## Bars\n\n" + _bars_table(figures),
        "## Every run\n\n" + _runs_table(figures),
        "## Randomness of the dream\n\n" + _randomness_table(figures),
        "## Does the dream score tell which policy is better?\n\n" + _correlation(figures),
        "## Predicted rewards and ends on held-out play\n\n" + _heads_table(figures),
        "## How it was measured\n\n" + _method(figures),
    ]
    return "\n\n".join(sections) + "\n"


def save_plot(path: Path, figures: Figures) -> None:
    """Draws the real scores of all rows, and the real over the dream scores of the checkpoints."""
    with svg_figure(path, 10, 1.2 + 0.4 * len(figures["summary"])) as figure:
        rows, checkpoints = figure.subplots(1, 2, width_ratios=(2, 1))
        _draw_rows(rows, figures)
        _draw_checkpoints(checkpoints, figures)


def _draw_rows(axes: Axes, figures: Figures) -> None:
    """Means with their intervals, a small dot for every run, and lines at published scores."""
    summary = figures["summary"]
    for place, row in enumerate(summary.values()):
        colour = PLAYED if row["dream"] is None else DREAMED
        axes.plot(row["by_run"], [place] * len(row["by_run"]), ".", color=RUN)
        axes.hlines(place, row["low"], row["high"], color=colour)
        axes.plot(row["mean"], place, "o", color=colour)
    for needed in {b["needed"] for b in figures["bars"] if "upper bound" not in b["bar"]}:
        axes.axvline(needed, color=BAR, linewidth=1)
    axes.set_yticks(range(len(summary)), list(summary))
    axes.invert_yaxis()
    axes.set_xlim(left=min(0.0, *(row["low"] for row in summary.values())))
    axes.set_title("score in the real game: mean, 95% interval, runs", fontsize="medium", loc="left")


def _draw_checkpoints(axes: Axes, figures: Figures) -> None:
    points = figures["correlation"]["points"]
    for world in sorted({point["world"] for point in points}):
        own = [point for point in points if point["world"] == world]
        axes.plot([point["dream"] for point in own], [point["real"] for point in own], "o", markersize=4, label=world[:8])
    axes.set_xlabel("dream score while training")
    axes.set_ylabel("score in the real game")
    axes.set_title("checkpoints, by world", fontsize="medium", loc="left")
    if points:
        axes.legend(frameon=False)


def _intro(figures: Figures) -> str:
    data, config = figures["data"], figures["config"]
    collected = np.array(data["score"])
    return (
        "Policies are trained by PPO in the dreams of a world, without one step in the real game. The checkpoint with the best "
        f"dream score is chosen, frozen, and then plays {config['episodes']} real episodes.\n\n"
        f"**Data**: {data['train_frames']:,} training and {data['held_out_frames']:,} held-out frames of the policies "
        f"{', '.join(data['policies'])} (hash `{data['hash']}`), which scored {_number(collected.mean())} +- "
        f"{_number(collected.std())} (mean and standard deviation of {len(collected)} episodes). **Worlds**: "
        f"{_codes(figures['worlds'])}, {_calls(figures['num_steps'])} per frame; trained on shuffled actions: "
        f"{_codes(figures['shuffled']) or 'none'}. **Score**: the game's reward, summed; frame skip {figures['frame_skip']}, "
        f"episodes are truncated after {config['cap_tics']:,} tics."
    )


def _impossible(figures: Figures) -> str:
    found, best = figures["impossible"], figures["config"]["best_reward"]
    if best is None:
        return "The game's largest reward is not known, so dream scores that are too high to be possible cannot be found."
    limit = _number(figures["config"]["cap_tics"] * best)
    if not found:
        return f"No dream score exceeds the largest possible one ({limit})."
    lines = [f"{_run_name(f['run'])}: {f['count']} scores, up to {_number(f['largest'])}" for f in found]
    return (
        f"**Dream scores above the largest possible one ({limit}).** These policies exploit an error of their world: "
        f"{'; '.join(lines)}."
    )


def _rows_table(figures: Figures) -> str:
    rows = []
    for name, row in figures["summary"].items():
        cells = [_number(row["mean"]), f"{_number(row['low'])} to {_number(row['high'])}", _number(row["median"])]
        rows.append([name, *cells, f"{row['capped']:.0%}", str(row["runs"]), f"{row['real_frames']:,}"])
    return markdown_table(["row", "mean", "95% interval", "median", "truncated", "runs", "real frames"], rows)


def _gap_table(figures: Figures) -> str:
    """Both gaps of all rows with dream scores, and of which moments they are."""
    rows = [
        [name, _interval(row, "dream"), _interval(row, "matched"), _interval(row, "gap"), _number(row["mean"]),
         _number(row["gap_from_start"])]
        for name, row in figures["summary"].items() if row["dream"] is not None
    ]  # fmt: skip
    titles = ["row", "dreams", "game, same moments", "gap", "game, whole episodes", "difference"]
    return f"{_gap_text(figures)}\n\n{markdown_table(titles, rows)}"


def _gap_text(figures: Figures) -> str:
    text = (
        "Dreams are scored from recorded moments in the middle of held-out episodes. For the gap, dream score minus real score, "
        "the real game is brought to the same moments by replaying the recorded seeds and actions, and the policy plays on from "
        "there. The last two columns compare with whole real episodes, from their first frame. That difference also depends on "
        "where the two start, so it does not show whether dreams are too easy or too hard."
    )
    if figures["not_replayed"] is not None:
        text += f" **Where no gap is given, it was not measured**: {figures['not_replayed']}"
    return text


def _bars_table(figures: Figures) -> str:
    rows = [[b["bar"], _number(b["needed"]), _number(b["measured"]), "met" if b["met"] else "missed"] for b in figures["bars"]]
    return markdown_table(["the dream row's", "has to exceed", "measured", ""], rows)


def _runs_table(figures: Figures) -> str:
    rows = []
    for name, runs in figures["rows"].items():
        for run in runs:
            scores, of = np.array(run["scores"]), run["run"]
            means = [_number(np.mean(run[part])) if run.get(part) else "" for part in ("dream_scores", "matched_scores")]
            rows.append([name, f"`{of['world']}`" if of["world"] else "", str(of["seed"]),
                         f"{_number(scores.mean())} +- {_number(scores.std())}", *means, _chosen(run),
                         f"{run['seconds'] / 60:.0f}"])  # fmt: skip
    titles = ["row", "world", "seed", "real score, mean +- deviation", "dreams", "game, same moments", "chosen", "minutes"]
    return markdown_table(titles, rows)


def _chosen(run: Figures) -> str:
    if "checkpoints" not in run:
        return f"action {run['chosen']}" if "chosen" in run else ""
    return f"after {run['checkpoints'][run['chosen']]['steps']:,} frames"


def _randomness_table(figures: Figures) -> str:
    rows = [
        [level, _number(row["dream"]), f"{_number(row['mean'])} ({_number(row['low'])} to {_number(row['high'])})",
         _interval(row, "gap"), _number(row["gap_from_start"]), str(row["runs"])]
        for level, row in figures["randomness"].items()
    ]  # fmt: skip
    titles = ["level", "dreams", "real score (95% interval)", "gap", "difference to whole episodes", "runs"]
    return f"The first level was chosen before the experiment and is that of the dream row.\n\n{markdown_table(titles, rows)}"


def _correlation(figures: Figures) -> str:
    found, config = figures["correlation"], figures["config"]
    runs = ", ".join(f"{_number(entry['correlation'], 2)} ({_run_name(entry['run'])})" for entry in found["by_run"])
    return (
        "Spearman's rank correlation of dream score (while training) and real score "
        f"({config['checkpoint_episodes']} whole episodes, on seeds of their own) over {found['checkpoints']} checkpoints: "
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
    titles = [
        "world",
        "mode",
        "end recall",
        "end precision",
        "expected ends per actual end",
        "reward error",
        "reward error of a constant",
    ]
    return f"Over up to {clips} held-out clips of 32 frames; in brackets the number of ends or frames.\n\n" + markdown_table(
        titles, rows
    )


def _method(figures: Figures) -> str:
    config, machine, seeds = figures["config"], figures["machine"], figures["seeds"]["test"]
    ppo = config["ppo"]
    return (
        "A policy sees, in dreams and in the real game alike, the latest frame as a latent of the world's tokenizer, the change "
        "of that latent since its last decision, the last decision, and how many times in a row it was made. Policy and value "
        f"are linear in these inputs and in {ppo['hidden']} hidden units, which read {ppo['patch']} features of every patch. An "
        f"action is sampled and held for {config['hold']} frames, as in every row. Before training, a policy repeats its last "
        f"decision with probability {ppo['keep']:g}. A training dream begins at one of {config['starts']} recorded moments of "
        f"the training split and is truncated after {config['dream_frames']} frames. "
        f"PPO: {config['dream_steps']:,} imagined frames in {config['dreams']} parallel dreams, or real frames in "
        f"{config['games']} parallel games; {ppo['rollout']} decisions between updates, {ppo['epochs']} epochs of batches of "
        f"{ppo['batch']}, learning rate {ppo['learning_rate']:g}, discount {ppo['gamma']:g}, entropy {ppo['entropy']:g}. "
        "In training dreams an end that is drawn costs nothing; instead, every reward is reduced by the predicted probability of "
        f"an end times the return that an end would cost. Of {config['checkpoints']} checkpoints, the one with the highest "
        "estimated score is chosen. The estimate is the score of an episode with the mean reward and the mean probability of an "
        "end per frame since the previous checkpoint. A dream policy is then scored in "
        f"{config['dream_episodes']} new dreams, whose ends are drawn. Whole real episodes have seeds {seeds[0]} to "
        f"{seeds[1]}, the same for every row. Intervals: {config['resamples']:,} bootstrap samples of runs, and of episodes "
        f"within them.{_refit(figures)}\n\n"
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, {machine['device']} "
        f"{machine['dtype']}, torch {machine['torch']}."
    )


def _refit(figures: Figures) -> str:
    row = figures["summary"].get(REFIT)
    if row is None:
        return ""
    return (
        f" The world of the row {REFIT!r} is the first world, trained further on the same recordings and on "
        f"{row['real_frames']:,} frames of the real game played by policies trained in that world; the policies of this row are "
        "trained from scratch."
    )


def _run_name(run: Figures) -> str:
    return f"`{run['world']}`, {run['level']}, seed {run['seed']}" if run["world"] else f"{run['row']}, seed {run['seed']}"


def _calls(number: int) -> str:
    return f"{number} network call{'s' if number > 1 else ''}"


def _codes(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _interval(row: Figures, name: str) -> str:
    """A mean with its interval, or a dash."""
    value, interval = row[name], row[f"{name}_interval"]
    return _number(value) + (f" ({_number(interval[0])} to {_number(interval[1])})" if interval else "")


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
