"""The same trades at other prices."""

import numpy as np
import pytest

from backtest.evidence.cost_curve import sharpe_by_cost

NET, TURNOVER = np.array([0.01, 0.03, 0.02]), np.array([1.0, 1.0, 2.0])


def test_the_ratio_falls_to_zero_at_the_break_even():
    break_even = 1e4 * (0.06 / 4.0) + 5.0
    costs = np.array([5.0, break_even, 0.0])
    got = sharpe_by_cost(NET, TURNOVER, costs, cost_bps=5.0, periods=252)
    assert got[0] == pytest.approx(0.02 / 0.01 * np.sqrt(252))
    assert got[1] == pytest.approx(0.0, abs=1e-9)
    gross = NET + TURNOVER * 5e-4
    assert got[2] == pytest.approx(gross.mean() / gross.std(ddof=1) * np.sqrt(252))


@pytest.mark.parametrize("net", [np.zeros(3), np.full(40, 0.01), np.array([0.01, 0.02])])
def test_a_stream_that_does_not_move_has_none(net: np.ndarray):
    got = sharpe_by_cost(net, np.zeros(len(net)), np.array([1.0, 9.0]), cost_bps=5.0, periods=252)
    assert np.isnan(got).all()
