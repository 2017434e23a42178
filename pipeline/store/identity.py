"""Whether bars belong to the universe that they are to be written to.

For: two data sets that would silently become one because they share a name. Not for: telling
versions of one data set apart (``upsert``).
"""

from collections.abc import Collection

import duckdb

from backtest.errors import StoreError

KNOWN_SHARE = 0.5
"""Share of the incoming symbols that a universe must know, unless they come from the same place."""


def refuse_foreign(
    open_store: duckdb.DuckDBPyConnection,
    universe: str,
    symbols: Collection[str],
    *,
    source: str,
) -> None:
    """Refuse symbols of another source, most of which a universe with bars has never had.

    Parameters
    ----------
    open_store : duckdb.DuckDBPyConnection
    universe : str
    symbols : collection of str
        Distinct.
    source : str
        As the batches name it: where the bars lie, or what makes them.

    Raises
    ------
    StoreError
        ``E_UNIVERSE``.
    """
    terms = {"universe": universe}
    held = "select distinct symbol from bars where universe = $universe"
    known = {row[0] for row in open_store.execute(held, terms).fetchall()}
    shared = len(known.intersection(symbols))
    if not known or shared >= KNOWN_SHARE * len(symbols):
        return
    named = (
        "select source from batches where universe = $universe and table_name = 'bars'"
        " order by ingested_at desc limit 1"
    )
    last = open_store.execute(named, terms).fetchall()
    if last and last[0][0] == source:
        return
    raise StoreError(
        f"{len(symbols) - shared} of {len(symbols)} symbols of {source} are new to a universe"
        f" of {len(known)} symbols" + (f" from {last[0][0]}" if last else ""),
        where=f"universe {universe}",
        fix="give this data set its own name by --set data.universe=NAME, or another --home",
        code="E_UNIVERSE",
    )
