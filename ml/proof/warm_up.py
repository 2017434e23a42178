"""Whether a feature's look-back is honest: with so many bars its newest value is complete.

For: comparing a feature on the newest bars alone with the same feature on all of them. Not for:
looking ahead (``ml.proof.leaks``).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from backtest.market.panel import Panel
from ml.feature import FEATURES, feature_plan
from ml.proof.leaks import Finding, values

WARM_UPS = (199, 399, 499, 999)
"""Bars of history with which a feature's newest value is computed again."""


def prove_warm_up(names: Iterable[str], panel: Panel) -> list[Finding]:
    """Ask whether a feature's look-back is honest: older bars hardly move its newest value.

    Parameters
    ----------
    names : iterable of str
        Registered features.
    panel : Panel
        Without missing bars, longer than the largest of ``WARM_UPS``.

    Returns
    -------
    list of Finding
        One per feature; lengths at or below its look-back are not tried.
    """
    chosen, frame, last = list(names), panel.frame(), panel.dates[-1]
    newest = pl.col("date") == pl.lit(last).cast(pl.Date)
    long = feature_plan(frame.lazy(), chosen).filter(newest).collect()
    tried: dict[str, list[str]] = {name: [] for name in chosen}
    counts = dict.fromkeys(chosen, 0)
    for length in WARM_UPS:
        start = pl.lit(panel.dates[-length]).cast(pl.Date)
        recent = frame.filter(pl.col("date") >= start).lazy()
        short = feature_plan(recent, chosen).filter(newest).collect()
        for name in (n for n in chosen if FEATURES.get(n).lookback < length):
            counts[name] += 1
            pair = values(short, name)[0], values(long, name)[0]
            if not np.allclose(*pair, rtol=1e-6, atol=1e-12, equal_nan=True):
                tried[name].append(f"{length} bars")
    return [Finding("feature", n, "warm-up", counts[n], tuple(tried[n])) for n in chosen]
