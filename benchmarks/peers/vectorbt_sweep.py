"""The same sweep with vectorbt: all sets of a chunk side by side, one symbol after the other.

For: ``benchmarks/peers.py``, in an environment that holds vectorbt (and its Rust engine, if there
is one) and nothing of this project. Not for: vectorbt's own RSI, whose exponential mean starts from
the first change and not from the mean of the first ones, so that it trades otherwise.

Its public interface only, made as light as it allows: signals from one pass over the indicator,
no stop orders, room for not many more orders than there are, returns without a benchmark's. How
many sets make a chunk is part of the variant: ``rust-four-250``.
"""

import itertools
from typing import Any

import numpy as np
import vectorbt as vbt
from clocked import asked, cheapest, tell
from numba import njit

CHUNKS = ("100", "250", "500")
ORDERS = 500  # of one set on one symbol, at most; vectorbt refuses to go on when they are more


@njit(cache=True)
def strengths(close, periods):
    """Wilder's RSI of each period, ``[bar, period]``."""
    out = np.full((close.size, periods.size), np.nan)
    for k in range(periods.size):
        p, up, down = periods[k], 0.0, 0.0
        for t in range(1, close.size):
            move = close[t] - close[t - 1]
            gain, loss = max(move, 0.0), max(-move, 0.0)
            if t <= p:
                up, down = up + gain / p, down + loss / p
            else:
                up, down = (up * (p - 1) + gain) / p, (down * (p - 1) + loss) / p
            if t >= p:
                out[t, k] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
    return out


def a_bar_later(signals: np.ndarray) -> np.ndarray:
    """What was seen at a close is filled at the next open."""
    out = np.zeros_like(signals)
    out[1:] = signals[:-1]
    return out


def measured(portfolio: Any, variant: str, year: float) -> dict[str, Any]:
    """What is asked of a portfolio; ``[set]`` each."""
    if variant == "simulation":
        return {}
    returns = portfolio.returns().vbt.returns(freq="1D", year_freq=f"{year:.0f} days")
    closed = portfolio.trades.closed
    found = {
        "total_return": portfolio.total_return(),
        "sharpe": returns.sharpe_ratio(),
        "max_drawdown": -returns.max_drawdown(),
        "trades": closed.count(),
    }
    if variant == "all":
        found |= {
            "cagr": returns.annualized(),
            "volatility": returns.annualized_volatility(),
            "sortino": returns.sortino_ratio(),
            "calmar": returns.calmar_ratio(),
            "win_rate": closed.win_rate(),
            "profit_factor": closed.profit_factor(),
            "average_win": closed.winning.returns.mean(),
            "average_loss": closed.losing.returns.mean(),
            "expectancy": closed.returns.mean(),
        }
    return found


def sweep(told: Any, chunk: int, variant: str, symbols: int) -> list[dict[str, np.ndarray]]:
    """Every set on so many symbols."""
    periods, of_set = np.unique(told.period, return_inverse=True)
    found = []
    for close, opened in zip(told.close[:symbols], told.open[:symbols], strict=True):
        strength, parts = strengths(close, periods), []
        for start in range(0, len(told.period), chunk):
            some = slice(start, start + chunk)
            wide = strength[:, of_set[some]]
            portfolio = vbt.Portfolio.from_signals(
                close[:, None],
                entries=a_bar_later(wide < told.oversold[some]),
                exits=a_bar_later(wide > told.overbought[some]),
                price=opened[:, None],
                fees=told.cost,
                init_cash=1.0,
                use_stops=False,
                max_orders=ORDERS * wide.shape[1],
                freq="1D",
            )
            parts.append(measured(portfolio, variant, told.year))
        found.append({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})
    return found


def main() -> None:
    """One engine, one amount of metrics, one size of chunk."""
    choices = itertools.product(("rust", "numba"), ("simulation", "four", "all"), CHUNKS)
    told = asked(["-".join(choice) for choice in choices])
    engine, variant, size = told.variant.split("-")
    vbt.settings["engine"] = engine
    chunk, symbols = int(size), len(told.close)
    took = cheapest(lambda: sweep(told, chunk, variant, symbols), told.rounds)
    answers = sweep(told, chunk, variant, 2)
    found = {name: np.stack([a[name] for a in answers]) for name in answers[0]}
    packages = ["vectorbt", "numpy", "pandas", "numba"]
    if engine == "rust":
        packages.append("vectorbt-rust")
    tell(took, found, packages=packages, metrics=len(found))


if __name__ == "__main__":
    main()
