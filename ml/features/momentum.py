"""Momentum: how far the close has come, and where it stands against its own past.

For: returns, average ratios and distances from extremes, per symbol. Not for: ranks across
symbols, which belong to ``cross_section``.
"""

from __future__ import annotations

import polars as pl

from ml.feature import FEATURES, Feature

_CLOSE = pl.col("close")


def _past_return(sessions: int, skip: int = 0) -> pl.Expr:
    """Give the simple return over ``sessions``, leaving out the last ``skip``."""
    return _CLOSE.shift(skip) / _CLOSE.shift(sessions) - 1.0


for _n in (1, 5, 20, 60, 120, 250):
    FEATURES.register(f"momentum_return_{_n}")(Feature(_past_return(_n), _n, "decimal"))

FEATURES.register("momentum_skip_250")(Feature(_past_return(250, 20), 250, "decimal"))

for _n in (20, 50, 200):
    FEATURES.register(f"momentum_average_{_n}")(
        Feature(_CLOSE / _CLOSE.rolling_mean(_n, min_samples=_n) - 1.0, _n - 1, "decimal")
    )

FEATURES.register("momentum_high_250")(
    Feature(_CLOSE / pl.col("high").rolling_max(250, min_samples=250) - 1.0, 249, "decimal")
)
FEATURES.register("momentum_low_250")(
    Feature(_CLOSE / pl.col("low").rolling_min(250, min_samples=250) - 1.0, 249, "decimal")
)
FEATURES.register("momentum_path_60")(
    Feature(
        (_CLOSE / _CLOSE.shift(60)).log()
        / pl.max_horizontal(
            _CLOSE.log().diff().abs().rolling_sum(60, min_samples=60), pl.lit(1e-12)
        ),
        60,
        "ratio",
    )
)
