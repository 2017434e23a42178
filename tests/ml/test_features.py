"""Features on bars small enough to check by hand."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml.feature import FEATURES, Feature, feature_plan


def bars(close: list[float], *, symbol: str = "A", **columns: list[float | None]) -> pl.DataFrame:
    """Bars whose other prices equal the close unless given."""
    count = len(close)
    values = {name: columns.get(name, close) for name in ("open", "high", "low")}
    return pl.DataFrame(
        {
            "symbol": [symbol] * count,
            "date": [date(2020, 1, 1) + timedelta(days=i) for i in range(count)],
            **values,
            "close": close,
            "volume": columns.get("volume", [100.0] * count),
        },
        schema_overrides={"volume": pl.Float64},
    )


def last(frame: pl.DataFrame, name: str) -> float | None:
    return feature_plan(frame.lazy(), [name]).collect()[name][-1]


def test_return_and_average_ratio() -> None:
    frame = bars([10.0] * 19 + [11.0])
    assert last(frame, "momentum_return_1") == pytest.approx(0.1)
    assert last(frame, "momentum_average_20") == pytest.approx(11.0 / 10.05 - 1.0)


def test_skip_leaves_out_the_last_twenty_sessions() -> None:
    frame = bars([10.0] + [20.0] * 230 + [80.0] * 20)
    assert last(frame, "momentum_skip_250") == pytest.approx(1.0)
    assert last(frame, "momentum_return_250") == pytest.approx(7.0)


def test_path_is_one_on_a_straight_line_and_zero_on_a_round_trip() -> None:
    straight = bars([1.01**i for i in range(61)])
    assert last(straight, "momentum_path_60") == pytest.approx(1.0)
    assert last(bars([10.0, 11.0] * 30 + [10.0]), "momentum_path_60") == pytest.approx(0.0)


def test_parkinson_of_a_constant_range() -> None:
    frame = bars([10.0] * 20, high=[10.2] * 20, low=[9.9] * 20)
    expected = math.log(10.2 / 9.9) / (2.0 * math.sqrt(math.log(2.0)))
    assert last(frame, "volatility_parkinson_20") == pytest.approx(expected)


def test_close_volatility_is_the_sample_deviation_of_log_returns() -> None:
    close = [10.0, 10.1, 9.9, 10.4, 10.3, 10.0]
    expected = np.diff(np.log(close)).std(ddof=1)
    assert last(bars(close), "volatility_close_5") == pytest.approx(expected)


def test_balance_counts_volume_on_its_side() -> None:
    close = [10.0 + (i % 2) for i in range(21)]  # ten up, ten down
    volume = [0.5] + [300.0 if i % 2 else 100.0 for i in range(1, 21)]
    assert last(bars(close, volume=volume), "volume_balance_20") == pytest.approx(0.5)


def test_one_unknown_volume_makes_the_window_null() -> None:
    volume: list[float | None] = [100.0] * 20
    volume[10] = None
    assert last(bars([10.0] * 20, volume=volume), "volume_relative_20") is None
    assert last(bars([10.0] * 20, volume=[0.0] * 20), "volume_relative_20") is None


def test_rsi_is_wilders() -> None:
    close = [10.0, 11.0, 10.5, 10.5, 12.0, 11.0, 11.6]
    moves = np.diff(close)
    up, down = np.maximum(moves, 0.0), np.maximum(-moves, 0.0)
    gain, loss = up[:5].mean(), down[:5].mean()
    gain, loss = (gain * 4 + up[5]) / 5, (loss * 4 + down[5]) / 5
    assert last(bars(close), "oscillators_rsi_5") == pytest.approx(100 * gain / (gain + loss))


def test_rank_of_three_symbols() -> None:
    frames = [bars([10.0] * 5 + [10.0 + k], symbol="ABC"[k]) for k in range(3)]
    found = feature_plan(pl.concat(frames).lazy(), ["cross_section_rank_return_5"]).collect()
    newest = found.filter(pl.col("date") == date(2020, 1, 6))
    assert newest["cross_section_rank_return_5"].to_list() == pytest.approx([1 / 6, 3 / 6, 5 / 6])


def test_a_need_is_computed_but_not_returned() -> None:
    frame = feature_plan(bars([10.0] * 8).lazy(), ["cross_section_excess_return_1"]).collect()
    assert frame.columns == ["symbol", "date", "cross_section_excess_return_1"]


def test_unknown_feature_names_the_closest() -> None:
    with pytest.raises(ValueError, match="momentum_return_20"):
        FEATURES.get("momentum_retrun_20")


def test_a_feature_that_looks_ahead_fails_the_prefix_test() -> None:
    """The twin: tomorrow's close as a feature is not the same on a cut history."""
    frame = bars([10.0, 11.0, 12.0])
    leak = Feature(pl.col("close").reverse().cum_max().reverse(), 1, "money")
    full = frame.with_columns(leak.expression.over("symbol").alias("x"))["x"].to_list()
    cut = frame.head(2).with_columns(leak.expression.over("symbol").alias("x"))["x"].to_list()
    assert full[:2] != cut
