"""Autocorrelation: whether reversal or momentum is what works across symbols.

For: correlations across symbols of today's excess return with its own past average, known the day
before. Not for: autocorrelation of the market's own return.
"""

from __future__ import annotations

import polars as pl

from ml.state_feature import MEMBERS, STATE_FEATURES, StateFeature, smooth

HALF_LIVES = (2, 12)


def _past(half_life: int) -> pl.Expr:
    return pl.col("z").ewm_mean(half_life=half_life, min_samples=10, ignore_nulls=True).shift(1)


def _correlation(past: str) -> pl.Expr:
    """Correlation across symbols of today's excess with a past average; null below MEMBERS."""
    both = pl.col("z").is_not_null() & pl.col(past).is_not_null()
    value = pl.corr(pl.col("z").filter(both), pl.col(past).filter(both))
    return pl.when(both.sum() >= MEMBERS).then(value)


for _h in HALF_LIVES:
    _parts = {
        "session": {f"c_{_h}": _correlation(f"z_{_h}")},
        "symbol": {f"z_{_h}": _past(_h)},
    }
    _what = f"today's excess return against its past average of half-life {_h}"
    STATE_FEATURES.register(f"market_autocorrelation_{_h}")(
        StateFeature(
            value=pl.col(f"c_{_h}"),
            lookback=42,
            unit="correlation",
            meaning=_what,
            **_parts,
        )
    )
    STATE_FEATURES.register(f"market_autocorrelation_{_h}_20")(
        StateFeature(
            value=smooth(pl.col(f"c_{_h}").fill_nan(None), 20),
            lookback=62,
            unit="correlation",
            meaning=f"exponential average (span 20) of market_autocorrelation_{_h}",
            **_parts,
        )
    )
