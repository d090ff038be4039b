"""Complete configurations by name of world: what is recorded, and what is trained on it. The only place for experiment numbers.

To train a variant, copy a function, change what differs and hand the result to `worldsim.train.run.train`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from worldsim.controls import ControlSpec
from worldsim.envs.games import GAMES, GameSpec, beside, find_game, is_path
from worldsim.envs.games.breakout import BREAKOUT
from worldsim.envs.games.car_racing import CAR_RACING
from worldsim.envs.games.crafter import CRAFTER
from worldsim.envs.games.pong import PONG
from worldsim.errors import WorldsimError, suggest
from worldsim.model.dit import DiTConfig
from worldsim.model.noise import NoiseConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.studio.train import StudioConfig
from worldsim.train.config import DynamicsStage, TokenizerStage, TrainConfig
from worldsim.train.dynamics import DynamicsObjective
from worldsim.train.loop import LoopConfig
from worldsim.world.config import WorldConfig


@dataclass(frozen=True)
class Collection:
    """What to record of a game.

    Attributes:
        frames: training frames.
        eval_frames: held-out frames.
    """

    frames: int = 150_000
    eval_frames: int = 12_000


def take_cover() -> TrainConfig:
    """Strafe away from fireballs: keys a and d, one room. What can be done there is to survive, so ends matter more."""
    dynamics = _dynamics()
    objective = replace(dynamics.objective, ending_share=0.25, end_weight=0.2)
    return TrainConfig(name="doom/take-cover", tokenizer=_tokenizer(), dynamics=replace(dynamics, objective=objective), rounds=3)


def take_cover_strip() -> TrainConfig:
    """The same game for agents: the strip of the frame in which all happens, every fourth tic. 17 tokens a frame instead of 41,
    half as many frames a second, and two calls a frame, in which codewords are drawn. No shortcuts, which a world
    with codewords does not take in play. It looks back 92 tics, longer than a fireball flies: many of those that hit come
    from outside the view. Nothing in the strip tells left from right."""
    preset = take_cover()
    stage = preset.dynamics
    model = replace(stage.model, depth=6, window=24)
    dynamics = replace(stage, model=model, batch=5, frames=28, short_share=0.75)
    return replace(preset, name="doom/take-cover-strip", dynamics=dynamics, num_steps=1, rounds=2, mirrored=True)


def my_way_home() -> TrainConfig:
    """Walk and turn through a textured maze."""
    return TrainConfig(name="doom/my-way-home", tokenizer=_tokenizer(), dynamics=_dynamics(), rounds=3)


def defend_the_center() -> TrainConfig:
    """Turn on the spot and shoot at monsters that close in."""
    return TrainConfig(name="doom/defend-the-center", tokenizer=_tokenizer(), dynamics=_dynamics(), rounds=3)


def toy_dodge() -> TrainConfig:
    """Small networks for a small game: half a minute of training on two CPU cores shows the bricks fall."""
    loop = LoopConfig(learning_rate=6e-3, warmup=5, ema=0.97)
    tokenizer = TokenizerConfig(channels=(16, 24, 32), encoder_blocks=1, decoder_blocks=1, latent_channels=12)
    model = DiTConfig(
        width=64, depth=2, heads=2, kv_heads=1, hidden=96, condition=16, window=4, temporal="time", temporal_every=2
    )
    objective = DynamicsObjective(NoiseConfig(shortcut_share=0), reward_weight=0.05, end_weight=0.5)
    return TrainConfig(
        name="toy/dodge",
        tokenizer=TokenizerStage(tokenizer, loop=loop, batch=16),
        dynamics=DynamicsStage(model, objective, loop, batch=16, frames=4),
        tokenizer_share=0.35,
    )


def any_game(spec: GameSpec, *, window: int = 12, frames: int = 16) -> TrainConfig:
    """A start for a game of one's own: what trains the Doom worlds, which a two-core machine plays in real time.

    Args:
        spec: the game.
        window: frames that the world looks back.
        frames: of a training window; some episodes have to be as long.
    """
    dynamics = _dynamics()
    dynamics = replace(dynamics, frames=frames, model=replace(dynamics.model, window=window))
    return TrainConfig(name=spec.name, tokenizer=_tokenizer(), dynamics=dynamics, rounds=3, mirrored=spec.symmetric)


def small_things(spec: GameSpec, *, window: int = 12, frames: int = 16) -> TrainConfig:
    """A game in which small things matter, such as the ball of Pong: a mean over pixels hardly sees them, so the few patches
    with the largest errors, where they are, count much more, in the tokenizer's pixels and in the dynamics' latents. At last
    the dynamics sees pasts that it imagined itself, in which such things are missing, and learns to bring them back. After some
    250 steps of 32 images of the tokenizer of `any_game`, Pong's ball had half its brightness or more in 55% of the
    reconstructions with these weights, and in 2% without. The networks are smaller than those of `any_game`. Most of such a game
    is certain, and what is drawn wrongly stays on the screen: codewords are drawn as likely as the model says and no more, and
    not at all below one in twenty.

    Args:
        spec, window, frames: as for `any_game`.
    """
    preset = any_game(spec, window=window, frames=frames)
    pixels = replace(preset.tokenizer.objective, patch=4, hard_share=0.02, hard_weight=20.0)
    latents = replace(preset.dynamics.objective, hard_share=0.1, hard_weight=4.0)
    tokenizer = replace(preset.tokenizer, model=replace(preset.tokenizer.model, channels=(48, 96, 144)), objective=pixels)
    model = replace(preset.dynamics.model, width=192, heads=6, kv_heads=6, hidden=640, code_floor=0.05)
    calibration = replace(preset.dynamics.calibration, temperature=1.0)
    dynamics = replace(preset.dynamics, model=model, objective=latents, calibration=calibration, imagined_share=0.25)
    return replace(preset, tokenizer=tokenizer, dynamics=dynamics)


def pong() -> TrainConfig:
    """Move a paddle up and down, and meet the ball."""
    return small_things(PONG)


def breakout() -> TrainConfig:
    """Move a paddle left and right, and break bricks with the ball. Nothing there is a matter of chance but the serve."""
    preset = small_things(BREAKOUT)
    return replace(preset, dynamics=replace(preset.dynamics, model=replace(preset.dynamics.model, code_floor=0.2)))


def crafter_reward() -> TrainConfig:
    """Walk about in a landscape from above, gather, build and fight; by night it is dark."""
    return small_things(CRAFTER)


def car_racing() -> TrainConfig:
    """Steer a car along a road, seen from above."""
    return small_things(CAR_RACING)


def doom_studio() -> StudioConfig:
    """Many places of Doom at several sizes, from words and pictures: 16 frames at a time, 25 tokens each at 96x64."""
    model = DiTConfig(
        condition=64,
        hidden=576,
        temporal="time",
        temporal_every=2,
        window=16,
        prompt=64,
        prompt_layers=1,
        free_controls=True,
        policy_bins=9,
        sized=True,
    )
    return StudioConfig(
        name="doom/studio", size=(96, 64), tokenizer=_tokenizer(), model=model, loop=LoopConfig(checkpoint_minutes=6)
    )


def doom_studio_250m() -> StudioConfig:
    """The same with 250 million parameters, for a GPU. Not yet measured on a GPU."""
    small = doom_studio()
    model = replace(small.model, width=1024, depth=20, heads=16, kv_heads=4, hidden=2752, condition=256)
    return replace(small, model=model, tokens=40_000)


def studio_study(kind: str) -> dict[str, StudioConfig]:
    """The studio's worlds that a study compares, by name: "scaling", or "shapes" with the smallest, which learns fastest."""
    preset = doom_studio()
    small = replace(preset.model, width=96, depth=4, heads=3, kv_heads=3, hidden=224)
    if kind == "shapes":
        native = replace(preset, model=small)
        return {"native": native, "square": replace(native, square=True)}
    middle = replace(preset.model, width=160, depth=6, heads=5, kv_heads=5, hidden=368)
    return {
        name: replace(preset, model=model) for name, model in {"small": small, "middle": middle, "full": preset.model}.items()
    }


