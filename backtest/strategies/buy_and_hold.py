"""Always long: the benchmark that everyone must beat.

For: the comparison beside every result. Not for: sizing or rebalancing, which the book does.
"""

from __future__ import annotations

from typing import ClassVar

from backtest.conditions import Fixed, Rules
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params
from backtest.strategy import STRATEGIES


class BuyAndHoldParams(Params):
    """Nothing to choose."""


class BuyAndHold:
    """Target +1 at every close, so the first fill is at the second bar's open."""

    params: ClassVar[type[Params]] = BuyAndHoldParams

    def rules(self, grid: ParamGrid) -> Rules:
        """Always in, never out."""
        return Rules(grid.size, enter_long=Fixed(value=True), exit_long=Fixed(value=False))

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        return [1 for _ in range(bars.size)]

    def candidates(self) -> ParamGrid:
        """Return the one set there is."""
        return ParamGrid.of(self.params, [{}])


STRATEGIES.register("buy_and_hold")(BuyAndHold())
