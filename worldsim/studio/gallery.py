"""One clip of every task of the studio, beside what the game shows in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from worldsim.data.images import ClipWriter
from worldsim.errors import DataError
from worldsim.files import write_text
from worldsim.provenance.claim import MarkOptions
from worldsim.studio import tasks
from worldsim.studio.config import StudioEvalConfig
from worldsim.studio.data_config import GalleryConfig
from worldsim.studio.evaluate import GIVEN, Held, read_held
from worldsim.studio.following import Example, examples
from worldsim.studio.pipeline import POLICY, Studio
from worldsim.studio.tasks import Frames
from worldsim.world import world_hash
from worldsim.world.provenance import claim_of

GAP, SCALE, SHOWN = 4, 1, 3  # white pixels between two clips; how large a pixel is in the file, and on the page
PAGE = "README.md"
PROMPTS, CLIPS = 4, 7  # of prompts, and of held-out recordings for the other tasks
PLAYED = "the player strafes left and right in a tan brick hall"
EDITED = "a green field under a dark sky"


@dataclass(frozen=True)
class Piece:
    """A clip of the gallery.

    Attributes:
        name: of its file.
        text: what is seen.
        real: what the game shows, uint8 `(T, H, W, 3)`.
        made: what the world shows, of the same shape.
    """

    name: str
    text: str
    real: Frames
    made: Frames


def make_gallery(config: GalleryConfig) -> list[Piece]:
    """Makes the clips, and a page that shows them.

    Returns:
        What was made.

    Raises:
        WorldError, DataError, FileError: if the world or the recordings are missing, or the folder cannot be written.
    """
    studio = Studio.from_pretrained(config.world, config.device)
    size = studio.config.width, studio.config.height
    root = config.data / f"{size[0]}x{size[1]}"
    if not (root / "meta").is_dir():
        raise DataError(f"{config.data} holds no recordings of {root.name}; give the folder of held-out recordings.")
    held, shown = read_held(root, StudioEvalConfig(clips=CLIPS, seed=config.seed)), examples([root], PROMPTS, config.seed)
    pieces = list(tqdm(prompted(studio, shown, config.seed), desc="prompts", total=len(shown), unit="clip"))
    pieces += tqdm(joined(studio, held, config.seed), desc="tasks", unit="clip")
    config.out.mkdir(parents=True, exist_ok=True)
    claim, marks = claim_of(studio.world, config.seed, composite=True), MarkOptions(config.c2pa, watermark=False)
    for piece in pieces:
        with ClipWriter(config.out / f"{piece.name}.gif", studio.config.fps, SCALE, claim, marks) as clip:
            for frame in beside(piece.real, piece.made):
                clip.append(frame)
    about = "" if studio.world.folder is None else f" (hash {world_hash(studio.world.folder)[:8]})"
    write_text(config.out / PAGE, page(pieces, f"{studio.config.name}{about}, seed {config.seed}"))
    return pieces


def prompted(studio: Studio, shown: Sequence[Example], seed: int) -> Iterator[Piece]:
    """Clips of held-out prompts beside the recordings that they describe."""
    for i, example in enumerate(shown):
        height, width = example.frames.shape[1:3]
        made = studio(example.prompt, frames=len(example.frames), size=(width, height), seed=seed + i).frames
        yield Piece(f"prompt-{i + 1}", f"Generated from the words \u201c{example.prompt}\u201d", example.frames, made)


def joined(studio: Studio, held: Held, seed: int) -> Iterator[Piece]:
    """Clips of all other tasks, each of another held-out recording; of its own play only by a world that foresees controls."""
    clips, n = held.clips, held.clips.shape[1] - 2 * GIVEN

    def made(canvas: tasks.Canvas, i: int, prompt: str = "", known: bool = True) -> Frames:
        controls = held.controls[i, : len(canvas.frames)] if known else None
        guidance = 2.0 if prompt else 1.0
        return studio.render(canvas, prompt, controls=controls, guidance=guidance, seed=seed).frames

    clip = clips[0][: GIVEN + n]
    yield Piece(
        "animate", "Animated from its first frame, under the recorded controls", clip, made(tasks.animate(clip[0], len(clip)), 0)
    )
    clip = clips[1][: GIVEN + n]
    extended = tasks.extend(clip[:GIVEN], after=n)
    yield Piece("extend-after", f"Extended after its first {GIVEN} frames, under the recorded controls", clip, made(extended, 1))
    clip = clips[2][: GIVEN + n]
    extended = tasks.extend(clip[n:], before=n)
    yield Piece("extend-before", f"Extended before its last {GIVEN} frames, under the recorded controls", clip, made(extended, 2))
    clip = clips[3]
    connected = tasks.connect(clip[:GIVEN], clip[GIVEN + n :], n)
    yield Piece("connect", f"Connected: the {n} frames in the middle are made", clip, made(connected, 3))
    clip = clips[4][:GIVEN]
    looped = tasks.closed(made(tasks.loop(clip, n), 4, known=False), GIVEN, n)
    yield Piece("loop", f"Looped: {n} frames lead from its end back to its beginning", np.resize(clip, looped.shape), looped)
    clip = clips[5][: studio.window]
    text = f"Edited at strength 0.9 with the words \u201c{EDITED}\u201d"
    yield Piece("edit", text, clip, made(tasks.edit(clip, 0.9), 5, EDITED, known=False))
    if not studio.config.dynamics.policy_bins:
        return
    clip = clips[6]
    canvas = tasks.extend(clip[:GIVEN], after=len(clip) - GIVEN)
    played = studio.render(canvas, PLAYED, controls=POLICY, num_steps=studio.config.num_steps, seed=seed).frames
    yield Piece("policy", f"Played by the world itself from frame {GIVEN} on, told \u201c{PLAYED}\u201d", clip, played)


def beside(real: Frames, made: Frames) -> Frames:
    """Two clips of one shape beside each other, the game's to the left."""
    gap = np.full((*real.shape[:2], GAP, 3), 255, np.uint8)
    return np.concatenate([real, gap, made], axis=2)


def page(pieces: Sequence[Piece], about: str) -> str:
    """Markdown that shows the clips."""
    lines = [
        "# Gallery",
        "",
        f"One clip of every task of [the studio](../how-to/studio.md), by {about}. Left: the game. Right: the world.",
    ]
    for piece in pieces:
        width = SHOWN * (2 * piece.made.shape[2] + GAP)
        picture = f'<img src="{piece.name}.gif" alt="{piece.name}" width="{width}" style="image-rendering: pixelated">'
        lines += ["", f"**{piece.text}.**", "", picture]
    return "\n".join(lines) + "\n"
