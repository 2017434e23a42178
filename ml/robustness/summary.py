"""Robustness in a few numbers: a section of the evidence per strategy.

For: what ``evidence.json`` says of folds, stability, sensitivity and paths. Not for: the tables
behind it (``tables``), and not for the gate, which never reads this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from backtest.evidence.sensitivity import Sensitivity
from ml.robustness.coverage import Intervals
from ml.robustness.folds import CHALLENGER
from ml.robustness.paths import TOO_SHORT
from ml.robustness.reliability import Reliability

_NO_FOLD = "no fold has a Sharpe ratio"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Plateau(_Model):
    """The best set's value of one numeric parameter, and how many grid steps around it hold up."""

    best: float
    below: int
    above: int


class Robustness(_Model):
    """How far a strategy's walk-forward can be trusted; Sharpe ratios are annual.

    ``folds`` lie between two refits; ``in_sample_sharpe`` is that of each regime's best set,
    weighted by the folds' sessions. ``stability``, ``mix_change`` and ``heaviest_changed``
    describe the decided mixes. ``best_sharpe`` to ``edges`` describe the candidates over all
    sessions, in hindsight; ``near_best`` is the share of them within one ``standard_error`` of
    the best. ``path_*`` are of combinatorial purged paths, which train on later data too.
    ``confidence`` says for the mix (``overall``) and each parameter how often proposals kept their
    word, ``intervals`` how often outcomes lay in the intervals around the day's best score.
    """

    folds: int
    folds_positive: float | None
    folds_above_static: float | None
    in_sample_sharpe: float | None
    stability: float | None
    mix_change: float | None
    heaviest_changed: float | None
    best_sharpe: float | None
    standard_error: float
    near_best: float | None
    plateaus: dict[str, Plateau]
    edges: list[str]
    paths: int
    path_sharpe_mean: float | None
    path_sharpe_low: float | None
    path_sharpe_high: float | None
    paths_below_zero: float | None
    confidence: dict[str, Reliability]
    intervals: Intervals
    reasons: dict[str, str]


def summarised(
    *,
    folds: pl.DataFrame,
    stability: pl.DataFrame,
    paths: pl.DataFrame,
    confidence: dict[str, Reliability],
    intervals: Intervals,
    found: Sensitivity | None,
    error: float,
) -> Robustness:
    """Condense the tables of one strategy.

    Parameters
    ----------
    folds, stability, paths : polars.DataFrame
    confidence : dict of str to Reliability
        By event.
    intervals : Intervals
    found : Sensitivity or None
    error : float
        Standard error of an annual Sharpe ratio over all sessions.
    """
    reasons: dict[str, str] = {}
    values: dict[str, Any] = {
        **_of_folds(folds, reasons),
        **_of_stability(stability, reasons),
        **_of_paths(paths, reasons),
    }
    if found is None:
        reasons |= dict.fromkeys(("best_sharpe", "near_best"), "no candidate traded")
    dependences = {} if found is None else found.parameters
    return Robustness(
        **values,
        best_sharpe=None if found is None else found.score,
        standard_error=error,
        near_best=None if found is None else found.near,
        plateaus={
            name: Plateau(best=one.values[one.best], below=one.below, above=one.above)
            for name, one in dependences.items()
            if one.numeric
        },
        edges=[one.edge for one in dependences.values() if one.edge is not None],
        confidence=confidence,
        intervals=intervals,
        reasons=reasons,
    )


def _of_folds(folds: pl.DataFrame, reasons: dict[str, str]) -> dict[str, float | int | None]:
    """Count the folds that went well, and what was expected of all of them."""
    own = folds.filter(pl.col("variant") == CHALLENGER)
    static = folds.filter(pl.col("variant") == "static").select("fold", rival="sharpe")
    both = own.join(static, on="fold").drop_nulls(["sharpe", "rival"])
    known = own["sharpe"].drop_nulls().to_numpy()
    better = (both["sharpe"] > both["rival"]).to_numpy()
    told = own.drop_nulls("in_sample_sharpe")
    out: dict[str, float | int | None] = {
        "folds": own.height,
        "folds_positive": float((known > 0.0).mean()) if known.size else None,
        "folds_above_static": float(better.mean()) if better.size else None,
        "in_sample_sharpe": None
        if told.is_empty()
        else float(np.average(told["in_sample_sharpe"], weights=told["sessions"])),
    }
    reasons |= {name: _NO_FOLD for name, value in out.items() if value is None}
    if own.height and told.is_empty():
        reasons["in_sample_sharpe"] = "the learner's scores are no Sharpe ratios"
    return out


def _of_stability(stability: pl.DataFrame, reasons: dict[str, str]) -> dict[str, float | None]:
    """Take what describes the whole mix."""
    out: dict[str, float | None] = {}
    for name in ("stability", "mix_change", "heaviest_changed"):
        row = stability.row(by_predicate=pl.col("statistic") == name, named=True)
        out[name] = row["value"]
        if row["reason"] is not None:
            reasons[name] = row["reason"]
    return out


def _of_paths(paths: pl.DataFrame, reasons: dict[str, str]) -> dict[str, float | int | None]:
    """Describe the distribution of the paths' Sharpe ratios."""
    names = ("path_sharpe_mean", "path_sharpe_low", "path_sharpe_high", "paths_below_zero")
    known = paths["sharpe"].drop_nulls().to_numpy()
    if not known.size:
        why = TOO_SHORT if paths.is_empty() else "no path has a Sharpe ratio"
        reasons |= dict.fromkeys(names, why)
        return {"paths": paths.height, **dict.fromkeys(names)}
    low, high = np.quantile(known, [0.05, 0.95])
    found = (float(known.mean()), float(low), float(high), float((known < 0.0).mean()))
    return {"paths": paths.height, **dict(zip(names, found, strict=True))}
