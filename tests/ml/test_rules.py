import numpy as np
import pytest

from backtest.errors import NotFittedError
from ml.market_state import COLUMNS, DRIFT, TREND, VOLATILITY
from ml.regimes.rules import NAMES, RulesModel


def state_of(trend, volatility):
    out = np.full((len(trend), len(COLUMNS)), np.nan)
    out[:, COLUMNS.index(TREND)] = trend
    out[:, COLUMNS.index(VOLATILITY)] = volatility
    return out


def test_states_by_hand():
    size = np.log(0.01)
    volatility = np.r_[np.full(80, size), np.full(20, size + 1.0)]
    fit = RulesModel().fit(state_of(np.zeros(100), volatility), COLUMNS, previous=None, seed=0)
    # mean = size + .2, deviation = .4, so the limit is size + .2 + .25 x .4
    assert fit.limit == pytest.approx(size + 0.3)
    trend = DRIFT * 0.01 * np.array([1.01, 0.0, -1.01, np.nan, 1.01])
    loud = np.array([size, size, size, size, size + 0.31])
    loud_trend = trend.copy()
    loud_trend[4] *= np.exp(0.31)
    p = fit.filter(state_of(loud_trend, loud))
    assert [NAMES[k] for k in p.argmax(axis=1)] == [
        "bull calm thin",
        "sideways calm thin",
        "bear calm thin",
        "bear calm thin",  # unknown: as the session before
        "bull volatile thin",
    ]
    assert (p.max(axis=1) == 1.0).all()


def test_before_the_first_known_row_nothing_is_claimed():
    fit = RulesModel().fit(
        state_of(np.zeros(100), np.linspace(-5, -4, 100)), COLUMNS, previous=None, seed=0
    )
    p = fit.filter(state_of([np.nan, 0.0], [np.nan, -4.5]))
    assert p[0] == pytest.approx(np.full(6, 1 / 6))
    assert p[1].max() == 1.0


def test_too_little_history_says_what_is_needed():
    with pytest.raises(NotFittedError, match=r"59 sessions .* 60 are needed"):
        RulesModel().fit(state_of(np.zeros(59), np.zeros(59)), COLUMNS, previous=None, seed=0)
