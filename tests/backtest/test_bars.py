from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import DataError
from backtest.market import quality
from backtest.market.bars import Bars, Prepared, panel_of, prepare
from backtest.market.calendar import sessions
from backtest.market.quality_rows import row_rules

NAN, INF = float("nan"), float("inf")
DAYS = sessions("XNYS", date(2024, 1, 2), date(2024, 12, 31))
AT_ONCE = quality.QualityConfig(spike_limit=1000.0)
"""Without the one rule that waits; ``test_quality`` shows how long it does."""


def bars(symbol: str = "AAA", count: int = 30, price: float = 100.0) -> pl.DataFrame:
    close = [price + 0.5 * (k % 7) for k in range(count)]
    return pl.DataFrame(
        {
            "symbol": [symbol] * count,
            "date": DAYS[:count],
            "open": [c - 0.2 for c in close],
            "high": [c + 1.0 for c in close],
            "low": [c - 1.0 for c in close],
            "close": close,
            "volume": [1000.0] * count,
        }
    )


def changed(frame: pl.DataFrame, at: int, **values: float | None) -> pl.DataFrame:
    row = pl.int_range(pl.len())
    return frame.with_columns(
        pl.when(row == at).then(pl.lit(v, pl.Float64)).otherwise(pl.col(c)).alias(c)
        for c, v in values.items()
    )


def both(broken: pl.DataFrame) -> Prepared:
    """Clean the broken symbol beside a sound one."""
    prepared = prepare(pl.concat([broken, bars("ZZZ")], how="diagonal"))
    assert prepared.bars.filter(pl.col("symbol") == "ZZZ").height == 30
    Bars.validate(prepared.bars)
    return prepared


def test_sound_bars_pass_untouched() -> None:
    prepared = prepare(bars())
    assert prepared.bars.select(bars().columns).equals(bars())
    assert prepared.bars.columns == [*bars().columns, "close_raw", "currency"]
    assert prepared.bars["currency"].unique().to_list() == ["USD"]
    assert prepared.accounting() == {"rows_in": 30, "rows_out": 30}
    assert prepared.notes == ()
    assert prepared.quarantined.columns == [
        *("symbol", "date", "rule", "detail", "open", "high", "low", "close", "volume"),
    ]


@pytest.mark.parametrize(
    ("values", "rule", "detail"),
    [
        ({"high": 90.0, "low": 95.0}, "high_below_low", "high 90.0 is below low 95.0"),
        ({"open": 0.0}, "price_not_positive", "open 0.0"),
        ({"close": -3.0}, "price_not_positive", "close -3.0"),
        ({"close": NAN}, "price_not_finite", "close NaN"),
        ({"high": INF}, "price_not_finite", "high inf"),
        ({"low": -INF}, "price_not_finite", "low -inf"),
        ({"open": None}, "price_missing", "open absent"),
        ({"open": 120.0}, "open_outside_range", "open 120.0 is outside"),
        ({"close": 80.0}, "close_outside_range", "close 80.0 is outside"),
        ({"volume": -1.0}, "volume_negative", "volume -1.0"),
        ({"volume": INF}, "volume_not_finite", ""),
    ],
)
def test_bad_row_is_quarantined_by_name_and_the_rest_goes_on(
    values: dict[str, float | None], rule: str, detail: str
) -> None:
    prepared = both(changed(bars(), 12, **values))
    assert prepared.accounting() == {"rows_in": 60, "rows_out": 59, rule: 1}
    row = prepared.quarantined.row(0, named=True)
    assert (row["symbol"], row["date"], row["rule"]) == ("AAA", DAYS[12], rule)
    assert detail in row["detail"]
    for column, value in values.items():
        assert row[column] == value or np.isnan(row[column])


def test_first_broken_rule_gives_the_name() -> None:
    prepared = both(changed(bars(), 3, open=NAN, close=-1.0, high=1.0, low=2.0))
    assert prepared.quarantined["rule"].to_list() == ["price_not_finite"]


def test_rows_without_a_symbol_or_a_date() -> None:
    broken = bars().with_columns(
        pl.when(pl.int_range(pl.len()) == 4).then(None).otherwise(pl.col("date")).alias("date"),
        pl.when(pl.int_range(pl.len()) == 5).then(None).otherwise(pl.col("symbol")).alias("symbol"),
    )
    counts = both(broken).accounting()
    assert (counts["date_missing"], counts["symbol_missing"]) == (1, 1)


def test_duplicates_that_agree_are_kept_once() -> None:
    prepared = both(pl.concat([bars(), bars()[7:9]]))
    assert prepared.accounting() == {"rows_in": 62, "rows_out": 60, "duplicate_agreeing": 2}


