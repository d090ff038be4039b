"""What training reads: random frames for the tokenizer, random latent windows for the dynamics; both memory-mapped."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.data import Dataset, Rows
from worldsim.data.clips import align
from worldsim.device import autocast, compute_dtype
from worldsim.errors import DataError
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.train import distributed
from worldsim.train.cache import cached_array
from worldsim.train.checks import check_fields
from worldsim.train.progress import Phase

FLAGS = ("terminated", "truncated")  # of rows


@dataclass(frozen=True)
class CacheConfig:
    """How recordings are prepared for training.

    Attributes:
        frame_bytes: of decoded frames kept on disk for the tokenizer, at most; of a longer dataset, some episodes are left out.
        batch: frames encoded at a time.
        threads: that decode episodes.
        ahead: episodes decoded ahead of need.
    """

    frame_bytes: int = 3_000_000_000
    batch: int = 128
    threads: int = 2
    ahead: int = 4

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("frame_bytes", "batch", "threads", "ahead"), 1))

    def frames(self, dataset: Dataset) -> int:
        """How many frames of a dataset are kept."""
        return min(max(1, self.frame_bytes // math.prod(dataset.frame_shape)), dataset.total_frames)


class FrameStore:
    """A random subset of a dataset's frames, decoded once; uint8 `(n, H, W, 3)`.

    Args:
        dataset: the recordings.
        path: of the frames' file.
        seed: of the choice of episodes, where not all are kept.
        config: how many are kept.
    """

    def __init__(self, dataset: Dataset, path: Path, seed: int, config: CacheConfig | None = None):
        config = config or CacheConfig()
        episodes = np.random.default_rng(seed).permutation(len(dataset.episodes)).tolist()
        count = config.frames(dataset)

        def decode(frames: NDArray[np.uint8]) -> None:
            stops = np.cumsum(dataset.lengths[episodes])
            needed = int(np.searchsorted(stops, count)) + 1  # episodes
            mine = _mine(needed)
            with Phase("decoding frames", -(-count // distributed.count()), "frame") as phase:
                for i, whole in zip(mine, _decoded(dataset, [episodes[i] for i in mine], config), strict=True):
                    at = int(stops[i]) - len(whole)
                    decoded = whole[: count - at]
                    frames[at : at + len(decoded)] = decoded
                    phase.advance(len(decoded))

        self.frames = cached_array(path, self.key_of(dataset, count), np.uint8, (count, *dataset.frame_shape), decode)

    @staticmethod
    def key_of(dataset: Dataset, count: int) -> str:
        """Names the frames: those of a dataset, or so many of them."""
        return f"{dataset.fingerprint}-{count}"

    def batch(self, size: int, rng: np.random.Generator) -> Tensor:
        """Random frames, uint8 `(size, H, W, 3)`."""
        return torch.from_numpy(self.frames[np.sort(rng.integers(0, len(self.frames), size))])


@dataclass
class Windows:
    """A batch of latent windows. Entry `t` of everything belongs to frame `t`; controls, reward and end produced that frame.

    Attributes:
        latents: `(B, T, h, w, C)`.
        controls: `(B, T, A)` in the model's units.
        rewards: `(B, T)` float32.
        ends: `(B, T)` bool: the episode ended in place of this frame.
        real: `(B, T)` bool: False for an end and what would come after it, of which no picture exists.
        known: `(B, T)` bool: False for an episode's first frame, which no action produced, and for what would come after an end.
    """

    latents: Tensor
    controls: Tensor
    rewards: Tensor
    ends: Tensor
    real: Tensor
    known: Tensor

    @classmethod
    def join(cls, one: Windows, other: Windows) -> Windows:
        """The windows of one batch, then those of another."""
        return cls(**{name: torch.cat([value, getattr(other, name)]) for name, value in vars(one).items()})

    def rows(self, chosen: slice) -> Windows:
        """Some of the windows."""
        return Windows(**{name: value[chosen] for name, value in vars(self).items()})


class LatentStore:
    """Every frame of a dataset as latents, encoded once; controls, rewards and ends are shifted onto the frames they produced.

    Args:
        dataset: the recordings.
        tokenizer: the encoder.
        path: of the latents' file.
        device: where to encode.
        mirrored: add every episode once more, with left and right swapped in frames and controls.
        config: how episodes are read.

    Attributes:
        latents: `(frames, h, w, C)` float16, episode after episode, on disk.
        key: names the recordings and the tokenizer that they were encoded by.
    """

    def __init__(
        self,
        dataset: Dataset,
        tokenizer: Tokenizer,
        path: Path,
        device: torch.device,
        mirrored: bool = False,
        config: CacheConfig | None = None,
    ):
        height, width, _ = dataset.frame_shape
        grid, copies = tokenizer.config.grid(height, width), 1 + mirrored
        shape = (copies * dataset.total_frames, *grid, tokenizer.config.latent_channels)
        self.key = f"{dataset.fingerprint}-{_weights_hash(tokenizer)}" + "-mirrored" * mirrored

        def encode(out: NDArray[np.float16]) -> None:
            whole = out.reshape(copies, dataset.total_frames, *shape[1:])
            _encode(dataset, tokenizer, whole, device, config or CacheConfig())

        self.latents = cached_array(path, self.key, np.float16, shape, encode)
        self.lengths = np.tile(dataset.lengths, copies)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.rows = _stored_rows(dataset, path.with_name(f"{path.stem}-rows.bin"), copies)
        self.ended = self.rows.terminated[self.offsets[1:] - 1]

    def window(self, episode: int, start: int, frames: int) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
        """Latents `(frames, h, w, C)` and the controls `(frames, A)` that produced them, from one episode."""
        clips = align(self.rows, self.offsets, np.array([episode]), np.array([start]), frames)
        return self.latents[clips.rows[0]], clips.controls[0]

    def batch(self, size: int, frames: int, rng: np.random.Generator) -> Windows:
        """Random windows of frames that exist, uniform over all that fit."""
        return self.windows(*self.draw(size, frames, rng), frames)

    def ending(self, size: int, frames: int, rng: np.random.Generator, last: bool = False) -> Windows:
        """Windows in which an episode ends, at most `size` of them: at any frame but the first, or at the last where `last`."""
        ended = np.flatnonzero(self.ended & (self.lengths >= frames - 1)) if last else np.flatnonzero(self.ended)
        chosen = rng.permutation(ended)[:size]
        lengths = self.lengths[chosen]
        place = np.full(len(chosen), frames - 1) if last else rng.integers(1, 1 + np.minimum(lengths, frames - 1))
        return self.windows(chosen, lengths - place, frames)

    def ending_share(self, frames: int) -> float:
        """Share of windows in which an episode ends, when every frame is as likely as any other at every place of a window."""
        ending = np.minimum(self.lengths[self.ended], frames - 1).sum()
        return float(ending / max(ending + self._room(frames).sum(), 1))

    def _room(self, frames: int) -> NDArray[np.int64]:
        """How many windows of so many frames each episode holds."""
        return np.maximum(self.lengths - frames + 1, 0)

    def draw(self, size: int, frames: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Episodes and first frames `(size,)` of random windows, uniform over all that fit."""
        room = self._room(frames)
        if room.max(initial=0) <= 0:
            raise DataError(f"no episode is {frames} frames long (longest: {self.lengths.max(initial=0)}); use a shorter window.")
        starts = np.cumsum(room)
        draw = rng.integers(0, starts[-1], size)
        episode = np.searchsorted(starts, draw, side="right")
        return episode, draw - np.concatenate([[0], starts])[episode]

    def windows(self, episode: NDArray[np.int64], first: NDArray[np.int64], frames: int) -> Windows:
        """The windows of these episodes that begin at these frames."""
        clips = align(self.rows, self.offsets, episode, first, frames)
        return Windows(
            latents=torch.from_numpy(self.latents[clips.rows]),
            **{name: torch.from_numpy(getattr(clips, name)) for name in ("controls", "rewards", "ends", "real", "known")},
        )


