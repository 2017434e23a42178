"""Socket of features: an expression, its look-back and its unit, and one lazy plan for all.

For: the registry that every family of ``features/`` writes into, and the plan that computes the
chosen ones in one pass. Not for: labels, scaling or selection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from backtest.registry import Registry


@dataclass(frozen=True)
class Feature:
    """One column computed from bars up to and including its own session.

    Parameters
    ----------
    expression : polars.Expr
        Over the bar columns, without ``.over``: the plan adds it by ``scope``.
    lookback : int
        Sessions that must have passed before the value is meant to be complete; for recursive
        indicators, after which a longer history moves the value by less than 1e-6 relative.
    unit : str
        ``decimal``, ``ratio``, ``rank``, ``log``, ``index`` (0 to 100) or ``money``.
    scope : str
        ``symbol`` (a time series per symbol) or ``date`` (a cross-section; then ``expression``
        may read columns of ``needs``).
    needs : tuple of str
        Names of features that must be computed first; a cross-section ranks them.
    """

    expression: pl.Expr
    lookback: int
    unit: Literal["decimal", "ratio", "rank", "log", "index", "money"]
    scope: Literal["symbol", "date"] = "symbol"
    needs: tuple[str, ...] = ()


FEATURES: Registry[Feature] = Registry("feature", "ml.features")


def feature_plan(bars: pl.LazyFrame, names: Iterable[str] | None = None) -> pl.LazyFrame:
    """Compute features on bars sorted by symbol and date.

    Parameters
    ----------
    bars : polars.LazyFrame
        Columns ``symbol, date, open, high, low, close, volume`` and optional ``sector`` and
        ``member``: cross-sections then hold members only, and are null for the others.
    names : iterable of str, optional
        Registered features; all of them by default.

    Returns
    -------
    polars.LazyFrame
        ``symbol, date`` and one column per feature; missing is null, never NaN.
    """
    chosen = list(FEATURES.names() if names is None else names)
    parts = {name: FEATURES.get(name) for name in chosen}
    for name in list(parts):
        for need in parts[name].needs:
            parts.setdefault(need, FEATURES.get(need))
    series = [
        part.expression.over("symbol", order_by="date").alias(name)
        for name, part in parts.items()
        if part.scope == "symbol"
    ]
    inside = "member" in bars.collect_schema().names()
    cross = [
        _cross_section(part.expression, inside).alias(name)
        for name, part in parts.items()
        if part.scope == "date"
    ]
    plan = bars.with_columns(series).with_columns(cross)
    return plan.select(
        "symbol", "date", *(pl.col(n).cast(pl.Float64).fill_nan(None) for n in sorted(chosen))
    )


def _cross_section(expression: pl.Expr, inside: bool) -> pl.Expr:
    """Evaluate over all symbols of a session, or over its members alone."""
    if not inside:
        return expression.over("date")
    return pl.when("member").then(expression.over("date", "member"))
