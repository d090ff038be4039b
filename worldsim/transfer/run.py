"""`worldsim transfer`: does a policy that was trained in nothing but dreams work in the real game? All rows of the card.

Each run (a row, a world, a seed) is stored once it is finished, so that the same command goes on where it was interrupted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldsim.data import Dataset
from worldsim.envs.games import GameSpec, find_game
from worldsim.envs.twin import TwinEnv
from worldsim.errors import WorldError
from worldsim.eval.measure import EvalConfig, measure
from worldsim.eval.report import check_fit
from worldsim.files import write_json
from worldsim.machine import describe_machine
from worldsim.transfer.card import format_card, write_card
from worldsim.transfer.config import (
    CHECKPOINT_SEEDS,
    CHOICE_SEEDS,
    DREAM_SCORE_SEED,
    TEST_SEEDS,
    Randomness,
    TransferConfig,
)
from worldsim.transfer.envs import VecEnv, dream_envs, real_envs
from worldsim.transfer.play import (
    Actor,
    constant_actors,
    open_dreams,
    open_twin,
    play_dreams,
    play_real,
    random_actor,
    see,
)
from worldsim.transfer.policies import actor, clone, load_policy, new_policy, patient, train_ppo
from worldsim.transfer.statistics import CLONE, CONSTANT, DREAM, EQUAL, LONG, RANDOM, REFIT, SHUFFLED, UNTRAINED, summarise
from worldsim.transfer.store import Result, Store
from worldsim.world import World, find_world, world_hash


def transfer(
    worlds: Sequence[str | Path],
    data: str | Path,
    out: str | Path,
    *,
    shuffled: Sequence[str | Path] = (),
    refitted: Sequence[tuple[Path, Path]] = (),
    card: str | Path | None = None,
    json: str | Path | None = None,
    config: TransferConfig | None = None,
    device: str = "auto",
    game: str | GameSpec | None = None,
) -> Result:
    """Trains and plays all rows, and writes the card.

    Args:
        worlds: as for `World.load`, one per world seed.
        data: the dataset that they were trained on.
        out: folder of policies and finished runs; the same call again goes on from there.
        shuffled: worlds trained on the same recordings with shuffled actions; see `transfer_data.shuffle_controls`.
        refitted: worlds that were trained further on larger datasets, with those; see `transfer_refit.record_policies`.
        card: Markdown file that gets the tables, with its plot beside it.
        json: file that gets all figures.
        config: how much of everything.
        device: where the worlds run.
        game: the real game, where it is not registered under the name in the dataset; see `find_game`.

    Returns:
        The figures as in the JSON file.

    Raises:
        WorldError: if there is no such world, or they were trained on different recordings.
        DataError: if the dataset is not of their game.
        GameError: if the game is not installed.
    """
    config = config or TransferConfig()
    found = [find_world(w) for w in worlds], [find_world(w) for w in shuffled]
    runs = _Runs(*found, dict(refitted), data, Path(out), config, device, game)
    rows = runs.rows()
    levels = runs.levels(rows[DREAM])
    figures = {
        **runs.circumstances(),
        "rows": rows,
        "levels": levels,
        "heads": runs.heads(),
        **summarise(rows, levels, runs.config, runs.game.bars),
    }
    if json is not None:
        write_json(Path(json), figures)
    if card is not None:
        write_card(Path(card), figures)
    print(format_card(figures))
    return figures


def chosen_policies(figures: Result, out: Path) -> list[Path]:
    """Files of the policies that were chosen in the first world's dreams, one per policy seed."""
    runs = [run for run in figures["rows"][DREAM] if run["name"].split("-")[1] == figures["worlds"][0]]
    return [sorted((out / "policies" / run["name"]).glob("*.safetensors"))[run["chosen"]] for run in runs]


