"""How far "the best set in hindsight" would have fooled: a section of the evidence per strategy.

For: the best candidate's Sharpe ratio with every candidate counted, and what cross-validation
says of choosing it. Not for: the gate, which judges policies and never reads this.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from backtest import seeds
from backtest.evidence.overfitting import effective_streams, probability_of_overfitting
from backtest.evidence.sharpe import (
    deflated_best,
    minimum_backtest_length,
    moments,
    probabilistic_sharpe,
    sharpe_ratio,
)

Floats = npt.NDArray[np.float64]

BLOCKS = 16
DRAWS = 30


class BestOfGrid(BaseModel):
    """The best candidate over all sessions, and how much of it is luck.

    ``sharpe`` is annual. ``effective_candidates`` counts clusters of candidates that earn alike;
    it stands beside ``candidates`` and is used nowhere. ``minimum_years`` is the length of
    history below which the best of so many worthless sets is expected to show a Sharpe ratio of 1.
    ``pbo_null_below`` is the p-value of so low a PBO among sets of equal merit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    candidates: int
    effective_candidates: int | None
    years: float
    minimum_years: float
    sharpe: float | None
    psr: float | None
    dsr: float | None
    pbo: float | None
    pbo_null_mean: float | None
    pbo_null_deviation: float | None
    pbo_null_below: float | None
    reasons: dict[str, str]


def best_of_grid(returns: Floats, *, periods_per_year: int, seed: int) -> BestOfGrid:
    """Judge the best of a strategy's candidates.

    Parameters
    ----------
    returns : float64, ``[param, time]``
        Net book return of every candidate, all of them.
    periods_per_year : int
    seed : int
        Of the null distribution.
    """
    count, sessions = returns.shape
    ratios = np.array([np.nan if (r := sharpe_ratio(one)) is None else r for one in returns])
    reasons: dict[str, str] = {}
    sharpe = psr = dsr = None
    if np.isnan(ratios).all():
        reasons |= dict.fromkeys(("sharpe", "psr", "dsr"), "no candidate traded")
    else:
        given = moments(returns[int(np.nanargmax(ratios))])
        if given is not None:
            sharpe = given.sharpe * float(np.sqrt(periods_per_year))
            psr, dsr = probabilistic_sharpe(given), deflated_best(given, ratios)
    split = None
    if sessions < 2 * BLOCKS:
        reasons["pbo"] = f"fewer than {2 * BLOCKS} sessions"
    else:
        split = probability_of_overfitting(
            returns, blocks=BLOCKS, draws=DRAWS, seed=seeds.integer(seed, "overfitting")
        )
        if split is None:
            reasons["pbo"] = "fewer than two candidates traded"
    return BestOfGrid(
        candidates=count,
        effective_candidates=effective_streams(returns),
        years=sessions / periods_per_year,
        minimum_years=minimum_backtest_length(count),
        sharpe=sharpe,
        psr=psr,
        dsr=dsr,
        pbo=None if split is None else split.pbo,
        pbo_null_mean=None if split is None else split.null_mean,
        pbo_null_deviation=None if split is None else split.null_deviation,
        pbo_null_below=None if split is None else split.null_below,
        reasons=reasons,
    )
