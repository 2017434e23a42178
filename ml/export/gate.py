"""The gate's criteria: promoted only by evidence that stays valid however often one looks.

For: the formulas and the table that ``decision.gate`` turns into a verdict. Not for: collecting
evidence, or changing what is exported.

The paired test is a HAC t (Bartlett weights) on ``d = r_a / vol_a - r_b / vol_b`` with volatilities
known the session before, against a mixture boundary of a sequential test (Robbins 1970), so that
a daily look costs nothing in validity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import BaseModel, ConfigDict, Field

from backtest.evidence.sharpe import (
    deflated_sharpe,
    luck_variance,
    minimum_track_record,
    moments,
    probabilistic_sharpe,
)
from backtest.metric import drawdown
from ml.export.records import Criterion

Floats = npt.NDArray[np.float64]
_TINY = 1e-12

WARM_UP = 20
"""Sessions with a position before a volatility counts as known."""
LEAST_VOLATILITY = 0.25
"""Share of the volatility of all earlier sessions below which none is taken to be."""


class GateConfig(BaseModel):
    """Thresholds; every one must be met.

    Parameters
    ----------
    alpha : float
        Chance of promoting a useless challenger in a champion's reign: over all looks, all
        challengers that were registered together, and all batches of them.
    first_look : int
        Out-of-sample sessions before the first look that may promote.
    mixture : float
        Sessions at which the sequential boundary is tightest.
    lags : int
        Of the HAC deviation.
    half_life : float
        Of the volatilities, sessions.
    psr, dsr : float
        Least probabilistic and deflated Sharpe ratio.
    track_record : float
        Confidence behind the minimum track record: the sessions after which a Sharpe ratio as
        observed is told from 0.
    max_drawdown : float
        Positive magnitude.
    max_turnover : float
        Traded notional over equity, per year.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    first_look: Annotated[int, Field(ge=60)] = 252
    mixture: Annotated[float, Field(gt=0.0)] = 126.0
    lags: Annotated[int, Field(ge=0)] = 10
    half_life: Annotated[float, Field(gt=0.0)] = 63.0
    psr: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    dsr: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    track_record: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    max_drawdown: Annotated[float, Field(gt=0.0, le=1.0)] = 0.35
    max_turnover: Annotated[float, Field(gt=0.0)] = 150.0


@dataclass(frozen=True)
class Record:
    """Out-of-sample record of a challenger and of what it is held against, up to one session.

    Parameters
    ----------
    challenger : float64, ``[time]``
        Net returns.
    turnover : float64, ``[time]``
    rivals : dict of str to float64, ``[time]``
        Net returns of the policies that must be beaten under the sequential boundary: the soft
        static choice first, and what is run today.
    champion : str
        Name of what is run today.
    rival_sharpes : float64, ``[policy]``
        Sharpe ratios per session of the other learned policies, for the spread of luck.
    policies : int
        How many were ever looked at.
    alpha : float
        Chance of a false promotion that this challenger may use up, over all its looks.
    cost : float
        Assumed cost per side, decimal.
    periods_per_year : int
    """

    challenger: Floats
    turnover: Floats
    rivals: dict[str, Floats]
    champion: str
    rival_sharpes: Floats
    policies: int
    alpha: float
    cost: float
    periods_per_year: int


def boundary(n: int, *, alpha: float, mixture: float = 126.0) -> float:
    """Value that a z statistic after ``n`` sessions must reach, valid over all looks.

    ``sqrt((1 + m/n) (ln(1 + n/m) + 2 ln(1 / (2 alpha))))`` with ``m`` the mixture's sessions.

    Examples
    --------
    >>> round(boundary(252, alpha=0.05), 3)
    2.925
    """
    first = 1.0 + mixture / n
    return float(np.sqrt(first * (np.log(1.0 + n / mixture) + 2.0 * np.log(0.5 / alpha))))


def volatility_known_before(returns: Floats, half_life: float) -> Floats:
    """Exponentially weighted volatility of earlier sessions only; ``[time]``.

    Sessions on which nothing moved, because nothing was held, do not count. The weights of a
    young average are normalised, so that it starts without bias; it is 0 (not known) before
    ``WARM_UP`` sessions, because a return over a deviation of very few returns has no variance,
    and never below ``LEAST_VOLATILITY`` of the volatility of all earlier sessions, because after
    a spell with next to nothing held the first full day would count as dozens of deviations.
    """
    known = np.zeros(len(returns))
    _volatility(returns, 0.5 ** (1.0 / half_life), known)
    return known


@njit(cache=True, nogil=True)
def _volatility(returns: Floats, decay: float, known: Floats) -> None:
    """Fill ``known[t]`` from the returns before ``t``."""
    square, weight, total, moved = 0.0, 0.0, 0.0, 0
    for t in range(returns.size - 1):
        if returns[t] != 0.0:
            square = decay * square + returns[t] * returns[t]
            weight = decay * weight + 1.0
            total += returns[t] * returns[t]
            moved += 1
        if moved >= WARM_UP:
            known[t + 1] = max(np.sqrt(square / weight), LEAST_VOLATILITY * np.sqrt(total / moved))


