"""Cross-section: where a symbol stands among all symbols of the session, and how they stand.

For: ranks and distances of other features within a date, breadth and dispersion. Not for: time
series of one symbol, and never across sessions.
"""

from __future__ import annotations

import polars as pl

from ml.feature import FEATURES, Feature

_RANKED = {
    "return_5": ("momentum_return_5", 5),
    "return_20": ("momentum_return_20", 20),
    "return_60": ("momentum_return_60", 60),
    "skip_250": ("momentum_skip_250", 250),
    "volatility_60": ("volatility_close_60", 60),
    "volume_20": ("volume_relative_20", 19),
    "money_20": ("volume_money_20", 19),
    "rsi_14": ("oscillators_rsi_14", 280),
}


def _known(name: str) -> pl.Expr:
    return pl.col(name).fill_nan(None)


def _rank(name: str) -> pl.Expr:
    """Rank among the known values of the session, in (0, 1); ties share their mean rank."""
    return (_known(name).rank("average") - 0.5) / _known(name).count()


for _what, (_need, _lookback) in _RANKED.items():
    FEATURES.register(f"cross_section_rank_{_what}")(
        Feature(_rank(_need), _lookback, "rank", scope="date", needs=(_need,))
    )

FEATURES.register("cross_section_excess_return_1")(
    Feature(
        _known("momentum_return_1") - _known("momentum_return_1").mean(),
        1,
        "decimal",
        scope="date",
        needs=("momentum_return_1",),
    )
)
FEATURES.register("cross_section_excess_return_20")(
    Feature(
        _known("momentum_return_20") - _known("momentum_return_20").mean(),
        20,
        "decimal",
        scope="date",
        needs=("momentum_return_20",),
    )
)
FEATURES.register("cross_section_breadth_50")(
    Feature(
        (_known("momentum_average_50") > 0).mean(),
        49,
        "ratio",
        scope="date",
        needs=("momentum_average_50",),
    )
)
FEATURES.register("cross_section_dispersion_1")(
    Feature(
        _known("momentum_return_1").std(ddof=1),
        1,
        "decimal",
        scope="date",
        needs=("momentum_return_1",),
    )
)
