"""What a world's `config.json` holds. All of it is checked before anything is made of it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from worldsim.controls import ControlSpec
from worldsim.errors import ConfigError, WorldError, WorldsimError, check_flag, check_int, check_number, shown, suggest
from worldsim.model.dit import DiTConfig
from worldsim.model.tokenizer import TokenizerConfig

FORMAT_VERSION = 2
RENAMED = {"steps": "num_steps"}  # fields of format 1
LONGEST, LONGEST_SOURCE = 100, 4200  # characters of a name, and of a path with a hash
MOST_FIGURES = 1000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?")
NESTED: dict[str, type[Any]] = {"control_spec": ControlSpec, "tokenizer": TokenizerConfig, "dynamics": DiTConfig}

T = TypeVar("T")


@dataclass(frozen=True)
class WorldConfig:
    """What `config.json` holds.

    Attributes:
        name: such as "doom/take-cover"; letters, digits and `_.-`, with at most one slash.
        game: the real game it was learned from, named alike.
        height, width: of a frame, in pixels.
        fps: the world's own rate, frames per second.
        frame_skip: game tics per frame.
        control_spec: what it listens to.
        tokenizer, dynamics: sizes of the networks.
        num_steps: denoising steps per frame, by default.
        context_level: noise level in [0, 1) at which past frames are kept.
        draw_level: noise level in [0, 1] that the first step goes to where codewords are drawn; see `Stream`.
        rounds: network calls in which the codewords of a frame are drawn; more than 1 needs `dynamics.reveals`.
        data: fingerprint of the training episodes.
        source: where the game was loaded from and the hash of that file, to be read by people; nothing is loaded from it.
        mirrored: it was trained on them with left and right swapped, too.
        figures: measured figures, by name.
        format_version: of the folder.

    Raises:
        ConfigError: if a field is of the wrong type or out of range, or two do not fit together.
    """

    name: str
    game: str
    height: int
    width: int
    fps: float
    frame_skip: int
    control_spec: ControlSpec
    tokenizer: TokenizerConfig
    dynamics: DiTConfig
    num_steps: int = 2
    context_level: float = 0.05
    draw_level: float = 0.15
    rounds: int = 1
    data: str = ""
    source: str = ""
    mirrored: bool = False
    figures: Mapping[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        for name in ("name", "game"):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > LONGEST or NAME.fullmatch(value) is None:
                raise ConfigError(f"{name} was {shown(value)}; give letters, digits and _.-, with at most one slash inside.")
        for name, most in {"height": 8192, "width": 8192, "frame_skip": 1000, "num_steps": 1000, "rounds": 64}.items():
            object.__setattr__(self, name, check_int(name, getattr(self, name), 1, most))
        check_number("fps", self.fps, 0.001, 1000)
        check_number("context_level", self.context_level, 0, 1, below=True)
        check_number("draw_level", self.draw_level, 0, 1)
        for name, most in {"data": LONGEST, "source": LONGEST_SOURCE}.items():
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > most or not value.isprintable():
                raise ConfigError(f"{name} was {shown(value)}; give a short printable text.")
        check_flag("mirrored", self.mirrored)
        if not isinstance(self.figures, Mapping) or len(self.figures) > MOST_FIGURES:
            raise ConfigError(f"figures was {shown(self.figures)}; give at most {MOST_FIGURES:,} figures by name.")
        check_int("format_version", self.format_version, 1, FORMAT_VERSION)
        self._check_networks()

    def _check_networks(self) -> None:
        for name, kind in NESTED.items():
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"{name} was {shown(getattr(self, name))}; give a {kind.__name__}.")
        self.tokenizer.grid(self.height, self.width)
        if self.rounds > 1 and not self.dynamics.reveals:
            raise ConfigError(f"rounds was {self.rounds}, and dynamics.reveals is false; give 1, or a model that reveals.")
        for part, given, wanted in (
            ("latent_channels", self.dynamics.latent_channels, self.tokenizer.latent_channels),
            ("controls", self.dynamics.controls, self.control_spec.size),
        ):
            if given != wanted:
                source = "tokenizer.latent_channels" if part == "latent_channels" else "the length of control_spec"
                raise ConfigError(f"dynamics.{part} was {given}; it must be {wanted}, {source}.")

    def row_bytes(self, itemsize: int) -> int:
        """About what one world of a batch takes in memory: its ring, and the largest things alive at once
        during a step.

        Args:
            itemsize: bytes of a weight or activation.
        """
        model, tokens = self.dynamics, 1 + math.prod(self.tokenizer.grid(self.height, self.width))
        layer = 2 * model.window * tokens * model.kv_heads * model.head_dim * itemsize
        layers = sum(model.kind(i) != "space" for i in range(model.depth))
        scores = 8 * model.heads * tokens**2 * (model.window if model.temporal == "joint" else 1)
        trunk = tokens * itemsize * (4 * model.width + 3 * model.hidden)
        decoder = self.height * self.width * (self.tokenizer.channels[0] * itemsize // 4 + 3 * 9)
        return layers * layer + max(2 * layer + scores + trunk, decoder)

    def to_json(self) -> str:
        return json.dumps({**dataclasses.asdict(self), "figures": dict(self.figures)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: Path) -> WorldConfig:
        """Parses `config.json`.

        Raises:
            WorldError: if it is not JSON, of a newer format, or a field is unknown, missing or out of range.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WorldError(f"{where} is not JSON ({shown(str(error))}); copy the folder again.") from None
        try:
            return cls._from_fields(fields, where)
        except WorldError:
            raise
        except WorldsimError as error:
            raise WorldError(f"{where}: {error} If nobody edited it, copy the folder again.") from None

    @classmethod
    def _from_fields(cls, fields: Any, where: Path) -> WorldConfig:
        if not isinstance(fields, dict) or "format_version" not in fields:
            raise ConfigError(f"format_version is missing in {shown(fields)}; a world's config has one.")
        version = check_int("format_version", fields["format_version"], 1)
        if version > FORMAT_VERSION:
            raise WorldError(
                f"{where} has format {shown(version)}, this worldsim reads up to {FORMAT_VERSION}; upgrade worldsim."
            )
        if version == 1:
            fields = {RENAMED.get(name, name): value for name, value in fields.items()}
        parts = {name: _build(kind, fields[name], f"{name}.") for name, kind in NESTED.items() if name in fields}
        return _build(cls, {**fields, **parts, "format_version": FORMAT_VERSION})


def _build(kind: type[T], fields: Any, prefix: str = "") -> T:
    """An instance of a dataclass from JSON.

    Raises:
        ConfigError: that names the field.
    """
    if not isinstance(fields, dict):
        raise ConfigError(f"{prefix.rstrip('.')} was {shown(fields)}; give its fields by name.")
    known: dict[str, bool] = {}
    for one in dataclasses.fields(kind):  # type: ignore[arg-type]
        known[one.name] = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    for name in fields:
        if name not in known:
            raise ConfigError(f"{prefix}{shown(name)} is unknown; allowed: {', '.join(known)}.{suggest(name, known)}")
    for name, required in known.items():
        if required and name not in fields:
            raise ConfigError(f"{prefix}{name} is missing; a world's config has one.")
    try:
        return kind(**fields)
    except WorldsimError as error:
        raise ConfigError(f"{prefix}{error}") from None
