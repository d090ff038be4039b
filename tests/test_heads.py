from __future__ import annotations

import torch

from worldsim.heads import expected_reward, symexp, symlog, two_hot


def test_two_hot_keeps_the_reward() -> None:
    rewards = torch.tensor([-100.0, -1.0, -0.0001, 0.0, 2.0, 4.0, 2100.0])
    weights = two_hot(rewards, 41)
    assert torch.allclose(weights.sum(-1), torch.ones(7))
    assert ((weights > 0).sum(-1) <= 2).all()
    assert torch.allclose(expected_reward(weights.clamp_min(1e-30).log()), rewards, rtol=1e-3, atol=1e-4)


def test_symlog_inverts() -> None:
    x = torch.linspace(-50, 50, 11)
    assert torch.allclose(symexp(symlog(x)), x, rtol=1e-4)
