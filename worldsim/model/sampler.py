"""The denoise loop, offline over whole clips and streaming against a ring of past frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from worldsim.model.dit import DiT, Modulations, Prediction
from worldsim.model.heads import draw_codes, expected_reward, most_certain, reveal, sampled_offset
from worldsim.model.noise import add_noise, step_toward
from worldsim.model.ring import Ring

Finished = tuple[Tensor, Tensor, Tensor, Tensor | None]  # what `Stream.commit` takes


@torch.inference_mode()
def denoise(
    model: DiT,
    z: Tensor,
    levels: NDArray[np.float32],
    controls: Tensor,
    *,
    causal: bool = True,
    prompt: Tensor | None = None,
    guidance: float = 1.0,
    progress: Callable[[], None] | None = None,
) -> Tensor:
    """Follows a schedule over a whole clip.

    Args:
        model: the dynamics.
        z: latents `(B, T, h, w, C)`, each frame noised to its first level; frames at level 0 throughout are
            kept as they are.
        levels: `(num_steps + 1, T)`, falling or constant; see `worldsim.model.noise.schedule`.
        controls: `(B, T, A)` in the model's units.
        causal: whether frames see only their past.
        prompt: word vectors; see `DiT.forward`.
        guidance: how much further to go in the direction in which the prompt changes the estimate (Ho & Salimans 2022,
            arXiv:2207.12598): 1 follows the model, above 1 follows the prompt more closely, at twice the cost.
        progress: called after every step.

    Returns:
        Latents `(B, T, h, w, C)` at the last levels.
    """
    rows = torch.as_tensor(levels, dtype=torch.float32, device=z.device)[:, None].expand(-1, z.shape[0], -1)
    for level, target in pairwise(rows):
        given = z, level, level - target, controls
        if prompt is None or guidance == 1:
            x = model(*given, causal=causal, prompt=prompt).x.to(z.dtype)
        else:
            both = (torch.cat([part, part]) for part in given)
            prompts = prompt.expand(len(z), *prompt.shape[1:])
            x = model(*both, causal=causal, prompt=torch.cat([prompts, torch.zeros_like(prompts)])).x.to(z.dtype)
            said, unsaid = x.chunk(2)
            x = unsaid + guidance * (said - unsaid)
        z = torch.where((level > 0)[..., None, None, None], step_toward(z, x, level, target), z)
        if progress is not None:
            progress()
    return z


class Replay:
    """A function of tensors as one captured CUDA graph: called again, it repeats its launches on new contents.

    Args:
        function: takes and returns tensors of fixed shapes and never waits on the host; called twice before
            it is captured.
        example: its arguments; later ones must have the same shapes and dtypes.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]], *example: Tensor):
        self.given = tuple(tensor.clone() for tensor in example)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                function(*self.given)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):  # other threads may use the GPU meanwhile
            self.made = function(*self.given)

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        for kept, new in zip(self.given, given, strict=True):
            kept.copy_(new)
        self.graph.replay()
        return tuple(tensor.clone() for tensor in self.made)


