"""Whether a world that turns away and back shows what was there: the place, and the things that were out of view.

The game turns by the same angles from the same frames, so every picture can be compared with the game's at the same pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.controls import Controls
from worldsim.envs.games import find_game
from worldsim.envs.games.spec import Game
from worldsim.envs.games.studio import CONTROLS, KINDS, PLACES, SLOTS
from worldsim.studio import tasks
from worldsim.studio.attributes import Judge
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.figures import interval, psnr, said
from worldsim.studio.pipeline import Studio
from worldsim.studio.scene import LEAST_HEIGHT
from worldsim.studio.tasks import Frames
from worldsim.tables import text_table

GIVEN = 4  # frames before the turn
STEP = 18.0  # degrees of turn per frame
TURNS: Mapping[str, int] = {"inside the window": 5, "beyond the window": 10}  # frames of turning away, and as many back
POSE = 1.0, 16.0  # degrees and map units by which the player may have been moved in between
BESIDE = 0.15  # share of the width at each side in which a thing may be cut off
LOSS_BAR = 2.0  # dB below the tokenizer's own picture that what comes back inside the window may be


@dataclass(frozen=True)
class Visit:
    """A turn away and back in the game.

    Attributes:
        frames: uint8 `(T, H, W, 3)`.
        controls: float32 `(T, A)` in the game's units, that led to each frame.
        things: kinds of things in full view before the turn, out of view at its farthest, and in view again.
    """

    frames: Frames
    controls: NDArray[np.float32]
    things: tuple[str, ...]


def visit(env: Game, place: str, seed: int, away: int) -> Visit | None:
    """Stands still, turns right for so many frames, and back; None if the player dies or is moved."""
    right, left = Controls(mouse=(STEP, 0.0)), Controls(mouse=(-STEP, 0.0))
    frame, info = env.reset(seed=seed, options={"place": place})
    frames, infos, vectors = [frame], [info], [CONTROLS.to_vector(Controls())]
    for controls in [Controls()] * (GIVEN - 1) + [right] * away + [left] * away:
        frame, _, terminated, truncated, info = env.step(controls)
        if terminated or truncated or not info["has_frame"]:
            return None
        frames.append(frame)
        infos.append(info)
        vectors.append(CONTROLS.to_vector(controls))
    before, after = infos[GIVEN - 1], infos[-1]
    turned = abs((after["angle"] - before["angle"] + 180) % 360 - 180)
    if turned > POSE[0] or np.hypot(after["x"] - before["x"], after["y"] - before["y"]) > POSE[1]:
        return None
    things = (in_view(before) & in_view(after)) - in_view(infos[GIVEN - 1 + away], beside=-1.0)
    return Visit(np.stack(frames), np.stack(vectors), tuple(sorted(things)))


def in_view(info: Mapping[str, Any], beside: float = BESIDE) -> set[str]:
    """Kinds of things of which one is not too small, and not at the very side."""
    kinds = set()
    for slot in range(SLOTS):
        kind, x, height = (info[f"object{slot}.{name}"] for name in ("kind", "x", "height"))
        if kind >= 0 and height >= LEAST_HEIGHT and beside <= x <= 1 - beside:
            kinds.add(KINDS[int(kind)])
    return kinds


def visits(size: tuple[int, int], away: int, count: int, seed: int) -> list[Visit]:
    """So many turns in the game, over all places in turn; fewer if the player is moved again and again."""
    width, height = size
    env, found = find_game("doom/studio").start(height=height, width=width), []
    try:
        for i in range(3 * count):
            turn = visit(env, PLACES[i % len(PLACES)].name, seed + i, away)
            found += [turn] if turn is not None else []
            if len(found) == count:
                break
    finally:
        env.close()
    return found


def measure_revisits(studio: Studio, judge: Judge, config: StudioEvalConfig) -> tuple[dict[str, Any], list[Frames]]:
    """Turns away and back in the world as in the game.

    Returns:
        For each of `TURNS`: `away` and `back`, PSNR of the farthest frame and of the last one to the game's; `ceiling`, that of
        the tokenizer's own picture of the last frame; `other`, that of the last frame of another turn; `loss`, the ceiling less
        `back`; and `things`: how many were out of view, and the share of them that the judge sees in the last frame of the
        game, of the world, and of another turn. Then clips, each of the game's frames above the world's.
    """
    size, figures, sheets = (studio.config.width, studio.config.height), {}, []
    for name, away in TURNS.items():
        turns = visits(size, away, config.revisits, config.seed)
        found: dict[str, list[float]] = {key: [] for key in ("away", "back", "ceiling", "other", "loss")}
        made = []
        for i, turn in enumerate(tqdm(turns, desc=f"turns {name}", unit="clip")):
            canvas = tasks.extend(turn.frames[:GIVEN], after=2 * away)
            about = {"num_steps": config.num_steps, "guidance": 1.0, "seed": config.seed + i}
            made.append(studio.render(canvas, controls=turn.controls, **about).frames)  # type: ignore[arg-type]
        for i, turn in enumerate(turns):
            last, far = turn.frames[-1:], GIVEN - 1 + away
            found["away"].append(psnr(made[i][far : far + 1], turn.frames[far : far + 1]))
            found["back"].append(psnr(made[i][-1:], last))
            found["ceiling"].append(psnr(studio.reconstruct(last), last))
            found["other"].append(psnr(turns[i - 1].frames[-1:], last))
            found["loss"].append(found["ceiling"][-1] - found["back"][-1])
        figures[name] = {key: interval(values) for key, values in found.items()}
        figures[name]["things"] = things_back(turns, made, judge)
        sheets += [frames for turn, clip in zip(turns[:3], made, strict=False) for frames in (turn.frames, clip)]
    return figures, sheets


def things_back(turns: list[Visit], made: list[Frames], judge: Judge) -> dict[str, Any]:
    """How many things came back into view, and the share of them that the judge sees there."""
    seen: dict[str, list[float]] = {"game": [], "world": [], "other": []}
    for i, turn in enumerate(turns):
        for name, clip in (("game", turn.frames), ("world", made[i]), ("other", made[i - 1])):
            judged = judge(clip[None, -1:])
            seen[name] += [float(judged.thing(0, KINDS.index(kind)) is not None) for kind in turn.things]
    return {"count": len(seen["game"]), **{name: interval(values) for name, values in seen.items()}}


def format_revisits(figures: dict[str, Any]) -> str:
    """Two tables."""
    rows = []
    for name, found in figures.items():
        bar = "-" if name != "inside the window" else "met" if found["loss"]["value"] <= LOSS_BAR else "missed"
        rows.append((name, *(said(found[key]) for key in ("away", "back", "ceiling", "other", "loss")), bar))
    titles = ("turn and back, PSNR in dB", "farthest", "back", "tokenizer", "another turn", "loss", f"bar {LOSS_BAR:g}")
    things = [
        (name, str(found["things"]["count"]), *(said(found["things"][key]) for key in ("game", "world", "other")))
        for name, found in figures.items()
    ]
    return f"{text_table(titles, rows)}\n\n{text_table(('things that come back', 'n', 'game', 'world', 'another turn'), things)}"
