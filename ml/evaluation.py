"""What parameter sets are worth: books and accounts on one timeframe or several.

For: the step between a searcher's question and its answer, one sweep for a whole batch; the weights
of one regime's sessions; the digest of what was judged on. Not for: proposing sets (``searchers``)
or choosing among them (``tuning``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtest.engine.books import sweep_book
from backtest.engine.sweep import sweep_metrics
from backtest.errors import DataError, NotFittedError, UnknownNameError
from backtest.market.panel import Panel
from backtest.market.weeks import weekly
from backtest.params import ParamGrid
from backtest.portfolio.book import BookKind
from backtest.registry import closest
from backtest.strategy import Strategy
from ml.market_state import TRENDS, WORDS
from ml.objective import (
    ACCOUNT_METRICS,
    BOOK_METRICS,
    LEAST_SESSIONS,
    Goal,
    account_metrics,
    book_metrics,
)
from ml.regime_track import RegimeTrack
from ml.space import Row

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

TIMEFRAMES = ("1d", "1w")
COMBINE = ("mean", "worst")
REGIME_WORDS = (*TRENDS, *chain.from_iterable(WORDS.values()))
"""Words that the names of regimes are made of."""


@dataclass(frozen=True)
class Batch:
    """Sets that were asked for together, and what they are worth.

    Parameters
    ----------
    rows : tuple of dict
        Plain sets.
    metrics : dict of str to float64, ``[set]``
        On the first timeframe.
    values : float64, ``[set, objective]``
        Larger is better; over all timeframes.
    feasible : bool, ``[set]``
    """

    rows: tuple[Row, ...]
    metrics: dict[str, Floats]
    values: Floats
    feasible: Bools

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Batch:
        """One batch of several, in order."""
        return cls(
            rows=tuple(row for part in parts for row in part.rows),
            metrics={
                name: np.concatenate([part.metrics[name] for part in parts])
                for name in parts[0].metrics
            },
            values=np.concatenate([part.values for part in parts]),
            feasible=np.concatenate([part.feasible for part in parts]),
        )


@dataclass(frozen=True)
class Market:
    """Bars of one timeframe, and the weight of each of its sessions.

    Parameters
    ----------
    timeframe : str
    panel : Panel
    weights : float64, ``[time]``, optional
        Probability, known at the close before, of the regime that is judged; None for all sessions.
    """

    timeframe: str
    panel: Panel
    weights: Floats | None = None


@dataclass(frozen=True)
class Evaluation:
    """What turns sets into values.

    Parameters
    ----------
    markets : tuple of Market
        The first one gives the metrics that are reported.
    strategy : Strategy
    goal : Goal
    book : BookKind
    cost : float
        Decimal of traded notional, per side.
    combine : str
        ``mean`` of a value over timeframes, or the ``worst`` of them.
    reported : tuple of str
        Metrics to report beside those that the goal reads.
    """

    markets: tuple[Market, ...]
    strategy: Strategy
    goal: Goal
    book: BookKind
    cost: float
    combine: Literal["mean", "worst"] = "mean"
    reported: tuple[str, ...] = ("sharpe", "total_return", "max_drawdown", "volatility", "turnover")

    def __post_init__(self) -> None:
        """Refuse a goal that the markets cannot tell.

        Raises
        ------
        ParameterError
            ``E_OBJECTIVE``: trades of one regime's sessions.
        """
        if any(market.weights is not None for market in self.markets):
            self.goal.refuse_trades()

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Judge sets by one sweep on each timeframe."""
        names = tuple(dict.fromkeys((*self.goal.metrics, *self.reported)))
        grid = ParamGrid.of(self.strategy.params, rows)
        told = [self._measured(market, grid, names) for market in self.markets]
        values = np.stack([self.goal.values(one) for one in told])  # [market, set, objective]
        with np.errstate(invalid="ignore"):
            joined = values.mean(axis=0) if self.combine == "mean" else values.min(axis=0)
        feasible = np.logical_and.reduce([self.goal.feasible(one) for one in told])
        return Batch(tuple(rows), told[0], joined, feasible)

    def returns(self, rows: Sequence[Row]) -> Floats:
        """Net book return of sets on the first timeframe; ``[set, time]``."""
        grid = ParamGrid.of(self.strategy.params, rows)
        first = self.markets[0].panel
        return sweep_book(first, self.strategy, grid, kind=self.book, cost=self.cost).net_return

    def _measured(self, market: Market, grid: ParamGrid, names: Sequence[str]) -> dict[str, Floats]:
        out: dict[str, Floats] = {}
        if any(name in BOOK_METRICS for name in names):
            book = sweep_book(market.panel, self.strategy, grid, kind=self.book, cost=self.cost)
            out |= book_metrics(
                book,
                names,
                periods_per_year=market.panel.periods_per_year,
                weights=market.weights,
            )
        if any(name in ACCOUNT_METRICS for name in names):
            columns = sweep_metrics(market.panel, self.strategy, grid, cost=self.cost)
            counted = account_metrics(columns)
            out |= {name: counted[name] for name in names if name in counted}
        return out


