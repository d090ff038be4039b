"""PPO of Stable-Baselines3 inside a dream, then in the real game, unchanged. About three minutes on two CPU cores.

pip install "worldsim-dit[doom,rl]"
python examples/sb3_ppo.py --total-steps 16384 --real-episodes 10
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import numpy as np
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

import worldsim  # noqa: F401 (registers the environments)
from worldsim.envs.sb3 import SB3VecEnv


@dataclass(frozen=True)
class Args:
    """What to train, and for how long."""

    dream: str = "WorldSim/DoomTakeCoverStrip-v0"
    real: str = "WorldSim/DoomTakeCoverStrip-Real-v0"
    num_envs: int = 32
    total_steps: int = 16_384
    stack: int = 4
    temperature: float = 1.3
    seed: int = 0
    device: str = "auto"
    real_episodes: int = 0


def main(args: Args) -> None:
    view = {"obs": "latent", "actions": "flat", "stack": args.stack, "device": args.device}
    dreams = gymnasium.make_vec(
        args.dream, num_envs=args.num_envs, autoreset_mode="SameStep", temperature=args.temperature, **view
    )
    envs = VecMonitor(SB3VecEnv(dreams))
    model = PPO("MlpPolicy", envs, n_steps=64, batch_size=256, n_epochs=4, seed=args.seed, device="cpu", verbose=1)
    model.learn(args.total_steps)
    if args.real_episodes:
        scores = play(model, gymnasium.make(args.real, **view), args.real_episodes, args.seed)
        print(f"real game, {len(scores)} episodes: {np.mean(scores):.0f} +- {np.std(scores):.0f}")


def play(model: PPO, env: gymnasium.Env, episodes: int, seed: int) -> list[float]:
    """Returns of whole episodes."""
    scores = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed + episode)
        score, over = 0.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(model.predict(obs)[0])
            score, over = score + float(reward), terminated or truncated
        scores.append(score)
    env.close()
    return scores


if __name__ == "__main__":
    main(tyro.cli(Args))
