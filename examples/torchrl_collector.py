"""A TorchRL collector over the batched dreams, with a policy on latents. About a minute on two CPU cores.

pip install "worldsim-dit[rl]"  # on Python 3.11 or newer
python examples/torchrl_collector.py --total-frames 4096
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import gymnasium
import torch
import tyro
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import OneHotCategorical, ProbabilisticActor

import worldsim  # noqa: F401 (registers the environments)


@dataclass(frozen=True)
class Args:
    """What to collect."""

    env: str = "WorldSim/DoomTakeCover-v0"
    num_envs: int = 32
    frames_per_batch: int = 1024
    total_frames: int = 4096
    seed: int = 0
    device: str = "auto"


def main(args: Args) -> None:
    torch.manual_seed(args.seed)
    # DISABLED leaves resets to TorchRL, which gives the rows that are over as reset_mask.
    dreams = gymnasium.make_vec(
        args.env, num_envs=args.num_envs, obs="latent", actions="flat", autoreset_mode="Disabled", device=args.device
    )
    env = GymWrapper(dreams)
    inputs, options = env.observation_spec["observation"].shape[-1], env.action_spec.shape[-1]
    network = nn.Sequential(nn.Linear(inputs, 128), nn.SiLU(), nn.Linear(128, options))
    policy = ProbabilisticActor(
        TensorDictModule(network, ["observation"], ["logits"]), in_keys=["logits"], distribution_class=OneHotCategorical
    )
    collector = Collector(
        env,
        policy,
        frames_per_batch=args.frames_per_batch,
        total_frames=args.total_frames,
        auto_register_policy_transforms=True,
    )
    begun, frames = time.perf_counter(), 0
    for batch in collector:
        frames += batch.numel()
        ended = int(batch["next", "done"].sum())
        rate = frames / (time.perf_counter() - begun)
        print(f"{frames} frames, {rate:.0f} frames/s, batch {tuple(batch.shape)}: {ended} episodes over, "
              f"reward {batch['next', 'reward'].mean():.2f} a step", flush=True)  # fmt: skip
    collector.shutdown()


if __name__ == "__main__":
    main(tyro.cli(Args))
