"""The same sweep with backtesting.py, one run for each set.

For: ``benchmarks/peers.py``, in an environment that holds backtesting.py and nothing of this
project. Not for: its ``optimize``, which does the same runs in a process for each core.

It deals in whole units, so it starts with enough money for that to be nothing. It leaves out the
first bar after an indicator's missing values; the RSI is 50 there, which trades nothing, so that
no bar is left out. Each RSI is computed once, outside what is timed.
"""

import warnings
from typing import Any

import backtesting
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from clocked import asked, cheapest, tell, wilder

CASH = 1e12
backtesting._tqdm = lambda bars, **_: bars  # no progress bar


class Reversion(Strategy):
    """Long below the lower level, out above the upper one."""

    strength = None
    oversold = 30.0
    overbought = 70.0

    def init(self) -> None:
        """Show the indicator bar by bar."""
        self.rsi = self.I(lambda: self.strength, name="rsi")

    def next(self) -> None:
        """Orders of one close, filled at the next open."""
        now = self.rsi[-1]
        if self.position:
            if now > self.overbought:
                self.position.close()
        elif now < self.oversold:
            self.buy()


def sweep(told: Any, strengths: dict, tables: list) -> list[list[Any]]:
    """Every set on every symbol."""
    found = []
    for s, table in enumerate(tables):
        test = Backtest(table, Reversion, cash=CASH, commission=told.cost)
        found.append(
            [
                test.run(strength=strengths[s, period], oversold=low, overbought=high)
                for period, low, high in zip(
                    told.period, told.oversold, told.overbought, strict=True
                )
            ]
        )
    return found


def main() -> None:
    """Time it, and hand over what its table of statistics says."""
    warnings.simplefilter("ignore")  # a trade that is open at the end is meant to stay so
    told = asked(["run"])
    dates = pd.bdate_range("2010-01-01", periods=told.close.shape[1])
    tables = [
        pd.DataFrame(
            {"Open": o, "High": np.maximum(o, c), "Low": np.minimum(o, c), "Close": c}, index=dates
        )
        for o, c in zip(told.open, told.close, strict=True)
    ]
    strengths = {
        (s, p): np.array(wilder(close.tolist(), int(p), missing=50.0))
        for s, close in enumerate(told.close)
        for p in np.unique(told.period)
    }
    took = cheapest(lambda: sweep(told, strengths, tables), told.rounds)
    runs = sweep(told, strengths, tables[:2])
    found = {
        "total_return": [[run["Return [%]"] / 100.0 for run in row] for row in runs],
        "trades": [[run["# Trades"] for run in row] for row in runs],
        "sharpe": [[run["Sharpe Ratio"] for run in row] for row in runs],
        "max_drawdown": [[-run["Max. Drawdown [%]"] / 100.0 for run in row] for row in runs],
    }
    figures = sum(isinstance(value, int | float) for value in runs[0][0])
    packages = ["backtesting", "numpy", "pandas"]
    tell(took, found, packages=packages, metrics=figures)


if __name__ == "__main__":
    main()
