"""Dreams of many players in the rows of one batched world, which grows and shrinks among a few batch sizes.

A world of each size is made before it is needed, so that a change of size copies rows and compiles nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.serve.start import Start
from worldsim.world import World
from worldsim.world.resize import resized

K = TypeVar("K", bound=Hashable)
MOST_FILLED = 64  # start contexts put through the network beforehand; those of a world with more take their time when drawn


class Move(NamedTuple):
    """What moves a dream on by a frame.

    Attributes:
        vector: controls `(A,)`, in the units of the world's `ControlSpec`.
        num_steps: denoising steps.
        temperature: of random events.
        prompt: what the world shows, in a world that reads prompts; "" for anything.
    """

    vector: NDArray[np.float32]
    num_steps: int
    temperature: float
    prompt: str = ""


class Made(NamedTuple):
    """The next frame of a dream.

    Attributes:
        image: uint8 `(H, W, 3)`.
        reward: of the controls that led to it.
        over: whether the episode ended.
        sound: whether all its numbers are finite; a dream that is not cannot go on.
    """

    image: NDArray[np.uint8]
    reward: float
    over: bool
    sound: bool


class Rows(Generic[K]):
    """Dreams by key, each in a row of the present world. For one thread, except `make` and `add`.

    Args:
        world: of the first size. Its start contexts are put through the network here, which takes a while.
    """

    def __init__(self, world: World) -> None:
        self._first_world, self._num_steps = world, world.num_steps
        self._worlds: dict[int, World] = {}
        self._rows: dict[K, int] = {}
        self.world = world
        for index in range(min(len(world.starts), MOST_FILLED)):
            world.restart([0], seed=0, start=index)  # keeps what the ring holds then, so that a start is only copied
        with torch.inference_mode():
            self._pictures = np.concatenate([world.decode(latent[None]).cpu().numpy() for latent in world.starts[:, -1]])
        self.add(self.make(world.batch))

    def make(self, size: int) -> World:
        """A world of another size, with something in all its rows. It is not used before `add`."""
        first = self._first_world
        world = first
        if size != first.batch:
            world = resized(first, size)
            world.num_steps = self._num_steps  # those of the first may be a player's by now
        world.restart(seed=0, start=0)
        return world

    def add(self, world: World) -> None:
        """From now on there are rows of this world's size."""
        world.stream.temperature = torch.ones(world.batch, 1, 1, 1, 1, dtype=torch.float32, device=world.device)
        self._worlds = {**self._worlds, world.batch: world}

    @property
    def sizes(self) -> list[int]:
        return sorted(self._worlds)

    @property
    def size(self) -> int:
        """Rows of the present world, taken or free."""
        return self.world.batch

    @property
    def dreams(self) -> int:
        """Rows that are taken."""
        return len(self._rows)

    def fitting(self, dreams: int) -> int:
        """The smallest size that holds so many dreams."""
        return next(size for size in self.sizes if size >= dreams)

    def resize(self, size: int) -> None:
        """Moves all dreams to a world of another size."""
        old, new = self.world, self._worlds[size]
        if old is new:
            return
        if self._rows:
            new.set_state(old.get_state(list(self._rows.values())), range(len(self._rows)))
            self._rows = {key: row for row, key in enumerate(self._rows)}
        self.world = new

    def start(self, key: K, start: Start) -> NDArray[np.uint8]:
        """Starts a dream, in the row it has or in a free one; returns its first frame."""
        row = self._rows.get(key)
        if row is None:
            taken = set(self._rows.values())
            row = next(row for row in range(self.size) if row not in taken)
        self._rows[key] = row
        if start.picture is not None:
            self.world.begin(start.picture[None], [row], seed=[start.seed])
            return start.picture
        self.world.restart([row], seed=[start.seed], start=start.context)
        if start.past is not None:
            self.world.stream.ring.put([row], start.past.ring)
            return start.past.image
        origin = self.world.origins[row]
        assert origin is not None
        return self._pictures[origin.start]

    def free(self, key: K) -> None:
        """Gives the row of a dream to the next that starts; does nothing if it has none."""
        self._rows.pop(key, None)

    def step(self, moves: Mapping[K, Move]) -> dict[K, Made]:
        """Moves some dreams on by a frame; the others stay where they are. One network call for each number of steps."""
        world, latents = self.world, None
        rows = {key: self._rows[key] for key in moves}
        vectors = np.zeros((world.batch, world.control_spec.size), np.float32)
        temperatures = torch.ones(world.batch, dtype=torch.float32, device="cpu")
        for key, move in moves.items():
            vectors[rows[key]], temperatures[rows[key]] = move.vector, move.temperature
        assert isinstance(world.stream.temperature, torch.Tensor)
        world.stream.temperature.copy_(temperatures.view(-1, 1, 1, 1, 1))
        if world.words is not None:
            world.stream.prompt = self._prompts({rows[key]: move.prompt for key, move in moves.items()})
        scalars = np.zeros((3, world.batch), np.float32)
        for num_steps in sorted({move.num_steps for move in moves.values()}):
            world.num_steps = num_steps
            active = np.zeros(world.batch, bool)
            active[[rows[key] for key, move in moves.items() if move.num_steps == num_steps]] = True
            latent, reward, over, _ = world.imagine(vectors, active)
            sound = latent.flatten(1).isfinite().all(1)
            scalars[:, active] = torch.stack([reward, over.float(), sound.float()]).cpu().numpy()[:, active]
            mask = torch.from_numpy(active).to(latent.device)[:, None, None, None]
            latents = latent if latents is None else torch.where(mask, latent, latents)
        if latents is None:
            return {}
        with torch.inference_mode():
            images = world.decode(latents).cpu().numpy()
        return {
            key: Made(images[row], float(scalars[0, row]), bool(scalars[1, row]), bool(scalars[2, row]))
            for key, row in rows.items()
        }

    def _prompts(self, prompts: Mapping[int, str]) -> torch.Tensor:
        """Word vectors `(B, L, C)` of each row's prompt; zeros where there is none."""
        world, config = self.world, self.world.config.dynamics
        said = torch.zeros(world.batch, config.prompt_length, config.prompt, dtype=world.dtype, device=world.device)
        for row, prompt in prompts.items():
            words = world.words_of(prompt)
            if words is not None:
                said[row] = words[0]
        return said
