"""The market's state: numbers checked by hand, and nothing from tomorrow in them."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import DataError
from backtest.seeds import generator
from ml.market_state import (
    AXES,
    COLUMNS,
    STATE_COLUMNS,
    TREND,
    VOLATILITY,
    VOLUME,
    market_state,
    name_states,
    state_matrix,
)
from ml.state_feature import STATE_FEATURES

DAYS = [date(2020, 1, 1) + timedelta(days=i) for i in range(400)]


def bars_of(sessions: int = 300, symbols: int = 12, *, sectors: int = 2) -> pl.DataFrame:
    """A random market in which one symbol is listed late and one is delisted."""
    frames = []
    for k in range(symbols):
        random = generator(5, f"state/{k}")
        market = generator(5, "state/market").standard_normal(sessions)
        steps = 0.006 * market + 0.01 * random.standard_normal(sessions)
        frame = pl.DataFrame(
            {
                "symbol": [f"S{k:02d}"] * sessions,
                "date": DAYS[:sessions],
                "close": 20.0 * np.exp(np.cumsum(steps)),
                "volume": np.rint(1e5 * np.exp(0.3 * random.standard_normal(sessions))),
                "sector": [f"sector {k % sectors}"] * sessions,
            }
        )
        frames.append(frame[60:] if k == 1 else frame[:200] if k == 2 else frame)
    return pl.concat(frames)


BARS = bars_of()
FULL = market_state(BARS.lazy())


def closes(*series: list[float]) -> pl.LazyFrame:
    return pl.concat(
        pl.DataFrame({"symbol": [f"S{k}"] * len(s), "date": DAYS[: len(s)], "close": s})
        for k, s in enumerate(series)
    ).lazy()


def test_columns_and_dates() -> None:
    assert FULL.columns == ["date", *COLUMNS]
    assert set(STATE_COLUMNS) | set(AXES) <= set(COLUMNS)
    assert set(COLUMNS) == set(STATE_FEATURES.names())
    assert FULL["date"].to_list() == DAYS[:300]
    assert FULL[50:].null_count().sum_horizontal()[0] == 0


def test_strength_is_the_mean_return_in_units_of_its_dispersion() -> None:
    found = market_state(
        closes(*([10.0, 10.0 * math.exp(r)] for r in (0.0, 0.01, 0.02, 0.03, 0.04)))
    )
    # mean 0.02, distances .02 .01 0 .01 .02: mean distance 0.012
    assert found["market_strength_1"][1] == pytest.approx(0.02 / 0.012)
    assert found["market_strength_1"][0] is None


def test_four_symbols_make_no_cross_section_but_a_return() -> None:
    frame = bars_of(symbols=4)
    found = market_state(frame.lazy())
    for name in ("market_strength_1", "market_comovement_5", "market_autocorrelation_2"):
        assert found[name].null_count() == found.height
    assert found[TREND][100] is not None
    assert found[VOLUME][100] is not None


def test_return_and_volatility_are_averages_of_the_mean_return() -> None:
    series = [math.exp(0.01 * i) for i in range(40)]
    found = market_state(closes(series))
    assert found[TREND][39] == pytest.approx(0.01)
    assert found[VOLATILITY][39] == pytest.approx(math.log(0.01))
    assert found[TREND].null_count() == 20  # the first session has no return, then 19 to average


def test_autocorrelation_sees_reversal_and_momentum() -> None:
    """Each symbol's distance from the mean flips its sign every session, or keeps it."""
    levels = [-0.03, -0.01, 0.005, 0.01, 0.02, 0.005]
    flips = [[x * (-1.0) ** t for t in range(80)] for x in levels]
    keeps = [[x * (1.0 + 0.2 * (-1.0) ** t) for t in range(80)] for x in levels]
    for steps, sign in ((flips, -1.0), (keeps, 1.0)):
        paths = ([10.0 * math.exp(s) for s in np.cumsum(x)] for x in steps)
        found = market_state(closes(*paths))["market_autocorrelation_2"]
        assert found[-1] == pytest.approx(sign, abs=0.01)