def test_agreeing_duplicates_without_a_volume() -> None:
    plain = bars().with_columns(volume=pl.lit(NAN))
    assert both(pl.concat([plain, plain[:1]])).accounting()["duplicate_agreeing"] == 1


def test_duplicates_that_conflict_are_all_quarantined() -> None:
    other = bars()[7:8].with_columns(pl.col("close") + 0.25)
    prepared = both(pl.concat([bars(), other]))
    assert prepared.accounting() == {"rows_in": 61, "rows_out": 59, "duplicate_conflicting": 2}
    first, second = bars()["close"][7], other["close"][0]
    assert prepared.quarantined["detail"].to_list() == [f"close {first} and {second}"] * 2
    assert prepared.missing.is_empty()


def test_bad_duplicate_does_not_take_the_sound_one_along() -> None:
    broken = changed(bars()[7:8], 0, close=0.0)
    prepared = both(pl.concat([bars(), broken]))
    assert prepared.accounting() == {"rows_in": 61, "rows_out": 60, "price_not_positive": 1}


def test_unsorted_rows_are_sorted_and_noted() -> None:
    shuffled = bars().sample(fraction=1.0, shuffle=True, seed=3)
    prepared = prepare(shuffled)
    assert prepared.bars.select(bars().columns).equals(bars())
    assert "stood before an earlier date and were sorted" in prepared.notes[0]
    by_date = pl.concat([bars("AAA"), bars("BBB")]).sort("date", "symbol")
    assert prepare(by_date).notes == ()


def test_missing_sessions_are_reported_and_not_filled() -> None:
    gappy = bars().filter(~pl.col("date").is_in([DAYS[5], DAYS[6]]))
    prepared = both(gappy)
    assert prepared.bars.height == 58
    assert prepared.missing.rows() == [("AAA", DAYS[5]), ("AAA", DAYS[6])]
    assert prepared.notes[0].startswith("2 sessions without a bar in 1 symbols, not filled")


def test_quarantined_session_is_not_called_missing() -> None:
    assert both(changed(bars(), 12, close=NAN)).missing.is_empty()


def test_half_day_is_an_ordinary_session() -> None:
    whole = bars(count=250)
    assert date(2024, 11, 29) in whole["date"].to_list()
    assert prepare(whole).notes == ()
    without = whole.filter(pl.col("date") != date(2024, 11, 29))
    assert prepare(without).missing.rows() == [("AAA", date(2024, 11, 29))]


def test_filler_of_a_closed_day_goes_and_a_traded_bar_of_one_stays() -> None:
    holiday = bars()[:1].with_columns(date=date(2024, 1, 15))
    flat = holiday.with_columns(*(pl.lit(100.0).alias(c) for c in quality.PRICES), volume=0.0)
    assert both(pl.concat([bars(), flat])).accounting()["closed_exchange_filler"] == 1
    prepared = both(pl.concat([bars(), holiday]))
    assert prepared.accounting() == {"rows_in": 61, "rows_out": 61}
    assert any("1 bars on days that are no session" in note for note in prepared.notes)
    everything = prepare(pl.concat([bars(), flat]), calendar="data")
    assert everything.accounting() == {"rows_in": 31, "rows_out": 31}


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_spike_of_one_day_is_held_back(factor: float) -> None:
    spiked = bars().with_columns(
        pl.when(pl.int_range(pl.len()) == 9).then(pl.col(c) * factor).otherwise(pl.col(c)).alias(c)
        for c in quality.PRICES
    )
    prepared = both(spiked)
    assert prepared.accounting() == {"rows_in": 60, "rows_out": 59, "jump_unconfirmed": 1}
    assert prepared.quarantined["date"].to_list() == [DAYS[9]]
    assert prepared.notes == ()


@pytest.mark.parametrize("column", quality.PRICES)
def test_spike_of_one_price_is_never_traded(column: str) -> None:
    value = 1000.0 if column != "low" else 10.0
    prepared = both(changed(bars(), 9, **{column: value}))
    assert prepared.bars.height == 59


def test_price_that_moves_without_a_trade_is_held_back() -> None:
    flat = dict.fromkeys(quality.PRICES, 33.0)
    idle = changed(changed(bars(), 8, **flat, volume=0.0), 9, **flat, volume=0.0)
    prepared = both(idle)
    assert prepared.quarantined["date"].to_list() == [DAYS[8], DAYS[9]]
    assert prepared.quarantined["rule"].unique().to_list() == ["jump_unconfirmed"]
    assert prepared.notes == ()
    stale = dict.fromkeys(quality.PRICES, 103.5)
    assert both(changed(bars(), 8, **stale, volume=0.0)).quarantined.is_empty()


