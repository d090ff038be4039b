"""Plans the training of a large world on many GPUs: memory, time, communication and cost, from the sizes of its network.

A simulation with the few numbers of `Machine` and `Training`, not a measurement: nothing here was measured on several GPUs.
What a process keeps and sends is counted as `worldsim.train` does it: FSDP2 over all GPUs, weights gathered in bfloat16,
gradients averaged in float32, float32 states, Muon for the matrices of the trunk.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from worldsim.bench.config import ScalePlanConfig
from worldsim.model.dit import DiT, DiTConfig
from worldsim.presets import find_stream
from worldsim.tables import text_table
from worldsim.train.config import DynamicsStage
from worldsim.train.loop import TRUNK
from worldsim.train.stages import training_flops

BF16, FP32 = 2, 4  # bytes
NOTE = """A simulation, not yet measured on a GPU. It assumes that a step reaches {utilization:.0%} of the {rate:.0f} TFLOP/s
of a large product, collectives {achieved:.0%} of what the links carry, and that {overlap:.0%} of communication is hidden;
{price:g} a GPU hour."""
ADAMW, MUON = 5, 4  # float32 numbers per weight: itself, its gradient and average, and what the optimizer keeps


@dataclass(frozen=True)
class Machine:
    """GPUs of the H100 kind, eight to a node. Memory and links are the manufacturer's figures.

    Attributes:
        memory: bytes of a GPU.
        rate: FLOP/s of a large product in bfloat16; measured on an H200.
        utilization: share of `rate` that a training step reaches; assumed.
        link: bytes per second that a GPU receives from others of its node (NVLink).
        network: bytes per second that a GPU receives from other nodes (400 Gbit/s each).
        achieved: share of both that collectives reach; assumed.
        overlap: share of communication that goes on behind computation, as long as there is enough of it; assumed.
        node: GPUs of a node.
    """

    memory: float = 80e9
    rate: float = 780e12
    utilization: float = 0.45
    link: float = 450e9
    network: float = 50e9
    achieved: float = 0.7
    overlap: float = 0.8
    node: int = 8


@dataclass(frozen=True)
class ScalePlan:
    """A training run on a number of GPUs.

    Attributes:
        gpus: how many.
        windows: per GPU and step.
        weights: of the dynamics.
        state_bytes: per GPU, of weights, gradients, averages and optimizers.
        gathered_bytes: per GPU, of the weights that are whole at a time.
        activation_bytes: per GPU, kept for the backward pass.
        compute: seconds of a step without communication.
        communication: seconds of a step's communication, hidden or not.
        seconds: of a step.
        sent_bytes: per GPU and step.
        muon_bytes: of them, for Muon.
        frames_per_second: of all GPUs.
        hours: of the whole run.
        cost: of the whole run.
        fits: whether the bytes fit into a GPU, with a tenth to spare.
    """

    gpus: int
    windows: int
    weights: int
    state_bytes: float
    gathered_bytes: float
    activation_bytes: float
    compute: float
    communication: float
    seconds: float
    sent_bytes: float
    muon_bytes: float
    frames_per_second: float
    hours: float
    cost: float
    fits: bool

    @property
    def bytes(self) -> float:
        """Per GPU, in all."""
        return self.state_bytes + self.gathered_bytes + self.activation_bytes


def plan_scale(config: ScalePlanConfig, machine: Machine | None = None) -> dict[str, Any]:
    """Simulates a run for each number of GPUs, prints a table and returns it.

    Returns:
        "results": a dict per number of GPUs, see `ScalePlan`; "machine", the assumptions; "measured": False.

    Raises:
        WorldsimError: if there is no such preset.
    """
    machine = machine or Machine()
    world = find_stream(config.preset)
    patches = math.prod(world.tokenizer.grid(world.height, world.width))
    sizes = replace(world.dynamics, controls=world.control_spec.size, latent_channels=world.tokenizer.latent_channels)
    plans = [simulate(sizes, patches, config, gpus, machine) for gpus in config.gpus]
    titles = ("", *(f"{gpus} GPUs" for gpus in config.gpus))
    weights = f"{plans[0].weights / 1e6:,.0f}M weights"
    print(f"{config.preset}: {weights}, {patches + 1} tokens a frame, windows of {config.frames} frames")
    print(text_table(titles, _rows(plans)))
    print(NOTE.format(**{**asdict(machine), "rate": machine.rate / 1e12, "price": config.price}))
    return {"results": [asdict(plan) for plan in plans], "machine": asdict(machine), "measured": False}


def simulate(sizes: DiTConfig, patches: int, config: ScalePlanConfig, gpus: int, machine: Machine) -> ScalePlan:
    """One run.

    Args:
        sizes: of the network.
        patches: per frame.
        config: what is trained, and for how long.
        gpus: how many.
        machine: their figures.
    """
    model = DiT(sizes, torch.device("meta"))  # sizes without numbers
    counts = weight_counts(model)
    stage = DynamicsStage(sizes, batch=config.windows, frames=config.frames)
    stage = replace(stage, objective=replace(stage.objective.without_shortcuts(), copies=config.copies))
    windows = config.windows * (1 + config.copies)  # a copy costs about what a window does
    operations = training_flops(model, stage, patches) + 3 * attention_flops(sizes, patches, config.frames) * windows
    compute = operations / (machine.rate * machine.utilization)
    gathered, averaged, muon = BF16 * counts["all"], FP32 * counts["all"], BF16 * counts["muon"] / gpus
    share = (gpus - 1) / gpus
    moved = (2 * gathered + averaged) * share  # weights for the forward and for the backward pass, then gradients
    exchanged = 2 * muon * share  # to whoever updates a matrix, and back
    communication = collective_seconds(moved, gpus, machine) + collective_seconds(exchanged, gpus, machine)
    exposed = max((1 - machine.overlap) * communication, communication - compute)
    seconds = compute + exposed
    frames = gpus * config.windows * config.frames
    hours = config.total_frames / frames * seconds / 3600
    state = FP32 * (ADAMW * (counts["all"] - counts["muon"]) + MUON * counts["muon"]) / gpus
    whole = BF16 * (counts["rest"] + 2 * counts["block"]) + FP32 * counts["block"]  # one at work, one ahead, one's gradients
    activations = activation_bytes(sizes, patches, config.frames) * windows
    return ScalePlan(
        gpus=gpus,
        windows=config.windows,
        weights=counts["all"],
        state_bytes=state,
        gathered_bytes=whole,
        activation_bytes=activations,
        compute=compute,
        communication=communication,
        seconds=seconds,
        sent_bytes=moved + exchanged,
        muon_bytes=exchanged,
        frames_per_second=frames / seconds,
        hours=hours,
        cost=hours * gpus * config.price,
        fits=state + whole + activations < 0.9 * machine.memory,
    )


def weight_counts(model: DiT) -> dict[str, int]:
    """Weights in all, those that Muon updates, those of one block that are gathered with it, and the rest of the model's."""
    named = list(model.named_parameters())
    total = sum(p.numel() for _, p in named)
    muon = sum(p.numel() for name, p in named if p.ndim == 2 and name.startswith(TRUNK))
    inside = [(name, p) for name, p in named if name.startswith("blocks.") and ".modulation." not in name]
    block = sum(p.numel() for name, p in inside if name.startswith("blocks.0."))
    return {"all": total, "muon": muon, "block": block, "rest": total - sum(p.numel() for _, p in inside)}


