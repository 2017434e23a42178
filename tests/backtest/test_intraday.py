"""Bars finer than a session: read, placed, judged row by row and folded into one a session."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import DataError
from backtest.market.bars import panel_of, prepare, read_bars
from backtest.market.intraday import one_a_session, stamps
from backtest.market.timeframe import STAMP

FOLDER = os.environ.get("WEATHERVANE_MARKET_DATA")
real = pytest.mark.skipif(
    not FOLDER, reason="WEATHERVANE_MARKET_DATA names no folder of real market data"
)
DAY, EVE = date(2024, 11, 27), date(2024, 11, 29)
"""A whole session of New York, 14:30 to 21:00 in UTC, and one that ends at 18:00."""
LENGTHS = {DAY: 78, EVE: 42}


def moment(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def bars(stamps_of: dict[str, list[datetime]], **columns: object) -> pl.DataFrame:
    """Bars that rise by one from stamp to stamp: open k, high k + 2, low k - 1, close k + 1."""
    parts = []
    for symbol, moments in stamps_of.items():
        level = [10.0 + k for k in range(len(moments))]
        parts.append(
            pl.DataFrame(
                {
                    "symbol": [symbol] * len(moments),
                    "ts": pl.Series(moments, dtype=STAMP),
                    "open": level,
                    "high": [x + 2.0 for x in level],
                    "low": [x - 1.0 for x in level],
                    "close": [x + 1.0 for x in level],
                    "volume": [100.0 + x for x in level],
                }
            )
        )
    return pl.concat(parts).with_columns(**{k: pl.lit(v) for k, v in columns.items()})


def five_minutes(*symbols: str, days: tuple[date, ...] = (DAY, EVE)) -> pl.DataFrame:
    closes = [
        moment(day, 14, 30) + timedelta(minutes=5 * k)
        for day in days
        for k in range(1, LENGTHS[day] + 1)
    ]
    return bars(dict.fromkeys(symbols or ("AAA",), closes))


def kept(frame: pl.DataFrame, path: Path, **options: object) -> pl.DataFrame:
    frame.write_parquet(path / "bars.parquet")
    return read_bars(path / "bars.parquet", **options)  # type: ignore[arg-type]


def test_a_session_is_folded_by_hand(tmp_path: Path) -> None:
    prepared = prepare(kept(five_minutes(), tmp_path))
    assert prepared.bars.select("date", "open", "high", "low", "close", "volume").rows() == [
        (DAY, 10.0, 89.0, 9.0, 88.0, sum(110.0 + k for k in range(78))),
        (EVE, 88.0, 131.0, 87.0, 130.0, sum(110.0 + k for k in range(78, 120))),
    ]
    assert prepared.accounting() == {"rows_in": 2, "rows_out": 2}
    assert prepared.notes[0] == (
        "120 bars finer than a session were made into 2, one a session of XNYS"
    )


def test_the_adjustment_is_that_of_the_last_bar(tmp_path: Path) -> None:
    frame = five_minutes(days=(EVE,)).with_columns(adj_close=pl.col("close") / 2.0)
    bar = prepare(kept(frame, tmp_path)).bars.row(0, named=True)
    assert (bar["open"], bar["close"], bar["close_raw"]) == (5.0, 26.0, 52.0)


def test_a_session_that_is_not_over_gives_no_bar(tmp_path: Path) -> None:
    whole = five_minutes("AAA", "BBB")
    running = whole.filter(pl.col("ts") < moment(EVE, 18))
    prepared = prepare(kept(running, tmp_path))
    assert prepared.bars["date"].to_list() == [DAY, DAY]
    assert "82 finer bars are of a session that was not over" in prepared.notes[1]
    one_done = whole.filter((pl.col("ts") < moment(EVE, 18)) | (pl.col("symbol") == "BBB"))
    assert prepare(kept(one_done, tmp_path)).bars.height == 4, "the other's stamp says it is over"


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 120), hourly=st.booleans())
def test_a_cut_changes_no_earlier_bar(cut: int, hourly: bool) -> None:
    if hourly:
        closes = [moment(d, h, 30) for d in (DAY, EVE) for h in range(15, 22)]
        frame = bars({"AAA": closes}).filter(
            (pl.col("ts").dt.date() == DAY) | (pl.col("ts").dt.hour() < 19)
        )
    else:
        frame = five_minutes()
    numbered = frame.with_columns(date=pl.col("ts").dt.date()).with_row_index("row")
    whole, _ = one_a_session(numbered)
    first = numbered.head(max(2, min(cut, numbered.height)))
    done = first.height >= (7 if hourly else 78)
    if not done:
        with pytest.raises(DataError, match="no session is over"):
            one_a_session(first)
        return
    part, _ = one_a_session(first)
    assert part.equals(whole.head(part.height))
    assert part.height == 1 + (first.height == numbered.height)


def test_a_last_bar_stamped_after_the_close_belongs_to_its_session(tmp_path: Path) -> None:
    hours = [moment(DAY, h, 30) for h in range(15, 22)] + [
        moment(EVE, h, 30) for h in range(15, 19)
    ]
    prepared = prepare(kept(bars({"AAA": hours}), tmp_path))
    assert prepared.bars.select("date", "open", "close").rows() == [
        (DAY, 10.0, 17.0),
        (EVE, 17.0, 21.0),
    ]
    assert len(prepared.notes) == 1, "no bar is outside"


MIXED = [date(2024, 11, n) for n in (20, 21, 22, 25, 26, 27, 29)]


def grid(day: date, minutes: int) -> list[datetime]:
    """Stamps of the bars of one length on a day of New York, the last one not cut short."""
    whole, opens = (210 if day == EVE else 390), moment(day, 14, 30)
    return [opens + timedelta(minutes=minutes * k) for k in range(1, -(-whole // minutes) + 1)]


def numbered(moments: list[datetime], *others: datetime) -> pl.DataFrame:
    frame = bars({"AAA": moments} | ({"BBB": list(others)} if others else {}))
    return frame.with_columns(date=pl.col("ts").dt.date()).with_row_index("row")


def test_later_minutes_leave_the_hours_before_them_as_they_were() -> None:
    hours = [stamp for day in MIXED[:3] for stamp in grid(day, 60)]
    minutes = [stamp for day in MIXED[3:] for stamp in grid(day, 5)]
    before, _ = one_a_session(numbered(hours))
    assert before["volume"].to_list()[0] == sum(110.0 + k for k in range(7)), "seven hours"
    after, _ = one_a_session(numbered(hours + minutes))
    assert after.head(3).equals(before)
    assert after["volume"][-1] == sum(110.0 + k for k in range(21 + 234, 21 + 234 + 42))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.sampled_from([5, 30, 60, 90, 180, 240]), min_size=7, max_size=7),
    seen=st.lists(st.integers(0, 9), min_size=40, max_size=40).filter(any),
    extended=st.lists(st.integers(0, 1_439), max_size=30),
    cut=st.integers(0, 9 * 288),
)
def test_no_cut_of_bars_of_mixed_lengths_changes_an_earlier_session(
    lengths: list[int], seen: list[int], extended: list[int], cut: int
) -> None:
    """Holes, bars outside trading hours, and another symbol whose stamps say what is over."""
    made = [stamp for day, step in zip(MIXED, lengths, strict=True) for stamp in grid(day, step)]
    kept = {stamp for n, stamp in enumerate(made) if seen[n % len(seen)]}
    kept |= {moment(MIXED[m % 7], 0) + timedelta(minutes=m) for m in extended}
    told = [moment(MIXED[0], 0) + timedelta(minutes=5 * k) for k in range(0, 10 * 288, 7)]
    frame = numbered(sorted(kept), *told)
    whole, _ = one_a_session(frame)
    part = frame.filter(pl.col("ts") <= moment(MIXED[0], 21) + timedelta(minutes=5 * cut))
    done, _ = one_a_session(part)
    ends = done.group_by("symbol").agg(pl.col("date").max().alias("last"))
    known = whole.join(ends, on="symbol").filter(pl.col("date") <= pl.col("last"))
    assert done.sort("symbol", "date").drop("row").equals(known.drop("last", "row"))


def test_bars_outside_trading_hours_are_counted_and_in_no_bar(tmp_path: Path) -> None:
    early = bars({"AAA": [moment(DAY, 9), moment(DAY, 9, 5), moment(DAY, 14, 30)]})
    prepared = prepare(kept(pl.concat([early, five_minutes()]), tmp_path))
    assert prepared.bars.equals(prepare(kept(five_minutes(), tmp_path)).bars)
    assert "3 of 123 finer bars lie outside trading hours" in prepared.notes[1]


def test_a_broken_bar_is_held_back_alone(tmp_path: Path) -> None:
    frame = five_minutes(days=(EVE,)).with_row_index()
    broken = frame.with_columns(
        high=pl.when(pl.col("index") == 3).then(1e6).otherwise("high"),
        low=pl.when(pl.col("index") == 3).then(2e6).otherwise("low"),
        close=pl.when(pl.col("index") == 9).then(None).otherwise("close"),
    ).drop("index")
    prepared = prepare(kept(broken, tmp_path))
    assert prepared.bars.select("date", "open", "high", "close").rows() == [(EVE, 10.0, 53.0, 52.0)]
    assert prepared.quarantined["rule"].to_list() == ["high_below_low", "price_missing"]
    assert prepared.quarantined["date"].to_list() == [EVE, EVE]
    assert prepared.accounting()["rows_in"] == 3
    assert prepared.missing.is_empty()


def test_a_session_with_no_bar_left_is_not_called_missing(tmp_path: Path) -> None:
    frame = five_minutes("AAA", "BBB")
    broken = frame.with_columns(
        pl.when((pl.col("symbol") == "AAA") & (pl.col("ts").dt.date() == DAY))
        .then(-1.0)
        .otherwise("close")
        .alias("close")
    )
    prepared = prepare(kept(broken, tmp_path))
    assert prepared.bars.select("symbol", "date").rows() == [
        ("AAA", EVE),
        ("BBB", DAY),
        ("BBB", EVE),
    ]
    assert prepared.quarantined.height == 78
    assert prepared.missing.is_empty()


def test_duplicates_are_of_one_moment(tmp_path: Path) -> None:
    frame = five_minutes(days=(EVE,))
    agreeing = pl.concat([frame, frame[4:6]])
    found = prepare(kept(agreeing, tmp_path))
    assert found.quarantined["rule"].to_list() == ["duplicate_agreeing"] * 2
    assert found.bars.equals(prepare(kept(frame, tmp_path)).bars)
    other = frame[4:5].with_columns(pl.col("close") + 0.5)
    found = prepare(kept(pl.concat([frame, other]), tmp_path))
    assert found.quarantined["rule"].to_list() == ["duplicate_conflicting"] * 2
    assert "close 15.0 and 15.5" in found.quarantined["detail"][0]


def test_daily_and_finer_symbols_stand_in_one_folder(tmp_path: Path) -> None:
    five_minutes("AAA").write_parquet(tmp_path / "fine.parquet")
    daily = bars({"BBB": [moment(DAY, 21), moment(EVE, 18)]})
    daily.with_columns(date=pl.col("ts").dt.date()).drop("ts").write_parquet(tmp_path / "d.parquet")
    made = prepare(read_bars(tmp_path)).bars
    assert made.select("symbol", "date").rows() == [
        (symbol, day) for symbol in ("AAA", "BBB") for day in (DAY, EVE)
    ]
    daily.with_columns(symbol=pl.lit("AAA"), date=pl.col("ts").dt.date()).drop("ts").write_parquet(
        tmp_path / "d.parquet"
    )
    with pytest.raises(DataError, match=r"^E_DATA_FINER: daily and finer bars of one symbol, AAA"):
        prepare(read_bars(tmp_path))


def test_stamps_that_are_starts_are_refused(tmp_path: Path) -> None:
    for minutes, frame in (
        (5, five_minutes()),
        (60, bars({"AAA": [moment(d, h, 30) for d in (DAY, EVE) for h in range(15, 19)]})),
    ):
        starts = frame.with_columns(pl.col("ts") - pl.duration(minutes=minutes))
        with pytest.raises(DataError, match=r"^E_DATA_FINER: 2 of 2 sessions have a stamp at the"):
            prepare(kept(starts, tmp_path))


def test_bars_of_a_market_that_never_opens_are_refused(tmp_path: Path) -> None:
    nights = bars({"AAA": [moment(DAY, 2), moment(DAY, 3), moment(DAY, 4)]})
    with pytest.raises(DataError, match="no bar lies within the trading hours of XNYS"):
        prepare(kept(nights, tmp_path))
    with pytest.raises(DataError, match="no session is over: the last stamp is of AAA, 2024-11-27"):
        prepare(kept(nights, tmp_path), calendar="data")


def test_the_session_is_read_as_the_date(tmp_path: Path) -> None:
    midnight = bars({"BTC": [moment(DAY, 22), moment(DAY, 23), moment(date(2024, 11, 28), 0)]})
    assert kept(midnight, tmp_path, calendar="24/7")["date"].to_list() == [DAY] * 3
    next_day = date(2024, 11, 28)
    sydney = [moment(DAY, 23, 30), moment(next_day, 1), moment(next_day, 5)]
    read = kept(bars({"BHP": sydney}, exchange="XASX"), tmp_path)
    assert read["date"].to_list() == [next_day] * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2024-11-27T14:35:00Z", moment(DAY, 14, 35)),
        ("2024-11-27 14:35", moment(DAY, 14, 35)),
        ("20241127 09:35:00-05:00", moment(DAY, 14, 35)),
        ("2024-11-27T20:05:00.250000+0530", moment(DAY, 14, 35) + timedelta(microseconds=250_000)),
        (
            "2024-11-27T10:05:00.123456789-0430",
            moment(DAY, 14, 35) + timedelta(microseconds=123456),
        ),
        ("2024-11-27", None),
        ("27.11.2024 14:35", None),
        ("2024-11-27 14:35 EST", None),
    ],
)
def test_stamps_of_text(text: str, said: datetime | None) -> None:
    frame = pl.DataFrame({"ts": [text]})
    assert frame.select(stamps("ts", pl.String()))["ts"].to_list() == [said]


def test_stamps_of_other_types() -> None:
    noon = datetime(2024, 11, 27, 12)  # noqa: DTZ001 - a stamp without a zone is the case
    frame = pl.DataFrame({"ts": [noon]})
    assert frame.select(stamps("ts", frame.schema["ts"]))["ts"].to_list() == [moment(DAY, 12)]
    zoned = frame.select(pl.col("ts").dt.replace_time_zone("America/New_York"))
    assert zoned.select(stamps("ts", zoned.schema["ts"]))["ts"].to_list() == [moment(DAY, 17)]
    whole = pl.DataFrame({"ts": [17]})
    assert whole.select(stamps("ts", whole.schema["ts"]))["ts"].to_list() == [None]


def test_text_and_typed_stamps_make_one_panel(tmp_path: Path) -> None:
    frame = five_minutes("AAA", "BBB")
    frame.write_parquet(tmp_path / "bars.parquet")
    frame.write_csv(tmp_path / "bars.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    typed, text = (
        prepare(read_bars(tmp_path / f"bars.{kind}")).bars for kind in ("parquet", "csv")
    )
    assert typed.equals(text)


@real
def test_days_of_real_hours_against_the_daily_file(tmp_path: Path) -> None:
    hours = pl.read_parquet(Path(str(FOLDER)) / "lean_us_hour_1998_2021.parquet")
    started = pl.col("ts_exchange_local").dt.replace_time_zone("America/New_York")
    closes = hours.filter(pl.col("symbol") != "VXX").select(
        pl.exclude("ts_exchange_local"), ts=started + pl.duration(hours=1)
    )
    closes.write_parquet(tmp_path / "hours.parquet")
    panel, prepared = panel_of(tmp_path / "hours.parquet")
    assert panel.periods_per_year == 252
    held = prepared.quarantined.select("symbol", "date", "rule").rows()
    assert held == [
        ("AAPL", day, "jump_unconfirmed")
        for day in (date(2009, 9, 21), date(2010, 8, 31), date(2011, 1, 3))
    ], "hours with a low at a tenth of the price"
    daily = prepare(read_bars(Path(str(FOLDER)) / "lean_us_daily_1998_2021.parquet")).bars
    both = prepared.bars.join(daily, on=["symbol", "date"], suffix="_daily")
    assert both.height == prepared.bars.height == 17_356
    assert (both["open"] / both["open_daily"] - 1.0).abs().max() < 1e-12
    same = (both["close_raw"] / both["close_raw_daily"] - 1.0).abs() < 1e-4
    assert same.mean() > 0.996, "the source stamps the last trades of short days after the close"


@real
def test_real_five_minutes_of_a_market_that_never_closes(tmp_path: Path) -> None:
    raw = pl.read_parquet(Path(str(FOLDER)) / "crypto_5m_freqtrade.parquet")
    closes = raw.with_columns(ts=pl.col("ts_utc") + pl.duration(minutes=5)).drop("ts_utc")
    closes.write_parquet(tmp_path / "crypto.parquet")
    made = prepare(read_bars(tmp_path / "crypto.parquet", calendar="24/7"), calendar="24/7").bars
    days = closes.with_columns(date=(pl.col("ts") - pl.duration(microseconds=1)).dt.date())
    by_hand = (
        days.sort("symbol", "ts")
        .group_by("symbol", "date", maintain_order=True)
        .agg(pl.col("open").first(), pl.col("high").max(), pl.col("close").last())
        .filter(pl.col("date") < date(2018, 1, 30))
    )
    assert made.select("symbol", "date", "open", "high", "close").equals(by_hand)
