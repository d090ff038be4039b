"""PPO in one file on the batched dreams; everything stays on the device. About three minutes on two CPU cores.

python examples/ppo.py --total-steps 16384
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import gymnasium
import torch
import tyro
from torch import Tensor, nn
from torch.distributions import Categorical

import worldsim  # noqa: F401 (registers the environments)


@dataclass(frozen=True)
class Args:
    """What to train, and how (Schulman et al. 2017, arXiv:1707.06347)."""

    env: str = "WorldSim/DoomTakeCoverStrip-v0"
    num_envs: int = 32
    num_steps: int = 64
    total_steps: int = 16_384
    stack: int = 4
    temperature: float = 1.3
    learning_rate: float = 3e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    epochs: int = 4
    minibatches: int = 8
    clip: float = 0.2
    entropy: float = 0.01
    seed: int = 0
    device: str = "auto"


class Agent(nn.Module):
    """Latents `(B, L)` -> a distribution over the options and a value `(B,)`."""

    def __init__(self, inputs: int, options: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs, 256), nn.LayerNorm(256), nn.SiLU(), nn.Linear(256, 128), nn.SiLU())
        self.policy, self.value = nn.Linear(128, options), nn.Linear(128, 1)
        nn.init.zeros_(self.policy.weight)

    def forward(self, obs: Tensor) -> tuple[Categorical, Tensor]:
        hidden = self.trunk(obs)
        return Categorical(logits=self.policy(hidden)), self.value(hidden)[:, 0]


class Rollout:
    """Steps of all dreams, `(T, B)` each."""

    def __init__(self, envs: gymnasium.vector.VectorEnv, agent: Agent, args: Args) -> None:
        self.envs, self.agent, self.args = envs, agent, args
        self.obs, _ = envs.reset(seed=args.seed)
        self.score = torch.zeros(args.num_envs, device=self.obs.device)
        self.scores: list[float] = []

    @torch.no_grad()
    def collect(self) -> tuple[Tensor, ...]:
        """Observations, actions, their log-probabilities, advantages and returns, the steps flattened."""
        steps = []
        for _ in range(self.args.num_steps):
            policy, value = self.agent(self.obs)
            action = policy.sample()
            obs, reward, terminated, truncated, infos = self.envs.step(action)
            self.count(reward, terminated | truncated)
            if truncated.any():  # cut short, not over: what was still to come counts
                reward = reward + truncated * ~terminated * self.args.gamma * self.agent(infos["final_obs"])[1]
            steps.append((self.obs, action, policy.log_prob(action), value, reward, terminated | truncated))
            self.obs = obs
        obs, action, chance, value, reward, over = (torch.stack(part) for part in zip(*steps, strict=True))
        advantage = self.advantages(value, reward, over)
        return tuple(part.flatten(0, 1) for part in (obs, action, chance, advantage, advantage + value))

    def advantages(self, value: Tensor, reward: Tensor, over: Tensor) -> Tensor:
        """Generalised advantage estimates (Schulman et al. 2015, arXiv:1506.02438)."""
        out, following, last = torch.zeros_like(value), self.agent(self.obs)[1], torch.zeros_like(value[0])
        for t in reversed(range(len(value))):
            alive = ~over[t]
            last = (
                reward[t] + self.args.gamma * following * alive - value[t] + self.args.gamma * self.args.gae_lambda * alive * last
            )
            out[t], following = last, value[t]
        return out

    def count(self, reward: Tensor, over: Tensor) -> None:
        self.score += reward
        self.scores += self.score[over].tolist()
        self.score[over] = 0


def update(agent: Agent, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, ...], args: Args) -> None:
    """A few epochs over one rollout."""
    for _ in range(args.epochs):
        for index in torch.randperm(len(batch[0]), device=batch[0].device).chunk(args.minibatches):
            obs, action, chance, advantage, target = (part[index] for part in batch)
            policy, value = agent(obs)
            ratio = (policy.log_prob(action) - chance).exp()
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            gain = torch.minimum(ratio * advantage, ratio.clamp(1 - args.clip, 1 + args.clip) * advantage).mean()
            loss = -gain + 0.5 * (value - target).square().mean() - args.entropy * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()


def main(args: Args) -> None:
    torch.manual_seed(args.seed)
    envs = gymnasium.make_vec(
        args.env,
        num_envs=args.num_envs,
        obs="latent",
        actions="flat",
        stack=args.stack,
        autoreset_mode="SameStep",
        output="torch",
        temperature=args.temperature,
        device=args.device,
    )
    rollout_size = args.num_envs * args.num_steps
    agent = Agent(envs.single_observation_space.shape[0], int(envs.single_action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), args.learning_rate, eps=1e-5)
    rollout = Rollout(envs, agent.to(envs.unwrapped.world.device), args)
    begun = time.perf_counter()
    for done in range(rollout_size, args.total_steps + 1, rollout_size):
        update(agent, optimizer, rollout.collect(), args)
        recent = rollout.scores[-50:]
        score = f"mean of the last {len(recent)} scores {sum(recent) / len(recent):.1f}" if recent else "no episode over yet"
        print(f"{done} steps, {done / (time.perf_counter() - begun):.0f} steps/s, {score}", flush=True)
    envs.close()


if __name__ == "__main__":
    main(tyro.cli(Args))
