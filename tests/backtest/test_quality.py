"""Defects planted in a clean synthetic market are found under their own names, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from backtest.market import quality
from backtest.market.bars import Bars, Prepared, prepare
from backtest.market.calendar import sessions
from backtest.market.quality import DEFAULTS, PRICES, RULES, QualityConfig
from backtest.market.synthetic import WORLD_NAMES, WorldConfig, generate

DAYS = sessions("XNYS", date(2022, 1, 3), date(2022, 10, 31))
CLEAN = generate(WorldConfig(symbols=8, seed=5), DAYS).bars.with_columns(
    adj_close=pl.col("close"), currency=pl.lit("USD")
)
SYMBOLS = CLEAN["symbol"].unique().sort().to_list()
HOLIDAY = date(2022, 7, 4)
FIRST, LAST = 30, len(DAYS) - 12
Found = set[tuple[str, date, str]]


def at(symbol: str, first: int, count: int = 1) -> pl.Expr:
    """Rows of a symbol from a session on."""
    return (pl.col("symbol") == symbol) & pl.col("date").is_in(DAYS[first : first + count])


def put(frame: pl.DataFrame, where: pl.Expr, **values: pl.Expr | float | str) -> pl.DataFrame:
    """Put values into some rows."""
    made = {n: v if isinstance(v, pl.Expr) else pl.lit(v) for n, v in values.items()}
    return frame.with_columns(
        pl.when(where).then(v).otherwise(pl.col(n)).alias(n) for n, v in made.items()
    )


def scaled(frame: pl.DataFrame, where: pl.Expr, factor: float) -> pl.DataFrame:
    """Multiply all prices of some rows."""
    return put(frame, where, **{n: pl.col(n) * factor for n in (*PRICES, "adj_close")})


def row_of(symbol: str, day: int) -> dict[str, float]:
    return CLEAN.filter(at(symbol, day)).row(0, named=True)


def steady(symbol: str, day: int) -> int:
    """First session from ``day`` on around which the close moves by less than 3 % a session.

    What the price itself does meanwhile is not undone by the way back: on a wild day a spike of
    some 60 % is told from a real move only with luck.
    """
    own = CLEAN.filter(pl.col("symbol") == symbol).sort("date")
    moved = np.abs(np.diff(np.log(own["close"].to_numpy())))
    return next(k for k in range(day, len(DAYS)) if moved[k - 1 : k + 2].max() < 0.03)


def calm(symbol: str, day: int) -> int:
    """First session from ``day`` on that opens within 2 % of the close before, without a rush."""
    own = CLEAN.filter(pl.col("symbol") == symbol).sort("date")
    gap = np.abs(np.log(own["open"].to_numpy()[1:] / own["close"].to_numpy()[:-1]))
    volume = own["volume"].to_numpy()
    rush = [volume[k] / np.median(volume[k - 20 : k]) for k in range(day, len(DAYS))]
    return next(k for k in range(day, len(DAYS)) if gap[k - 1] < 0.02 and rush[k - day] < 2.5)


def spike(factor: float, count: int = 1) -> Callable[[pl.DataFrame, str, int], tuple]:
    def plant(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
        day = steady(symbol, day)
        rule = "spike_reverted" if 0.2 < factor < 5.0 else "jump_unconfirmed"
        found = {(symbol, DAYS[day + k], rule) for k in range(count)}
        return scaled(frame, at(symbol, day, count), factor), found

    return plant


def split(new: float) -> Callable[[pl.DataFrame, str, int], tuple]:
    def plant(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
        day = calm(symbol, day)
        later = at(symbol, day, len(DAYS))
        made = put(scaled(frame, later, 1.0 / new), later, volume=pl.col("volume") * new)
        found = {(symbol, DAYS[day], "split_unadjusted")}
        if new >= 5.0:
            found |= {(symbol, DAYS[day], "jump_unconfirmed")}
        return made, found

    return plant


def stale(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
    level = row_of(symbol, day - 1)["close"]
    made = put(frame, at(symbol, day, 6), **dict.fromkeys((*PRICES, "adj_close"), level))
    return made, {(symbol, DAYS[day + k], "stale_price") for k in (3, 4, 5)}


def copied(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
    before = row_of(symbol, day - 1)
    values = {n: before[n] for n in (*PRICES, "adj_close", "volume")}
    return put(frame, at(symbol, day), **values), {(symbol, DAYS[day], "session_repeated")}


def gap(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
    days = DAYS[day : day + 2]
    return frame.filter(~at(symbol, day, 2)), {(symbol, d, "session_missing") for d in days}


def filler(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
    last = CLEAN.filter((pl.col("symbol") == symbol) & (pl.col("date") < HOLIDAY)).tail(1)
    flat = last.with_columns(*(pl.col("close").alias(n) for n in PRICES), date=HOLIDAY, volume=0.0)
    return pl.concat([frame, flat]), {(symbol, HOLIDAY, "closed_exchange_filler")}


def twice(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
    own = frame.filter(at(symbol, day))
    return pl.concat([frame, own]), {(symbol, DAYS[day], "duplicate_agreeing")}


def conflicting(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
    own = frame.filter(at(symbol, day)).with_columns(currency=pl.lit("EUR"))
    return pl.concat([frame, own]), {(symbol, DAYS[day], "duplicate_conflicting")}


def pence(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
    hundred = scaled(frame, at(symbol, day, 3), 100.0)
    days = DAYS[day : day + 3]
    made = put(hundred, at(symbol, day, 3), currency="USd")
    return made, {(symbol, d, "currency_changed") for d in days}


def adjusted(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
    later = at(symbol, day, len(DAYS))
    made = put(frame, later, adj_close=pl.col("adj_close") * 1.2)
    step = np.log(row_of(symbol, day)["close"] / row_of(symbol, day - 1)["close"])
    assert abs(step) < 0.09  # or the price would answer the step by chance
    return made, {(symbol, DAYS[day], "adjustment_unmatched")}


def one(rule: str, **change: pl.Expr | float) -> Callable[[pl.DataFrame, str, int], tuple]:
    def plant(frame: pl.DataFrame, symbol: str, day: int) -> tuple[pl.DataFrame, Found]:
        return put(frame, at(symbol, day), **change), {(symbol, DAYS[day], rule)}

    return plant


DEFECTS = {
    "spike up": spike(1.6),
    "spike down": spike(0.6),
    "spike of two bars": spike(0.5, 2),
    "wild spike": spike(9.0),
    "2 for 1": split(2.0),
    "3 for 2": split(1.5),
    "10 for 1": split(10.0),
    "1 for 4": split(0.25),
    "stale": stale,
    "copied": copied,
    "gap": gap,
    "filler": filler,
    "twice": twice,
    "conflicting": conflicting,
    "pence": pence,
    "adjusted": adjusted,
    "no volume": one("volume_zero", volume=0.0),
    # Both closes, or a day on which the price fell would be a step of the adjustment as well.
    "close a little high": one(
        "close_outside_range", close=pl.col("high") * 1.01, adj_close=pl.col("high") * 1.01
    ),
    "close too high": one("close_outside_range", close=pl.col("high") * 1.2),
    "open a little low": one("open_outside_range", open=pl.col("low") * 0.99),
    "open too low": one("open_outside_range", open=pl.col("low") * 0.8),
    "upside down": one("high_below_low", high=pl.col("low") * 0.99),
    "no price": one("price_missing", high=pl.lit(None, pl.Float64)),
    "no number": one("price_not_finite", low=float("nan")),
    "negative": one("price_not_positive", close=-1.0),
    "negative volume": one("volume_negative", volume=-5.0),
    "wrong adjustment": one("adjustment_invalid", adj_close=0.0),
}


def keys(prepared: Prepared) -> Found:
    return set(prepared.findings.select("symbol", "date", "rule").iter_rows())


@pytest.mark.parametrize("world", WORLD_NAMES)
@pytest.mark.parametrize("overnight", [0.0, 0.5])
def test_a_clean_world_has_no_findings(world: str, overnight: float) -> None:
    days = sessions("XNYS", date(2010, 1, 4), date(2013, 12, 31))
    config = WorldConfig(world=world, symbols=24, seed=3, overnight_share=overnight)
    prepared = prepare(generate(config, days).bars, calendar="XNYS")
    assert prepared.findings.is_empty()
    assert prepared.accounting() == {"rows_in": 24 * len(days), "rows_out": 24 * len(days)}


@pytest.mark.parametrize("name", DEFECTS)
@pytest.mark.parametrize("day", [FIRST, 77, 101, LAST])
def test_a_planted_defect_is_found_under_its_name(name: str, day: int) -> None:
    broken, expected = DEFECTS[name](CLEAN, SYMBOLS[3], day)
    prepared = prepare(broken, calendar="XNYS")
    assert keys(prepared) == expected
    Bars.validate(prepared.bars)


@settings(max_examples=60, deadline=None)
@given(
    planted=st.lists(
        st.tuples(
            st.sampled_from(sorted(DEFECTS)),
            st.sampled_from(SYMBOLS),
            st.integers(FIRST, LAST),
        ),
        min_size=2,
        max_size=6,
        unique_by=lambda one: one[1],
    ),
    seed=st.integers(0, 99),
)
def test_defects_side_by_side_are_all_found_and_nothing_else(
    planted: list[tuple[str, str, int]], seed: int
) -> None:
    broken, expected = CLEAN, set()
    for name, symbol, day in planted:
        broken, found = DEFECTS[name](broken, symbol, day)
        expected |= found
    prepared = prepare(broken.sample(fraction=1.0, shuffle=True, seed=seed), calendar="XNYS")
    assert keys(prepared) == expected
    bad = prepared.findings.filter(pl.col("severity") == "quarantine")
    assert prepared.bars.height + bad.height == prepared.rows_in == broken.height
    assert bad.height == prepared.quarantined.height


def verdicts(prepared: Prepared, *, limits: dict[str, date], lag: int) -> pl.DataFrame:
    """Findings of rules with a lag, on dates before each symbol's limit."""
    rules = [n for n, rule in RULES.items() if rule.lag == lag and n != "session_missing"]
    limit = pl.col("symbol").replace_strict(limits, return_dtype=pl.Date)
    return prepared.findings.filter(pl.col("rule").is_in(rules) & (pl.col("date") < limit))


