"""A world is a folder: config, tokenizer, dynamics, starts and a model card. `World` loads one and runs it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.controls import Controls, ControlSpec
from worldsim.device import compute_dtype, pick_device
from worldsim.errors import WorldError, check_int, check_number, shown
from worldsim.model.dit import DiT
from worldsim.model.sampler import Finished, Stream
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.world.chance import Chance
from worldsim.world.checks import Rows, Seed, check_dtype, check_memory, check_rows, check_seeds, check_started, check_starts
from worldsim.world.config import WorldConfig
from worldsim.world.folder import find_world, load_world, world_hash
from worldsim.world.owner import Ownership
from worldsim.world.runtimes import make_runtime, openvino_found, pick_runtime
from worldsim.world.runtimes.cache import graph_folder
from worldsim.world.runtimes.quantize import measure_ranges
from worldsim.world.starts import Starts
from worldsim.world.state import Origin, Step, WorldState
from worldsim.world.words import Words
from worldsim.worlds import WORDS_FILE


class World:
    """A learned game, as a batch of independent worlds.

    >>> world = World.load("doom/take-cover")
    >>> step = world.reset(seed=0)
    >>> step = world.step(Controls(keys={"a"}))

    Equal seeds and controls give equal frames, bit for bit, on the same machine with the same batch, dtype
    and settings; what other rows do makes no difference. Across batch sizes torch rounds differently: in
    float32 a row shows what it would show in a batch of another size to within a grey level, until a rounding
    error decides which codeword is drawn; in bfloat16 the frames differ visibly from the first on, and are as
    likely.

    A world can be pickled and copied, unless it is compiled.

    Args:
        config: as in `config.json`.
        tokenizer, dynamics: the networks.
        starts: latents `(S, window, h, w, C)` of start contexts.
        start_controls: `(S, window, A)` in the model's units, that produced them.
        batch: worlds, `B`, at least 1.
        device: where to run: "auto", "cpu" or "cuda".
        dtype: of weights and activations, float32 or bfloat16; by default the faster one here.
        num_steps: denoising steps per frame, at least 1; by default the world's own.
        temperature: of random events, at least 0; above 1 the dream is less predictable. See `Stream`.
        context_level: noise level in [0, 1) at which past frames are kept; by default the world's own.
        compiled: compile the networks (needs a C++ compiler on a CPU, and a minute).
        runtime: who executes a step: "torch", "openvino", "openvino-int8", or "auto" for OpenVINO where its graphs are kept on
            this machine and otherwise torch; see `worldsim.world.runtimes`. `World.runtime.name` says which it is.
        graphs: folder in which compiled graphs are kept; None to keep nothing.
        words: with which prompts are read; None for a world without prompts.

    Attributes:
        folder: that it was loaded from; None for one that was not.
        origins: how each row was last started; None for a row that was never started, or was put into a state.
        has_own_starts: whether its start contexts are those it came with.

    Raises:
        WorldError: if an option is out of range, or the batch does not fit into memory.
        WorldsimError: if there is no such device.
    """

    def __init__(
        self,
        config: WorldConfig,
        tokenizer: Tokenizer,
        dynamics: DiT,
        starts: Tensor,
        start_controls: Tensor,
        *,
        batch: int = 1,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        num_steps: int | None = None,
        temperature: float = 1.0,
        context_level: float | None = None,
        compiled: bool = False,
        runtime: str = "auto",
        graphs: Path | None = None,
        words: Words | None = None,
    ):
        self.config, self.batch = config, check_int("batch", batch, 1, error=WorldError)
        self.device = pick_device(device)
        check_dtype(dtype)
        name = pick_runtime(
            runtime,
            device=self.device,
            batch=self.batch,
            dtype=dtype,
            compiled=compiled,
            prompt=config.dynamics.prompt,
            folder=graphs,
        )
        self.dtype = dtype or (compute_dtype(self.device) if name == "torch" else torch.float32)
        self.grid = config.tokenizer.grid(config.height, config.width)
        check_memory(self.batch, config.row_bytes(self.dtype.itemsize), self.device)
        self.tokenizer = tokenizer.to(self.device, self.dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.dynamics = dynamics.to(self.device, self.dtype).eval()
        self.compiled = compiled
        self.runtime = make_runtime(
            name,
            self.tokenizer,
            self.dynamics,
            batch=self.batch,
            grid=self.grid,
            compiled=compiled,
            folder=graphs,
            ranges=lambda: measure_ranges(self.dynamics, config, starts, start_controls),
        )
        self.stream = Stream(
            self.runtime.network(self.batch), self.grid, self.batch, draw_level=config.draw_level, rounds=config.rounds
        )
        self.words, self.prompt = words, ""
        self.num_steps = config.num_steps if num_steps is None else num_steps
        self.context_level = config.context_level if context_level is None else context_level
        self.temperature = temperature
        self._scale = torch.from_numpy(config.control_spec.scale()).to(self.device)
        self._chance = Chance(self.batch)
        self._started = np.zeros(self.batch, bool)
        self._ownership = Ownership()
        self.folder: Path | None = None
        self.origins: list[Origin | None] = [None] * self.batch
        self.set_starts(starts, start_controls)
        self.has_own_starts = True
        self._pending: tuple[Tensor, Tensor, Tensor] | None = None
        self._waiting = np.zeros(self.batch, bool)  # rows whose pending frame belongs to their episode

    @classmethod
    def load(
        cls,
        name: str | Path,
        *,
        batch: int = 1,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        num_steps: int | None = None,
        temperature: float = 1.0,
        context_level: float | None = None,
        compiled: bool = False,
        runtime: str = "auto",
    ) -> World:
        """Loads a shipped world by name, any world by path, or one from the Hugging Face Hub by its id.

        Args:
            name: "doom/take-cover", a folder, or "user/repository".
            batch, device, dtype, num_steps, temperature, context_level, compiled, runtime: see `World`.

        Raises:
            WorldError: if there is no such world, its folder is damaged, or an option is out of range.
        """
        sys.audit("worldsim.load", "begin")  # heard by whoever times a start, such as `worldsim bench start`
        folder = find_world(name)
        parts = load_world(folder)
        sys.audit("worldsim.load", "read")
        world = cls(
            *parts,
            batch=batch,
            device=device,
            dtype=dtype,
            num_steps=num_steps,
            temperature=temperature,
            context_level=context_level,
            compiled=compiled,
            runtime=runtime,
            graphs=graph_folder(world_hash(folder)) if openvino_found() else None,
            words=Words.load(folder / WORDS_FILE) if parts[0].dynamics.prompt else None,
        )
        world.folder = folder
        sys.audit("worldsim.load", "end")
        return world

    def claim(self, owner: object) -> None:
        """Marks the world as taken: only one owner, such as an environment, may reset and step it, until it
        releases the world or is no longer referenced. The owner calls this; claiming again is allowed.

        Raises:
            WorldError: if another owner has it.
        """
        self._ownership.claim(owner, self.config.name)

    def release(self, owner: object) -> None:
        """Gives the world back, so that others may claim it; does nothing if `owner` does not have it."""
        self._ownership.release(owner)

    def __getstate__(self) -> dict[str, Any]:
        if self.compiled:
            raise WorldError("a compiled world cannot be pickled or copied; load it with compiled=False, or load it once more.")
        return {**self.__dict__, "_ownership": Ownership()}

    @property
    def control_spec(self) -> ControlSpec:
        return self.config.control_spec

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`(h, w, C)`."""
        return (*self.grid, self.config.tokenizer.latent_channels)

    @property
    def num_steps(self) -> int:
        """Denoising steps per frame; may be changed while playing."""
        return self.stream.num_steps

    @num_steps.setter
    def num_steps(self, value: int) -> None:
        self.stream.num_steps = check_int("num_steps", value, 1, error=WorldError)

    @property
    def calls(self) -> int:
        """Network calls per frame: the first step takes as many as there are rounds of codewords."""
        return self.stream.rounds + self.num_steps - 1

    @property
    def context_level(self) -> float:
        """Noise level at which past frames are kept; may be changed while playing."""
        return self.stream.context_level

    @context_level.setter
    def context_level(self, value: float) -> None:
        self.stream.context_level = check_number("context_level", value, 0, 1, below=True, error=WorldError)

    @property
    def temperature(self) -> float:
        """Temperature of random events, 1 as trained; may be changed while playing."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._temperature = self.stream.temperature = check_number("temperature", value, 0, math.inf, error=WorldError)

    @property
    def prompt(self) -> str:
        """What the world shows from the next frame on, in plain words; "" for anything. May be changed while playing."""
        return self._prompt

    @prompt.setter
    def prompt(self, value: str) -> None:
        self.stream.prompt = self.words_of(value)
        self._prompt = value

    def words_of(self, prompt: str) -> Tensor | None:
        """Word vectors `(1, L, C)` of a prompt, on the world's device; None for an empty one.

        Raises:
            WorldError: if the world reads no prompts.
        """
        if not prompt:
            return None
        if self.words is None:
            raise WorldError(f"prompt was {shown(prompt)}; {self.config.name} reads no prompts: leave it empty.")
        vectors, _ = self.words.encode(prompt, self.config.dynamics.prompt_length)
        return torch.from_numpy(vectors)[None].to(self.device, self.dtype)

    @property
    def starts(self) -> Tensor:
        """Latents of the start contexts, `(S, window, h, w, C)`."""
        return self._starts.latents

    @property
    def start_controls(self) -> Tensor:
        """Controls that produced them, `(S, window, A)` in the model's units."""
        return self._starts.controls

    def set_starts(self, starts: Tensor, start_controls: Tensor) -> None:
        """Gives the world other start contexts; their keys and values are kept, once they are needed.

        Args:
            starts: latents `(S, window, h, w, C)`.
            start_controls: `(S, window, A)` in the model's units, that produced them.

        Raises:
            WorldError: if they are not of this world.
        """
        check_starts(starts, start_controls, self.config.dynamics.window, self.latent_shape, self.control_spec.size)
        self._starts = Starts(self.dynamics, starts.to(self.device), start_controls.to(self.device))
        self.has_own_starts = False

    def reset(self, *, seed: Seed = None, start: int | None = None) -> Step:
        """Starts all worlds anew; see `restart`.

        Returns:
            The last frame of the start context, with reward 0.
        """
        latent = self.restart(seed=seed, start=start)
        still = np.zeros(self.batch, np.float32)
        return Step(self.decode(latent).cpu().numpy(), latent, still, still.astype(bool), still.copy())

    @torch.no_grad()
    def restart(self, rows: Rows = None, *, seed: Seed = None, start: int | None = None) -> Tensor:
        """Starts some worlds anew; the others continue.

        Args:
            rows: which, each once; by default all.
            seed: of row 0, row i taking `seed + i`; or one for each of `rows`. Equal seeds and controls give
                equal frames. Where it is None, a row that was seeded before continues its own random numbers,
                and one that never was takes an unpredictable seed.
            start: which start context; by default drawn from each row's seed.

        Returns:
            Latents `(R, h, w, C)` of the last frames of the start contexts.

        Raises:
            WorldError: if there is no such row, seed or start.
        """
        rows = check_rows(rows, self.batch)
        seeds = check_seeds(seed, rows)
        if start is not None:
            start = check_int("start", start, 0, len(self._starts) - 1, WorldError)
        drawn = [self._chance.restart(row, given, len(self._starts)) for row, given in zip(rows, seeds, strict=True)]
        chosen = drawn if start is None else [start] * len(rows)
        for row, index in zip(rows, chosen, strict=True):
            self.stream.ring.put([row], self._starts.ring_after(index, self.context_level))
            self.origins[row] = Origin(self._chance.seeds[row], index, start is not None)
        self._started[rows], self._waiting[rows] = True, False
        return self.starts[chosen, -1]

    @torch.no_grad()
    def begin(self, frames: NDArray[np.uint8], rows: Rows = None, *, seed: Seed = None) -> Tensor:
        """Starts some worlds from a picture or a clip of the caller's own; the others continue.

        Args:
            frames: uint8 `(T, H, W, 3)`, at least 1; the last `window` of them count. The controls between them are unknown, or
                nothing where the world has to know them.
            rows, seed: as in `restart`.

        Returns:
            Latents `(R, h, w, C)` of the last frame.

        Raises:
            WorldError: if frames have another size, or there is no such row or seed.
        """
        rows = check_rows(rows, self.batch)
        seeds = check_seeds(seed, rows)
        wanted = (self.config.height, self.config.width, 3)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != wanted or not len(frames):
            raise WorldError(
                f"frames were {frames.dtype} {frames.shape}; give uint8 (T, {', '.join(map(str, wanted))}), T from 1."
            )
        latents = self.encode(frames[-self.config.dynamics.window :])
        unknown = torch.nan if self.config.dynamics.free_controls else 0.0
        controls = torch.full((len(latents), self.control_spec.size), unknown, dtype=torch.float32, device=self.device)
        past = Starts(self.dynamics, latents[None], controls[None]).ring_after(0, self.context_level)
        for row, given in zip(rows, seeds, strict=True):
            self._chance.restart(row, given, len(self._starts))
            self.stream.ring.put([row], past)
            self.origins[row] = None
        self._started[rows], self._waiting[rows] = True, False
        return latents[-1:].expand(len(rows), *self.latent_shape)

    def step(self, controls: Controls | Sequence[Controls] | NDArray[Any]) -> Step:
        """Imagines the next frame of every world.

        The frame is returned first; it joins the context at the start of the next step (or in `settle`).

        Args:
            controls: for all rows, one per row, or an array `(B, A)` in the units of `control_spec`.

        Raises:
            WorldError: before the first `reset`.
            ControlError: if the controls do not fit.
        """
        latent, *scalars = self.imagine(self.control_spec.to_vectors(controls, self.batch))
        with torch.inference_mode():
            frame = self.decode(latent).cpu().numpy()
        return Step(frame, latent, *(value.cpu().numpy() for value in scalars))

    @torch.no_grad()
    def imagine(
        self, controls: NDArray[np.float32], active: NDArray[np.bool_] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Like `step`, but decodes nothing and leaves everything on the device.

        Args:
            controls: checked vectors `(B, A)` in the units of `control_spec`.
            active: bool `(B,)`, worlds to advance; by default all. The others stay where they are, and what
                is returned for them has no meaning.

        Returns:
            `latent`, `reward`, `terminated` and `end_probability` of a `Step`, as tensors on the world's
            device.
        """
        check_started(self._started, "step")
        active = np.ones(self.batch, bool) if active is None else active
        before = self._unsettled()
        now = torch.from_numpy(controls).to(self.device) / self._scale
        noise, chance = (part.to(self.device) for part in self._chance.draw(active, self.latent_shape))
        uniforms = torch.special.ndtr(chance)
        made = self.stream.imagine(now, noise[:, 0], uniforms[:, :-1].reshape(self.batch, *self.grid), before)
        latent, reward, end = (part.clone() for part in made)  # outside inference mode, so that autograd may use them
        self._pending, self._waiting = (latent, now, noise[:, 1]), active.copy()
        return latent, reward, end > uniforms[:, -1], end

    def new_stream(self, batch: int) -> Stream:
        """A stream of `batch` rows with the world's networks, runtime and settings, and nothing in its ring yet."""
        return Stream(
            self.runtime.network(batch),
            self.grid,
            batch,
            num_steps=self.num_steps,
            context_level=self.context_level,
            draw_level=self.stream.draw_level,
            rounds=self.stream.rounds,
            temperature=self.temperature,
            prompt=self.stream.prompt,
        )

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents `(R, h, w, C)` -> uint8 frames `(R, H, W, 3)`, on the world's device."""
        return self.runtime.decode(latents.to(self.dtype))

    @torch.no_grad()
    def encode(self, frames: NDArray[np.uint8]) -> Tensor:
        """uint8 frames `(R, H, W, 3)` -> float32 latents `(R, h, w, C)`, on the world's device."""
        return self.tokenizer.encode(to_images(torch.from_numpy(frames).to(self.device), self.dtype)).float()

    def settle(self) -> None:
        """Writes the last frames into the context, where that has not happened yet. Call it while idle to
        save time later.
        """
        before = self._unsettled()
        if before is not None:
            self.stream.commit(*before)

    def _unsettled(self) -> Finished | None:
        """What `settle` has to write, which from here on counts as written; None for nothing."""
        if not self._waiting.any():
            return None
        assert self._pending is not None
        latent, controls, noise = self._pending
        active = None if self._waiting.all() else torch.from_numpy(self._waiting).to(self.device)
        if active is not None:  # a frame that was not finite would reach the next dream of its row even through a mask
            latent = torch.where(active[:, None, None, None], latent, 0.0)
        self._waiting = np.zeros(self.batch, bool)
        return latent, controls, noise, active

    @torch.no_grad()
    def get_state(self, rows: Rows = None) -> WorldState:
        """Copies what the futures of worlds depend on; by default of all of them.

        Raises:
            WorldError: before the first `reset`, or if there is no such row.
        """
        check_started(self._started, "get_state")
        self.settle()
        chosen = check_rows(rows, self.batch)
        return WorldState(self.stream.ring.take(chosen), *self._chance.get_state(chosen))

    @torch.no_grad()
    def set_state(self, state: WorldState, rows: Rows = None, *, seed: Seed = None) -> None:
        """Puts states into worlds, whichever they came from: one for each row, or one for all of them.

        Args:
            state: from `get_state` of a world with the same weights.
            rows: which worlds, each once; by default all.
            seed: of the noise from here on, as in `restart`; None continues the noise of the state.

        Raises:
            WorldError: if the states are of another kind of world, or another number.
        """
        rows, ring = check_rows(rows, self.batch), self.stream.ring
        seeds = check_seeds(seed, rows)
        given, wanted = (tuple(part.shape[:1] + part.shape[2:]) for part in (state.past.keys, ring.keys))
        states = len(state.past.position)
        if given != wanted or states not in (1, len(rows)):
            raise WorldError(
                f"{states} states of shape {given} for {len(rows)} worlds of shape {wanted}; "
                "give one state, or one per world, of a world with the same config."
            )
        ring.put(rows, state.past)
        for i, (row, value) in enumerate(zip(rows, seeds, strict=True)):
            self._chance.set_state(row, state.noise[i % states], int(state.next_seed[i % states]), value)
            self.origins[row] = None
        self._started[rows], self._waiting[rows] = True, False
