"""The slow engine: one symbol, one parameter set, plain Python; the judge of all others.

For: the account of METHODS written down as a loop that can be checked by hand. Not for: speed,
and not for portfolios (``portfolio.book``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backtest.market.panel import SymbolBars
from backtest.result import NOTHING, Account, Trades


def account(bars: SymbolBars, targets: Sequence[float], *, cost: float) -> Account:
    """Trade one symbol, a target at each close filled at the next open.

    A target's sign is the side, and its size the share of the cash that is used: 1 is all of it.
    Long: ``shares = share cash / (O (1 + f))``, ``cash -= share cash``, closed to
    ``cash += shares O (1 - f)``. Short: as many shares sold, ``cash += shares O (1 - f)``, bought
    back ``cash -= shares O (1 + f)``. A position is left alone while its side is wanted. A reversal
    closes and opens at the same open and pays both sides. Equity is marked at every close, without
    an exit fee. An account with nothing left, after an exit or at a close while it is short, is
    closed with a loss of everything and never trades again (see ``result.NOTHING``).

    Parameters
    ----------
    bars : SymbolBars
    targets : sequence of float, ``[bar]``
        From -1 to +1.
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
        share = targets[t - 1] if t > 0 and not ruined else 0.0
        want = (share > 0) - (share < 0)
        if want != side:
            if side != 0:
                cash = (
                    cash + shares * opens[t] * (1.0 - cost)
                    if side > 0
                    else cash - shares * opens[t] * (1.0 + cost)
                )
                cash = _left(cash, before)
                ruined = cash == 0.0
                trades[-1][1], trades[-1][3] = t, opens[t]
                trades[-1][5] = cash / before - 1.0
                shares, side = 0.0, 0
            if want != 0 and not ruined:
                before, side, stake = cash, want, cash * abs(share)
                shares = stake / (opens[t] * (1.0 + cost))
                cash = cash - stake if side > 0 else cash + shares * opens[t] * (1.0 - cost)
                trades.append([t, -1, opens[t], np.nan, side * shares, np.nan])
        worth = cash + side * shares * closes[t]
        position.append(side)
        if side < 0 and _left(worth, before) == 0.0:
            trades[-1][1], trades[-1][3], trades[-1][5] = t, closes[t], -1.0
            worth, cash, shares, side, ruined = 0.0, 0.0, 0.0, 0, True
        equity.append(worth)
    return Account(
        bars.symbol,
        np.asarray(equity, dtype=np.float64),
        np.asarray(position, dtype=np.int8),
        _round_trips(trades, bars=bars.size),
    )


def _left(money: float, before: float) -> float:
    return 0.0 if money <= NOTHING * max(before, 1.0) else money


@dataclass(frozen=True)
class Wishes:
    """What one set's rules say of one symbol, bar by bar; all of it ``[bar]``.

    Parameters
    ----------
    enter_long, exit_long, enter_short, exit_short : sequence of bool
    stop_loss, take_profit, trailing_stop : sequence of float, optional
        As fractions, in case a trade is decided at the bar; None for no limit.
    longest : int
        Bars that a trade may last; 0 for no limit.
    size : sequence of float, optional
        Share of the cash; None for all of it.
    """

    enter_long: Sequence[bool]
    exit_long: Sequence[bool]
    enter_short: Sequence[bool]
    exit_short: Sequence[bool]
    stop_loss: Sequence[float | None] | None = None
    take_profit: Sequence[float | None] | None = None
    trailing_stop: Sequence[float | None] | None = None
    longest: int = 0
    size: Sequence[float | None] | None = None


def guarded(bars: SymbolBars, wishes: Wishes) -> list[float]:
    """Follow a rule and its guards, bar by bar; the judge of ``lanes``.

    Parameters
    ----------
    bars : SymbolBars
    wishes : Wishes
        A limit that is missing (None inside a sequence) lets nothing open at that bar.

    Returns
    -------
    list of float, ``[bar]``
        Target at each close: the side times the share of the cash.
    """
    opens, closes = bars.open.tolist(), bars.close.tolist()
    side, share, filled, out = 0, 0.0, 0, []
    entry = best = stop = take = trail = math.nan
    refused = {1: False, -1: False}  # sides that a guard has ended, until their entry was false
    for t in range(bars.size):
        wanted = {1: wishes.enter_long[t], -1: wishes.enter_short[t]}
        for way, entered in wanted.items():
            refused[way] = refused[way] and entered
        if side != 0:
            if t == filled:
                entry = best = opens[t]
            best = max(best, closes[t]) if side > 0 else min(best, closes[t])
            gain, fall = side * (closes[t] / entry - 1.0), side * (1.0 - closes[t] / best)
            leave = wishes.exit_long[t] if side > 0 else wishes.exit_short[t]
            reverses = side < 0 and wanted[1] and not refused[1]
            if leave and (reverses or not wanted[side]):
                side = 0
            elif _ended(gain, fall, (stop, take, trail)) or t - filled + 1 == wishes.longest:
                refused[side], side = wanted[side], 0
        if side == 0:
            limits = [
                math.inf if limit is None else limit[t]
                for limit in (wishes.stop_loss, wishes.take_profit, wishes.trailing_stop)
            ]
            size = 1.0 if wishes.size is None else wishes.size[t]
            known = [x for x in (*limits, size) if x is not None and x == x]
            if len(known) == 4 and known[3] > 0.0:
                way = next((w for w in (1, -1) if wanted[w] and not refused[w]), 0)
                if way != 0:
                    side, share, filled = way, min(known[3], 1.0), t + 1
                    stop, take, trail = known[:3]
        out.append(side * share if side != 0 else 0.0)
    return out


def _ended(gain: float, fall: float, limits: tuple[float, float, float]) -> bool:
    stop, take, trail = limits
    return gain <= -stop or gain >= take or fall >= trail


def _round_trips(rows: list[list[float]], *, bars: int) -> Trades:
    """Turn rows of entry, exit, prices, quantity and net return into columns."""
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 6)
    entry, leave = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    held = np.where(leave >= 0, leave, bars - 1) - entry
    return Trades(entry, leave, table[:, 2], table[:, 3], table[:, 4], table[:, 5], held)
