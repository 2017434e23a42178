"""What every variant would have been worth at other costs.

For: Sharpe ratios at a list of costs per side, and at the break-even. Not for: other decisions:
the sets were scored and mixed under the cost of the run, and only the price of the same trades
changes.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from backtest.evidence.cost_curve import BREAK_EVEN, sharpe_by_cost
from ml.export.gate import cost_break_even_bps
from ml.robustness.folds import UNDEFINED
from ml.robustness.record import WalkRecord

COSTS_BPS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
NOTHING_TRADED = "nothing was traded"
COST_SCHEMA = {
    "strategy": pl.String,
    "variant": pl.String,
    "point": pl.String,
    "cost_bps": pl.Float64,
    "sharpe": pl.Float64,
    "reason": pl.String,
}


def costs_frame(strategy: str, record: WalkRecord) -> pl.DataFrame:
    """Annual Sharpe ratio of every variant's trades at other costs.

    Returns
    -------
    polars.DataFrame
        ``strategy, variant, point`` (the cost, or ``break-even``), ``cost_bps`` per side,
        ``sharpe``; null with a ``reason``. A break-even below 0 means that the trades lose
        before costs.
    """
    rows = []
    for variant in sorted(record.net):
        net, turnover = record.net[variant], record.turnover[variant]
        points = {f"{cost:g}": cost for cost in COSTS_BPS}
        even = cost_break_even_bps(net, turnover, record.cost)
        if even is not None:
            points[BREAK_EVEN] = even
        ratios = sharpe_by_cost(
            net,
            turnover,
            np.array(list(points.values())),
            cost_bps=record.cost * 1e4,
            periods=record.periods_per_year,
        )
        for (point, cost), ratio in zip(points.items(), ratios, strict=True):
            found = (None, UNDEFINED) if np.isnan(ratio) else (float(ratio), None)
            rows.append((strategy, variant, point, cost, *found))
        if even is None:
            rows.append((strategy, variant, BREAK_EVEN, None, None, NOTHING_TRADED))
    return pl.DataFrame(rows, schema=COST_SCHEMA, orient="row")
