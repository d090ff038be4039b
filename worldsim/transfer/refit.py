"""What policies of dreams meet in the real game, added to the recordings that their world was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.data import Dataset
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.games import Axes, Game, GameSpec, Policy, find_game, recorded_game
from worldsim.envs.view import View
from worldsim.transfer.config import TransferConfig
from worldsim.transfer.episodes import Actor, frame_encoder, horizon, latent_size
from worldsim.transfer.policies import load_policy, policy_actor
from worldsim.transfer.worlds import copy_dataset
from worldsim.world import World

POLICY_NAME = "dream-trained"  # in the dataset


def record_policies(
    world: Path,
    policies: Sequence[Path],
    source: Path,
    out: Path,
    frames: int,
    config: TransferConfig,
    *,
    processes: int = 1,
    game: str | GameSpec | None = None,
) -> Path:
    """Copies a dataset and adds to its training split what trained policies meet; the videos are linked.

    Args:
        world: folder of the world that the policies see with.
        policies: files of them, which take turns.
        source: dataset.
        out: folder of the larger one, which appears once it is complete.
        frames: to add, at least.
        config: that the policies were trained with.
        processes: games played at a time.
        game: the real game, where it is not registered under the name in the dataset; see `find_game`.

    Returns:
        `out`.
    """
    if out.exists():
        return out
    before, partial_out = Dataset(source, "train"), out.with_name(f"{out.name}.part")
    if not partial_out.exists():
        copy_dataset(source, out).rename(partial_out)
    info, spec = before.info, recorded_game(before.info.game) if game is None else find_game(game)
    config = config.of_game(spec)
    make = partial(spec.start, frame_skip=info.frame_skip, height=info.height, width=info.width)
    collect(
        partial(_open, make),
        [PolicySource(POLICY_NAME, RecordedPolicy(world, path, config, spec.axes)) for path in policies],
        partial_out,
        game=info.game,
        frames=before.total_frames + frames,
        lossless=info.lossless,
        processes=processes,
        max_steps=horizon(config, info.frame_skip),
    )
    partial_out.rename(out)
    return out


@dataclass(frozen=True)
class RecordedPolicy:
    """Makes a policy for `collect` that plays as a trained one does; it can be sent to another process.

    Attributes:
        world: folder of the world whose tokenizer it sees with.
        policy: its file.
        config: that it was trained with.
        axes: of its flat actions.
    """

    world: Path
    policy: Path
    config: TransferConfig
    axes: Axes

    def __call__(self) -> Policy:
        return _TrainedPolicy(self)


class _TrainedPolicy:
    """A trained policy as `collect` takes it: its decisions are held, and it finds the frame in `info`."""

    action: NDArray[Any] | None

    def __init__(self, source: RecordedPolicy) -> None:
        self.hold, (self.decide, self.view) = source.config.hold, _load(source)

    def reset(self, rng: np.random.Generator) -> None:
        torch.manual_seed(int(rng.integers(2**31)))
        self.frame, self.action = 0, None

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        if self.frame % self.hold == 0:
            self.action = self.decide(info["frame"][None], self.action)
        self.frame += 1
        return self.view.vectors(self.action, 1)[0]


class _FrameInInfo(gymnasium.Wrapper):  # type: ignore[type-arg]
    """A game whose `info` holds the frame."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        frame, info = self.env.reset(**options)
        return frame, {**info, "frame": np.array(frame)}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        frame, reward, terminated, truncated, info = self.env.step(action)
        return frame, reward, terminated, truncated, {**info, "frame": np.array(frame)}


def _open(make: Callable[[], Game]) -> _FrameInInfo:
    return _FrameInInfo(make())


@lru_cache(4)
def _load(source: RecordedPolicy) -> tuple[Actor, View]:
    torch.set_num_threads(1)
    world = World.load(source.world, device="cpu", runtime="torch")
    config = world.config
    size = (config.height, config.width)
    view = View(config.control_spec, size, latent_size(world), source.axes, actions="flat")
    return policy_actor(load_policy(source.policy, view, world, source.config.ppo), frame_encoder(world)), view
