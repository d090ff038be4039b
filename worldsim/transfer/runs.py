"""Trains and plays all rows of the transfer card.

Every run (a row, a world, a level of randomness, a seed) is stored once it is finished, so that the same command goes on
where it was interrupted.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldsim.data import Dataset
from worldsim.envs.games import GameSpec, find_game, recorded_game
from worldsim.envs.twin import TwinEnv
from worldsim.envs.vector import DreamVectorEnv
from worldsim.errors import DataError, WorldError
from worldsim.eval.config import EvalConfig
from worldsim.eval.figures import measure
from worldsim.eval.replay import replay
from worldsim.eval.report import check_fit
from worldsim.machine import describe_machine
from worldsim.scale.folders import read_files
from worldsim.transfer.config import (
    CHECKPOINT_SEEDS,
    CHOICE_SEEDS,
    CLONE,
    CONSTANT,
    DREAM,
    DREAM_SCORE_SEED,
    EQUAL,
    LONG,
    RANDOM,
    REFIT,
    SHUFFLED,
    TEST_SEEDS,
    UNTRAINED,
    Randomness,
    Run,
    TransferConfig,
)
from worldsim.transfer.envs import VecEnv, dream_envs, real_envs
from worldsim.transfer.episodes import (
    Actor,
    Moment,
    constant_actors,
    draw_moments,
    frame_encoder,
    horizon,
    open_dreams,
    open_twin,
    play_dreams,
    play_real,
    play_real_from,
    random_actor,
    start_contexts,
)
from worldsim.transfer.policies import clone_behaviour, favour_repeats, load_policy, new_policy, policy_actor, train_ppo
from worldsim.transfer.servers import DreamPlan
from worldsim.transfer.store import Result, Store
from worldsim.world import World, world_hash

Job = partial[Result]  # a method of `Runs` with its arguments
OpenServers = Callable[[DreamPlan, int], VecEnv]  # a plan and a number of dreams


class Runs:
    """Everything that is trained and played, each part once.

    Args:
        worlds, shuffled: folders.
        refitted: datasets of the worlds that were trained further, by the folder of the world.
        data, out, config, device, game: as for `worldsim.transfer.report.transfer`.
        servers: opens the dreams that policies learn in, where they are not in this process.
    """

    def __init__(
        self,
        worlds: Sequence[Path],
        shuffled: Sequence[Path],
        refitted: Mapping[Path, Path],
        data: str | Path,
        out: Path,
        config: TransferConfig,
        device: str,
        game: str | GameSpec | None,
        servers: OpenServers | None = None,
    ) -> None:
        if not worlds:
            raise WorldError("no worlds given; give at least one that was trained on the dataset.")
        self.folders, self.shuffled, self.out, self.device, self.servers = worlds, shuffled, out, device, servers
        self.train, self.held_out = Dataset(data, "train"), Dataset(data, "eval")
        self.game = recorded_game(self.train.info.game) if game is None else find_game(game)
        self.config = config.of_game(self.game)
        self.recorded = {folder: Dataset(larger, "train") for folder, larger in refitted.items()}
        self.worlds = {folder: World.load(folder, device=device, runtime="torch") for folder in (*worlds, *shuffled, *refitted)}
        self.hashes = {folder: world_hash(folder) for folder in self.worlds}
        # All that policies in the real game depend on: they see with the tokenizer.
        self.tokenizers = {folder: world_hash(folder, ("tokenizer.safetensors",)) for folder in self.worlds}
        for world in self.worlds.values():
            check_fit(world, self.train)
        recordings = {self.worlds[folder].config.data for folder in (*worlds, *shuffled)}
        if len(recordings) > 1:
            raise WorldError(f"the worlds are of different recordings ({', '.join(sorted(recordings))}); give those of one.")
        names = ("hold", "episodes", "cap_tics", "checkpoints", "dreams", "dream_frames", "starts", "games", "head_clips")
        what = {"game": self.train.info.game, "data": self.train.fingerprint}
        self.store = Store(out, {**what, **{name: getattr(self.config, name) for name in names}})
        self.not_replayed: str | None = self.store.result("replay", self._scored(), self._check_replay)["error"]

    def circumstances(self) -> Result:
        """What was played, with what, and on which machine."""
        info, world = self.train.info, self.worlds[self.folders[0]]
        policies = sorted({episode.policy for episode in self.train.episodes})
        described = {
            "game": info.game,
            "train_frames": self.train.total_frames,
            "held_out_frames": self.held_out.total_frames,
            "policies": policies,
            "hash": world.config.data,
            "score": _episode_scores(self.train).tolist(),
        }
        names = ("worlds", self.folders), ("shuffled", self.shuffled)
        return {
            "data": described,
            **{name: [self.hashes[folder] for folder in folders] for name, folders in names},
            "frame_skip": info.frame_skip,
            "num_steps": world.num_steps,
            "seeds": {"test": [TEST_SEEDS.start, TEST_SEEDS.start + self.config.episodes - 1]},
            "not_replayed": self.not_replayed,
            "machine": {**describe_machine(), "device": world.device.type, "dtype": str(world.dtype).removeprefix("torch.")},
            "config": dataclasses.asdict(self.config),
        }

    def jobs(self) -> dict[str, list[Job]]:
        """What makes the runs of every row, one per world and policy seed."""
        first, seeds = self.folders[0], self.config.policy_seeds
        frames = self.config.equal_steps or self.train.total_frames + self.held_out.total_frames
        level = self.config.levels[0]
        jobs = {
            RANDOM: [partial(self.random, first)],
            CONSTANT: [partial(self.constant, first)],
            UNTRAINED: [partial(self.untrained, first)],
            CLONE: [partial(self.clone, first, seed) for seed in seeds],
            EQUAL: [partial(self.real, EQUAL, first, frames, seed) for seed in seeds],
            LONG: [partial(self.real, LONG, first, self.config.long_steps, seed) for seed in seeds[: self.config.long_seeds]],
            SHUFFLED: [partial(self.dream, SHUFFLED, folder, level, seed) for folder in self.shuffled for seed in seeds],
            DREAM: [partial(self.dream, DREAM, folder, level, seed, follow=True) for folder in self.folders for seed in seeds],
            REFIT: [partial(self.dream, REFIT, folder, level, seed) for folder in self.recorded for seed in seeds],
        }
        return {row: made for row, made in jobs.items() if made or row != REFIT}

    def side_jobs(self) -> dict[str, list[Job]]:
        """What makes the runs of the dream row at every level of randomness but the first."""
        first, seeds = self.folders[0], self.config.policy_seeds[: self.config.side_seeds]
        return {
            str(level): [partial(self.dream, DREAM, first, level, seed) for seed in seeds] for level in self.config.levels[1:]
        }

    def rows(self) -> dict[str, list[Result]]:
        """Runs of every row."""
        return {row: [make() for make in jobs] for row, jobs in self.jobs().items()}

    def levels(self, dreams: list[Result]) -> dict[str, list[Result]]:
        """Runs of the dream row at every level of randomness."""
        side = {level: [make() for make in jobs] for level, jobs in self.side_jobs().items()}
        return {str(self.config.levels[0]): dreams, **side}

    def heads(self) -> list[Result]:
        """How well each world predicts rewards and ends, teacher-forced and free-running."""
        return [self.head(folder) for folder in self.folders]

    def head(self, folder: Path) -> Result:
        """How well a world predicts them."""
        key = {"held_out": self.held_out.fingerprint}
        return self.store.result(f"heads-{self.hashes[folder]}", key, partial(self._heads, folder))

    def _heads(self, folder: Path) -> Result:
        config = EvalConfig(clips=self.config.head_clips, horizons=(32,), objects=False)
        return measure(self.worlds[folder], self.held_out, self.out / "heads", self.out, config)["heads"]

    def random(self, folder: Path) -> Result:
        """Random play, in the game and in dreams of a world."""
        level = self.config.levels[0]
        run = Run(RANDOM, self.hashes[folder], str(level))

        def make() -> Result:
            with closing(self._twin(folder)) as env, closing(self._scoring_dreams(folder, level)) as dreams:
                act = random_actor(env.action_space, 0)
                return {**self._score(env, act), **self._score_from_moments(folder, env, dreams, act, act), "real_frames": 0}

        return self._finished(run, {**self._scored(), "level": dataclasses.asdict(level)}, make)

    def constant(self, folder: Path) -> Result:
        """The constant action that does best on seeds of its own."""

        def make() -> Result:
            seeds = CHOICE_SEEDS[: self.config.choice_episodes]
            with closing(self._twin(folder)) as env:
                actors = constant_actors(env.action_space)
                tried = {name: float(play_real(env, act, self.config.hold, seeds).mean()) for name, act in actors.items()}
                best = max(tried, key=lambda name: tried[name])
                return {**self._score(env, actors[best]), "chosen": best, "tried": tried, "real_frames": 0}

        return self._finished(Run(CONSTANT), {"tried": self.config.choice_episodes}, make)

    def untrained(self, folder: Path) -> Result:
        """A policy before its training. One is enough: all seeds begin with nearly the same probabilities."""
        seed = self.config.policy_seeds[0]

        def make() -> Result:
            world, keep = self.worlds[folder], self.config.ppo.keep
            with closing(self._twin(folder)) as env:
                policy = favour_repeats(new_policy(env.view, world, self.config.ppo, seed), keep)
                return {**self._score(env, policy_actor(policy, frame_encoder(world))), "real_frames": 0}

        key = {"keep": self.config.ppo.keep, "tokenizer": self.tokenizers[folder]}
        return self._finished(Run(UNTRAINED, seed=seed), key, make)

    def clone(self, folder: Path, seed: int) -> Result:
        """Behaviour cloning of the recordings."""

        def make() -> Result:
            world = self.worlds[folder]
            with closing(self._twin(folder)) as env:
                policy = clone_behaviour(self.train, env.view, world, seed, self.config)
                return {**self._score(env, policy_actor(policy, frame_encoder(world))), "real_frames": 0}

        key = {"frames": self.config.clone_frames, "epochs": self.config.clone_epochs, "ppo": dataclasses.asdict(self.config.ppo)}
        return self._finished(Run(CLONE, seed=seed), {**key, "tokenizer": self.tokenizers[folder]}, make)

    def real(self, row: str, folder: Path, steps: int, seed: int) -> Result:
        """PPO in the real game. The checkpoint with the best estimate while training is scored."""
        key = {"steps": steps, "tokenizer": self.tokenizers[folder], "ppo": dataclasses.asdict(self.config.ppo)}
        run, world = Run(row, seed=seed), self.worlds[folder]

        def make_envs() -> VecEnv:
            return real_envs(partial(self._twin, folder), self.config.games)

        def make() -> Result:
            policies, log = self._trained(run, key, make_envs, world, steps, dreamed=False)
            chosen = _best(log)
            with closing(self._twin(folder)) as env:
                policy = load_policy(policies[chosen], env.view, world, self.config.ppo)
                scores = self._score(env, policy_actor(policy, frame_encoder(world)))
            return {**scores, "chosen": chosen, "checkpoints": log, "real_frames": log[-1]["steps"]}

        return self._finished(run, key, make)

    def dream(self, row: str, folder: Path, level: Randomness, seed: int, follow: bool = False) -> Result:
        """PPO in dreams. The checkpoint with the best estimate while training is frozen, and scored in fresh dreams and in the
        game; with `follow` all checkpoints play the game too."""
        config, world, recorded = self.config, self.worlds[folder], self.recorded.get(folder, self.train)
        key = {"level": dataclasses.asdict(level), "steps": config.dream_steps, "ppo": dataclasses.asdict(config.ppo)}
        run = Run(row, self.hashes[folder], str(level), seed)

        def make_envs() -> VecEnv:
            moments = draw_moments(recorded, self._window(folder), config.starts, seed=0)
            frames = min(config.dream_frames, horizon(config, world.config.frame_skip))
            if self.servers is not None:
                starts = start_contexts(world, recorded, moments)
                return self.servers(DreamPlan(read_files(folder), level, frames, starts, self.game, self.device), config.dreams)
            return dream_envs(
                open_dreams(folder, level, config.dreams, frames, recorded, moments, game=self.game, device=self.device)
            )

        def make() -> Result:
            paths, log = self._trained(run, key, make_envs, world, config.dream_steps, dreamed=True)
            with closing(self._twin(folder)) as env, closing(self._scoring_dreams(folder, level)) as dreams:
                policies, chosen = [load_policy(path, env.view, world, config.ppo) for path in paths], _best(log)
                actors = [policy_actor(policy, frame_encoder(world)) for policy in policies]
                scores = self._score(env, actors[chosen])
                scores |= self._score_from_moments(folder, env, dreams, policy_actor(policies[chosen]), actors[chosen])
                if follow:  # only now, when the choice is made
                    seeds = CHECKPOINT_SEEDS[: config.checkpoint_episodes]
                    for entry, act in zip(log, actors, strict=True):
                        entry["real"] = float(play_real(env, act, config.hold, seeds).mean())
            met = recorded.total_frames - self.train.total_frames
            return {**scores, "chosen": chosen, "checkpoints": log, "real_frames": met}

        return self._finished(run, {**key, **self._scored(), "follow": follow and config.checkpoint_episodes}, make)

    def _finished(self, run: Run, key: Result, make: Callable[[], Result]) -> Result:
        """What a run gave: read back where it is finished, otherwise made now."""
        described = {"run": dataclasses.asdict(run)}
        return self.store.result(run.slug, {**key, **described}, lambda: {**described, **make()})

    def _trained(
        self, run: Run, key: Result, make_envs: Callable[[], VecEnv], world: World, steps: int, *, dreamed: bool
    ) -> tuple[list[Path], list[Result]]:
        """Checkpoints of a PPO training, oldest first, and what was noted of each."""

        def train(folder: Path) -> list[Result]:
            with closing(make_envs()) as envs:
                return train_ppo(envs, world, steps, run.seed, self.config, folder, dreamed=dreamed)

        return self.store.policies(run.slug, {**key, "run": dataclasses.asdict(run)}, train)

    def _twin(self, folder: Path) -> TwinEnv:
        return open_twin(self.worlds[folder], self.config, self.game)

    def _score(self, env: TwinEnv, act: Actor) -> Result:
        """Scores of whole real episodes."""
        return {"scores": play_real(env, act, self.config.hold, TEST_SEEDS[: self.config.episodes]).tolist()}

    def _scoring_dreams(self, folder: Path, level: Randomness) -> DreamVectorEnv:
        """Dreams that begin at held-out moments and are truncated where the real game is."""
        frames, batch = horizon(self.config, self.train.info.frame_skip), min(self.config.dreams, self.config.dream_episodes)
        moments = self._moments(folder)
        return open_dreams(folder, level, batch, frames, self.held_out, moments, game=self.game, device=self.device)

    def _score_from_moments(self, folder: Path, env: TwinEnv, dreams: DreamVectorEnv, dreaming: Actor, real: Actor) -> Result:
        """Scores in dreams, and in the real game from the same moments on."""
        hold, moments, seed = self.config.hold, self._moments(folder), DREAM_SCORE_SEED
        scores = {"dream_scores": play_dreams(dreams, dreaming, hold, len(moments), seed).tolist()}
        if self.not_replayed is None:
            scores["matched_scores"] = play_real_from(env, real, hold, self.held_out, moments, seed).tolist()
        return scores

    def _scored(self) -> Result:
        """What scores in dreams and from moments depend on."""
        return {"moments": self.config.dream_episodes, "held_out": self.held_out.fingerprint}

    def _moments(self, folder: Path) -> list[Moment]:
        return draw_moments(self.held_out, self._window(folder), self.config.dream_episodes, DREAM_SCORE_SEED)

    def _window(self, folder: Path) -> int:
        """Frames of a start context."""
        return self.worlds[folder].config.dynamics.window

    def _check_replay(self) -> Result:
        """Whether the game, played again, shows what was recorded; else why not. Recordings of people may not."""
        with closing(self._twin(self.folders[0])) as env:
            try:
                for episode, frame in self._moments(self.folders[0]):
                    deque(replay(env.game, self.held_out, episode, frame), maxlen=0)
            except DataError as error:
                return {"error": str(error)}
        return {"error": None}


def _best(log: Sequence[Result]) -> int:
    """The checkpoint with the best estimate while training; those without one come last."""
    return max(range(len(log)), key=lambda i: -math.inf if log[i]["training"] is None else log[i]["training"])


def _episode_scores(dataset: Dataset) -> NDArray[np.float64]:
    """Scores `(episodes,)` of a dataset."""
    return np.add.reduceat(dataset.rows.rewards.astype(np.float64), dataset.offsets[:-1])
