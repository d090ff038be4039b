"""Objects: what a world shows of its game's things, found by a small detector (a probe) and compared with the game's own list."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from tqdm import tqdm

from worldsim.data import Dataset, DatasetInfo
from worldsim.envs.games import Game, ObjectClass, known_game, make_policy, recorded_game
from worldsim.eval.clips import Place
from worldsim.eval.config import ProbeConfig
from worldsim.eval.probe import (
    SMALLEST,
    WIDTHS,
    Boxes,
    Probe,
    detect,
    is_small,
    load_probe,
    match,
    save_probe,
    train_probe,
)
from worldsim.eval.replay import replay

POLICY = "random"
ZOOM = 2  # times by which frames are enlarged for the probe, where things are too small for it
EVERY = 4  # every fourth frame is used to train the probe: neighbours are alike
FIRST_SEED = 2**32  # recorded episodes have seeds of 31 bits


class Play(NamedTuple):
    """A real episode: frames uint8 `(L, H, W, 3)` and the objects of each."""

    frames: NDArray[np.uint8]
    boxes: list[Boxes]


def object_classes(game: str) -> Mapping[str, ObjectClass]:
    """Classes of objects by name; none where the game is unknown or lists nothing."""
    spec = known_game(game)
    return spec.object_classes() if spec else {}


def open_game(info: DatasetInfo) -> Game:
    """The real game as it was recorded, with its object list."""
    spec = recorded_game(info.game)
    listed: dict[str, Any] = {"objects": True} if "objects" in spec.options else {}
    return spec.start(frame_skip=info.frame_skip, height=info.height, width=info.width, **listed)


def get_probe(env: Game, info: DatasetInfo, config: ProbeConfig, cache: Path) -> Probe:
    """The probe of a game: from `cache` if it is there and whole, otherwise trained now and kept there."""
    classes = object_classes(info.game)
    apart = [of.heights[0] * info.height / 2 for of in classes.values()]  # half as far as they are tall
    made_from = (info.game, info.frame_shape, info.frame_skip, dict(classes), config, WIDTHS, SMALLEST)
    path = cache / f"probe-{hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]}.safetensors"
    if path.exists():
        try:
            return load_probe(path, apart)
        except (SafetensorError, RuntimeError, OSError):
            print(f"{path} is damaged; the object probe is trained again.", file=sys.stderr)
    frames: list[NDArray[np.uint8]] = []
    boxes: list[Boxes] = []
    with tqdm(total=config.frames, desc="playing the game for the object probe", unit="frame", leave=False) as bar:
        for episode in play(env, info.game, FIRST_SEED + config.seed):
            frames += list(episode.frames[::EVERY])
            boxes += episode.boxes[::EVERY]
            bar.update(min(len(frames), config.frames) - bar.n)
            if len(frames) >= config.frames:
                break
    zoom = ZOOM if _too_small(boxes, len(classes)) else 1
    probe = train_probe(np.stack(frames), boxes, apart, config.steps, config.seed, zoom)
    save_probe(probe, path)
    return probe


def _too_small(boxes: Sequence[Boxes], classes: int) -> bool:
    """Whether most things of a class are too small for a probe that takes frames as they are."""
    every = np.concatenate(boxes)
    small = is_small(every)
    return any(small[every[:, 0] == kind].mean() > 0.5 for kind in range(classes) if (every[:, 0] == kind).any())


def play(env: Game, game: str, seed: int) -> Iterator[Play]:
    """Real episodes by the random policy, without end."""
    spec = env.get_wrapper_attr("control_spec")
    policy = make_policy(POLICY, spec)
    for episode_seed in itertools.count(seed):
        frame, info = env.reset(seed=episode_seed)
        policy.reset(np.random.default_rng(episode_seed))
        frames, boxes, over = [], [], False
        while not over:
            frames.append(frame)
            boxes.append(labelled(info, game, len(frame)))
            frame, _, terminated, truncated, info = env.step(spec.to_action(policy.act(info)))
            over = terminated or truncated
        yield Play(np.stack(frames), boxes)


def labelled(info: dict[str, Any], game: str, height: int) -> Boxes:
    """The objects in a game's `info` that belong to one of its classes; frames are `height` pixels high."""
    boxes = [
        (kind, x, y, w, h)
        for kind, (names, (low, high)) in enumerate((of.names, of.heights) for of in object_classes(game).values())
        for name, x, y, w, h in info["objects"]
        if name in names and low < h / height <= high
    ]
    return np.array(boxes, np.float32).reshape(-1, 5)


def clip_boxes(env: Game, dataset: Dataset, place: Place, context: int) -> list[Boxes]:
    """Objects in the predicted frames of a clip, one entry per frame that exists; its episode is played again.

    Raises:
        DataError: if the game does not show what was recorded.
    """
    stop = min(place.start + context + place.predicted, dataset.episodes[place.episode].length)
    boxes = [labelled(info, dataset.info.game, dataset.info.height) for _, info in replay(env, dataset, place.episode, stop - 1)]
    return boxes[place.start + context :]


def search(probe: Probe, frames: NDArray[np.uint8], boxes: Sequence[Sequence[Boxes]]) -> list[list[NDArray[np.float32]]]:
    """What the probe finds in those frames of clips `(B, F, H, W, 3)` that have an entry in `boxes`: per clip and frame."""
    return [detect(probe, clip[: len(of_clip)]) for clip, of_clip in zip(frames, boxes, strict=True)]


def score(
    found: Sequence[Sequence[NDArray[np.float32]]], boxes: Sequence[Sequence[Boxes]], classes: int, smallest: float
) -> NDArray[np.int64]:
    """What the probe found in the frames of clips, against the objects of each.

    Args:
        found: per clip and frame, see `detect`.
        boxes: per clip and frame.
        classes: how many there are.
        smallest: see `match`.

    Returns:
        `(clips, classes, 4)`, summed over frames; see `match`.
    """
    totals = np.zeros((len(boxes), classes, 4), np.int64)
    for total, of_clip, labels in zip(totals, found, boxes, strict=True):
        for detections, of_frame in zip(of_clip, labels, strict=True):
            total += match(detections, of_frame, classes, smallest)
    return totals
