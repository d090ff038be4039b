"""Objects, not only pixels: what a world shows of its game's things, counted by a probe against the game's own object list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import trange

from worldsim.data import Dataset, DatasetInfo
from worldsim.envs.games import DoomEnv, make, make_policy
from worldsim.errors import DataError
from worldsim.eval.dreams import Place, first_rows
from worldsim.eval.fidelity import psnr
from worldsim.eval.probe import Boxes, Probe, detect, is_small, load_probe, match, save_probe, train_probe
from worldsim.world import World

# Class of object -> names in the game's list. Games that are not listed are evaluated without objects.
CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "doom/take-cover": {"fireball": ("DoomImpBall",), "monster": ("DoomImp",)},
}
POLICY = "random"
EVERY = 4  # of the frames played, one in so many is used for training the probe: neighbours are alike
FIRST_SEED = 2**32  # datasets have seeds of 31 bits
SAME_GAME = 20.0  # dB by which a replayed frame must match the recorded one


@dataclass(frozen=True)
class ProbeConfig:
    """How the probe is trained.

    Attributes:
        frames: real frames to train on.
        steps: training steps.
        seed: of games, weights and batches.
    """

    frames: int = 6000
    steps: int = 1500
    seed: int = 0


class Observation(NamedTuple):
    """A real frame, uint8 `(H, W, 3)`, its objects and the number of its episode."""

    frame: NDArray[np.uint8]
    boxes: Boxes
    episode: int


def open_game(info: DatasetInfo) -> DoomEnv:
    """The real game as it was recorded, with its object list."""
    return make(info.game, objects=True, frame_skip=info.frame_skip, height=info.height, width=info.width)


def get_probe(env: DoomEnv, info: DatasetInfo, config: ProbeConfig, cache: Path) -> Probe:
    """The probe of a game: from `cache` if it is there, otherwise trained now and kept there."""
    classes = len(CLASSES[info.game])
    key = hashlib.sha256(repr((info.game, info.frame_shape, info.frame_skip, CLASSES[info.game], config)).encode()).hexdigest()
    path = cache / f"probe-{key[:16]}.safetensors"
    if path.exists():
        return load_probe(path, classes)
    frames, boxes = [], []
    for i, seen in enumerate(play(env, info.game, config.frames * EVERY, FIRST_SEED + config.seed)):
        if i % EVERY == 0:
            frames.append(seen.frame)
            boxes.append(seen.boxes)
    probe = train_probe(np.stack(frames), boxes, classes, config.steps, config.seed)
    save_probe(probe, path)
    return probe


def play(env: DoomEnv, game: str, frames: int, seed: int) -> Iterator[Observation]:
    """Real play by the random policy, episode after episode, `frames` frames in all."""
    policy, episode, left = make_policy(POLICY, env.control_spec), 0, frames
    while left > 0:
        frame, info = env.reset(seed=seed + episode)
        policy.reset(np.random.default_rng(seed + episode))
        over = False
        while left > 0 and not over and info["has_frame"]:
            yield Observation(frame, labelled(info, game), episode)
            left -= 1
            frame, _, terminated, truncated, info = env.step(policy.act(info))
            over = terminated or truncated
        episode += 1


def labelled(info: dict[str, Any], game: str) -> Boxes:
    """The objects in a game's `info` that belong to one of its classes."""
    kinds = {name: kind for kind, names in enumerate(CLASSES[game].values()) for name in names}
    boxes = [(kinds[name], *box) for name, *box in info["objects"] if name in kinds]
    return np.array(boxes, np.float32).reshape(-1, 5)


def replay(env: DoomEnv, dataset: Dataset, place: Place, context: int) -> list[Boxes]:
    """Objects in the predicted frames of a clip, by playing its episode again from its seed; one entry per frame that exists.

    Raises:
        DataError: if the game does not show what was recorded.
    """
    episode = dataset.episodes[place.episode]
    first, stop = place.start + context, min(place.start + context + place.predicted, episode.length)
    row = first_rows(dataset)[place.episode]
    frame, info = env.reset(seed=episode.seed)
    boxes = [labelled(info, dataset.info.game)]
    for action in dataset.rows.actions[row : row + stop - 1]:
        frame, *_, info = env.step(action)
        boxes.append(labelled(info, dataset.info.game))
    agreement = float(psnr(frame, dataset.frames(place.episode, stop - 1, stop)[0]))
    if agreement < SAME_GAME:
        raise DataError(
            f"episode {episode.index} of {dataset.root}, played again, does not show what was recorded ({agreement:.1f} dB): the "
            "installed game is another version; collect the dataset again, or evaluate without objects."
        )
    return boxes[first:]


def score(probe: Probe, frames: NDArray[np.uint8], boxes: Sequence[Sequence[Boxes]], classes: int) -> NDArray[np.int64]:
    """Detections in clips `(B, F, H, W, 3)` against the objects of each; only frames with an entry in `boxes` count.

    Returns:
        `(B, classes, 3)`: objects to find, objects found, false alarms.
    """
    totals = np.zeros((len(frames), classes, 3), np.int64)
    for b, of_clip in enumerate(boxes):
        for found, labels in zip(detect(probe, frames[b, : len(of_clip)]), of_clip, strict=True):
            totals[b] += match(found, labels, classes)
    return totals


def dream_counts(world: World, probe: Probe, frames: int, seed: int) -> NDArray[np.int64]:
    """Objects that the probe finds in dreams that are never reset, under the random policy, a dream per row of `world`.

    Returns:
        `(dreams, frames, classes)`.
    """
    classes = len(CLASSES[world.config.game])
    policies = [make_policy(POLICY, world.control_spec) for _ in range(world.batch)]
    for row, policy in enumerate(policies):
        policy.reset(np.random.default_rng((seed, row)))
    world.reset(seed=seed)
    counts = np.zeros((world.batch, frames, classes), np.int64)
    for t in trange(frames, desc="dreaming", unit="frame", leave=False):
        step = world.step(np.stack([policy.act({}) for policy in policies]))
        counts[:, t] = [_count(found, classes) for found in detect(probe, step.frame)]
    return counts


@dataclass(frozen=True)
class RealCounts:
    """Objects per frame of real play, `(frames, classes)`, by the probe and by the game's list, and each frame's episode."""

    probed: NDArray[np.int64]
    listed: NDArray[np.int64]
    episodes: NDArray[np.int64]


def real_counts(env: DoomEnv, game: str, probe: Probe, frames: int, seed: int) -> RealCounts:
    """Objects in real play under the random policy."""
    classes = len(CLASSES[game])
    probed, listed, episodes = [], [], []
    for seen in play(env, game, frames, FIRST_SEED**2 + seed):
        probed.append(_count(detect(probe, seen.frame[None])[0], classes))
        listed.append(_count(seen.boxes[~is_small(seen.boxes)], classes))
        episodes.append(seen.episode)
    return RealCounts(np.stack(probed), np.stack(listed), np.array(episodes))


def _count(objects: NDArray[np.float32], classes: int) -> NDArray[np.int64]:
    """`(classes,)`: how many of each class, which stands first in each row."""
    return np.bincount(objects[:, 0].astype(int), minlength=classes)