def _stored_rows(dataset: Dataset, path: Path, copies: int) -> Rows:
    """Actions in the model's units, rewards and ends of all frames, then, for a second copy, with left and right swapped; on
    disk, since those of a large dataset do not fit into memory."""
    spec, frames = dataset.spec, dataset.total_frames
    kinds = np.dtype([("actions", np.float32, (spec.size,)), ("rewards", np.float32), *((name, np.bool_) for name in FLAGS)])

    def fill(out: NDArray) -> None:
        whole = out.reshape(copies, frames)
        for i in _mine(len(dataset)):
            rows, part = dataset.episode_rows(i), slice(dataset.offsets[i], dataset.offsets[i + 1])
            for copy, actions in zip(whole, (rows.actions, spec.mirror(rows.actions)), strict=False):
                copy["actions"][part] = actions / spec.scale()
                for name in ("rewards", *FLAGS):
                    copy[name][part] = getattr(rows, name)

    stored = cached_array(path, f"{dataset.fingerprint}-{copies}", kinds, (copies * frames,), fill)
    return Rows(*(stored[name] for name in ("actions", "rewards", *FLAGS)))


@torch.inference_mode()
def _encode(dataset: Dataset, tokenizer: Tokenizer, out: NDArray[np.float16], device: torch.device, config: CacheConfig) -> None:
    """Fills `out` `(1 or 2, frames, h, w, C)`: the frames as recorded, then, where asked for, mirrored. Each process takes some
    of the episodes."""
    mine = _mine(len(dataset))
    with Phase("encoding latents", int(dataset.lengths[mine.start :: mine.step].sum()), "frame") as phase:
        for i, frames in zip(mine, _decoded(dataset, mine, config), strict=True):
            at = int(dataset.offsets[i])
            for chunk in torch.from_numpy(frames).split(config.batch):
                for copy, shown in zip(out, (chunk, chunk.flip(2)), strict=False):
                    with autocast(device):
                        latents = tokenizer.encode(to_images(shown.to(device), compute_dtype(device)))
                    copy[at : at + len(chunk)] = latents.half().cpu().numpy()
                at += len(chunk)
                phase.advance(len(chunk))


def _mine(episodes: int) -> range:
    """Which of so many episodes this process reads."""
    return range(distributed.rank(), episodes, distributed.count())


def _decoded(dataset: Dataset, episodes: Sequence[int], config: CacheConfig) -> Iterator[NDArray[np.uint8]]:
    """Frames of each episode in turn, decoded in the background."""
    with ThreadPoolExecutor(config.threads) as pool:
        waiting = deque(pool.submit(dataset.frames, i) for i in episodes[: config.ahead])
        for i in episodes[config.ahead :]:
            yield waiting.popleft().result()
            waiting.append(pool.submit(dataset.frames, i))
        while waiting:
            yield waiting.popleft().result()


def _weights_hash(tokenizer: Tokenizer) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tokenizer.state_dict().items()):
        digest.update(name.encode() + value.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
