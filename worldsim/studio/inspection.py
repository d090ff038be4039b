"""Tells where a clip, a picture or a dataset comes from, by all that it shows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from worldsim.data.dataset import Dataset
from worldsim.errors import FileError, printable
from worldsim.provenance import Claim, manifest, tags, watermark
from worldsim.studio.config import STUDIO
from worldsim.studio.detector import Detector

FORMATS = {".mp4": "mp4", ".png": "png_pipe", ".gif": "gif"}  # of FFmpeg; no other is tried, so that no playlist is followed
MOST_FRAMES = 256  # of a clip that are looked at, the first ones
MOST_PIXELS = 2**25  # of a frame
LONGEST = 300  # characters of a text that is shown
JUDGED, WIDEST = 32, 2.5  # frames that the detector looks at, spread over the clip; width by height of a frame, not a strip


def inspect_file(path: Path) -> dict[str, Any]:
    """All that a file tells of where it comes from, ready for JSON.

    Args:
        path: an .mp4, .gif or .png by its content, whatever its name.

    Returns:
        `kind`, `width`, `height` and `frames` looked at; `claim`, of the metadata; `manifest`, of C2PA; `watermark`; `detector`.
        Each is None where there is none; `manifest` is a text where it cannot be read.

    Raises:
        FileError: if it cannot be read, is of another kind, or too large.
    """
    kind = tags.kind_of(path)
    claim = tags.read_claim(path, kind)
    signed: Any
    try:
        found = manifest.read(path, kind)
        signed = None if found is None else {**asdict(found), "claim": None if found.claim is None else found.claim.to_dict()}
    except FileError as error:
        signed = str(error)
    shapes: list[tuple[int, ...]] = []

    def looked_at() -> Iterator[NDArray[np.uint8]]:
        for frame in read_frames(path, kind):
            shapes.append(frame.shape)
            yield frame

    mark = watermark.find(looked_at())
    if not shapes:
        raise FileError(f"{path} shows no frame; it is damaged.")
    height, width, _ = shapes[0]
    return {
        "kind": kind[1:],
        "width": width,
        "height": height,
        "frames": len(shapes),
        "claim": None if claim is None else claim.to_dict(),
        "manifest": signed,
        "watermark": {**asdict(mark), "sure": mark.sure, "world_hash": f"{mark.payload:08x}"},
        "detector": judge(read_frames(path, kind), shapes) if width <= WIDEST * height else None,
    }


def judge(frames: Iterable[NDArray[np.uint8]], shapes: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """What the detector that ships says of the frames of a clip: `score`, `threshold`, and whether they look `dreamed`.

    Args:
        frames: of the clip, uint8 `(H, W, 3)`; some of those with the size of the first are judged.
        shapes: of each.
    """
    alike = [i for i, shape in enumerate(shapes) if shape == shapes[0]]
    chosen = {alike[i] for i in np.linspace(0, len(alike) - 1, JUDGED).round().astype(int)}
    detector = Detector.load()
    score = detector.score(np.stack([frame for i, frame in enumerate(frames) if i in chosen]))
    return {"score": score, "threshold": detector.threshold, "dreamed": score > detector.threshold}


def inspect_dataset(root: Path) -> dict[str, Any]:
    """Which episodes of a dataset a world dreamed, ready for JSON.

    Returns:
        `episodes`, how many there are, and `dreamed`: for each world its `world`, `world_hash` and numbers of `episodes`.

    Raises:
        DataError: if there is no dataset, or it is damaged.
    """
    dataset, worlds = Dataset(root), dict[tuple[str, str], list[int]]()
    for episode in dataset.episodes:
        claim = Claim.of_labels(asdict(episode))
        if claim is not None:
            worlds.setdefault((claim.world, claim.world_hash), []).append(episode.index)
    dreamed = [{"world": world, "world_hash": digest, "episodes": them} for (world, digest), them in worlds.items()]
    return {"episodes": len(dataset), "dreamed": dreamed}


def read_frames(path: Path, kind: str) -> Iterator[NDArray[np.uint8]]:
    """The first frames of a file, uint8 `(H, W, 3)`.

    Raises:
        FileError: if it is damaged or too large.
    """
    try:
        with av.open(os.path.abspath(path), format=FORMATS[kind], metadata_errors="replace") as container:
            if not container.streams.video:
                raise FileError(f"{path} holds no picture; it is damaged, or not what it seems.")
            _check_size(path, container.streams.video[0].codec_context)
            for number, frame in enumerate(container.decode(video=0)):
                if number == MOST_FRAMES:
                    return
                _check_size(path, frame)
                yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    except (av.FFmpegError, OSError) as error:
        raise FileError(f"{path} cannot be decoded ({error}); it is damaged, or not what it seems.") from error


def _check_size(path: Path, shown: Any) -> None:
    if shown is None:
        raise FileError(f"{path} is coded in an unknown way; it is damaged, or not what it seems.")
    if shown.width * shown.height > MOST_PIXELS:
        raise FileError(f"{path} has {shown.width}x{shown.height} pixels; at most {MOST_PIXELS:,} in all are looked at.")


def format_inspection(name: str, report: Mapping[str, Any]) -> str:
    """What `inspect_file` found, as lines to read; texts out of the file are escaped and cut."""
    pictures = f"{report['frames']} frame{'s' if report['frames'] > 1 else ''}"
    lines = [f"{_text(name)}: {report['kind']}, {report['width']}x{report['height']} pixels, {pictures} looked at"]
    claim, signed, mark = report["claim"], report["manifest"], report["watermark"]
    lines.append(f"metadata: {_claimed(claim)}" if claim else "metadata: do not say that it is generated")
    if claim and claim["prompt"]:
        lines.append(f"prompt: {_text(claim['prompt'])}")
    lines.append(f"C2PA manifest: {_signed(signed)}")
    agreeing = f"{mark['agreeing']} of {watermark.BITS} known bits are right"
    if mark["sure"]:
        lines.append(f"watermark: of a world whose hash begins with {mark['world_hash']}; {agreeing}, p = {mark['p']:.1g}")
    else:
        lines.append(f"watermark: none; {agreeing}, as by chance")
    lines.append(f"detector: {_judged(report['detector'])}")
    claims = [("metadata", claim), ("manifest", signed.get("claim") if isinstance(signed, Mapping) else None)]
    hashes = {what: stated["world_hash"][:8] for what, stated in claims if stated and stated["world_hash"]}
    hashes |= {"watermark": mark["world_hash"]} if mark["sure"] and mark["payload"] else {}
    if len(set(hashes.values())) > 1:
        lines.append(f"these name different worlds: {', '.join(f'{what} {_text(digest)}' for what, digest in hashes.items())}")
    return "\n".join(lines)


def format_dataset(name: str, report: Mapping[str, Any]) -> str:
    """What `inspect_dataset` found, as lines to read."""
    count = sum(len(world["episodes"]) for world in report["dreamed"])
    lines = [f"{_text(name)}: {count} of {report['episodes']} episodes were dreamed, the others recorded"]
    for world in report["dreamed"]:
        digest = f" ({_text(world['world_hash'])})" if world["world_hash"] else ""
        lines.append(f"by {_text(world['world'] or 'an unknown world')}{digest}: episodes {ranges(world['episodes'])}")
    return "\n".join(lines)


def ranges(numbers: Sequence[int]) -> str:
    """Rising numbers as text, such as "0 to 4, 7"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join(" to ".join(map(str, part)) for part in parts)


