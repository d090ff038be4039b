from __future__ import annotations

import pytest
import torch

from worldsim.model.heads import expected_reward, most_certain, nearest_code, reveal, sampled_offset, symexp, symlog, two_hot

BOOK = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]])


def test_two_hot_keeps_the_reward() -> None:
    rewards = torch.tensor([-100.0, -1.0, -0.0001, 0.0, 2.0, 4.0, 2100.0])
    weights = two_hot(rewards, 41)
    assert torch.allclose(weights.sum(-1), torch.ones(7))
    assert ((weights > 0).sum(-1) <= 2).all()
    assert torch.allclose(expected_reward(weights.clamp_min(1e-30).log()), rewards, rtol=1e-3, atol=1e-4)


def test_symlog_inverts() -> None:
    x = torch.linspace(-50, 50, 11)
    assert torch.allclose(symexp(symlog(x)), x, rtol=1e-4)


def test_nearest_code_is_the_nearest() -> None:
    latents = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.equal(nearest_code(latents, BOOK), torch.cdist(latents.flatten(0, 1), BOOK).argmin(-1).view(4, 5))


def test_codewords_come_as_often_as_they_are_likely_and_the_offset_is_zero_on_average() -> None:
    chances = torch.tensor([0.9, 0.08, 0.02])
    uniforms = (torch.arange(1000) + 0.5) / 1000
    given = sampled_offset(chances.log().expand(1000, 3), BOOK, uniforms, 1.0, 0.005)
    drawn = nearest_code(given + chances @ BOOK, BOOK)
    assert torch.bincount(drawn).tolist() == [900, 80, 20]
    assert torch.allclose(given.mean(0), torch.zeros(2), atol=1e-5)


@pytest.mark.parametrize(("temperature", "rare"), [(0.0, 0), (0.5, 7), (2.0, 500)])
def test_temperature_decides_how_often_the_rare_comes(temperature: float, rare: int) -> None:
    logits = torch.tensor([0.9, 0.08, 0.02]).log()
    uniforms = torch.rand(3000, generator=torch.Generator().manual_seed(0))
    given = sampled_offset(logits.expand(3000, 3), BOOK, uniforms, temperature, 0.005)
    count = int((nearest_code(given + logits.softmax(-1) @ BOOK, BOOK) > 0).sum())
    expected = 3000 * (1 - float((logits / max(temperature, 1e-3)).softmax(-1)[0]))
    assert count == pytest.approx(expected, rel=0.2, abs=1) and count >= rare


def test_what_is_all_but_impossible_is_never_drawn_unless_everything_is() -> None:
    chances = torch.cat([torch.tensor([0.7, 0.1]), torch.full((200,), 0.001)])
    book, uniforms = torch.randn(202, 3, generator=torch.Generator().manual_seed(0)), (torch.arange(800) + 0.5) / 800

    def drawn(chances: torch.Tensor) -> list[int]:
        given = sampled_offset(chances.log().expand(800, -1), book, uniforms, 1.0, 0.005)
        return torch.bincount(nearest_code(given + chances @ book, book), minlength=202).tolist()

    assert drawn(chances)[:2] == [700, 100] and not any(drawn(chances)[2:])
    assert min(drawn(torch.full((202,), 1 / 202))) >= 3


def test_where_the_model_is_certain_the_offset_is_zero() -> None:
    certain = torch.tensor([-50.0, 50.0, -50.0])
    assert torch.allclose(sampled_offset(certain, BOOK, torch.tensor(0.99), 1.0, 0.005), torch.zeros(2), atol=1e-6)


def test_a_round_draws_the_most_certain_up_to_its_share_of_the_uncertainty() -> None:
    """Three patches are certain, three are a coin of two sides each, and the last was drawn before."""
    sure, coin = torch.tensor([90.0, 0.0, 0.0]), torch.tensor([9.0, 9.0, -90.0])
    logits = torch.stack([coin, sure, coin, sure, sure, coin, coin])
    known = torch.tensor([False] * 6 + [True])
    assert most_certain(logits, known, 0.01).tolist() == [False, True, False, True, True, False, False]
    third = most_certain(logits, known, 0.34)
    assert third[[1, 3, 4]].all() and third[[0, 2, 5]].sum() == 1 and not third[6]
    assert torch.equal(most_certain(logits, known, 1.0), ~known)
    assert not most_certain(logits, torch.ones(7, dtype=torch.bool), 1.0).any()


def test_rows_of_a_batch_have_rounds_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, known = torch.randn(4, 6, 3, generator=generator), torch.rand(4, 6, generator=generator) < 0.3
    alone = torch.stack([most_certain(*row, 0.5) for row in zip(logits, known, strict=True)])
    assert torch.equal(most_certain(logits, known, 0.5), alone)


def test_what_is_hidden_is_zero() -> None:
    codes, known = torch.tensor([[0, 1], [2, 2]]), torch.tensor([[True, False], [False, True]])
    expected = [[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 4.0, 1.0]]]
    assert reveal(codes, BOOK, known).tolist() == expected