def test_series_that_never_had_a_volume_may_move() -> None:
    alone = bars().with_columns(
        *(pl.col("close").alias(c) for c in quality.PRICES), volume=pl.lit(0.0)
    )
    moved = alone.with_columns(
        pl.when(pl.int_range(pl.len()) >= 9).then(pl.col(c) * 1.5).otherwise(pl.col(c)).alias(c)
        for c in quality.PRICES
    )
    assert both(moved).quarantined.is_empty()


def test_new_level_costs_one_row_and_is_noted() -> None:
    split = bars().with_columns(
        pl.when(pl.int_range(pl.len()) >= 9).then(pl.col(c) / 10).otherwise(pl.col(c)).alias(c)
        for c in quality.PRICES
    )
    prepared = both(split)
    assert prepared.accounting() == {"rows_in": 60, "rows_out": 59, "jump_unconfirmed": 1}
    assert prepared.quarantined["date"].to_list() == [DAYS[9]]
    assert prepared.notes[0].startswith(f"AAA moved to a new price level by {DAYS[10]}")


@settings(max_examples=40, deadline=None)
@given(
    factors=st.lists(st.sampled_from([1.0, 1.0, 1.0, 10.0, 0.1, 1.3]), min_size=30, max_size=30),
    cut=st.integers(2, 30),
)
def test_holding_back_never_waits_for_a_later_row(factors: list[float], cut: int) -> None:
    scale = np.array(factors)
    wild = bars().with_columns(pl.col(c) * pl.Series(scale) for c in quality.PRICES)
    whole, part = (prepare(one, min_bars=1, quality=AT_ONCE) for one in (wild, wild[:cut]))
    early = pl.col("date") < DAYS[cut]
    assert whole.bars.filter(early).equals(part.bars)
    assert whole.quarantined.filter(early).equals(part.quarantined)


def test_short_symbol_is_left_out_by_name() -> None:
    prepared = both(bars(count=10))
    assert prepared.accounting() == {"rows_in": 40, "rows_out": 30, "too_short": 10}
    assert prepared.quarantined["detail"].unique().to_list() == ["10 bars"]


def test_short_file_is_not_a_short_symbol() -> None:
    assert prepare(bars(count=10)).bars.height == 10
    assert prepare(pl.concat([bars(count=10), bars("B", 4)])).bars.height == 14
    assert prepare(pl.concat([bars(), bars("B", 4)]), min_bars=1).bars.height == 34


def test_no_volume_is_allowed_and_noted() -> None:
    prepared = prepare(bars().drop("volume"))
    assert prepared.bars["volume"].null_count() == 30
    assert prepared.notes == ("30 bars without a volume",)
    Bars.validate(prepared.bars)


def test_adjusted_close_scales_all_four_prices() -> None:
    adjusted = bars().with_columns(adj_close=pl.col("close") * 0.5)
    prepared = prepare(adjusted)
    for column in quality.PRICES:
        assert np.allclose(prepared.bars[column], bars()[column] * 0.5, rtol=1e-15)
    assert prepared.bars["close_raw"].equals(bars()["close"].alias("close_raw"))


def test_unadjusted_split_with_adjusted_close_is_no_jump() -> None:
    ratio = [10.0 if k < 9 else 1.0 for k in range(30)]
    raw = bars().with_columns(pl.col(c) * pl.Series(ratio) for c in quality.PRICES)
    prepared = prepare(raw.with_columns(adj_close=bars()["close"]))
    assert prepared.accounting() == {"rows_in": 30, "rows_out": 30}
    assert np.allclose(prepared.bars["close"], bars()["close"])


@pytest.mark.parametrize("value", [None, NAN, INF, 0.0, -1.0])
def test_bad_adjusted_close_is_quarantined(value: float | None) -> None:
    adjusted = bars().with_columns(adj_close=pl.col("close"))
    assert both(changed(adjusted, 6, adj_close=value)).accounting()["adjustment_invalid"] == 1


def test_symbol_without_any_adjusted_close_is_taken_as_it_is() -> None:
    adjusted = bars("BBB").with_columns(adj_close=pl.col("close") * 0.5)
    prepared = prepare(pl.concat([bars(), adjusted], how="diagonal"))
    first = prepared.bars.filter(pl.col("symbol") == "AAA")
    assert first["close"].equals(bars()["close"])


