"""Always long: the benchmark that everyone must beat.

For: the comparison beside every result. Not for: sizing or rebalancing, which the book does.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params
from backtest.strategy import STRATEGIES, Targets


class BuyAndHoldParams(Params):
    """Nothing to choose."""


class BuyAndHold:
    """Target +1 at every close, so the first fill is at the second bar's open."""

    params: ClassVar[type[Params]] = BuyAndHoldParams

    def targets(self, bars: SymbolBars, grid: ParamGrid) -> Targets:
        """Target positions at each close; int8, ``[param, bar]``."""
        return np.ones((grid.size, bars.size), dtype=np.int8)

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        return [1 for _ in range(bars.size)]

    def candidates(self) -> ParamGrid:
        """Return the one set there is."""
        return ParamGrid.of(self.params, [{}])


STRATEGIES.register("buy_and_hold")(BuyAndHold())
