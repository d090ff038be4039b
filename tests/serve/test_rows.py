from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from worldsim.serve.rows import Move, Rows
from worldsim.serve.start import Start
from worldsim.world import World

STILL = np.zeros(5, np.float32)


def make(world: World, *sizes: int) -> Rows[str]:
    rows: Rows[str] = Rows(world)
    for size in sizes:
        rows.add(rows.make(size))
    return rows


def move(rows: Rows[str], *keys: str) -> dict[str, np.ndarray]:
    return {key: made.image for key, made in rows.step({key: Move(STILL, 2, 1.0) for key in keys}).items()}


def test_starts_compute_nothing(tiny_world: World) -> None:
    """Their rings are filled beforehand."""
    rows = make(tiny_world, 2)
    calls: list[torch.nn.Module] = []
    handle = tiny_world.dynamics.blocks[0].register_forward_pre_hook(lambda block, given: calls.append(block))
    rows.resize(2)
    first = rows.start("a", Start(5, None))
    rows.start("b", Start(6, 1))
    assert not calls and np.array_equal(first, World.load(tiny_world.folder or "", dtype=torch.float32).reset(seed=5).frame[0])
    handle.remove()


def test_dreams_go_on_where_they_were_in_a_batch_of_another_size(tiny_world: World) -> None:
    rows, still = make(tiny_world, 2, 4), make(World.load(tiny_world.folder or "", device="cpu", dtype=torch.float32))
    assert rows.sizes == [1, 2, 4] and [rows.fitting(count) for count in (1, 2, 3, 4)] == [1, 2, 4, 4]
    still.start("a", Start(7, None))
    rows.start("a", Start(7, None))
    for size in (2, 4, 4, 1, 2):
        rows.resize(size)
        if size > 1:
            rows.start("b", Start(1, 0))
            moved = move(rows, "a", "b")["a"]
            rows.free("b")
        else:
            moved = move(rows, "a")["a"]
        assert rows.size == size and np.abs(moved.astype(int) - move(still, "a")["a"]).max() <= 2


def test_other_sizes_have_the_usual_number_of_steps(tiny_world: World) -> None:
    """They are timed with it, whatever the player of the first has chosen meanwhile."""
    usual, rows = tiny_world.num_steps, make(tiny_world)
    rows.start("a", Start(1, None))
    rows.step({"a": Move(STILL, 7, 1.0)})
    assert rows.make(2).num_steps == usual


def test_those_who_are_left_out_stay_where_they_are(tiny_world: World) -> None:
    rows = make(tiny_world, 2)
    rows.resize(2)
    other = make(World.load(tiny_world.folder or "", device="cpu", dtype=torch.float32), 2)
    other.resize(2)
    for each in (rows, other):
        each.start("a", Start(1, None))
        each.start("b", Start(2, None))
    for _ in range(3):
        move(rows, "a")
    assert np.array_equal(move(rows, "a", "b")["b"], move(other, "a", "b")["b"])
    assert rows.step({}) == {}


def test_each_row_has_a_prompt_of_its_own(tiny_studio_path: Path) -> None:
    said = ("", "red room", "two soldier")
    alone = []
    for prompt in said:
        rows: Rows[int] = Rows(World.load(tiny_studio_path, device="cpu", dtype=torch.float32, runtime="torch", batch=1))
        rows.start(0, Start(7, 0))
        alone.append([rows.step({0: Move(STILL, 3, 1.0, prompt)})[0].image for _ in range(2)][-1])
    together: Rows[int] = Rows(World.load(tiny_studio_path, device="cpu", dtype=torch.float32, runtime="torch", batch=4))
    for key in range(3):
        together.start(key, Start(7, 0))
    for _ in range(2):
        made = together.step({key: Move(STILL, 3, 1.0, said[key]) for key in range(3)})
    for key, image in enumerate(alone):
        assert np.abs(made[key].image.astype(int) - image).max() <= 2
    assert (alone[0] != alone[1]).any() and (alone[1] != alone[2]).any()


def test_a_dream_begins_with_a_picture_of_the_player(tiny_world: World) -> None:
    rows = make(tiny_world, 2)
    rows.resize(2)
    rows.start("a", Start(1, None))
    picture = np.random.default_rng(0).integers(0, 255, (tiny_world.config.height, tiny_world.config.width, 3), np.uint8)
    assert np.array_equal(rows.start("b", Start(3, None, picture=picture)), picture)
    alone = World.load(tiny_world.folder or "", device="cpu", dtype=torch.float32)
    alone.begin(picture[None], seed=3)
    expected = alone.step(np.zeros((1, 5), np.float32)).frame[0]
    assert np.abs(move(rows, "a", "b")["b"].astype(int) - expected).max() <= 2
