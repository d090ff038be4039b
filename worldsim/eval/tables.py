"""The figures of a world as tables to read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from worldsim.errors import printable
from worldsim.eval.fidelity import Estimate
from worldsim.eval.parts import FORCED, FREE, MODES, REAL, TOKENIZER
from worldsim.eval.things import NEAR
from worldsim.tables import text_table

PARTS = ("visible", "elsewhere", "at_most_one")
MARKS = ("made", "stays", "left_alone")
LONGEST_NAME = 80  # characters of a name out of a file that are printed


def format_figures(figures: Mapping[str, Any]) -> str:
    """What `circumstances` and `measure` gave, as tables to read; intervals are 95%, over clips."""
    about, machine, config = figures["world"], figures["machine"], figures["config"]
    horizons = config["horizons"]
    lines = [
        f"{printable(about['name'], LONGEST_NAME)} ({about['hash']}), {about['calls']} network calls a frame; "
        f"seed {config['seed']}; {machine['cpu']}, {machine['cores']} cores, {machine['device']} {machine['dtype']}, "
        f"runtime {figures['runtime']}, "
        f"torch {machine['torch']}",
        f"held-out clips: {figures['context']} frames of context, then up to {max(horizons)} predicted; +- 95% over clips",
    ]
    for mode in MODES:
        lines += _horizon_tables(figures, mode, horizons)
    life = figures["half_life"]
    lines += ["", f"half-life: {life['step'] or 'more than ' + str(life['steps_measured'])} frames"]
    lines += _head_table(figures["heads"])
    if "objects" in figures:
        lines += _object_tables(figures["objects"])
    for name, of in figures.get("things", {}).items():
        lines += _thing_tables(name, of, horizons)
    if "around" in figures:
        lines += _around_tables(figures["around"], horizons)
    if "collapse" in figures:
        lines += _collapse_table(figures["collapse"])
    if "marks" in figures:
        lines += _mark_table(figures["marks"])
    return "\n".join(lines)


def _horizon_tables(figures: Mapping[str, Any], mode: str, horizons: Sequence[int]) -> list[str]:
    """PSNR, SSIM and leads of one mode; the last column of those in dB is the mean over all frames."""
    names = [f"h={h}" for h in horizons]
    psnr, ssim, lead = (figures[name][mode] for name in ("psnr", "ssim", "lead"))
    counts = ["frames", *(str(e.count) for e in next(iter(psnr.values())))]
    return [
        *_table([f"PSNR dB, {mode}", *names, "all"], [*_rows(psnr, 2), counts]),
        *_table([f"SSIM, {mode}", *names], _rows(ssim, 3)),
        *_table([f"model's lead dB, {mode}", *names, "all"], [[f"over {r[0]}", *r[1:]] for r in _rows(lead, 2)]),
    ]


def _head_table(heads: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    rows = [[name.replace("_", " "), *(_cell(heads[mode][name], 3, counted=True) for mode in MODES)] for name in heads[FREE]]
    return _table(["reward and end (counted)", *MODES], rows)


def _object_tables(objects: Mapping[str, Any]) -> list[str]:
    classes = list(objects["per_frame"])
    titles = [f"{kind} {figure}" for kind in classes for figure in ("recall", "precision")]
    found = [
        [row, *(_cell(figure, 3, counted=True) for figures in of.values() for figure in figures.values())]
        for row, of in objects["found"].items()
    ]
    numbers = []
    for kind, counts in objects["per_frame"].items():
        quarters = " ".join(f"{e.value:.2f}" for e in counts["dreams_by_quarter"])
        cells = [_cell(counts[name], 3) for name in ("dreams", "real", "real_listed")]
        sure = [_cell(counts["confidence"][name], 3) for name in ("dreams", "real")]
        numbers.append([f"{kind}s", *cells, _cell(counts["ratio"], 2), *sure, quarters])
    ends = objects["ends"]
    numbers.append(["episode ends", *(_cell(ends[name], 4) for name in ("dreams", "real")), *5 * "-"])
    title = f"per frame, in {ends['dreams'].count} of dreams and {ends['real'].count} of the game"
    columns = [title, "dreams", "real", "game's list", "dreams / real", "confidence, dreams", "real", "dreams by quarter"]
    return [*_table([f"next-frame objects of {objects['smallest']:g} px and more", *titles], found), *_table(columns, numbers)]


def _thing_tables(name: str, figures: Mapping[str, Any], horizons: Sequence[int]) -> list[str]:
    """What is seen of a thing of which there is one, and how far it is from where the game has it."""
    kept = ", ".join(f"{_cell(e, 2)} at {share} of its contrast" for share, e in figures["seen_at_contrast"].items())
    rows = [(mode, row, of) for mode in (FORCED, FREE) for row, of in figures[mode].items()]
    labels = [row if row in (REAL, TOKENIZER) else f"{row}, {mode}" for mode, row, _ in rows]
    visible = [[label, *(_cell(of[part], 3) for part in PARTS)] for label, (*_, of) in zip(labels, rows, strict=True)]
    places = [
        [label, *(f"{_cell(error, 1)} ({_cell(near, 2)})" for error, near in zip(of["error"], of["near"], strict=True))]
        for label, (*_, of) in zip(labels, rows, strict=True)
    ]
    title = f"{name}: median distance in px (share up to {NEAR:g} px)"
    return [
        *_table([f"{name} (the probe sees {kept})", "seen where it is", "where it is not", "at most one"], visible),
        *_table([title, *(f"h={h}" for h in horizons)], places),
    ]


def _around_tables(around: Mapping[str, Any], horizons: Sequence[int]) -> list[str]:
    names, lines = [*(f"h={h}" for h in horizons), "all"], []
    for mode in MODES:
        lines += _table([f"PSNR dB around the {around['class']}, {mode}", *names], _rows(around["psnr"][mode], 2))
        cost = [[f"cost of {row[0]}", *row[1:]] for row in _rows(around["cost"][mode], 2)]
        lines += _table([f"cost dB around the {around['class']}, {mode}", *names], cost)
    return lines


def _collapse_table(collapse: Mapping[str, Any]) -> list[str]:
    """The curve of long dreams, one column for each part of them."""
    rows = [["frames that look like the game", collapse["like_the_game_real"], *collapse["like_the_game"]]]
    for part, said in (("at_most_one", "at most one"), ("shown", "one at least")):
        rows += [[f"{said} {thing}", collapse[f"{part}_real"][thing], *of] for thing, of in collapse[part].items()]
    title = f"share of frames in long dreams (alike: within {collapse['threshold']:.1f} grey levels)"
    columns = [title, "recorded", *(f"to {age}" for age in collapse["ages"])]
    return _table(columns, [[name, *(_cell(e, 2) for e in estimates)] for name, *estimates in rows])


def _mark_table(marks: Mapping[str, Any]) -> list[str]:
    """Whether changes of the world stay, one row for each wait out of view."""
    rows = [
        [f"{row}, {of['frames']:.0f} frames later", *(_cell(shares[part], 2, counted=True) for part in MARKS)]
        for of in marks.values()
        for row, shares in of["rows"].items()
    ]
    return _table(["changes out of view and back", "made at once", "stay", "left alone, stay away"], rows)


def _rows(table: Mapping[str, Sequence[Estimate]], digits: int) -> list[list[str]]:
    return [[name, *(_cell(e, digits) for e in estimates)] for name, estimates in table.items()]


def _cell(e: Estimate, digits: int, counted: bool = False) -> str:
    if math.isnan(e.value):
        return "-"
    if math.isinf(e.value):
        return "lost"
    return (
        f"{e.value:.{digits}f}"
        + (f"+-{e.ci95:.{digits}f}" if math.isfinite(e.ci95) else "")
        + (f" ({e.count})" if counted else "")
    )


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Aligned lines, after an empty one; the first column to the left, the others to the right."""
    return ["", *text_table(header, rows).split("\n")]