def test_volume_is_relative_to_the_symbols_own_past() -> None:
    frame = pl.DataFrame(
        {
            "symbol": ["A"] * 100,
            "date": DAYS[:100],
            "close": [10.0 + 0.01 * i for i in range(100)],
            "volume": [100.0] * 99 + [200.0],
        }
    )
    found = market_state(frame.lazy())[VOLUME]
    keep = 0.5 ** (1 / 756)
    share = (1 - keep) / (1 - keep**100)  # weight of the newest of a hundred
    assert found[98] == pytest.approx(0.0, abs=1e-12)
    assert found[99] == pytest.approx(math.log(2.0) * (1 - share))


@pytest.mark.parametrize("volume", ["absent", "null", "zero"])
def test_without_volume_only_its_column_is_null(volume: str) -> None:
    value = {"null": None, "zero": 0.0}.get(volume)
    frame = BARS.with_columns(pl.lit(value, dtype=pl.Float64).alias("volume"))
    found = market_state((frame.drop("volume") if volume == "absent" else frame).lazy())
    columns = [VOLUME, "market_volume_5"]
    assert found.select(columns).null_count().row(0) == (found.height,) * 2
    assert found.drop(columns).equals(FULL.drop(columns))


def test_still_prices_are_null_or_finite() -> None:
    found = market_state(closes(*([10.0] * 60 for _ in range(6))))
    assert found["market_strength_1"].null_count() == 60
    for name in COLUMNS:
        assert found[name].drop_nulls().is_finite().all()


@pytest.mark.parametrize("cut", [30, 61, 150, 201, 299])
def test_history_cut_at_t_equals_the_full_history_up_to_t(cut: int) -> None:
    short = market_state(BARS.filter(pl.col("date") <= DAYS[cut - 1]).lazy())
    assert short.equals(FULL[:cut])


def test_order_of_rows_does_not_matter() -> None:
    assert market_state(BARS.sample(fraction=1.0, shuffle=True, seed=3).lazy()).equals(FULL)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 100.0), count=st.integers(1, 10))
def test_prices_in_another_currency_change_nothing(scale: float, count: int) -> None:
    some = [f"S{k:02d}" for k in range(count)]
    scaled = BARS.with_columns(
        pl.when(pl.col("symbol").is_in(some)).then(scale).otherwise(1.0) * pl.col("close")
    )
    found, _ = state_matrix(market_state(scaled.lazy()))
    np.testing.assert_allclose(found, state_matrix(FULL)[0], rtol=1e-6, atol=1e-8)


def test_a_move_of_a_whole_sector_is_no_momentum_of_its_members() -> None:
    lift = pl.when(pl.col("sector") == "sector 0").then(1.05 ** (pl.col("date").dt.ordinal_day()))
    lifted = BARS.with_columns(pl.col("close") * lift.otherwise(1.0))
    found = market_state(lifted.filter(pl.col("date") < date(2020, 12, 31)).lazy())
    blind = market_state(lifted.drop("sector").filter(pl.col("date") < date(2020, 12, 31)).lazy())
    assert found["market_autocorrelation_12"][80:].mean() < 0.1
    assert blind["market_autocorrelation_12"][80:].mean() > 0.5


def test_a_session_without_members_keeps_its_row() -> None:
    inside = (pl.col("date") >= DAYS[50]) & ~pl.col("date").is_between(DAYS[120], DAYS[124])
    found = market_state(BARS.with_columns(inside.alias("member")).lazy())
    assert found["date"].to_list() == DAYS[:300]
    assert found["market_strength_1"][:50].null_count() == 50
    assert found["market_strength_1"][120:125].null_count() == 5
    known = [*range(50, 120), *range(125, 300)]
    np.testing.assert_array_equal(
        found["market_strength_1"].to_numpy()[known], FULL["market_strength_1"].to_numpy()[known]
    )


