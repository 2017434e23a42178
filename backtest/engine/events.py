"""The fast engine: the account of the slow one as compiled loops, and its metrics in one go.

For: ``--engine events`` and the columns of a sweep. Not for: defining the account
(``reference``) or the metrics (``metrics``), which it must reproduce.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.engine import prefix
from backtest.engine.bits import NEVER, bit, entry, exit_long, exit_short, first_set
from backtest.engine.borrow import all_borrowed, borrowed
from backtest.engine.fills import positions
from backtest.engine.signals import Signals
from backtest.engine.tally import COLUMNS, NO_SUMS, NO_TRADES, closed, day, left, nothing, summarise
from backtest.market.panel import SymbolBars
from backtest.result import Account, Trades

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def account(bars: SymbolBars, targets: Array, *, cost: float) -> Account:
    """Trade one symbol; the same as ``reference.account``, fast.

    Parameters
    ----------
    bars : SymbolBars
    targets : int8 or float64, ``[bar]``
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
    return Account(bars.symbol, equity, np.sign(held).astype(np.int8), trades)


def metrics(bars: SymbolBars, signals: Signals, *, cost: float, periods_per_year: int) -> Floats:
    """Metrics of the account of every set.

    Parameters
    ----------
    bars : SymbolBars
    signals : Signals
    cost : float
        Decimal of traded notional, per side.
    periods_per_year : int

    Returns
    -------
    float64, ``[column, param]``
        In the order of ``COLUMNS``; NaN where undefined, but a Sharpe without deviation is 0.
    """
    if bars.size == 0:
        return nothing(signals.enter_long.size)
    out = np.empty((len(COLUMNS), signals.enter_long.size))
    longs, leave_long, shorts, leave_short = signals.sides
    sells = (shorts, leave_short) if (shorts != NEVER).any() else None
    _measure_all(
        signals.columns,
        (longs, leave_long),
        sells,
        prefix.market_of(bars),
        (cost, periods_per_year),
        out,
    )
    return out


@njit(cache=True, nogil=True)
def _walk(
    opens: Array, closes: Array, held: Array, cost: float, out: tuple[Array, Array]
) -> tuple[int, float]:
    """Walk one account.

    ``held`` ``[bar]`` is what the targets ask for and becomes what was held: 0 after ruin. Its sign
    is the side, and its size the share of the cash that is used when the position opens.
    ``out`` is equity ``[bar]`` and a ledger ``[trade, 6]`` of entry, exit, prices, quantity and
    net return. Returns the number of trades, and the sum of traded notional over the equity of
    the close before.
    """
    equity, ledger = out
    cash, shares, side, before, ruined = 1.0, 0.0, 0, 1.0, False
    count, turnover, last = 0, 0.0, 1.0
    for t in range(opens.size):
        share = 0.0 if ruined else float(held[t])
        want = (share > 0.0) - (share < 0.0)
        if want != side:
            price = opens[t]
            if side != 0:
                if side > 0:
                    cash = cash + shares * price * (1.0 - cost)
                else:
                    cash = cash - shares * price * (1.0 + cost)
                cash = left(cash, before)
                ruined = cash == 0.0
                turnover += shares * price / last
                _leave(ledger[count - 1], t, price, cash / before - 1.0)
                shares, side = 0.0, 0
            if want != 0 and not ruined:
                before, side, stake = cash, want, cash * abs(share)
                shares = stake / (price * (1.0 + cost))
                cash = cash - stake if side > 0 else cash + shares * price * (1.0 - cost)
                turnover += shares * price / last
                ledger[count, 0], ledger[count, 2], ledger[count, 4] = t, price, side * shares
                _leave(ledger[count], -1, np.nan, np.nan)
                count += 1
        worth = cash + side * shares * closes[t]
        held[t] = share if side != 0 else 0.0
        if side < 0 and left(worth, before) == 0.0:
            turnover += shares * closes[t] / last
            _leave(ledger[count - 1], t, closes[t], -1.0)
            worth, cash, shares, side, ruined = 0.0, 0.0, 0.0, 0, True
        equity[t] = worth
        last = worth
    return count, turnover


@njit(cache=True, nogil=True)
def _leave(row: Array, bar: int, price: float, net_return: float) -> None:
    row[1], row[3], row[5] = bar, price, net_return


