"""Where the pure rooms meet Dagster: errors become retries or failures, frames become metadata.

For: the one decorator that every asset wears; column schemas, tables and plots for its page. Not
for: anything that an asset computes.
"""

import base64
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import dagster as dg

from backtest.errors import ProviderUnavailable, WeathervaneError

if TYPE_CHECKING:
    import polars as pl

P = ParamSpec("P")
R = TypeVar("R")

OWNERS = ["team:weathervane"]
RETRIES = 3
FIRST_WAIT_S = 5.0
"""Seconds before the first retry; each later one waits twice as long."""

LONG = 100
"""Steps from which a stage is worth a line for each quarter."""

# Dagster calls backfill policies a beta; what this project needs of them is tested.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)


def at_boundary(body: Callable[P, R]) -> Callable[P, R]:
    """Map the house's errors to what Dagster should do about them.

    A source that does not answer is tried again, up to ``RETRIES`` times with doubling waits. Any
    other error that a person can act on ends the run at once, with its one line. What is no error
    of the house keeps its traceback.
    """

    @functools.wraps(body)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        context = args[0] if args else kwargs.get("context")
        try:
            return body(*args, **kwargs)
        except ProviderUnavailable as error:
            tried = getattr(context, "retry_number", 0)
            if tried >= RETRIES:
                raise _failure(error) from error
            wait = FIRST_WAIT_S * 2**tried
            raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=wait) from error
        except WeathervaneError as error:
            raise _failure(error) from error

    return guarded


def _failure(error: WeathervaneError) -> dg.Failure:
    return dg.Failure(str(error), metadata={"code": error.code}, allow_retries=False)


def every_quarter(tell: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """Turn (stage, done, total) into one line per quarter of each stage of ``LONG`` steps."""
    told: dict[str, int] = {}

    def report(stage: str, done: int, total: int) -> None:
        quarter = 4 * done // max(total, 1)
        if total >= LONG and quarter > told.get(stage, 0):
            told[stage] = quarter
            tell(f"{stage}: {done:,} of {total:,}")

    return report


def table_schema(
    columns: Mapping[str, tuple[str, str]], *, unique: bool = False
) -> dict[str, dg.TableSchema]:
    """Metadata that shows an asset's columns.

    Parameters
    ----------
    columns : mapping of str to (str, str)
        Type and meaning (with its unit) by name.
    unique : bool
        Whether the first column alone identifies a row.
    """
    made = [
        dg.TableColumn(
            name,
            type=kind,
            description=meaning,
            constraints=dg.TableColumnConstraints(unique=unique and i == 0),
        )
        for i, (name, (kind, meaning)) in enumerate(columns.items())
    ]
    return {"dagster/column_schema": dg.TableSchema(columns=made)}


def schema_of(
    frame: "pl.DataFrame", meanings: Mapping[str, str] | None = None
) -> dict[str, dg.TableSchema]:
    """Metadata that shows the columns of a frame as it is."""
    known = meanings or {}
    return table_schema({n: (str(t), known.get(n, "")) for n, t in frame.schema.items()})


def sample_of(frame: "pl.DataFrame", rows: int = 5) -> dg.TableMetadataValue:
    """Last rows of a frame as a table of an asset's page."""
    records = [
        dg.TableRecord(
            {n: v if isinstance(v, int | float | bool) else str(v) for n, v in r.items()}
        )
        for r in frame.tail(rows).iter_rows(named=True)
    ]
    return dg.MetadataValue.table(records, schema=schema_of(frame)["dagster/column_schema"])


def table_of(names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> dg.TableMetadataValue:
    """Rows as a table of an asset's or a check's page, columns in the order of ``names``."""
    return dg.MetadataValue.table(
        [dg.TableRecord({name: _cell(row[name]) for name in names}) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name) for name in names]),
    )


def _cell(value: object) -> str | int:
    """Write a value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)


def bar_of(finding: Mapping[str, object]) -> str:
    """Name the bar of a finding in one cell: a date of its own would be broken in a narrow page."""
    return f"{finding['symbol']} {finding['date']}"


def picture(png: bytes, caption: str) -> dg.MarkdownMetadataValue:
    """Show a PNG on an asset's page."""
    coded = base64.b64encode(png).decode("ascii")
    return dg.MetadataValue.md(f"![{caption}](data:image/png;base64,{coded})")
