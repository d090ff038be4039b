"""The studio: pictures and clips from words, pictures and clips, by one denoise loop.

>>> studio = Studio.from_pretrained("doom/studio")
>>> studio("a brick corridor, two soldiers ahead", frames=64, seed=7).save("clip.mp4")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.controls import Controls
from worldsim.errors import StudioError, check_int, check_number
from worldsim.model.heads import draw_controls
from worldsim.model.noise import add_noise, schedule
from worldsim.model.sampler import Stream, denoise
from worldsim.provenance import MARKS, Claim, MarkOptions
from worldsim.studio.clip import writing_clip
from worldsim.studio.config import MOST_CALLS, MOST_GUIDANCE, MOST_MADE
from worldsim.studio.controls import parse_controls, random_controls
from worldsim.studio.pictures import read_clip, read_picture, sized
from worldsim.studio.tasks import Canvas, Frames, blank, windows
from worldsim.world import World, WorldConfig
from worldsim.world.provenance import claim_of

DECODED = 32  # frames at a time, which bounds memory
FIRST_CALLS, FIRST_GUIDANCE = 16, 2.0  # of the frame with which a world that plays itself begins
OVERLAP = 8  # frames made before that a window sees
MOST_TOKENS = 400  # latents of a frame
POLICY = "policy"  # instead of controls: the world plays itself
Tick = Any  # a function without arguments, called after every network call, or None


@dataclass(frozen=True)
class Made:
    """A clip that the studio made.

    Attributes:
        frames: uint8 `(T, H, W, 3)`.
        given: bool `(T,)`, frames that were given, and are as they were.
        controls: float32 `(T, A)` in the world's units, NaN where none were given.
        prompt: as the world read it.
        seed: of its noise.
        fps: frames per second.
        claim: says how it was made, in the files that are saved.
    """

    frames: Frames
    given: NDArray[np.bool_]
    controls: NDArray[np.float32]
    prompt: str
    seed: int
    fps: float
    claim: Claim

    def save(self, path: str | Path, scale: int = 4, marks: MarkOptions = MARKS) -> Path:
        """Writes a clip (.mp4, .gif), or a picture of all frames from left to right (.png), marked as generated; frames that were
        given get no watermark. Returns its path.
        """
        path, size = Path(path), self.frames.shape[1:3]
        about: dict[str, Any] = {"fps": self.fps, "frames": len(self.frames), "scale": scale}
        with writing_clip(path, size, **about, claim=self.claim, marks=marks) as append:
            for frame, given in zip(self.frames, self.given, strict=True):
                append(frame, not given)
        return path


class Studio:
    """A world that makes pictures and clips.

    Args:
        world: any world; one without prompts reads none.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    @classmethod
    def from_pretrained(cls, name: str | Path, device: str = "auto") -> Studio:
        """Loads a world by shipped name, path or Hub id.

        Raises:
            WorldError: if there is none, or it is damaged.
        """
        return cls(World.load(name, device=device, runtime="torch"))

    @property
    def config(self) -> WorldConfig:
        return self.world.config

    @property
    def window(self) -> int:
        """Frames that are made together at most; longer clips are made window by window."""
        return self.config.dynamics.window

    def __call__(
        self,
        prompt: str = "",
        *,
        image: str | Path | Frames | None = None,
        video: str | Path | Frames | None = None,
        mask: Sequence[bool] | NDArray[Any] | None = None,
        frames: int | None = None,
        size: tuple[int, int] | None = None,
        controls: str | Sequence[Controls] | NDArray[np.float32] | None = None,
        strength: float = 1.0,
        num_steps: int = 16,
        guidance: float = 2.0,
        seed: int = 0,
        tick: Tick = None,
    ) -> Made:
        """Makes a clip.

        Args:
            prompt: what it shows, in plain words; "" for anything.
            image: its first frame: a file, or uint8 `(H, W, 3)`.
            video: frames to keep or to change: a file, or uint8 `(T, H, W, 3)`.
            mask: for each frame of `video` whether it is made anew (True) or kept; by default kept, unless `strength` is
                below 1, where all are changed.
            frames: of the whole clip; by default 16, or as many as `video` has.
            size: `(width, height)` in pixels, multiples of the tokenizer's factor; by default that of `image` or `video`,
                or else of the world in play.
            controls: that lead from frame to frame: such as "w*8,a*4" (see `parse_controls`), one `Controls` or row per frame,
                "policy" for the world's own, or None for unknown ones.
            strength: see `Canvas`.
            num_steps: network calls per window, or per frame with a policy.
            guidance: how closely the prompt is followed; see `denoise`.
            seed: of the noise; equal seeds give equal clips on one machine.
            tick: called after every network call.

        Raises:
            StudioError: if these do not fit each other.
            FileError: if a file cannot be read.
        """
        if image is not None and video is not None:
            raise StudioError("image and video were both given; give one of them.")
        canvas = self._canvas(image, video, mask, frames, size, strength)
        return self.render(canvas, prompt, controls=controls, num_steps=num_steps, guidance=guidance, seed=seed, tick=tick)

    def _canvas(self, image: Any, video: Any, mask: Any, frames: int | None, size: Any, strength: float) -> Canvas:
        factor, usual = self.config.tokenizer.factor, (self.config.width, self.config.height)
        frames = None if frames is None else check_int("frames", frames, 1, MOST_MADE, error=StudioError)
        if video is None and image is None:
            return blank(frames or self.window, sized(size or usual, factor))
        if image is not None:
            picture = read_picture(image, size, usual, factor)
            given, clip = np.arange(frames or self.window) == 0, picture[None]
        else:
            clip = read_clip(video, size, usual, factor)
            kept = np.full(len(clip), strength == 1) if mask is None else ~np.asarray(mask, bool)
            if kept.shape != (len(clip),):
                raise StudioError(f"mask has shape {kept.shape}, and video {len(clip)} frames; give one value for each.")
            given = np.concatenate([kept, np.zeros(max(0, (frames or 0) - len(clip)), bool)])[: frames or len(clip)]
        whole = np.zeros((len(given), *clip.shape[1:]), np.uint8)
        whole[: len(clip)] = clip[: len(given)]
        return Canvas(whole, given, strength)

    @torch.inference_mode()
    def render(
        self,
        canvas: Canvas,
        prompt: str = "",
        *,
        controls: str | Sequence[Controls] | NDArray[np.float32] | None = None,
        num_steps: int = 16,
        guidance: float = 2.0,
        seed: int = 0,
        tick: Tick = None,
    ) -> Made:
        """Fills in the frames of a canvas that are not given; arguments as of a call."""
        self._check(canvas, num_steps, guidance)
        words = self.world.words_of(prompt)
        generator = torch.Generator("cpu").manual_seed(check_int("seed", seed, 0, error=StudioError))
        if isinstance(controls, str) and controls == POLICY:
            frames, vectors = self._play(canvas, words, num_steps, generator, tick)
        else:
            vectors = self._controls(controls, len(canvas.frames), seed)
            frames = self._denoise(canvas, words, vectors, num_steps, guidance, generator, tick)
        frames[canvas.given] = canvas.frames[canvas.given]
        composite = bool(canvas.given.any()) or canvas.strength < 1
        claim = claim_of(self.world, seed, prompt, composite, num_steps=num_steps, guidance=float(guidance))
        return Made(frames, canvas.given, vectors * self.world.control_spec.scale(), prompt, seed, self.config.fps, claim)

    def _check(self, canvas: Canvas, num_steps: int, guidance: float) -> None:
        check_int("num_steps", num_steps, 1, MOST_CALLS, error=StudioError)
        check_number("guidance", guidance, 0, MOST_GUIDANCE, error=StudioError)
        check_int("frames", len(canvas.frames), 1, MOST_MADE, error=StudioError)
        height, width = canvas.frames.shape[1:3]
        rows, columns = self.config.tokenizer.grid(height, width)
        if rows * columns > MOST_TOKENS:
            raise StudioError(f"size was {width}x{height}, {rows * columns} latents a frame; at most {MOST_TOKENS} are made.")
        fixed = (self.config.width, self.config.height)
        if not self.config.dynamics.sized and (width, height) != fixed:
            raise StudioError(f"size was {width}x{height}; {self.config.name} makes {fixed[0]}x{fixed[1]} only.")

    def _controls(self, controls: Any, frames: int, seed: int) -> NDArray[np.float32]:
        """In the model's units `(T, A)`; NaN where unknown, or random ones in a world that has to know them."""
        spec = self.world.control_spec
        if controls is None:
            if self.config.dynamics.free_controls:
                return np.full((frames, spec.size), np.nan, np.float32)
            controls = list(islice(random_controls(spec, seed), frames))
        if isinstance(controls, str):
            controls = parse_controls(spec, controls, frames)
        return np.asarray(spec.to_vectors(controls, frames) / spec.scale(), np.float32)

    def reconstruct(self, frames: Frames) -> Frames:
        """What the tokenizer keeps of frames, uint8 `(T, H, W, 3)`: as well as the world can show them."""
        return self._decode(self._encode(frames))

    def _encode(self, frames: Frames) -> Tensor:
        """Latents `(T, h, w, C)` on the CPU."""
        parts = np.array_split(frames, max(1, len(frames) // DECODED))
        return torch.cat([self.world.encode(part).cpu() for part in parts])

    def _decode(self, latents: Tensor) -> Frames:
        parts = latents.to(self.world.device, self.world.dtype).split(DECODED)
        return np.concatenate([self.world.tokenizer.decode_frames(part).cpu().numpy() for part in parts])

    def _denoise(
        self,
        canvas: Canvas,
        words: Tensor | None,
        controls: NDArray[np.float32],
        num_steps: int,
        guidance: float,
        generator: torch.Generator,
        tick: Tick,
    ) -> Frames:
        world, known = self.world, canvas.given.copy()
        latents = self._encode(canvas.frames)
        noise = torch.randn(latents.shape, generator=generator, dtype=torch.float32, device="cpu")
        vectors = torch.from_numpy(controls).to(world.device, world.dtype)
        for begin, stop in windows(known, self.window, min(OVERLAP, self.window // 2)):
            part = slice(begin, stop)
            levels = schedule(known[part], num_steps, canvas.strength)
            z = add_noise(latents[None, part], noise[None, part], torch.from_numpy(levels[0])[None])
            made = denoise(
                world.dynamics,
                z.to(world.device, world.dtype),
                levels,
                vectors[None, part],
                causal=False,
                prompt=words,
                guidance=guidance,
                progress=tick,
            )
            latents[part], known[part] = made[0].float().cpu(), True
        return self._decode(latents)

    def _play(
        self, canvas: Canvas, words: Tensor | None, num_steps: int, generator: torch.Generator, tick: Tick
    ) -> tuple[Frames, NDArray[np.float32]]:
        """The world plays itself: the controls of each frame are drawn from what the model foresees after the frame before."""
        world, frames, config, spec = self.world, len(canvas.frames), self.config, self.world.control_spec
        first = int(np.argmin(canvas.given)) if not canvas.given.all() else frames
        if not config.dynamics.policy_bins or canvas.given[first:].any() or canvas.strength < 1:
            raise StudioError(
                'controls was "policy"; give it to a world that foresees controls, and only frames at the beginning of the clip.'
            )
        if not first:  # there has to be a frame to play on from
            picture, unknown = Canvas(canvas.frames[:1], canvas.given[:1]), np.full((1, spec.size), np.nan, np.float32)
            start = self._denoise(picture, words, unknown, FIRST_CALLS, FIRST_GUIDANCE, generator, None)
            canvas, first = Canvas(np.concatenate([start, canvas.frames[1:]]), np.arange(frames) == 0), 1
        latents = self._encode(canvas.frames[:first])
        grid = (latents.shape[1], latents.shape[2])
        stream = Stream(world.dynamics, grid, 1, num_steps=num_steps, context_level=config.context_level, prompt=words)
        vectors = torch.full((frames, spec.size), torch.nan, dtype=torch.float32, device="cpu")
        made = list(latents)

        def noise() -> Tensor:
            drawn = torch.randn((1, *latents.shape[1:]), generator=generator, dtype=torch.float32, device="cpu")
            return drawn.to(world.device)

        for t in range(first):
            stream.commit(latents[t, None].to(world.device), vectors[None, t], noise())
        current = torch.zeros(1, spec.size, dtype=torch.float32, device="cpu")
        for t in range(first, frames):
            if stream.foreseen is not None:
                logits = stream.foreseen.float().cpu()
                uniforms = torch.rand(logits.shape[:-1], generator=generator, dtype=torch.float32, device="cpu")
                current = draw_controls(logits, uniforms)
            vectors[t] = current[0]
            latent, *_ = stream.imagine(current.to(world.device), noise(), None)
            stream.commit(latent, current.to(world.device), noise())
            made.append(latent[0].float().cpu())
            if tick is not None:
                tick()
        return self._decode(torch.stack(made)), vectors.numpy()
