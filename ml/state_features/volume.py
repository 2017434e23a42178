"""Volume: how much is traded against each symbol's own slow average.

For: the axis thin or heavy. Not for: volume in money or shares of one symbol.
"""

from __future__ import annotations

import polars as pl

from ml.state_feature import STATE_FEATURES, StateFeature, smooth

_MEAN = {"v": pl.col("v").mean()}

STATE_FEATURES.register("market_volume_1")(
    StateFeature(
        _MEAN,
        pl.col("v"),
        20,
        "log",
        "mean log volume over each symbol's own slow average (half-life 756)",
    )
)
STATE_FEATURES.register("market_volume_5")(
    StateFeature(
        _MEAN,
        smooth(pl.col("v"), 5),
        24,
        "log",
        "exponential average (span 5) of market_volume_1",
    )
)
