"""What a search seeks: objectives, weighted sums of them, constraints, one regime's sessions.

For: turning the metrics of sets into values that are larger the better, one column per objective,
and saying which sets keep the constraints. Not for: comparing compromises (``pareto``), and not
for definitions of metrics, which are those of ``METRICS``.

An objective is a metric's name, or a sum such as ``sharpe+2*max_drawdown``: weights say how much a
metric matters and are positive; a metric whose lower values are better enters with a minus sign.
So that sum is ``sharpe - 2 max_drawdown``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtest.errors import ParameterError
from backtest.metric import METRICS, MetricInput
from backtest.registry import closest
from backtest.result import BookResult

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

BOOK_METRICS = (
    *("sharpe", "total_return", "max_drawdown", "volatility", "calmar", "sortino", "cagr"),
    *("var_95", "cvar_95", "turnover"),
)
"""Metrics of a book's returns."""
ACCOUNT_METRICS = ("trades", "win_rate")
"""Metrics of the accounts of single symbols, added up over all of them."""
ALIASES = {"risk_adjusted": "sharpe+2*max_drawdown"}
LEAST_SESSIONS = 20.0
"""Effective sessions of a regime from which a ratio over them is defined."""

_TERM = re.compile(r"^(?:([0-9.]+)\*)?([a-z_0-9]+)$")
_RULE = re.compile(r"^\s*([a-z_0-9]+)\s*(<=|>=)\s*([-+0-9.e]+)\s*$")


@dataclass(frozen=True)
class Objective:
    """A weighted sum of metrics, larger is better.

    Parameters
    ----------
    text : str
        As it was asked for.
    terms : tuple of (float, str)
        Signed factor of each metric.
    """

    text: str
    terms: tuple[tuple[float, str], ...]

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read ``NAME`` or ``WEIGHT*NAME+...``.

        Raises
        ------
        ParameterError
            ``E_OBJECTIVE``.
        """
        text = text.strip()
        terms = []
        for part in ALIASES.get(text, text).split("+"):
            found = _TERM.match(part.strip())
            weight = _number(found[1] or "1") if found else None
            if found is None or weight is None or weight <= 0.0:
                raise ParameterError(
                    f"objective {text!r}",
                    fix="write a metric, or a sum such as sharpe+2*max_drawdown",
                    code="E_OBJECTIVE",
                )
            sign = 1.0 if METRICS.get(_metric(found[2])).better == "higher" else -1.0
            terms.append((sign * weight, found[2]))
        return cls(text, tuple(terms))

    @property
    def sign(self) -> float:
        """What turns a value into the number that people know: -1 for a metric to be lowered."""
        return -1.0 if len(self.terms) == 1 and self.terms[0][0] == -1.0 else 1.0

    def of(self, metrics: Mapping[str, Floats]) -> Floats:
        """Value of every set; NaN where a metric is undefined; ``[set]``."""
        total: Floats = np.sum([k * metrics[name] for k, name in self.terms], axis=0)
        return total


@dataclass(frozen=True)
class Constraint:
    """A bound on one metric."""

    metric: str
    at_most: bool
    limit: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read ``NAME<=NUMBER`` or ``NAME>=NUMBER``.

        Raises
        ------
        ParameterError
            ``E_OBJECTIVE``.
        """
        found = _RULE.match(text)
        limit = _number(found[3]) if found else None
        if found is None or limit is None:
            raise ParameterError(
                f"constraint {text!r}",
                fix="write a metric, <= or >=, and a number: max_drawdown<=0.2",
                code="E_OBJECTIVE",
            )
        return cls(_metric(found[1]), found[2] == "<=", limit)

    def holds(self, metrics: Mapping[str, Floats]) -> Bools:
        """Whether each set keeps it; an undefined metric keeps none; bool, ``[set]``."""
        value = metrics[self.metric]
        return np.asarray(value <= self.limit if self.at_most else value >= self.limit)


