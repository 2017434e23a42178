"""Losses by hand."""

import math

import pytest
import torch

from ml.losses import divergence, hybrid, regime_loss


def test_divergence_by_hand():
    mix = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))
    teacher = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    assert float(divergence(mix, teacher)) == pytest.approx(0.5 * math.log(4.0))


def test_divergence_from_itself_is_nothing_at_any_temperature():
    teacher = torch.softmax(torch.randn(5, 7), dim=-1)
    for temperature in (1.0, 2.0):
        found = divergence(teacher.log(), teacher, temperature=temperature)
        assert float(found) == pytest.approx(0.0, abs=1e-6)


def test_hybrid_by_hand():
    net = torch.tensor([[0.01, 0.03], [0.02, 0.02]])
    weights = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [1.0, 0.0]]])
    deviation = math.sqrt((0.01**2 + 0.01**2) / 3.0)
    expected = -0.5 * 2.0 * 0.02 / 0.04 - 0.5 * 2.0 * 0.02 / deviation + 0.1 * 0.5
    assert float(hybrid(net, weights, scale=0.04, periods_per_year=4)) == pytest.approx(expected)


def test_hybrid_of_cash_is_finite_and_has_a_gradient():
    weights = torch.zeros(1, 4, 3, requires_grad=True)
    loss = hybrid(weights.sum(dim=-1) * 0.0, weights, scale=0.01, periods_per_year=252)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(weights.grad).all()


def test_regime_loss_by_hand():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    told = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0, 0.5]])
    assert float(regime_loss(logits, told)) == pytest.approx(math.log(3.0) + math.log(2.0))
