"""Dispersion: how far symbols part from each other.

For: what there is to gain from choosing among symbols. Not for: which of them differ.
"""

from __future__ import annotations

import polars as pl

from ml.state_feature import MOVE, SPREAD, STATE_FEATURES, TINY, StateFeature, smooth

_SPREAD = pl.col("spread")
_SIZE = pl.when(_SPREAD.is_not_null()).then(pl.max_horizontal(_SPREAD, pl.lit(TINY)))

for _span in (1, 5):
    STATE_FEATURES.register(f"market_dispersion_{_span}")(
        StateFeature(
            {"m": MOVE, "spread": SPREAD},
            smooth(_SIZE, _span).log(),
            _span,
            "log",
            f"log of the mean absolute distance from the mean return (span {_span})",
        )
    )
