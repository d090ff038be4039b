"""Are dreams too easy? Random play, scored in dreams and in the real game from the same recorded moments.

python examples/random_gap.py --world doom/take-cover-strip --data data/doom/take-cover-strip

Dreams begin at moments in the middle of held-out episodes. The game is brought to the same moments by the recorded seeds and
actions; random play goes on from there in both. Whole real episodes are shown beside them: they begin at the beginning, so
they last longer than either, and must not be compared with dreams.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from worldsim.data import Dataset
from worldsim.envs.games import recorded_game
from worldsim.eval.report import check_fit
from worldsim.files import check_writable, write_json
from worldsim.machine import describe_machine
from worldsim.transfer.config import DREAM_SCORE_SEED, TEST_SEEDS, Randomness, TransferConfig
from worldsim.transfer.episodes import (
    draw_moments,
    horizon,
    open_dreams,
    open_twin,
    play_dreams,
    play_real,
    play_real_from,
    random_actor,
)
from worldsim.transfer.statistics import bootstrap
from worldsim.world import World, find_world, world_hash


@dataclass(frozen=True)
class Args:
    """What to play, and how often.

    Attributes:
        world: name, folder or Hub id.
        data: recordings of its game with held-out episodes, from `worldsim collect`.
        temperatures: of the dreams.
        moments: from which dreams and games are played.
        episodes: whole real episodes.
        hold: frames for which a random action is held.
        batch: dreams at a time.
        device: where to dream.
        json: file for the figures.
    """

    world: str = "doom/take-cover-strip"
    data: Path = Path("data/doom/take-cover-strip")
    temperatures: tuple[float, ...] = (1.3, 1.0)
    moments: int = 256
    episodes: int = 100
    hold: int = 12
    batch: int = 32
    device: str = "auto"
    json: Path | None = None


def main(args: Args) -> dict[str, Any]:
    """Plays, prints mean scores with 95% intervals, and returns the figures."""
    if args.json is not None:
        check_writable(args.json)
    folder, held_out = find_world(args.world), Dataset(args.data, "eval")
    world, game = World.load(folder, device=args.device), recorded_game(held_out.info.game)
    check_fit(world, held_out)
    config = TransferConfig().of_game(game)
    frames = horizon(config, held_out.info.frame_skip)
    moments = draw_moments(held_out, world.config.dynamics.window, args.moments, DREAM_SCORE_SEED)
    scores: dict[str, list[float]] = {}
    figures: dict[str, dict[str, Any]] = {}

    def note(name: str, found: NDArray[np.float64]) -> None:
        scores[name] = found.tolist()
        low, high = bootstrap([scores[name]], config.resamples)
        figures[name] = {"mean": float(found.mean()), "interval": (low, high), "count": len(found)}
        print(f"{name:24} {found.mean():7.1f} ({low:.1f} to {high:.1f}), {len(found)} episodes", flush=True)

    with closing(open_twin(world, config, game)) as env:
        act = random_actor(env.action_space, 0)
        note("game, whole episodes", play_real(env, act, args.hold, TEST_SEEDS[: args.episodes]))
        real = play_real_from(env, act, args.hold, held_out, moments, DREAM_SCORE_SEED)
        note("game, same moments", real)
        for temperature in args.temperatures:
            options = (Randomness(temperature), min(args.batch, args.moments), frames, held_out, moments, game, args.device)
            with closing(open_dreams(folder, *options)) as dreams:
                dreamed = play_dreams(dreams, act, args.hold, args.moments, DREAM_SCORE_SEED)
            note(f"dreams, temperature {temperature:g}", dreamed)
            note(f"gap, temperature {temperature:g}", dreamed - real)
    about = {
        "world": {"name": world.config.name, "hash": world_hash(folder), "num_steps": world.num_steps},
        "data": {"game": game.name, "hash": held_out.fingerprint, "held_out_frames": held_out.total_frames},
        "machine": {**describe_machine(), "device": world.device.type, "dtype": str(world.dtype).removeprefix("torch.")},
        "config": {"hold": args.hold, "cap_tics": config.cap, "frame_skip": held_out.info.frame_skip},
    }
    result = {**about, "figures": figures, "scores": scores}
    if args.json is not None:
        write_json(args.json, result)
    return result


if __name__ == "__main__":
    main(tyro.cli(Args))