class _Runs:
    """Everything that is trained and played, each part once."""

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
    ) -> None:
        if not worlds:
            raise WorldError("no worlds given; give at least one that was trained on the dataset.")
        self.folders, self.shuffled, self.out, self.device = worlds, shuffled, out, device
        self.train, self.held_out = Dataset(data, "train"), Dataset(data, "eval")
        self.game = find_game(self.train.info.game if game is None else game)
        self.config = config = config.of_game(self.game)
        self.recorded = {folder: Dataset(larger, "train") for folder, larger in refitted.items()}
        self.worlds = {folder: World.load(folder, device=device) for folder in (*worlds, *shuffled, *refitted)}
        self.hashes = {folder: world_hash(folder) for folder in self.worlds}
        self.eyes = {folder: world_hash(folder, ("tokenizer.safetensors",)) for folder in self.worlds}  # enough in real games
        for world in self.worlds.values():
            check_fit(world, self.train)
        recordings = {self.worlds[folder].config.data for folder in (*worlds, *shuffled)}
        if len(recordings) > 1:
            raise WorldError(f"the worlds are of different recordings ({', '.join(sorted(recordings))}); give those of one.")
        names = ("hold", "episodes", "cap_tics", "checkpoints", "dreams", "dream_frames", "starts", "games", "head_clips")
        what = {"game": self.train.info.game, "data": self.train.fingerprint}
        self.store = Store(out, {**what, **{name: getattr(config, name) for name in names}})

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
            "steps": world.num_steps,
            "seeds": {"test": [TEST_SEEDS.start, TEST_SEEDS.start + self.config.episodes - 1]},
            "machine": {**describe_machine(), "device": world.device.type, "dtype": str(world.dtype).removeprefix("torch.")},
            "config": dataclasses.asdict(self.config),
        }

    def rows(self) -> dict[str, list[Result]]:
        """Runs of every row, one per world and policy seed."""
        first, seeds = self.folders[0], self.config.policy_seeds
        frames = self.config.equal_steps or self.train.total_frames + self.held_out.total_frames
        level = self.config.levels[0]
        rows = {
            RANDOM: [self._random(first)],
            CONSTANT: [self._constant(first)],
            UNTRAINED: [self._untrained(first, seed) for seed in seeds],
            CLONE: [self._clone(first, seed) for seed in seeds],
            EQUAL: [self._real(first, "equal", frames, seed) for seed in seeds],
            LONG: [self._real(first, "long", self.config.long_steps, seed) for seed in seeds[: self.config.long_seeds]],
            SHUFFLED: [self._dream(folder, level, seed) for folder in self.shuffled for seed in seeds],
            DREAM: [self._dream(folder, level, seed, follow=True) for folder in self.folders for seed in seeds],
            REFIT: [self._dream(folder, level, seed) for folder in self.recorded for seed in seeds],
        }
        return {name: runs for name, runs in rows.items() if runs or name != REFIT}

    def levels(self, dreams: list[Result]) -> dict[str, list[Result]]:
        """Runs of the dream row at every level of randomness."""
        first, seeds = self.folders[0], self.config.policy_seeds[: self.config.side_seeds]
        side = {str(level): [self._dream(first, level, seed) for seed in seeds] for level in self.config.levels[1:]}
        return {str(self.config.levels[0]): dreams, **side}

    def heads(self) -> list[Result]:
        """How well each world foretells rewards and ends, teacher-forced and free-running."""
        return [self.store.result(f"heads-{self.hashes[folder]}", {}, partial(self._heads, folder)) for folder in self.folders]

    def _heads(self, folder: Path) -> Result:
        config = EvalConfig(clips=self.config.head_clips, horizons=(32,), objects=False)
        heads = measure(self.worlds[folder], self.held_out, self.out / "heads", self.out, config)["heads"]
        return {mode: {name: dataclasses.asdict(e) for name, e in figures.items()} for mode, figures in heads.items()}

    def _random(self, folder: Path) -> Result:
        def run() -> Result:
            with closing(self._twin(folder)) as env:
                return {"scores": self._score(env, random_actor(env.action_space, 0)), "real_frames": 0}

        return self.store.result("random", {}, run)

    def _constant(self, folder: Path) -> Result:
        def run() -> Result:
            seeds = CHOICE_SEEDS[: self.config.choice_episodes]
            with closing(self._twin(folder)) as env:
                actors = constant_actors(env.action_space)
                tried = {name: float(play_real(env, act, self.config.hold, seeds).mean()) for name, act in actors.items()}
                best = max(tried, key=lambda name: tried[name])
                return {"scores": self._score(env, actors[best]), "chosen": best, "tried": tried, "real_frames": 0}

        return self.store.result("constant", {"tried": self.config.choice_episodes}, run)

    def _untrained(self, folder: Path, seed: int) -> Result:
        def run() -> Result:
            world, keep = self.worlds[folder], self.config.ppo.keep
            with closing(self._twin(folder)) as env:
                policy = patient(new_policy(env.view, world, self.config.ppo, seed), keep)
                return {"scores": self._score(env, actor(policy, see(world))), "real_frames": 0}

        key = {"keep": self.config.ppo.keep, "tokenizer": self.eyes[folder]}
        return self.store.result(f"untrained-{seed}", key, run)

    def _clone(self, folder: Path, seed: int) -> Result:
        def run() -> Result:
            world = self.worlds[folder]
            with closing(self._twin(folder)) as env:
                policy = clone(self.train, env.view, world, seed, self.config)
                return {"scores": self._score(env, actor(policy, see(world))), "real_frames": 0}

        key = {"frames": self.config.clone_frames, "epochs": self.config.clone_epochs, "ppo": dataclasses.asdict(self.config.ppo)}
        return self.store.result(f"clone-{seed}", {**key, "tokenizer": self.eyes[folder]}, run)

    def _real(self, folder: Path, name: str, steps: int, seed: int) -> Result:
        """PPO in the real game; the checkpoint that did best while training is the one that is scored."""
        key = {"steps": steps, "tokenizer": self.eyes[folder], "ppo": dataclasses.asdict(self.config.ppo)}
        world = self.worlds[folder]
        name = f"real-{name}-{seed}"

        def make_envs() -> VecEnv:
            return real_envs(partial(self._twin, folder), self.config.games)

        def run() -> Result:
            policies, log = self._trained(name, key, make_envs, world, steps, seed, dreamed=False)
            chosen = _best(log)
            with closing(self._twin(folder)) as env:
                scores = self._score(env, actor(load_policy(policies[chosen], env.view, world, self.config.ppo), see(world)))
            return {"scores": scores, "chosen": chosen, "checkpoints": log, "real_frames": log[-1]["steps"]}

        return self.store.result(name, key, run)

    def _dream(self, folder: Path, level: Randomness, seed: int, follow: bool = False) -> Result:
        """PPO in dreams; the checkpoint that did best while training is frozen, and scored on fresh dreams and in the game."""
        config, world, recorded = self.config, self.worlds[folder], self.recorded.get(folder, self.train)
        key = {"world": self.hashes[folder], "level": dataclasses.asdict(level), "steps": config.dream_steps}
        key |= {"ppo": dataclasses.asdict(config.ppo)}
        name = f"dream-{self.hashes[folder]}-{config.levels.index(level)}-{seed}"

        def make_envs() -> VecEnv:
            return dream_envs(open_dreams(folder, level, config, self.device, self.game, recorded))

        def run() -> Result:
            paths, log = self._trained(name, key, make_envs, world, config.dream_steps, seed, dreamed=True)
            few = dataclasses.replace(config, dreams=min(config.dreams, config.dream_episodes))
            with closing(self._twin(folder)) as env, closing(open_dreams(folder, level, few, self.device, self.game)) as dreams:
                policies, chosen = [load_policy(path, env.view, world, config.ppo) for path in paths], _best(log)
                best = actor(policies[chosen])
                dreamed = play_dreams(dreams, best, config.hold, config.dream_episodes, DREAM_SCORE_SEED).tolist()
                actors = [actor(policy, see(world)) for policy in policies]
                scores = self._score(env, actors[chosen])
                if follow:  # only now, when nothing can be chosen any more
                    seeds = CHECKPOINT_SEEDS[: config.checkpoint_episodes]
                    for entry, act in zip(log, actors, strict=True):
                        entry["real"] = float(play_real(env, act, config.hold, seeds).mean())
            met = recorded.total_frames - self.train.total_frames
            return {"scores": scores, "dream_scores": dreamed, "chosen": chosen, "checkpoints": log, "real_frames": met}

        also = {"dreamed": config.dream_episodes, "follow": follow and config.checkpoint_episodes}
        return self.store.result(name, {**key, **also}, run)

    def _trained(
        self, name: str, key: Result, make_envs: Callable[[], VecEnv], world: World, steps: int, seed: int, *, dreamed: bool
    ) -> tuple[list[Path], list[Result]]:
        """Checkpoints of a PPO training, oldest first, and what was noted of each."""

        def train(folder: Path) -> list[Result]:
            with closing(make_envs()) as envs:
                return train_ppo(envs, world, steps, seed, self.config, folder, dreamed=dreamed)

        return self.store.policies(name, key, train)

    def _twin(self, folder: Path) -> TwinEnv:
        return open_twin(self.worlds[folder], self.config, self.game)

    def _score(self, env: TwinEnv, act: Actor) -> list[float]:
        return play_real(env, act, self.config.hold, TEST_SEEDS[: self.config.episodes]).tolist()


def _best(log: Sequence[Result]) -> int:
    """The checkpoint that did best while training; those before anything ended come last."""
    return max(range(len(log)), key=lambda i: -math.inf if log[i]["training"] is None else log[i]["training"])


def _episode_scores(dataset: Dataset) -> NDArray[np.float64]:
    """What the episodes of a dataset scored."""
    starts = np.cumsum(dataset.lengths) - dataset.lengths
    return np.add.reduceat(dataset.rows.rewards.astype(np.float64), starts)
