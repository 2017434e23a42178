"""Prices in one currency: rates of the same close, never a later one."""

from __future__ import annotations

import os
import re
from datetime import date, timedelta
from pathlib import Path

import exchange_calendars
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import DataError
from backtest.market.bars import panel_of, prepare, read_bars
from backtest.market.calendar import CURRENCIES
from backtest.market.currency import checked_rates, convert, currency_notes, read_rates

FOLDER = os.environ.get("WEATHERVANE_MARKET_DATA")
MONDAY = date(2024, 3, 4)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def rates_of(pair: str, told: dict[date, float]) -> pl.DataFrame:
    return pl.DataFrame({"symbol": pair, "date": list(told), "close": list(told.values())})


def rates(*tables: pl.DataFrame) -> pl.DataFrame:
    return checked_rates(pl.concat(tables))


def bars(symbol: str, currency: str, days: list[date], price: float = 100.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "symbol": symbol,
            "date": days,
            "open": price,
            "high": price * 2,
            "low": price / 2,
            "close": price,
            "volume": 7.0,
            "close_raw": price * 4,
            "currency": currency,
        }
    )


def test_every_price_takes_the_rate_of_its_date_and_the_volume_none() -> None:
    told = rates(rates_of("EURUSD", {day(0): 1.25, day(1): 1.5}))
    frame = pl.concat([bars("A", "EUR", [day(0), day(1)]), bars("B", "USD", [day(1)], 3.3)])
    done = convert(frame, told, base="USD")
    names = ("open", "high", "low", "close", "close_raw", "volume")
    assert done.bars.filter(symbol="A").select(names).rows() == [
        (125.0, 250.0, 62.5, 125.0, 500.0, 7.0),
        (150.0, 300.0, 75.0, 150.0, 600.0, 7.0),
    ]
    assert done.bars["currency"].to_list() == ["USD"] * 3
    assert (
        done.bars.filter(symbol="B")
        .drop("currency")
        .equals(frame.filter(symbol="B").drop("currency"))
    )
    assert done.unrated.is_empty()
    assert done.notes == ("prices in EUR were converted to USD by the rate of the same date",)


def test_pence_are_a_hundredth_and_a_pair_may_be_turned_or_crossed() -> None:
    pounds = bars("L", "GBp", [day(0)])
    straight = rates(rates_of("GBPUSD", {day(0): 1.25}))
    assert convert(pounds, straight, base="USD").bars["close"].to_list() == [1.25]
    turned = rates(rates_of("USD/GBP", {day(0): 0.8}))
    assert convert(pounds, turned, base="USD").bars["close"].to_list() == [1.25]
    crossed = rates(rates_of("EURGBP=X", {day(0): 0.5}), rates_of("EURUSD=X", {day(0): 1.5}))
    assert convert(pounds, crossed, base="USD").bars["close"].to_list() == [3.0]
    assert convert(pounds, None, base="GBP").bars["close"].to_list() == [1.0]
    assert convert(bars("J", "ZAc", [day(0)]), None, base="ZAR").bars["close"].to_list() == [1.0]


def test_a_pair_that_begins_later_leaves_the_crossed_rates_before_it() -> None:
    crossed = [
        rates_of("EURGBP", {day(n): 0.8 for n in range(3)}),
        rates_of("EURUSD", {day(n): 1.2 for n in range(3)}),
    ]
    frame = bars("A", "GBP", [day(0), day(1), day(2)])
    before = convert(frame, rates(*crossed), base="USD").bars["close"]
    assert before.to_list() == pytest.approx([150.0] * 3)
    after = convert(frame, rates(*crossed, rates_of("GBPUSD", {day(2): 1.6})), base="USD").bars
    assert after["close"].to_list() == [*before.to_list()[:2], 160.0]


def test_an_older_rate_stands_in_for_three_days_and_no_longer() -> None:
    told = rates(rates_of("EURUSD", {day(0): 2.0, day(6): 3.0}))
    done = convert(bars("A", "EUR", [day(n) for n in range(-1, 7)]), told, base="USD")
    assert done.bars.select("date", "close").rows() == [
        *((day(n), 200.0) for n in range(4)),
        (day(6), 300.0),
    ]
    assert done.unrated["date"].to_list() == [day(-1), day(4), day(5)]
    assert done.unrated["close"].to_list() == [100.0] * 3, "as they came"
    assert set(done.unrated["rule"]) == {"rate_missing"}
    assert done.notes[1].startswith("3 bars had no rate of their date")
    assert done.notes[2] == "3 bars without a rate to USD were set aside"


