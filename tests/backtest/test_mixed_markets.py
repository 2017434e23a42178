"""Three exchanges in one panel: each keeps its own sessions, and none is filled from another."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from backtest.market.bars import prepare
from backtest.market.calendar import sessions
from backtest.market.panel import Panel

FIRST, LAST = date(2024, 3, 1), date(2024, 5, 31)
MARKETS = {"SPY": "XNYS", "SAP.DE": "XETR", "HSBA.L": "XLON"}


def bars_of(symbol: str, calendar: str, seed: int, left_out: int | None = None) -> pl.DataFrame:
    """Bars of every session of a calendar, but for one."""
    days = sessions(calendar, FIRST, LAST)
    if left_out is not None:
        days = days[:left_out] + days[left_out + 1 :]
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(days))))
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(days),
            "date": days,
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": [1000.0] * len(days),
        }
    )


def mixed(left_out: int | None = None) -> pl.DataFrame:
    frames = [
        bars_of(symbol, calendar, seed, left_out if symbol == "SAP.DE" else None)
        for seed, (symbol, calendar) in enumerate(MARKETS.items())
    ]
    return pl.concat(frames)


def test_each_market_keeps_its_own_sessions() -> None:
    prepared = prepare(mixed())
    assert prepared.missing.is_empty(), "a holiday of one's own exchange is no gap"
    assert prepared.quarantined.is_empty()
    panel = Panel.from_frame(prepared.bars)
    open_on = {
        symbol: {str(day) for day in panel.dates[panel.tradable[s]]}
        for s, symbol in enumerate(panel.symbols)
    }
    # Easter Monday and May Day; the early May and spring bank holidays of London; Memorial Day.
    closed = {
        "SPY": {"2024-05-27"},
        "SAP.DE": {"2024-04-01", "2024-05-01"},
        "HSBA.L": {"2024-04-01", "2024-05-06", "2024-05-27"},
    }
    every = {str(day) for day in panel.dates}
    assert {symbol: every - days for symbol, days in open_on.items()} == closed
    assert dict(prepared.bars.select("symbol", "currency").unique().iter_rows()) == {
        "SPY": "USD",
        "SAP.DE": "EUR",
        "HSBA.L": "GBP",
    }


@given(left_out=st.integers(1, 55))
def test_a_missing_bar_is_a_cell_without_a_price_whatever_the_others_do(left_out: int) -> None:
    gone = sessions("XETR", FIRST, LAST)[left_out]
    prepared = prepare(mixed(left_out))
    assert prepared.missing.rows() == [("SAP.DE", gone)]
    panel = Panel.from_frame(prepared.bars)
    for values in (panel.open, panel.high, panel.low, panel.close, panel.volume):
        assert (np.isfinite(values) == panel.tradable).all()
    row = panel.symbols.index("SAP.DE")
    assert str(gone) not in {str(day) for day in panel.dates[panel.tradable[row]]}
    own = prepared.bars.filter(symbol="SAP.DE")["close"].to_numpy()
    np.testing.assert_array_equal(panel.bars(row).close, own)
