"""How often objects are seen in long dreams, and in real play that begins at the same moments under the same policy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm, trange

from worldsim.data import Dataset
from worldsim.envs.games import Game, make_policy
from worldsim.errors import DataError
from worldsim.eval.clips import Place, encode, load_clips
from worldsim.eval.config import EvalConfig
from worldsim.eval.fidelity import Estimate, estimate, ratio
from worldsim.eval.objects import POLICY, labelled, object_classes
from worldsim.eval.probe import Probe, detect, is_small, tally
from worldsim.eval.replay import replay
from worldsim.world import World

MOMENTS = 64  # start contexts, at most one of each held-out episode


class Sightings(NamedTuple):
    """What was seen in frames of play, in their order.

    Attributes:
        found: objects that the probe found, int64 `(frames, classes)`.
        confidence: the probe's, summed over them, float64 `(frames, classes)`.
        listed: objects in the game's list, without those that are too small; None for dreams.
        episode: int64 `(frames,)`, which episode each frame belongs to.
        ended: bool `(episodes,)`, which of them ended, rather than going on when counting stopped.
    """

    found: NDArray[np.int64]
    confidence: NDArray[np.float64]
    listed: NDArray[np.int64] | None
    episode: NDArray[np.int64]
    ended: NDArray[np.bool_]

    def per_frame(self, values: NDArray[Any]) -> Estimate:
        """Mean of `values` `(frames,)`, episodes being the samples."""
        return estimate(self._sums(values), self._sums(np.ones(len(self.episode))))

    def confidence_in(self, kind: int) -> Estimate:
        """Mean confidence of the probe in the objects of a class that it found."""
        return estimate(self._sums(self.confidence[:, kind]), self._sums(self.found[:, kind]))

    def ends_per_frame(self) -> Estimate:
        """Episode ends per frame."""
        return estimate(self.ended, self._sums(np.ones(len(self.episode))))

    def quarters(self) -> list[Sightings]:
        """The first quarter of the frames, and so on."""
        parts = np.array_split(np.arange(len(self.episode)), 4)
        return [Sightings(self.found[p], self.confidence[p], None, self.episode[p], self.ended) for p in parts]

    def _sums(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(self.episode, values, len(self.ended))


class Dreamt(NamedTuple):
    """A frame of each of some long dreams.

    Attributes:
        frames: uint8 `(B, H, W, 3)`.
        counted: bool `(B,)`, whether it belongs to an episode; the game shows none where an episode ends.
        episode: int64 `(B,)`, number of the dream, those that go on from another start being others.
        age: int64 `(B,)`, number of the frame in it, from 1.
        start: int64 `(B,)`, start context of the dream.
    """

    frames: NDArray[np.uint8]
    counted: NDArray[np.bool_]
    episode: NDArray[np.int64]
    age: NDArray[np.int64]
    start: NDArray[np.int64]


def set_moments(world: World, dataset: Dataset, config: EvalConfig) -> list[Place]:
    """Gives the world start contexts out of the dataset; where they lie in it.

    Raises:
        DataError: if no held-out episode is as long as a context.
    """
    context = world.config.dynamics.window
    places = draw_moments(dataset, context, MOMENTS, config.seed)
    clips = load_clips(dataset, places, context)
    world.set_starts(encode(world, clips.frames), torch.from_numpy(clips.controls / world.control_spec.scale()))
    return places


def measure_rates(
    world: World, env: Game, dataset: Dataset, probe: Probe, config: EvalConfig, keep: Callable[[Dreamt], None] | None = None
) -> dict[str, Any]:
    """Objects per frame in long dreams and in as much real play, and how sure the probe is of them.

    Dreams and real play begin at the same recorded moments and go on under the same random policy.

    Args:
        world: with a batch of `config.dreams`; it gets other start contexts, see `set_moments`.
        env: the real game as it was recorded.
        dataset: the split "eval".
        probe: of the game.
        config: how much to count.
        keep: is given every frame of the dreams.

    Returns:
        `per_frame` by class, and `ends`, how many episodes end per frame.

    Raises:
        DataError: if no held-out episode is as long as a context, or the game does not show what was recorded.
    """
    places = set_moments(world, dataset, config)
    frames = config.dreams * config.dream_frames
    real = real_sightings(env, dataset, probe, places, world.config.dynamics.window, frames, config.seed)
    dreams = dream_sightings(world, probe, config.dream_frames, config.seed, keep)
    ends = {"dreams": dreams.ends_per_frame(), "real": real.ends_per_frame()}
    classes = object_classes(dataset.info.game)
    return {"per_frame": {name: _figures(dreams, real, kind) for kind, name in enumerate(classes)}, "ends": ends}


def _figures(dreams: Sightings, real: Sightings, kind: int) -> dict[str, Any]:
    """What is known of one class, by its position."""
    assert real.listed is not None
    seen, wanted = dreams.per_frame(dreams.found[:, kind]), real.per_frame(real.found[:, kind])
    return {
        "dreams": seen,
        "dreams_by_quarter": [part.per_frame(part.found[:, kind]) for part in dreams.quarters()],
        "real": wanted,
        "real_listed": real.per_frame(real.listed[:, kind]),
        "ratio": ratio(seen, wanted),
        "confidence": {"dreams": dreams.confidence_in(kind), "real": real.confidence_in(kind)},
    }


def draw_moments(dataset: Dataset, context: int, count: int, seed: int) -> list[Place]:
    """Random start contexts, one of each of up to `count` episodes."""
    rng = np.random.default_rng(seed)
    lengths = np.array([episode.length for episode in dataset.episodes])
    long = rng.permutation(np.flatnonzero(lengths >= context))[:count]
    if not len(long):
        raise DataError(f"no held-out episode of {dataset.root} is {context} frames long; collect longer ones.")
    return [Place(int(i), int(rng.integers(0, lengths[i] - context + 1)), 0) for i in long]


def dream(world: World, frames: int, seed: int) -> Iterator[Dreamt]:
    """Long dreams of `frames` frames under the random policy.

    Every row of `world` is a dream; where the world ends it, it goes on from another start.
    """
    seeds = itertools.count(seed)
    policies = [make_policy(POLICY, world.control_spec) for _ in range(world.batch)]
    for row, policy in enumerate(policies):
        policy.reset(np.random.default_rng((seed, row)))
    world.reset(seed=[next(seeds) for _ in policies])
    episode, age, begun = np.arange(world.batch), np.zeros(world.batch, np.int64), world.batch
    for _ in trange(frames, desc="dreaming", unit="frame", leave=False):
        start = np.array([origin.start if origin else 0 for origin in world.origins])
        step = world.step(np.stack([policy.act({}) for policy in policies]))
        age += 1
        yield Dreamt(step.frame, ~step.terminated, episode.copy(), age.copy(), start)
        over = np.flatnonzero(step.terminated)
        if len(over):
            world.restart(over.tolist(), seed=[next(seeds) for _ in over])
            episode[over], age[over] = begun + np.arange(len(over)), 0
            begun += len(over)


def dream_sightings(
    world: World, probe: Probe, frames: int, seed: int, keep: Callable[[Dreamt], None] | None = None
) -> Sightings:
    """What the probe finds in long dreams, see `dream`; the frames with which episodes end are not counted."""
    classes = len(object_classes(world.config.game))
    parts: list[tuple[NDArray[Any], ...]] = []
    ended = np.zeros(world.batch + world.batch * frames, bool)
    for moment in dream(world, frames, seed):
        parts.append((*_search(probe, moment.frames, classes), moment.episode, moment.counted))
        ended[moment.episode] |= ~moment.counted
        if keep is not None:
            keep(moment)
    found, confidence, episode, counted = (np.concatenate(part) for part in zip(*parts, strict=True))
    begun = world.batch + int(ended.sum())
    return Sightings(found[counted], confidence[counted], None, episode[counted], ended[:begun])


def real_sightings(
    env: Game, dataset: Dataset, probe: Probe, places: Sequence[Place], context: int, frames: int, seed: int
) -> Sightings:
    """What the probe finds in `frames` frames of real play.

    The recorded episodes are played again up to the ends of the contexts at `places`, in turn, and go on from there under the
    random policy.
    """
    game = dataset.info.game
    classes, spec = len(object_classes(game)), dataset.spec
    policy = make_policy(POLICY, spec)
    parts: list[tuple[NDArray[Any], ...]] = []
    ended: list[bool] = []
    left = frames
    with tqdm(total=frames, desc="playing the game", unit="frame", leave=False) as bar:
        while left:
            place = places[len(ended) % len(places)]
            *_, (_, info) = replay(env, dataset, place.episode, place.start + context - 1)
            policy.reset(np.random.default_rng((seed, len(ended))))
            seen, boxes, over = [], [], False
            while left:
                frame, _, terminated, truncated, info = env.step(spec.to_action(policy.act(info)))
                over = terminated or truncated
                if over:
                    break
                seen.append(frame)
                boxes.append(labelled(info, game, dataset.info.height))
                left -= 1
                bar.update()
            if seen:
                listed = np.stack([tally(of_frame[~is_small(of_frame, probe.smallest)], classes) for of_frame in boxes])
                parts.append((*_search(probe, np.stack(seen), classes), listed, np.full(len(seen), len(ended))))
            ended.append(over)
    found, confidence, listed, episode = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Sightings(found, confidence, listed, episode, np.array(ended))


def _search(probe: Probe, frames: NDArray[np.uint8], classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Objects found in frames `(n, H, W, 3)`, and the sums of the confidence in them; both `(n, classes)`."""
    places = detect(probe, frames)
    sums = [np.bincount(found[:, 0].astype(int), found[:, 3], classes) for found in places]
    return np.stack([tally(found, classes) for found in places]), np.stack(sums)
