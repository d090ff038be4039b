"""Held-out clips, and what a world imagines in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

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


class Way(NamedTuple):
    """A way to imagine the last F frames of clips: under which controls `(B, F, A)`, and whether the expected frame is taken
    instead of drawing codewords, in worlds that have them."""

    controls: NDArray[np.float32]
    expected: bool = False


@torch.inference_mode()
def roll_out(
    world: World,
    latents: Tensor,
    controls: NDArray[np.float32],
    ways: Sequence[Way],
    seeds: Sequence[int],
    forced: bool,
    progress: Callable[[int], object] = lambda frames: None,
) -> list[Rollout]:
    """Imagines the last frames of clips in several ways.

    Args:
        world: whose networks, `num_steps` and context level to use; its own state is left alone.
        latents: of whole clips, `(B, T, h, w, C)`.
        controls: that produced them, `(B, T, A)` in the units of the control spec.
        ways: all of F frames; the others are context.
        seeds: one per clip; equal seeds give equal noise, in every way.
        forced: teacher forcing: every frame is imagined after the real ones (under the real controls); otherwise
            after the imagined ones.
        progress: called with the number of frames that were just imagined.

    Returns:
        What was imagined, for each way.
    """
    context = latents.shape[1] - ways[0].controls.shape[1]
    scale = world.control_spec.scale()
    given, *wanted = (torch.from_numpy(c / scale).to(world.device) for c in (controls, *(way.controls for way in ways)))
    past = latents[:, :context], given[:, :context]

    def shown(latent: Tensor, reward: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        progress(len(latents))
        return world.decode(latent).cpu(), reward, end

    if not forced:
        imagined = []
        for way, under in zip(ways, wanted, strict=True):
            noise = _Noise(world, seeds)
            rollout = world.new_stream(len(latents)).rollout((*past, noise.normal(context)), under, noise.draws(way.expected))
            imagined.append([shown(*frame) for frame in rollout])
        return [_stack(frames) for frames in imagined]
    noise, stream = _Noise(world, seeds), world.new_stream(len(latents))
    stream.prefill(*past, noise.normal(context))
    made: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in ways]
    for t, (first, uniforms, later) in zip(range(context, latents.shape[1]), noise.draws(False), strict=False):
        for way, under, frames in zip(ways, wanted, made, strict=True):  # all of them after the same past
            frames.append(shown(*stream.imagine(under[:, t - context], first, None if way.expected else uniforms)))
        stream.commit(latents[:, t], given[:, t], later)
    return [_stack(frames) for frames in made]


class _Noise:
    """Random numbers of clips, each with its own seed."""

    def __init__(self, world: World, seeds: Sequence[int]) -> None:
        self._rows = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self._world = world

    def normal(self, *frames: int) -> Tensor:
        """`(B, *frames, h, w, C)`."""
        shape = (*frames, *self._world.latent_shape)
        drawn = [torch.randn(*shape, generator=row, device="cpu", dtype=torch.float32) for row in self._rows]
        return torch.stack(drawn).to(self._world.device)

    def draws(self, expected: bool) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
        """What `Stream.rollout` takes for each frame."""
        while True:
            uniforms = [torch.rand(*self._world.grid, generator=row, device="cpu", dtype=torch.float32) for row in self._rows]
            yield self.normal(), None if expected else torch.stack(uniforms), self.normal()


def _stack(frames: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Rollout:
    return Rollout(*(torch.stack(part, 1).cpu().numpy() for part in zip(*frames, strict=True)))
