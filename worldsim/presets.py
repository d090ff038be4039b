"""Complete configurations by name of world: what is recorded, and what is trained on it. The only place for experiment numbers.

To train a variant, copy a function, change what differs and hand the result to `worldsim.train.run.train`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from worldsim.dit import DiTConfig
from worldsim.errors import WorldsimError, suggest
from worldsim.noise import NoiseConfig
from worldsim.tokenizer import TokenizerConfig
from worldsim.train.dynamics import DynamicsObjective
from worldsim.train.run import DynamicsStage, TokenizerStage, TrainConfig


@dataclass(frozen=True)
class Collection:
    """What to record of a game.

    Attributes:
        frames: training frames.
        eval_frames: held-out frames.
        policies: share of the episodes that each policy plays, by name.
    """

    frames: int = 150_000
    eval_frames: int = 12_000
    policies: Mapping[str, float] = field(default_factory=lambda: {"random": 1.0})


def take_cover() -> TrainConfig:
    """Strafe away from fireballs: keys a and d, one room."""
    return TrainConfig(name="doom/take-cover", tokenizer=_tokenizer(), dynamics=_dynamics())


def my_way_home() -> TrainConfig:
    """Walk and turn through a textured maze."""
    return TrainConfig(name="doom/my-way-home", tokenizer=_tokenizer(), dynamics=_dynamics())


def defend_the_center() -> TrainConfig:
    """Turn on the spot and shoot at monsters that close in."""
    return TrainConfig(name="doom/defend-the-center", tokenizer=_tokenizer(), dynamics=_dynamics())


PRESETS: dict[str, Callable[[], TrainConfig]] = {
    "doom/take-cover": take_cover,
    "doom/my-way-home": my_way_home,
    "doom/defend-the-center": defend_the_center,
}

COLLECTIONS: dict[str, Collection] = {
    "doom/take-cover": Collection(frames=160_000),
    "doom/my-way-home": Collection(frames=300_000, eval_frames=15_000, policies={"coverage": 0.85, "random": 0.15}),
}


def find_preset(name: str) -> TrainConfig:
    """The configuration that trains a world.

    Raises:
        WorldsimError: if there is none of that name.
    """
    if name not in PRESETS:
        raise WorldsimError(f"no preset {name!r}; choose from: {', '.join(PRESETS)}.{suggest(name, PRESETS)}")
    return PRESETS[name]()


def find_collection(game: str) -> Collection:
    """What to record of a game; random play where nothing else is known to be better."""
    return COLLECTIONS.get(game, Collection())


def _tokenizer() -> TokenizerStage:
    """80x128 frames to 5x8 latents."""
    return TokenizerStage(TokenizerConfig(channels=(64, 128, 192), encoder_blocks=1, decoder_blocks=2, latent_channels=48))


def _dynamics() -> DynamicsStage:
    """Every frame of a story of 16 is drafted twice against it."""
    noise = NoiseConfig(context_share=0, context_max=0.2, pure_share=0.35, shortcut_share=0.25)
    return DynamicsStage(
        model=DiTConfig(temporal="time", temporal_every=2, codes=1024),
        objective=DynamicsObjective(noise=noise, drafts=2),
        batch=4,
        frames=16,
    )