@settings(max_examples=60, deadline=None)
@given(
    factors=st.lists(
        st.sampled_from([1.0] * 12 + [1.4, 0.6, 3.0, 0.5, 10.0, 0.02]), min_size=40, max_size=40
    ),
    level=st.sampled_from([1.0, 0.5, 2.0]),
    cut=st.integers(12, 39),
)
def test_a_longer_history_changes_verdicts_within_their_lag_only(
    factors: list[float], level: float, cut: int
) -> None:
    own = CLEAN.filter((pl.col("symbol") == SYMBOLS[0]) & (pl.col("date") <= DAYS[39]))
    moved = np.array(factors) * np.where(np.arange(40) >= 20, level, 1.0)
    wild = own.with_columns(pl.col(n) * pl.Series(moved) for n in (*PRICES, "adj_close"))
    rest = CLEAN.filter(pl.col("symbol").is_in(SYMBOLS[1:]) & (pl.col("date") <= DAYS[39]))
    raw = pl.concat([wild, rest])
    whole = prepare(raw, calendar="XNYS", min_bars=1)
    part = prepare(raw.filter(pl.col("date") < DAYS[cut]), calendar="XNYS", min_bars=1)
    at_once = dict.fromkeys(SYMBOLS, DAYS[cut])
    assert verdicts(whole, limits=at_once, lag=0).equals(verdicts(part, limits=at_once, lag=0))
    held = part.quarantined.filter(pl.col("rule") == "jump_unconfirmed")
    known = raw.filter(pl.col("date") < DAYS[cut]).join(held, on=["symbol", "date"], how="anti")
    last = known.group_by("symbol").agg(pl.col("date").sort().gather(pl.len() - 2).first())
    late = dict(last.iter_rows())
    assert verdicts(whole, limits=late, lag=2).equals(verdicts(part, limits=late, lag=2))
    early = pl.col("date") < min(late.values())
    assert whole.bars.filter(early).equals(part.bars.filter(early))


