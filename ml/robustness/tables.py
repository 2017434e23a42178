"""All that is known of the robustness of strategies: six tables, and a section of the evidence.

For: what lands in ``folds.parquet, stability.parquet, sensitivity.parquet, paths.parquet,
costs.parquet`` and ``reliability.parquet``, and in the store. Not for: how each is computed, or
writing files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from backtest.evidence.sensitivity import (
    Dependence,
    Sensitivity,
    annual_sharpes,
    sensitivity,
    standard_error,
)
from ml.robustness.costs import costs_frame
from ml.robustness.coverage import intervals_of
from ml.robustness.folds import folds_frame
from ml.robustness.paths import paths_frame
from ml.robustness.record import WalkRecord
from ml.robustness.reliability import reliability_frame, reliability_of, said_of
from ml.robustness.stability import stability_frame
from ml.robustness.summary import Robustness, summarised

TABLES = ("folds", "stability", "sensitivity", "paths", "costs", "reliability")
SENSITIVITY_SCHEMA = {
    "strategy": pl.String,
    "parameter": pl.String,
    "value": pl.String,
    "steps": pl.Int64,
    "sets": pl.Int64,
    "mean": pl.Float64,
    "median": pl.Float64,
    "highest": pl.Float64,
    "along": pl.Float64,
    "best": pl.Boolean,
    "plateau": pl.Boolean,
    "edge": pl.String,
}


@dataclass(frozen=True)
class Findings:
    """What was found of one strategy.

    Parameters
    ----------
    tables : dict of str to polars.DataFrame
        By the names of ``TABLES``.
    summary : Robustness
    """

    tables: dict[str, pl.DataFrame]
    summary: Robustness


def findings_of(records: Mapping[str, WalkRecord]) -> dict[str, Findings]:
    """Compute tables and summary of every strategy."""
    return {name: _findings(name, record) for name, record in records.items()}


def joined(findings: Mapping[str, Findings]) -> dict[str, pl.DataFrame]:
    """Put the tables of all strategies under each other, sorted by strategy."""
    return {
        table: pl.concat([findings[name].tables[table] for name in sorted(findings)])
        for table in TABLES
    }


def _findings(strategy: str, record: WalkRecord) -> Findings:
    error = standard_error(len(record.dates), record.periods_per_year)
    scores = annual_sharpes(record.candidate_returns, record.periods_per_year)
    found = sensitivity(record.grid, scores, error=error)
    folds, stability = folds_frame(strategy, record), stability_frame(strategy, record)
    paths, said = paths_frame(strategy, record), said_of(record)
    return Findings(
        tables={
            "folds": folds,
            "stability": stability,
            "sensitivity": sensitivity_frame(strategy, found),
            "paths": paths,
            "costs": costs_frame(strategy, record),
            "reliability": reliability_frame(strategy, said),
        },
        summary=summarised(
            folds=folds,
            stability=stability,
            paths=paths,
            confidence=reliability_of(said),
            intervals=intervals_of(record),
            found=found,
            error=error,
        ),
    )


def sensitivity_frame(strategy: str, found: Sensitivity | None) -> pl.DataFrame:
    """Lay out how the candidates' Sharpe ratios depend on each parameter; empty without any.

    Returns
    -------
    polars.DataFrame
        One row per parameter and value: ``strategy, parameter, value`` (as text), ``steps`` (grid
        steps from the best set's value; null for a category), ``sets`` with the value, ``mean,
        median, highest`` of their annual Sharpe ratios, ``along`` (the best set with only this
        parameter changed), whether it is the ``best`` set's value, whether it is on its
        ``plateau``, and the ``edge`` warning at the best value. Null where no set has a ratio.
    """
    dependences = {} if found is None else found.parameters
    rows = [(strategy, name, *row) for name, one in dependences.items() for row in _value_rows(one)]
    frame = pl.DataFrame(rows, schema=SENSITIVITY_SCHEMA, orient="row")
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def _value_rows(one: Dependence) -> list[tuple[object, ...]]:
    """One row per value of a parameter."""
    steps = np.arange(len(one.values)) - one.best
    on = (steps >= -one.below) & (steps <= one.above)
    scores = np.column_stack([one.mean, one.median, one.highest, one.along]).tolist()
    return [
        (
            f"{value:g}" if one.numeric else str(value),
            int(steps[k]) if one.numeric else None,
            int(one.sets[k]),
            *scores[k],
            k == one.best,
            bool(on[k]),
            one.edge if k == one.best else None,
        )
        for k, value in enumerate(one.values)
    ]
