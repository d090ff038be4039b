"""Marks that stay: what a player changes in a world is still so when it comes back to it.

Every trial begins at a recorded moment of a held-out episode, under controls that the game itself gives for that moment: make a
change, walk away until it is out of view, perhaps wait there, and come back. The real game is played twice from there, with the
change and without it, and so is the world. Its picture counts as changed if the place of the change looks more like the game's
picture with it than like the one without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from worldsim.controls import Controls
from worldsim.data import Dataset
from worldsim.envs.games import Game, GameSpec, Mark
from worldsim.errors import DataError
from worldsim.eval.clips import Place, Rollout, Way, decode, encode, load_clips, roll_out
from worldsim.eval.config import EvalConfig
from worldsim.eval.control import EXPECTED, MODEL
from worldsim.eval.fidelity import estimate
from worldsim.eval.replay import replay
from worldsim.world import World

TOKENIZER = "tokenizer ceiling"
SPACING = 8  # frames between two moments of an episode at which marks are looked for
PER_EPISODE = 4  # trials
PLAIN = 6.0  # grey levels, root mean square, by which a change must show


class Trial(NamedTuple):
    """A change in the real game, and the same way without it.

    Attributes:
        place: the context before it.
        making, length: frames up to the change, and up to the return.
        box: left, upper, right and lower edge in pixels of what changes.
        controls: `(2, length, A)`, with the change and without.
        frames: what the game showed, uint8 `(2, length, H, W, 3)`.
    """

    place: Place
    making: int
    length: int
    box: tuple[int, int, int, int]
    controls: NDArray[np.float32]
    frames: NDArray[np.uint8]

    def cut(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What lies in the box of frames `(..., H, W, 3)`."""
        left, top, right, bottom = self.box
        return frames[..., top:bottom, left:right, :].astype(np.float64)


def measure_marks(world: World, env: Game, spec: GameSpec, dataset: Dataset, config: EvalConfig) -> dict[str, Any]:
    """Whether marks stay.

    Args:
        world: that is measured; its own state is left alone.
        env: the real game as it was recorded.
        spec: of the game, with `marks`.
        dataset: the split "eval".
        config: how many trials.

    Returns:
        By the wait out of view in frames ("0", and as many as the world looks back): `trials`, the number of them; `frames`, the
        mean number of frames from the change to the return; and by row `made`, the share of changes that are there at once,
        `stays`, of those that are there on return, and `left_alone`, of those not made that are not there then. All are None
        where there were no trials.

    Raises:
        DataError: if the game does not show what was recorded.
    """
    context = world.config.dynamics.window
    moments = list(_moments(env, spec, dataset, context, config))
    figures: dict[str, Any] = {}
    for wait in (0, context):
        bar = tqdm(moments, desc="changing the game's world", unit="mark", leave=False)
        trials = [trial for place in bar if (trial := _play(env, spec, dataset, place, context, wait)) is not None]
        figures[str(wait)] = _score(world, dataset, trials, config) if trials else {"trials": 0, "frames": None, "rows": {}}
    return figures


def _moments(env: Game, spec: GameSpec, dataset: Dataset, context: int, config: EvalConfig) -> Iterator[Place]:
    """Contexts of held-out episodes after which the player can make a mark, up to `config.marks`."""
    rng, left = np.random.default_rng(config.seed), config.marks
    for i in rng.permutation(len(dataset)).tolist():
        episode = dataset.episodes[i]
        if not left:
            return
        if not episode.replayable or episode.length <= context:
            continue
        found = [
            t
            for t, _ in enumerate(replay(env, dataset, i, episode.length - 1))
            if t >= context - 1 and t % SPACING == 0 and spec.find_mark(env) is not None
        ]
        for t in sorted(rng.permutation(found)[: min(PER_EPISODE, left)].tolist()):
            left -= 1
            yield Place(i, t - context + 1, 0)


