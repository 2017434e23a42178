"""Breadth: how many symbols take part in where the market stands.

For: the share of symbols above their own average. Not for: how far above they are.
"""

from __future__ import annotations

import polars as pl

from ml.state_feature import MEMBERS, STATE_FEATURES, StateFeature

_SPAN = 50
_AVERAGE = pl.col("close").rolling_mean(_SPAN, min_samples=_SPAN)

STATE_FEATURES.register(f"market_breadth_{_SPAN}")(
    StateFeature(
        {"breadth": pl.when(pl.col("above").count() >= MEMBERS).then(pl.col("above").mean())},
        pl.col("breadth"),
        _SPAN,
        "share",
        f"share of symbols that close above their own {_SPAN}-session average",
        symbol={"above": (pl.col("close") > _AVERAGE).cast(pl.Float64)},
    )
)
