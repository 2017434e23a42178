"""Every known defect of real panels is found, and what else is accused was looked at.

The defects of the DAX panel are those that the README beside the data names; the judgement of the
others stands in ``docs/results/dax_quality.md``.
"""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import polars as pl

from backtest.market.bars import Prepared, prepare, read_bars
from tests.backtest.test_real_bars import path
from tests.backtest.test_real_bars import pytestmark as pytestmark

SPLITS = {
    ("AAPL", date(2000, 6, 21)): "likely 2 for 1",
    ("AAPL", date(2005, 2, 28)): "likely 2 for 1",
    ("AAPL", date(2014, 6, 9)): "likely 7 for 1",
    ("AAPL", date(2020, 8, 31)): "likely 4 for 1",
    ("BAC", date(2004, 8, 30)): "likely 2 for 1",
}


@cache
def judged(name: str, *, without: str | None = None) -> Prepared:
    """Prepare a panel, once."""
    raw = read_bars(path(name))
    return prepare(raw.drop(without) if without else raw)


def days(prepared: Prepared, *rules: str) -> list[tuple[str, str]]:
    """Symbols and dates of some rules."""
    found = prepared.findings.filter(pl.col("rule").is_in(rules)).sort("symbol", "date")
    return [(symbol, str(day)) for symbol, day in found.select("symbol", "date").iter_rows()]


def test_the_known_defects_of_the_dax_panel_are_found() -> None:
    dax = judged("dax_daily_2000_2017")
    counts = dict(dax.findings.group_by("rule").len().iter_rows())
    assert counts["price_missing"] == 264
    assert counts["close_outside_range"] == 254
    closed = dax.findings.filter(pl.col("rule").is_in(["closed_exchange_filler", "price_missing"]))
    holidays = closed.join(dax.bars.select("date").unique(), on="date", how="anti")
    old = holidays.filter(pl.col("symbol").is_in(["BAS.DE", "SIE.DE", "FRE.DE", "HEN3.DE"]))
    assert set(old.group_by("symbol").len()["len"]) == {41}
    gaps = dax.findings.filter(pl.col("rule") == "session_missing")
    assert set(gaps["date"].dt.to_string()) == {"2011-10-03", "2012-10-03", "2013-10-03"}
    assert dict(gaps.group_by("symbol").len().iter_rows()) == {
        symbol: 1 if symbol == "VNA.DE" else 3
        for symbol in dax.bars["symbol"].unique()
        if symbol != "1COV.DE"
    }


def test_the_bad_ticks_of_the_dax_panel_are_quarantined_and_nothing_else_is() -> None:
    dax = judged("dax_daily_2000_2017")
    assert days(dax, "spike_reverted") == [("FRE.DE", "2001-03-14"), ("SIE.DE", "2001-03-14")]
    assert days(dax, "jump_unconfirmed") == [
        ("FME.DE", "2001-03-14"),
        ("HEN3.DE", "2006-06-15"),
        ("HEN3.DE", "2006-06-16"),
    ]
    splits = ("DB1.DE", "2007-06-11"), ("FRE.DE", "2001-06-11"), ("SIE.DE", "2001-04-30")
    assert days(dax, "split_unadjusted") == list(splits)
    quarantined = dax.findings.filter(pl.col("severity") == "quarantine")
    assert dict(quarantined.group_by("rule").len().iter_rows()) == {
        "price_missing": 264,
        "closed_exchange_filler": 613,
        "close_outside_range": 10,
        "jump_unconfirmed": 3,
        "spike_reverted": 2,
    }


def test_fillers_at_a_third_of_the_price_are_all_out() -> None:
    dax = judged("dax_daily_2000_2017")
    henkel = dax.quarantined.filter(
        (pl.col("symbol") == "HEN3.DE") & (pl.col("volume") == 0.0) & (pl.col("close") < 10.0)
    )
    assert henkel.height == 18
    kept = dax.bars.filter(pl.col("symbol") == "HEN3.DE").sort("date")["close_raw"].to_numpy()
    assert np.abs(np.diff(np.log(kept))).max() < 0.15


def test_real_crashes_of_the_dax_stay() -> None:
    dax = judged("dax_daily_2000_2017").bars
    for symbol, day in (("VOW3.DE", date(2008, 10, 28)), ("VOW3.DE", date(2015, 9, 22))):
        assert dax.filter(symbol=symbol, date=day).height == 1
    assert dax.filter(pl.col("date").is_in([date(2001, 9, 11), date(2008, 10, 10)])).height >= 38


def test_an_adjusted_panel_has_no_unadjusted_split() -> None:
    lean = judged("lean_us_daily_1998_2021")
    assert days(lean, "split_unadjusted", "spike_reverted", "adjustment_unmatched") == []
    gaps = lean.findings.filter(pl.col("rule") == "session_missing").group_by("symbol").len()
    assert dict(gaps.iter_rows()) == {"QQQ": 1588, "EEM": 1}


def test_without_adjustment_each_split_is_found_and_nothing_that_is_none() -> None:
    raw = judged("lean_us_daily_1998_2021", without="adj_close")
    found = raw.findings.filter(pl.col("rule") == "split_unadjusted")
    said = {(s, d): text for s, d, text in found.select("symbol", "date", "detail").iter_rows()}
    assert all(said[key].startswith(text) for key, text in SPLITS.items())
    whole = judged("lean_us_daily_1998_2021").bars.sort("symbol", "date")
    factor = pl.col("close") / pl.col("close_raw")
    steps = whole.with_columns(step=(factor / factor.shift(1).over("symbol")).log().abs())
    true = steps.filter(pl.col("step") > 0.3).select("symbol", "date")
    known = set(true.iter_rows())
    assert set(said) <= known
    # A reverse split amid a 6 % move overnight: held back as a jump, not named a split.
    assert known - set(said) == {("USO", date(2020, 4, 29))}
    assert ("USO", "2020-04-29") in days(raw, "jump_unconfirmed")


def test_an_index_of_volatility_is_not_accused_of_its_nature() -> None:
    vix = judged("vix_daily_1990_2026")
    counts = dict(vix.findings.group_by("rule").len().iter_rows())
    assert counts == {"open_outside_range": 47, "closed_exchange_filler": 1, "session_missing": 4}


def test_a_panel_of_many_names() -> None:
    many = judged("sp500_daily_sectors_5yr")
    assert days(many, "spike_reverted") == [
        ("COL", "2019-03-21"),
        ("COL", "2019-04-05"),
        ("COL", "2019-05-29"),
    ]
    assert days(many, "split_unadjusted") == [("CA", "2018-09-24")]
