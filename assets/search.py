"""The corpus of past results: every candidate set swept once over all history, and pictures of it.

For: ``backtest_corpus``, ``pareto_front`` and ``best_parameters_by_regime``. Not for: choosing; the
sweep is causal (a set's return on a day depends on bars up to that day only), so every past
decision may read its columns. The front and the plateaus are of all sessions, hindsight for people:
nothing reads them.
"""

from typing import TYPE_CHECKING

import dagster as dg

from pipeline.boundary import OWNERS, at_boundary, picture, sample_of, table_schema
from pipeline.resources import SettingsResource, SnapshotsResource

if TYPE_CHECKING:
    import polars as pl

    from backtest.params import ParamGrid
    from backtest.result import BookResult
    from ml.corpus import Corpus

GROUP = "search"
FRONT_COLUMNS = {
    "strategy": ("String", "name"),
    "set": ("Int64", "number among the candidates"),
    "parameters": ("String", "the set, JSON"),
    "sharpe": ("Float64", "annual, all sessions, after costs"),
    "total_return": ("Float64", "compounded, decimal"),
    "max_drawdown": ("Float64", "decimal, positive"),
    "volatility": ("Float64", "annual, decimal"),
    "calmar": ("Float64", "ratio"),
    "turnover": ("Float64", "per year"),
    "front": ("Boolean", "no other set beats it in Sharpe, return and drawdown at once"),
}
REGIME_MEANINGS = {
    "strategy": ("String", "name"),
    "regime": ("String", "name of the states of the fit in force"),
    "sessions": ("Float64", "effective: probabilities filtered at the close before, added up"),
    "set": ("Int64", "the plateau: the best Sharpe ratio averaged with its neighbours"),
    "parameters": ("String", "the set, JSON; null where the regime has too few sessions"),
    "sharpe": ("Float64", "of the set in the regime, annual"),
    "smoothed": ("Float64", "averaged with its neighbours"),
    "overall": ("Float64", "of the set on all sessions"),
    "highest": ("Int64", "the raw winner"),
    "highest_sharpe": ("Float64", "its ratio in the regime"),
    "edges": ("String", "warnings: the plateau reaches the edge of the grid"),
}


@dg.asset(
    deps=["bars"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "parquet"},
    code_version="1",
    tags={"layer": "research"},
    metadata=table_schema(
        {
            "date": ("Date", "session"),
            "p0": ("Float64", "net book return of set 0, decimal; p1.. follow"),
        }
    ),
)
@at_boundary
def backtest_corpus(
    context: dg.AssetExecutionContext, settings: SettingsResource, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Net book return of every candidate set of every strategy on every session."""
    from ml.corpus import corpus

    files = snapshots.open()
    snapshot = files.current()
    work, panel, sets = files.workbench(snapshot), files.panel(snapshot), {}
    told, spec = settings.read(), work.spec()
    for name in told.strategies.names:
        swept = corpus(panel, name, spec, progress=None)
        sets[name] = work.keep_corpus(name, panel.dates, swept)
        context.log.info(f"{name}: {sets[name]} sets on {panel.shape[0]} symbols")
    return dg.MaterializeResult(
        metadata={
            "summary": f"{sum(sets.values())} sets of {len(sets)} strategies, "
            f"{panel.shape[1]:,} sessions",
            "dagster/row_count": panel.shape[1] * len(sets),
            "sets": dg.MetadataValue.json(sets),
            "book": told.book.kind,
            "cost_bps": told.costs.cost_bps,
            "snapshot": snapshot.snapshot,
            "path": dg.MetadataValue.path(work.folder),
        }
    )


@dg.asset(
    deps=["backtest_corpus"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    code_version="1",
    tags={"layer": "research"},
    metadata=table_schema(FRONT_COLUMNS),
)
@at_boundary
def pareto_front(
    context: dg.AssetExecutionContext, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Sets that no other beats in Sharpe ratio, return and drawdown at once, per strategy."""
    from backtest.market.calendar import periods_per_year
    from backtest.search_plots import front_plot
    from ml.search_tables import corpus_front

    files = snapshots.open()
    snapshot = files.current()
    work = files.workbench(snapshot)
    tables, volumes, periods = {}, {}, periods_per_year(snapshot.calendar)
    for name, swept in work.corpora().items():
        grid, book = _candidates(swept)
        found = corpus_front(grid, book, periods_per_year=periods)
        tables[name], volumes[name] = found.table, found.volume
        context.log.info(f"{name}: {found.table['front'].sum()} of {found.table.height} sets")
    kept = work.keep("pareto_front", _joined(tables))
    drawn = front_plot(tables, across="max_drawdown", up="sharpe", synthetic=snapshot.synthetic)
    fronts = {name: int(table["front"].sum()) for name, table in tables.items()}
    return dg.MaterializeResult(
        metadata={
            "summary": f"{sum(fronts.values())} sets on {len(fronts)} fronts",
            "dagster/row_count": sum(table.height for table in tables.values()),
            "sets on the front": dg.MetadataValue.json(fronts),
            "hypervolume": dg.MetadataValue.json(volumes),
            "front": picture(drawn, "Sharpe ratio against drawdown, the front among all sets"),
            "path": dg.MetadataValue.path(kept.path),
            "snapshot": snapshot.snapshot,
        }
    )


@dg.asset(
    deps=["backtest_corpus", "regime_model"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    code_version="1",
    tags={"layer": "research"},
    metadata=table_schema(REGIME_MEANINGS),
)
@at_boundary
def best_parameters_by_regime(
    context: dg.AssetExecutionContext, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Each regime's plateau in hindsight, by the fit in force."""
    from backtest.market.calendar import periods_per_year
    from backtest.search_plots import regime_bars
    from ml.search_tables import best_by_regime

    files = snapshots.open()
    snapshot = files.current()
    work = files.workbench(snapshot)
    lane, tables, periods = work.regimes(), {}, periods_per_year(snapshot.calendar)
    last = lane.sessions - 1
    probabilities, names = lane.relabel(last), lane.names_at(last)
    for name, swept in work.corpora().items():
        grid, book = _candidates(swept)
        tables[name] = best_by_regime(
            grid, book.net_return, probabilities, names, periods_per_year=periods
        )
    table = _joined(tables)
    kept = work.keep("best_parameters_by_regime", table)
    told = table.drop_nulls("parameters")
    context.log.info(f"{told.height} of {table.height} regimes have enough sessions")
    return dg.MaterializeResult(
        metadata={
            "summary": f"{told.height} plateaus of {table['regime'].n_unique()} regimes",
            "dagster/row_count": table.height,
            "plateaus": sample_of(told.select("strategy", "regime", "sharpe", "parameters")),
            "by regime": picture(
                regime_bars(told, synthetic=snapshot.synthetic),
                "Sharpe ratio of each regime's plateau in the regime and on all sessions",
            ),
            "path": dg.MetadataValue.path(kept.path),
            "snapshot": snapshot.snapshot,
        }
    )


def _candidates(swept: "Corpus") -> "tuple[ParamGrid, BookResult]":
    """The candidates of a corpus, without a default or an incumbent that is none."""
    import numpy as np

    from backtest.result import BookResult

    count, book = swept.candidates, swept.book
    return (
        swept.grid.take(np.arange(count)),
        BookResult(book.net_return[:count], book.turnover[:count]),
    )


def _joined(tables: "dict[str, pl.DataFrame]") -> "pl.DataFrame":
    """Tables of all strategies as one."""
    import polars as pl

    return pl.concat(
        [table.select(pl.lit(name).alias("strategy"), pl.all()) for name, table in tables.items()]
    )
