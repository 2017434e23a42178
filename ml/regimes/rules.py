"""Regimes by plain rules: bull, sideways or bear, calm or volatile, from two thresholds.

For: a model that anybody can check by hand, and the yardstick of the fitted ones. Not for:
probabilities between 0 and 1; a rule is sure of itself.

With ``r`` the averaged market return and ``v`` the log of the averaged size of its moves: bull if
``r >= DRIFT exp(v)``, bear if ``r <= -DRIFT exp(v)``, else sideways; volatile if ``v`` lies above
its training mean by more than ``MARGIN`` training deviations, else calm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backtest.errors import NotFittedError
from ml.market_state import DRIFT, MARGIN, TREND, VOLATILITY
from ml.regime import REGIMES, Floats, RegimeFit

NAMES = (
    "bull calm thin",
    "sideways calm thin",
    "bear calm thin",
    "bull volatile thin",
    "sideways volatile thin",
    "bear volatile thin",
)
"""Rules say nothing of volume: every state counts as thin."""

_LEAST = 60


@dataclass(frozen=True)
class RulesFit:
    """Thresholds of one training window; see :class:`ml.regime.RegimeFit`.

    Parameters
    ----------
    columns : tuple of str
        All columns of the state.
    limit : float
        Log volatility above which a session is volatile.
    """

    columns: tuple[str, ...]
    limit: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the six states."""
        return NAMES

    def filter(self, state: Floats) -> Floats:
        """One state per row with certainty; ``[time, state]``.

        A row that knows no trend or volatility keeps the state of the row before; before the
        first known row all states are equally likely.
        """
        trend = state[:, self.columns.index(TREND)]
        volatility = state[:, self.columns.index(VOLATILITY)]
        known = np.isfinite(trend) & np.isfinite(volatility)
        slope = np.where(known, trend, 0.0) / np.exp(np.where(known, volatility, 0.0))
        which = np.where(slope >= DRIFT, 0, np.where(slope <= -DRIFT, 2, 1))
        which = which + 3 * (np.where(known, volatility, -np.inf) > self.limit)  # [T]
        last = np.maximum.accumulate(np.where(known, np.arange(len(state)), -1))
        out = np.full((len(state), len(NAMES)), 1.0 / len(NAMES))
        seen = last >= 0
        out[seen] = np.eye(len(NAMES))[which[last[seen]]]
        return out

    def arrays(self) -> dict[str, Floats]:
        """Weights by name."""
        return {"limit": np.array([self.limit])}

    def config(self) -> dict[str, Any]:
        """Plain values beside the weights."""
        return {"model": "rules", "columns": list(self.columns)}


@dataclass(frozen=True)
class RulesModel:
    """Recipe of the rules."""

    def fit(
        self,
        state: Floats,
        columns: tuple[str, ...],
        *,
        previous: RegimeFit | None,
        seed: int,
    ) -> RulesFit:
        """Take the volatility threshold from ``state`` ``[time, feature]``.

        Raises
        ------
        NotFittedError
            Fewer than 60 sessions know the market's volatility.
        """
        volatility = state[:, columns.index(VOLATILITY)]
        known = volatility[np.isfinite(volatility)]
        if len(known) < _LEAST:
            raise NotFittedError(
                f"{len(known)} sessions know the market's volatility where {_LEAST} are needed",
                where=f"{len(state)} sessions",
                fix="give more history",
            )
        return RulesFit(columns, float(known.mean() + MARGIN * known.std()))

    def restore(self, arrays: dict[str, Floats], config: dict[str, Any]) -> RulesFit:
        """Rebuild a fit from what it saved."""
        return RulesFit(tuple(config["columns"]), float(arrays["limit"][0]))


REGIMES.register("rules")(RulesModel())
