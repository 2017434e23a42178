"""Weekly bars of a daily panel, by hand and under cuts."""

import numpy as np
import pytest

from backtest.errors import DataError
from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays
from backtest.market.weeks import weekly

# 2024-01-04 is a Thursday: two sessions, a whole week with a hole, one day of the next.
DAYS = np.array(
    ["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-12", "2024-01-15"],
    dtype="datetime64[D]",
)


def a_panel() -> Panel:
    close = np.array(
        [[10.0, 11.0, 12.0, 13.0, 14.0, 15.0], [5.0, 5.0, np.nan, np.nan, np.nan, 6.0]]
    )
    tradable = ~np.isnan(close)
    return Panel(
        symbols=("A", "B"),
        dates=DAYS,
        open=close - 0.5,
        high=close + 1.0,
        low=close - 1.0,
        close=close,
        volume=np.where(tradable, [1.0, 2.0, 3.0, np.nan, 5.0, 6.0], np.nan),
        tradable=tradable,
        sectors=("x", "y"),
    )


def test_by_hand():
    weeks = weekly(a_panel())
    assert weeks.dates.astype(str).tolist() == ["2024-01-05", "2024-01-12"]
    assert weeks.open[0].tolist() == [9.5, 11.5]
    assert weeks.high[0].tolist() == [12.0, 15.0]
    assert weeks.low[0].tolist() == [9.0, 11.0]
    assert weeks.close[0].tolist() == [11.0, 14.0]
    assert weeks.volume[0].tolist() == [3.0, 8.0]
    assert weeks.tradable.tolist() == [[True, True], [True, False]]
    assert np.isnan(weeks.close[1, 1])
    assert weeks.periods_per_year == 52


def test_a_cut_changes_no_earlier_week():
    panel = Panel.from_frame(generate(WorldConfig(symbols=3), weekdays(60)).bars)
    whole = weekly(panel)
    for stop in range(12, 60):
        cut = weekly(panel.until(stop))
        weeks = cut.shape[1]
        assert cut.dates[-1] < panel.dates[stop - 1]
        for name in ("open", "high", "low", "close", "volume"):
            assert np.array_equal(getattr(cut, name), getattr(whole, name)[:, :weeks])


def test_a_week_that_may_go_on_is_none():
    with pytest.raises(DataError, match="E_TOO_SHORT"):
        weekly(a_panel().until(2))
