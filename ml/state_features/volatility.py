"""Volatility: how large the market's own moves are.

For: the axis calm or volatile. Not for: volatility of single symbols or of their distances.
"""

from __future__ import annotations

import polars as pl

from ml.state_feature import MOVE, STATE_FEATURES, TINY, StateFeature, smooth

_SIZE = pl.when(pl.col("m").is_not_null()).then(pl.max_horizontal(pl.col("m").abs(), pl.lit(TINY)))

STATE_FEATURES.register("market_volatility_20")(
    StateFeature(
        {"m": MOVE},
        smooth(_SIZE, 20).log(),
        20,
        "log",
        "log of the average (span 20) of the size of the mean log return",
    )
)
