"""The market's state: what the whole cross-section says at each close, one row per session.

For: the few columns that regime models are fitted on (``STATE_COLUMNS``) and the axes along which
their states are named (``AXES``). Not for: features of single symbols, and not for scaling, which
belongs to the window that a model is fitted on.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.errors import DataError

Floats = npt.NDArray[np.float64]

TREND: Final = "market_return_20"
VOLATILITY: Final = "market_volatility_20"
VOLUME: Final = "market_volume_1"

STATE_COLUMNS: Final = (
    "market_strength_1",
    "market_comovement_5",
    VOLUME,
    "market_autocorrelation_2",
    "market_autocorrelation_12",
)
"""What regime models are fitted on: common volatility cancels in each of them."""

AXES: Final = (TREND, VOLATILITY, VOLUME)
"""What states are named by: bull or bear, calm or volatile, thin or heavy."""

COLUMNS: Final = (*STATE_COLUMNS, TREND, VOLATILITY)
"""Every column of the market's state, in the order of the frame."""

MEMBERS: Final = 5
"""Fewest symbols that make a cross-section, or a sector within it."""

DRIFT: Final = 0.03
"""Mean return, in mean absolute daily moves, from which a state is called bull or bear."""

MARGIN: Final = 0.25
"""Deviations above the window's mean from which a state is called volatile or heavy."""

TINY: Final = 1e-8
_HALF_LIVES: Final = (2, 12)
_OWN_VOLATILITY: Final = 42
_BASELINE: Final = 756
_LIMIT: Final = 3.0


def _excess(name: str, groups: pl.Expr | None, inside: bool) -> pl.Expr:
    """Distance from the mean of the session, or of the sector where that has MEMBERS.

    With ``inside`` both means are those of the members of the universe.
    """
    plain = pl.col(name)
    value = pl.when("member").then(plain) if inside else plain
    if groups is None:
        return plain - value.mean().over("date")
    own = pl.when(value.count().over("date", groups) >= MEMBERS).then(
        value.mean().over("date", groups)
    )
    return plain - pl.coalesce(own, value.mean().over("date"))


