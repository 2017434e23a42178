"""What the robustness of one strategy is computed from.

For: one record that a walk-forward in memory and one that was kept in files both fill. Not for:
computing anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid
from ml.corpus import Corpus
from ml.export.records import Decision
from ml.policy import PolicyConfig

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WalkRecord:
    """One strategy's walk-forward.

    Parameters
    ----------
    dates : datetime64[D], ``[time]``
        All sessions of the panel.
    start : int
        Session of the first decision.
    periods_per_year : int
    cost : float
        Per side, decimal of traded notional.
    policy : PolicyConfig
    corpus : Corpus
    decisions : tuple of Decision
        One per session from ``start`` on.
    net, turnover : mapping of str to float64, ``[time - start - 1]``
        By variant, from the session after the first decision on.
    """

    dates: npt.NDArray[np.datetime64]
    start: int
    periods_per_year: int
    cost: float
    policy: PolicyConfig
    corpus: Corpus
    decisions: tuple[Decision, ...]
    net: Mapping[str, Floats]
    turnover: Mapping[str, Floats]

    @cached_property
    def grid(self) -> ParamGrid:
        """The candidates, without a default or incumbent that is none of them."""
        return self.corpus.grid.take(np.arange(self.corpus.candidates))

    @property
    def candidate_returns(self) -> Floats:
        """Net book return of each candidate on every session; ``[param, time]``."""
        return self.corpus.book.net_return[: self.corpus.candidates]
