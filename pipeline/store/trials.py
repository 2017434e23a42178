"""The trial table: what was ever looked at, counted once.

For: adding trials and extending their spans. Not for: what counts as a trial or how many there
effectively are (``ml.trials``).
"""

import duckdb
import polars as pl

from pipeline.store.schema import TRIALS
from pipeline.store.upsert import (
    RowAccount,
    Slice,
    account_of,
    put_away,
    record_batch,
    refuse_twins,
)

_SAME = " and ".join(f"i.{name} = t.{name}" for name in TRIALS.key)
_DIFFER = " or ".join(f"i.{name} is distinct from t.{name}" for name in TRIALS.values)
_CHANGE = (
    "create temp table change as select i.*, case when t.kind is null then 'new'"
    f" when i.span_end >= t.span_end and ({_DIFFER}) then 'restated' else 'unchanged' end as status"
    f" from incoming i left join (select * from trials where universe = $universe) t on {_SAME}"
)
_COLUMNS = ", ".join((*TRIALS.key, *TRIALS.values))
_ADD = (
    f"insert into trials by name select $universe as universe, {_COLUMNS}, $arrived as known_at,"
    " $arrived as ingested_at, $run_id as run_id from change where status = 'new'"
)
_EXTEND = (
    "update trials t set "
    + ", ".join(f"{name} = i.{name}" for name in TRIALS.values)
    + ", ingested_at = $arrived, run_id = $run_id from change i"
    f" where t.universe = $universe and i.status = 'restated' and {_SAME}"
)


def extend_trials(
    connection: duckdb.DuckDBPyConnection, trials: pl.DataFrame, *, part: Slice
) -> RowAccount:
    """Add new trials and extend known ones, inside the open transaction.

    A trial is known from the moment it was first looked at; scoring it again on a longer span
    moves the end of its span and its Sharpe ratio, so the same run again adds nothing.

    Returns
    -------
    RowAccount
        ``restated`` counts the spans that were extended.
    """
    rows = trials.select(*TRIALS.key, *TRIALS.values)
    refuse_twins(TRIALS, rows)
    connection.register("incoming", rows)
    connection.execute(_CHANGE, {"universe": part.universe})
    account = account_of(connection, TRIALS, rows.height, {})
    if account.written:
        values = {"universe": part.universe, "arrived": part.arrived, "run_id": part.run_id}
        connection.execute(_ADD, values)
        connection.execute(_EXTEND, values)
        record_batch(connection, part, account)
    put_away(connection)
    return account