def test_rows_before_the_first_adjusted_close_are_taken_as_they_are() -> None:
    late = bars().with_columns(adj_close=pl.when(pl.col("date") >= DAYS[10]).then("close") * 0.5)
    prepared = prepare(changed(late, 20, adj_close=None).sample(fraction=1.0, shuffle=True, seed=1))
    assert prepared.bars["close"][:10].equals(bars()["close"][:10])
    assert np.allclose(prepared.bars["close"][10:12], bars()["close"][10:12] * 0.5)
    assert prepared.quarantined.select("date", "rule").rows() == [(DAYS[20], "adjustment_invalid")]


@settings(max_examples=40, deadline=None)
@given(
    given_closes=st.lists(st.sampled_from([None, None, 1.0, 0.5, 0.0, NAN]), min_size=30),
    cut=st.integers(2, 29),
)
def test_an_adjusted_close_says_nothing_about_earlier_rows(
    given_closes: list[float | None], cut: int
) -> None:
    ratio = pl.Series(given_closes[:30], dtype=pl.Float64)
    raw = pl.concat(
        [bars().with_columns(adj_close=pl.col("close") * ratio), bars("ZZZ")], how="diagonal"
    )
    whole = prepare(raw, min_bars=1, quality=AT_ONCE)
    part = prepare(raw.filter(pl.col("date") < DAYS[cut]), min_bars=1, quality=AT_ONCE)
    early = pl.col("date") < DAYS[cut]
    assert whole.bars.filter(early).equals(part.bars)
    assert whole.quarantined.filter(early).equals(part.quarantined)


def test_small_excess_over_the_range_is_kept_and_noted() -> None:
    prepared = both(changed(bars(), 5, close=98.0))
    assert prepared.bars.height == 60
    assert prepared.notes[-1].startswith("1 bars with the open or close outside low to high")


def test_labels_stay_beside_the_bars() -> None:
    labelled = bars("SAP.DE").with_columns(sector=pl.lit("Technology"), exchange=pl.lit("XETR"))
    made = prepare(labelled, calendar="data").bars
    assert made.columns[-3:] == ["currency", "sector", "exchange"]
    assert made["currency"].unique().to_list() == ["EUR"]
    named = prepare(labelled.with_columns(currency=pl.lit("CHF")), calendar="data").bars
    assert named["currency"].unique().to_list() == ["CHF"]


def test_nothing_left_is_one_clear_line() -> None:
    broken = bars().with_columns(close=pl.lit(-1.0))
    with pytest.raises(DataError) as caught:
        prepare(pl.concat([broken, changed(bars("B", 1), 0, open=NAN)]))
    line = str(caught.value)
    assert line.startswith("E_DATA_QUARANTINED: no bar is left (30 rows price_not_positive, ")
    assert "AAA 2024-01-02" in line
    assert "\n" not in line


def test_bars_of_a_file_of_which_none_is_left_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    bars().with_columns(close=pl.lit(-1.0)).write_csv(path)
    with pytest.raises(DataError, match="E_DATA_QUARANTINED") as caught:
        panel_of(path)
    assert f", {path}, first AAA 2024-01-02 " in str(caught.value)


def test_missing_column_names_the_closest() -> None:
    with pytest.raises(DataError, match=r"E_DATA_COLUMN: missing column 'close'.*'closing'"):
        prepare(bars().rename({"close": "closing"}))


def test_accounting_refuses_lost_rows() -> None:
    sound = prepare(bars())
    lost = Prepared(sound.bars, sound.quarantined, sound.missing, (), 31)
    with pytest.raises(DataError, match="E_DATA_ROWS"):
        lost.accounting()


@settings(max_examples=60, deadline=None)
@given(
    damage=st.lists(
        st.tuples(
            st.integers(0, 29),
            st.sampled_from(["open", "high", "low", "close", "volume"]),
            st.sampled_from([NAN, INF, -INF, 0.0, -5.0, 1e6, 1e-6, None]),
        ),
        max_size=12,
    ),
    repeats=st.lists(st.integers(0, 29), max_size=5),
)
def test_whatever_the_damage_every_row_is_accounted_for(
    damage: list[tuple[int, str, float | None]], repeats: list[int]
) -> None:
    broken = bars()
    for at, column, value in damage:
        broken = changed(broken, at, **{column: value})
    broken = pl.concat([broken, *(broken[at] for at in repeats)])
    prepared = both(broken)
    counts = prepared.accounting()
    assert sum(counts.values()) == 2 * counts["rows_in"]
    assert set(counts) - {"rows_in", "rows_out"} <= set(quality.RULES)
    assert prepared.bars.select("symbol", "date").is_unique().all()


def test_every_rule_says_what_to_do() -> None:
    assert all(fix and fix[0].islower() for fix in [rule.fix for rule in quality.RULES.values()])
    assert set(row_rules(["adj_close"])) <= set(quality.RULES)
