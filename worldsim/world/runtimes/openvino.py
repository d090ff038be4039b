"""The networks as graphs of OpenVINO, which runs small batches on a CPU two to four times as fast as PyTorch does."""

from __future__ import annotations

import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.device import compute_dtype
from worldsim.model import rope
from worldsim.model.dit import DiT, Modulations, Prediction
from worldsim.model.ring import Ring
from worldsim.model.tokenizer import Tokenizer
from worldsim.world.runtimes import cache
from worldsim.world.runtimes.graph import MASKED, StepGraph
from worldsim.world.runtimes.quantize import Ranges

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it reports every import over the network
import openvino  # noqa: E402
from openvino.frontend import FrontEndManager  # noqa: E402
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: E402

_TRACING = threading.Lock()  # torch traces one module at a time


class Graph:
    """A compiled graph: tensors in, tensors out, all on the CPU. Inputs are read where they lie. Threads take turns.

    Args:
        compiled: by `compile_graph`.
    """

    def __init__(self, compiled: openvino.CompiledModel):
        self.request = compiled.create_infer_request()
        self.outputs = len(compiled.outputs)
        self._turn = threading.Lock()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with self._turn:
            for i, tensor in enumerate(inputs):
                self.request.set_input_tensor(i, _shared(tensor))
            self.request.infer()
            return tuple(torch.from_numpy(np.array(self.request.get_output_tensor(i).data)) for i in range(self.outputs))


def _shared(tensor: Tensor) -> openvino.Tensor:
    """The same memory as a tensor of OpenVINO."""
    if tensor.dtype == torch.bfloat16:  # which numpy does not have
        return openvino.Tensor(tensor.view(torch.uint16).numpy(), openvino.Shape(list(tensor.shape)), openvino.Type.bf16)
    return openvino.Tensor(tensor.numpy(), shared_memory=True)


def compile_graph(make: Callable[[], nn.Module], example: tuple[Tensor, ...], path: Path | None, precision: str) -> Graph:
    """Converts a module for tensors of these shapes, or takes the graph kept at `path`, and compiles it.

    Args:
        make: the module; called only if no graph is kept.
        example: inputs of the shapes and dtypes it will get.
        path: folder for the graph; None to keep nothing.
        precision: "f32" or "bf16", of what is not int8.
    """
    core = openvino.Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": precision,
    }
    if path is not None and path.is_dir():
        if cache.is_whole(path):
            return Graph(core.compile_model(core.read_model(path / "graph.xml"), "CPU", options))
        shutil.rmtree(path, ignore_errors=True)  # damaged: the folder is ours, and is made again
    model = _convert(make().eval(), example)
    if path is not None:
        cache.keep(path, lambda folder: openvino.save_model(model, folder / "graph.xml", compress_to_fp16=False))
    return Graph(core.compile_model(model, "CPU", options))


def _convert(module: nn.Module, example: tuple[Tensor, ...]) -> openvino.Model:
    """The graph of a module for tensors of these shapes.

    `openvino.convert_model` does the same, but reports its use to its maker over the network.
    """
    with _TRACING, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing makes constants of sizes, as it should
        decoder = TorchScriptPythonDecoder(module, example_input=example)
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape({i: list(tensor.shape) for i, tensor in enumerate(example)})
    return model


class OpenVINORuntime:
    """OpenVINO, on a CPU.

    Args:
        tokenizer, dynamics: the networks, in float32 on the CPU.
        grid: latent grid `(h, w)`.
        batch: rows of most calls.
        folder: of kept graphs; None to keep nothing.
        ranges: for int8; None for float32, or bfloat16 where the processor multiplies it faster.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        dynamics: DiT,
        grid: tuple[int, int],
        batch: int,
        folder: Path | None,
        ranges: Ranges | None = None,
    ):
        self.name = "openvino" if ranges is None else "openvino-int8"
        self._made_of = (tokenizer, dynamics, grid, batch, folder, ranges)
        self._networks = {batch: OpenVINONetwork(dynamics, grid, batch, folder, ranges)}
        self._decoder = OpenVINODecoder(tokenizer, grid, batch, folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenVINORuntime, self._made_of  # graphs cannot be copied: they are compiled again

    def network(self, batch: int) -> OpenVINONetwork:
        """What a `Stream` of `batch` rows calls; compiled at the first call for a number of rows."""
        if batch not in self._networks:
            _, dynamics, grid, _, folder, ranges = self._made_of
            self._networks[batch] = OpenVINONetwork(dynamics, grid, batch, folder, ranges)
        return self._networks[batch]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents `(R, h, w, C)` -> uint8 frames `(R, H, W, 3)`."""
        return self._decoder(latents)


