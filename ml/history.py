"""What was known after each close, frozen: the only thing a decision may read.

For: candidate returns and market state along one session axis, and views that end at a session
and cannot be asked for a later one. Not for: computing returns or states.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtest.errors import ConfigError, LookaheadError
from backtest.params import ParamGrid
from ml.learner import LearnerView, Market

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StrategyHistory:
    """One strategy's candidates and what each earned.

    Parameters
    ----------
    grid : ParamGrid
        Candidate sets ``[param]``.
    returns : float64, ``[param, time]``
        Net book return of each set; column ``t`` depends on bars up to ``t`` only.
    turnover : float64, ``[param, time]``, optional
        Sum of absolute weight changes of each set's book at the open; unknown by default.
    """

    grid: ParamGrid
    returns: Floats
    turnover: Floats | None = None

    def until(self, stop: int) -> StrategyHistory:
        """The first ``stop`` columns."""
        turnover = None if self.turnover is None else self.turnover[:, :stop]
        return StrategyHistory(self.grid, self.returns[:, :stop], turnover)


@dataclass(frozen=True)
class History:
    """Everything known up to and including one session.

    Parameters
    ----------
    dates : datetime64[D], ``[time]``
    strategies : dict of str to StrategyHistory
    state : float64, ``[time, feature]``
        Market state, NaN where unknown.
    columns : tuple of str, ``[feature]``
    """

    dates: npt.NDArray[np.datetime64]
    strategies: dict[str, StrategyHistory]
    state: Floats
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.state) != len(self.dates):
            raise ConfigError(
                f"{len(self.state)} rows of market state for {len(self.dates)} sessions",
                where="history",
                fix="give one row per session",
            )

    @property
    def sessions(self) -> int:
        """Number of sessions known."""
        return len(self.dates)

    def checked(self, session: int) -> int:
        """Return ``session`` if this history knows it.

        Raises
        ------
        LookaheadError
            The session lies after the last one known, or before the first.
        """
        if not 0 <= session < self.sessions:
            last = str(self.dates[-1]) if self.sessions else "nothing"
            raise LookaheadError(
                f"session {session} is not known",
                where=f"{self.sessions} sessions up to {last}",
                fix="ask for a session within the history",
            )
        return session

    def until(self, session: int) -> History:
        """History as it was after the close of ``session``: later columns are cut away."""
        stop = self.checked(session) + 1
        return dataclasses.replace(
            self,
            dates=self.dates[:stop],
            state=self.state[:stop],
            strategies={name: one.until(stop) for name, one in self.strategies.items()},
        )

    def column(self, strategy: str, session: int) -> Floats:
        """Net returns of a strategy's candidates on one session; ``[param]``."""
        return self.strategies[strategy].returns[:, self.checked(session)]

    def view(self, strategy: str) -> LearnerView:
        """Everything that is known at the last close for one strategy, under one regime, always."""
        one = self.strategies[strategy]
        turnover = np.full_like(one.returns, np.nan) if one.turnover is None else one.turnover
        market = Market(self.dates, self.state, self.columns, turnover)
        always = np.ones((self.sessions, 1))
        return LearnerView(one.grid, one.returns, always, ("always",), market=market)