@njit(cache=True, nogil=True, error_model="numpy")
def _measure_all(
    columns: Array, buys: Any, sells: Any, market: Any, terms: tuple[float, int], out: Array
) -> None:
    """Walk every set from trade to trade, and measure it; ``out`` is ``[column, param]``.

    ``buys`` are the columns of long entries and exits, ``sells`` those of short ones; None where no
    set sells short, so that what is compiled does not ask.
    """
    columns, market = borrowed(columns), all_borrowed(market)
    opens, cost = market[0], terms[0]
    end, both = opens.size - 1, sells is not None
    for p in range(out.shape[1]):
        longs, leave_long, shorts, leave_short = buys[0][p], buys[1][p], NEVER, NEVER
        if sells is not None:
            shorts, leave_short = sells[0][p], sells[1][p]
        sums, trades, turnover = NO_SUMS, NO_TRADES, 0.0
        # ``cash`` after the last exit; ``last``, the worth at the close before the next open.
        cash, last, peak, drawdown = 1.0, 1.0, 1.0, 0.0
        decided = entry(columns, longs, shorts, 0) if both else first_set(columns, longs, 0)
        while decided < end:  # what the last close decides is never filled
            first, long = decided + 1, not both or bit(columns, longs, decided)
            shares = cash / (opens[first] * (1.0 + cost))
            turnover += shares * opens[first] / last
            if long:
                decided = exit_long(columns, leave_long, longs, first)
                span, path = (first, min(decided, end), shares, last), (peak, drawdown)
                sums, worth, peak, drawdown = _hold_long(market, span, sums, path)
            else:
                decided = exit_short(columns, leave_short, (longs, shorts), first)
                short = (first, min(decided, end), shares, last, cash)
                sums, worth, peak, drawdown, lost = _hold_short(
                    market, short, sums, (peak, drawdown)
                )
                if worth == 0.0:  # nothing is left: closed there, and never traded again
                    turnover += lost
                    trades, last = closed(trades, -1.0), 0.0
                    break
            last = worth
            if decided >= end:  # still open
                break
            price, before = opens[decided + 1], cash
            turnover += shares * price / worth
            if long:
                cash = left(shares * price * (1.0 - cost), before)
            else:
                cash = left(shares * (2.0 * opens[first] - price * (1.0 + cost)), before)
            trades = closed(trades, cash / before - 1.0)
            if both and cash > 0.0 and bit(columns, shorts if long else longs, decided):
                continue  # reversed at the same open: one day holds both
            sums = day(sums, cash / worth - 1.0)
            last, drawdown, peak = cash, max(drawdown, 1.0 - cash / peak), max(peak, cash)
            if cash == 0.0:
                break
            start = decided + 1
            decided = (
                entry(columns, longs, shorts, start) if both else first_set(columns, longs, start)
            )
        told = (last - 1.0, drawdown, turnover)
        summarise(sums, told, trades, (opens.size, terms[1]), out[:, p])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _hold_long(market: Any, span: Any, sums: Any, path: Any) -> Any:
    """Hold from the first open to the final close, in constant time.

    ``span`` is the first bar and the last, the shares, and the worth at the close before;
    ``path`` is the peak so far and the drawdown. Returns sums, worth, peak and drawdown.
    """
    _, closes, before, extremes = market
    first, final, shares, last = span
    sums = day(sums, closes[first] * shares / last - 1.0)
    sums = prefix.added(sums, closes, before, first, final)
    low, high, kept = prefix.between(extremes, first, final)
    drawdown = max(path[1], 1.0 - min(kept, low * shares / path[0]))
    return sums, closes[final] * shares, max(path[0], high * shares), drawdown


@njit(cache=True, nogil=True, error_model="numpy")
def _hold_short(market: Any, span: Any, sums: Any, path: Any) -> Any:
    """Hold a short position bar by bar; what it is worth depends on where it was opened.

    As :func:`_hold_long`, and what buying everything back turns over where nothing is left;
    ``span`` ends with the cash before the trade.
    """
    opens, closes = market[0], market[1]
    first, final, shares, worth, cash = span
    peak, drawdown = path
    for t in range(first, final + 1):
        before, worth = worth, left((2.0 * opens[first] - closes[t]) * shares, cash)
        sums = day(sums, worth / before - 1.0)
        peak, drawdown = max(peak, worth), max(drawdown, 1.0 - worth / peak)
        if worth == 0.0:
            return sums, worth, peak, drawdown, shares * closes[t] / before
    return sums, worth, peak, drawdown, 0.0
