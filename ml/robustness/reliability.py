"""How well confidence kept its word: what was said, and how often it then happened.

For: reliability by tenth of what was said, overall and by regime, and the scores in the evidence.
Not for: computing confidence (``ml.confidence``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict
from scipy.special import betaincinv

from ml.confidence import OVERALL, Floats, outcomes
from ml.learner import HORIZON
from ml.robustness.record import WalkRecord

EVERY_REGIME = "all"
RELIABILITY_SCHEMA = {
    "strategy": pl.String,
    "event": pl.String,
    "regime": pl.String,
    "said_from": pl.Float64,
    "sessions": pl.Int64,
    "said": pl.Float64,
    "happened": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
_TENTHS = 10
_NOTHING = "no proposal is 30 sessions old"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RegimeReliability(_Model):
    """Sessions of one regime: how sure the proposals were on average, and how often rightly."""

    sessions: int
    said: float
    happened: float


class Reliability(_Model):
    """How the confidences of one event compare with what happened.

    ``brier`` is the mean square of what was said minus what happened, ``brier_half`` the same had
    one half been said always; ``calibration_error`` is the mean distance between said and happened
    over tenths of what was said, weighted by sessions. ``effective`` counts horizons that do not
    overlap. Null with a reason where no event has been decided.
    """

    sessions: int
    effective: float
    said: float | None
    happened: float | None
    brier: float | None
    brier_half: float | None
    calibration_error: float | None
    regimes: dict[str, RegimeReliability]
    reason: str = ""


@dataclass(frozen=True)
class Said:
    """Confidences of past proposals beside their outcomes.

    Parameters
    ----------
    events : tuple of str, ``[event]``
        ``overall``, then the parameters.
    said, happened : float64, ``[time, event]``
        ``happened`` is NaN where nothing was decided.
    regimes : tuple of str, ``[time]``
        Likeliest at each close.
    """

    events: tuple[str, ...]
    said: Floats
    happened: Floats
    regimes: tuple[str, ...]


def said_of(record: WalkRecord) -> Said:
    """Put the confidences of a walk beside what became of them."""
    events = (OVERALL, *record.grid.columns)
    rows = [
        (d.confidence, *(d.parameter_confidence[name] for name in events[1:]))
        for d in record.decisions
    ]
    mixes = np.stack([d.weights for d in record.decisions])
    happened = outcomes(record.grid, record.candidate_returns, mixes, start=record.start)
    names = tuple(d.regime.name for d in record.decisions)
    return Said(events, np.array(rows, dtype=np.float64), happened, names)


def reliability_frame(strategy: str, known: Said) -> pl.DataFrame:
    """Lay out what was said and what happened.

    Returns
    -------
    polars.DataFrame
        ``strategy, event, regime`` (``all`` or a name), ``said_from`` (lower end of a tenth),
        ``sessions``, ``said`` (mean), ``happened`` (share), ``low, high`` (95 % interval of the
        share, Jeffreys, with as many trials as there are horizons that do not overlap).
    """
    names = np.array(known.regimes)
    rows = []
    for k, event in enumerate(known.events):
        decided = np.isfinite(known.happened[:, k])
        for regime in (EVERY_REGIME, *sorted(set(known.regimes))):
            part = decided & ((names == regime) | (regime == EVERY_REGIME))
            rows += [
                (strategy, event, regime, *row)
                for row in _tenths(known.said[part, k], known.happened[part, k])
            ]
    return pl.DataFrame(rows, schema=RELIABILITY_SCHEMA, orient="row")


def _tenths(said: Floats, happened: Floats) -> list[tuple[float, int, float, float, float, float]]:
    """One row for each tenth of what was said that occurs."""
    tenth = np.minimum((said * _TENTHS).astype(np.int64), _TENTHS - 1)
    out = []
    for k in np.unique(tenth):
        own = tenth == k
        share, trials = float(happened[own].mean()), float(own.sum()) / HORIZON
        right, wrong = share * trials + 0.5, (1.0 - share) * trials + 0.5
        low, high = betaincinv(right, wrong, [0.025, 0.975])
        bounds = (float(low) if share > 0.0 else 0.0, float(high) if share < 1.0 else 1.0)
        out.append((int(k) / _TENTHS, int(own.sum()), float(said[own].mean()), share, *bounds))
    return out


def reliability_of(known: Said) -> dict[str, Reliability]:
    """Condense what was said and what happened, by event."""
    return {event: _scores(known, k) for k, event in enumerate(known.events)}


def _scores(known: Said, k: int) -> Reliability:
    decided = np.isfinite(known.happened[:, k])
    said, happened = known.said[decided, k], known.happened[decided, k]
    if not said.size:
        nothing = dict.fromkeys(("said", "happened", "brier", "brier_half", "calibration_error"))
        return Reliability(sessions=0, effective=0.0, regimes={}, reason=_NOTHING, **nothing)
    names = np.array(known.regimes)[decided]
    tenths = _tenths(said, happened)
    return Reliability(
        sessions=len(said),
        effective=len(said) / HORIZON,
        said=float(said.mean()),
        happened=float(happened.mean()),
        brier=float(((said - happened) ** 2).mean()),
        brier_half=float(((0.5 - happened) ** 2).mean()),
        calibration_error=sum(row[1] * abs(row[2] - row[3]) for row in tenths) / len(said),
        regimes={
            str(name): RegimeReliability(
                sessions=int((names == name).sum()),
                said=float(said[names == name].mean()),
                happened=float(happened[names == name].mean()),
            )
            for name in np.unique(names)
        },
    )