@settings(max_examples=50, deadline=None)
@given(
    cut=st.integers(1, 19),
    levels=st.lists(st.floats(0.5, 2.0), min_size=20, max_size=20),
    seen=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_a_later_rate_changes_no_earlier_bar(
    cut: int, levels: list[float], seen: list[bool]
) -> None:
    told = {day(0): 1.0} | {day(n): levels[n] for n in range(1, 20) if seen[n]}
    frame = bars("A", "EUR", [day(n) for n in range(20)])
    whole = convert(frame, rates(rates_of("EURUSD", told)), base="USD").bars
    known = {at: rate for at, rate in told.items() if at < day(cut)}
    part = convert(frame, rates(rates_of("EURUSD", known)), base="USD").bars
    early = pl.col("date") < day(cut)
    assert part.filter(early).equals(whole.filter(early))


@settings(max_examples=30, deadline=None)
@given(factor=st.sampled_from([0.5, 2.0, 8.0]))
def test_rates_times_a_factor_are_prices_times_it(factor: float) -> None:
    told = {day(n): 1.0 + n / 10 for n in range(5)}
    frame = bars("A", "EUR", list(told))
    one = convert(frame, rates(rates_of("EURUSD", told)), base="USD").bars
    scaled = {at: rate * factor for at, rate in told.items()}
    other = convert(frame, rates(rates_of("EURUSD", scaled)), base="USD").bars
    assert (one["close"] * factor).to_list() == other["close"].to_list()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (rates_of("EURUSD", {day(0): 0.0}), "a rate that is no positive number: EURUSD 2024-03-04"),
        (rates_of("EURUSD", {day(0): float("nan")}), "a rate that is no positive number"),
        (rates_of("EUR", {day(0): 1.0}), "a symbol that is no pair of currencies: EUR"),
        (rates_of("USDUSD", {day(0): 1.0}), "a pair of one currency"),
        (rates_of("EURUSD", {day(0): 1.0}).clear(), "no rows"),
        (rates_of("EURUSD", {day(0): 1.0}).rename({"close": "clsoe"}), "missing column 'close'"),
        (
            rates_of("EURUSD", {day(0): 1.0}).with_columns(date=pl.lit("4.3.2024")),
            "a date that cannot be read",
        ),
        (
            pl.concat([rates_of("EURUSD", {day(0): 1.0}), rates_of("EURUSD", {day(0): 1.1})]),
            "two rates of EURUSD on 2024-03-04",
        ),
    ],
)
def test_rates_that_cannot_be_meant_are_one_line(table: pl.DataFrame, said: str) -> None:
    with pytest.raises(DataError, match=rf"^E_RATES: {said}") as error:
        checked_rates(table)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"symbol;date;close\nEURUSD;2024-03-04;1,1\n", "E_RATES: the columns are separated by"),
        (b"\x00\x01\x02\n", r"E_DATA_UNREADABLE: cannot read the file \(it is no text\)"),
        (b"symbol,ts,close\n", "E_RATES: missing column 'date'"),
    ],
)
def test_a_file_that_is_no_table_of_rates(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "r.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"^{said}") as error:
        read_rates(tmp_path / "r.csv")
    assert str(error.value).isprintable()


def test_a_currency_without_a_rate_is_named() -> None:
    told = rates(rates_of("EURGBP", {day(0): 0.8}))
    with pytest.raises(
        DataError, match=r"^E_RATES: no rate leads from EUR to USD, .*EURGBP.*EURUSD"
    ):
        convert(bars("A", "EUR", [day(0)]), told, base="USD")
    with pytest.raises(DataError, match=r"no rate leads from EUR to USD, pairs there are: none"):
        convert(bars("A", "EUR", [day(0)]), None, base="USD")


def test_several_currencies_without_a_base_are_told_of() -> None:
    mixed = pl.concat([bars("A", "EUR", [day(0)]), bars("B", "USD", [day(0)])])
    assert currency_notes(mixed)[0].startswith("prices in EUR, USD: returns are local")
    pounds = pl.concat([bars("A", "GBP", [day(0)]), bars("B", "GBp", [day(0)])])
    assert currency_notes(pounds) == []


def test_a_row_without_a_currency_is_in_that_of_its_symbol() -> None:
    days = [date(2024, 3, n) for n in (4, 5, 6, 7)]
    pence = bars("A.L", "GBp", days, 250.0).with_columns(
        currency=pl.Series([None, "GBp", None, "GBp"], dtype=pl.String)
    )
    raw = pl.concat([pence, bars("B.L", "GBP", days[:1]).with_columns(currency=None)])
    made = prepare(raw.drop("close_raw"), calendar="data", min_bars=1).bars
    assert made["currency"].to_list() == ["GBp"] * 4 + ["GBP"], "pounds only where nothing is named"
    told = rates(rates_of("GBPUSD", dict.fromkeys(days, 1.25)))
    dollars = convert(made.filter(symbol="A.L"), told, base="USD").bars["close"]
    assert dollars.to_list() == [3.125] * 4


@pytest.mark.parametrize(
    ("exchange", "calendar", "currency"),
    [
        ("XTKS", None, "JPY"),
        ("XJSE", None, "ZAc"),
        ("xsto", None, "SEK"),
        ("NASDAQ", None, "USD"),
        ("SIX", None, "CHF"),
        ("XNSE", "data", "INR"),
        ("FOO", "data", "XXX"),
        ("24/7", None, "XXX"),
        (None, None, "USD"),
        (None, "XTKS", "JPY"),
        (None, "data", "USD"),
        (None, "24/7", "USD"),
    ],
)
def test_the_exchange_says_the_currency_that_no_row_names(
    exchange: str | None, calendar: str | None, currency: str
) -> None:
    days = [date(2024, 3, n) for n in (4, 5, 6, 7)]
    raw = bars("A", "", days).drop("close_raw", "currency")
    raw = raw.with_columns(exchange=pl.lit(exchange, pl.String))
    assert set(prepare(raw, calendar=calendar, min_bars=1).bars["currency"]) == {currency}


def test_every_exchange_has_a_currency_but_those_of_several() -> None:
    names = set(exchange_calendars.get_calendar_names(include_aliases=False))
    assert set(CURRENCIES) - names == {"XNSE", "XSHE"}, "no calendar of their own"
    assert names - set(CURRENCIES) == {"24/5", "24/7", "AIXK", "IEPA", "XEEE", "XEUR"}
    codes = r"[A-Z]{3}|ZAc"
    assert [m for m in set(CURRENCIES.values()) if not re.fullmatch(codes, m)] == []


def test_an_unknown_currency_is_refused_with_a_base_and_told_of_without_one() -> None:
    mixed = pl.concat([bars("B", "USD", [day(0)]), bars("A", "XXX", [day(0), day(1)])])
    with pytest.raises(DataError, match=r"^E_RATES: currency of A unknown, 1 symbols .*currency$"):
        convert(mixed, None, base="USD")
    assert currency_notes(mixed) == [
        "currency of 1 symbols unknown, first A: no row names it and no exchange says it"
    ]


def test_a_panel_of_files_is_in_the_base(tmp_path: Path) -> None:
    days = [date(2024, 3, n) for n in (4, 5, 6, 7, 8)]
    frame = pl.concat([bars("A.DE", "EUR", days), bars("B", "USD", days)]).drop("close_raw")
    frame.write_parquet(tmp_path / "bars.parquet")
    rates_of("EURUSD", dict.fromkeys(days[:1], 1.5)).write_csv(tmp_path / "rates.csv")
    panel, prepared = panel_of(
        tmp_path / "bars.parquet", base_currency="USD", rates=read_rates(tmp_path / "rates.csv")
    )
    assert panel.close[list(panel.symbols).index("A.DE"), :4].tolist() == [150.0] * 4
    assert prepared.quarantined.select("symbol", "date", "rule").rows() == [
        ("A.DE", days[4], "rate_missing")
    ]
    assert prepared.accounting() == {"rows_in": 10, "rows_out": 9, "rate_missing": 1}
    assert prepared.findings.filter(rule="rate_missing").height == 1


@pytest.mark.skipif(
    not FOLDER, reason="WEATHERVANE_MARKET_DATA names no folder of real market data"
)
def test_real_euros_in_dollars() -> None:
    told = pl.read_parquet(Path(str(FOLDER)) / "lean_fx_xau_daily_2006_2019.parquet")
    pairs = told.filter(pl.col("symbol") != "XAUUSD").select(
        "symbol", pl.col("ts_utc").dt.date().alias("date"), "close"
    )
    known = checked_rates(pairs)
    dax = prepare(read_bars(Path(str(FOLDER)) / "dax_daily_2000_2017.parquet")).bars
    span = dax.filter(pl.col("date").is_between(date(2007, 2, 1), date(2017, 12, 29)))
    done = convert(span, known, base="USD")
    hole = [date(2016, 12, n) for n in (13, 14, 15)]
    assert done.unrated["date"].unique().sort().to_list() == hole, (
        "the source has no rate from 10 to 15 December"
    )
    assert done.notes[1].startswith("21 bars had no rate of their date")
    at = date(2015, 6, 1)
    rate = pairs.filter((pl.col("symbol") == "EURUSD") & (pl.col("date") == at))["close"][0]
    name = "ALV.DE"
    euros, dollars = (f.filter(symbol=name, date=at)["close"][0] for f in (span, done.bars))
    assert dollars == pytest.approx(euros * rate, rel=1e-12)
    assert 1.08 < rate < 1.11
    crossed = convert(
        span.filter(pl.col("date") == at),
        checked_rates(pairs.filter(pl.col("symbol") != "EURUSD")),
        base="USD",
    ).bars
    direct = done.bars.filter(pl.col("date") == at)
    assert ((crossed["close"] / direct["close"] - 1.0).abs() < 1e-3).all(), "through the pound"
