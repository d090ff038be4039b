"""What making a world is going to take here: a few steps of everything are timed first."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from worldsim.bench.train import time_steps
from worldsim.device import pick_device
from worldsim.envs.games import GameSpec
from worldsim.envs.games.policies import StickyRandom
from worldsim.presets import Collection
from worldsim.tables import text_table
from worldsim.train.config import TrainConfig
from worldsim.train.plan import duration

STEPS = 150  # of the game that are timed
SEEN = 25  # frames recorded for each second of training, at most: a frame is worth seeing a few times
SHARE = 0.15  # of the budget that recording may take on top of it
LEAST, MOST = 3_000, 400_000  # frames
COMPILED = (1.0, 2.0)  # times as many steps, usually, with compiled networks on a CPU


@dataclass(frozen=True)
class Speeds:
    """What was timed on this machine, without compilation.

    Attributes:
        record: frames a second of one game at a time.
        tokenizer, dynamics: steps a second.
    """

    record: float
    tokenizer: float
    dynamics: float


def time_game(game: GameSpec) -> float:
    """Frames that a game plays in a second, resets included."""
    env = game.start()
    policy = StickyRandom(game.control_spec)
    policy.reset(np.random.default_rng(0))
    try:
        _, info = env.reset(seed=0)
        begun_at = time.perf_counter()
        for _ in range(STEPS):
            *_, terminated, truncated, info = env.step(game.control_spec.to_action(policy.act(info)))
            if terminated or truncated:
                _, info = env.reset()
        return STEPS / (time.perf_counter() - begun_at)
    finally:
        env.close()


def time_everything(game: GameSpec, config: TrainConfig, device: str) -> Speeds:
    """Times the game and both networks."""
    where = pick_device(device)
    steps = {name: time_steps(name, config, (game.height, game.width), where) for name in ("tokenizer", "dynamics")}
    return Speeds(time_game(game), 1 / steps["tokenizer"], 1 / steps["dynamics"])


def frames_for(budget: float, rate: float, processes: int) -> int:
    """Frames that a training of `budget` seconds can make use of, and that can be recorded in reasonable time."""
    most = min(SEEN * budget, SHARE * budget * rate * processes, MOST)
    return int(round(max(most, LEAST), -3))


def held_out_for(frames: int, length: float) -> int:
    """Held-out frames: some episodes of `length` frames, but not more than a fifth of the training frames."""
    return int(round(min(max(1_500, 6 * length), 12_000, max(frames / 5, 600)), -2))


def format_plan(
    speeds: Speeds, config: TrainConfig, collection: Collection, budget: float, processes: int, compiled: bool
) -> str:
    """What each stage is going to make here, and what comes on top."""
    share = config.tokenizer_share
    frames = collection.frames + collection.eval_frames
    size = config.dynamics.batch * config.dynamics.frames
    tokens, steps = speeds.tokenizer * share * budget, speeds.dynamics * (1 - share) * budget
    rows = [
        ("record", f"{frames:,} frames, {processes} games at a time", duration(frames / speeds.record / processes)),
        ("train the tokenizer", f"{tokens:,.0f} steps of {config.tokenizer.batch} frames", duration(share * budget)),
        ("train the dynamics", f"{steps:,.0f} steps of {size} frames", duration((1 - share) * budget)),
        ("on top", "decoding, encoding, calibration, evaluation", "minutes"),
    ]
    passes = steps * size / max(collection.frames, 1)
    notes = [f"every recorded frame is learned from about {passes:.1f} times"]
    if compiled:
        notes.append("steps are counted without torch.compile, which is on: it takes a minute or two at the start of each stage")
    else:
        notes.append("without torch.compile")
    return "\n".join([text_table(("stage", "amount", "time"), rows, left=(0, 1)), *notes])
