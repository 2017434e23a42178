"""What a trade costs: one decimal of the traded notional, per side.

For: turning basis points that a person types into the decimal that engines take, and refusing
what cannot be a cost. Not for: spread and impact models.
"""

from __future__ import annotations

import math

from backtest.errors import ParameterError


def cost_per_side(bps: float) -> float:
    """Turn basis points per side into a decimal of traded notional.

    Raises
    ------
    ParameterError
        ``E_COST`` when it is not a number from 0 up to, and not including, 10,000.

    Examples
    --------
    >>> cost_per_side(5)
    0.0005
    """
    return checked_cost(bps / 10_000.0)


def checked_cost(cost: float) -> float:
    """Return ``cost``, a decimal of traded notional per side, if it can be one.

    Raises
    ------
    ParameterError
        ``E_COST`` when it is not a finite number in [0, 1).
    """
    if not (math.isfinite(cost) and 0.0 <= cost < 1.0):
        raise ParameterError(
            f"cost per side {cost * 10_000:g} bps is outside [0, 10000)",
            fix="give basis points per side, for example 5",
            code="E_COST",
        )
    return float(cost)
