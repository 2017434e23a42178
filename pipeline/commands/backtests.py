"""One parameter set on every symbol of a panel, with its files.

For: ``weathervane backtest``. Not for: many sets (``sweeps``).
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.files import results_folder, write_csv, write_json, write_parquet
from pipeline.commands.panels import load_panel

logger = logging.getLogger(__name__)


def run_backtest(
    strategy: str,
    params: dict[str, Any],
    source: Path,
    *,
    out: Path,
    symbols: Sequence[str] | None = None,
    calendar: str | None = None,
    cost_bps: float = 5.0,
    engine: str | None = None,
) -> dict[str, Any]:
    """Backtest one parameter set per symbol and write its files.

    Parameters
    ----------
    strategy : str
        Registered name.
    params : dict
        Missing fields take their defaults.
    source : pathlib.Path
        Bars.
    engine : str, optional
        As ``backtest.engine.sweep.backtest`` takes it; without one, the fast one that is needed.

    Returns
    -------
    dict
        Content of ``metrics.json``: per symbol and ``all``, the equal-weight mean of the
        symbols' daily account returns.

    Raises
    ------
    WeathervaneError
        Anything wrong in what was handed in.
    """
    from backtest.engine.costs import cost_per_side
    from backtest.engine.sweep import backtest, fast_engine
    from backtest.params import ParamGrid
    from backtest.strategy import STRATEGIES
    from backtest.tables import equity_table, metrics_table, trades_table

    rule, cost = STRATEGIES.get(strategy), cost_per_side(cost_bps)
    chosen = rule.params.parse(params)
    fast = fast_engine(rule, ParamGrid.of(rule.params, [chosen.model_dump()]))
    if (engine, fast) == ("events", "lanes"):
        logger.warning("engine events cannot follow guards or sizes: lanes runs instead")
    engine = fast if engine in (None, "events") else engine
    loaded = load_panel(source, symbols=symbols, calendar=calendar)
    accounts = backtest(loaded.panel, rule, chosen, cost=cost, engine=engine)
    metrics = metrics_table(loaded.panel, accounts)
    folder = results_folder(out)
    write_json(folder / "metrics.json", metrics)
    write_csv(folder / "trades.csv", trades_table(loaded.panel, accounts))
    write_parquet(folder / "equity.parquet", equity_table(loaded.panel, accounts))
    about = {"strategy": strategy, "params": chosen.model_dump(), "cost_bps": cost_bps}
    about |= {"engine": engine, **loaded.about()}
    write_json(folder / "backtest.json", about)
    loaded.write_quarantine(folder)
    return metrics
