"""Combinatorial purged paths: the same selection on other histories made of the same blocks.

For: the spread of results that selecting on most of a history and earning on the rest gives. Not
for: an out-of-sample record. A path trains on blocks that lie after the ones it earns on, so it
diagnoses the selection, and the walk-forward alone says what could have been earned.

Ten blocks of which two are tested give 45 splits and 9 whole paths; each split trains on eight
tenths of the history, about what the walk-forward has towards its end. Testing eight of ten gives
as many splits and 36 paths, but each would be selected on a fifth of the history.

Source: Lopez de Prado, "Advances in financial machine learning" (2018), chapters 7 and 12.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from backtest.evidence.sharpe import sharpe_ratio
from backtest.metric import compound, drawdown
from backtest.params import ParamGrid
from backtest.walkforward.splits import CombinatorialSplits
from ml.learner import LearnerView
from ml.policy import PolicyConfig
from ml.robustness.folds import UNDEFINED
from ml.robustness.record import Floats, WalkRecord

FOLDS, TESTS = 10, 2
HORIZON = 1
"""The return of a session belongs to weights decided one session before."""
EMBARGO = 0.01
"""Part of all sessions left out after each test block: their positions still rest on its bars."""
LEAST = 20 * FOLDS
"""Sessions below which a block is too short to judge anything on."""
TOO_SHORT = f"fewer than {LEAST} sessions"
PATH_SCHEMA = {
    "strategy": pl.String,
    "path": pl.Int64,
    "sessions": pl.Int64,
    "sharpe": pl.Float64,
    "net_return": pl.Float64,
    "max_drawdown": pl.Float64,
    "reason": pl.String,
}


def splits_of(sessions: int) -> CombinatorialSplits:
    """Lay the splits over a history."""
    embargo = int(np.ceil(EMBARGO * sessions))
    return CombinatorialSplits(sessions, FOLDS, TESTS, horizon=HORIZON, embargo=embargo)


def path_returns(grid: ParamGrid, returns: Floats, policy: PolicyConfig) -> Floats:
    """Net returns of each path; ``[path, time]``.

    The soft static table selects a mix on the training rows of each split, and the mix earns the
    weighted mean of its sets' net returns on the test rows. Each set pays for its own trades: what
    a mix saves by netting them is left out, so these returns are a little too low.

    Parameters
    ----------
    grid : ParamGrid
    returns : float64, ``[param, time]``
        Net book return of each candidate; at least ``LEAST`` sessions.
    policy : PolicyConfig
        Whose temperature, smoothing and number of members the table takes.
    """
    sessions = returns.shape[1]
    splits, learner = splits_of(sessions), policy.with_learner("static").build()
    path_of, blocks = splits.path_of(), splits.blocks()
    out = np.full((splits.paths, sessions), np.nan)
    for number, split in enumerate(splits):
        always = np.ones((len(split.train), 1))
        view = LearnerView(grid, returns[:, split.train], always, ("always",))
        weights = learner.weigh(learner.select(view), view)
        for path, block in zip(*np.nonzero(path_of == number), strict=True):
            rows = blocks[block]
            out[path, rows] = weights @ returns[:, rows]
    return out


def paths_frame(strategy: str, record: WalkRecord) -> pl.DataFrame:
    """Results of each path; empty below ``LEAST`` sessions.

    Returns
    -------
    polars.DataFrame
        ``strategy, path`` (from 0), ``sessions, sharpe`` (annual, null with a ``reason``),
        ``net_return`` (compounded), ``max_drawdown``.
    """
    rows, returns = [], record.candidate_returns
    if returns.shape[1] >= LEAST:
        annual = float(np.sqrt(record.periods_per_year))
        for path, net in enumerate(path_returns(record.grid, returns, record.policy)):
            ratio = sharpe_ratio(net)
            found = (None, UNDEFINED) if ratio is None else (ratio * annual, None)
            rows.append(
                (strategy, path, len(net), found[0], compound(net), drawdown(net), found[1])
            )
    return pl.DataFrame(rows, schema=PATH_SCHEMA, orient="row")