def attention_flops(sizes: DiTConfig, patches: int, frames: int) -> float:
    """Operations of the attention products in one forward pass over a window; every key is counted, masked or not."""
    tokens = patches + 1
    space = 4 * tokens * tokens * sizes.width * frames
    over_time = {"joint": frames * space, "time": 4 * frames * frames * sizes.width * tokens, "space": space}
    return sum(over_time[sizes.kind(i)] for i in range(sizes.depth))


def activation_bytes(sizes: DiTConfig, patches: int, frames: int) -> float:
    """What one window keeps for the backward pass, in bfloat16, with attention that keeps no scores.

    Per token and layer: the two normalised and modulated inputs with what they came from, queries, keys and values before and
    after norm and rotation, the attention's output, and three times the feed-forward's width.
    """
    kv = sizes.kv_heads / sizes.heads
    wide = 7 + 4 * (1 + kv) + kv  # in widths of the trunk
    per_token = sizes.width * wide + 4 * sizes.hidden
    return BF16 * per_token * (patches + 1) * frames * sizes.depth


def collective_seconds(size: float, gpus: int, machine: Machine) -> float:
    """Seconds in which each of the GPUs receives `size` bytes: a node gets them once, split over its GPUs, and shares them."""
    within = size / (machine.link * machine.achieved)
    if gpus <= machine.node:
        return within
    return within + size / (machine.node * machine.network * machine.achieved)


def _rows(plans: list[ScalePlan]) -> list[tuple[str, ...]]:
    def row(name: str, shown: Any) -> tuple[str, ...]:
        return (name, *(shown(plan) for plan in plans))

    return [
        row("windows a step", lambda p: f"{p.gpus * p.windows:,}"),
        row("states, GB a GPU", lambda p: f"{p.state_bytes / 1e9:.1f}"),
        row("gathered weights, GB a GPU", lambda p: f"{p.gathered_bytes / 1e9:.1f}"),
        row("activations, GB a GPU", lambda p: f"{p.activation_bytes / 1e9:.1f}"),
        row("in all, GB a GPU", lambda p: f"{p.bytes / 1e9:.1f}" + ("" if p.fits else ", too much")),
        row("computing, s a step", lambda p: f"{p.compute:.2f}"),
        row("communication, s a step", lambda p: f"{p.communication:.2f}"),
        row("step, s", lambda p: f"{p.seconds:.2f}"),
        row("received, GB a GPU and step", lambda p: f"{p.sent_bytes / 1e9:.1f}"),
        row("of it for Muon, GB", lambda p: f"{p.muon_bytes / 1e9:.2f}"),
        row("frames/s", lambda p: f"{p.frames_per_second:,.0f}"),
        row("hours", lambda p: f"{p.hours:,.0f}"),
        row("cost", lambda p: f"{p.cost:,.0f}"),
    ]