@pytest.mark.parametrize("bad", [0.0, -3.0, math.nan, math.inf, None])
def test_a_close_that_is_no_price_is_as_if_it_were_not_there(bad: float | None) -> None:
    here = (pl.col("symbol") == "S05") & (pl.col("date") == DAYS[150])
    spoilt = BARS.with_columns(
        pl.when(here).then(pl.lit(bad, dtype=pl.Float64)).otherwise("close").alias("close")
    )
    assert market_state(spoilt.lazy()).equals(market_state(BARS.filter(~here).lazy()))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_a_volume_that_is_no_number_is_unknown(bad: float) -> None:
    here = (pl.col("symbol") == "S05") & (pl.col("date") == DAYS[150])
    spoilt, unknown = (
        BARS.with_columns(
            pl.when(here).then(pl.lit(v, dtype=pl.Float64)).otherwise("volume").alias("volume")
        )
        for v in (bad, None)
    )
    assert market_state(spoilt.lazy()).equals(market_state(unknown.lazy()))


@pytest.mark.parametrize(("absent", "counts"), [(4, True), (5, False)])
def test_a_move_over_a_long_halt_is_not_one_session_s(absent: int, counts: bool) -> None:
    flat = [[10.0] * 120 for _ in range(6)]
    flat[0][60 + absent :] = [30.0] * (60 - absent)
    halted = (pl.col("symbol") == "S0") & pl.col("date").is_between(DAYS[60], DAYS[59 + absent])
    found = market_state(closes(*flat).filter(~halted))
    moved = found[TREND][60 + absent]
    assert (moved > 1e-3) if counts else moved == 0.0


def test_a_missing_column_is_one_line() -> None:
    with pytest.raises(DataError, match="E_DATA: no column 'close'"):
        market_state(BARS.drop("close").lazy())


def test_state_matrix_turns_null_into_nan() -> None:
    state, columns = state_matrix(FULL)
    assert state.shape == (300, len(COLUMNS))
    assert columns == COLUMNS
    assert np.isnan(state[0]).any()
    assert not np.isnan(state[50:]).any()


def test_names_follow_the_axes() -> None:
    move = math.log(0.01)
    state = np.array(
        [[0.001, move - 1, -1.0, 0.1]] * 4
        + [[0.0, move, 0.0, 0.1]] * 4
        + [[-0.002, move + 1, 2.0, 0.4]] * 4
    )
    weights = np.repeat(np.eye(3), 4, axis=0)
    names = name_states(state, AXES, weights)
    assert names == (
        "bull calm thin dispersed",
        "sideways calm thin dispersed",
        "bear volatile heavy correlated",
    )


def test_names_without_volatility_keep_their_trend() -> None:
    state = np.array([[0.02, np.nan, 0.0, 0.1]] * 5 + [[-0.02, np.nan, 0.0, 0.1]] * 5)
    names = name_states(state, AXES, np.repeat(np.eye(2), 5, axis=0))
    assert [name.split()[0] for name in names] == ["bull", "bear"]


def test_names_without_volume_are_thin_and_without_axes_sideways() -> None:
    state = np.array([[0.01, -4.0, np.nan, np.nan]] * 3)
    weights = np.ones((3, 1))
    assert name_states(state, AXES, weights) == ("bull calm thin dispersed",)
    assert name_states(state, ("a", "b", "c", "d"), weights) == ("sideways calm thin dispersed",)


def test_the_same_bars_give_the_same_bits_every_time():
    """Sums over symbols are in one order, however the query is planned or threaded."""
    first = market_state(BARS.lazy(), ["market_correlation_20"])
    for _ in range(100):
        assert market_state(BARS.lazy(), ["market_correlation_20"]).equals(first)
