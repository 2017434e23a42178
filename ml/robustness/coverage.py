"""What the best set of the day's regime will earn, as an interval, and how often that was right.

For: intervals around the scores behind past decisions, and their coverage by regime in the
evidence. Not for: quantiles of misses (``ml.conformal``), or confidence in a mix (``reliability``).

A claim is the score of the best set of the likeliest regime, Sharpe per session, as the decision
held it. What came is the set's mean return of the next ``HORIZON`` sessions over its deviation
until then. The half-width at each close comes from the misses that were settled by then.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from ml.conformal import adaptive_widths, coverage_frame
from ml.learner import HORIZON, STILL
from ml.robustness.record import Floats, WalkRecord
from ml.score_table import ScoreTable

COVERAGE = 0.8
"""Share of the outcomes that the intervals shall hold."""
NO_SHARPE = "the learner's scores are no Sharpe ratios"
TOO_FEW = "too few claims are 30 sessions old"


class RegimeCoverage(BaseModel):
    """Claims of one regime: how many, what share came true, and the mean half-width."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sessions: int
    covered: float
    width: float


class Intervals(BaseModel):
    """The intervals around the score of the day's best set, in Sharpe per session.

    ``covered`` is the share of ``sessions`` whose outcome lay inside, to be compared with
    ``coverage``; ``effective`` counts horizons that do not overlap. ``low`` and ``high`` are the
    interval of the last decision. Null with a reason where nothing is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    coverage: float
    sessions: int
    effective: float
    covered: float | None
    width: float | None
    low: float | None
    high: float | None
    regimes: dict[str, RegimeCoverage]
    reason: str = ""


def intervals_of(record: WalkRecord) -> Intervals:
    """Go through a walk's claims as they were made, and count how many came true."""
    if not isinstance(getattr(record.policy.build(), "table", None), ScoreTable):
        return _nothing(NO_SHARPE)
    said, came = claims_of(record)
    misses = np.abs(said - came)[:, None]
    widths = adaptive_widths(misses, coverage=COVERAGE, delay=HORIZON)
    names = tuple(one.regime.name for one in record.decisions)
    rows = {row["regime"]: row for row in coverage_frame(misses, widths, names).to_dicts()}
    if not rows:
        return _nothing(TOO_FEW)
    overall = rows.pop("all")
    known = bool(np.isfinite(said[-1]) and np.isfinite(widths[-1]))
    return Intervals(
        coverage=COVERAGE,
        sessions=overall["samples"],
        effective=overall["samples"] / HORIZON,
        covered=overall["covered"],
        width=overall["width"],
        low=float(said[-1] - widths[-1]) if known else None,
        high=float(said[-1] + widths[-1]) if known else None,
        regimes={
            name: RegimeCoverage(
                sessions=row["samples"], covered=row["covered"], width=row["width"]
            )
            for name, row in rows.items()
        },
        reason="" if known else "the last decision knows no eligible set",
    )


def claims_of(record: WalkRecord) -> tuple[Floats, Floats]:
    """Score of each decision's best set, and what the set then earned; each ``[time - start]``.

    Both in Sharpe per session; NaN where no set was eligible, what came also where its sessions
    are not over.
    """
    returns = record.candidate_returns
    names = tuple(record.grid.columns)
    place = {tuple(row[n] for n in names): p for p, row in enumerate(record.grid.rows())}
    said, came = np.full((2, len(record.decisions)), np.nan)
    for row, decision in enumerate(record.decisions):
        table = decision.by_regime
        # A learner that knows no regimes keeps a single row, which then always holds.
        best = next(iter(table.values())) if len(table) == 1 else table[decision.regime.name]
        if best.score is None or best.parameters is None:
            continue
        said[row] = best.score
        own = returns[place[tuple(best.parameters[n] for n in names)]]
        stop = record.start + row + 1
        deviation = float(own[:stop].std())
        if stop + HORIZON <= len(own) and deviation > STILL:
            came[row] = own[stop : stop + HORIZON].mean() / deviation
    return said, came


def _nothing(reason: str) -> Intervals:
    unknown = dict.fromkeys(("covered", "width", "low", "high"))
    return Intervals(
        coverage=COVERAGE, sessions=0, effective=0.0, regimes={}, reason=reason, **unknown
    )