def _per_symbol(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Each symbol's return, excess and relative volume, and what was known of it before."""
    present = bars.collect_schema().names()
    for name in ("symbol", "date", "close"):
        if name not in present:
            raise DataError(f"no column {name!r}", where="bars", fix="give symbol, date and close")
    volume = pl.col("volume") if "volume" in present else pl.lit(None, dtype=pl.Float64)
    sector = pl.col("sector").fill_null("") if "sector" in present else None
    own = pl.col("x").ewm_std(half_life=_OWN_VOLATILITY, min_samples=20).shift(1)
    level = pl.col("v").ewm_mean(half_life=_BASELINE, min_samples=20, ignore_nulls=True)
    past = [
        pl.col("z").ewm_mean(half_life=h, min_samples=10, ignore_nulls=True).shift(1)
        for h in _HALF_LIVES
    ]
    return (
        bars.sort("symbol", "date")
        .with_columns(
            pl.col("close").log().diff().over("symbol").alias("r"),
            pl.when(volume > 0).then(volume.log()).cast(pl.Float64).alias("v"),
        )
        .with_columns(_excess("r", sector, "member" in present).alias("x"))
        .with_columns(
            pl.when(own.over("symbol") > TINY)
            .then((pl.col("x") / own.over("symbol")).clip(-_LIMIT, _LIMIT))
            .alias("z"),
            (pl.col("v") - level.over("symbol")).alias("v"),
        )
        .with_columns(
            e.over("symbol").alias(f"z_{h}") for e, h in zip(past, _HALF_LIVES, strict=True)
        )
    )


def _correlation(past: str) -> pl.Expr:
    """Correlation across symbols of today's excess with a past average; null below MEMBERS."""
    both = pl.col("z").is_not_null() & pl.col(past).is_not_null()
    value = pl.corr(pl.col("z").filter(both), pl.col(past).filter(both))
    return pl.when(both.sum() >= MEMBERS).then(value)


def _per_session(parts: pl.LazyFrame) -> pl.LazyFrame:
    """One row per session: plain cross-sectional numbers, not yet averaged over time."""
    if "member" in parts.collect_schema().names():
        parts = parts.filter(pl.col("member"))
    return (
        parts.sort("date", "symbol")
        .group_by("date", maintain_order=True)
        .agg(
            pl.col("r").mean().alias("m"),
            pl.when(pl.col("r").count() >= MEMBERS)
            .then((pl.col("r") - pl.col("r").mean()).abs().mean())
            .alias("spread"),
            pl.col("v").mean().alias("v"),
            *(_correlation(f"z_{h}").alias(f"c_{h}") for h in _HALF_LIVES),
        )
        .sort("date")
    )


def _smooth(expression: pl.Expr, span: int) -> pl.Expr:
    return expression.ewm_mean(span=span, min_samples=span, ignore_nulls=True)


def market_state(bars: pl.LazyFrame) -> pl.DataFrame:
    """Summarise the universe at each close.

    Parameters
    ----------
    bars : polars.LazyFrame
        Columns ``symbol, date, close`` and optional ``volume, sector, member``; at most one row
        per symbol and date, in any order. With ``member`` every cross-section holds members
        only, while a symbol's own averages also know its bars from before it joined.

    Returns
    -------
    polars.DataFrame
        ``date`` and ``COLUMNS``, sorted by date, missing as null:

        - ``market_strength_1``: mean log return over its mean absolute distance from that mean
          across symbols; a move in units of the session's own dispersion.
        - ``market_comovement_5``: log of the EMA (span 5) of its absolute value; a proxy of
          correlation.
        - ``market_volume_1``: mean log volume relative to each symbol's own slow average
          (half-life 756), so that growth and listings leave no trend.
        - ``market_autocorrelation_2``, ``_12``: correlation across symbols of today's excess
          return with its past average of half-life 2 or 12, known the day before: evidence of
          whether reversal or momentum works. Excess is over the sector where that is known, in
          the symbol's own deviations (half-life 42, known the day before), cut at three.
        - ``market_return_20``: EMA (span 20) of the mean log return, decimal per session.
        - ``market_volatility_20``: log of the EMA (span 20) of |mean log return|.

        Fewer than ``MEMBERS`` symbols on a session leave its cross-sectional columns null.

    Raises
    ------
    DataError
        A needed column is missing.

    Examples
    --------
    >>> from datetime import date
    >>> bars = pl.LazyFrame({"symbol": ["A"], "date": [date(2020, 1, 2)], "close": [1.0]})
    >>> market_state(bars).columns[:2]
    ['date', 'market_strength_1']
    """
    m, spread = pl.col("m"), pl.col("spread")
    strength = pl.when(spread > TINY).then(m / spread)
    size = pl.when(m.is_not_null()).then(pl.max_horizontal(m.abs(), pl.lit(TINY)))
    floor = pl.when(strength.is_not_null()).then(pl.max_horizontal(strength.abs(), pl.lit(TINY)))
    frame = _per_session(_per_symbol(bars)).select(
        "date",
        strength.alias("market_strength_1"),
        _smooth(floor, 5).log().alias("market_comovement_5"),
        pl.col("v").alias(VOLUME),
        *(pl.col(f"c_{h}").alias(f"market_autocorrelation_{h}") for h in _HALF_LIVES),
        _smooth(m, 20).alias(TREND),
        _smooth(size, 20).log().alias(VOLATILITY),
    )
    finite = [pl.when(pl.col(c).is_finite()).then(pl.col(c)).alias(c) for c in COLUMNS]
    return frame.select("date", *finite).collect()


def state_matrix(frame: pl.DataFrame) -> tuple[Floats, tuple[str, ...]]:
    """Turn the frame of :func:`market_state` into what regime models read.

    Returns
    -------
    state : float64, ``[time, feature]``
        NaN where the frame is null.
    columns : tuple of str, ``[feature]``
    """
    columns = tuple(name for name in frame.columns if name != "date")
    arrays = [frame[name].cast(pl.Float64).fill_null(math.nan).to_numpy() for name in columns]
    return np.ascontiguousarray(np.column_stack(arrays)), columns  # [T, F]


def name_states(state: Floats, columns: tuple[str, ...], weights: Floats) -> tuple[str, ...]:
    """Name states by where they lie on the axes, on average over a training window.

    Parameters
    ----------
    state : float64, ``[time, feature]``
    columns : tuple of str, ``[feature]``
        Those of ``AXES`` are read; an axis that is missing or unknown throughout counts as
        ``sideways``, ``calm`` or ``thin``.
    weights : float64, ``[time, state]``
        How much each session belongs to each state.

    Returns
    -------
    tuple of str, ``[state]``
        Trend (``bull, sideways, bear``), volatility (``calm, volatile``) and volume (``thin,
        heavy``), for example ``"bull calm thin"``. Bull and bear: the state's mean return is at
        least ``DRIFT`` of a typical daily move away from zero. Volatile and heavy: the state's
        mean lies more than ``MARGIN`` deviations above the window's.
    """
    means = {name: _state_means(state, columns, weights, name) for name in AXES}
    drift, move = means[TREND][0], np.exp(np.nan_to_num(means[VOLATILITY][0]))
    names = []
    for k in range(weights.shape[1]):
        slope = drift[k] / max(move[k], TINY)
        trend = "bull" if slope >= DRIFT else "bear" if slope <= -DRIFT else "sideways"
        volatility = "volatile" if means[VOLATILITY][1][k] > MARGIN else "calm"
        names.append(f"{trend} {volatility} {'heavy' if means[VOLUME][1][k] > MARGIN else 'thin'}")
    return tuple(names)


def _state_means(
    state: Floats, columns: tuple[str, ...], weights: Floats, name: str
) -> tuple[Floats, Floats]:
    """Weighted mean of one axis per state, plain and in deviations from the window's mean."""
    states = weights.shape[1]
    if name not in columns or not np.isfinite(state[:, columns.index(name)]).any():
        return np.full(states, np.nan), np.full(states, np.nan)
    axis = state[:, columns.index(name)]
    seen = np.isfinite(axis)
    weight = weights[seen].sum(axis=0)
    mean = weights[seen].T @ axis[seen] / np.maximum(weight, TINY)  # [K]
    spread = max(float(axis[seen].std()), TINY)
    return mean, (mean - axis[seen].mean()) / spread
