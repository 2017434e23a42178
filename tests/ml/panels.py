"""For: small synthetic panels on plain weekdays. Not for: worlds that a claim rests on."""

import numpy as np

from backtest.market.panel import Panel
from backtest.market.synthetic import STATES, WorldConfig, generate, weekdays
from ml.decision import TruthTrack


def small_world(
    world: str = "clear", *, symbols: int = 12, sessions: int = 420, seed: int = 7
) -> tuple[Panel, TruthTrack]:
    """A panel and its true states."""
    made = generate(WorldConfig(world=world, symbols=symbols, seed=seed), weekdays(sessions))
    return Panel.from_frame(made.bars), TruthTrack(made.states, STATES)


def annual_sharpe(returns: np.ndarray) -> float:
    """Sharpe ratio a year, 0 without deviation."""
    deviation = float(returns.std(ddof=1))
    return 0.0 if deviation == 0.0 else float(returns.mean()) / deviation * float(np.sqrt(252))
