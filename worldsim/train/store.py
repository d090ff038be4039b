"""What training reads: random frames for the tokenizer, random latent windows for the dynamics; both memory-mapped."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from worldsim.data import Dataset, Rows
from worldsim.data.clips import align
from worldsim.errors import DataError
from worldsim.files import write_json
from worldsim.model.tokenizer import Tokenizer, to_images

MAX_FRAME_BYTES = 3_000_000_000


class FrameStore:
    """A random subset of a dataset's frames, decoded once; uint8 `(n, H, W, 3)`."""

    def __init__(self, dataset: Dataset, path: Path, seed: int):
        episodes = np.random.default_rng(seed).permutation(len(dataset.episodes))
        budget = min(MAX_FRAME_BYTES // int(np.prod(dataset.frame_shape)), dataset.total_frames)
        key = f"{dataset.fingerprint}-{budget}"
        if not _is_current(path, key):
            frames = _open(path, np.uint8, (budget, *dataset.frame_shape), "w+")
            at = 0
            for whole in tqdm(_decoded(dataset, episodes.tolist()), desc="decoding frames", unit="episode"):
                decoded = whole[: budget - at]
                frames[at : at + len(decoded)] = decoded
                at += len(decoded)
                if at >= budget:
                    break
            _mark(path, key)
        self.frames = _open(path, np.uint8, (budget, *dataset.frame_shape), "r")

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


class LatentStore:
    """Every frame of a dataset as latents, encoded once; controls, rewards and ends are shifted onto the frames they produced.

    Args:
        dataset: the recordings.
        tokenizer: the encoder.
        path: of the latents' file.
        device: where to encode.
        mirrored: add every episode once more, with left and right swapped in frames and controls.
    """

    def __init__(self, dataset: Dataset, tokenizer: Tokenizer, path: Path, device: torch.device, mirrored: bool = False):
        height, width, _ = dataset.frame_shape
        grid, copies, total = tokenizer.config.grid(height, width), 1 + mirrored, dataset.total_frames
        shape = (copies, total, *grid, tokenizer.config.latent_channels)
        key = f"{dataset.fingerprint}-{_weights_hash(tokenizer)}" + "-mirrored" * mirrored
        if not _is_current(path, key):
            self._encode(dataset, tokenizer, _open(path, np.float16, shape, "w+"), device)
            _mark(path, key)
        self.latents = _open(path, np.float16, (copies * total, *shape[2:]), "r")
        self.lengths = np.tile(dataset.lengths, copies)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        spec, rows = dataset.spec, dataset.rows
        once = replace(rows, actions=rows.actions / spec.scale())
        turned = replace(rows, actions=spec.mirror(rows.actions) / spec.scale())
        self.rows = Rows.join([once, turned][:copies])
        self.ended = self.rows.terminated[self.offsets[1:] - 1]

    @staticmethod
    @torch.inference_mode()
    def _encode(dataset: Dataset, tokenizer: Tokenizer, out: NDArray[np.float16], device: torch.device) -> None:
        at = 0
        for frames in tqdm(_decoded(dataset, range(len(dataset))), desc="encoding latents", unit="episode", total=len(dataset)):
            for chunk in torch.from_numpy(frames).split(128):
                for copy, shown in zip(out, (chunk, chunk.flip(2)), strict=False):
                    with torch.autocast(device.type, torch.bfloat16):
                        latents = tokenizer.encode(to_images(shown.to(device), torch.bfloat16))
                    copy[at : at + len(chunk)] = latents.half().cpu().numpy()
                at += len(chunk)

    def window(self, episode: int, start: int, frames: int) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
        """Latents `(frames, h, w, C)` and the controls `(frames, A)` that produced them, from one episode."""
        clips = align(self.rows, self.offsets, np.array([episode]), np.array([start]), frames)
        return self.latents[clips.rows[0]], clips.controls[0]

    def batch(self, size: int, frames: int, rng: np.random.Generator) -> Windows:
        """Random windows of frames that exist, uniform over all that fit."""
        room = self._room(frames)
        if room.max(initial=0) <= 0:
            raise DataError(f"no episode is {frames} frames long (longest: {self.lengths.max(initial=0)}); use a shorter window.")
        starts = np.cumsum(room)
        draw = rng.integers(0, starts[-1], size)
        episode = np.searchsorted(starts, draw, side="right")
        return self._windows(episode, draw - np.concatenate([[0], starts])[episode], frames)

    def ending(self, size: int, frames: int, rng: np.random.Generator, last: bool = False) -> Windows:
        """Windows in which an episode ends, at most `size` of them: at any frame but the first, or at the last where `last`."""
        ended = np.flatnonzero(self.ended & (self.lengths >= frames - 1)) if last else np.flatnonzero(self.ended)
        chosen = rng.permutation(ended)[:size]
        lengths = self.lengths[chosen]
        place = np.full(len(chosen), frames - 1) if last else rng.integers(1, 1 + np.minimum(lengths, frames - 1))
        return self._windows(chosen, lengths - place, frames)

    def ending_share(self, frames: int) -> float:
        """Share of windows in which an episode ends, when every frame is as likely as any other at every place of a window."""
        ending = np.minimum(self.lengths[self.ended], frames - 1).sum()
        return float(ending / max(ending + self._room(frames).sum(), 1))

    def _room(self, frames: int) -> NDArray[np.int64]:
        """How many windows of so many frames each episode holds."""
        return np.maximum(self.lengths - frames + 1, 0)

    def _windows(self, episode: NDArray[np.int64], first: NDArray[np.int64], frames: int) -> Windows:
        clips = align(self.rows, self.offsets, episode, first, frames)
        return Windows(
            latents=torch.from_numpy(self.latents[clips.rows]),
            **{name: torch.from_numpy(getattr(clips, name)) for name in ("controls", "rewards", "ends", "real", "known")},
        )


def _decoded(dataset: Dataset, episodes: Sequence[int], ahead: int = 4) -> Iterator[NDArray[np.uint8]]:
    """Frames of each episode in turn, decoded in the background."""
    with ThreadPoolExecutor(2) as pool:
        waiting = deque(pool.submit(dataset.frames, i) for i in episodes[:ahead])
        for i in episodes[ahead:]:
            yield waiting.popleft().result()
            waiting.append(pool.submit(dataset.frames, i))
        while waiting:
            yield waiting.popleft().result()


def _open(path: Path, dtype: type, shape: tuple[int, ...], mode: str) -> NDArray:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "w+":
        path.with_suffix(".json").unlink(missing_ok=True)  # until it is whole
    return np.memmap(path, dtype=dtype, mode=mode, shape=shape)  # type: ignore[call-overload, no-any-return]


def _is_current(path: Path, key: str) -> bool:
    mark = path.with_suffix(".json")
    return path.exists() and mark.exists() and json.loads(mark.read_text())["key"] == key


def _mark(path: Path, key: str) -> None:
    write_json(path.with_suffix(".json"), {"key": key})


def _weights_hash(tokenizer: Tokenizer) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tokenizer.state_dict().items()):
        digest.update(name.encode() + value.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
