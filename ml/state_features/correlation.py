"""Correlation: whether symbols move together; common volatility cancels in each column.

For: the axis dispersed or correlated, and proxies that regime models read. Not for: correlation
matrices. The average over all pairs of the product of their returns needs no matrix: with ``N``
symbols it is ``((sum r)^2 - sum r^2) / (N (N - 1))``, and over the mean square it is an average
correlation around zero that any ``N`` leaves unbiased.
"""

from __future__ import annotations

import polars as pl

from ml.state_feature import (
    MEMBERS,
    MOVE,
    SPREAD,
    STATE_FEATURES,
    TINY,
    StateFeature,
    log_strength,
    smooth,
)

_R, _COUNT = pl.col("r"), pl.col("r").count()
_PAIRS = (_R.sum().pow(2) - _R.pow(2).sum()) / (_COUNT * (_COUNT - 1.0))

for _span in (5, 10):
    STATE_FEATURES.register(f"market_comovement_{_span}")(
        StateFeature(
            {"m": MOVE, "spread": SPREAD},
            log_strength(_span),
            _span,
            "log",
            f"log of the average (span {_span}) of the size of market_strength_1",
        )
    )
STATE_FEATURES.register("market_correlation_20")(
    StateFeature(
        {
            "pairs": pl.when(_COUNT >= MEMBERS).then(_PAIRS),
            "square": pl.when(_COUNT >= MEMBERS).then(_R.pow(2).mean()),
        },
        pl.when(smooth(pl.col("square"), 20) > TINY**2).then(
            smooth(pl.col("pairs"), 20) / smooth(pl.col("square"), 20)
        ),
        20,
        "correlation",
        "average product of two symbols' returns over their mean square (span 20)",
    )
)
