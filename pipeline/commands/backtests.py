"""One parameter set on every symbol of a panel, with its files.

For: ``weathervane backtest``. Not for: many sets (``sweeps``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.files import results_folder, write_csv, write_json, write_parquet
from pipeline.commands.panels import load_panel

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from backtest.market.panel import Panel
    from backtest.metric import MetricInput
    from backtest.result import Account


def run_backtest(
    strategy: str,
    params: dict[str, Any],
    source: Path,
    *,
    out: Path,
    symbols: Sequence[str] | None = None,
    calendar: str | None = None,
    cost_bps: float = 5.0,
    engine: str = "events",
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
    engine : str
        ``events`` or ``reference``; the others say that they are not there yet.

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
    from backtest.engine.sweep import backtest
    from backtest.strategy import STRATEGIES

    rule = STRATEGIES.get(strategy)
    chosen = rule.params.parse(params)
    cost = cost_per_side(cost_bps)
    loaded = load_panel(source, symbols=symbols, calendar=calendar)
    accounts = backtest(loaded.panel, rule, chosen, cost=cost, engine=engine)
    metrics = _metrics(loaded.panel, accounts)
    folder = results_folder(out)
    write_json(folder / "metrics.json", metrics)
    write_csv(folder / "trades.csv", trades_frame(loaded.panel, accounts))
    write_parquet(folder / "equity.parquet", equity_frame(loaded.panel, accounts))
    about = {
        "strategy": strategy,
        "params": chosen.model_dump(),
        "cost_bps": cost_bps,
        "engine": engine,
        **loaded.about(),
    }
    write_json(folder / "backtest.json", about)
    loaded.write_quarantine(folder)
    return metrics


def _metrics(panel: "Panel", accounts: "list[Account]") -> dict[str, Any]:
    """Metrics per symbol and of the mean of their daily returns."""
    import numpy as np

    from backtest.metric import MetricInput

    result: dict[str, Any] = {}
    daily = np.full(panel.shape, np.nan)  # [S, T]
    for s, account in enumerate(accounts):
        at = panel.bars(s).at
        daily[s, at] = daily_returns(account)
        given = MetricInput(
            returns=daily[s, at],
            periods_per_year=panel.periods_per_year,
            trades=account.trades,
            turnover=traded(account),
        )
        result[account.symbol] = _evaluated(given)
    result["all"] = _evaluated(_pooled(panel, accounts, daily))
    return result


def daily_returns(account: "Account") -> "np.ndarray":
    """Take the simple returns of an account that starts with 1; float64, ``[bar]``."""
    import numpy as np

    before = np.concatenate([[1.0], account.equity[:-1]])
    return account.equity / before - 1.0


def traded(account: "Account") -> "np.ndarray":
    """Traded notional over the equity of the close before; float64, ``[bar]``."""
    import numpy as np

    trades, bars = account.trades, account.equity.size
    notional = np.zeros(bars)
    size = np.abs(trades.quantity)
    np.add.at(notional, trades.entry, size * trades.entry_price)
    closed = trades.exit >= 0
    np.add.at(notional, trades.exit[closed], (size * trades.exit_price)[closed])
    return notional / np.concatenate([[1.0], account.equity[:-1]])


def _pooled(panel: "Panel", accounts: "list[Account]", daily: "np.ndarray") -> "MetricInput":
    """Equal-weight mean of the returns of symbols with a bar, and all trades together."""
    import numpy as np

    from backtest.metric import MetricInput
    from backtest.result import Trades

    present = np.isfinite(daily)
    count = present.sum(axis=0)
    sold = np.zeros(panel.shape)
    for s, account in enumerate(accounts):
        sold[s, panel.bars(s).at] = traded(account)
    some = count > 0
    names = ("entry", "exit", "entry_price", "exit_price", "quantity", "net_return", "bars_held")
    joined = {n: np.concatenate([getattr(a.trades, n) for a in accounts]) for n in names}
    return MetricInput(
        returns=np.where(present, daily, 0.0).sum(axis=0)[some] / count[some],
        periods_per_year=panel.periods_per_year,
        trades=Trades(**joined),
        turnover=sold.sum(axis=0)[some] / count[some],
    )


def _evaluated(given: "MetricInput") -> dict[str, Any]:
    from backtest.metric import evaluate

    values, reasons = evaluate(given)
    return {**values, "reasons": reasons}


def trades_frame(panel: "Panel", accounts: "list[Account]") -> "pl.DataFrame":
    """All round trips; an open one has no exit."""
    import numpy as np
    import polars as pl

    parts = []
    for s, account in enumerate(accounts):
        trades, at = account.trades, panel.bars(s).at
        days = panel.dates[at]
        open_ = trades.exit < 0
        ends = days[np.where(open_, 0, trades.exit)]
        parts.append(
            pl.DataFrame(
                {
                    "symbol": np.full(trades.entry.size, account.symbol, dtype=object).astype(str),
                    "entry_date": pl.Series(days[trades.entry]).cast(pl.Date),
                    "exit_date": pl.Series(ends).cast(pl.Date),
                    "entry_price": trades.entry_price,
                    "exit_price": pl.Series(trades.exit_price, nan_to_null=True),
                    "quantity": trades.quantity,
                    "net_return": pl.Series(trades.net_return, nan_to_null=True),
                    "bars_held": trades.bars_held,
                    "open": open_,
                }
            )
        )
    frame = pl.concat(parts)
    ended = [
        pl.when(~pl.col("open")).then(pl.col(name)).alias(name)
        for name in ("exit_date", "exit_price", "net_return")
    ]
    return frame.with_columns(ended).drop("open")


def equity_frame(panel: "Panel", accounts: "list[Account]") -> "pl.DataFrame":
    """``symbol, date, equity`` at every close."""
    import polars as pl

    parts = [
        pl.DataFrame(
            {
                "date": pl.Series(panel.dates[panel.bars(s).at]).cast(pl.Date),
                "equity": account.equity,
            }
        ).select(pl.lit(account.symbol).alias("symbol"), "date", "equity")
        for s, account in enumerate(accounts)
    ]
    return pl.concat(parts)
