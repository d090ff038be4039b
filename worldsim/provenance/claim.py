"""What a generated file says of itself. Importing this loads nothing large."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

LONGEST = 65_536  # characters of a claim that is read
MOST_PROMPT = 4_000  # characters of a prompt that a claim keeps: few enough for `LONGEST` however they are escaped
SETTINGS = ("num_steps", "guidance", "context_level", "temperature", "runtime", "dtype")  # of a sampler, in a claim
MAKER = "worldsim"
SOURCES = {False: "trainedAlgorithmicMedia", True: "compositeWithTrainedAlgorithmicMedia"}


@dataclass(frozen=True)
class MarkOptions:
    """How generated clips are marked, besides with metadata. Recordings of real games never are.

    Attributes:
        c2pa: sign a manifest (C2PA), which says that the clip is generated and shows whether it was changed.
        watermark: change the pixels, invisibly, so that `worldsim inspect` still knows them once the metadata are lost.
    """

    c2pa: bool = True
    watermark: bool = True


MARKS = MarkOptions()


@dataclass(frozen=True)
class Claim:
    """That frames are generated, and how.

    Attributes:
        world: name of the world.
        world_hash: of its files, hexadecimal; "" where it was never saved.
        seed: of the noise; None where it is not known.
        sampler: settings, such as `num_steps`, `temperature` or `guidance`, and `runtime`.
        prompt: as the world read it, or the beginning of a very long one.
        composite: whether some of it was given, such as frames of a clip that was extended.
        maker: program and version.
    """

    world: str
    world_hash: str = ""
    seed: int | None = None
    sampler: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
    composite: bool = False
    maker: str = field(default_factory=lambda: f"{MAKER} {version('worldsim-dit')}")

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", self.prompt[:MOST_PROMPT])

    @property
    def source(self) -> str:
        """The kind of source in the vocabulary of IPTC, https://cv.iptc.org/newscodes/digitalsourcetype."""
        return SOURCES[self.composite]

    @property
    def payload(self) -> int:
        """What a watermark holds: the first 32 bits of the world's hash; 0 without one."""
        try:
            return int(self.world_hash[:8] or "0", 16)
        except ValueError:
            return 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "generated_by": self.maker,
            "digital_source_type": self.source,
            "world": self.world,
            "world_hash": self.world_hash,
            "seed": self.seed,
            "sampler": dict(self.sampler),
            "prompt": self.prompt,
        }

    def to_text(self) -> str:
        """JSON in ASCII, which every kind of file can hold."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_text(cls, text: str) -> Claim | None:
        """What `to_text` made; None for anything else."""
        try:
            return cls.from_dict(json.loads(text)) if len(text) <= LONGEST else None
        except (ValueError, RecursionError):
            return None

    @classmethod
    def from_dict(cls, given: Any) -> Claim | None:
        """What `to_dict` made; None for anything else."""
        if not isinstance(given, Mapping):
            return None
        names = ("generated_by", "digital_source_type", "world", "world_hash", "prompt")
        maker, source, world, world_hash, prompt = (given.get(name, "") for name in names)
        seed, sampler = given.get("seed"), given.get("sampler", {})
        texts = all(isinstance(value, str) for value in (maker, source, world, world_hash, prompt))
        if not texts or not maker.startswith(f"{MAKER} ") or source not in SOURCES.values():
            return None
        if not isinstance(sampler, Mapping) or (seed is not None and not isinstance(seed, int)):
            return None
        return cls(world, world_hash, seed, sampler, prompt, source == SOURCES[True], maker)

    @classmethod
    def of_labels(cls, labels: Mapping[str, Any]) -> Claim | None:
        """Of an episode of a dataset, by its labels (see `worldsim.data.format.LABELS`); None unless a world dreamed it."""
        sampler, world_hash = labels.get("sampler"), labels.get("world_hash")
        if not sampler and not world_hash:
            return None
        try:
            settings = json.loads(sampler or "{}")
        except (ValueError, RecursionError):
            settings = {}
        settings = settings if isinstance(settings, dict) else {}
        kept = {name: settings[name] for name in SETTINGS if name in settings}
        return cls(str(settings.get("world", "")), world_hash or "", labels.get("seed"), kept, str(settings.get("prompt", "")))
