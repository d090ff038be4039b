from __future__ import annotations

import torch

from worldsim.model import rope


def test_time_is_exactly_periodic() -> None:
    speeds = rope.time_frequencies(8)
    near = torch.tensor([[3, 17]])
    far = near + 1_000_000 * rope.TIME_PERIOD
    assert torch.equal(rope.time_angles(near, speeds), rope.time_angles(far, speeds))
    wrapped = torch.cos((near + rope.TIME_PERIOD)[..., None].double() * speeds.double())
    assert torch.allclose(wrapped, torch.cos(near[..., None].double() * speeds.double()), atol=1e-4)


def test_scores_depend_on_distance_only() -> None:
    speeds = torch.cat(rope.frequencies(32))
    q, k = torch.randn(2, 32)

    def score(one: float, other: float) -> torch.Tensor:
        angle = [at * speeds for at in (one, other)]
        return rope.rotate(q, angle[0].cos(), angle[0].sin()) @ rope.rotate(k, angle[1].cos(), angle[1].sin())

    assert torch.allclose(score(5, 2), score(105, 102), atol=1e-3)
    assert not torch.allclose(score(5, 2), score(5, 4), atol=1e-3)


def test_pairs_fill_the_head() -> None:
    for head_dim in (16, 32, 64, 128):
        assert sum(rope.split_pairs(head_dim)) == head_dim // 2
        assert sum(len(speeds) for speeds in rope.frequencies(head_dim)) == head_dim // 2


def test_space_angles_are_row_major() -> None:
    rows, columns = rope.space_frequencies(3), rope.space_frequencies(2)
    angles = rope.space_angles(2, 4, rows, columns)
    assert angles.shape == (8, 5)
    assert torch.allclose(angles[6], torch.cat([1 * rows, 2 * columns]))
