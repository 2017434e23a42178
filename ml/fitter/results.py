"""What a fit came to: parameters, how they moved, what the mix earned beside plain ones.

For: the results that a person reads after ``NeuralFitter.fit``. Not for: evidence: the sessions
kept back chose the epoch at which training ended, so what is earned there is not out of sample.
The walk-forward judges a fitter; this only shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from backtest.evidence.sharpe import sharpe_ratio
from backtest.params import default_set
from ml.fitter.fitter import NeuralFitter
from ml.learner import HORIZON, STILL, Floats, LearnerView, heaviest, held_sets


@dataclass(frozen=True)
class FitResults:
    """What a fitter says and how it came to it.

    Parameters
    ----------
    parameters : dict
        The heaviest set at the last close.
    confidence : dict of str to float
        Per parameter; see :class:`ml.fitter.fitter.Suggestion`.
    mix : list of dict
        ``weight`` and ``parameters`` of the ``MEMBERS`` heaviest sets at the last close, which also
        hold what the others would.
    parameter_history : polars.DataFrame
        ``session`` and, per parameter, the mean over the mix (the heaviest value of a category), on
        the sessions shown.
    training_history : polars.DataFrame
        One row per network and epoch: ``network, stage, epoch``, losses, gradient norm and rate.
    backtest : polars.DataFrame
        ``session`` and the net return of ``fitter, regime_table, static, default`` on the sessions
        kept back. The first three decide as they would have: the table with the fitter's regimes,
        and ``static`` without any, learn from the sets' returns as these go by.
    comparison : dict of str to float
        Annual Sharpe ratio of each of these; 0 where a stream stands still.
    """

    parameters: dict[str, Any]
    confidence: dict[str, float]
    mix: list[dict[str, Any]]
    parameter_history: pl.DataFrame
    training_history: pl.DataFrame
    backtest: pl.DataFrame
    comparison: dict[str, float]


MEMBERS = 16
"""Most sets of a mix, as in what is exported."""


def mix_of(weights: Floats) -> list[tuple[int, float]]:
    """Sets and weights of the mix that is held, heaviest first."""
    held = heaviest(weights, MEMBERS)
    return [(p, float(held[p])) for p in held_sets(held)]


def results_of(
    fitter: NeuralFitter, view: LearnerView, *, sessions: int = 252, periods_per_year: int = 252
) -> FitResults:
    """Show a fitter on the view that it was fitted on.

    Parameters
    ----------
    fitter : NeuralFitter
    view : LearnerView
    sessions : int
        Last sessions whose parameters are shown.
    periods_per_year : int
    """
    said = fitter.suggest(view)
    shown = min(sessions, view.sessions)
    mixes = fitter.mixes(view, shown).mean(axis=0)  # [session, param]
    kept = min(fitter.config.windows.held_out + HORIZON, view.sessions - 1)
    streams = _streams(fitter, view, kept)
    yearly = float(np.sqrt(periods_per_year))
    first = view.first + view.sessions
    return FitResults(
        parameters=said.parameters,
        confidence=said.confidence,
        mix=[
            {"weight": weight, "parameters": fitter.grid.row(p)}
            for p, weight in mix_of(said.weights)
        ],
        parameter_history=pl.DataFrame(
            {"session": np.arange(first - shown, first), **_moved(fitter, mixes)}
        ),
        training_history=training_frame(fitter),
        backtest=pl.DataFrame({"session": np.arange(first - kept, first), **streams}),
        comparison={
            name: (sharpe_ratio(net) or 0.0) * yearly if net.std() > STILL else 0.0
            for name, net in streams.items()
        },
    )


def _streams(fitter: NeuralFitter, view: LearnerView, kept: int) -> dict[str, Floats]:
    """Net returns of the last sessions: of mixes decided the day before, cost of changes paid."""
    after = view.returns[:, -kept:].T
    static = fitter.table.mixes(view.blind(), kept + 1, every=fitter.config.windows.step)
    decided = {
        "fitter": fitter.mixes(view, kept + 1).mean(axis=0)[:-1],
        "regime_table": fitter.untilted(view, kept + 1)[:-1],
        "static": static[:-1],
    }
    out = {}
    for name, weights in decided.items():
        net = (weights * after).sum(axis=1)
        net[1:] -= fitter.config.cost * np.abs(np.diff(weights, axis=0)).sum(axis=1)
        out[name] = net
    rows, plain = fitter.grid.rows(), default_set(fitter.grid.params)
    if plain in rows:
        out["default"] = view.returns[rows.index(plain), -kept:]
    return out


def _moved(fitter: NeuralFitter, mixes: Floats) -> dict[str, Any]:
    """Parameters over time: weighted means of numbers, heaviest value of categories."""
    ranges, out = fitter.grid.params.ranges(), {}
    total = np.maximum(mixes.sum(axis=1), 1e-12)
    for name, column in fitter.grid.columns.items():
        if name in ranges:
            out[name] = (mixes @ np.asarray(column, dtype=np.float64)) / total
        else:
            values, code = np.unique(column, return_inverse=True)
            held = mixes @ np.eye(len(values))[code.reshape(-1)]
            out[name] = values[held.argmax(axis=1)].astype(str)
    return out


def training_frame(fitter: NeuralFitter) -> pl.DataFrame:
    """Every epoch of every network as a row; what a stage does not measure is null."""
    rows = []
    for k, epochs in enumerate(fitter.history):
        seen = {1: 0, 2: 0}
        for row in epochs:
            stage = int(row["stage"])
            seen[stage] += 1
            plain = {name: value for name, value in row.items() if name != "stage"}
            rows.append({"network": k, "stage": stage, "epoch": seen[stage], **plain})
    return pl.from_dicts(rows, infer_schema_length=None)
