"""A game of one's own, from its rules to playing in a world that learned it. About two minutes on two CPU cores.

python examples/own_game.py --budget 60

`CATCH` describes the game. The commands accept it too; run them in this folder:
`worldsim collect own_game:CATCH`, `worldsim train own_game:CATCH`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import tyro

from worldsim import Controls, ControlSpec, GameSpec
from worldsim.data.collect import PolicySource, collect
from worldsim.envs.dream import DreamEnv
from worldsim.envs.games import make_policy
from worldsim.envs.twin import TwinEnv
from worldsim.presets import find_preset
from worldsim.train.run import train

KEYS = ControlSpec(keys=("left", "right"), exclusive=(("left", "right"),))
SIDE, STEP = 32, 4  # pixels


class Catch(gymnasium.Env):
    """A ball falls; whoever has the paddle below it gets 1 and another ball, whoever has not loses."""

    observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    action_space = KEYS.action_space()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.paddle, self.caught = SIDE // 2, 0
        self.drop()
        return self.draw(), {"caught": self.caught}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        left, right = KEYS.from_action(action)
        self.paddle = int(np.clip(self.paddle + STEP * (right - left), 4, SIDE - 4))
        self.height += STEP
        landed = self.height >= SIDE - 4
        lost = landed and abs(self.ball - self.paddle) > 5
        reward = float(landed and not lost)
        self.caught += int(reward)
        if landed and not lost:
            self.drop()
        return self.draw(), reward, lost, self.caught >= 20, {"caught": self.caught}

    def drop(self) -> None:
        self.ball, self.height = int(self.np_random.integers(2, SIDE - 2)), 0

    def draw(self) -> np.ndarray:
        frame = np.full((SIDE, SIDE, 3), 20, np.uint8)
        frame[self.height : self.height + 4, self.ball - 2 : self.ball + 2] = (250, 200, 60)
        frame[SIDE - 3 :, self.paddle - 4 : self.paddle + 4] = (80, 160, 250)
        return frame


CATCH = GameSpec(
    name="mine/catch",
    make=Catch,
    control_spec=KEYS,
    height=SIDE,
    width=SIDE,
    fps=10.0,
    max_tics=200,
    meanings={"left": "left", "right": "right"},
    states=("caught",),
    policies={"restless": 1.0},
    symmetric=True,
)


@dataclass(frozen=True)
class Args:
    """How much to record and to train."""

    out: Path = Path("runs/mine/catch")
    frames: int = 3000
    budget: float = 60.0
    steps: int = 20


def main(args: Args) -> None:
    policies = [PolicySource(name, partial(make_policy, name, KEYS), share) for name, share in CATCH.policies.items()]
    data, about = args.out / "data", {"game": CATCH.name, "state": CATCH.states}
    collect(CATCH.start, policies, data, frames=args.frames, eval_frames=args.frames // 8, **about)

    config = replace(find_preset("toy/dodge"), name=CATCH.name)  # small networks; `any_game` has larger ones
    world = train(config, data, args.out, args.budget, device="cpu", compiled=False).world

    # The same agent in the dream and in the real game: it does not look, it goes to and fro.
    for env in (DreamEnv(world, game=CATCH, device="cpu"), TwinEnv(CATCH, world=world)):
        obs, _ = env.reset(seed=0)
        score, over, step = 0.0, False, 0
        while not over and step < args.steps:
            obs, reward, terminated, truncated, _ = env.step(Controls(keys={"left" if step // 4 % 2 else "right"}))
            score, over, step = score + reward, terminated or truncated, step + 1
        print(f"{type(env).__name__}: {step} steps, reward {score:.1f}, frame {obs.shape}")
        env.close()


if __name__ == "__main__":
    main(tyro.cli(Args))
