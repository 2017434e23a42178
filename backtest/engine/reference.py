"""The slow engine: one symbol, one parameter set, plain Python; the judge of all others.

For: the account of METHODS written down as a loop that can be checked by hand. Not for: speed,
and not for portfolios (``portfolio.book``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtest.market.panel import SymbolBars
from backtest.result import Account, Trades


def account(bars: SymbolBars, targets: Sequence[int], *, cost: float) -> Account:
    """Trade one symbol with all cash, a target at each close filled at the next open.

    Long: ``shares = cash / (O (1 + f))``, closed to ``cash = shares O (1 - f)``. Short:
    ``shares = cash / (O (1 + f))`` sold, ``cash += shares O (1 - f)``, bought back
    ``cash -= shares O (1 + f)``. A reversal closes and opens at the same open and pays both
    sides. Equity is marked at every close, without an exit fee. An account with nothing left,
    after buying back or at a close, is closed with a loss of everything and never trades again.

    Parameters
    ----------
    bars : SymbolBars
    targets : sequence of int, ``[bar]``
        +1, 0 or -1.
    cost : float
        Decimal of traded notional, per side (``f``).

    Returns
    -------
    Account
    """
    cash, shares, side, before, ruined = 1.0, 0.0, 0, 1.0, False
    equity: list[float] = []
    position: list[int] = []
    trades: list[list[float]] = []
    opens, closes = bars.open.tolist(), bars.close.tolist()
    for t in range(bars.size):
        want = targets[t - 1] if t > 0 and not ruined else 0
        if want != side:
            if side != 0:
                cash = (
                    shares * opens[t] * (1.0 - cost)
                    if side > 0
                    else cash - shares * opens[t] * (1.0 + cost)
                )
                ruined = cash <= 0.0
                cash = max(cash, 0.0)
                trades[-1][1], trades[-1][3] = t, opens[t]
                trades[-1][5] = cash / before - 1.0
                shares, side = 0.0, 0
            if want != 0 and not ruined:
                before, side = cash, want
                shares = cash / (opens[t] * (1.0 + cost))
                cash = 0.0 if side > 0 else cash + shares * opens[t] * (1.0 - cost)
                trades.append([t, -1, opens[t], np.nan, side * shares, np.nan])
        worth = cash + side * shares * closes[t]
        position.append(side)
        if side != 0 and worth <= 0.0:
            trades[-1][1], trades[-1][3], trades[-1][5] = t, closes[t], -1.0
            worth, cash, shares, side, ruined = 0.0, 0.0, 0.0, 0, True
        equity.append(worth)
    return Account(
        bars.symbol,
        np.asarray(equity, dtype=np.float64),
        np.asarray(position, dtype=np.int8),
        _round_trips(trades, bars=bars.size),
    )


def _round_trips(rows: list[list[float]], *, bars: int) -> Trades:
    """Turn rows of entry, exit, prices, quantity and net return into columns."""
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 6)
    entry, leave = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    held = np.where(leave >= 0, leave, bars - 1) - entry
    return Trades(entry, leave, table[:, 2], table[:, 3], table[:, 4], table[:, 5], held)
