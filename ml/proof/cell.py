"""One market of the board, as it is kept in a file: a row per strategy and learner.

For: records, and the trials that looking at them amounts to. Not for: measuring (``board``) or
showing (``board_page``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ml.trials import Trial

ALL = "all"
"""Name of the equal weight of all strategies."""


@dataclass(frozen=True)
class Row:
    """What one learner, or a reference, made of one strategy on one market, out of sample.

    Parameters
    ----------
    strategy, learner : str
    sharpe : float or None
        Annual, net; None for a stream that never moved.
    interval : pair of float or None
        95 %, by the stationary bootstrap.
    turnover : float
        A year.
    max_drawdown : float
    break_even_bps : float or None
        Cost per side at which nothing would be left.
    ranking : float or None
        See :class:`ml.proof.contest.Entry`.
    promoted_after : int or None
        Sessions until the gate would have promoted it.
    failed : tuple of str
        Criteria that it missed on the last session, if it was not promoted.
    smallest_gain : float or None
        Annual Sharpe ratio over ``static`` that this many sessions could have shown.
    paired : dict of str to float or None
        HAC t of the paired difference with every other learner.
    seconds : float
        Processor time of its decisions, without the regimes.
    policy : str or None
        Hash of the policy whose record was looked at, the equal weight of all strategies one more;
        None for what is no policy.
    """

    strategy: str
    learner: str
    sharpe: float | None
    interval: tuple[float, float] | None
    turnover: float
    max_drawdown: float
    break_even_bps: float | None
    ranking: float | None = None
    promoted_after: int | None = None
    failed: tuple[str, ...] = ()
    smallest_gain: float | None = None
    paired: dict[str, float | None] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    policy: str | None = None


@dataclass(frozen=True)
class Cell:
    """One market of the board.

    Parameters
    ----------
    market : str
        World, or name of the bars.
    synthetic : bool
    seed : int
    symbols, sessions, out_of_sample, periods_per_year : int
    first, last : str
        Dates of the first and last session out of sample.
    cost : float
        Per side, decimal.
    accuracy : float or None
        Share of sessions in the right state, where the truth is known.
    rows : tuple of Row
    full : bool
        Whether the terms are the default ones, under which there are verdicts; of bars handed in
        these are policy and cost, their size is what it is.
    """

    market: str
    synthetic: bool
    seed: int
    symbols: int
    sessions: int
    out_of_sample: int
    periods_per_year: int
    first: str
    last: str
    cost: float
    accuracy: float | None
    rows: tuple[Row, ...]
    full: bool

    def plain(self) -> dict[str, Any]:
        """Plain values, as they stand in a file."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Cell:
        """Read a cell back from its plain values."""
        rows = tuple(
            Row(
                **{
                    **row,
                    "interval": None if row["interval"] is None else tuple(row["interval"]),
                    "failed": tuple(row["failed"]),
                }
            )
            for row in values["rows"]
        )
        return cls(**{**values, "rows": rows})

    def row(self, learner: str, strategy: str | None = None) -> Row | None:
        """Row of a learner, of the equal weight of all strategies by default."""
        named = strategy or (ALL if any(r.strategy == ALL for r in self.rows) else None)
        fits = (r for r in self.rows if r.learner == learner and named in (None, r.strategy))
        return next(fits, None)


def board_trials(one: Cell) -> list[Trial]:
    """Every policy whose record a cell shows: looking at a board is looking at all of them."""
    periods = math.sqrt(one.periods_per_year)
    return [
        Trial(
            kind="policy",
            strategy=row.strategy,
            config_hash=row.policy,
            span_start=date.fromisoformat(one.first),
            span_end=date.fromisoformat(one.last),
            sharpe=None if row.sharpe is None else row.sharpe / periods,
            observations=one.out_of_sample,
        )
        for row in one.rows
        if row.policy is not None
    ]
