"""Regimes by thresholds on trend and volatility: the plain rule that a learned model must beat.

For: six states (bull, sideways, bear, each calm or volatile) cut at levels of the training
window. Not for: learned states, and not for more than the last row: a rule has no memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from backtest.errors import NotFittedError
from ml.market_state import TREND, TRENDS, VOLATILITY, WORDS, name_states
from ml.regime import REGIMES, Floats, RegimeFit

_STATES = tuple(product(TRENDS, WORDS[VOLATILITY]))
"""Words that the thresholds say; the others come from where a state lies."""


@dataclass(frozen=True)
class RulesFit:
    """Thresholds of one training window; see :class:`ml.regime.RegimeFit`.

    Parameters
    ----------
    names : tuple of str, ``[state]``
    columns : tuple of str
        All columns of the state that it was fitted on.
    thresholds : float64, ``[2]``
        Trend from which a session is bull (bear at its negative), and volatility from which it
        is volatile.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    thresholds: Floats

    def filter(self, state: Floats) -> Floats:
        """One for the state of each row, ``[time, state]``; a row with a NaN repeats the last."""
        trend = state[:, self.columns.index(TREND)]
        width = state[:, self.columns.index(VOLATILITY)]
        known = np.isfinite(trend) & np.isfinite(width)
        level, wide = self.thresholds
        row = np.where(trend >= level, 0, np.where(trend <= -level, 2, 1))
        label = 2 * row + (width > wide)
        last = np.maximum.accumulate(np.where(known, np.arange(len(state)), -1))
        out = np.full((len(state), len(self.names)), 1.0 / len(self.names))
        seen = last >= 0
        out[seen] = np.eye(len(self.names))[label[last[seen]]]
        return out

    def arrays(self) -> dict[str, Floats]:
        """Thresholds by name."""
        return {"thresholds": self.thresholds}

    def config(self) -> dict[str, Any]:
        """Plain values beside the thresholds."""
        return {"model": "rules", "names": list(self.names), "columns": list(self.columns)}


@dataclass(frozen=True)
class RulesModel:
    """Recipe of the thresholds.

    Parameters
    ----------
    band : float
        Bull and bear begin this many training deviations of the trend away from zero.
    share : float
        Share of training sessions that count as calm.
    least : int
        Fewest known rows that a fit accepts.
    """

    band: float = 0.5
    share: float = 2.0 / 3.0
    least: int = 60

    def fit(
        self,
        state: Floats,
        columns: tuple[str, ...],
        *,
        previous: RegimeFit | None,
        seed: int,
    ) -> RulesFit:
        """Cut the training window; ``previous`` and ``seed`` change nothing.

        Raises
        ------
        NotFittedError
            Trend or volatility is missing, or fewer than ``least`` rows know both.
        """
        missing = [name for name in (TREND, VOLATILITY) if name not in columns]
        values = state[:, [columns.index(n) for n in (TREND, VOLATILITY) if n in columns]]
        values = values[np.isfinite(values).all(axis=1)]
        if missing or len(values) < self.least:
            raise NotFittedError(
                f"{len(values)} sessions of market state where {self.least} are needed",
                where=f"missing columns: {', '.join(missing) or 'none'}",
                fix="give more history",
            )
        level = max(self.band * float(values[:, 0].std()), 1e-12)
        thresholds = np.array([level, float(np.quantile(values[:, 1], self.share))])
        fit = RulesFit(tuple(map(" ".join, _STATES)), columns, thresholds)
        told = (name.split()[2:] for name in name_states(state, columns, fit.filter(state)))
        names = [" ".join((*own, *words)) for own, words in zip(_STATES, told, strict=True)]
        return RulesFit(tuple(names), columns, thresholds)

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> RulesFit:
        """Rebuild a fit from what it saved."""
        return RulesFit(tuple(config["names"]), tuple(config["columns"]), arrays["thresholds"])


REGIMES.register("rules")(RulesModel())
