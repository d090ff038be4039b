"""Dreams of many players in the rows of one batched world, which grows and shrinks among a few batch sizes.

A world of each size is made before anybody plays, so that a change of size copies rows and compiles nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from worldsim.serve.seat import Start
from worldsim.world import World
from worldsim.world.resize import resized

K = TypeVar("K", bound=Hashable)


class Move(NamedTuple):
    """What moves a dream on by a frame.

    Attributes:
        vector: controls `(A,)`, in the units of the world's `ControlSpec`.
        num_steps: denoising steps.
        temperature: of random events.
    """

    vector: NDArray[np.float32]
    num_steps: int
    temperature: float


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
    """Dreams by key, each in a row of the world whose batch is the smallest that holds them all, or was lately.

    Args:
        world: to begin with, of any batch; its start contexts are put through the network here, which takes a while.
    """

    def __init__(self, world: World) -> None:
        self.model = world
        self._worlds: dict[int, World] = {}
        self._temperatures: dict[int, torch.Tensor] = {}
        self._rows: dict[K, int] = {}
        self.world = self.prepare(1)
        for index in range(len(world.starts)):
            self.world.restart([0], seed=0, start=index)  # keeps its ring, so that a start copies only
        with torch.inference_mode():
            self._first = np.concatenate([self.world.decode(latent[None]).cpu().numpy() for latent in world.starts[:, -1]])

    def prepare(self, size: int) -> World:
        """Makes a world of another size, with something in all its rows."""
        world = resized(self.model, size)
        world.restart(seed=0, start=0)
        temperatures = torch.ones(size, 1, 1, 1, 1, dtype=torch.float32, device=world.device)
        world.stream.temperature = temperatures
        self._worlds[size], self._temperatures[size] = world, temperatures
        return world

    def drop(self, size: int) -> None:
        """Forgets a size again."""
        del self._worlds[size], self._temperatures[size]

    @property
    def sizes(self) -> list[int]:
        return sorted(self._worlds)

    @property
    def size(self) -> int:
        """Rows of the present world, taken or free."""
        return self.world.batch

    def fit(self, dreams: int) -> None:
        """Moves to the smallest size that holds so many dreams. A size that is not twice too large stays, so that players
        who come and go do not move everybody each time.
        """
        smallest = next(size for size in self.sizes if size >= dreams)
        roomy = next(size for size in self.sizes if size >= min(2 * dreams, self.sizes[-1]))
        if self.size < smallest:
            self._move(smallest)
        elif self.size > roomy:
            self._move(roomy)

    def start(self, key: K, start: Start) -> NDArray[np.uint8]:
        """Starts a dream, in the row it has or in a free one; returns its first frame."""
        row = self._rows.get(key)
        if row is None:
            taken = set(self._rows.values())
            row = next(row for row in range(self.size) if row not in taken)
        self.world.restart([row], seed=[start.seed], start=start.context)
        self._rows[key] = row
        origin = self.world.origins[row]
        assert origin is not None
        return self._first[origin.start]

    def free(self, key: K) -> None:
        """Gives the row of a dream to the next that starts; does nothing if it has none."""
        self._rows.pop(key, None)

    def step(self, moves: Mapping[K, Move]) -> dict[K, Made]:
        """Moves some dreams on by a frame; the others stay where they are. One network call for each number of steps."""
        world, latents = self.world, None
        rows = {key: self._rows[key] for key in moves}
        vectors = np.zeros((world.batch, world.control_spec.size), np.float32)
        temperatures = torch.ones(world.batch, dtype=torch.float32)
        for key, move in moves.items():
            vectors[rows[key]], temperatures[rows[key]] = move.vector, move.temperature
        self._temperatures[world.batch].copy_(temperatures.view(-1, 1, 1, 1, 1))
        scalars = np.zeros((3, world.batch), np.float32)
        for num_steps in sorted({move.num_steps for move in moves.values()}):
            world.num_steps = num_steps
            chosen = [rows[key] for key, move in moves.items() if move.num_steps == num_steps]
            active = np.zeros(world.batch, bool)
            active[chosen] = True
            latent, reward, over, _ = world.imagine(vectors, active)
            sound = latent.flatten(1).isfinite().all(1)
            scalars[:, chosen] = torch.stack([reward.float(), over.float(), sound.float()]).cpu().numpy()[:, chosen]
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

    def time_step(self, size: int) -> None:
        """Moves all rows of a size that nobody uses on by a frame, to see how long that takes."""
        world = self._worlds[size]
        world.num_steps = self.model.num_steps
        still = world.control_spec.to_vectors(world.control_spec.neutral(), size)
        latent, *_ = world.imagine(still)
        with torch.inference_mode():
            world.decode(latent).cpu()

    def _move(self, size: int) -> None:
        old, new = self.world, self._worlds[size]
        if self._rows:
            self._rows = self._copy(old, new, list(self._rows))
        self.world = new

    def _copy(self, old: World, new: World, keys: Sequence[K]) -> dict[K, int]:
        new.set_state(old.get_state([self._rows[key] for key in keys]), range(len(keys)))
        return {key: row for row, key in enumerate(keys)}
