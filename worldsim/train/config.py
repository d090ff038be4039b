"""What a training run is made of: two stages, their sizes and numbers, and the recordings and the device they run on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from worldsim.data import Dataset
from worldsim.errors import ConfigError, check_number
from worldsim.model.dit import DiTConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.train import distributed
from worldsim.train.calibrate import CodeCalibration, EndCalibration
from worldsim.train.checks import check_fields
from worldsim.train.codebook import CodebookConfig
from worldsim.train.dynamics import DynamicsObjective
from worldsim.train.loop import LoopConfig
from worldsim.train.previews import PreviewConfig
from worldsim.train.store import CacheConfig
from worldsim.train.tokenizer import TokenizerObjective
from worldsim.world import WorldConfig


@dataclass(frozen=True)
class TokenizerStage:
    """The tokenizer, its objective and its batches.

    Attributes:
        model: sizes of the network.
        objective: weights of the loss.
        loop: how it is optimised.
        batch: images at a time.
        scale_images: images from which the latents' mean and standard deviation are taken, when training is over.
    """

    model: TokenizerConfig = field(default_factory=TokenizerConfig)
    objective: TokenizerObjective = field(default_factory=TokenizerObjective)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(learning_rate=1e-3, ema=0.995))
    batch: int = 32
    scale_images: int = 2048

    def __post_init__(self) -> None:
        check_fields(self, {"batch": 1, "scale_images": 1})


@dataclass(frozen=True)
class DynamicsStage:
    """The dynamics, its objective, batches and calibration.

    Attributes:
        model: sizes of the network; data and tokenizer fill in `controls` and `latent_channels`.
        objective: noise and weights of the loss.
        loop: how it is optimised.
        batch: windows at a time.
        frames: of a window.
        short_share: share of the whole budget, from its beginning, in which windows are half as long and twice as many.
        teacher_share: share of the budget, at its end, in which shortcut targets are trained; 1 trains them throughout.
        imagined_share: share of the budget, at its end, in which a part of the batch has a past that the model imagined itself.
        imagined_rows: that part.
        imagined_depth: how many frames deep that past is a rollout; see `imagine_context`.
        restart: share of the learning rate with which a world that is trained already goes on.
        codebook: how codewords are fitted to the latents.
        codes: how codewords are made as frequent as in the game, when training is over.
        ends: how ends of episodes are.
    """

    model: DiTConfig = field(default_factory=DiTConfig)
    objective: DynamicsObjective = field(default_factory=DynamicsObjective)
    loop: LoopConfig = field(default_factory=LoopConfig)
    batch: int = 12
    frames: int = 16
    short_share: float = 0.0
    teacher_share: float = 1.0
    imagined_share: float = 0.0
    imagined_rows: float = 0.34
    imagined_depth: int = 4
    restart: float = 0.5
    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    calibration: CodeCalibration = field(default_factory=CodeCalibration)
    ends: EndCalibration = field(default_factory=EndCalibration)

    def __post_init__(self) -> None:
        shares = "short_share", "teacher_share", "imagined_share", "imagined_rows", "restart"
        check_fields(self, {"batch": 1, "frames": 1, "imagined_depth": 1}, shares=shares)
        if self.short_share and self.frames < 2:
            raise ConfigError("frames was 1, which cannot be halved; give at least 2, or a short_share of 0.")
        if self.imagined_share and self.objective.copies != 1:
            given = self.objective.copies
            raise ConfigError(
                f"objective.copies was {given}, and imagined_share is not 0; give 1 copy, or an imagined_share of 0."
            )
        if self.objective.revealed_share and not self.model.reveals:
            share = self.objective.revealed_share
            raise ConfigError(f"objective.revealed_share was {share}, and model.reveals is False; set both, or neither.")


@dataclass(frozen=True)
class TrainConfig:
    """All numbers of a run.

    Attributes:
        name: of the world, such as "doom/take-cover".
        tokenizer: first stage.
        dynamics: second stage.
        tokenizer_share: share of the budget that goes to the tokenizer.
        starts: start contexts kept in the world, from held-out episodes.
        num_steps: denoising steps per frame in play.
        context_level: noise level at which the world keeps past frames in play.
        draw_level: noise level that the first of several calls goes to in play; see `Stream`.
        rounds: network calls in which the codewords of a frame are drawn in play; see `Stream`.
        mirrored: the game is the same with left and right swapped, in frames and controls: every episode is trained on both ways.
        cache: how frames and latents are kept on disk.
        previews: pictures made at every checkpoint.
    """

    name: str
    tokenizer: TokenizerStage = field(default_factory=TokenizerStage)
    dynamics: DynamicsStage = field(default_factory=DynamicsStage)
    tokenizer_share: float = 0.2
    starts: int = 16
    num_steps: int = WorldConfig.num_steps
    context_level: float = WorldConfig.context_level
    draw_level: float = WorldConfig.draw_level
    rounds: int = WorldConfig.rounds
    mirrored: bool = False
    cache: CacheConfig = field(default_factory=CacheConfig)
    previews: PreviewConfig = field(default_factory=PreviewConfig)

    def __post_init__(self) -> None:
        check_fields(self, {"starts": 1, "num_steps": 1, "rounds": 1}, shares=("context_level", "draw_level"))
        if self.rounds > 1 and not self.dynamics.objective.revealed_share:
            raise ConfigError(
                f"rounds was {self.rounds}, and dynamics.objective.revealed_share is 0; give a share, such as 0.5, or one round."
            )
        check_number("tokenizer_share", self.tokenizer_share, 0, 1, below=True)


@dataclass(frozen=True)
class Run:
    """A configuration applied to recordings: what every stage needs to know.

    Attributes:
        config: all numbers.
        dataset: training episodes.
        held_out: episodes for previews and start contexts.
        folder: of checkpoints, logs, previews, caches, and the finished `world/`.
        device: where to compute.
        compiled: use torch.compile (needs a C++ compiler on a CPU).
    """

    config: TrainConfig
    dataset: Dataset
    held_out: Dataset
    folder: Path
    device: torch.device
    compiled: bool

    @classmethod
    def open(cls, config: TrainConfig, data: str | Path, out: str | Path, device: str = "auto", compiled: bool = True) -> Run:
        """Reads the dataset's splits "train" and "eval" and picks the device.

        Raises:
            DataError: if the dataset or a split is missing.
            WorldsimError: if there is no such device.
        """
        data = Path(data).expanduser()
        where = distributed.local_device(device)
        return cls(config, Dataset(data, "train"), Dataset(data, "eval"), Path(out).expanduser(), where, compiled)

    def dynamics_sizes(self, latent_channels: int) -> DiTConfig:
        """The dynamics' sizes, with those that follow from data and tokenizer."""
        return replace(self.config.dynamics.model, controls=self.dataset.spec.size, latent_channels=latent_channels)

    def cache(self, name: str) -> Path:
        """File of the cache `name`."""
        return self.folder / "cache" / name

    def preview(self, stage: str, step: int) -> Path:
        """Picture of a stage at a step."""
        return self.folder / "previews" / f"{stage}-{step:07d}.png"
