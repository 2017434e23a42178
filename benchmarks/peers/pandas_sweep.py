"""The same sweep as people write it by hand with pandas, one set after the other.

For: ``benchmarks/peers.py``, in an environment that holds pandas and nothing of this project;
``columns`` works on whole columns, ``rows`` goes from row to row. Not for: how fast NumPy can be
made, which is the business of the hand-written loop in ``benchmarks/plain_sweep.py``.
"""

from typing import Any

import numpy as np
import pandas as pd
from clocked import asked, cheapest, tell


def rsi(close: pd.Series, period: int) -> pd.Series:
    """Wilder's: an exponential mean that starts from the mean of the first changes."""
    move = close.diff()
    sides = []
    for side in (move.clip(lower=0.0), -move.clip(upper=0.0)):
        seeded = side.copy()
        seeded.iloc[period] = side.iloc[1 : period + 1].mean()
        seeded.iloc[:period] = np.nan
        sides.append(seeded.ewm(alpha=1.0 / period, adjust=False).mean())
    up, down = sides
    return 100.0 * up / (up + down)


def figures(equity: pd.Series, trades: int, year: float) -> tuple[float, float, float, float]:
    """Total return, trades, Sharpe and drawdown of an account that began with 1."""
    returns = equity.pct_change()
    returns.iloc[0] = equity.iloc[0] - 1.0
    drawdown = (1.0 - equity / equity.cummax().clip(lower=1.0)).max()
    sharpe = returns.mean() / returns.std() * np.sqrt(year) if returns.std() > 0.0 else 0.0
    return equity.iloc[-1] - 1.0, trades, sharpe, drawdown


def by_columns(table: pd.DataFrame, told: Any, k: int) -> tuple[float, float, float, float]:
    """Positions and returns as columns."""
    strength = rsi(table["close"], int(told.period[k]))
    target = pd.Series(np.nan, index=table.index)
    target[strength < told.oversold[k]] = 1.0
    target[strength > told.overbought[k]] = 0.0
    held = target.ffill().shift(1).fillna(0.0)
    before = held.shift(1).fillna(0.0)
    enters, leaves = (held == 1.0) & (before == 0.0), (held == 0.0) & (before == 1.0)
    last = table["close"].shift(1)
    growth = pd.Series(1.0, index=table.index)
    growth[held == 1.0] = table["close"] / last
    growth[enters] = table["close"] / (table["open"] * (1.0 + told.cost))
    growth[leaves] = table["open"] * (1.0 - told.cost) / last
    return figures(growth.cumprod(), int(leaves.sum()), told.year)


def by_rows(table: pd.DataFrame, told: Any, k: int) -> tuple[float, float, float, float]:
    """One row at a time, with cash and shares."""
    strength = rsi(table["close"], int(told.period[k]))
    cash, shares, trades, want, equity = 1.0, 0.0, 0, 0, []
    for bar in table.assign(rsi=strength).itertuples():
        if want == 1 and shares == 0.0:
            cash, shares = 0.0, cash / (bar.open * (1.0 + told.cost))
        elif want == 0 and shares > 0.0:
            cash, shares, trades = shares * bar.open * (1.0 - told.cost), 0.0, trades + 1
        equity.append(cash + shares * bar.close)
        if bar.rsi < told.oversold[k]:
            want = 1
        elif bar.rsi > told.overbought[k]:
            want = 0
    return figures(pd.Series(equity, index=table.index), trades, told.year)


def main() -> None:
    """One of the two ways."""
    told = asked(["columns", "rows"])
    one = by_columns if told.variant == "columns" else by_rows
    dates = pd.bdate_range("2010-01-01", periods=told.close.shape[1])
    tables = [
        pd.DataFrame({"open": o, "close": c}, index=dates)
        for o, c in zip(told.open, told.close, strict=True)
    ]

    def sweep() -> np.ndarray:
        return np.array([[one(t, told, k) for k in range(len(told.period))] for t in tables])

    took = cheapest(sweep, told.rounds)
    names = ("total_return", "trades", "sharpe", "max_drawdown")
    found = dict(zip(names, np.moveaxis(sweep(), -1, 0), strict=True))
    tell(took, found, packages=["pandas", "numpy"], metrics=len(found))


if __name__ == "__main__":
    main()
