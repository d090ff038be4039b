"""Held-out clips, and what a world imagines in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.data import Clips, Dataset
from worldsim.errors import DataError
from worldsim.model.tokenizer import to_images
from worldsim.world import World


class Place(NamedTuple):
    """Where a clip lies: position of its episode in the dataset, position of its first frame in the episode, and its number of
    frames to predict."""

    episode: int
    start: int
    predicted: int


def draw_places(dataset: Dataset, context: int, horizon: int, count: int, seed: int) -> list[Place]:
    """Random clips, of which no two predict the same frame.

    Episodes are cut into clips of `context` frames and up to `horizon` predicted ones, the contexts overlapping; an episode's
    end counts as predicted. Equal arguments give equal clips; fewer than `count` where the dataset has no more.

    Raises:
        DataError: if there are not even two clips.
    """
    places = []
    terminated = dataset.rows.terminated[dataset.offsets[1:] - 1]
    for i, episode in enumerate(dataset.episodes):
        stop = episode.length + bool(terminated[i])
        starts = range(0, stop - context, horizon)
        places += [Place(i, start, min(horizon, stop - context - start)) for start in starts]
    if len(places) < 2:
        raise DataError(
            f"{dataset.root} has {len(places)} held-out clips of {context} frames and one to predict, at least 2 are needed; "
            "collect more held-out frames."
        )
    order = np.random.default_rng(seed).permutation(len(places))
    return [places[i] for i in order[:count]]


def load_clips(dataset: Dataset, places: Sequence[Place], length: int, frames: bool = True) -> Clips:
    """The clips at `places`, of `length` frames, context included; without `frames` only their numbers."""
    return dataset.clips([place.episode for place in places], [place.start for place in places], length, frames=frames)


class Rollout(NamedTuple):
    """What a world imagined: frames uint8 `(B, F, H, W, 3)`, rewards and chances of the end, float32 `(B, F)`."""

    frames: NDArray[np.uint8]
    rewards: NDArray[np.float32]
    ends: NDArray[np.float32]


@torch.inference_mode()
def encode(world: World, frames: NDArray[np.uint8]) -> Tensor:
    """Latents `(B, T, h, w, C)` of uint8 frames `(B, T, H, W, 3)`, in the world's dtype and on its device."""
    flat = torch.from_numpy(frames).flatten(0, 1).split(64)
    latents = torch.cat([world.tokenizer.encode(to_images(part.to(world.device), world.dtype)) for part in flat])
    return latents.unflatten(0, frames.shape[:2])


@torch.inference_mode()
def decode(world: World, latents: Tensor) -> NDArray[np.uint8]:
    """Frames uint8 `(B, T, H, W, 3)` of latents `(B, T, h, w, C)`."""
    flat = latents.flatten(0, 1).split(64)
    return torch.cat([world.decode(part).cpu() for part in flat]).unflatten(0, latents.shape[:2]).numpy()


@torch.inference_mode()
def roll_out(
    world: World,
    latents: Tensor,
    controls: NDArray[np.float32],
    imagined: NDArray[np.float32],
    seeds: Sequence[int],
    forced: bool,
    expected: bool = False,
) -> Rollout:
    """Imagines the last frames of clips.

    Args:
        world: whose networks, `num_steps` and context level to use; its own state is left alone.
        latents: of whole clips, `(B, T, h, w, C)`.
        controls: that produced them, `(B, T, A)` in the units of the control spec.
        imagined: controls `(B, F, A)` under which to imagine the last F frames; the others are context.
        seeds: one per clip; equal seeds give equal noise.
        forced: teacher forcing: every frame is imagined after the real ones (under the real controls); otherwise
            after the imagined ones.
        expected: use the expected frame instead of drawing codewords, in worlds that have them.
    """
    context = latents.shape[1] - imagined.shape[1]
    rows = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    drawn: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
    scale = world.control_spec.scale()
    given, wanted = (torch.from_numpy(c / scale).to(world.device) for c in (controls, imagined))
    stream = world.new_stream(len(latents))

    def noise(*frames: int) -> Tensor:
        return torch.stack([torch.randn(*frames, *latents.shape[2:], generator=row, **drawn) for row in rows]).to(world.device)

    def draws() -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
        while True:
            uniforms = torch.stack([torch.rand(*world.grid, generator=row, **drawn) for row in rows])
            yield noise(), None if expected else uniforms, noise()

    start = (latents[:, :context], given[:, :context], noise(context))
    truth = (latents[:, context:], given[:, context:]) if forced else (None, None)
    predictions = [
        (world.decode(latent).cpu(), reward, end) for latent, reward, end in stream.rollout(start, wanted, draws(), *truth)
    ]
    return Rollout(*(torch.stack(part, 1).cpu().numpy() for part in zip(*predictions, strict=True)))
