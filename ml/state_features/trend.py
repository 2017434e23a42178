"""Trend: where the market goes, and how far in units of its own dispersion.

For: the axis bull or bear, and the daily move in which common volatility cancels. Not for:
trends of single symbols.
"""

from __future__ import annotations

import polars as pl

from ml.state_feature import MOVE, SPREAD, STATE_FEATURES, StateFeature, smooth, strength

STATE_FEATURES.register("market_strength_1")(
    StateFeature(
        {"m": MOVE, "spread": SPREAD},
        strength(),
        1,
        "ratio",
        "mean log return over the mean absolute distance from it",
    )
)
STATE_FEATURES.register("market_return_20")(
    StateFeature(
        {"m": MOVE},
        smooth(pl.col("m"), 20),
        20,
        "decimal",
        "exponential average (span 20) of the mean log return, per session",
    )
)
