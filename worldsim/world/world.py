"""A world is a folder: config, tokenizer, dynamics, starts and a model card. `World` loads one and lives in it."""

from __future__ import annotations

import gc
import math
import secrets
import weakref
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldsim.controls import Controls, ControlSpec
from worldsim.device import compute_dtype, free_bytes, pick_device
from worldsim.errors import WorldError, shown
from worldsim.model.dit import DiT
from worldsim.model.ring import RingRows
from worldsim.model.sampler import Stream
from worldsim.model.tokenizer import Tokenizer, to_images
from worldsim.world.folder import WorldConfig, find_world, load_world
from worldsim.world.state import Step, WorldState

CACHED_STARTS = 32
SEEDS = 2**64


class World:
    """A learned game, as a batch of independent worlds.

    >>> world = World.load("doom/take-cover")
    >>> step = world.reset(seed=0)
    >>> step = world.step(Controls(keys={"a"}))

    Args:
        config: as in `config.json`.
        tokenizer, dynamics: the networks.
        starts: latents `(S, window, h, w, C)` of start contexts.
        start_controls: `(S, window, A)` in the model's units, that produced them.
        batch: worlds, `B`.
        device: where to run.
        dtype: of weights and activations; by default the faster one here.
        num_steps: network calls per frame; by default the world's own.
        temperature: of what happens by chance; above 1 the dream is less certain. See `Stream`.
        context_level: noise level in [0, 1) at which past frames are kept; by default the world's own.
        compiled: compile the networks (needs a C++ compiler on a CPU, and a minute).

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
    ):
        self.config, self.batch = config, batch
        self.device = pick_device(device)
        self.dtype = dtype or compute_dtype(self.device)
        self.grid = config.tokenizer.grid(config.height, config.width)
        self._check_memory()
        self.tokenizer = tokenizer.to(self.device, self.dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.dynamics = dynamics.to(self.device, self.dtype).eval()
        network: Any = torch.compile(self.dynamics, dynamic=False) if compiled else self.dynamics
        self._decode: Any = torch.compile(self.tokenizer.decode_frames) if compiled else self.tokenizer.decode_frames
        self.stream = Stream(network, self.grid, batch, draw_level=config.draw_level)
        self.num_steps = config.num_steps if num_steps is None else num_steps
        self.context_level = config.context_level if context_level is None else context_level
        self.temperature = temperature
        self._scale = torch.from_numpy(config.control_spec.scale()).to(self.device)
        self._noise = [torch.Generator() for _ in range(batch)]
        self._next_seed = [secrets.randbits(63) for _ in range(batch)]
        self._started = np.zeros(batch, bool)
        self._owner: weakref.ref[object] | None = None
        self.set_starts(starts, start_controls)
        self._pending: tuple[Tensor, Tensor, Tensor] | None = None
        self._waiting = np.zeros(batch, bool)  # rows whose pending frame belongs to their episode

    @classmethod
    def load(cls, name: str | Path, **options: Any) -> World:
        """Loads a shipped world by name, any world by path, or one from the Hugging Face Hub by its id.

        Args:
            name: "doom/take-cover", a folder, or "user/repository".
            options: `batch`, `device`, `dtype`, `num_steps`, `temperature`, `context_level`, `compiled`; see `World`.

        Raises:
            WorldError: if there is no such world, or its folder is damaged.
        """
        return cls(*load_world(find_world(name)), **options)

    def claim(self, owner: object) -> None:
        """Marks the world as taken: only one owner, such as an environment, may reset and step it, until it releases the world
        or is no longer referenced. The owner calls this; claiming again is allowed.

        Raises:
            WorldError: if another owner has it.
        """
        if self._owner is not None and self._owner() is not owner:
            gc.collect()  # the other may be garbage
        current = None if self._owner is None else self._owner()
        if current is not None and current is not owner:
            raise WorldError(
                f"world {shown(self.config.name)} is in use by another {type(current).__name__}, and two would move each other's "
                "frames; close that one first, or load the world once for each: World.load(...)."
            )
        self._owner = weakref.ref(owner)

    def release(self, owner: object) -> None:
        """Gives the world back, so that others may claim it; does nothing if `owner` does not have it."""
        if self._owner is not None and self._owner() is owner:
            self._owner = None

    @property
    def control_spec(self) -> ControlSpec:
        return self.config.control_spec

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`(h, w, C)`."""
        return (*self.grid, self.config.tokenizer.latent_channels)

    @property
    def num_steps(self) -> int:
        """Network calls per frame; may be changed while playing."""
        return self.stream.num_steps

    @num_steps.setter
    def num_steps(self, value: int) -> None:
        if value < 1:
            raise WorldError(f"num_steps was {value}; give at least 1.")
        self.stream.num_steps = value

    @property
    def context_level(self) -> float:
        """Noise level at which past frames are kept; may be changed while playing."""
        return self.stream.context_level

    @context_level.setter
    def context_level(self, value: float) -> None:
        if not 0 <= value < 1:
            raise WorldError(f"context_level was {value}; give a noise level of at least 0 and below 1.")
        self.stream.context_level = value

    @property
    def temperature(self) -> float:
        """Temperature of what happens by chance; may be changed while playing."""
        return self.stream.temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        if not (math.isfinite(value) and value >= 0):
            raise WorldError(f"temperature was {value}; give a number of at least 0, where 1 is what was trained.")
        self.stream.temperature = value

    def set_starts(self, starts: Tensor, start_controls: Tensor) -> None:
        """Gives the world other start contexts; their keys and values are kept, once they are needed.

        Args:
            starts: latents `(S, window, h, w, C)`.
            start_controls: `(S, window, A)` in the model's units, that produced them.

        Raises:
            WorldError: if they are not of this world.
        """
        wanted = (self.config.dynamics.window, *self.latent_shape), (self.config.dynamics.window, self.control_spec.size)
        given = tuple(starts.shape[1:]), tuple(start_controls.shape[1:])
        if given != wanted or not len(starts) == len(start_controls) > 0:
            raise WorldError(f"starts were {tuple(starts.shape)} and {tuple(start_controls.shape)}; each has to be {wanted}.")
        self.starts, self.start_controls = starts.to(self.device), start_controls.to(self.device)
        self._context = lru_cache(max(CACHED_STARTS, len(starts)))(self._prefill)

    def reset(self, *, seed: int | Sequence[int] | None = 0, start: int | None = None) -> Step:
        """Starts all worlds anew; see `restart`.

        Returns:
            The last frame of the start context, with reward 0.
        """
        latent = self.restart(seed=seed, start=start)
        still = np.zeros(self.batch, np.float32)
        return Step(self.decode(latent).cpu().numpy(), latent, still, still.astype(bool), still.copy())

    @torch.inference_mode()
    def restart(
        self, rows: Sequence[int] | None = None, *, seed: int | Sequence[int | None] | None = None, start: int | None = None
    ) -> Tensor:
        """Starts some worlds anew while the others go on.

        Args:
            rows: which; by default all.
            seed: of row 0, row i taking `seed + i`; or one for each of `rows`. Equal seeds and controls give equal frames. Where
                it is None, the row's last seed decides the next one.
            start: which start context; by default drawn from each row's seed.

        Returns:
            Latents `(R, h, w, C)` of the last frames of the start contexts.
        """
        rows = range(self.batch) if rows is None else rows
        if start is not None and not 0 <= start < len(self.starts):
            raise WorldError(f"start was {start}; this world has starts 0 to {len(self.starts) - 1}.")
        chosen = []
        for row, given in zip(rows, _seeds(seed, rows), strict=True):
            noise = self._noise[row].manual_seed(self._next_seed[row] if given is None else given)
            self._next_seed[row] = int(torch.randint(2**63 - 1, (), generator=noise))
            drawn = int(torch.randint(len(self.starts), (), generator=noise))
            chosen.append(drawn if start is None else start)
        for row, index in zip(rows, chosen, strict=True):
            self.stream.ring.put([row], self._context(index, self.context_level))
        self._started[rows], self._waiting[rows] = True, False
        return self.starts[chosen, -1]

    @torch.inference_mode()
    def step(self, controls: Controls | Sequence[Controls] | NDArray[Any]) -> Step:
        """Imagines the next frame of every world.

        The frame is handed out first; it joins the context at the start of the next step (or in `settle`).

        Args:
            controls: for all rows, one per row, or an array `(B, A)` in the units of `control_spec`.

        Raises:
            WorldError: before the first `reset`.
            ControlError: if the controls do not fit.
        """
        latent, *scalars = self.imagine(self.control_spec.to_vectors(controls, self.batch))
        frame = self.decode(latent)
        return Step(frame.cpu().numpy(), latent, *(value.cpu().numpy() for value in scalars))

    @torch.inference_mode()
    def imagine(
        self, controls: NDArray[np.float32], active: NDArray[np.bool_] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Like `step`, but decodes nothing and leaves everything on the device.

        Args:
            controls: checked vectors `(B, A)` in the units of `control_spec`.
            active: bool `(B,)`, worlds that go on; by default all. The others stay where they are, and what is returned for them
                means nothing.

        Returns:
            `latent`, `reward`, `terminated` and `end_probability` of a `Step`, as tensors on the world's device.
        """
        if not self._started.all():
            raise WorldError("step() before reset(); call reset(seed=...) first.")
        active = np.ones(self.batch, bool) if active is None else active
        self.settle()
        now = torch.from_numpy(controls).to(self.device) / self._scale
        noise, later, uniforms, threshold = self._draw(active)
        latent, reward, end = self.stream.imagine(now, noise, uniforms)
        self._pending, self._waiting = (latent, now, later), active.copy()
        return latent, reward, end > threshold, end

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents `(R, h, w, C)` -> uint8 frames `(R, H, W, 3)`, on the world's device."""
        return self._decode(latents.to(self.dtype))

    @torch.no_grad()
    def encode(self, frames: NDArray[np.uint8]) -> Tensor:
        """uint8 frames `(R, H, W, 3)` -> float32 latents `(R, h, w, C)`, on the world's device."""
        return self.tokenizer.encode(to_images(torch.from_numpy(frames).to(self.device), self.dtype)).float()

    @torch.inference_mode()
    def settle(self) -> None:
        """Writes the frames handed out last into the context, where that has not happened yet. Cheap to call while idle."""
        if not self._waiting.any():
            return
        assert self._pending is not None
        self.stream.commit(*self._pending, None if self._waiting.all() else torch.from_numpy(self._waiting).to(self.device))
        self._waiting = np.zeros(self.batch, bool)

    @torch.no_grad()
    def get_state(self, rows: Sequence[int] | None = None) -> WorldState:
        """Copies what the futures of worlds depend on; by default of all of them.

        Raises:
            WorldError: before the first `reset`.
        """
        if not self._started.all():
            raise WorldError("get_state() before reset(); call reset(seed=...) first.")
        self.settle()
        chosen = list(range(self.batch) if rows is None else rows)
        noise = torch.stack([self._noise[row].get_state() for row in chosen])
        next_seed = torch.tensor([self._next_seed[row] for row in chosen])
        return WorldState(self.stream.ring.take(chosen), noise, next_seed)

    @torch.no_grad()
    def set_state(
        self, state: WorldState, rows: Sequence[int] | None = None, *, seed: int | Sequence[int | None] | None = None
    ) -> None:
        """Puts states into worlds, whichever they came from: one for each row, or one for all of them.

        Args:
            state: from `get_state` of a world with the same weights.
            rows: which worlds; by default all.
            seed: of the noise from here on, as in `restart`; None goes on with the noise of the state.

        Raises:
            WorldError: if the states are of another kind of world, or another number.
        """
        rows, ring = list(range(self.batch) if rows is None else rows), self.stream.ring
        given, wanted = (tuple(part.shape[:1] + part.shape[2:]) for part in (state.past.keys, ring.keys))
        states = len(state.past.position)
        if given != wanted or states not in (1, len(rows)):
            raise WorldError(
                f"{states} states of shape {given} for {len(rows)} worlds of shape {wanted}; "
                "give one state, or one per world, of a world with the same config."
            )
        ring.put(rows, state.past)
        for i, (row, value) in enumerate(zip(rows, _seeds(seed, rows), strict=True)):
            source = i % states
            self._next_seed[row] = int(state.next_seed[source])
            self._noise[row].set_state(state.noise[source].clone())  # torch crashes on a view
            if value is not None:
                self._noise[row].manual_seed(value)
        self._started[rows], self._waiting[rows] = True, False

    def _draw(self, active: NDArray[np.bool_]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a frame takes of chance, every row from its own generator: standard normal noise `(B, h, w, C)` to imagine it from
        and to keep it with; and uniform, `(B, h, w)` to choose codewords and `(B,)` what the probability of the end has to
        exceed. Rows at rest never end."""
        size, patches = math.prod(self.latent_shape), math.prod(self.grid)
        drawn = torch.full((self.batch, 2 * size + patches + 1), math.inf)
        for row in np.flatnonzero(active):
            drawn[row].normal_(generator=self._noise[row])
        drawn[~active, :-1] = 0
        noise, later, chance = drawn.to(self.device).split((size, size, patches + 1), dim=1)
        shape, chance = (self.batch, *self.latent_shape), torch.special.ndtr(chance)
        return noise.reshape(shape), later.reshape(shape), chance[:, :-1].reshape(shape[:-1]), chance[:, -1]

    def _prefill(self, start: int, level: float) -> RingRows:
        """One row of a ring that holds a start context. Its noise is always the same, so that
        one copy serves every row."""
        stream = self._single
        stream.context_level = level
        stream.ring.clear()
        context, controls = self.starts[start, None], self.start_controls[start, None]
        noise = torch.randn(context.shape, generator=torch.Generator().manual_seed(start))
        stream.prefill(context, controls, noise.to(self.device))
        return stream.ring.take([0])

    @cached_property
    def _single(self) -> Stream:
        return Stream(self.dynamics, self.grid, 1)

    def _check_memory(self) -> None:
        if self.batch < 1:
            raise WorldError(f"batch was {self.batch}; give at least 1.")
        each, free = self.config.row_bytes(self.dtype.itemsize), free_bytes(self.device)
        if free is not None and self.batch * each > free:
            raise WorldError(
                f"{self.batch} worlds need about {self.batch * each / 2**30:.1f} GiB, and {self.device.type} has "
                f"{free / 2**30:.1f} GiB free; at most {free // each} fit."
            )


def _seeds(seed: int | Sequence[int | None] | None, rows: Sequence[int]) -> list[int | None]:
    """One seed, or None, for each of `rows`."""
    if seed is None:
        return [None] * len(rows)
    seeds: list[int | None] = [int(seed) + row for row in rows] if isinstance(seed, (int, np.integer)) else [*seed]
    if len(seeds) != len(rows):
        raise WorldError(f"{len(seeds)} seeds for {len(rows)} worlds; give one seed, or one per world.")
    for value in seeds:
        if value is not None and not 0 <= value < SEEDS:
            raise WorldError(f"seed was {value}; give whole numbers from 0 to 2**64 - 1.")
    return seeds