class Stream:
    """Imagines one frame after another, at constant cost, against a ring of past frames.

    Call `imagine`, hand out the frame, then `commit` it. Rows of the batch are independent worlds and may be
    at different ages.

    Args:
        model: the dynamics, on its device and in its dtype.
        grid: latent grid `(h, w)`.
        batch: worlds, `B`.
        num_steps: denoising steps per frame, each of them a network call.
        context_level: noise level at which finished frames are kept; the model was trained to expect a
            little.
        draw_level: noise level that the first of several network calls goes to in a world with codewords: the
            lower, the more of what was drawn stays; the higher, the better the patches agree.
        rounds: network calls that the first step takes where codewords are drawn: a part of them is drawn in each, the most
            certain first, knowing those drawn before. More than 1 needs a model that `reveals`.
        temperature: of the draw of codewords; in a world without codewords, the scale of the noise. A float32 tensor
            `(B, 1, 1, 1, 1)`, on the model's device and changed only in place, gives every row its own.
        prompt: word vectors; see `DiT.forward`.
    """

    def __init__(
        self,
        model: DiT,
        grid: tuple[int, int],
        batch: int,
        *,
        num_steps: int = 2,
        context_level: float = 0.05,
        draw_level: float = 0.15,
        rounds: int = 1,
        temperature: float | Tensor = 1.0,
        prompt: Tensor | None = None,
    ):
        self.model, self.num_steps, self.prompt, self.grid = model, num_steps, prompt, grid
        self.prompted = model.config.prompt > 0 or model.config.sized
        self.context_level, self.draw_level, self.rounds, self.temperature = context_level, draw_level, rounds, temperature
        self.ring = Ring(model.config, batch, 1 + grid[0] * grid[1], model.device, model.ring_dtype)
        self.dtype, self.device, self.batch = model.dtype, model.device, batch
        self.foreseen: Tensor | None = None  # logits of the controls after the last frame imagined, `(B, A, bins)`
        self._graphs: dict[tuple[Any, ...], Replay] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy or a pickle, which captures graphs of its own."""
        return {**self.__dict__, "_graphs": {}}

    @torch.inference_mode()
    def imagine(
        self, controls: Tensor, noise: Tensor, uniforms: Tensor | None, before: Finished | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The frame that `controls` `(B, A)` produce.

        Args:
            controls: in the model's units.
            noise: standard normal `(B, h, w, C)`.
            uniforms: uniform draws in [0, 1), `(B, h, w)`, that choose the codewords in a world that has
                them; None for the expected frame.
            before: arguments of `commit` for the frame before, if that is still to be done: a runtime may do it in the same
                pass over its weights.

        Returns:
            Latent `(B, h, w, C)`, reward `(B,)` and probability of the episode's end `(B,)`, float32.
        """
        controls, noise = controls.to(self.device, self.dtype), noise.to(self.device, torch.float32)
        uniforms = None if uniforms is None else uniforms.to(self.device)
        if before is not None and hasattr(self.model, "write_and_call"):
            latent, reward, end, *_ = self._imagine(controls, noise, uniforms, before)
            return latent, reward, end
        if before is not None:
            self.commit(*before)
        given = (controls, noise) if uniforms is None else (controls, noise, uniforms)
        settings = (self.num_steps, self.draw_level, self.rounds, self.temperature, len(given))
        latent, reward, end, *foreseen = self._run(settings, self._imagine, *given)
        self.foreseen = foreseen[0] if foreseen else None
        return latent, reward, end

    def _imagine(
        self, controls: Tensor, noise: Tensor, uniforms: Tensor | None = None, before: Finished | None = None
    ) -> tuple[Tensor, ...]:
        codes = self.model.config.codes
        z, controls = noise[:, None] * (1 if codes else self.temperature), controls[:, None]
        levels, sizes = self._schedule()
        modulations = self._modulations(levels[:-1], sizes, controls)

        def call(i: int, z: Tensor, shown: Tensor | None = None) -> Prediction:
            level, size = (row[i].expand(self.batch, 1) for row in (levels, sizes))
            given = (z.to(self.dtype), level, size, controls)
            return self.model(*given, prompt=self.prompt, ring=self.ring, modulations=modulations.at(i), shown=shown)

        made = call(0, z) if before is None else self._write_and_call(before, z, levels[0], sizes[0], controls)
        x, end = made.x.float(), made.end  # which is trained where nothing of the frame is known
        if codes and uniforms is not None:
            made, x = self._draw(made, uniforms[:, None], lambda shown: call(0, z, shown))
        for i in range(self.num_steps):
            if i:
                made = call(i, z)
                x = made.x.float()
            z = step_toward(z, x, *(levels[j].expand(self.batch, 1) for j in (i, i + 1)))
        foreseen = () if made.controls is None else (made.controls[:, 0],)
        return z[:, 0], expected_reward(made.reward[:, 0]), end[:, 0].float().sigmoid(), *foreseen

    def _write_and_call(self, before: Finished, z: Tensor, level: Tensor, size: Tensor, controls: Tensor) -> Prediction:
        """Commits the frame before, and makes the first call for the next one."""
        latent, past_controls, noise, active = before
        past, past_level = self._noised(latent, noise)
        waiting = torch.ones(self.batch, dtype=torch.bool, device=self.device) if active is None else active
        pairs = (
            (past, z),
            (past_level, level.expand_as(past_level)),
            (torch.zeros_like(past_level), size.expand_as(past_level)),
            (past_controls[:, None].to(controls), controls),
        )
        return self.model.write_and_call(*(torch.cat(pair, dim=1) for pair in pairs), self.ring, waiting)  # type: ignore[operator]

    def _draw(self, made: Prediction, uniforms: Tensor, again: Callable[[Tensor], Prediction]) -> tuple[Prediction, Tensor]:
        """Draws the codewords of a frame, `(B, 1, h, w)`, in rounds.

        Args:
            made: prediction of which the first round draws.
            uniforms: `(B, 1, h, w)`.
            again: gives the prediction of the next round, being shown those drawn so far.

        Returns:
            The last prediction, and the clean estimate `(B, 1, h, w, C)` around all codewords drawn.
        """
        book, floor = self.model.codebook, self.model.config.code_floor
        codes = torch.zeros(uniforms.shape, dtype=torch.int64, device=self.device)
        known = torch.zeros(uniforms.shape, dtype=torch.bool, device=self.device)
        logits = cast(Tensor, made.code)
        for left in range(self.rounds, 1, -1):
            now = most_certain(logits.flatten(2, 3), known.flatten(2), 1 / left).view_as(known)
            codes = torch.where(now, draw_codes(logits, uniforms, self.temperature, floor), codes)
            known = known | now
            made = again(reveal(codes, book, known))
            logits = cast(Tensor, made.code)
        offset = sampled_offset(logits, book, uniforms, self.temperature, floor)
        return made, made.x.float() + offset * ~known[..., None]

    def _run(self, settings: tuple[Any, ...], function: Callable[..., tuple[Tensor, ...]], *given: Tensor) -> tuple[Tensor, ...]:
        """Calls the function; on a GPU as a graph, captured anew for each value of the settings."""
        if self.device.type != "cuda":
            return function(*given)
        key = (function.__name__, *settings)
        if key not in self._graphs:
            self._graphs[key] = Replay(function, *given)
        return self._graphs[key](*given)

    def _schedule(self) -> tuple[Tensor, Tensor]:
        """Noise levels `(num_steps + 1,)` of a frame, and the step sizes `(num_steps,)` that the model is
        conditioned on.
        """
        if not self.model.config.codes:
            levels = torch.linspace(1, 0, self.num_steps + 1, device=self.device, dtype=torch.float32)
            return levels, levels[:-1] - levels[1:]
        first = self.draw_level if self.num_steps > 1 else 0.0
        rest = torch.linspace(first, 0, self.num_steps, device=self.device, dtype=torch.float32)
        # Conditioned on a step size of 0, the model gives the plain mean, which is what a codeword is drawn around.
        return F.pad(rest, (1, 0), value=1.0), F.pad(rest[:-1] - rest[1:], (1, 0))

    def _modulations(self, levels: Tensor, sizes: Tensor, controls: Tensor) -> Modulations:
        """Those of all the levels and sizes `(num_steps,)` of one frame, as the `T` of one call."""
        shape = (self.batch, len(levels))
        given = levels.expand(shape), sizes.expand(shape), controls.expand(*shape, -1)
        return self.model.modulations(*given, self.prompt, self.grid) if self.prompted else self.model.modulations(*given)

    @torch.inference_mode()
    def commit(self, latent: Tensor, controls: Tensor, noise: Tensor, active: Tensor | None = None) -> None:
        """Writes a finished frame, `(B, h, w, C)`, to the ring with its controls `(B, A)`, and moves on to
        the next.

        Rows that are not `active` `(B,)` bool stay as they are; None for all of them active.
        """
        given = (latent.float(), controls.to(self.device, self.dtype), noise.to(self.device, torch.float32))
        self._run((self.context_level,), self._commit, *given)
        self.ring.advance(active)

    def _commit(self, latent: Tensor, controls: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        z, level = self._noised(latent, noise)
        self.model.write(z.to(self.dtype), level, torch.zeros_like(level), controls[:, None], self.ring, prompt=self.prompt)
        return ()

    def _noised(self, latent: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """A finished frame as it is kept, `(B, 1, h, w, C)`, and its noise level `(B, 1)`."""
        level = torch.full((self.batch, 1), self.context_level, device=self.device, dtype=torch.float32)
        return add_noise(latent[:, None], noise[:, None], level), level

    def prefill(self, latents: Tensor, controls: Tensor, noise: Tensor) -> None:
        """Commits a clip: latents `(B, T, h, w, C)`, the controls `(B, T, A)` that produced them, and noise."""
        for t in range(latents.shape[1]):
            self.commit(latents[:, t], controls[:, t], noise[:, t])

    def rollout(
        self,
        context: tuple[Tensor, Tensor, Tensor],
        controls: Tensor,
        draws: Iterable[tuple[Tensor, Tensor | None, Tensor]],
        truth: Tensor | None = None,
        true_controls: Tensor | None = None,
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Imagines the `F` frames that follow a context, one after another.

        Args:
            context: latents, controls and noise of `prefill`.
            controls: `(B, F, A)` under which to imagine.
            draws: one entry a frame, taken only when the frame is due: `noise` and `uniforms` of `imagine`,
                `noise` of `commit`.
            truth: latents `(B, F, h, w, C)` for teacher forcing: what is committed instead of the imagined
                frames.
            true_controls: `(B, F, A)` committed with them; `controls` by default.

        Yields:
            What `imagine` returns.
        """
        self.prefill(*context)
        past_controls, before = controls if true_controls is None else true_controls, None
        for t, (noise, uniforms, later) in zip(range(controls.shape[1]), draws, strict=False):
            imagined = self.imagine(controls[:, t], noise, uniforms, before)
            yield imagined
            before = (imagined[0] if truth is None else truth[:, t], past_controls[:, t], later, None)
        if before is not None:
            self.commit(*before)
