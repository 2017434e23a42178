"""For: small histories with planted regimes, without a simulator. Not for: markets."""

import numpy as np

from backtest.params import ParamGrid
from backtest.strategies.rsi_swing import RsiSwingParams
from ml.decision import TruthTrack
from ml.history import History, StrategyHistory
from ml.learner import LearnerView
from ml.market_state import STATE_COLUMNS, TREND, VOLATILITY

COLUMNS = (*STATE_COLUMNS, TREND, VOLATILITY)
DIRECTIONS = ("reversion", "momentum")


def small_grid(periods: tuple[int, ...] = (5, 14, 28), widths: tuple[float, ...] = (10.0, 20.0)):
    """Two directions times periods times widths, direction slowest."""
    return ParamGrid.product(
        RsiSwingParams,
        {"direction": DIRECTIONS, "period": periods, "width": widths, "smoothing": (1,)},
    )


def spells(sessions: int, length: int = 40) -> np.ndarray:
    """States 0 and 1 in spells of equal length; int64, ``[time]``."""
    return (np.arange(sessions) // length) % 2


def planted_returns(
    grid: ParamGrid, states: np.ndarray, *, seed: int = 0, edge: float = 0.004
) -> np.ndarray:
    """Momentum earns on the session after state 0, reversion after state 1; ``[param, time]``."""
    random = np.random.default_rng(seed)
    noise = random.normal(0.0, 0.01, (grid.size, len(states)))
    momentum = grid["direction"] == "momentum"
    sign = np.where(momentum[:, None] == (states[:-1] == 0), 1.0, -1.0)
    noise[:, 1:] += edge * sign
    noise[:, 0] = 0.0
    return noise


def planted_state(states: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Columns of the market's state that tell the two states apart; ``[time, feature]``."""
    random = np.random.default_rng(seed + 1000)
    state = random.normal(0.0, 0.6, (len(states), len(COLUMNS)))
    state[:, : len(COLUMNS) - 1] += np.where(states == 0, 1.0, -1.0)[:, None]
    return state


def days(sessions: int) -> np.ndarray:
    """Dates one day apart."""
    return np.datetime64("2015-01-01") + np.arange(sessions)


def planted_history(sessions: int = 400, *, seed: int = 0, strategies: int = 1) -> History:
    """History whose best sets change with the state."""
    grid, states = small_grid(), spells(sessions)
    return History(
        dates=days(sessions),
        strategies={
            f"swing_{k}": StrategyHistory(grid, planted_returns(grid, states, seed=seed + k))
            for k in range(strategies)
        },
        state=planted_state(states, seed=seed),
        columns=COLUMNS,
    )


def true_track(sessions: int) -> TruthTrack:
    """The planted states, known."""
    return TruthTrack(spells(sessions), ("bull calm thin", "bear volatile heavy"))


def view_of(
    grid: ParamGrid, returns: np.ndarray, probabilities: np.ndarray | None = None, first: int = 0
) -> LearnerView:
    """View with one certain regime where no probabilities are given."""
    if probabilities is None:
        probabilities = np.ones((returns.shape[1], 1))
    names = tuple(f"regime {k}" for k in range(probabilities.shape[1]))
    return LearnerView(grid, returns, probabilities, names, first)
