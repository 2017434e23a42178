from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backtest.errors import DataError
from backtest.market.timeframe import (
    MINUTES,
    STAMP,
    FinerBars,
    bars_per_session,
    placed,
    resample,
)

FOLDER = os.environ.get("WEATHERVANE_MARKET_DATA")
DAY = date(2024, 11, 27)
real = pytest.mark.skipif(
    not FOLDER, reason="WEATHERVANE_MARKET_DATA names no folder of real market data"
)


def path(name: str) -> Path:
    found = Path(str(FOLDER)) / f"{name}.parquet"
    if not found.exists():
        pytest.skip(f"{found.name} is not in $WEATHERVANE_MARKET_DATA")
    return found


def five_minutes(seed: int = 0, symbols: int = 2, gaps: float = 0.2) -> pl.DataFrame:
    """Two sessions of New York, the second with an early close; some bars are absent."""
    rng = np.random.default_rng(seed)
    opens = [(datetime(2024, 11, 27, 14, 30, tzinfo=UTC), 78)]
    opens += [(datetime(2024, 11, 29, 14, 30, tzinfo=UTC), 42)]
    stamps = [start + timedelta(minutes=5 * k) for start, n in opens for k in range(1, n + 1)]
    parts = []
    for s in range(symbols):
        kept = [stamp for stamp in stamps if rng.random() >= gaps]
        price = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, (len(kept), 2)), axis=0))
        parts.append(
            pl.DataFrame(
                {
                    "symbol": [f"S{s}"] * len(kept),
                    "timeframe": ["5m"] * len(kept),
                    "ts": pl.Series(kept, dtype=STAMP),
                    "date": [stamp.date() for stamp in kept],
                    "open": price[:, 0],
                    "high": price.max(axis=1) + 1.0,
                    "low": price.min(axis=1) - 1.0,
                    "close": price[:, 1],
                    "volume": rng.integers(1, 9, len(kept)).astype(float),
                }
            )
        )
    return pl.concat(parts)


def test_buckets_start_at_the_open_and_the_last_is_short() -> None:
    hourly = resample(five_minutes(gaps=0.0, symbols=1), "1h")
    assert hourly["ts"].dt.strftime("%d %H:%M").to_list() == [
        *("27 15:30", "27 16:30", "27 17:30", "27 18:30", "27 19:30", "27 20:30", "27 21:00"),
        *("29 15:30", "29 16:30", "29 17:30", "29 18:00"),
    ]
    assert hourly["date"].n_unique() == 2
    fine = five_minutes(gaps=0.0, symbols=1)
    first = hourly.row(0, named=True)
    assert (first["open"], first["close"]) == (fine["open"][0], fine["close"][11])
    assert (first["high"], first["low"]) == (fine["high"][:12].max(), fine["low"][:12].min())
    assert first["volume"] == fine["volume"][:12].sum()
    assert hourly.row(6, named=True)["open"] == fine["open"][72]
    FinerBars.validate(hourly)


def test_a_lunch_break_begins_new_buckets_and_belongs_to_no_session() -> None:
    stamps = [datetime(2024, 1, 4, *at, tzinfo=UTC) for at in ((0, 0), (0, 5), (2, 30), (3, 0))]
    stamps += [datetime(2024, 1, 4, *at, tzinfo=UTC) for at in ((3, 30), (3, 35), (6, 0), (6, 5))]
    rows = pl.DataFrame({"symbol": ["X"] * 8, "ts": pl.Series(stamps, dtype=STAMP)})
    inside = placed(rows, {"X": "XTKS"})["date"].is_not_null().to_list()
    assert inside == [False, True, True, False, False, True, True, False]
    price = dict.fromkeys(("open", "high", "low", "close", "volume"), [1.0] * 8)
    bars = rows.with_columns(timeframe=pl.lit("5m"), **{k: pl.Series(v) for k, v in price.items()})
    made = resample(bars, "1h", calendar="XTKS")
    assert made["ts"].dt.strftime("%H:%M").to_list() == ["01:00", "02:30", "04:30", "06:00"]


