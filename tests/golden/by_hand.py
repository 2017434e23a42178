"""Trades, equity and columns of a sweep in exact fractions, straight from their definitions.

For: writing `sweep_by_hand.json` (`python -m tests.golden.by_hand`) and telling whether it still
says what this file derives. Nothing of the program is imported. Not for: engines, which are
judged by the JSON file; and not for speed.
"""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("sweep_by_hand.json")

ORIGIN = (
    "Derived by tests/golden/by_hand.py, which imports nothing of the program: whole prices, exact "
    "fractions, roots and powers with 50 digits. Targets: each rule read off its indicator bar by "
    "bar (momentum: close 19 bars ago over the close before it; ma_cross: three times the sum of 5 "
    "closes against the sum of 15; bollinger_reversion: squares of distances against squares of "
    "deviations; rsi_reversion: Wilder's averages as fractions). A target at close t is filled at "
    "open t + 1, exit before entry. With f = .001 a long trade earns exit / entry x (1 - f) / (1 + "
    "f) - 1; a short one sells cash / (entry (1 + f)) shares for entry (1 - f) each and buys them "
    "back for exit (1 + f) each: (entry (1 - f) - exit (1 + f)) / (entry (1 + f)). "
    "`working` says so for each trade and can be typed into a pocket calculator. Columns: equity "
    "starts at 1 and is marked at each close; turnover is what is traded over the equity of the "
    "close before; deviation with n - 1, downside with n, years of 252 bars."
)

OPEN = [
    *(100, 101, 104, 104, 102, 104, 109, 109, 105, 105),
    *(103, 101, 103, 104, 106, 107, 107, 103, 102, 101),
    *(101, 101, 104, 107, 105, 101, 99, 97, 97, 101),
    *(96, 94, 99, 104, 108, 111, 111, 107, 103, 98),
]
CLOSE = [
    *(100, 104, 104, 102, 102, 108, 110, 105, 105, 104),
    *(100, 103, 103, 106, 106, 108, 104, 102, 101, 101),
    *(100, 103, 106, 106, 102, 100, 98, 96, 100, 97),
    *(95, 98, 103, 107, 110, 112, 108, 104, 99, 95),
]
COST = Fraction(1, 1000)
PERIODS = 252


def momentum(*, threshold: Fraction) -> list[int]:
    """Both sides, lookback 20, skip 19: the one-bar return of 19 bars ago."""
    held, out = 0, []
    for t in range(len(CLOSE)):
        if t >= 20:
            r = Fraction(CLOSE[t - 19], CLOSE[t - 20]) - 1
            if held * r < 0:
                held = 0
            if held == 0 and abs(r) > threshold:
                held = 1 if r > 0 else -1
        out.append(held)
    return out


def ma_cross() -> list[int]:
    """Five closes against fifteen, without volume: ``sum5 / 5`` against ``sum15 / 15``."""
    held, out = 0, []
    for t in range(len(CLOSE)):
        if t >= 14:
            quick, lazy = 3 * sum(CLOSE[t - 4 : t + 1]), sum(CLOSE[t - 14 : t + 1])
            if quick != lazy:
                held = int(quick > lazy)
        out.append(held)
    return out


def bollinger_long(*, width: Fraction) -> list[int]:
    """Ten closes, exit at the middle: in below ``width`` deviations (n), out above the mean."""
    held, out = 0, []
    for t in range(len(CLOSE)):
        if t >= 9:
            window = CLOSE[t - 9 : t + 1]
            mean = Fraction(sum(window), 10)
            variance = sum((c - mean) ** 2 for c in window) / 10
            away = CLOSE[t] - mean
            if away > 0:
                held = 0
            elif away < 0 and away**2 > width**2 * variance:
                held = 1
        out.append(held)
    return out


def rsi_long(*, period: int, oversold: int, overbought: int) -> list[int]:
    """Wilder's RSI as a fraction: in below one level, out above the other."""
    held, out = 0, []
    up = down = Fraction(0)
    for t in range(len(CLOSE)):
        move = CLOSE[t] - CLOSE[t - 1] if t else 0
        if t <= period:
            up, down = up + Fraction(max(move, 0), period), down + Fraction(max(-move, 0), period)
        else:
            up = (up * (period - 1) + max(move, 0)) / period
            down = (down * (period - 1) + max(-move, 0)) / period
        if t >= period:
            strength = 100 * up / (up + down) if up + down else Fraction(50)
            if strength > overbought:
                held = 0
            elif strength < oversold:
                held = 1
        out.append(held)
    return out