def _play(env: Game, spec: GameSpec, dataset: Dataset, place: Place, context: int, wait: int) -> Trial | None:
    """A trial in the real game; None where the change does not show, or something came in between."""
    shown, given = [], []
    for change in (True, False):
        for _ in replay(env, dataset, place.episode, place.start + context - 1):
            pass
        mark = spec.find_mark(env)
        if mark is None:
            raise DataError(f"the game {spec.name} finds a mark at a moment, and none when it is played again; see its marks.")
        controls = [dataset.spec.to_vector(held) for held in _way(mark, change, wait)]
        frames: list[NDArray[np.uint8]] = []
        for vector in controls:
            frame, _, terminated, truncated, _ = env.step(dataset.spec.to_action(vector))
            if terminated or truncated:
                return None
            frames.append(frame)
        if not mark.intact():
            return None
        shown.append(np.stack(frames))
        given.append(np.stack(controls))
    assert mark is not None, "the game was played at least once"
    x, y, width, height = mark.box
    box = int(x), int(y), int(np.ceil(x + width)), int(np.ceil(y + height))
    trial = Trial(place, mark.making, len(controls), box, np.stack(given), np.stack(shown))
    difference = [np.subtract(*trial.cut(trial.frames[:, t])) for t in (trial.making - 1, -1)]
    return trial if all(np.sqrt(np.square(of).mean()) > PLAIN for of in difference) else None


def _way(mark: Mark, change: bool, wait: int) -> list[Controls]:
    """What is held frame by frame; without the change nothing is, instead of what makes it."""
    making = mark.controls[: mark.making] if change else mark.making * (Controls(),)
    return [*making, *mark.controls[mark.making : mark.turn], *wait * (Controls(),), *mark.controls[mark.turn :]]


def _score(world: World, dataset: Dataset, trials: Sequence[Trial], config: EvalConfig) -> dict[str, Any]:
    ways = [MODEL, EXPECTED[MODEL]] if world.config.dynamics.codes else [MODEL]
    views: dict[str, list[NDArray[np.uint8]]] = {TOKENIZER: [], **{row: [] for row in ways}}
    for trial in tqdm(trials, desc="changing the dreamed world", unit="mark", leave=False):
        views[TOKENIZER].append(decode(world, encode(world, trial.frames)))
        for row, rollout in zip(ways, _imagine(world, dataset, trial, ways, config.seed), strict=True):
            views[row].append(rollout.frames)
    return {
        "trials": len(trials),
        "frames": float(np.mean([trial.length - trial.making for trial in trials])),
        "rows": {row: _shares(trials, of) for row, of in views.items()},
    }


def _imagine(world: World, dataset: Dataset, trial: Trial, rows: Sequence[str], seed: int) -> list[Rollout]:
    """Dreams of a trial with the change and without, for each row."""
    context = world.config.dynamics.window
    clip = load_clips(dataset, [trial.place], context)
    past = encode(world, clip.frames).repeat(2, 1, 1, 1, 1)
    unseen = torch.zeros(2, trial.length, *past.shape[2:], device=past.device, dtype=past.dtype)
    controls = np.concatenate([clip.controls.repeat(2, 0), trial.controls], 1)
    ways = [Way(trial.controls, expected=row != MODEL) for row in rows]
    return roll_out(world, torch.cat([past, unseen], 1), controls, ways, [seed, seed], forced=False)


def _shares(trials: Sequence[Trial], views: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
    made, stays, alone = [], [], []
    for trial, view in zip(trials, views, strict=True):
        made.append(_changed(trial, view[0], trial.making - 1))
        stays.append(_changed(trial, view[0], -1))
        alone.append(not _changed(trial, view[1], -1))
    ones = np.ones(len(trials))
    return {name: estimate(np.array(of), ones) for name, of in (("made", made), ("stays", stays), ("left_alone", alone))}


def _changed(trial: Trial, view: NDArray[np.uint8], t: int) -> bool:
    """Whether frame `t` of a view `(length, H, W, 3)` looks more like the game with the change than without."""
    seen, (changed, unchanged) = trial.cut(view[t]), trial.cut(trial.frames[:, t])
    return bool(np.square(seen - changed).mean() < np.square(seen - unchanged).mean())