def test_a_spike_is_trusted_until_it_comes_back() -> None:
    broken, _ = spike(1.5)(CLEAN, SYMBOLS[2], 60)
    for known_until, rules in ((60, []), (61, ["spike_reverted"])):
        seen = prepare(broken.filter(pl.col("date") <= DAYS[known_until]), calendar="XNYS")
        assert seen.findings["rule"].to_list() == rules


def test_a_crash_that_recovers_with_a_trail_is_no_spike() -> None:
    """The bar after opens where the crash closed and climbs back."""
    symbol, low = SYMBOLS[1], 0.6
    crash = scaled(CLEAN, at(symbol, 60), low)
    trail = put(crash, at(symbol, 61), low=pl.col("low") * low, open=pl.col("open") * low)
    assert prepare(trail, calendar="XNYS").findings.is_empty()


def test_a_day_on_which_all_crash_and_come_back_accuses_nobody() -> None:
    shaken = scaled(CLEAN, pl.col("date") == DAYS[60], 0.7)
    assert prepare(shaken, calendar="XNYS").findings.is_empty()
    alone, expected = spike(0.7)(CLEAN, SYMBOLS[1], 60)
    assert keys(prepare(alone, calendar="XNYS")) == expected


def test_a_wild_symbol_is_not_accused_of_its_nature() -> None:
    """A leap amid leaps, as of a share in a squeeze."""
    symbol, broken = SYMBOLS[1], CLEAN
    for day in range(40, 60):
        broken = scaled(broken, at(symbol, day, len(DAYS)), 1.3 if day % 2 else 1 / 1.3)
    squeezed = scaled(broken, at(symbol, 60), 1.5)
    found = prepare(squeezed, calendar="XNYS").findings
    assert found.filter(pl.col("date") >= DAYS[50]).is_empty()


