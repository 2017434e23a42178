"""Socket of strategies: what a trading rule must offer, and the registry that finds them.

For: the protocol that every file of ``strategies/`` fulfils. Not for: fills, costs or
portfolios, which belong to the engine and the book.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from backtest.conditions import Rules
from backtest.market.panel import SymbolBars
from backtest.params import ParamGrid, Params
from backtest.registry import Registry


class Strategy(Protocol):
    """A pure function of one symbol's past bars, batched over parameter sets.

    A target at bar ``t`` uses bars up to and including ``t`` and is filled at the open of the
    symbol's next bar. ``+1`` is long, ``-1`` short, ``0`` flat; a rule with sizes takes less than 1
    of the cash. A comparison with an indicator that is still missing is False, so the target stays
    what it was (flat at first).
    """

    params: ClassVar[type[Params]]

    def rules(self, grid: ParamGrid) -> Rules:
        """Return when positions open and close; nothing is computed yet."""
        ...

    def reference(self, bars: SymbolBars, params: Params) -> Sequence[float]:
        """Targets of one set in plain Python, slowly: the judge of ``rules``; ``[bar]``."""
        ...

    def candidates(self) -> ParamGrid:
        """Return the default grid that a decision chooses from (a few hundred sets at most)."""
        ...


STRATEGIES: Registry[Strategy] = Registry("strategy", "backtest.strategies")
