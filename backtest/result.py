"""What a backtest returns: accounts per symbol, round trips, and a book's returns.

For: frozen records that the engines fill and the metrics read. Not for: computing anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EVEN = 1e-12
"""Net return up to which a trade is neither won nor lost: what rounding makes of nothing."""

NOTHING = 1e-12
"""What is no more than this fraction of the money before a trade, or of the unit that an account
begins with if that is more, is nothing: the account is ruined."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trades:
    """Round trips of one account, in order of entry; all arrays ``[trade]``.

    Parameters
    ----------
    entry, exit : int64
        Bar of the fill; ``exit`` is -1 while the trade is open.
    entry_price, exit_price : float64
        Fill prices before costs; ``exit_price`` is NaN while open.
    quantity : float64
        Signed shares of an account that started with 1 unit of money.
    net_return : float64
        Money after the exit over money before the entry, minus 1, after all costs; NaN while open.
    bars_held : int64
        Bars from the entry's fill to the exit's fill (to the last bar while open).
    """

    entry: Ints
    exit: Ints
    entry_price: Floats
    exit_price: Floats
    quantity: Floats
    net_return: Floats
    bars_held: Ints


@dataclass(frozen=True)
class Account:
    """One symbol, one parameter set, all cash.

    Parameters
    ----------
    symbol : str
    equity : float64, ``[bar]``
        Marked at each close; starts at 1 before the first bar.
    position : int8, ``[bar]``
        Held from this bar's open to its close.
    trades : Trades
    """

    symbol: str
    equity: Floats
    position: npt.NDArray[np.int8]
    trades: Trades


@dataclass(frozen=True)
class BookResult:
    """One portfolio over the universe, per stream of targets.

    Parameters
    ----------
    net_return : float64, ``[stream, time]``
        After costs; 0 on sessions without exposure.
    turnover : float64, ``[stream, time]``
        Sum of absolute weight changes at the session's open.
    """

    net_return: Floats
    turnover: Floats
