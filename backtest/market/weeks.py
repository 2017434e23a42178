"""Weekly bars of a daily panel.

For: judging a strategy on two timeframes at once. Not for: bars finer than a session
(``timeframe``).

A week is a calendar week from Monday on. Its bar carries the date of its last session and counts
only once a session of a later week is there: else a cut in the middle of a week would show a bar
that changes afterwards.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from backtest.errors import DataError
from backtest.market.panel import Bools, Floats, Panel

WEEKS_PER_YEAR = 52


def weekly(panel: Panel) -> Panel:
    """Fold a panel of sessions into one of weeks.

    Open is the first, close the last, high and low the extremes of the tradable sessions, volume
    the sum of what is known. A week can be traded where one of its sessions can; a symbol is a
    member where it is one at the week's last session.

    Raises
    ------
    DataError
        ``E_TOO_SHORT``: no week is over.
    """
    monday = (panel.dates.astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday
    starts = np.flatnonzero(np.diff(monday, prepend=monday[0] - 1))
    if len(starts) < 2:
        raise DataError(
            f"{len(panel.dates)} sessions hold no whole week",
            fix="give more history",
            code="E_TOO_SHORT",
        )
    over = starts[-1]  # the last week may go on
    heads, last = starts[:-1], starts[1:] - 1
    tradable = panel.tradable[:, :over]
    here = np.where(tradable, np.arange(over), over)
    first = np.minimum.reduceat(here, heads, axis=1)  # [S, W]
    final = np.maximum.reduceat(np.where(tradable, np.arange(over), -1), heads, axis=1)
    traded = np.logical_or.reduceat(tradable, heads, axis=1)

    def picked(values: Floats, at: np.ndarray) -> Floats:
        """Value at a session of each week; NaN where the symbol has no bar in it."""
        taken = np.take_along_axis(values, np.clip(at, 0, over - 1), axis=1)
        return np.where(traded, taken, np.nan)

    known = tradable & ~np.isnan(panel.volume[:, :over])
    volume = np.add.reduceat(np.where(known, panel.volume[:, :over], 0.0), heads, axis=1)
    some: Bools = np.logical_or.reduceat(known, heads, axis=1)
    high = np.where(tradable, panel.high[:, :over], -np.inf)
    low = np.where(tradable, panel.low[:, :over], np.inf)
    return dataclasses.replace(
        panel,
        dates=panel.dates[last],
        open=picked(panel.open, first),
        close=picked(panel.close, final),
        high=np.where(traded, np.maximum.reduceat(high, heads, axis=1), np.nan),
        low=np.where(traded, np.minimum.reduceat(low, heads, axis=1), np.nan),
        volume=np.where(some, volume, np.nan),
        tradable=traded,
        member=panel.member[:, last],
        periods_per_year=WEEKS_PER_YEAR,
    )
