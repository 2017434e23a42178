"""Cleaning of real panels: exact counts of known defects, read from $WEATHERVANE_MARKET_DATA."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from backtest.market.bars import Bars, panel_of

FOLDER = os.environ.get("WEATHERVANE_MARKET_DATA")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="WEATHERVANE_MARKET_DATA names no folder of real market data"
)


def path(name: str) -> Path:
    found = Path(str(FOLDER)) / f"{name}.parquet"
    if not found.exists():
        pytest.skip(f"{found.name} is not in $WEATHERVANE_MARKET_DATA")
    return found


def test_sp500_panel() -> None:
    panel, prepared = panel_of(path("sp500_daily_sectors_5yr"))
    assert prepared.accounting() == {
        "rows_in": 452895,
        "rows_out": 452865,
        "duplicate_conflicting": 2,
        "jump_unconfirmed": 5,
        "price_not_positive": 1,
        "spike_reverted": 3,
        "too_short": 19,
    }
    assert panel.shape == (367, 1259)
    assert panel.periods_per_year == 252
    out = prepared.quarantined
    assert out.filter(rule="too_short")["symbol"].n_unique() == 2
    assert out.filter(rule="price_not_positive")["symbol"].to_list() == ["CBS"]
    Bars.validate(prepared.bars)


def test_us_panel_is_adjusted_for_its_splits() -> None:
    panel, prepared = panel_of(path("lean_us_daily_1998_2021"))
    assert prepared.accounting() == {"rows_in": 46274, "rows_out": 46271, "jump_unconfirmed": 3}
    assert panel.shape == (12, 5849)
    apple = panel.bars(panel.symbols.index("AAPL"))
    days = panel.dates[apple.at].astype(object)
    for day in (date(2000, 6, 21), date(2005, 2, 28), date(2014, 6, 9), date(2020, 8, 31)):
        at = int((days == day).argmax())
        assert abs(apple.close[at] / apple.close[at - 1] - 1.0) < 0.15
    gaps = prepared.missing.group_by("symbol").len().sort("symbol").rows()
    assert gaps == [("EEM", 1), ("QQQ", 1588)]


def test_dax_panel_loses_its_fillers_and_bad_rows() -> None:
    panel, prepared = panel_of(path("dax_daily_2000_2017"))
    counts = prepared.accounting()
    assert counts["price_missing"] == 264
    assert counts["closed_exchange_filler"] == 613
    assert counts["close_outside_range"] == 10
    assert counts["jump_unconfirmed"] == 3
    assert panel.periods_per_year == 254
    assert prepared.bars["currency"].unique().to_list() == ["EUR"]
    henkel = prepared.bars.filter(symbol="HEN3.DE").with_columns(
        step=pl.col("close") / pl.col("close").shift(1)
    )
    assert henkel["step"].max() < 1.5


def test_folder_of_one_file_reads_alike(tmp_path: Path) -> None:
    source = path("lean_us_daily_1998_2021")
    (tmp_path / source.name).symlink_to(source)
    assert panel_of(tmp_path)[1].bars.equals(panel_of(source)[1].bars)
