from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from backtest.errors import DataError
from backtest.market.panel import Panel


def frame() -> pl.DataFrame:
    rows = [
        ("B", date(2024, 1, 3), 20.0, None, "Energy"),
        ("A", date(2024, 1, 4), 12.0, 30.0, None),
        ("A", date(2024, 1, 2), 10.0, 10.0, None),
        ("B", date(2024, 1, 4), 21.0, 7.0, "Energy"),
    ]
    made = pl.DataFrame(
        rows, schema=["symbol", "date", "close", "volume", "sector"], orient="row"
    ).with_columns(pl.col("sector").cast(pl.String))
    price = pl.col("close")
    return made.with_columns(open=price - 0.5, high=price + 1.0, low=price - 1.0)


def test_cells_stand_where_they_belong() -> None:
    panel = Panel.from_frame(frame(), periods_per_year=254)
    assert panel.symbols == ("A", "B")
    assert panel.dates.astype(str).tolist() == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert panel.tradable.tolist() == [[True, False, True], [False, True, True]]
    np.testing.assert_array_equal(panel.close, [[10.0, np.nan, 12.0], [np.nan, 20.0, 21.0]])
    np.testing.assert_array_equal(panel.volume, [[10.0, np.nan, 30.0], [np.nan, np.nan, 7.0]])
    assert panel.sectors == ("", "Energy")
    assert panel.periods_per_year == 254


def test_own_bars_leave_out_the_gaps() -> None:
    bars = Panel.from_frame(frame()).bars(0)
    assert (bars.symbol, bars.size) == ("A", 2)
    assert bars.at.tolist() == [0, 2]
    assert bars.open.tolist() == [9.5, 11.5]
    assert bars.high.tolist() == [11.0, 13.0]
    assert bars.low.tolist() == [9.0, 11.0]


def test_until_cuts_time_and_keeps_rows() -> None:
    panel = Panel.from_frame(frame()).until(1)
    assert panel.shape == (2, 1)
    assert panel.bars(1).size == 0
    assert panel.bars(0).close.tolist() == [10.0]


@pytest.mark.parametrize("cut", [2, 3, 4])
def test_a_later_sector_says_nothing_about_earlier_sessions(cut: int) -> None:
    days = [date(2024, 1, day) for day in (2, 3, 4, 5, 8)]
    price = dict.fromkeys(("open", "high", "low", "close", "volume"), [1.0] * 5)
    names = {
        "A": ["", "Energy", None, "Energy", "Utilities"],
        "B": ["Mining", None, "Gold", "", "X"],
    }
    parts = [
        pl.DataFrame({"symbol": [s] * 5, "date": days, **price, "sector": pl.Series(row)})
        for s, row in names.items()
    ]
    bars = pl.concat(parts).sort("date", descending=True)
    whole, part = Panel.from_frame(bars), Panel.from_frame(bars.filter(pl.col("date") < days[cut]))
    assert whole.sectors == part.sectors == ("Energy", "Mining")
    assert whole.until(cut).frame().equals(part.frame())


def test_volume_may_be_absent() -> None:
    assert np.isnan(Panel.from_frame(frame().drop("volume")).volume).all()


def test_two_bars_for_one_session() -> None:
    with pytest.raises(DataError, match="E_DATA: two bars for one session, A 2024-01-02"):
        Panel.from_frame(pl.concat([frame(), frame()[2]]))


def test_no_bars() -> None:
    with pytest.raises(DataError, match="no bars"):
        Panel.from_frame(frame().head(0))