def paired_difference(first: Floats, second: Floats, half_life: float) -> Floats:
    """Difference of the two returns in units of their own known volatility; ``[time]``."""

    def scaled(returns: Floats) -> Floats:
        known = volatility_known_before(returns, half_life)
        return np.divide(returns, known, out=np.zeros_like(returns), where=known > _TINY)

    return scaled(first) - scaled(second)


def hac_t(differences: Floats, lags: int) -> float | None:
    """Mean over its HAC standard error (Bartlett weights); None without variance."""
    n = len(differences)
    if n <= lags + 1:
        return None
    mean = float(differences.mean())
    centred = differences - mean
    variance = float(centred @ centred) / n
    for k in range(1, lags + 1):
        weight = 2.0 * (1.0 - k / (lags + 1.0))
        variance += weight * float(centred[k:] @ centred[:-k]) / n
    if variance <= _TINY:
        return None
    return mean * float(np.sqrt(n / variance))


def criteria(evidence: Record, config: GateConfig) -> tuple[Criterion, ...]:
    """Judge one look; returns the whole table."""
    n = len(evidence.challenger)
    out = [_above("observations", float(n), config.first_look)]
    limit = boundary(max(n, 1), alpha=evidence.alpha, mixture=config.mixture)
    for name, returns in evidence.rivals.items():
        paired = paired_difference(evidence.challenger, returns, config.half_life)
        out.append(_above(f"paired_{name}", hac_t(paired, config.lags), limit, "no variance"))
    out += _sharpe_criteria(evidence, config)
    out += _trading_criteria(evidence, config)
    return tuple(out)


def smallest_gain(evidence: Record, rival: Floats, config: GateConfig) -> float | None:
    """Smallest annual Sharpe improvement over ``rival`` that this many sessions could show."""
    n = max(len(evidence.challenger), 1)
    limit = boundary(n, alpha=evidence.alpha, mixture=config.mixture)
    return smallest_gain_over(
        evidence.challenger, rival, limit=limit, periods_per_year=evidence.periods_per_year
    )


def smallest_gain_over(
    challenger: Floats, rival: Floats, *, limit: float, periods_per_year: int
) -> float | None:
    """``limit sqrt(2 (1 - rho) / years)``; None below three sessions."""
    if len(challenger) < 3:
        return None
    pair = np.vstack([challenger, rival])
    varies = bool((pair.std(axis=1) > _TINY).all())
    rho = float(np.asarray(np.corrcoef(pair))[0, 1]) if varies else 0.0
    years = len(challenger) / periods_per_year
    return limit * float(np.sqrt(2.0 * max(1.0 - rho, 0.0) / years))


def _sharpe_criteria(evidence: Record, config: GateConfig) -> list[Criterion]:
    given = moments(evidence.challenger)
    if given is None:
        why = "too few sessions or no variance"
        return [
            *(_above(name, None, getattr(config, name), why) for name in ("psr", "dsr")),
            _below("minimum_track_record", None, float(len(evidence.challenger)), why),
        ]
    variance = luck_variance(evidence.rival_sharpes, given.observations)
    deflated = deflated_sharpe(given, trials=evidence.policies, variance=variance)
    needed = minimum_track_record(given, 0.0, confidence=config.track_record)
    return [
        _above("psr", probabilistic_sharpe(given), config.psr),
        _above("dsr", deflated, config.dsr),
        _below(
            "minimum_track_record",
            needed,
            float(given.observations),
            "a Sharpe ratio of 0 or less is told from 0 by no record",
        ),
    ]


def _trading_criteria(evidence: Record, config: GateConfig) -> list[Criterion]:
    years = max(len(evidence.challenger), 1) / evidence.periods_per_year
    return [
        _below("max_drawdown", drawdown(evidence.challenger), config.max_drawdown),
        _below("turnover", float(evidence.turnover.sum()) / years, config.max_turnover),
        _above(
            "cost_break_even_bps",
            cost_break_even_bps(evidence.challenger, evidence.turnover, evidence.cost),
            evidence.cost * 1e4,
            "nothing was traded",
        ),
    ]


def cost_break_even_bps(net: Floats, turnover: Floats, cost: float) -> float | None:
    """Cost per side at which the mean net return is 0, basis points; None if nothing is traded."""
    traded = float(turnover.sum())
    if traded <= _TINY:
        return None
    return float((net + cost * turnover).sum()) / traded * 1e4


def _above(name: str, value: float | None, limit: float, reason: str = "") -> Criterion:
    ok = value is not None and value >= limit
    return Criterion(name, value, limit, "above", ok, reason if value is None else "")


def _below(name: str, value: float | None, limit: float, reason: str = "") -> Criterion:
    ok = value is not None and value <= limit
    return Criterion(name, value, limit, "below", ok, reason if value is None else "")