def markets_of(
    panel: Panel, timeframes: Sequence[str], *, probability: Floats | None = None
) -> tuple[Market, ...]:
    """Lay a daily panel out on each timeframe.

    Parameters
    ----------
    panel : Panel
    timeframes : sequence of str
        Of ``TIMEFRAMES``.
    probability : float64, ``[time]``, optional
        Of a regime, as each session's close was told it; a bar is weighted by what was known at
        the close of the bar before.

    Raises
    ------
    DataError
        ``E_TIMEFRAME``: an unknown one, or one twice.
    NotFittedError
        ``E_TOO_SHORT``: the regime fills hardly a session.
    """
    if len(set(timeframes)) < len(timeframes):
        raise DataError("a timeframe stands twice", fix="give each once", code="E_TIMEFRAME")
    out = []
    for name in timeframes:
        if name not in TIMEFRAMES:
            raise DataError(
                f"no search on timeframe {name!r}",
                fix=closest(name, TIMEFRAMES),
                code="E_TIMEFRAME",
            )
        bars = panel if name == "1d" else weekly(panel)
        weights = None
        if probability is not None:
            told = probability[np.searchsorted(panel.dates, bars.dates)]
            weights = np.concatenate([[0.0], told[:-1]])
            if weights.sum() < LEAST_SESSIONS:
                raise NotFittedError(
                    f"the regime fills {weights.sum():.1f} of {len(weights)} bars ({name})",
                    where="--regime",
                    fix=f"search where it fills at least {LEAST_SESSIONS:g}, or give more history",
                    code="E_TOO_SHORT",
                )
        out.append(Market(name, bars, weights))
    return tuple(out)


def regime_probability(track: RegimeTrack, words: str) -> Floats:
    """Probability of the states whose names hold some words, as each close was told; ``[time]``.

    Parameters
    ----------
    track : RegimeTrack
    words : str
        A regime's whole name (``bull calm thin dispersed``), or less of it (``bull``,
        ``volatile``). 0 before the first fit.

    Raises
    ------
    UnknownNameError
        No state of any fit has such a name.
    """
    wanted = set(words.split())
    if not wanted or not wanted <= set(REGIME_WORDS):
        strange = sorted(wanted - set(REGIME_WORDS))
        raise UnknownNameError(
            f"unknown regime {words!r}",
            where="--regime",
            fix=closest(strange[0] if strange else "", REGIME_WORDS),
        )
    out, found, names = np.zeros(track.sessions), False, set()
    for first in range(track.train, track.sessions, track.refit):
        stop = min(first + track.refit, track.sessions)
        fit = track.fit_at(first)
        names |= set(fit.names)
        has = np.array([wanted <= set(name.split()) for name in fit.names])
        found |= bool(has.any())
        out[first:stop] = fit.filter(track.state[:stop])[first:, has].sum(axis=1)
    if not found:
        raise UnknownNameError(
            f"no regime of this market is called {words!r}",
            where="--regime",
            fix=closest(words, sorted(names)),
        )
    return np.minimum(out, 1.0)


def panel_digest(panel: Panel) -> str:
    """SHA-256 of everything in a panel that a sweep reads."""
    digest = hashlib.sha256("\n".join((*panel.symbols, *panel.sectors)).encode())
    parts: list[npt.NDArray[Any]] = [panel.dates.astype(np.int64), panel.tradable, panel.member]
    parts += [panel.open, panel.high, panel.low, panel.close, panel.volume]
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    digest.update(str(panel.periods_per_year).encode())
    return digest.hexdigest()
