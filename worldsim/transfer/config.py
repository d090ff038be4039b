"""What `worldsim transfer` trains and plays, and how much of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from worldsim.errors import WorldError

if TYPE_CHECKING:
    from worldsim.envs.games import GameSpec

# Seeds of the real game. Collected episodes have odd or even 31-bit seeds drawn at random; these ranges are for playing alone.
TEST_SEEDS = range(900_000, 1_000_000)  # every score on the card
CHECKPOINT_SEEDS = range(800_000, 900_000)  # checkpoints, once the choice among them is made
CHOICE_SEEDS = range(700_000, 800_000)  # the best constant action
DREAM_SCORE_SEED = 500_000  # of the dreams that score a policy when it is chosen


@dataclass(frozen=True)
class Randomness:
    """How uncertain a dream is made.

    Attributes:
        temperature: of what happens by chance; see `World`.
        context_level: noise level at which past frames are kept; by default the world's own.
    """

    temperature: float = 1.0
    context_level: float | None = None

    def __str__(self) -> str:
        context = "" if self.context_level is None else f", context {self.context_level:g}"
        return f"temperature {self.temperature:g}{context}"


@dataclass(frozen=True)
class PPOConfig:
    """PPO (Schulman et al. 2017, arXiv:1707.06347), the same inside dreams and in the real game. Policy and value are linear in
    what they know, as in World Models (Ha and Schmidhuber 2018, arXiv:1803.10122), and in a hidden layer made from it.

    Attributes:
        patch, hidden: units of that layer's first half, for every patch of the frame, and of its second, over all of them.
        rollout: decisions in each environment between updates.
        batch: samples of a gradient step.
        epochs: over each rollout.
        learning_rate, gamma, entropy: as usual, the rate falling to zero and gamma per decision; rewards are scaled to unit
            variance of the return.
        keep: chance that an untrained policy decides as it did last; what holds for long can be told from what does not.
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
        counts = (self.patch, self.hidden, self.rollout, self.batch, self.epochs)
        if min(counts) < 1 or not (0 < self.keep < 1 and 0 < self.gamma < 1):
            raise WorldError(
                f"{self}: give at least 1 for patch, hidden, rollout, batch and epochs, and keep and gamma between 0 and 1."
            )


@dataclass(frozen=True)
class TransferConfig:
    """Budgets of every row of the card.

    Attributes:
        policy_seeds: of PPO and of cloning, in every row.
        levels: randomness of the dreams; the first is the one the dream row is trained at, fixed beforehand.
        side_seeds: policy seeds at each of the other levels, in the first world.
        long_seeds: policy seeds of the long row.
        dream_steps: imagined steps of a dream policy.
        equal_steps: real steps of the equal-frame row; 0 for as many as the dataset has frames.
        long_steps: real steps of the long row.
        clone_frames, clone_epochs: of behaviour cloning.
        checkpoints: policies kept of each training, evenly spaced.
        dreams: batch of dreams.
        dream_frames: length of a dream to learn in. It sets out from a recorded moment and stays near what was recorded; what
            would come after it is worth what the policy's own value says.
        starts: such moments.
        games: real games played at a time while training in them.
        hold: frames for which a policy's decision holds; see `remember` for what it knows when it decides.
        dream_episodes: dreams that score a policy when it is chosen.
        checkpoint_episodes: real episodes for the rank correlation, per checkpoint of the dream row.
        choice_episodes: real episodes per constant action.
        episodes: real episodes of every final score.
        cap_tics: game tics at which an episode is cut, real or dreamed; by default where the game cuts it.
        best_reward: largest reward of a tic, from which the largest possible score follows; by default the game's.
        tolerance: share above the largest possible score at which a dream score sounds the alarm; reward heads round.
        head_clips: held-out clips on which the end head is measured.
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
            *(self.dream_steps, self.long_steps, self.clone_frames, self.clone_epochs, self.checkpoints, self.dreams),
            *(self.dream_frames, self.starts, self.games, self.hold, self.dream_episodes, self.checkpoint_episodes),
            *(self.choice_episodes, self.episodes, self.resamples, len(self.policy_seeds), len(self.levels)),
            1 if self.cap_tics is None else self.cap_tics,
        )
        if min(counts) < 1 or self.head_clips < 2 or min(self.equal_steps, self.side_seeds, self.long_seeds) < 0:
            raise WorldError(
                f"{self}: give at least 2 head clips, and at least 1 of everything but equal_steps, side_seeds and long_seeds."
            )

    def of_game(self, game: GameSpec) -> TransferConfig:
        """With what the game says, where nothing else was given.

        Raises:
            WorldError: if neither says when an episode is cut.
        """
        cap = game.max_tics if self.cap_tics is None else self.cap_tics
        if cap is None:
            raise WorldError(f"the game {game.name} never cuts an episode; give cap_tics, game tics at which to cut it.")
        return replace(self, cap_tics=cap, best_reward=game.best_reward if self.best_reward is None else self.best_reward)

    @property
    def cap(self) -> int:
        """Game tics at which an episode is cut."""
        assert self.cap_tics is not None, "of_game() fills it in"
        return self.cap_tics

    @property
    def largest_score(self) -> float:
        """What no episode can exceed; infinity where the largest reward is unknown."""
        return math.inf if self.best_reward is None else self.cap * self.best_reward
