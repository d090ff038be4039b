"""What policies of dreams meet in the real game, added to the recordings that their world was trained on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.data import Dataset, PolicySource, collect
from worldsim.envs.games import Axes, Game, GameSpec, Policy, find_game
from worldsim.envs.view import View
from worldsim.transfer.config import TransferConfig
from worldsim.transfer.data import link
from worldsim.transfer.play import Actor, latent_size, see
from worldsim.transfer.policies import actor, load_policy
from worldsim.world import World

NAME = "dreamt"  # of such policies, in the dataset


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
        copying = out.with_name(f"{out.name}.copy")
        shutil.rmtree(copying, ignore_errors=True)
        shutil.copytree(source, copying, copy_function=link)
        copying.rename(partial_out)
    info = before.info
    spec = find_game(info.game if game is None else game)
    make = partial(spec.start, frame_skip=info.frame_skip, height=info.height, width=info.width)
    config = config.of_game(spec)
    collect(
        partial(_open, make),
        [PolicySource(NAME, Scout(world, path, config, spec.axes)) for path in policies],
        partial_out,
        game=info.game,
        frames=before.total_frames + frames,
        lossless=info.lossless,
        processes=processes,
        max_steps=max(1, config.cap // info.frame_skip),
    )
    partial_out.rename(out)
    return out


@dataclass(frozen=True)
class Scout:
    """Makes the policy that plays as a trained one does; can be sent to another process."""

    world: Path
    policy: Path
    config: TransferConfig
    axes: Axes

    def __call__(self) -> Policy:
        return _Dreamt(self)


class _Dreamt:
    """A trained policy as a recorder takes it: its decisions hold, and it sees the frame in `info`."""

    def __init__(self, scout: Scout) -> None:
        self.hold, (self.act_on, self.view) = scout.config.hold, _load(scout)

    def reset(self, rng: np.random.Generator) -> None:
        torch.manual_seed(int(rng.integers(2**31)))
        self.frame, self.action = 0, None

    def act(self, info: dict[str, Any]) -> NDArray[np.float32]:
        if self.frame % self.hold == 0:
            self.action = self.act_on(info["frame"][None], self.action)
        self.frame += 1
        return self.view.vectors(self.action, 1)[0]

    action: NDArray[Any] | None


class _Shown(gymnasium.Wrapper):  # type: ignore[type-arg]
    """A game whose `info` holds the frame."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        frame, info = self.env.reset(**options)
        return frame, {**info, "frame": np.array(frame)}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        frame, reward, terminated, truncated, info = self.env.step(action)
        return frame, reward, terminated, truncated, {**info, "frame": np.array(frame)}


def _open(make: Callable[[], Game]) -> _Shown:
    return _Shown(make())


@lru_cache(4)
def _load(scout: Scout) -> tuple[Actor, View]:
    torch.set_num_threads(1)
    world = World.load(scout.world, device="cpu")
    config = world.config
    size = (config.height, config.width)
    view = View(config.control_spec, size, latent_size(world), scout.axes, actions="flat")
    return actor(load_policy(scout.policy, view, world, scout.config.ppo), see(world)), view
