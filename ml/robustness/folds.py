"""The out-of-sample record, fold by fold, beside what was expected of it.

For: one row per variant and fold, a fold being the sessions between two refits of the regime
model. Not for: choosing folds; they are those of the policy.
"""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from backtest.evidence.sharpe import sharpe_ratio
from backtest.metric import compound, drawdown
from backtest.walkforward.splits import walk_forward_splits
from ml.export.records import Decision
from ml.robustness.record import Floats, WalkRecord
from ml.score_table import ScoreTable

CHALLENGER = "regime_aware"
UNDEFINED = "fewer than 3 sessions or no variance"
FOLD_SCHEMA = {
    "strategy": pl.String,
    "variant": pl.String,
    "fold": pl.Int64,
    "first": pl.Date,
    "last": pl.Date,
    "sessions": pl.Int64,
    "sharpe": pl.Float64,
    "net_return": pl.Float64,
    "turnover": pl.Float64,
    "max_drawdown": pl.Float64,
    "in_sample_sharpe": pl.Float64,
    "parameters": pl.String,
    "reason": pl.String,
}


def folds_frame(strategy: str, record: WalkRecord) -> pl.DataFrame:
    """Results of every variant between two refits.

    A decision at the close of ``t`` earns on ``t + 1`` (the overnight part still belongs to the
    decision before it), so a fold runs from the session after one refit to the next refit.

    Parameters
    ----------
    strategy : str
    record : WalkRecord

    Returns
    -------
    polars.DataFrame
        ``strategy, variant, fold`` (from 0), ``first, last, sessions, sharpe`` (annual, null with
        a ``reason``), ``net_return`` (compounded), ``turnover`` (per year), ``max_drawdown``; for
        ``regime_aware`` also ``in_sample_sharpe`` (see :func:`expected_sharpe`) and ``parameters``
        (canonical JSON of the heaviest set at the refit; null where all is cash).
    """
    days = record.dates[record.start + 1 :].astype("datetime64[D]").tolist()
    rows = []
    for fold, (first, stop) in enumerate(fold_rows(record)):
        span = slice(first, stop)
        chosen = record.decisions[first:stop]
        for variant in sorted(record.net):
            told: tuple[float | None, str | None] = (None, None)
            if variant == CHALLENGER:
                told = expected_sharpe(chosen, record), _heaviest(chosen[0])
            row = _measured(record.net[variant][span], record.turnover[variant][span], record)
            reason = UNDEFINED if row[0] is None else None
            named = (strategy, variant, fold, days[first], days[stop - 1], stop - first)
            rows.append((*named, *row, *told, reason))
    return pl.DataFrame(rows, schema=FOLD_SCHEMA, orient="row").sort("variant", "fold")


def fold_rows(record: WalkRecord) -> list[tuple[int, int]]:
    """First row and the one after the last of each fold, among the out-of-sample sessions."""
    before = record.start + 1  # the first decision's own session has earned nothing yet
    splits = walk_forward_splits(len(record.dates), train=before, test=record.policy.refit)
    return [(int(one.test[0]) - before, int(one.test[-1]) + 1 - before) for one in splits]


def expected_sharpe(decisions: tuple[Decision, ...], record: WalkRecord) -> float | None:
    """Annual Sharpe ratio in sample of each regime's best set, averaged over decisions.

    Per decision: the score of each regime's best set, as the table behind the decision holds it
    (shrunk and smoothed, over the sessions known by then), weighted by the session's regime
    probabilities. A regime in which no set is eligible counts as cash, 0. None under a learner
    whose scores are no Sharpe ratios.
    """
    if not isinstance(getattr(record.policy.build(), "table", None), ScoreTable):
        return None
    scores = []
    for one in decisions:
        table = one.by_regime
        # A learner that knows no regimes keeps a single row, which then always holds.
        weights = dict.fromkeys(table, 1.0) if len(table) == 1 else one.regime.probabilities
        scores.append(sum(weights[name] * (row.score or 0.0) for name, row in table.items()))
    return float(np.mean(scores) * np.sqrt(record.periods_per_year))


def _measured(
    net: Floats, traded: Floats, record: WalkRecord
) -> tuple[float | None, float, float, float]:
    ratio = sharpe_ratio(net)
    periods = record.periods_per_year
    annual = None if ratio is None else ratio * float(np.sqrt(periods))
    return annual, compound(net), float(traded.mean()) * periods, drawdown(net)


def _heaviest(decision: Decision) -> str | None:
    found = decision.parameters
    return None if found is None else json.dumps(found, sort_keys=True, separators=(",", ":"))
