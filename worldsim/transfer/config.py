"""What `worldsim transfer` trains and plays, and how much of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from worldsim.choices import LARGEST_SEED, Device
from worldsim.errors import ConfigError, check_int, check_number, shown
from worldsim.train.options import parse_duration

if TYPE_CHECKING:
    from worldsim.envs.games import GameSpec

# Seeds of the real game. Recorded episodes have seeds of 31 bits drawn at random; these ranges are for evaluation only.
TEST_SEEDS = range(900_000, 1_000_000)  # every score on the card
CHECKPOINT_SEEDS = range(800_000, 900_000)  # checkpoints, after one of them was chosen
CHOICE_SEEDS = range(700_000, 800_000)  # the best constant action
DREAM_SCORE_SEED = 500_000  # moments and noise of the dreams that score a policy

RANDOM, CONSTANT, UNTRAINED, CLONE, EQUAL, LONG, SHUFFLED, DREAM, REFIT = ROWS = (
    "random",
    "best constant action",
    "untrained policy",
    "behaviour cloning",
    "PPO, equal real frames",
    "PPO, long in the real game",
    "dream of shuffled actions",
    "dream",
    "dream, refitted",
)


@dataclass(frozen=True)
class Run:
    """One training with its evaluation, or one policy that needs no training.

    Attributes:
        row: of the card, one of `ROWS`.
        world: hash of the world in whose dreams it was trained or scored; "" if in none.
        level: randomness of those dreams, as text; "" if in none.
        seed: of the policy.
    """

    row: str
    world: str = ""
    level: str = ""
    seed: int = 0

    @property
    def slug(self) -> str:
        """Name of its files."""
        parts = (self.row, self.world, self.level, str(self.seed))
        return "-".join(re.sub(r"[^a-z0-9.]+", "-", part.lower()) for part in parts if part)


@dataclass(frozen=True)
class Randomness:
    """How uncertain a dream is made.

    Attributes:
        temperature: of what happens by chance; see `World`.
        context_level: noise level at which past frames are kept; by default the world's own.
    """

    temperature: float = 1.0
    context_level: float | None = None

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0, math.inf)
        if self.context_level is not None:
            check_number("context_level", self.context_level, 0, 1, below=True)

    def __str__(self) -> str:
        context = "" if self.context_level is None else f", context {self.context_level:g}"
        return f"temperature {self.temperature:g}{context}"


@dataclass(frozen=True)
class PPOConfig:
    """PPO (Schulman et al. 2017, arXiv:1707.06347), the same inside dreams and in the real game. Policy and value are linear in
    their inputs, as in World Models (Ha and Schmidhuber 2018, arXiv:1803.10122), and in hidden units made from them.

    Attributes:
        patch: hidden units of each patch of the latent.
        hidden: hidden units of all patches together.
        rollout: decisions in each environment between updates.
        batch: samples of a gradient step.
        epochs: over each rollout.
        learning_rate: at the start; it falls linearly to zero.
        gamma: discount per decision.
        entropy: weight of the entropy bonus; rewards are scaled to unit variance of the return.
        keep: probability with which an untrained policy repeats its last decision.
    """

    patch: int = 32
    hidden: int = 128
    rollout: int = 8
    batch: int = 128
    epochs: int = 5
    learning_rate: float = 5e-4
    gamma: float = 0.88
    entropy: float = 0.003
    keep: float = 0.6

    def __post_init__(self) -> None:
        for name in ("patch", "hidden", "rollout", "batch", "epochs"):
            check_int(name, getattr(self, name), 1)
        for name in ("learning_rate", "entropy"):
            check_number(name, getattr(self, name), 0, math.inf)
        check_number("gamma", self.gamma, 0, 1, below=True)
        check_number("keep", self.keep, 1e-6, 1, below=True)


@dataclass(frozen=True)
class TransferConfig:
    """Budgets of every row of the card.

    Attributes:
        policy_seeds: of PPO and of cloning, in every row.
        levels: randomness of the dreams. The dream row is trained at the first, which is fixed beforehand.
        side_seeds: policy seeds at each of the other levels, in the first world.
        long_seeds: policy seeds of the row with more real frames.
        dream_steps: imagined frames that a dream policy is trained on.
        equal_steps: real frames of the row with as many as the worlds had; 0 for as many as the dataset has.
        long_steps: real frames of the row with more.
        clone_frames: recorded frames for behaviour cloning.
        clone_epochs: over them.
        checkpoints: policies stored of each training, evenly spaced.
        dreams: batch of dreams.
        dream_frames: length of a training dream. It begins at a recorded moment and is truncated before it is far from what
            was recorded; the policy's own value stands for the rewards after that.
        starts: moments in which training dreams begin.
        games: real games played at a time while training in them.
        hold: frames for which a decision holds.
        dream_episodes: held-out moments from which a chosen policy is scored, in dreams and in the real game.
        checkpoint_episodes: real episodes for the rank correlation, per checkpoint of the dream row.
        choice_episodes: real episodes per constant action.
        episodes: real episodes of every final score.
        cap_tics: game tics after which an episode is truncated, real or dreamed; by default the game's own limit.
        best_reward: largest reward of a tic, from which the largest possible score follows; by default the game's.
        tolerance: share by which a dream score may exceed the largest possible one, since predicted rewards are inexact.
        head_clips: held-out clips on which predicted rewards and ends are measured.
        resamples: of the bootstrap.
        ppo: the learner.
    """

    policy_seeds: tuple[int, ...] = (0, 1, 2)
    levels: tuple[Randomness, ...] = (Randomness(1.3), Randomness(1.0), Randomness(0.5))
    side_seeds: int = 1
    long_seeds: int = 1
    dream_steps: int = 90_000
    equal_steps: int = 0
    long_steps: int = 400_000
    clone_frames: int = 40_000
    clone_epochs: int = 4
    checkpoints: int = 10
    dreams: int = 32
    dream_frames: int = 200
    starts: int = 256
    games: int = 16
    hold: int = 12
    dream_episodes: int = 64
    checkpoint_episodes: int = 12
    choice_episodes: int = 20
    episodes: int = 100
    cap_tics: int | None = None
    best_reward: float | None = None
    tolerance: float = 0.01
    head_clips: int = 64
    resamples: int = 10_000
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        counts = (
            *("dream_steps", "long_steps", "clone_frames", "clone_epochs", "checkpoints", "dreams", "dream_frames", "starts"),
            *("games", "hold", "dream_episodes", "checkpoint_episodes", "choice_episodes", "episodes", "resamples"),
        )
        least = {**dict.fromkeys(counts, 1), "equal_steps": 0, "side_seeds": 0, "long_seeds": 0, "head_clips": 2}
        seeds = {"episodes": TEST_SEEDS, "checkpoint_episodes": CHECKPOINT_SEEDS, "choice_episodes": CHOICE_SEEDS}
        for name, smallest in least.items():
            check_int(name, getattr(self, name), smallest, len(seeds[name]) if name in seeds else None)
        for seed in self.policy_seeds:
            check_int("policy_seeds", seed, 0, 2**32 - 1)
        for name in ("policy_seeds", "levels"):
            given = list(map(str, getattr(self, name)))
            if len(set(given)) < max(1, len(given)):
                raise ConfigError(f"{name} was {shown(', '.join(given))}; give at least one, and each only once.")
        check_number("tolerance", self.tolerance, 0, math.inf)
        if self.cap_tics is not None:
            check_int("cap_tics", self.cap_tics, 1)
        if self.best_reward is not None:
            check_number("best_reward", self.best_reward, -1e12, 1e12)

    def of_game(self, game: GameSpec) -> TransferConfig:
        """With the game's limit and largest reward where none were given.

        Raises:
            ConfigError: if neither says when an episode is truncated.
        """
        cap = game.max_tics if self.cap_tics is None else self.cap_tics
        if cap is None:
            raise ConfigError(f"the game {game.name} never truncates an episode; give cap_tics, game tics after which to do so.")
        return replace(self, cap_tics=cap, best_reward=game.best_reward if self.best_reward is None else self.best_reward)

    @property
    def cap(self) -> int:
        """Game tics after which an episode is truncated."""
        assert self.cap_tics is not None, "of_game() fills it in"
        return self.cap_tics

    @property
    def largest_score(self) -> float:
        """What no episode can exceed; infinity where the largest reward is unknown."""
        return math.inf if self.best_reward is None else self.cap * self.best_reward


@dataclass(frozen=True)
class TransferOptions:
    """Which worlds, trained on what and for how long, and where the results go.

    Attributes:
        game: a preset or game, as for train; agents of doom/take-cover learn in worlds of doom/take-cover-strip.
        worlds: names, folders or Hub ids; by default they are trained, one per seed.
        shuffled: worlds trained on shuffled actions; by default one is trained.
        budget: training time of each world, such as 90s, 10m or 2h.
        start: world that they begin with; by default each begins with random weights.
        seeds: of the worlds.
        data: dataset that the worlds are trained on; by default data/ and the name of their preset, recorded if missing.
        out: folder of worlds, policies and finished runs; by default runs/transfer/NAME.
        card: markdown file for the tables, with its plot beside it; by default docs/transfer-NAME.md.
        config: how much of everything.
        refit_frames: real frames to record with the policies trained in the first world, which is then trained further
            on them for a row of its own; 0 for none.
        refit_budget: time of that training.
        servers: of dreams on the cluster of --ray, for each training in dreams: `config.dreams` are shared by them, and the
            trainings come one after the other. 0 makes each training a task that dreams itself.
        device: where the worlds run.
    """

    game: Positional[Annotated[str, arg(metavar="GAME")]]
    worlds: tuple[str, ...] = ()
    shuffled: tuple[str, ...] = ()
    budget: str = "2h"
    start: str | None = None
    seeds: tuple[int, ...] = (0, 1)
    data: Path | None = None
    out: Path | None = None
    card: Path | None = None
    config: TransferConfig = field(default_factory=TransferConfig)
    refit_frames: int = 0
    refit_budget: str = "20m"
    servers: int = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        for name in ("budget", "refit_budget"):
            parse_duration(name, getattr(self, name))
        for seed in self.seeds:
            check_int("seeds", seed, 0, LARGEST_SEED)
        if not self.worlds and not self.seeds:
            raise ConfigError("seeds was empty; give at least one, or worlds.")
        check_int("refit_frames", self.refit_frames, 0)
        check_int("servers", self.servers, 0, self.config.dreams)

    @property
    def seconds(self) -> float:
        """The budget of a world in seconds."""
        return parse_duration("budget", self.budget)

    @property
    def refit_seconds(self) -> float:
        """The budget of the further training in seconds."""
        return parse_duration("refit_budget", self.refit_budget)
