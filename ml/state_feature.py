"""Socket of state features: columns that say what the whole market is like at a close.

For: what a column of the market's state is made of, and the registry that every family of
``state_features/`` writes into. Not for: computing them (``market_state`` for those of bars,
``book_state`` for those of books), scaling, or choosing what a model is fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.registry import Registry

Floats = npt.NDArray[np.float64]
Unit = Literal["ratio", "log", "decimal", "correlation", "share"]

MEMBERS: Final = 5
"""Fewest symbols that make a cross-section, or a sector within it."""

TINY: Final = 1e-8
"""Below this a size counts as none."""


@dataclass(frozen=True)
class StateFeature:
    """One column of the market's state, computed from bars up to and including its session.

    Three steps: a series per symbol, a number per session over the members of the universe, and a
    series over sessions. Whatever a step names can be read by the next one.

    Parameters
    ----------
    session : mapping of str to polars.Expr
        Numbers of one session, aggregated over symbols. They may read ``r`` (log return), ``z``
        (excess return over the sector's or the session's mean, in the symbol's own deviations
        known the day before, cut at three), ``v`` (log volume over the symbol's own slow
        average), ``close``, and what ``symbol`` names.
    value : polars.Expr
        Over the numbers of sessions in order; nothing later than the row itself.
    lookback : int
        Sessions that must have passed before the value is meant to be complete.
    unit : str
        ``ratio``, ``log``, ``decimal``, ``correlation`` (-1 to 1) or ``share`` (0 to 1).
    meaning : str
        One line for people.
    symbol : mapping of str to polars.Expr
        Series along each symbol's own bars, without ``.over``.
    """

    session: Mapping[str, pl.Expr]
    value: pl.Expr
    lookback: int
    unit: Unit
    meaning: str
    symbol: Mapping[str, pl.Expr] = field(default_factory=dict)


@dataclass(frozen=True)
class BookFeature:
    """One kind of column computed from what a group of candidate sets has earned.

    Parameters
    ----------
    value : callable
        From the group's mean net return ``[time]`` to the column ``[time]``; row ``t`` reads
        returns up to ``t`` only, NaN where unknown.
    lookback, unit, meaning
        As of :class:`StateFeature`.
    """

    value: Callable[[Floats], Floats]
    lookback: int
    unit: Unit
    meaning: str


STATE_FEATURES: Registry[StateFeature] = Registry("state", "ml.state_features")
BOOK_FEATURES: Registry[BookFeature] = Registry("book_state", "ml.book_features")


def smooth(expression: pl.Expr, span: int) -> pl.Expr:
    """Exponential average over ``span`` sessions; null until so many are known."""
    return expression.ewm_mean(span=span, min_samples=span, ignore_nulls=True)


MOVE: Final = pl.col("r").mean()
"""Mean log return of the session's members."""

SPREAD: Final = pl.when(pl.col("r").count() >= MEMBERS).then(
    (pl.col("r") - pl.col("r").mean()).abs().mean()
)
"""Mean absolute distance from that mean; null below ``MEMBERS``."""


def strength() -> pl.Expr:
    """Mean return in units of the session's own dispersion, over ``m`` and ``spread``."""
    return pl.when(pl.col("spread") > TINY).then(pl.col("m") / pl.col("spread"))


def log_strength(span: int) -> pl.Expr:
    """Log of the exponential average of the size of :func:`strength`."""
    size = pl.max_horizontal(strength().abs(), pl.lit(TINY))
    return smooth(pl.when(strength().is_not_null()).then(size), span).log()
