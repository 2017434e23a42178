"""Follow the return of the past, leaving out its last days.

For: momentum of a symbol against its own past. Not for: ranking symbols against each other.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from backtest.conditions import Fixed, Indicator, Rules, above, all_of, below
from backtest.indicators import plain
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES

Floats = npt.NDArray[np.float64]
Lags = npt.NDArray[np.int64]


class MomentumParams(Params):
    """From how many bars ago to how many bars ago the return is taken, and how large it must be.

    ``sides`` says whether falling prices are sold, too.
    """

    sides: Literal["long", "both"] = "both"
    lookback: Annotated[int, Range(20, 252)] = 126
    skip: Annotated[int, Range(0, 21)] = 5
    threshold: Annotated[float, Range(0.0, 0.2)] = 0.05

    @classmethod
    def feasible(cls, grid: ParamGrid) -> npt.NDArray[np.bool_]:
        """Keep sets that leave out less than they look back; bool, ``[param]``."""
        return np.asarray(grid["skip"] < grid["lookback"])


class Momentum:
    """With ``r`` the past return: +1 if ``r > threshold``, -1 if ``r < -threshold``.

    A position ends when ``r`` changes its sign; else the target stays what it was.

    References
    ----------
    T. J. Moskowitz, Y. H. Ooi, L. H. Pedersen, Time series momentum, 2012.
    """

    params: ClassVar[type[Params]] = MomentumParams

    def rules(self, grid: ParamGrid) -> Rules:
        """When a grid's positions open and close."""
        past = Indicator(_past_return, {"lookback": grid["lookback"], "skip": grid["skip"]})
        both = Fixed(grid["sides"] == "both")
        return Rules(
            size=grid.size,
            enter_long=above(past, grid["threshold"]),
            exit_long=below(past, 0.0),
            enter_short=all_of(both, below(past, -grid["threshold"])),
            exit_short=above(past, 0.0),
        )

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, MomentumParams)
        held, out = 0, []
        for r in plain.past_return(bars.close.tolist(), params.lookback, params.skip):
            if r is not None:
                if (held == 1 and r < 0.0) or (held == -1 and r > 0.0):
                    held = 0
                if held == 0 and r > params.threshold:
                    held = 1
                elif held == 0 and r < -params.threshold and params.sides == "both":
                    held = -1
            out.append(held)
        return out

    def candidates(self) -> ParamGrid:
        """Return 120 sets."""
        return ParamGrid.product(
            self.params,
            {
                "sides": ("long", "both"),
                "lookback": (20, 42, 63, 126, 252),
                "skip": (0, 5, 10),
                "threshold": (0.0, 0.02, 0.05, 0.1),
            },
        )


def _past_return(bars: SymbolBars, *, lookback: Lags, skip: Lags) -> Floats:
    """Return from ``lookback`` bars ago to ``skip`` bars ago; ``[row, bar]``."""
    out = np.full((lookback.size, bars.size), np.nan)
    for k, (far, near) in enumerate(zip(lookback, skip, strict=True)):
        if far < bars.size:
            past = bars.close[: bars.size - far]
            out[k, far:] = bars.close[far - near : bars.size - near] / past - 1.0
    return out


STRATEGIES.register("momentum")(Momentum())
