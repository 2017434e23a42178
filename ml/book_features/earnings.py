"""Earnings: what a group of sets earned, in units of its own volatility known the day before.

For: realised evidence of what works, on the day itself and averaged. Not for: ranking sets.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from ml.state_feature import BOOK_FEATURES, BookFeature, Floats, smooth

_HALF_LIFE = 63
_LEAST = 20
_LIMIT = 4.0
_TINY = 1e-12


def _scaled(returns: Floats) -> pl.Series:
    """Return over the volatility known the day before, cut at four; null until that is known."""
    known = pl.Series("r", returns, nan_to_null=True)
    before = known.ewm_std(half_life=_HALF_LIFE, min_samples=_LEAST, ignore_nulls=True).shift(1)
    frame = pl.DataFrame({"r": known, "before": before})
    cut = (pl.col("r") / pl.col("before")).clip(-_LIMIT, _LIMIT)
    return frame.select(pl.when(pl.col("before") > _TINY).then(cut).alias("r"))["r"]


def _average(span: int, returns: Floats) -> Floats:
    """Exponential average of the scaled returns; the returns themselves at span 1."""
    scaled = pl.DataFrame({"r": _scaled(returns)}).select(smooth(pl.col("r"), span))["r"]
    return scaled.fill_null(np.nan).to_numpy().astype(np.float64)


def _over(span: int) -> BookFeature:
    what = "net return of the group over its own volatility (half-life 63) known the day before"
    return BookFeature(
        lambda returns: _average(span, returns),
        _LEAST + span,
        "ratio",
        what if span == 1 else f"exponential average (span {span}) of the {what}",
    )


for _span in (1, 5, 20):
    BOOK_FEATURES.register(f"earned_{_span}")(_over(_span))