STUDIOS: dict[str, Callable[[], StudioConfig]] = {"doom/studio": doom_studio, "doom/studio-250m": doom_studio_250m}


def smoke_test(config: TrainConfig) -> TrainConfig:
    """The same training with networks so small that all stages run in a minute; the world that comes of it is of no use."""
    loop = LoopConfig(learning_rate=4e-3, warmup=5, ema=0.97)
    model = TokenizerConfig(channels=(16, 24, 32), encoder_blocks=1, decoder_blocks=1, latent_channels=12)
    stage = config.dynamics
    sizes: dict[str, Any] = {"width": 64, "depth": 2, "heads": 2, "kv_heads": 1, "hidden": 96, "condition": 16}
    small = replace(stage.model, **sizes, window=min(4, stage.model.window), codes=64)
    dynamics = replace(stage, model=small, loop=loop, batch=4, frames=min(6, stage.frames))
    return replace(
        config, tokenizer=replace(config.tokenizer, model=model, loop=loop, batch=8), dynamics=dynamics, tokenizer_share=0.4
    )


PRESETS: dict[str, Callable[[], TrainConfig]] = {
    "toy/dodge": toy_dodge,
    "doom/take-cover": take_cover,
    "doom/take-cover-strip": take_cover_strip,
    "doom/my-way-home": my_way_home,
    "doom/defend-the-center": defend_the_center,
    "atari/pong": pong,
    "atari/breakout": breakout,
    "crafter/reward": crafter_reward,
    "box2d/car-racing": car_racing,
}