def account(targets: list[int]) -> tuple[list[dict[str, Any]], list[Fraction], Fraction]:
    """Trades, equity at each close and the sum of turnover, all cash in one symbol."""
    cash, shares, last = Fraction(1), Fraction(0), Fraction(1)
    trades: list[dict[str, Any]] = []
    equity, turnover = [], Fraction(0)
    for t in range(len(CLOSE)):
        side = (shares > 0) - (shares < 0)
        want = targets[t - 1] if t else 0
        price = Fraction(OPEN[t])
        if want != side:
            if side:
                trade = trades[-1]
                cash += shares * price - abs(shares) * price * COST
                trade |= {"exit": t, "exit_price": OPEN[t], "net": cash / trade.pop("before") - 1}
                turnover += abs(shares) * price / last
                shares = Fraction(0)
            if want:
                trades.append({"side": want, "entry": t, "entry_price": OPEN[t], "before": cash})
                shares = want * cash / (price * (1 + COST))
                cash -= shares * price + abs(shares) * price * COST
                turnover += abs(shares) * price / last
        last = cash + shares * CLOSE[t]
        equity.append(last)
    for trade in trades:
        trade.setdefault("exit", -1)
        trade.setdefault("exit_price", None)
        trade.setdefault("net", None)
        trade.pop("before", None)
    return trades, equity, turnover


def columns(trades: list[dict[str, Any]], equity: list[Fraction], turnover: Fraction) -> dict:
    """Turn an account into the fourteen columns of a sweep; None where undefined."""
    n, before = len(equity), [Fraction(1), *equity[:-1]]
    returns = [now / then - 1 for now, then in zip(equity, before, strict=True)]
    mean = sum(returns) / n
    variance = sum((r - mean) ** 2 for r in returns) / (n - 1)
    downside = sum(min(r, Fraction(0)) ** 2 for r in returns) / n
    peak, drawdown = Fraction(1), Fraction(0)
    for worth in equity:
        peak = max(peak, worth)
        drawdown = max(drawdown, 1 - worth / peak)
    net = [trade["net"] for trade in trades if trade["net"] is not None]
    wins, losses = [r for r in net if r > 0], [r for r in net if r < 0]
    with localcontext() as context:
        context.prec = 50
        cagr = _decimal(equity[-1]) ** (Decimal(PERIODS) / n) - 1
        root, deviation = Decimal(PERIODS).sqrt(), _decimal(variance).sqrt()
        out = {
            "total_return": equity[-1] - 1,
            "cagr": cagr,
            "sharpe": _decimal(mean) / deviation * root if variance else 0,
            "volatility": deviation * root,
            "sortino": _decimal(mean) / _decimal(downside).sqrt() * root if downside else None,
            "max_drawdown": drawdown,
            "calmar": cagr / _decimal(drawdown) if drawdown else None,
            "trades": len(net),
            "win_rate": Fraction(len(wins), len(net)) if net else None,
            "profit_factor": sum(wins) / -sum(losses) if losses else None,
            "average_win": sum(wins) / len(wins) if wins else None,
            "average_loss": sum(losses) / len(losses) if losses else None,
            "expectancy": sum(net) / len(net) if net else None,
            "turnover": turnover / n * PERIODS,
        }
    return {name: None if value is None else float(value) for name, value in out.items()}


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _working(trade: dict[str, Any]) -> str:
    into, out = trade["entry_price"], trade["exit_price"]
    if out is None:
        return f"{'bought' if trade['side'] > 0 else 'sold short'} at {into}, never left"
    if trade["side"] > 0:
        return f"{out} / {into} x .999 / 1.001 - 1"
    return f"({into} x .999 - {out} x 1.001) / ({into} x 1.001)"


def _set(strategy: str, why: str, parameters: dict[str, Any], targets: list[int]) -> dict[str, Any]:
    trades, equity, turnover = account(targets)
    found = columns(trades, equity, turnover)
    for trade in trades:
        trade["working"] = _working(trade)
        trade["net_return"] = None if trade["net"] is None else float(trade["net"])
        del trade["net"]
    told = {"strategy": strategy, "why": why, "parameters": parameters}
    return {**told, "targets": targets, "trades": trades, "columns": found}


def derive() -> dict[str, Any]:
    """Everything that stands in the file."""
    sets = [
        _set(
            "ma_cross",
            "a long rule: one losing trade, and one still open at the end",
            {"fast": 5, "slow": 15, "volume_threshold": 0.0},
            ma_cross(),
        ),
        _set(
            "momentum",
            "long and short: three reversals at one open, short at the end",
            {"sides": "both", "lookback": 20, "skip": 19, "threshold": 0.02},
            momentum(threshold=Fraction(2, 100)),
        ),
        _set(
            "bollinger_reversion",
            "a long rule: two winning trades, flat at the end",
            {"sides": "long", "period": 10, "width": 1.5, "exit": 0.0},
            bollinger_long(width=Fraction(3, 2)),
        ),
        _set(
            "rsi_reversion",
            "never trades: the RSI does not fall below 10",
            {"period": 5, "overbought": 90.0, "oversold": 10.0, "smoothing": 1},
            rsi_long(period=5, oversold=10, overbought=90),
        ),
    ]
    return {
        **{"origin": ORIGIN, "cost": float(COST), "periods_per_year": PERIODS},
        **{"open": OPEN, "close": CLOSE, "sets": sets},
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(derive(), indent=1) + "\n", encoding="utf-8")
