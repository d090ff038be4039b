"""Training of the studio's world: frames of several sizes, each with a dataset of its own, and captions.

Sizes train together without padding: every batch is of one size, and all batches hold about as many tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from worldsim.data import Dataset
from worldsim.data.images import save_png
from worldsim.device import autocast, compute_dtype, matmul_rate, pick_device
from worldsim.errors import DataError, TrainingError
from worldsim.model.dit import DiT, DiTConfig
from worldsim.model.noise import schedule
from worldsim.model.sampler import denoise
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.studio.captioning import Captions
from worldsim.studio.data_config import held_out_of
from worldsim.studio.objective import StudioObjective, losses, make_clips
from worldsim.train.checks import check_fields
from worldsim.train.config import TokenizerStage
from worldsim.train.export import draw_starts
from worldsim.train.loop import Loop, LoopConfig, Losses
from worldsim.train.previews import grid
from worldsim.train.start import Start, check_alike, holding, load_start
from worldsim.train.store import CacheConfig, FrameStore, LatentStore
from worldsim.train.tokenizer import fit_scale, tokenizer_loss
from worldsim.world import WorldConfig, export_world, find_world, world_hash
from worldsim.world.words import Words
from worldsim.worlds import WORDS_FILE

WORDS = Path(__file__).with_name(WORDS_FILE)  # made by `worldsim studio words`
SEEDS = 1_000_003  # seeds of steps of one run lie apart from those of the next
GRAPHS = 64  # that torch.compile may keep: sizes times kinds of batches
PREVIEWED = (3, 8, 8)  # prompts, frames, denoising steps


@dataclass(frozen=True)
class StudioConfig:
    """All numbers of a run.

    Attributes:
        name: of the world.
        size: (width, height) in pixels of the frames in play; one of those recorded.
        tokenizer: first stage; its batch is of images of one size.
        model: sizes of the transformer; data and tokenizer fill in `controls` and `latent_channels`.
        objective: tasks and weights.
        loop: how the transformer is optimised.
        tokens: of a batch, about.
        frames: of a clip, at most `model.window`.
        square: cut every frame to its middle square, for comparison.
        tokenizer_share: share of the budget that goes to the tokenizer.
        starts: start contexts kept in the world, from held-out episodes.
        num_steps: denoising steps per frame in play.
        context_level: noise level at which the world keeps past frames in play.
        cache: how frames and latents are kept on disk.
    """

    name: str
    size: tuple[int, int]
    tokenizer: TokenizerStage = field(default_factory=TokenizerStage)
    model: DiTConfig = field(default_factory=DiTConfig)
    objective: StudioObjective = field(default_factory=StudioObjective)
    loop: LoopConfig = field(default_factory=LoopConfig)
    tokens: int = 3200
    frames: int = 16
    square: bool = False
    tokenizer_share: float = 0.2
    starts: int = 12
    num_steps: int = 4
    context_level: float = 0.05
    cache: CacheConfig = field(default_factory=CacheConfig)

    def __post_init__(self) -> None:
        check_fields(self, {"tokens": 1, "frames": 2, "starts": 1, "num_steps": 1}, shares=("context_level", "tokenizer_share"))


@dataclass
class Bucket:
    """The recordings of one size.

    Attributes:
        name: such as "96x64", width first.
        dataset: its episodes.
        captions: of them.
        share: of all frames.
        latents: for the transformer, once there is a tokenizer.
    """

    name: str
    dataset: Dataset
    captions: Captions
    share: float
    latents: LatentStore | None = None


@dataclass(frozen=True)
class StudioRun:
    """A configuration applied to recordings.

    Attributes:
        config: all numbers.
        words: of prompts.
        held_out: episodes of the size in play, for previews and start contexts.
        folder: of checkpoints, logs, previews, caches, and the finished `world/`.
        device: where to compute.
        compiled: use torch.compile.
        shared: folder of latents that several runs share; by default the run's own.
    """

    config: StudioConfig
    words: Words
    held_out: Dataset
    folder: Path
    device: torch.device
    compiled: bool
    shared: Path | None = None


def train_studio(
    config: StudioConfig,
    data: str | Path,
    out: str | Path,
    budget: float,
    *,
    words: Words,
    device: str = "auto",
    compiled: bool = True,
    start: str | Path | None = None,
) -> Path:
    """Trains the studio's world; the same call again resumes.

    Args:
        config: what to train.
        data: folder that holds a captioned dataset for each size; the held-out ones lie beside it, in a folder whose name ends
            in "-eval". See `worldsim.studio.collect.record_studio`.
        out: run folder.
        budget: seconds of training in all.
        words: of prompts.
        device, compiled: as in `TrainOptions`.
        start: world to go on from, whose tokenizer is kept.

    Returns:
        The world's folder.

    Raises:
        TrainingError, DataError, FileError, WorldError: with what to do next.
    """
    if not budget > 0:
        raise TrainingError(f"budget was {budget} seconds; give more than 0, such as 2h.")
    data = Path(data).expanduser()
    held = Dataset(held_out_of(data) / name_of(config.size), "eval")
    run = StudioRun(config, words, held, Path(out).expanduser(), pick_device(device), compiled)
    begun = None if start is None else load_start(start)
    torch._dynamo.config.recompile_limit = max(GRAPHS, torch._dynamo.config.recompile_limit)
    with holding(run.folder, config, begun):  # type: ignore[arg-type]  # which reads the name alone
        buckets = open_buckets(config, data)
        torch.manual_seed(config.loop.seed)
        if begun is None:
            first = budget * config.tokenizer_share
            tokenizer = train_tokenizer(run, buckets, first)
            model = train_dynamics(run, buckets, tokenizer, budget - first, None)
        else:
            tokenizer = begun.tokenizer.to(run.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
            model = train_dynamics(run, buckets, tokenizer, budget, begun)
        return export(run, buckets, tokenizer, model)


def find_words(start: str | Path | None) -> Words:
    """Word vectors of the world to start from, or those that come with the package."""
    path = WORDS if start is None else find_world(start) / WORDS_FILE
    return Words.load(path)


def name_of(size: tuple[int, int]) -> str:
    """Name of the dataset of a size, such as "96x64"."""
    return "x".join(map(str, size))


def open_buckets(config: StudioConfig, data: Path, split: str = "train") -> list[Bucket]:
    """The datasets in a folder, the largest first.

    Raises:
        DataError: if there is none, or none of the size in play, or one has no captions.
    """
    folders = sorted(folder.parent.parent for folder in data.glob("*/meta/info.json"))
    datasets = {folder.name: Dataset(folder, split) for folder in folders}
    wanted = name_of(config.size)
    if wanted not in datasets:
        raise DataError(f"{data} holds the sizes {', '.join(datasets) or 'none'}, and {wanted} is played; record it first.")
    total = sum(dataset.total_frames for dataset in datasets.values())
    buckets = []
    for name, dataset in datasets.items():
        buckets.append(Bucket(name, dataset, Captions(dataset.root), dataset.total_frames / total))
    return sorted(buckets, key=lambda bucket: -bucket.share)


def pick(buckets: list[Bucket], rng: np.random.Generator) -> Bucket:
    """A bucket, as often as its share of all frames."""
    return buckets[int(rng.choice(len(buckets), p=[bucket.share for bucket in buckets]))]


def train_tokenizer(run: StudioRun, buckets: list[Bucket], budget: float) -> Tokenizer:
    """The averaged tokenizer, trained on images of all sizes."""
    stage, device = run.config.tokenizer, run.device
    dtype = compute_dtype(device)
    model = Tokenizer(stage.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = torch.compile(tokenizer_loss, dynamic=False) if run.compiled else tokenizer_loss

    stores = {}
    for bucket in buckets:
        path = run.folder / "cache" / bucket.name / "frames.bin"
        stores[bucket.name] = FrameStore(bucket.dataset, path, stage.loop.seed, run.config.cache)

    def batch(rng: np.random.Generator) -> torch.Tensor:
        return to_images(stores[pick(buckets, rng).name].batch(stage.batch, rng).to(device), dtype)

    def step_losses(step: int) -> Losses:
        rng = np.random.default_rng((stage.loop.seed, step))
        images = batch(rng)
        generator = torch.Generator("cpu").manual_seed(stage.loop.seed * SEEDS + step)
        shape = (stage.batch, *stage.model.grid(*images.shape[-2:]), stage.model.latent_channels)
        scale = torch.rand(stage.batch, 1, 1, 1, generator=generator, dtype=torch.float32, device="cpu")
        noise = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        noise = (noise * scale * stage.objective.latent_noise).to(device, dtype)
        with autocast(device):
            loss, square = loss_of(model, images, noise, stage.objective)
        return {"loss": loss, "psnr": -10 * square.log10()}

    loop = Loop(model, step_losses, stage.loop, run.folder, budget, name="tokenizer", images=stage.batch)
    average = cast(Tokenizer, loop.run()).eval()
    rng = np.random.default_rng(stage.loop.seed)
    with autocast(device):
        fit_scale(average, (batch(rng) for _ in range(max(1, stage.scale_images // stage.batch))))
    return average


def train_dynamics(run: StudioRun, buckets: list[Bucket], tokenizer: Tokenizer, budget: float, begun: Start | None) -> DiT:
    """The averaged transformer, trained on latents of all sizes and their captions."""
    config, device, seed = run.config, run.device, run.config.loop.seed
    encode(run, buckets, tokenizer, "latents")
    spec = buckets[0].dataset.spec
    sizes = replace(config.model, controls=spec.size, latent_channels=tokenizer.config.latent_channels, prompt=run.words.channels)
    model = DiT(sizes)
    if begun is not None:
        check_alike(begun.config.dynamics, sizes)
        model.load_state_dict(begun.dynamics.state_dict())
    model = model.to(device)
    net = cast(DiT, torch.compile(model, dynamic=False)) if run.compiled else model
    seen: set[tuple[str, str]] = set()

    def step_losses(step: int) -> Losses:
        rng = np.random.default_rng((seed, step))
        bucket, kind = pick(buckets, rng), draw_kind(config.objective, rng)
        if (bucket.name, kind) not in seen:  # which may compile
            seen.add((bucket.name, kind))
            loop.shapes_change()
        windows, prompt = draw_clips(run, bucket, kind, rng)
        batch = make_clips(windows, config.objective, kind == "causal", device, seed * SEEDS + step)
        with autocast(device):
            return losses(net, batch, config.objective, kind == "causal", prompt)

    def preview(average: nn.Module, step: int) -> None:
        preview_prompts(run, tokenizer, cast(DiT, average), run.folder / "previews" / f"studio-{step:07d}.png")

    weights = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "modulation" not in name)
    rate = replace(config.loop, learning_rate=config.loop.learning_rate * (0.5 if begun else 1))
    loop = Loop(
        model,
        step_losses,
        rate,
        run.folder,
        budget,
        name="dynamics",
        images=config.tokens,
        flops=6.0 * config.tokens * weights,
        peak=matmul_rate(device),
        preview=preview,
    )
    return cast(DiT, loop.run()).eval()


def encode(run: StudioRun, buckets: list[Bucket], tokenizer: Tokenizer, name: str) -> None:
    """Gives every bucket its latents, from a file of that name where they were encoded before."""
    for bucket in buckets:
        path = (run.shared or run.folder / "cache") / bucket.name / f"{name}.bin"
        bucket.latents = LatentStore(bucket.dataset, tokenizer, path, run.device, config=run.config.cache)


def draw_kind(objective: StudioObjective, rng: np.random.Generator) -> str:
    """What a batch holds: "images", "causal" clips, or "clips" whose frames all see each other."""
    chance = rng.random()
    if chance < objective.image_share:
        return "images"
    return "causal" if chance < objective.image_share + objective.causal_share else "clips"


def draw_clips(run: StudioRun, bucket: Bucket, kind: str, rng: np.random.Generator) -> tuple[Any, torch.Tensor]:
    """Windows of about as many tokens as any batch has, and the word vectors of their captions, `(B, L, C)`."""
    config, store = run.config, bucket.latents
    assert store is not None
    height, width = store.latents.shape[1:3]
    side = min(height, width)
    tokens = 1 + (side * side if config.square else height * width)
    frames = 1 if kind == "images" else config.frames
    passes = 1 + config.objective.dynamics.copies * (kind == "causal")
    rows = max(1, round(config.tokens / (tokens * frames * passes)))
    episodes, first = store.draw(rows, frames, rng)
    prompt = np.zeros((rows, config.model.prompt_length, run.words.channels), np.float32)
    for i, (episode, start) in enumerate(zip(episodes, first, strict=True)):
        if rng.random() >= config.objective.unprompted:
            index = bucket.dataset.episodes[int(episode)].index
            prompt[i] = run.words.encode(bucket.captions.at(index, int(start) + frames // 2, rng), config.model.prompt_length)[0]
    windows = store.windows(episodes, first, frames)
    if config.square:
        top, left = (height - side) // 2, (width - side) // 2
        windows.latents = windows.latents[:, :, top : top + side, left : left + side].contiguous()
    return windows, torch.from_numpy(prompt)


@torch.inference_mode()
def preview_prompts(run: StudioRun, tokenizer: Tokenizer, model: DiT, path: Path) -> None:
    """Held-out clips above, clips of their captions below; no frame and no control is given."""
    count, frames, num_steps = PREVIEWED
    device, rng, held = run.device, np.random.default_rng(0), run.held_out
    captions = Captions(held.root)
    long = np.flatnonzero(held.lengths >= 2 * frames)
    rows: list[Any] = []
    for i in rng.permutation(long)[:count]:
        begin = int(held.lengths[i]) // 2 - frames // 2
        text = captions.at(held.episodes[int(i)].index, begin + frames // 2, rng)
        prompt = torch.from_numpy(run.words.encode(text, model.config.prompt_length)[0])[None].to(device)
        shape = (1, frames, *tokenizer.config.grid(held.info.height, held.info.width), tokenizer.config.latent_channels)
        noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(int(i)), dtype=torch.float32, device="cpu")
        unknown = torch.full((1, frames, model.config.controls), torch.nan, dtype=torch.float32, device=device)
        levels = schedule(np.zeros(frames, bool), num_steps)
        with autocast(device):
            made = denoise(model, noise.to(device), levels, unknown, causal=False, prompt=prompt)
            rows += [held.frames(int(i), begin, begin + frames), tokenizer.decode_frames(made[0]).cpu().numpy()]
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_png(path, grid(rows))


def export(run: StudioRun, buckets: list[Bucket], tokenizer: Tokenizer, model: DiT) -> Path:
    """Writes the world's folder, with start contexts from held-out episodes and its words."""
    config = run.config
    store = LatentStore(run.held_out, tokenizer, run.folder / "cache" / "eval-latents.bin", run.device, config=config.cache)
    dataset = next(one.dataset for one in buckets if one.name == name_of(config.size))
    info = dataset.info
    world = WorldConfig(
        name=config.name,
        game=info.game,
        height=info.height,
        width=info.width,
        fps=info.fps,
        frame_skip=info.frame_skip,
        control_spec=info.control_spec,
        tokenizer=tokenizer.config,
        dynamics=model.config,
        num_steps=config.num_steps,
        context_level=config.context_level,
        data=dataset.fingerprint,
        source=info.source,
    )
    folder = export_world(
        run.folder / "world", world, tokenizer, model, *draw_starts(store, config.starts, model.config.window, config.loop.seed)
    )
    run.words.save(folder / WORDS_FILE)
    print(f"{folder}: world {world_hash(folder)}")
    return folder
