"""Every registered state feature: causal, finite, in its unit, and complete when it says so."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml.market_state import COLUMNS, market_state
from ml.state_feature import MEMBERS, STATE_FEATURES
from tests.ml.test_market_state import BARS, DAYS

FULL = market_state(BARS.lazy())
BOUNDS = {"correlation": (-1.0, 1.0), "share": (0.0, 1.0)}


@pytest.mark.parametrize("name", STATE_FEATURES.names())
class TestStateFeature:
    def test_history_cut_at_t_equals_the_full_history_up_to_t(self, name: str) -> None:
        for cut in (40, 61, 200, 299):
            bars = BARS.filter(pl.col("date") <= DAYS[cut - 1]).lazy()
            assert market_state(bars, [name]).equals(FULL.select("date", name)[:cut])

    def test_alone_it_is_what_it_is_among_all(self, name: str) -> None:
        assert market_state(BARS.lazy(), [name]).equals(FULL.select("date", name))

    def test_values_are_finite_and_in_their_unit(self, name: str) -> None:
        values = FULL[name].drop_nulls().to_numpy()
        assert np.isfinite(values).all()
        low, high = BOUNDS.get(STATE_FEATURES.get(name).unit, (-np.inf, np.inf))
        assert ((values >= low - 1e-12) & (values <= high + 1e-12)).all()

    def test_it_is_complete_after_its_lookback(self, name: str) -> None:
        part = STATE_FEATURES.get(name)
        assert FULL[name][part.lookback :].null_count() == 0
        assert len(part.meaning) > 10

    def test_still_prices_and_few_symbols_are_null_or_finite(self, name: str) -> None:
        still = BARS.with_columns(close=pl.lit(10.0))
        few = BARS.filter(pl.col("symbol").is_in(["S00", "S03", "S04"]))
        assert MEMBERS > 3
        for bars in (still, few):
            assert market_state(bars.lazy(), [name])[name].drop_nulls().is_finite().all()


def test_all_of_them_are_columns() -> None:
    assert set(COLUMNS) == set(STATE_FEATURES.names())
    assert FULL.columns == ["date", *COLUMNS]


def steps(returns: np.ndarray) -> pl.LazyFrame:
    """Closes of symbols with the given log returns ``[symbol, time]``."""
    days = [date(2021, 1, 1) + timedelta(days=i) for i in range(returns.shape[1] + 1)]
    closes = 10.0 * np.exp(np.cumsum(np.pad(returns, ((0, 0), (1, 0))), axis=1))
    return pl.concat(
        pl.DataFrame({"symbol": [f"S{k}"] * len(days), "date": days, "close": close})
        for k, close in enumerate(closes)
    ).lazy()


def test_correlation_is_one_when_all_move_alike_and_least_when_they_cancel() -> None:
    alike = np.tile(np.tile([0.01, -0.02], 20), (6, 1))
    found = market_state(steps(alike), ["market_correlation_20"])["market_correlation_20"]
    assert found[-1] == pytest.approx(1.0)
    against = alike * np.array([1, -1, 1, -1, 1, -1])[:, None]
    found = market_state(steps(against), ["market_correlation_20"])["market_correlation_20"]
    assert found[-1] == pytest.approx(-1.0 / 5.0)  # sum of returns 0: the least for six symbols


def test_common_volatility_cancels_in_the_correlation() -> None:
    random = np.random.default_rng(3)
    returns = 0.01 * (random.standard_normal(60) + 0.8 * random.standard_normal((8, 60)))
    one, two = (
        market_state(steps(returns * level), ["market_correlation_20"])["market_correlation_20"]
        for level in (1.0, 3.0)
    )
    np.testing.assert_allclose(one[21:], two[21:], rtol=1e-9)


def test_breadth_is_the_share_above_their_own_average() -> None:
    up, down = np.full((4, 60), 0.01), np.full((2, 60), -0.01)
    found = market_state(steps(np.concatenate([up, down])), ["market_breadth_50"])
    assert found["market_breadth_50"][-1] == pytest.approx(4.0 / 6.0)
    assert found["market_breadth_50"][:49].null_count() == 49


def test_dispersion_is_the_log_of_the_mean_distance() -> None:
    returns = np.array([[0.0], [0.01], [0.02], [0.03], [0.04]])
    found = market_state(steps(returns), ["market_dispersion_1"])["market_dispersion_1"]
    assert found[1] == pytest.approx(np.log(0.012))
