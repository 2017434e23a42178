"""Many markets of the board together: how each learner stands, and which gains count as gains.

For: the numbers and verdicts of the page. Not for: measuring (``board``) or showing
(``board_page``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from backtest.market.synthetic import WORLD_NAMES
from ml.proof.board import ALWAYS, PASSIVE, REFERENCES, SIMPLE
from ml.proof.cell import ALL, Cell, Row
from ml.proof.scorecard import MATERIAL, Rate, rate

Floats = npt.NDArray[np.float64]

Board = dict[str, dict[str, list["Standing"]]]
"""Standings by market, then strategy."""

CHANCE = 0.025
"""Chance that a board calls any gain one that is none, shared out among all it could call so."""
LEAST = 3
"""Seeds from which on their spread is worth an interval, a t or a share of the oracle's gain."""


@dataclass(frozen=True)
class Standing:
    """One learner on all markets of one name.

    Parameters
    ----------
    learner : str
    sharpe : float
        Mean annual net Sharpe ratio; a stream that never moved is cash.
    low, high : float or None
        95 %: by Student's t over seeds, from ``LEAST`` on, or by the bootstrap where there is one
        market.
    capture : float or None
        Part of what the true state adds to ``static`` that it adds; from ``LEAST`` seeds on.
    ranking, turnover, break_even_bps, max_drawdown : float or None
        Means over markets; the worst drawdown.
    milliseconds : float
        Processor time of a decision, mean.
    promoted : Rate or None
        Markets on which the gate would have promoted it; None for those that never ask.
    smallest_gain : float or None
        Mean of what the sessions could have shown.
    rival : str or None
        Best of the learners that it must beat.
    gain, t : float or None
        Mean gain over that in annual Sharpe ratio, and its paired t: over seeds, from ``LEAST``
        on, or HAC over sessions where there is one market.
    judged : bool
        Whether there is a verdict at all: see :func:`judges`.
    clear : bool
        Whether so large a t has a chance of at most its share of ``CHANCE`` without any gain.
    """

    learner: str
    sharpe: float
    low: float | None
    high: float | None
    capture: float | None
    ranking: float | None
    turnover: float
    break_even_bps: float | None
    max_drawdown: float
    milliseconds: float
    promoted: Rate | None
    smallest_gain: float | None
    rival: str | None
    gain: float | None
    t: float | None
    judged: bool
    clear: bool

    @property
    def verdict(self) -> str:
        """Whether it beats the best of those that it must beat, in words; "-" if not judged."""
        if self.rival is None or not self.judged:
            return "-"
        if self.gain is None or self.gain <= 0.0:
            return f"does not beat {self.rival}"
        if not self.clear:
            return f"above {self.rival}, not clearly"
        return f"beats {self.rival}"


