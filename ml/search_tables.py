"""Tables of searches: every trial, rows for the ledger, fronts of grids, plateaus of regimes.

For: what the command line writes and the graph shows. Not for: deciding anything; tables of whole
histories describe them in hindsight.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.evidence.sensitivity import sensitivity, standard_error
from backtest.evidence.sharpe import sharpe_ratio
from backtest.params import ParamGrid
from backtest.portfolio.book import BookKind
from backtest.result import BookResult
from ml.evaluation import Market
from ml.neighbourhood import neighbour_average
from ml.objective import LEAST_SESSIONS, Goal, book_metrics
from ml.pareto import front_of, hypervolume
from ml.space import Row
from ml.trials import Trial, config_hash
from ml.tuning import Search, Verdict

Floats = npt.NDArray[np.float64]

FRONT_GOAL = Goal.parse(("sharpe", "total_return", "max_drawdown"))
FRONT_METRICS = ("sharpe", "total_return", "max_drawdown", "volatility", "calmar", "turnover")


def trial_table(found: Search, verdict: Verdict) -> pl.DataFrame:
    """Every trial in the order of asking.

    Returns
    -------
    polars.DataFrame
        ``number, batch``, the parameters, ``objective_0..`` (larger is better), the metrics of the
        first timeframe, ``feasible, merit, smoothed, best`` (merit of the best so far) and
        ``front``.
    """
    rows, values = found.rows, found.values
    on_front = np.zeros(len(rows), dtype=bool)
    on_front[verdict.front] = True
    columns: dict[str, Any] = {
        "number": np.arange(len(rows)),
        "batch": found.batch_of,
        **{one.name: [row[one.name] for row in rows] for one in found.space.dimensions},
        **{f"objective_{k}": values[:, k] for k in range(values.shape[1])},
        **found.metrics,
        "feasible": found.feasible,
        "merit": verdict.merit,
        "smoothed": verdict.smoothed,
        "best": np.where(np.isfinite(verdict.best), verdict.best, np.nan),
        "front": on_front,
    }
    return pl.DataFrame(columns, nan_to_null=True)


def ledger_trials(
    found: Search,
    returns: Floats,
    *,
    strategy: str,
    book: BookKind,
    cost: float,
    market: Market,
) -> list[Trial]:
    """Rows of the ledger: every set that was tried, as a candidate that a walk would also name.

    Parameters
    ----------
    found : Search
    returns : float64, ``[set, time]``
        Net book returns on the training window.
    strategy : str
    book : BookKind
    cost : float
        Decimal of traded notional, per side.
    market : Market
        The bars that the returns are of. A set on other bars than daily ones is another candidate.
    """
    dates = market.panel.dates
    first, last = dates[0].item(), dates[-1].item()
    terms: Row = {"book": book, "cost": cost}
    if market.timeframe != "1d":
        terms["timeframe"] = market.timeframe
    return [
        Trial(
            kind="candidate",
            strategy=strategy,
            config_hash=config_hash({"parameters": row, **terms}),
            span_start=first,
            span_end=last,
            sharpe=sharpe_ratio(stream),
            observations=len(dates),
        )
        for row, stream in zip(found.rows, returns, strict=True)
    ]


@dataclass(frozen=True)
class Front:
    """A swept grid seen by several objectives at once.

    Parameters
    ----------
    table : polars.DataFrame
        ``set, parameters`` (JSON), ``FRONT_METRICS``, ``front``; null where undefined.
    volume : float or None
        Hypervolume of the front by ``FRONT_GOAL``, above the worst value of each objective; None
        where no set traded.
    """

    table: pl.DataFrame
    volume: float | None


def corpus_front(grid: ParamGrid, book: BookResult, *, periods_per_year: int) -> Front:
    """Say which sets of a swept grid no other beats.

    Parameters
    ----------
    grid : ParamGrid
        Sets ``[set]``.
    book : BookResult
        Streams ``[set, time]``.
    periods_per_year : int
    """
    metrics = book_metrics(book, FRONT_METRICS, periods_per_year=periods_per_year)
    values, feasible = FRONT_GOAL.values(metrics), FRONT_GOAL.feasible(metrics)
    on_front = np.zeros(len(values), dtype=bool)
    on_front[front_of(values, feasible)] = True
    table = pl.DataFrame(
        {
            "set": np.arange(len(values)),
            "parameters": [json.dumps(row) for row in _rows(grid, len(values))],
            **metrics,
            "front": on_front,
        },
        nan_to_null=True,
    )
    if not feasible.any():
        return Front(table, None)
    return Front(table, hypervolume(values[on_front], values[feasible].min(axis=0)))


def best_by_regime(
    grid: ParamGrid,
    returns: Floats,
    probabilities: Floats,
    names: tuple[str, ...],
    *,
    periods_per_year: int,
) -> pl.DataFrame:
    """The plateau of each regime: the set with the best smoothed Sharpe ratio in its sessions.

    A session belongs to a regime by the probability filtered at the close before. States that
    share a name are one regime.

    Parameters
    ----------
    grid : ParamGrid
        Sets ``[set]``.
    returns : float64, ``[set, time]``
    probabilities : float64, ``[time, state]``
        Filtered, as known at each close.
    names : tuple of str, ``[state]``
    periods_per_year : int

    Returns
    -------
    polars.DataFrame
        ``regime, sessions`` (effective), ``set, parameters`` (JSON), ``sharpe``, ``smoothed`` and
        ``overall`` (the set's ratio over all sessions), ``highest`` (row of the raw winner),
        ``highest_sharpe``, ``edges``. Null where a regime has too few sessions.
    """
    around = neighbour_average(grid) if grid.columns else np.ones((1, 1))
    book = BookResult(returns, np.zeros_like(returns))
    overall = book_metrics(book, ("sharpe",), periods_per_year=periods_per_year)["sharpe"]
    out = []
    for name in sorted(set(names)):
        own = probabilities[:, np.array([one == name for one in names])].sum(axis=1)
        weights = np.concatenate([[0.0], np.minimum(own[:-1], 1.0)])
        ratio = book_metrics(book, ("sharpe",), periods_per_year=periods_per_year, weights=weights)[
            "sharpe"
        ]
        row: dict[str, Any] = {"regime": name, "sessions": float(weights.sum())}
        if row["sessions"] >= LEAST_SESSIONS and np.isfinite(ratio).any():
            row |= _plateau_row(grid, ratio, overall, around, row["sessions"], periods_per_year)
        out.append(row)
    return pl.DataFrame(out, schema=REGIME_COLUMNS)


REGIME_COLUMNS = {
    "regime": pl.String,
    "sessions": pl.Float64,
    "set": pl.Int64,
    "parameters": pl.String,
    "sharpe": pl.Float64,
    "smoothed": pl.Float64,
    "overall": pl.Float64,
    "highest": pl.Int64,
    "highest_sharpe": pl.Float64,
    "edges": pl.String,
}


def _plateau_row(
    grid: ParamGrid,
    ratio: Floats,
    overall: Floats,
    around: Floats,
    sessions: float,
    periods: int,
) -> dict[str, Any]:
    """What is told of one regime."""
    known = np.isfinite(ratio)
    mass = around @ known
    beside = np.divide(around @ np.where(known, ratio, 0.0), mass, out=ratio.copy(), where=mass > 0)
    smoothed = np.where(known, 0.5 * ratio + 0.5 * beside, -np.inf)
    chosen, highest = int(smoothed.argmax()), int(np.where(known, ratio, -np.inf).argmax())
    described = sensitivity(grid, ratio, error=standard_error(int(sessions), periods))
    edges = [] if described is None else [d.edge for d in described.parameters.values() if d.edge]
    return {
        "set": chosen,
        "parameters": json.dumps(_rows(grid, len(ratio))[chosen]),
        "sharpe": float(ratio[chosen]),
        "smoothed": float(smoothed[chosen]),
        "overall": float(overall[chosen]) if np.isfinite(overall[chosen]) else None,
        "highest": highest,
        "highest_sharpe": float(ratio[highest]),
        "edges": "; ".join(edges) or None,
    }


def _rows(grid: ParamGrid, size: int) -> list[dict[str, Any]]:
    return grid.rows() if grid.columns else [{} for _ in range(size)]
