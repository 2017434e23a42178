"""Every registered feature: causal, honest about its look-back, and never NaN."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from backtest.seeds import generator
from ml.feature import FEATURES, feature_plan

FAMILIES = ("momentum", "volatility", "volume", "oscillators", "cross_section")
SESSIONS, SYMBOLS = 1000, 6


def bars_of(sessions: int = SESSIONS, symbols: int = SYMBOLS) -> pl.DataFrame:
    """A small random market; symbol k starts 7 k sessions late, S3 misses some."""
    frames = []
    for k in range(symbols):
        random = generator(11, f"features/{k}")
        close = 50.0 * np.exp(np.cumsum(0.01 * random.standard_normal(sessions)))
        opening = close * np.exp(0.004 * random.standard_normal(sessions))
        reach = np.exp(0.005 * np.abs(random.standard_normal((2, sessions))))
        frame = pl.DataFrame(
            {
                "symbol": [f"S{k}"] * sessions,
                "date": [date(2015, 1, 1) + timedelta(days=i) for i in range(sessions)],
                "open": opening,
                "high": np.maximum(opening, close) * reach[0],
                "low": np.minimum(opening, close) / reach[1],
                "close": close,
                "volume": np.rint(1e5 * np.exp(0.4 * random.standard_normal(sessions))),
            }
        )
        if k == 3:
            frame = frame.filter(pl.int_range(pl.len()) % 17 != 5)
        frames.append(frame[7 * k :])
    return pl.concat(frames)


BARS = bars_of()
FULL = feature_plan(BARS.lazy()).collect()


def test_at_least_forty_features_in_five_families() -> None:
    names = FEATURES.names()
    assert len(names) >= 40
    for family in FAMILIES:
        assert sum(name.startswith(family + "_") for name in names) >= 5, family


@pytest.mark.parametrize("name", FEATURES.names())
class TestFeature:
    def test_name_states_family_and_lookback_in_sessions(self, name: str) -> None:
        assert any(name.startswith(family + "_") for family in FAMILIES)
        assert int(name.rsplit("_", 1)[1]) <= FEATURES.get(name).lookback + 1

    def test_unit_holds(self, name: str) -> None:
        values = FULL[name].drop_nulls()
        unit = FEATURES.get(name).unit
        low, high = {"index": (0, 100), "rank": (0, 1), "money": (0, math.inf)}.get(
            unit, (-math.inf, math.inf)
        )
        assert values.is_between(low, high).all()
        assert unit in {"decimal", "ratio", "rank", "log", "index", "money"}

    def test_finite_or_null(self, name: str) -> None:
        values = FULL[name]
        assert values.dtype == pl.Float64
        assert values.drop_nulls().is_finite().all()

    def test_complete_after_its_lookback(self, name: str) -> None:
        first = FULL.filter(pl.col("symbol") == f"S{SYMBOLS - 1}")[name]
        assert first[FEATURES.get(name).lookback :].null_count() == 0

    def test_varies(self, name: str) -> None:
        assert FULL[name].n_unique() > SYMBOLS


@pytest.mark.parametrize("cut", [150, 400, 777, 999])
def test_history_cut_at_t_equals_the_full_history_up_to_t(cut: int) -> None:
    last = date(2015, 1, 1) + timedelta(days=cut - 1)
    short = feature_plan(BARS.filter(pl.col("date") <= last).lazy()).collect()
    assert short.equals(FULL.filter(pl.col("date") <= last))


@pytest.mark.parametrize("length", [199, 399, 499, 999])
def test_lookback_is_honest(length: int) -> None:
    """Bars older than the look-back don't matter: the newest row is the same without them."""
    whole = bars_of(symbols=5).filter(pl.col("date") >= date(2015, 2, 1))
    names = [n for n in FEATURES.names() if FEATURES.get(n).lookback < min(length, 900)]
    last = whole["date"].max()
    start = last - timedelta(days=length - 1)
    long = feature_plan(whole.lazy(), names).filter(pl.col("date") == last).collect()
    short = feature_plan(whole.filter(pl.col("date") >= start).lazy(), names)
    short = short.filter(pl.col("date") == last).collect()
    for name in names:
        np.testing.assert_allclose(
            short[name].to_numpy(), long[name].to_numpy(), rtol=1e-6, atol=1e-12, err_msg=name
        )


def test_order_of_rows_and_other_symbols_do_not_matter_to_a_time_series() -> None:
    one = BARS.filter(pl.col("symbol") == "S2")
    names = [n for n in FEATURES.names() if FEATURES.get(n).scope == "symbol"]
    mixed = one.sample(fraction=1.0, shuffle=True, seed=1)
    assert not mixed.equals(one)
    alone = feature_plan(mixed.lazy(), names).collect().sort("date")
    assert alone.equals(FULL.filter(pl.col("symbol") == "S2").select(alone.columns))


def test_missing_volume_leaves_prices_alone() -> None:
    quiet = BARS.with_columns(pl.lit(None, dtype=pl.Float64).alias("volume"))
    found = feature_plan(quiet.lazy()).collect()
    for name in FEATURES.names():
        reads_volume = name.startswith("volume_") or name.startswith("cross_section_rank_")
        if name.startswith("volume_"):
            assert found[name].null_count() == found.height, name
        elif not reads_volume:
            assert found[name].equals(FULL[name]), name


def test_a_still_price_gives_no_nan() -> None:
    still = BARS.with_columns(pl.lit(10.0).alias(c) for c in ("open", "high", "low", "close"))
    found = feature_plan(still.lazy()).collect()
    for name in FEATURES.names():
        assert found[name].drop_nulls().is_finite().all(), name
