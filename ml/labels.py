"""Labels: what became of a decision, in the only room of ``ml`` that looks forward in time.

For: forward return, direction, rank and triple barrier at every horizon of ``HORIZONS``, and the
plan that computes the chosen ones. Not for: features, and never for anything that is read at the
session that it stands on: a label of horizon ``h`` is known ``h`` sessions later.

A decision at the close of ``t`` is filled at the open of ``t + 1`` and marked at the close of
``t + h``; sessions are counted along the symbol's own bars. Source of the triple barrier: Lopez
de Prado, "Advances in financial machine learning" (2018), chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from backtest.registry import Registry

HORIZONS: Final = (1, 5, 10, 20)
"""Sessions that the labels look ahead."""

SECTOR_MEMBERS: Final = 5
"""Fewest ranked symbols of a sector that are ranked among themselves."""

BARRIER: Final = 1.0
"""Distance of the barriers in deviations of a return over the whole horizon."""

VOLATILITY_SESSIONS: Final = 20
"""Returns behind the volatility that sets the barriers."""


@dataclass(frozen=True)
class Label:
    """One column that reads bars after its own session.

    Parameters
    ----------
    expression : polars.Expr
        Over the bar columns and ``session`` (its number in the whole frame), without ``.over``:
        the plan adds it per symbol. Null where the horizon isn't complete.
    horizon : int
        Sessions of the symbol after which the value is known, and not before.
    unit : str
        ``decimal``, ``class`` (-1, 0, 1) or ``rank``.
    ranked : bool
        Whether the plan turns the values of one session into ranks.
    """

    expression: pl.Expr
    horizon: int
    unit: Literal["decimal", "class", "rank"]
    ranked: bool = False


LABELS: Registry[Label] = Registry("label", "ml.labels")


def label_plan(bars: pl.LazyFrame, names: Iterable[str] | None = None) -> pl.LazyFrame:
    """Compute labels on bars sorted by symbol and date.

    Parameters
    ----------
    bars : polars.LazyFrame
        Columns ``symbol, date, open, close`` and optional ``sector``.
    names : iterable of str, optional
        Registered labels; all of them by default.

    Returns
    -------
    polars.LazyFrame
        ``symbol, date`` and one column per label; null in the last ``horizon`` rows of each
        symbol, never NaN.

    Examples
    --------
    >>> from datetime import date
    >>> bars = pl.LazyFrame(
    ...     {
    ...         "symbol": ["A", "A"],
    ...         "date": [date(2020, 1, 2), date(2020, 1, 3)],
    ...         "open": [1.0, 2.0],
    ...         "close": [1.0, 3.0],
    ...     }
    ... )
    >>> label_plan(bars, ["y_return_1"]).collect()["y_return_1"].to_list()
    [0.5, None]
    """
    parts = {name: LABELS.get(name) for name in (LABELS.names() if names is None else names)}
    present = bars.collect_schema().names()
    sector = pl.col("sector").fill_null("") if "sector" in present else pl.lit("")
    own = [
        part.expression.over("symbol", order_by="date").cast(pl.Float64).alias(name)
        for name, part in parts.items()
    ]
    within = pl.col("member") if "member" in present else pl.lit(value=True)
    ranks = [_rank(name, within).alias(name) for name, part in parts.items() if part.ranked]
    plan = bars.with_columns(
        sector.alias("sector"), pl.col("date").rank("dense").cast(pl.Int64).alias("session")
    )
    return plan.with_columns(own).with_columns(ranks).select("symbol", "date", *sorted(parts))


def _rank(name: str, within: pl.Expr) -> pl.Expr:
    """Rank in (0, 1) within the sector where it has enough members, else among all members.

    Symbols outside the universe at that close have no rank.
    """
    value, named = pl.when(within).then(pl.col(name)), pl.col("sector") != ""
    place = (value.rank("average") - 0.5) / value.count()
    enough = named & (value.count().over("date", "sector") >= SECTOR_MEMBERS)
    return pl.when(enough).then(place.over("date", "sector")).otherwise(place.over("date"))


def _earned(sessions: int) -> pl.Expr:
    """Simple return from the next open to the close ``sessions`` ahead."""
    earned = pl.col("close").shift(-sessions) / pl.col("open").shift(-1) - 1.0
    return pl.when(earned.is_finite()).then(earned)


def _same_sessions(horizon: int) -> pl.Expr:
    """Return where no session of the market is missed on the way.

    A symbol that misses a bar would be compared over other sessions than the rest, and its rank
    would move those of symbols whose own horizon is complete earlier.
    """
    whole = pl.col("session").shift(-horizon) - pl.col("session") == horizon
    return pl.when(whole).then(_earned(horizon))


def _barrier(horizon: int) -> pl.Expr:
    """Which barrier a close touches first: 1 above, -1 below, 0 neither within the horizon.

    Null until the horizon is complete, even where a barrier was touched before: else the newest
    rows would hold quick outcomes alone.
    """
    change = pl.col("close") / pl.col("close").shift(1) - 1.0
    volatility = change.rolling_std(VOLATILITY_SESSIONS, min_samples=VOLATILITY_SESSIONS)
    width = BARRIER * volatility * horizon**0.5
    touched = [
        pl.when(_earned(k) >= width).then(1.0).when(_earned(k) <= -width).then(-1.0)
        for k in range(1, horizon + 1)
    ]
    complete = _earned(horizon).is_not_null() & (width > 0.0)
    return pl.when(complete).then(pl.coalesce(*touched, pl.lit(0.0)))


for _h in HORIZONS:
    _y = _earned(_h)
    LABELS.register(f"y_return_{_h}")(Label(_y, _h, "decimal"))
    LABELS.register(f"y_direction_{_h}")(
        Label(pl.when(_y.is_not_null()).then((_y > 0.0).cast(pl.Float64)), _h, "class")
    )
    LABELS.register(f"y_rank_{_h}")(Label(_same_sessions(_h), _h, "rank", ranked=True))
    LABELS.register(f"y_barrier_{_h}")(Label(_barrier(_h), _h, "class"))
