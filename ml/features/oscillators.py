"""Oscillators: bounded or centred read-outs of recent prices, from TA-Lib's formulas.

For: RSI, MACD, bands, stochastic, channel and direction, per symbol. Not for: signals of a
strategy, which have their own exact arithmetic in ``backtest.indicators``. The look-back of a
recursive one is where its seed has faded, not where its first value stands.
"""

from __future__ import annotations

import polars as pl
import polars_talib as ta

from ml.feature import FEATURES, Feature

_CLOSE, _HIGH, _LOW = pl.col("close"), pl.col("high"), pl.col("low")
_FADE = 20


def _band(sessions: int) -> pl.Expr:
    """Where the close stands between mean - 2 and mean + 2 deviations; 0.5 is the mean."""
    mean = _CLOSE.rolling_mean(sessions, min_samples=sessions)
    deviation = _CLOSE.rolling_std(sessions, min_samples=sessions, ddof=0)
    return pl.when(deviation > 1e-9 * mean).then(0.5 + (_CLOSE - mean) / (4.0 * deviation))


def _stochastic(sessions: int) -> pl.Expr:
    """Where the close stands between the lowest low and the highest high; 0 to 100."""
    low = _LOW.rolling_min(sessions, min_samples=sessions)
    width = _HIGH.rolling_max(sessions, min_samples=sessions) - low
    return pl.when(width > 0).then(100.0 * (_CLOSE - low) / width)


for _n in (5, 14, 28):
    FEATURES.register(f"oscillators_rsi_{_n}")(
        Feature(ta.rsi(_CLOSE, timeperiod=_n), _FADE * _n, "index")
    )

_macd = ta.macd(_CLOSE, fastperiod=12, slowperiod=26, signalperiod=9)
FEATURES.register("oscillators_macd_26")(
    Feature(_macd.struct.field("macd") / _CLOSE, _FADE * 26, "decimal")
)
FEATURES.register("oscillators_macd_gap_26")(
    Feature(_macd.struct.field("macdhist") / _CLOSE, _FADE * 26, "decimal")
)
FEATURES.register("oscillators_band_20")(Feature(_band(20), 19, "ratio"))
FEATURES.register("oscillators_stochastic_14")(Feature(_stochastic(14), 13, "index"))
FEATURES.register("oscillators_direction_14")(
    Feature(ta.adx(_HIGH, _LOW, _CLOSE, timeperiod=14), 2 * _FADE * 14, "index")
)
FEATURES.register("oscillators_channel_20")(
    Feature(ta.cci(_HIGH, _LOW, _CLOSE, timeperiod=20), 19, "ratio")
)
