"""Volume: how much is traded, on which side, and what a trade does to the price.

For: relative volume, money flow and illiquidity, per symbol; null wherever a session of the
look-back has no volume. Not for: prices alone.
"""

from __future__ import annotations

import polars as pl

from ml.feature import FEATURES, Feature

_VOLUME = pl.when(pl.col("volume") > 0).then(pl.col("volume"))
_CLOSE = pl.col("close")
_MONEY = _CLOSE * _VOLUME
_TYPICAL = (pl.col("high") + pl.col("low") + _CLOSE) / 3.0


def _mean(expression: pl.Expr, sessions: int) -> pl.Expr:
    return expression.rolling_mean(sessions, min_samples=sessions)


def _signed(direction: pl.Expr, amount: pl.Expr, sessions: int) -> pl.Expr:
    """Share of ``amount`` traded upward minus that traded downward, in [-1, 1]."""
    net = (direction * amount).rolling_sum(sessions, min_samples=sessions)
    return (net / amount.rolling_sum(sessions, min_samples=sessions)).clip(-1.0, 1.0)


for _n in (5, 20, 60):
    FEATURES.register(f"volume_relative_{_n}")(
        Feature((_VOLUME / _mean(_VOLUME, _n)).log(), _n - 1, "log")
    )

FEATURES.register("volume_trend_60")(
    Feature((_mean(_VOLUME, 10) / _mean(_VOLUME, 60)).log(), 59, "log")
)
FEATURES.register("volume_money_20")(Feature(_mean(_MONEY, 20), 19, "money"))
# On-balance volume (Granville) as a share of the volume traded, so that symbols compare.
FEATURES.register("volume_balance_20")(
    Feature(_signed(_CLOSE.diff().sign(), _VOLUME, 20), 20, "ratio")
)
# Money flow index, from typical prices; 50 where as much flows in as out.
FEATURES.register("volume_flow_14")(
    Feature(50.0 + 50.0 * _signed(_TYPICAL.diff().sign(), _TYPICAL * _VOLUME, 14), 14, "index")
)
# Amihud (2002): mean |return| per unit of money traded, as a log; none where nothing moved.
_IMPACT = _mean((_CLOSE / _CLOSE.shift(1) - 1.0).abs() / _MONEY, 20)
FEATURES.register("volume_amihud_20")(Feature(pl.when(_IMPACT > 0).then(_IMPACT.log()), 20, "log"))
FEATURES.register("volume_noise_20")(
    Feature(_VOLUME.log().rolling_std(20, min_samples=20), 19, "log")
)