def test_news_is_no_split() -> None:
    """A gap to half the price on ten times the volume."""
    symbol, day = SYMBOLS[1], calm(SYMBOLS[1], 60)
    fallen = scaled(CLEAN, at(symbol, day, len(DAYS)), 0.5)
    assert keys(prepare(fallen, calendar="XNYS")) == {(symbol, DAYS[day], "split_unadjusted")}
    loud = put(fallen, at(symbol, day), volume=pl.col("volume") * 10.0)
    assert prepare(loud, calendar="XNYS").findings.is_empty()


def test_three_for_two_needs_a_volume_to_be_believed() -> None:
    broken, _ = split(1.5)(CLEAN, SYMBOLS[1], 60)
    assert prepare(broken.drop("volume"), calendar="XNYS").findings.is_empty()
    broken, expected = split(2.0)(CLEAN, SYMBOLS[1], 60)
    assert keys(prepare(broken.drop("volume"), calendar="XNYS")) == expected


def test_a_matching_adjustment_is_no_defect() -> None:
    symbol, day = SYMBOLS[1], calm(SYMBOLS[1], 60)
    later = at(symbol, day, len(DAYS))
    halved = put(CLEAN, later, **{n: pl.col(n) / 2.0 for n in PRICES})
    assert prepare(halved, calendar="XNYS").findings.is_empty()


def test_a_price_that_stands_still_with_all_others_is_no_defect() -> None:
    still = put(
        CLEAN.sort("symbol", "date"),
        pl.col("date").is_in(DAYS[60:70]),
        **{
            n: pl.col("close").filter(pl.col("date") == DAYS[59]).first().over("symbol")
            for n in (*PRICES, "adj_close")
        },
    )
    assert prepare(still, calendar="XNYS").findings.is_empty()
    alone, expected = stale(CLEAN, SYMBOLS[0], 60)
    assert keys(prepare(alone, calendar="XNYS")) == expected


def test_a_threshold_decides() -> None:
    broken, _ = stale(CLEAN, SYMBOLS[0], 60)
    longer = QualityConfig(stale_sessions=7)
    found = prepare(broken, calendar="XNYS", quality=longer).findings
    assert found.select("date", "value").rows() == [(DAYS[65], 7.0)]
    broken, _ = spike(1.6)(CLEAN, SYMBOLS[0], 60)
    assert prepare(
        broken, calendar="XNYS", quality=QualityConfig(spike_limit=0.8)
    ).findings.is_empty()
    broken, _ = spike(4.0)(CLEAN, SYMBOLS[0], 60)
    tight = prepare(broken, calendar="XNYS", quality=QualityConfig(jump_limit=3.0))
    assert tight.findings["rule"].to_list() == ["jump_unconfirmed"]


@pytest.mark.parametrize(
    "value", [{"range_tolerance": 0.06}, {"spike_sessions": 3}, {"jump_limit": 1.0}, {"spikes": 1}]
)
def test_thresholds_have_bounds(value: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        QualityConfig(**value)


def test_a_value_says_how_bad_it_is() -> None:
    broken, _ = spike(1.6)(CLEAN, SYMBOLS[0], 60)
    found = prepare(broken, calendar="XNYS").findings.row(0, named=True)
    before, after = row_of(SYMBOLS[0], 59)["close"], row_of(SYMBOLS[0], 60)["close"]
    assert found["value"] == pytest.approx(1.6 * after / before, rel=1e-12)
    assert found["severity"] == "quarantine"
    broken, _ = DEFECTS["close a little high"](CLEAN, SYMBOLS[0], 60)
    found = prepare(broken, calendar="XNYS").findings.row(0, named=True)
    assert found["value"] == pytest.approx(0.01, rel=1e-9)
    assert found["severity"] == "flag"


def test_the_table_of_rules_is_complete() -> None:
    named = {name for rule in RULES.values() for name in rule.thresholds}
    assert named == set(QualityConfig.model_fields)
    assert {rule.lag for rule in RULES.values()} == {0, 1, 2}
    assert {name for name, rule in RULES.items() if rule.lag} == {
        *("spike_reverted", "split_unadjusted", "session_missing"),
    }
    assert quality.no_findings().schema == prepare(CLEAN).findings.schema
    assert QualityConfig() == DEFAULTS
