"""The soft book against the exact one: never better where nothing moves overnight, and close."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine.books import mix_book, sweep_book
from backtest.engine.soft import soft_mix
from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays
from backtest.strategy import STRATEGIES

RULE = STRATEGIES.get("rsi_swing")
SESSIONS, SETS = 160, 6


def panel_with(overnight: float, *, seed: int = 1) -> Panel:
    config = WorldConfig(world="clear", symbols=12, seed=seed, overnight_share=overnight)
    return Panel.from_frame(generate(config, weekdays(SESSIONS)).bars)


def both(panel: Panel, weights: np.ndarray, *, cost: float) -> tuple[np.ndarray, np.ndarray]:
    """Net returns of the exact book and of the soft one; ``[time - 1]``, of sessions 1 on."""
    grid = RULE.candidates().take(np.arange(0, 10 * SETS, 10))
    alone = sweep_book(panel, RULE, grid, kind="dollar-neutral", cost=cost).net_return
    exact = mix_book(panel, RULE, grid, weights[None], kind="dollar-neutral", cost=cost)
    soft = soft_mix(torch.from_numpy(weights[:-1]), torch.from_numpy(alone[:, 1:].T), cost=cost)
    return exact.net_return[0, 1:], soft.numpy()


def drawn(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    raw = random.random((SESSIONS, SETS)) * (random.random((SESSIONS, SETS)) < 0.5)
    return raw / np.maximum(raw.sum(axis=1, keepdims=True), 1.0)


STILL_AT_NIGHT = panel_with(0.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.01))
def test_it_never_shows_more_than_the_exact_book(seed: int, cost: float):
    exact, soft = both(STILL_AT_NIGHT, drawn(seed), cost=cost)
    assert (soft <= exact + 1e-12).all()


def test_one_set_held_for_good_earns_the_same():
    weights = np.zeros((SESSIONS, SETS))
    weights[:, 2] = 1.0
    exact, soft = both(STILL_AT_NIGHT, weights, cost=0.001)
    np.testing.assert_allclose(soft, exact, atol=1e-14)
    assert np.abs(exact).max() > 1e-3


def test_without_costs_and_nights_the_two_are_equal():
    exact, soft = both(STILL_AT_NIGHT, drawn(3), cost=0.0)
    np.testing.assert_allclose(soft, exact, atol=1e-14)


def test_what_moves_overnight_is_where_they_differ():
    """A changed mix is filled at the open: the night still belongs to the mix before."""
    exact, soft = both(panel_with(0.5), drawn(3), cost=0.0)
    assert np.abs(soft - exact).max() > 1e-5
    assert np.corrcoef(soft, exact)[0, 1] > 0.6


def test_its_gradient_is_that_of_finite_differences():
    random = np.random.default_rng(0)
    weights = torch.tensor(random.dirichlet(np.ones(4), size=9), requires_grad=True)
    returns = torch.tensor(random.normal(0.0, 0.01, (9, 4)))
    assert torch.autograd.gradcheck(
        lambda w: soft_mix(w, returns, cost=0.001), (weights,), eps=1e-7, atol=1e-6
    )


@pytest.mark.parametrize("cost", [0.0, 0.001])
def test_by_hand(cost: float):
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.25]])
    returns = torch.tensor([[0.02, 0.0], [0.01, -0.04]])
    found = soft_mix(weights, returns, cost=cost)
    assert found.tolist() == pytest.approx([0.02, 0.005 - 0.01 - 0.75 * cost], abs=1e-8)