COLLECTIONS: dict[str, Collection] = {
    "toy/dodge": Collection(frames=4_000, eval_frames=500),
    "doom/take-cover": Collection(frames=400_000),
    "doom/take-cover-strip": Collection(frames=200_000),
    "doom/defend-the-center": Collection(frames=160_000),
    "doom/my-way-home": Collection(frames=300_000, eval_frames=15_000),
    "atari/pong": Collection(frames=120_000, eval_frames=5_000),
    "atari/breakout": Collection(frames=105_000, eval_frames=5_000),
    "crafter/reward": Collection(frames=80_000, eval_frames=4_000),
    "box2d/car-racing": Collection(frames=24_000, eval_frames=2_500),
}

TRANSFERS: dict[str, str] = {"doom/take-cover": "doom/take-cover-strip"}


def stream_360p_250m() -> WorldConfig:
    """Frames of 704x384, 265 tokens each with the register; a ring of 32 frames, every fourth layer temporal; 250M parameters."""
    return _stream("360p-250m", DiTConfig(width=1024, depth=20, heads=16, kv_heads=4, hidden=2752, **_LARGE))


def stream_360p_1b() -> WorldConfig:
    """The same with a billion parameters."""
    return _stream("360p-1b", DiTConfig(width=2048, depth=21, heads=16, kv_heads=4, hidden=5504, **_LARGE))


STREAMS: dict[str, Callable[[], WorldConfig]] = {"360p-250m": stream_360p_250m, "360p-1b": stream_360p_1b}


def find_stream(name: str) -> WorldConfig:
    """A world that has sizes but was never trained, to measure speed with.

    Raises:
        WorldsimError: if there is none of that name.
    """
    if name not in STREAMS:
        raise WorldsimError(f"preset was {name!r}; allowed: {', '.join(STREAMS)}.{suggest(name, STREAMS)}")
    return STREAMS[name]()


def find_preset(name: str | GameSpec) -> TrainConfig:
    """The configuration that trains a world.

    Args:
        name: one of `PRESETS`; or a game without a preset, see `worldsim.envs.games.find_game`, which gets the `CONFIG` that
            stands beside it in its file, otherwise `any_game`.

    Raises:
        WorldsimError: if there is none of that name.
    """
    own = beside(name, "CONFIG")
    if own is not None:
        if not isinstance(own, TrainConfig):
            raise WorldsimError(f"CONFIG of {name} is {type(own).__name__}; it must be a TrainConfig, such as any_game(SPEC).")
        return own
    if isinstance(name, str) and name in PRESETS:
        return PRESETS[name]()
    if isinstance(name, str) and not is_path(name) and name not in GAMES:
        raise WorldsimError(
            f"no preset {name!r}; choose from: {', '.join(PRESETS)}; or give 'module:attribute' of a GameSpec of your own."
            f"{suggest(str(name), PRESETS)}"
        )
    spec = find_game(name)
    return PRESETS[spec.name]() if spec.name in PRESETS else any_game(spec)


def find_transfer(name: str) -> TrainConfig:
    """The configuration of the worlds in which a game's agents learn: a cheaper one of the same game, where there is one.

    Raises:
        WorldsimError: if there is none of that name.
    """
    return find_preset(TRANSFERS.get(name, name))


def find_collection(game: str | GameSpec) -> Collection:
    """How much to record of a game: by its name, or what stands as `COLLECTION` beside it in its file."""
    own = beside(game, "COLLECTION")
    return own if isinstance(own, Collection) else COLLECTIONS.get(game if isinstance(game, str) else game.name, Collection())


_LARGE: dict[str, Any] = {"latent_channels": 64, "controls": 12, "condition": 256, "window": 32, "temporal_every": 4}


def _stream(name: str, dynamics: DiTConfig) -> WorldConfig:
    """Four steps a frame, and a decoder that compresses 32 times along each side."""
    tokenizer = TokenizerConfig(channels=(64, 128, 256, 384), latent_channels=64)
    spec = ControlSpec(keys=("w", "a", "s", "d", "space", "shift", "e", "q"), mouse_limit=(30.0, 20.0), buttons=("left", "right"))
    return WorldConfig(name, name, 384, 704, 60.0, 1, spec, tokenizer, dynamics, num_steps=4)


def _tokenizer() -> TokenizerStage:
    """80x128 frames to 5x8 latents."""
    return TokenizerStage(TokenizerConfig(channels=(64, 128, 192), encoder_blocks=1, decoder_blocks=2, latent_channels=48))


def _dynamics() -> DynamicsStage:
    """Windows of 16 frames: the nearly clean context, then a noisy copy of every frame that sees it.

    No shortcut targets: a world with codewords takes no large steps in play.
    """
    noise = NoiseConfig(context_share=0, context_max=0.2, pure_share=0.35, shortcut_share=0)
    return DynamicsStage(
        model=DiTConfig(temporal="time", temporal_every=2, codes=1024, reveals=True),
        objective=DynamicsObjective(noise=noise, copies=1, revealed_share=0.5),
        batch=6,
        frames=16,
    )