@dataclass(frozen=True)
class Goal:
    """What a search seeks and what it must keep.

    Parameters
    ----------
    objectives : tuple of Objective
    constraints : tuple of Constraint
    """

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()

    @classmethod
    def parse(cls, objectives: Sequence[str], constraints: Sequence[str] = ()) -> Goal:
        """Read objectives and constraints.

        Raises
        ------
        ParameterError
            ``E_OBJECTIVE``: none, one twice, or one that cannot be read.
        """
        made = tuple(Objective.parse(text) for text in objectives)
        if not made or len({one.terms for one in made}) < len(made):
            raise ParameterError(
                "no objective" if not made else "an objective stands twice",
                fix="give each once",
                code="E_OBJECTIVE",
            )
        return cls(made, tuple(Constraint.parse(text) for text in constraints))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics that are read, sorted."""
        sought = {name for one in self.objectives for _, name in one.terms}
        return tuple(sorted(sought | {one.metric for one in self.constraints}))

    def refuse_trades(self) -> None:
        """Refuse metrics of trades where one regime's sessions are judged.

        Raises
        ------
        ParameterError
            ``E_OBJECTIVE``.
        """
        for name in self.metrics:
            if name in ACCOUNT_METRICS:
                raise ParameterError(
                    f"{name} of one regime's sessions",
                    fix="a trade spans regimes: leave out --regime, or the metric",
                    code="E_OBJECTIVE",
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Objectives as they were asked for."""
        return tuple(one.text for one in self.objectives)

    def values(self, metrics: Mapping[str, Floats]) -> Floats:
        """Value of each set by each objective, larger is better; ``[set, objective]``."""
        return np.column_stack([one.of(metrics) for one in self.objectives])

    def feasible(self, metrics: Mapping[str, Floats]) -> Bools:
        """Which sets keep every constraint and have every value; bool, ``[set]``."""
        keeps: Bools = np.all(np.isfinite(self.values(metrics)), axis=1)
        for one in self.constraints:
            keeps &= one.holds(metrics)
        return keeps


def book_metrics(
    book: BookResult,
    names: Sequence[str],
    *,
    periods_per_year: int,
    weights: Floats | None = None,
) -> dict[str, Floats]:
    """Measure the book of every set.

    Parameters
    ----------
    book : BookResult
        Streams ``[set, time]``.
    names : sequence of str
        Of ``BOOK_METRICS``; others are left out.
    periods_per_year : int
    weights : float64, ``[time]``, optional
        Probability, known at the close before, that the session belongs to a regime. The Sharpe
        ratio and the volatility are then those of weighted moments; every other metric is that of
        the book held in proportion to the probability, without the cost of moving in and out.

    Returns
    -------
    dict of str to float64, ``[set]``
        NaN where undefined.
    """
    wanted = [name for name in names if name in BOOK_METRICS]
    out = {name: np.full(len(book.net_return), np.nan) for name in wanted}
    if weights is not None:
        mean, deviation = weighted_moments(book.net_return, weights)
        root = float(np.sqrt(periods_per_year))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(deviation > 0.0, mean / deviation * root, np.nan)
        known = {"sharpe": ratio, "volatility": deviation * root}
        out |= {name: value for name, value in known.items() if name in out}
        wanted = [name for name in wanted if name not in known]
    share = 1.0 if weights is None else weights
    for p in range(len(book.net_return)) if wanted else ():
        given = MetricInput(
            returns=book.net_return[p] * share,
            periods_per_year=periods_per_year,
            turnover=book.turnover[p] * share,
        )
        for name in wanted:
            value = METRICS.get(name).compute(given)
            out[name][p] = value if isinstance(value, float) and np.isfinite(value) else np.nan
    return out


def account_metrics(columns: Mapping[str, Floats]) -> dict[str, Floats]:
    """Trades of every set over all symbols, and the share of them that was won; each ``[set]``.

    Parameters
    ----------
    columns : mapping of str to float64, ``[set, symbol]``
        Of ``engine.sweep.sweep_metrics``.
    """
    trades = columns["trades"]
    total = trades.sum(axis=1)
    won = np.where(trades > 0.0, columns["win_rate"] * trades, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"trades": total, "win_rate": np.where(total > 0.0, won / total, np.nan)}


def weighted_moments(returns: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and deviation of each stream; equal weights give the sample's own.

    ``m = sum w r / W``, ``s^2 = sum w (r - m)^2 / (W - sum w^2 / W)`` with ``W = sum w``; NaN
    where the weights add up to fewer than ``LEAST_SESSIONS``.

    Parameters
    ----------
    returns : float64, ``[set, time]``
    weights : float64, ``[time]``
        In [0, 1].
    """
    total = float(weights.sum())
    spread = total - float((weights**2).sum()) / total if total > 0.0 else 0.0
    if total < LEAST_SESSIONS or spread <= 0.0:
        nothing = np.full(len(returns), np.nan)
        return nothing, nothing.copy()
    mean = returns @ weights / total
    square = ((returns - mean[:, None]) ** 2) @ weights / spread
    still = (returns == returns[:, :1]).all(axis=1)
    return mean, np.where(still, 0.0, np.sqrt(square))


def _metric(name: str) -> str:
    known = [*BOOK_METRICS, *ACCOUNT_METRICS]
    if name not in known:
        raise ParameterError(
            f"unknown metric {name!r}",
            fix=closest(name, [*known, *ALIASES]),
            code="E_OBJECTIVE",
        )
    return name


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
