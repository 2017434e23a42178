"""Small markets and a strategy that does as it is told, for the tests of the engines."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from backtest.conditions import Indicator, Rules, above, below
from backtest.engine.plan import Plan
from backtest.market.panel import Panel, SymbolBars
from backtest.params import ParamGrid, Params
from backtest.strategy import Strategy


def random_panel(
    symbols: int, sessions: int, *, seed: int, gaps: float = 0.0, swing: float = 0.02
) -> Panel:
    """Random walks with open and close apart; ``gaps`` is the share of cells without a bar."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, swing, (symbols, sessions)), axis=1))
    opens = close * np.exp(rng.normal(0.0, swing / 3, close.shape))
    tradable = rng.random(close.shape) >= gaps
    tradable[:, 0] = True
    volume = np.where(rng.random(close.shape) < 0.02, np.nan, rng.lognormal(10.0, 0.5, close.shape))
    return panel_of(opens, close, tradable=tradable, volume=volume)


def panel_of(
    opens: np.ndarray,
    close: np.ndarray,
    *,
    tradable: np.ndarray | None = None,
    volume: np.ndarray | None = None,
) -> Panel:
    """Panel of arrays ``[symbol, time]``; three sectors in turn."""
    if tradable is None:
        tradable = np.isfinite(close)
    if volume is None:
        volume = np.full(close.shape, np.nan)

    def seen(values: np.ndarray) -> np.ndarray:
        return np.where(tradable, values, np.nan)

    return Panel(
        symbols=tuple(f"S{i:03d}" for i in range(close.shape[0])),
        dates=np.datetime64("2010-01-04", "D") + np.arange(close.shape[1]),
        open=seen(opens),
        high=seen(np.maximum(opens, close)),
        low=seen(np.minimum(opens, close)),
        close=seen(close),
        volume=seen(volume),
        tradable=tradable,
        sectors=tuple("ABC"[i % 3] for i in range(close.shape[0])),
    )


def bars_of(opens: np.ndarray, close: np.ndarray, volume: np.ndarray | None = None) -> SymbolBars:
    """Bars of one symbol."""
    return panel_of(
        np.asarray(opens, dtype=float)[None],
        np.asarray(close, dtype=float)[None],
        volume=None if volume is None else np.asarray(volume, dtype=float)[None],
    ).bars(0)


def reordered(panel: Panel, order: np.ndarray) -> Panel:
    """Same symbols in another order of rows."""
    rows = {f: getattr(panel, f)[order] for f in ("open", "high", "low", "close", "volume")}
    return Panel(
        symbols=tuple(panel.symbols[i] for i in order),
        dates=panel.dates,
        tradable=panel.tradable[order],
        sectors=tuple(panel.sectors[i] for i in order),
        **rows,
    )


class NoParams(Params):
    """Nothing to choose."""


class Scripted:
    """Targets read from a table ``[param, session]`` per symbol."""

    params: ClassVar[type[Params]] = NoParams

    def __init__(self, table: dict[str, np.ndarray]):
        self.table = {s: np.atleast_2d(np.asarray(t, dtype=np.int8)) for s, t in table.items()}

    def rules(self, grid: ParamGrid) -> Rules:
        sets = len(next(iter(self.table.values())))
        script = Indicator(self._read, {"row": np.arange(sets)})
        return Rules(
            size=sets,
            enter_long=above(script, 0.5),
            exit_long=below(script, 0.5),
            enter_short=below(script, -0.5),
            exit_short=above(script, -0.5),
        )

    def _read(self, bars: SymbolBars, *, row: np.ndarray) -> np.ndarray:
        return self.table[bars.symbol][row][:, bars.at].astype(float)

    def reference(self, bars: SymbolBars, params: Params) -> list[int]:
        return self.table[bars.symbol][0, bars.at].tolist()

    def candidates(self) -> ParamGrid:
        return ParamGrid.of(NoParams, [{}])


def targets_of(rule: Strategy, bars: SymbolBars, grid: ParamGrid) -> np.ndarray:
    """Positions that the sets of a grid want of one symbol; ``[param, bar]``."""
    return Plan(rule.rules(grid)).targets(bars)
