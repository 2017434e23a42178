"""The fast engine: the account of the slow one as compiled loops, and its metrics in one go.

For: ``--engine events`` and the columns of a sweep. Not for: defining the account
(``reference``) or the metrics (``metrics``), which it must reproduce.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.engine.fills import positions
from backtest.market.panel import SymbolBars
from backtest.result import Account, Trades
from backtest.strategy import Targets

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

COLUMNS = (
    "total_return",
    "cagr",
    "sharpe",
    "volatility",
    "sortino",
    "max_drawdown",
    "calmar",
    "trades",
    "win_rate",
    "profit_factor",
    "average_win",
    "average_loss",
    "expectancy",
    "turnover",
)
"""Columns of a sweep, in order."""


def account(bars: SymbolBars, targets: Targets, *, cost: float) -> Account:
    """Trade one symbol with all cash; the same as ``reference.account``, fast.

    Parameters
    ----------
    bars : SymbolBars
    targets : int8, ``[bar]``
    cost : float
        Decimal of traded notional, per side.
    """
    equity, ledger, held = np.empty(bars.size), np.empty((bars.size, 6)), positions(targets)
    count, _ = _walk(bars.open, bars.close, held, cost, (equity, ledger))
    rows = ledger[:count]
    entry, leave = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    last = np.where(leave >= 0, leave, bars.size - 1)
    entry_price, exit_price, quantity, net = (rows[:, c].copy() for c in (2, 3, 4, 5))
    trades = Trades(entry, leave, entry_price, exit_price, quantity, net, last - entry)
    return Account(bars.symbol, equity, held, trades)


def metrics(bars: SymbolBars, targets: Targets, *, cost: float, periods_per_year: int) -> Floats:
    """Metrics of the account of every set.

    Parameters
    ----------
    bars : SymbolBars
    targets : int8, ``[param, bar]``
    cost : float
        Decimal of traded notional, per side.
    periods_per_year : int

    Returns
    -------
    float64, ``[param, column]``
        In the order of ``COLUMNS``; NaN where undefined, but a Sharpe without deviation is 0.
    """
    out = np.full((targets.shape[0], len(COLUMNS)), np.nan)
    _measure_all(bars.open, bars.close, positions(targets), (cost, periods_per_year), out)
    return out


@njit(cache=True, nogil=True)
def _walk(
    opens: Array, closes: Array, held: Array, cost: float, out: tuple[Array, Array]
) -> tuple[int, float]:
    """Walk one account.

    ``held`` ``[bar]`` is what the targets ask for and becomes what was held: 0 after ruin.
    ``out`` is equity ``[bar]`` and a ledger ``[trade, 6]`` of entry, exit, prices, quantity and
    net return. Returns the number of trades, and the sum of traded notional over the equity of
    the close before.
    """
    equity, ledger = out
    cash, shares, side, before, ruined = 1.0, 0.0, 0, 1.0, False
    count, turnover, last = 0, 0.0, 1.0
    for t in range(opens.size):
        want = 0 if ruined else held[t]
        if want != side:
            price = opens[t]
            if side != 0:
                if side > 0:
                    cash = shares * price * (1.0 - cost)
                else:
                    cash = cash - shares * price * (1.0 + cost)
                ruined = cash <= 0.0
                cash = max(cash, 0.0)
                turnover += shares * price / last
                _leave(ledger[count - 1], t, price, cash / before - 1.0)
                shares, side = 0.0, 0
            if want != 0 and not ruined:
                before, side = cash, want
                shares = cash / (price * (1.0 + cost))
                cash = 0.0 if side > 0 else cash + shares * price * (1.0 - cost)
                turnover += shares * price / last
                ledger[count, 0], ledger[count, 2], ledger[count, 4] = t, price, side * shares
                _leave(ledger[count], -1, np.nan, np.nan)
                count += 1
        worth = cash + side * shares * closes[t]
        held[t] = side
        if side != 0 and worth <= 0.0:
            turnover += shares * closes[t] / last
            _leave(ledger[count - 1], t, closes[t], -1.0)
            worth, cash, shares, side, ruined = 0.0, 0.0, 0.0, 0, True
        equity[t] = worth
        last = worth
    return count, turnover


@njit(cache=True, nogil=True)
def _leave(row: Array, bar: int, price: float, net_return: float) -> None:
    row[1], row[3], row[5] = bar, price, net_return


@njit(cache=True, nogil=True)
def _measure_all(
    opens: Array, closes: Array, held: Array, terms: tuple[float, int], out: Array
) -> None:
    """Walk and measure every set; ``held`` ``[param, bar]``, ``out`` ``[param, column]``."""
    cost, periods = terms
    bars = opens.size
    equity, ledger, returns = np.empty(bars), np.empty((bars, 6)), np.empty(bars)
    for p in range(held.shape[0]):
        count, turnover = _walk(opens, closes, held[p], cost, (equity, ledger))
        if count > 0 and ledger[count - 1, 1] < 0:
            count -= 1
        out[p, 2] = 0.0
        if bars > 0:
            drawdown = _returns_of(equity, returns)
            _measure_returns(returns, (equity[-1] - 1.0, drawdown), periods, out[p])
            out[p, 13] = turnover / bars * periods
        _measure_trades(ledger[:count, 5], out[p])


@njit(cache=True, nogil=True)
def _returns_of(equity: Array, returns: Array) -> float:
    """Fill simple returns from equity that starts at 1, and return the largest drawdown."""
    last, peak, drawdown = 1.0, 1.0, 0.0
    for t in range(equity.size):
        returns[t] = equity[t] / last - 1.0 if last > 0.0 else 0.0
        last = equity[t]
        peak = max(peak, last)
        drawdown = max(drawdown, 1.0 - last / peak)
    return drawdown


@njit(cache=True, nogil=True)
def _measure_returns(returns: Array, path: tuple[float, float], periods: int, row: Array) -> None:
    """Fill the columns that come from returns; ``path`` is total return and drawdown."""
    total, drawdown = path
    n = returns.size
    mean = returns.mean()
    squares, downside = 0.0, 0.0
    for r in returns:
        squares += (r - mean) ** 2
        downside += min(r, 0.0) ** 2
    row[0] = total
    row[1] = (1.0 + total) ** (periods / n) - 1.0
    row[5] = drawdown
    if downside > 0.0:
        row[4] = mean / np.sqrt(downside / n) * np.sqrt(periods)
    if drawdown > 0.0:
        row[6] = row[1] / drawdown
    if n < 2:
        return
    deviation = np.sqrt(squares / (n - 1)) if returns.max() > returns.min() else 0.0
    row[3] = deviation * np.sqrt(periods)
    if deviation > 0.0:
        row[2] = mean / deviation * np.sqrt(periods)


@njit(cache=True, nogil=True)
def _measure_trades(net: Array, row: Array) -> None:
    """Fill the columns that come from closed round trips; ``net`` is ``[trade]``."""
    wins, losses, won, lost = 0, 0, 0.0, 0.0
    for r in net:
        if r > 0.0:
            wins += 1
            won += r
        elif r < 0.0:
            losses += 1
            lost += r
    row[7] = net.size
    if net.size > 0:
        row[8] = wins / net.size
        row[12] = net.mean()
    if losses > 0:
        row[9] = won / -lost
        row[11] = lost / losses
    if wins > 0:
        row[10] = won / wins