def by_market(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Group cells by market, worlds first, each sorted by seed."""
    out: dict[str, list[Cell]] = {}
    for one in sorted(cells, key=lambda c: c.seed):
        out.setdefault(one.market, []).append(one)
    known = [name for name in WORLD_NAMES if name in out]
    return {name: out[name] for name in (*known, *(n for n in out if n not in known))}


def strategies_of(cells: Sequence[Cell]) -> list[str]:
    """Strategies on these cells, the equal weight of all of them first."""
    names = list(dict.fromkeys(row.strategy for row in cells[0].rows))
    return sorted(names, key=lambda name: name != ALL)


def board_standings(groups: Mapping[str, Sequence[Cell]]) -> Board:
    """Learners and references by market and strategy, each table best first.

    ``CHANCE`` is shared out among the verdicts of all tables alike.

    Parameters
    ----------
    groups : dict of str to sequence of Cell
        As of :func:`by_market`.
    """
    claims = sum(
        len(_claimants(cells, strategy))
        for cells in groups.values()
        if judges(cells)
        for strategy in strategies_of(cells)
    )
    return {
        market: {name: standings(cells, name, claims=claims) for name in strategies_of(cells)}
        for market, cells in groups.items()
    }


def judges(cells: Sequence[Cell]) -> bool:
    """Whether anything is judged on these markets: all are of the full size, and not too few."""
    return all(one.full for one in cells) and (len(cells) == 1 or len(cells) >= LEAST)


def _claimants(cells: Sequence[Cell], strategy: str) -> list[str]:
    """Learners of a table that could be said to beat another one."""
    names = [row.learner for row in cells[0].rows if row.strategy == strategy]
    return [name for name in names if _against(cells, strategy, name)[0] is not None]


def standings(cells: Sequence[Cell], strategy: str, *, claims: int) -> list[Standing]:
    """Learners and references on markets of one name, best first.

    Parameters
    ----------
    cells : sequence of Cell
        Of one market name.
    strategy : str
    claims : int
        Gains that the whole board could call gains.
    """
    names = [row.learner for row in cells[0].rows if row.strategy == strategy]
    made = [_standing(cells, strategy, name, claims) for name in names]
    return sorted(made, key=lambda one: -one.sharpe)


def _standing(cells: Sequence[Cell], strategy: str, name: str, claims: int) -> Standing:
    rows = _rows(cells, strategy, name)
    ratios = _sharpes(cells, strategy, name)
    low, high = _bounds(ratios, rows)
    rival, gain, t = _against(cells, strategy, name)
    judged = judges(cells)
    asks = name not in PASSIVE and name not in REFERENCES
    sessions = sum(one.out_of_sample for one in cells)
    return Standing(
        learner=name,
        sharpe=float(ratios.mean()),
        low=low,
        high=high,
        capture=_capture(cells, strategy, name),
        ranking=mean([row.ranking for row in rows]),
        turnover=float(np.mean([row.turnover for row in rows])),
        break_even_bps=mean([row.break_even_bps for row in rows]),
        max_drawdown=max(row.max_drawdown for row in rows),
        milliseconds=1e3 * sum(row.seconds for row in rows) / sessions,
        promoted=rate(row.promoted_after is not None for row in rows) if asks else None,
        smallest_gain=mean([row.smallest_gain for row in rows]),
        rival=rival,
        gain=gain,
        t=t,
        judged=judged,
        clear=judged and t is not None and _chance(t, len(cells)) <= CHANCE / claims,
    )


def _chance(t: float, markets: int) -> float:
    """Chance of such a t without any gain: over seeds Student's, over sessions the normal one."""
    return float(stats.t.sf(t, markets - 1) if markets > 1 else stats.norm.sf(t))


def _rows(cells: Sequence[Cell], strategy: str, name: str) -> list[Row]:
    found = (one.row(name, strategy) for one in cells)
    return [row for row in found if row is not None]


def _sharpes(cells: Sequence[Cell], strategy: str, name: str) -> Floats:
    return np.array([row.sharpe or 0.0 for row in _rows(cells, strategy, name)])


def _bounds(ratios: Floats, rows: Sequence[Row]) -> tuple[float | None, float | None]:
    """Interval of the mean: over seeds, else that of the one market."""
    if len(ratios) == 1:
        return rows[0].interval or (None, None)
    if len(ratios) < LEAST:
        return None, None
    half = stats.t.ppf(0.975, len(ratios) - 1) * ratios.std(ddof=1) / math.sqrt(len(ratios))
    return float(ratios.mean() - half), float(ratios.mean() + half)


def _against(
    cells: Sequence[Cell], strategy: str, name: str
) -> tuple[str | None, float | None, float | None]:
    """Best rival of a learner on average, the mean gain over it, and its paired t."""
    if name in REFERENCES or name == "cash":
        return None, None, None
    present = {row.learner for row in cells[0].rows if row.strategy == strategy}
    asked = SIMPLE if name in ALWAYS else ALWAYS
    rivals = [one for one in asked if one in present and one != name]
    if not rivals:
        return None, None, None
    best = max(rivals, key=lambda one: float(_sharpes(cells, strategy, one).mean()))
    gains = _sharpes(cells, strategy, name) - _sharpes(cells, strategy, best)
    if len(gains) == 1:
        return best, float(gains[0]), _rows(cells, strategy, name)[0].paired.get(best)
    spread = float(gains.std(ddof=1))
    told = spread > 0.0 and len(gains) >= LEAST
    t = float(gains.mean()) / spread * math.sqrt(len(gains)) if told else None
    return best, float(gains.mean()), t


def _capture(cells: Sequence[Cell], strategy: str, name: str) -> float | None:
    """Pooled share of the oracle's gain; None where it gains less than is worth stating."""
    if len(cells) < LEAST:
        return None
    if any(one.row("oracle", strategy) is None for one in cells) or name in REFERENCES:
        return None
    if not _rows(cells, strategy, "static"):
        return None
    static, most, own = (
        float(_sharpes(cells, strategy, one).mean()) for one in ("static", "oracle", name)
    )
    return None if most - static < MATERIAL else (own - static) / (most - static)


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
