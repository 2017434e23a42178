"""Buy far below the average, sell far above it, measured in deviations.

For: reversion to a moving average, long or on both sides. Not for: breakouts of the same bands.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from backtest.conditions import Fixed, Indicator, Rules, above, all_of, below
from backtest.indicators import plain
from backtest.indicators.bands import standard_distance
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES


class BollingerReversionParams(Params):
    """Window of the bands in bars, and how many deviations from the middle to open and close at.

    ``sides`` says whether only the lower band is traded, or both.
    """

    sides: Literal["long", "both"] = "both"
    period: Annotated[int, Range(10, 60)] = 20
    width: Annotated[float, Range(1.0, 3.0)] = 2.0
    exit: Annotated[float, Range(0.0, 1.0)] = 0.0


class BollingerReversion:
    """With ``z`` the distance in deviations: +1 below ``-width``, -1 above ``width``.

    A long position ends above ``-exit``, a short one below ``exit``; else the target stays what it
    was.
    """

    params: ClassVar[type[Params]] = BollingerReversionParams

    def rules(self, grid: ParamGrid) -> Rules:
        """When a grid's positions open and close."""
        away = Indicator(standard_distance, {"period": grid["period"]})
        both = Fixed(grid["sides"] == "both")
        return Rules(
            size=grid.size,
            enter_long=below(away, -grid["width"]),
            exit_long=above(away, -grid["exit"]),
            enter_short=all_of(both, above(away, grid["width"])),
            exit_short=below(away, grid["exit"]),
        )

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, BollingerReversionParams)
        held, out = 0, []
        for z in plain.distance(bars.close.tolist(), params.period):
            if z is not None:
                if (held == 1 and z > -params.exit) or (held == -1 and z < params.exit):
                    held = 0
                if held == 0 and z < -params.width:
                    held = 1
                elif held == 0 and z > params.width and params.sides == "both":
                    held = -1
            out.append(held)
        return out

    def candidates(self) -> ParamGrid:
        """Return 120 sets."""
        return ParamGrid.product(
            self.params,
            {
                "sides": ("long", "both"),
                "period": (10, 15, 20, 30, 60),
                "width": (1.0, 1.5, 2.0, 2.5),
                "exit": (0.0, 0.5, 1.0),
            },
        )


STRATEGIES.register("bollinger_reversion")(BollingerReversion())
