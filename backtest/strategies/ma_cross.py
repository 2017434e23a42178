"""Two moving averages, with volume to confirm the entry.

For: a slow trend rule, long or flat. Not for: markets without volume, unless the threshold is 0.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from numba import njit

from backtest.indicators import plain
from backtest.indicators.averages import sma
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params, Range
from backtest.strategy import STRATEGIES, Targets

VOLUME_WINDOW = 20
"""Bars over which the usual volume is averaged, today's included."""


class MaCrossParams(Params):
    """Windows of the two averages in bars, and how many times its usual size volume must be.

    ``volume_threshold`` 0 asks for no confirmation, so volume may be unknown.
    """

    fast: Annotated[int, Range(5, 20)] = 10
    slow: Annotated[int, Range(15, 50)] = 30
    volume_threshold: Annotated[float, Range(0.0, 3.0)] = 1.0

    @classmethod
    def feasible(cls, grid: ParamGrid) -> npt.NDArray[np.bool_]:
        """Keep sets whose fast window is the shorter one; bool, ``[param]``."""
        return np.asarray(grid["fast"] < grid["slow"])


class MaCross:
    """Long if the fast average is above the slow one and volume confirms; flat if it is below.

    Volume confirms when ``volume / SMA(volume, 20) >= volume_threshold``; unknown volume, or
    none for 20 bars, never does. The exit needs no confirmation. Else the target stays what it
    was.
    """

    params: ClassVar[type[Params]] = MaCrossParams

    def targets(self, bars: SymbolBars, grid: ParamGrid) -> Targets:
        """Target positions at each close; int8, ``[param, bar]``."""
        windows, which = np.unique(
            np.concatenate([grid["fast"], grid["slow"]]), return_inverse=True
        )
        fast, slow = which[: grid.size], which[grid.size :]
        usual = sma(bars.volume, np.array([VOLUME_WINDOW]))[0]  # [T]
        targets: Targets = _cross(
            sma(bars.close, windows), (fast, slow), (bars.volume, usual), grid["volume_threshold"]
        )
        return targets

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        """Do the same for one set in plain Python; ``[bar]``."""
        assert isinstance(params, MaCrossParams)
        close, volume = bars.close.tolist(), bars.volume.tolist()
        fast, slow = plain.sma(close, params.fast), plain.sma(close, params.slow)
        usual = plain.sma(volume, VOLUME_WINDOW)
        held, out = 0, []
        for t in range(bars.size):
            quick, lazy, typical = fast[t], slow[t], usual[t]
            confirmed = params.volume_threshold == 0 or (
                typical is not None
                and typical > 0.0
                and volume[t] / typical >= params.volume_threshold
            )
            if quick is not None and lazy is not None:
                if quick < lazy:
                    held = 0
                elif quick > lazy and confirmed:
                    held = 1
            out.append(held)
        return out

    def candidates(self) -> ParamGrid:
        """Return 66 sets."""
        return ParamGrid.product(
            self.params,
            {
                "fast": (5, 8, 12, 16, 20),
                "slow": (15, 20, 30, 40, 50),
                "volume_threshold": (0.0, 1.0, 1.5),
            },
        )


@njit(cache=True, nogil=True)
def _cross(averages: Any, which: Any, volumes: Any, threshold: Any) -> Any:
    """Walk the rule for every set; a NaN fails every comparison, so the target stays."""
    fast, slow = which
    volume, usual = volumes
    bars = averages.shape[1]
    out = np.zeros((fast.size, bars), dtype=np.int8)
    for p in range(fast.size):
        held = 0
        for t in range(bars):
            quick, lazy = averages[fast[p], t], averages[slow[p], t]
            if quick < lazy:
                held = 0
            elif quick > lazy and (
                threshold[p] == 0.0 or (usual[t] > 0.0 and volume[t] / usual[t] >= threshold[p])
            ):
                held = 1
            out[p, t] = held
    return out


STRATEGIES.register("ma_cross")(MaCross())