def _claimed(claim: Mapping[str, Any]) -> str:
    world = f"{_text(claim['world'])}{' (' + _text(claim['world_hash']) + ')' if claim['world_hash'] else ''}"
    settings = "".join(f", {_text(key)} {_text(value)}" for key, value in list(claim["sampler"].items())[:10])
    seed = "" if claim["seed"] is None else f", seed {_text(claim['seed'])}"
    return f"generated by {_text(claim['generated_by'])}, world {world}{seed}{settings}; {claim['digital_source_type']}"


def _signed(signed: Any) -> str:
    if signed is None:
        return "none"
    if isinstance(signed, str):
        return _text(signed)
    where = "on this computer" if signed["here"] else "elsewhere, nobody here knows by whom"
    signer, maker, source = (_text(signed[name]) or "?" for name in ("signer", "maker", "source"))
    says = f"signed {where}, as {signer}; made with {maker}; {source}"
    if signed["valid"]:
        return f"valid, {says}"
    return f"INVALID, the file is not as it was signed ({_text(', '.join(signed['problems'])) or 'unknown'}); {says}"


def _judged(judged: Mapping[str, Any] | None) -> str:
    if judged is None:
        return "does not look at film strips"
    looks = f"looks dreamed by {STUDIO}" if judged["dreamed"] else f"sees no trace of {STUDIO}, the one world that it knows"
    return f"{looks} (score {judged['score']:.1f}; dreams are above {judged['threshold']:.1f})"


def _text(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return printable(str(value), LONGEST)
