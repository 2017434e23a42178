"""Volatility: how widely a symbol moves, from closes, ranges and nights.

For: deviations per session (not annualised: the profile knows the sessions of a year) and their
ratios, per symbol. Not for: the market's volatility, which belongs to ``market_state``.
"""

from __future__ import annotations

import math

import polars as pl

from ml.feature import FEATURES, Feature

_LOG_RETURN = pl.col("close").log().diff()
_RANGE = (pl.col("high") / pl.col("low")).log()
_BODY = (pl.col("close") / pl.col("open")).log()
_NIGHT = (pl.col("open") / pl.col("close").shift(1)).log()


def _deviation(expression: pl.Expr, sessions: int) -> pl.Expr:
    return expression.rolling_std(sessions, min_samples=sessions)


def _root_mean(expression: pl.Expr, sessions: int) -> pl.Expr:
    """Square root of the mean of squares that may be slightly negative in sum."""
    mean = expression.rolling_mean(sessions, min_samples=sessions)
    return mean.clip(lower_bound=0.0).sqrt()


def _ratio(above: pl.Expr, below: pl.Expr) -> pl.Expr:
    return pl.when(below > 1e-9).then(above / below)


for _n in (5, 20, 60):
    FEATURES.register(f"volatility_close_{_n}")(Feature(_deviation(_LOG_RETURN, _n), _n, "decimal"))

# Parkinson (1980): E[log(high / low)^2] = 4 log(2) sigma^2.
FEATURES.register("volatility_parkinson_20")(
    Feature(_root_mean(_RANGE**2 / (4.0 * math.log(2.0)), 20), 19, "decimal")
)
# Garman and Klass (1980): 0.5 log(high / low)^2 - (2 log 2 - 1) log(close / open)^2.
FEATURES.register("volatility_garman_klass_20")(
    Feature(_root_mean(0.5 * _RANGE**2 - (2.0 * math.log(2.0) - 1.0) * _BODY**2, 20), 19, "decimal")
)
FEATURES.register("volatility_night_20")(Feature(_deviation(_NIGHT, 20), 20, "decimal"))
FEATURES.register("volatility_downside_20")(
    Feature(_root_mean(_LOG_RETURN.clip(upper_bound=0.0) ** 2, 20), 20, "decimal")
)
FEATURES.register("volatility_range_20")(
    Feature(_RANGE.rolling_mean(20, min_samples=20), 19, "decimal")
)
FEATURES.register("volatility_ratio_60")(
    Feature(_ratio(_deviation(_LOG_RETURN, 5), _deviation(_LOG_RETURN, 60)), 60, "ratio")
)
FEATURES.register("volatility_of_volatility_60")(
    Feature(
        _ratio(
            _deviation(_RANGE, 60),
            _RANGE.rolling_mean(60, min_samples=60),
        ),
        59,
        "ratio",
    )
)
