"""Results of the engines as the frames and records that land on disk.

For: trades, equity and metrics of accounts, and the two frames of a sweep. Not for: writing
files, and not for prose (``report``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.market.panel import Panel
from backtest.metric import MetricInput, evaluate
from backtest.params import ParamGrid
from backtest.result import Account, Trades

Floats = npt.NDArray[np.float64]

TRADE_COLUMNS = {
    "symbol": pl.String,
    "entry_date": pl.Date,
    "exit_date": pl.Date,
    "entry_price": pl.Float64,
    "exit_price": pl.Float64,
    "quantity": pl.Float64,
    "net_return": pl.Float64,
    "bars_held": pl.Int64,
}


def account_returns(account: Account) -> Floats:
    """Take simple returns of each bar, from equity that starts at 1; 0 once nothing is left."""
    before = np.concatenate([[1.0], account.equity[:-1]])[: account.equity.size]
    alive = before > 0.0
    return np.where(alive, account.equity / np.where(alive, before, 1.0) - 1.0, 0.0)


def account_turnover(account: Account) -> Floats:
    """Traded notional of each bar over the equity of the close before; ``[bar]``."""
    trades, traded = account.trades, np.zeros(account.equity.size)
    before = np.concatenate([[1.0], account.equity[:-1]])[: account.equity.size]
    shares, left = np.abs(trades.quantity), trades.exit >= 0
    leave = trades.exit[left]
    np.add.at(traded, trades.entry, shares * trades.entry_price / before[trades.entry])
    np.add.at(traded, leave, shares[left] * trades.exit_price[left] / before[leave])
    return traded


def trades_table(panel: Panel, accounts: Sequence[Account]) -> pl.DataFrame:
    """Round trips of all accounts; an open trade has no exit date, exit price and net return.

    Parameters
    ----------
    panel : Panel
    accounts : sequence of Account
        In the order of ``panel.symbols``.

    Returns
    -------
    polars.DataFrame
        Columns of ``TRADE_COLUMNS``, sorted by symbol, then entry.
    """
    parts = []
    for s, account in enumerate(accounts):
        trades, dates = account.trades, panel.dates[panel.tradable[s]]
        left = pl.Series(trades.exit >= 0)
        columns = {
            "symbol": np.full(trades.entry.size, account.symbol),
            "entry_date": dates[trades.entry],
            "exit_date": dates[np.maximum(trades.exit, 0)],
            **{n: getattr(trades, n) for n in list(TRADE_COLUMNS)[3:]},
        }
        part = pl.DataFrame(columns, schema=TRADE_COLUMNS)
        closed = [pl.when(left).then(n).alias(n) for n in ("exit_date", "exit_price", "net_return")]
        parts.append(part.with_columns(closed))
    return pl.concat(parts) if parts else pl.DataFrame(schema=TRADE_COLUMNS)


def equity_table(panel: Panel, accounts: Sequence[Account]) -> pl.DataFrame:
    """Equity of all accounts at each close: ``symbol, date, equity``, sorted."""
    schema = {"symbol": pl.String, "date": pl.Date, "equity": pl.Float64}
    parts = [
        pl.DataFrame(
            {
                "symbol": np.full(account.equity.size, account.symbol),
                "date": panel.dates[panel.tradable[s]],
                "equity": account.equity,
            },
            schema=schema,
        )
        for s, account in enumerate(accounts)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def metrics_record(given: MetricInput) -> dict[str, Any]:
    """Return every metric the input allows, and under ``reasons`` why a value is null."""
    values, reasons = evaluate(given)
    return {**values, "reasons": reasons}


def metrics_table(
    panel: Panel, accounts: Sequence[Account], *, risk_free: float = 0.0
) -> dict[str, dict[str, Any]]:
    """Metrics of each symbol's account, and of all of them under ``"all"``.

    ``"all"`` holds the equal-weight mean, on each session, of the account returns of the symbols
    that have a bar then; its trades are those of all symbols.

    Parameters
    ----------
    panel : Panel
    accounts : sequence of Account
        In the order of ``panel.symbols``.
    risk_free : float
        Annual rate.

    Returns
    -------
    dict of str to dict
        By symbol and ``"all"``; see :func:`metrics_record`.
    """
    returns, turnover = np.zeros(panel.shape), np.zeros(panel.shape)
    given: dict[str, MetricInput] = {}
    for s, account in enumerate(accounts):
        live = panel.tradable[s]
        returns[s, live], turnover[s, live] = account_returns(account), account_turnover(account)
        given[account.symbol] = MetricInput(
            returns[s, live],
            panel.periods_per_year,
            risk_free,
            trades=account.trades,
            turnover=turnover[s, live],
        )
    count = np.maximum(panel.tradable.sum(axis=0), 1)  # [T]
    given["all"] = MetricInput(
        returns.sum(axis=0) / count,
        panel.periods_per_year,
        risk_free,
        trades=_pooled([account.trades for account in accounts]),
        turnover=turnover.sum(axis=0) / count,
    )
    return {name: metrics_record(one) for name, one in given.items()}


def _pooled(trades: Sequence[Trades]) -> Trades:
    """Trades of many accounts as one record; bars are each symbol's own."""
    columns = {f.name: [getattr(t, f.name) for t in trades] for f in fields(Trades)}
    return Trades(**{name: np.concatenate(parts) for name, parts in columns.items()})


def parameter_table(grid: ParamGrid) -> pl.DataFrame:
    """Sets of a grid by number: ``set`` and one column per parameter."""
    return pl.DataFrame({"set": np.arange(grid.size, dtype=np.int64), **grid.columns})


def sweep_rows(
    symbol: str, parameters: pl.DataFrame, metrics: Mapping[str, Floats]
) -> pl.DataFrame:
    """Turn what a sweep measured of one symbol into rows.

    Parameters
    ----------
    symbol : str
    parameters : polars.DataFrame
        Of :func:`parameter_table`.
    metrics : mapping of str to float64, ``[param]``
        By name, as ``engine.sweep.stream_metrics`` hands them over.

    Returns
    -------
    polars.DataFrame
        ``symbol, set``, the parameters and the metrics, sorted by set; null where undefined.
    """
    measured = pl.DataFrame(dict(metrics)).fill_nan(None)
    counts = [pl.col("trades").cast(pl.Int64)] if "trades" in metrics else []
    rows = pl.concat([parameters, measured.with_columns(counts)], how="horizontal")
    return rows.select(pl.lit(symbol).alias("symbol"), pl.all())
