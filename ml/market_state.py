"""The market's state: what the whole cross-section says at each close, one row per session.

For: the plan that computes the registered state features, the few columns that regime models are
fitted on (``STATE_COLUMNS``) and the axes along which their states are named (``AXES``). Not for:
features of single symbols, and not for scaling, which belongs to the window that a model is
fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.errors import DataError
from ml.state_feature import MEMBERS, STATE_FEATURES, TINY, StateFeature

Floats = npt.NDArray[np.float64]

TREND: Final = "market_return_20"
VOLATILITY: Final = "market_volatility_20"
VOLUME: Final = "market_volume_1"
CORRELATION: Final = "market_correlation_20"

STATE_COLUMNS: Final = (
    "market_strength_1",
    "market_comovement_5",
    VOLUME,
    "market_autocorrelation_2",
    "market_autocorrelation_12",
)
"""What regime models are fitted on: common volatility cancels in each of them."""

AXES: Final = (TREND, VOLATILITY, VOLUME, CORRELATION)
"""What states are named by: bull or bear, calm or volatile, thin or heavy, dispersed or not."""

_FIRST = (*STATE_COLUMNS, TREND, VOLATILITY, CORRELATION)
COLUMNS: Final = (*_FIRST, *(name for name in STATE_FEATURES.names() if name not in _FIRST))
"""Every column of the market's state, in the order of the frame: all that are registered."""

DRIFT: Final = 0.03
"""Mean return, in mean absolute daily moves, from which a state is called bull or bear."""

MARGIN: Final = 0.25
"""Deviations above the window's mean from which a state is volatile, heavy or correlated."""

TRENDS: Final = ("bull", "sideways", "bear")
"""Words of the trend."""

WORDS: Final = {
    VOLATILITY: ("calm", "volatile"),
    VOLUME: ("thin", "heavy"),
    CORRELATION: ("dispersed", "correlated"),
}
"""Words of the other axes: not above the window's mean by ``MARGIN``, and above."""

_OWN_VOLATILITY: Final = 42
_BASELINE: Final = 756
_LIMIT: Final = 3.0
_GAP: Final = 5
_MOVE_OF_TREND: Final = 3.6
"""Mean size of independent daily moves over the deviation of their average of span 20."""


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


def _prepared(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Each symbol's return ``r``, excess ``z`` and relative volume ``v``, known at its close."""
    present = bars.collect_schema().names()
    for name in ("symbol", "date", "close"):
        if name not in present:
            raise DataError(f"no column {name!r}", where="bars", fix="give symbol, date and close")
    volume = pl.col("volume") if "volume" in present else pl.lit(None, dtype=pl.Float64)
    sector = pl.col("sector").fill_null("") if "sector" in present else None
    session = pl.col("date").rank("dense").cast(pl.Int64)
    own = pl.col("x").ewm_std(half_life=_OWN_VOLATILITY, min_samples=20).shift(1)
    level = pl.col("v").ewm_mean(half_life=_BASELINE, min_samples=20, ignore_nulls=True)
    return (
        bars.with_columns(session.alias("session"))
        .filter(pl.col("close").is_finite() & (pl.col("close") > 0))
        .sort("symbol", "date")
        .with_columns(
            pl.when(pl.col("session").diff() <= _GAP)
            .then(pl.col("close").log().diff())
            .over("symbol")
            .alias("r"),
            pl.when(volume.is_finite() & (volume > 0))
            .then(volume.log())
            .cast(pl.Float64)
            .alias("v"),
        )
        .with_columns(_excess("r", sector, "member" in present).alias("x"))
        .with_columns(
            pl.when(own.over("symbol") > TINY)
            .then((pl.col("x") / own.over("symbol")).clip(-_LIMIT, _LIMIT))
            .alias("z"),
            (pl.col("v") - level.over("symbol")).alias("v"),
        )
    )


def _together(steps: Iterable[Mapping[str, pl.Expr]]) -> list[pl.Expr]:
    """Expressions of all parts by name, each once.

    Raises
    ------
    ValueError
        Two parts give one name to different things.
    """
    known: dict[str, pl.Expr] = {}
    for step in steps:
        for name, expression in step.items():
            if not known.setdefault(name, expression).meta.eq(expression):
                raise ValueError(f"two state features name different things {name!r}")
    return [expression.alias(name) for name, expression in known.items()]


def market_state(bars: pl.LazyFrame, names: Iterable[str] = COLUMNS) -> pl.DataFrame:
    """Summarise the universe at each close.

    Parameters
    ----------
    bars : polars.LazyFrame
        Columns ``symbol, date, close`` and optional ``volume, sector, member``; at most one row
        per symbol and date, in any order. With ``member`` every cross-section holds members
        only, while a symbol's own averages also know its bars from before it joined. Rows whose
        close is not a positive number are left out, and so is the move of a symbol that comes
        back after more than five sessions.
    names : iterable of str
        Registered state features; all of them by default.

    Returns
    -------
    polars.DataFrame
        ``date`` and the columns named, one row per date of ``bars`` in order, missing as null;
        what each means and its unit stand in ``STATE_FEATURES``. Fewer than ``MEMBERS`` symbols
        on a session leave its cross-sectional columns null.

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
    parts: dict[str, StateFeature] = {name: STATE_FEATURES.get(name) for name in names}
    own = [e.over("symbol") for e in _together(part.symbol for part in parts.values())]
    rows = _prepared(bars).with_columns(own)
    if "member" in rows.collect_schema().names():
        rows = rows.filter(pl.col("member"))
    numbers = (
        rows.sort("date", "symbol")
        .group_by("date", maintain_order=True)
        .agg(_together(part.session for part in parts.values()))
        # Collected here: for a join alone the planner drops both orders, and sums differ by a bit.
        .collect()
    )
    dates = bars.select("date").unique()
    sessions = dates.join(numbers.lazy(), on="date", how="left").sort("date")
    frame = sessions.select("date", *(part.value.alias(name) for name, part in parts.items()))
    finite = [pl.when(pl.col(c).is_finite()).then(pl.col(c)).alias(c) for c in parts]
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
        ``sideways``, ``calm``, ``thin`` or ``dispersed``.
    weights : float64, ``[time, state]``
        How much each session belongs to each state.

    Returns
    -------
    tuple of str, ``[state]``
        Trend (``bull, sideways, bear``), volatility (``calm, volatile``), volume (``thin,
        heavy``) and correlation (``dispersed, correlated``), for example ``"bull calm thin
        dispersed"``. Bull and bear: the state's mean return is at least ``DRIFT`` of a typical
        daily move away from zero, which is told from the trend's own deviation where volatility is
        unknown. Volatile, heavy and correlated: the state's mean lies more
        than ``MARGIN`` deviations above the window's.
    """
    means = {name: _state_means(state, columns, weights, name) for name in AXES}
    drift, move = means[TREND][0], np.exp(means[VOLATILITY][0])
    if np.isnan(move).all() and TREND in columns:
        trend = state[:, columns.index(TREND)]
        known = trend[np.isfinite(trend)]
        move = np.full_like(drift, _MOVE_OF_TREND * known.std() if known.size else np.nan)
    names = []
    for k in range(weights.shape[1]):
        slope = drift[k] / max(np.nan_to_num(move[k]), TINY)
        words = ["bull" if slope >= DRIFT else "bear" if slope <= -DRIFT else "sideways"]
        words += [
            above if means[name][1][k] > MARGIN else below for name, (below, above) in WORDS.items()
        ]
        names.append(" ".join(words))
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
