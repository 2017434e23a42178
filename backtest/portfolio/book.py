"""One portfolio over the universe, in plain NumPy: the definition of the three books.

For: turning positions of one close into target weights, and a slow simulation that judges the
fast streams of the engine. Not for: sizing by risk and limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from backtest.errors import ParameterError
from backtest.registry import closest
from backtest.result import BookResult

BookKind = Literal["long-only", "dollar-neutral", "sector-neutral"]
BOOK_KINDS: tuple[str, ...] = get_args(BookKind)

MIN_MEMBERS = 5
"""Fewer tradable members than this at a close: the book's target is flat."""

GROSS_FLOOR = 0.2
"""Least gross position, as a share of the members, that a neutral book is scaled by."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def checked_kind(kind: str) -> BookKind:
    """Return ``kind`` if it is a book.

    Raises
    ------
    ParameterError
        ``E_BOOK`` with the closest known kinds.
    """
    if kind not in BOOK_KINDS:
        raise ParameterError(f"unknown book {kind!r}", fix=closest(kind, BOOK_KINDS), code="E_BOOK")
    return kind  # type: ignore[return-value]


def groups(sectors: Sequence[str], kind: BookKind) -> list[npt.NDArray[np.int64]]:
    """Rows of the symbols that are balanced against each other: sectors, or everybody at once.

    Symbols of unknown sector (``""``) are balanced among themselves.

    Raises
    ------
    ParameterError
        ``E_BOOK``: a sector-neutral book where no sector is known would be another book in silence.
    """
    if kind != "sector-neutral":
        return [np.arange(len(sectors))]
    if not any(sectors):
        raise ParameterError(
            "a sector-neutral book needs sectors",
            where="no symbol of these bars has one",
            fix="add a column sector, or choose dollar-neutral",
            code="E_BOOK",
        )
    names = np.asarray(sectors)
    return [np.flatnonzero(names == name) for name in np.unique(names)]


def book_weights(
    positions: npt.NDArray[np.int8] | Floats,
    tradable: Bools,
    *,
    sectors: Sequence[str],
    kind: BookKind,
) -> Floats:
    """Target weights at one close.

    Long-only ``max(pos, 0) / N``; dollar-neutral ``(pos - mean) / max(gross, 0.2 N)`` with
    ``gross = sum |pos - mean|``; sector-neutral the same within each sector, times
    ``N_sector / N``. Sums, means and N run over tradable members; the others get no weight.

    Parameters
    ----------
    positions : int8 or float64, ``[symbol]``
    tradable : bool, ``[symbol]``
        Which symbols have a bar and belong to the universe at this close: ``Panel.counted``.
    sectors : sequence of str, ``[symbol]``
    kind : BookKind

    Returns
    -------
    float64, ``[symbol]``
        Signed fractions of equity.

    Examples
    --------
    >>> position = np.array([1, 1, -1, 0, 0], dtype=np.int8)
    >>> book_weights(position, position < 2, sectors=[""] * 5, kind="long-only").tolist()
    [0.2, 0.2, 0.0, 0.0, 0.0]
    """
    weights = np.zeros(len(positions))
    members = int(tradable.sum())
    if members < MIN_MEMBERS:
        return weights
    if kind == "long-only":
        return np.where(tradable, np.maximum(positions, 0) / members, 0.0)
    for group in groups(sectors, kind):
        inside = group[tradable[group]]
        if inside.size == 0:
            continue
        centred = positions[inside] - positions[inside].mean()
        gross = max(float(np.abs(centred).sum()), GROSS_FLOOR * inside.size)
        weights[inside] = centred / gross * (inside.size / members)
    return weights


def simulate_book(
    targets: Floats, tradable: Bools, *, opens: Floats, closes: Floats, cost: float
) -> BookResult:
    """Trade one stream of target weights, session by session, the slow way.

    The weights decided at the close of one session are traded at the next open. A symbol
    without a bar cannot be traded and keeps its weight; when it trades again, it earns the move
    from its last known close. Weights are held as weights: they do not drift with prices.

    Parameters
    ----------
    targets : float64, ``[symbol, time]``
        Decided at each close.
    tradable : bool, ``[symbol, time]``
    opens, closes : float64, ``[symbol, time]``
    cost : float
        Decimal of traded notional, per side.

    Returns
    -------
    BookResult
        With one stream.
    """
    symbols, sessions = targets.shape
    held, last_close = np.zeros(symbols), np.full(symbols, np.nan)
    net, turnover = np.zeros(sessions), np.zeros(sessions)
    for t in range(sessions):
        live = np.flatnonzero(tradable[:, t])
        new = held.copy()
        if t > 0:
            new[live] = targets[live, t - 1]
            overnight = np.nan_to_num(opens[live, t] / last_close[live] - 1.0)
            intraday = closes[live, t] / opens[live, t] - 1.0
            turnover[t] = np.abs(new - held).sum()
            net[t] = held[live] @ overnight + new[live] @ intraday - cost * turnover[t]
        held, last_close[live] = new, closes[live, t]
    return BookResult(net[None, :], turnover[None, :])