@pytest.mark.parametrize(
    ("calendar", "timeframe", "day", "count"),
    [
        ("XNYS", "1h", date(2024, 11, 27), 7),
        ("XNYS", "1h", date(2024, 11, 29), 4),
        ("XNYS", "5m", date(2024, 11, 27), 78),
        ("XNYS", "5m", date(2024, 11, 28), 0),
        ("XNYS", "1d", date(2024, 11, 29), 1),
        ("24/7", "5m", date(2024, 11, 28), 288),
        ("XTKS", "1h", date(2024, 1, 4), 6),
    ],
)
def test_bars_of_a_session(calendar: str, timeframe: str, day: date, count: int) -> None:
    assert bars_per_session(calendar, timeframe, day) == count


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), to=st.sampled_from([*list(MINUTES)[2:], "1d"]))
def test_nothing_is_lost_and_order_says_nothing(seed: int, to: str) -> None:
    fine = five_minutes(seed)
    end = datetime(2024, 12, 1, tzinfo=UTC)
    made = resample(fine, to, until=end)
    assert made["volume"].sum() == fine["volume"].sum()
    for name, extreme in (("high", pl.Expr.max), ("low", pl.Expr.min)):
        by = [extreme(pl.col(name)).alias(name)]
        left, right = (
            f.group_by("symbol", "date").agg(by).sort("symbol", "date") for f in (made, fine)
        )
        assert left.equals(right)
    shuffled = fine.sample(fraction=1.0, shuffle=True, seed=seed)
    assert resample(shuffled, to, until=end).equals(made)
    names = {"S0": "S1", "S1": "S0"}
    swapped = resample(fine.with_columns(pl.col("symbol").replace(names)), to, until=end)
    assert swapped.with_columns(pl.col("symbol").replace(names)).sort("symbol", "ts").equals(made)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_two_steps_equal_one(seed: int) -> None:
    fine, end = five_minutes(seed), datetime(2024, 12, 1, tzinfo=UTC)
    hourly = resample(fine, "1h", until=end)
    assert resample(hourly, "1d", until=end).equals(resample(fine, "1d", until=end))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), minutes=st.integers(0, 60 * 52), to=st.sampled_from(["1h", "1d"])
)
def test_a_cut_takes_away_unfinished_bars_alone(seed: int, minutes: int, to: str) -> None:
    fine = five_minutes(seed)
    cut = datetime(2024, 11, 27, 14, 30, tzinfo=UTC) + timedelta(minutes=minutes)
    assume((fine["ts"] <= cut).any())
    whole = resample(fine, to, until=datetime(2024, 12, 1, tzinfo=UTC))
    part = resample(fine.filter(pl.col("ts") <= cut), to, until=cut)
    assert part.equals(whole.filter(pl.col("ts") <= cut))


def test_unknown_volume_stays_unknown_only_where_all_is() -> None:
    fine = five_minutes(gaps=0.0, symbols=1)
    row = pl.int_range(pl.len())
    some = fine.with_columns(volume=pl.when((row < 12) | (row == 13)).then(None).otherwise(1.0))
    assert resample(some, "1h")["volume"].to_list()[:3] == [None, 11.0, 12.0]


@pytest.mark.parametrize("to", ["2h", "5m", "1m"])
def test_what_cannot_be_made(to: str) -> None:
    given_bars = five_minutes().with_columns(timeframe=pl.lit("15m"))
    with pytest.raises(DataError, match="E_TIMEFRAME"):
        resample(given_bars, to)
    both = pl.concat([five_minutes(), given_bars])
    with pytest.raises(DataError, match="E_TIMEFRAME: bars of 2 timeframes"):
        resample(both, "1h")


@real
def test_days_of_real_hours_against_the_daily_file() -> None:
    """The hours are stamped at their start, in New York; the rows left out stand after a close."""
    local = pl.read_parquet(path("lean_us_hour_1998_2021"))
    ends = (pl.col("ts_exchange_local") + pl.duration(hours=1)).dt.replace_time_zone(
        "America/New_York"
    )
    hours = local.with_columns(
        ts=ends.dt.convert_time_zone("UTC"), timeframe=pl.lit("1h"), date=pl.lit(None, pl.Date)
    )
    named = dict.fromkeys(hours["symbol"].unique(), "XNYS")
    late = placed(hours, named).filter(pl.col("date").is_null())["ts_exchange_local"]
    assert (hours.height, late.len()) == (124531, 130)
    assert late.dt.hour().unique().sort().to_list() == [13, 14, 15]
    daily = pl.read_parquet(path("lean_us_daily_1998_2021"))
    both = resample(hours, "1d").join(daily, on=["symbol", "date"], suffix="_file")
    assert both.height == daily.filter(pl.col("symbol").is_in(["AAPL", "BAC", "SPY"])).height
    off = {
        name: both.filter((pl.col(name) / pl.col(f"{name}_file") - 1.0).abs() > 1e-9)
        for name in ("open", "high", "low", "close")
    }
    assert {name: rows.height for name, rows in off.items()} == {
        "open": 0,
        "high": 7,
        "low": 8,
        "close": 64,
    }
    early = set(late.dt.date())
    assert all(set(rows["date"]) <= early for rows in off.values())


@real
def test_real_crypto_in_two_steps() -> None:
    fine = pl.read_parquet(path("crypto_5m_freqtrade")).with_columns(
        ts=pl.col("ts_utc").cast(STAMP) + pl.duration(minutes=5),
        timeframe=pl.lit("5m"),
        date=pl.lit(None, pl.Date),
    )
    hourly = resample(fine, "1h", calendar="24/7")
    daily = resample(fine, "1d", calendar="24/7")
    twice = resample(hourly, "1d", calendar="24/7", until=fine["ts"].max())
    assert (fine.height, hourly.height, daily.height) == (40271, 3358, 140)
    assert twice.drop("volume").equals(daily.drop("volume"))
    np.testing.assert_allclose(twice["volume"], daily["volume"], rtol=1e-12)