class OpenVINONetwork:
    """Stands in for a `DiT` that streams; whole clips are the `DiT`'s own work.

    Args:
        dit: the dynamics, in float32 on the CPU.
        grid: latent grid `(h, w)`.
        batch: rows of every call, `B`.
        folder: of kept graphs; None to keep nothing.
        ranges: for int8; None for float32, or bfloat16 where the processor multiplies it faster.
    """

    def __init__(self, dit: DiT, grid: tuple[int, int], batch: int, folder: Path | None, ranges: Ranges | None = None):
        self._made_of = (dit, grid, batch, folder, ranges)
        self.config, self.codebook, self.time_speeds = dit.config, dit.codebook, dit.time_speeds
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.ring_dtype = torch.bfloat16 if fast_precision() == "bf16" else torch.float32
        self._pair: Graph | None = None
        self._step = self._compile(1)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenVINONetwork, self._made_of

    def _compile(self, frames: int) -> Graph:
        """The graph of a call for so many frames per row."""
        dit, grid, batch, folder, ranges = self._made_of
        ring = Ring(dit.config, batch, 1 + grid[0] * grid[1], self.device, self.ring_dtype)
        shapes = [(*grid, dit.config.latent_channels), (dit.config.controls,), (), ()]
        shapes += [(dit.config.window + frames - 1,), (len(dit.time_speeds),)]
        shapes += [(*grid, 1 + dit.config.latent_channels)] if dit.config.reveals else []
        parts = [torch.zeros(batch, frames, *shape, dtype=torch.float32, device="cpu") for shape in shapes]
        example = (*parts[:4], ring.keys, ring.values, *parts[4:])
        kind = f"{'step' if frames == 1 else 'pair'}-{'f32' if ranges is None else 'int8'}"
        path = folder and folder / f"{kind}-{batch}"
        return compile_graph(lambda: StepGraph(dit, grid, ranges), example, path, fast_precision())

    def __call__(
        self,
        z: Tensor,
        levels: Tensor,
        step_sizes: Tensor,
        controls: Tensor,
        *,
        ring: Ring,
        prompt: Tensor | None = None,
        modulations: Modulations | None = None,
        shown: Tensor | None = None,
    ) -> Prediction:
        """As `DiT.forward` with a ring, of one frame per row; the ring is only read."""
        assert prompt is None
        _, _, *made = self._one((z, controls, levels, step_sizes), ring, shown)
        return self._prediction(z, made)

    def write(
        self, z: Tensor, levels: Tensor, step_sizes: Tensor, controls: Tensor, ring: Ring, *, prompt: Tensor | None = None
    ) -> None:
        """As `DiT.write`, by the same graph: one of its own saves no time, since its weights would not stay in the cache."""
        assert prompt is None
        keys, values, *_ = self._one((z, controls, levels, step_sizes), ring, None)
        ring.write_layers(keys, values)

    def write_and_call(
        self, z: Tensor, levels: Tensor, step_sizes: Tensor, controls: Tensor, ring: Ring, waiting: Tensor
    ) -> Prediction:
        """Writes the frames before and calls for the next ones, in one pass over the weights; the ring moves on.

        Args:
            z: of both frames, `(B, 2, h, w, C)`.
            levels, step_sizes: `(B, 2)`.
            controls: `(B, 2, A)`.
            ring: is written to.
            waiting: bool `(B,)`, rows that have a frame to write; of the others the first frame counts for nothing.

        Returns:
            Prediction for the second frames.
        """
        self._pair = self._pair or self._compile(2)
        position = ring.position[:, None] + F.pad(waiting[:, None], (1, 0))
        past = held(ring, position[:, :1])
        past = torch.stack([past, past & held(ring, position[:, 1:])], dim=1)
        before = torch.stack([torch.ones_like(waiting), waiting], dim=1)[..., None]
        seen = torch.cat([past, before], dim=-1)
        keys, values, *made = self._run(self._pair, (z, controls, levels, step_sizes), ring, seen, position, None)
        ring.write_layers(keys, values)
        ring.advance(waiting)
        return self._prediction(z, made)

    def _one(self, parts: tuple[Tensor, ...], ring: Ring, shown: Tensor | None) -> tuple[Tensor, ...]:
        """Results of the graph for one frame per row."""
        position = ring.position[:, None]
        return self._run(self._step, parts, ring, held(ring, position)[:, None], position, shown)

    def _run(
        self, graph: Graph, parts: tuple[Tensor, ...], ring: Ring, seen: Tensor, position: Tensor, shown: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Results of a graph, given its first inputs, what each frame sees `(B, F, S + F - 1)`, and `position` `(B, F)`."""
        mask = torch.where(seen, 0.0, MASKED).float()
        inputs = (*(part.float().contiguous() for part in parts), ring.keys, ring.values, mask)
        inputs += (rope.time_angles(position, self.time_speeds),)
        if self.config.reveals:
            z = parts[0]
            inputs += ((z.new_zeros(*z.shape[:-1], 1 + z.shape[-1]) if shown is None else shown).float().contiguous(),)
        return graph(*inputs)

    def _prediction(self, z: Tensor, made: Sequence[Tensor]) -> Prediction:
        x, reward, end, *code = made
        grid = z.shape[2:4]
        return Prediction(
            x.unflatten(1, grid)[:, None], reward[:, None], end, code[0].unflatten(1, grid)[:, None] if code else None
        )

    def modulations(self, levels: Tensor, step_sizes: Tensor, controls: Tensor) -> Modulations:
        """Nothing: the graphs compute their own."""
        return Modulations((), torch.zeros(*levels.shape, 0, dtype=self.dtype, device=self.device))


def held(ring: Ring, position: Tensor) -> Tensor:
    """Bool `(B, S)`: slots of the ring with a frame before `position` `(B, 1)`, within its window."""
    slots = torch.arange(ring.window, dtype=torch.int64, device=position.device)
    return (slots < position) & (slots != position % ring.window)


class OpenVINODecoder:
    """`Tokenizer.decode_frames` for any number of rows, by a graph for `batch` of them.

    Args:
        tokenizer: in float32 on the CPU.
        grid: latent grid `(h, w)`.
        batch: rows of every call.
        folder: of kept graphs; None to keep nothing.
    """

    def __init__(self, tokenizer: Tokenizer, grid: tuple[int, int], batch: int, folder: Path | None):
        self.batch = batch
        example = torch.zeros(batch, *grid, tokenizer.config.latent_channels, dtype=torch.float32, device="cpu")
        path = folder and folder / f"decode-f32-{batch}"
        self._graph = compile_graph(lambda: _Decode(tokenizer), (example,), path, fast_precision())

    def __call__(self, latents: Tensor) -> Tensor:
        """Latents `(R, h, w, C)` -> uint8 frames `(R, H, W, 3)`."""
        rows = len(latents)
        missing = -rows % self.batch
        padded = torch.cat([latents, latents.new_zeros(missing, *latents.shape[1:])]) if missing else latents
        return torch.cat([self._graph(part.float().contiguous())[0] for part in padded.split(self.batch)])[:rows]


class _Decode(nn.Module):
    def __init__(self, tokenizer: Tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, latents: Tensor) -> Tensor:
        pixels = (self.tokenizer.decode(latents) * 127.5 + 127.5).round().clamp(0, 255)
        return pixels.permute(0, 2, 3, 1).to(torch.uint8)


def fast_precision() -> str:
    """ "bf16" on processors that multiply it, otherwise "f32"."""
    return "bf16" if compute_dtype(torch.device("cpu")) == torch.bfloat16 else "f32"
