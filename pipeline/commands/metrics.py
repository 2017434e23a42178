"""Every metric of a series of returns in a CSV file.

For: ``weathervane metrics``. Not for: the formulas, which live in ``backtest.metrics``.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import DataError
from backtest.registry import closest

if TYPE_CHECKING:
    import polars as pl


def metrics_of_file(
    returns: Path,
    *,
    benchmark: Path | None = None,
    periods: int = 252,
    risk_free: float = 0.0,
) -> dict[str, Any]:
    """Compute all metrics of a CSV with the header ``date,return``.

    Parameters
    ----------
    benchmark : pathlib.Path, optional
        Same format; only dates present in both files count then.
    periods : int
        Periods per year.
    risk_free : float
        Annual rate, decimal.

    Returns
    -------
    dict
        Metric by name, null where undefined, with ``reasons``, ``observations``, ``first`` and
        ``last``.

    Raises
    ------
    DataError
        ``E_RETURNS``: no file, a missing column, a return that is missing, not finite or below
        -1, a date that stands twice, fewer than two rows, or no date in common.
    """
    from backtest.metric import MetricInput
    from backtest.tables import metrics_record

    if periods < 1:
        raise _wrong(f"periods = {periods}", "--periods", "give at least 1 a year")
    if not risk_free > -1.0:
        raise _wrong(f"risk_free = {risk_free}", "--risk-free", "give more than -1")
    frame = read_returns(returns)
    if benchmark is not None:
        frame = frame.join(read_returns(benchmark), on="date", suffix="_benchmark").sort("date")
        if frame.height < 2:
            raise _wrong(
                f"{frame.height} dates in common, at least 2 are needed",
                f"{returns} and {benchmark}",
                "give files of the same span",
            )
    given = MetricInput(
        returns=frame["return"].to_numpy(),
        periods_per_year=periods,
        risk_free=risk_free,
        benchmark=None if benchmark is None else frame["return_benchmark"].to_numpy(),
    )
    return {
        **metrics_record(given),
        "observations": frame.height,
        "first": str(frame["date"][0]),
        "last": str(frame["date"][-1]),
        "periods_per_year": periods,
    }


def read_returns(path: Path) -> "pl.DataFrame":
    """Read ``date,return`` from a CSV file, sorted by date; errors as :func:`metrics_of_file`."""
    import polars as pl

    try:
        raw = pl.read_csv(path, infer_schema=False)
    except FileNotFoundError:
        raise _wrong("no such file", path, "check the path") from None
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise _wrong(f"not a CSV file: {str(error).splitlines()[0]}", path, "mend it") from None
    raw = raw.rename({name: name.strip().lower() for name in raw.columns})
    for name in ("date", "return"):
        if name not in raw.columns:
            raise _wrong(
                f"no column {name!r}",
                path,
                f"the header must be date,return ({closest(name, raw.columns)})",
            )
    frame = raw.select(
        pl.col("date").str.strip_chars().str.slice(0, 10).str.to_date(strict=False),
        pl.col("return").str.strip_chars().cast(pl.Float64, strict=False),
        text=pl.struct("date", "return"),
    )
    _refuse_bad_rows(frame, path)
    return frame.select("date", "return").sort("date")


def _refuse_bad_rows(frame: "pl.DataFrame", path: Path) -> None:
    import polars as pl

    value = pl.col("return")
    rules = {
        "a date that cannot be read": pl.col("date").is_null(),
        "a return that is missing or no number": value.is_null() | value.is_nan(),
        "a return that is not finite": value.is_infinite(),
        "a return below -1, which no account survives": value < -1.0,
        "a date that stands twice": pl.col("date").is_duplicated(),
    }
    numbered = frame.with_row_index("line", offset=2)
    for what, rule in rules.items():
        bad = numbered.filter(rule.fill_null(False))
        if bad.height:
            row = bad.row(0, named=True)
            text = ",".join(str(v) for v in row["text"].values())
            raise _wrong(what, f"{path} line {row['line']} ({text})", "mend or leave out the row")
    if frame.height < 2:
        raise _wrong(f"{frame.height} rows, at least 2 are needed", path, "give more rows")


def _wrong(what: str, where: object, fix: str) -> DataError:
    return DataError(what, where=str(where), fix=fix, code="E_RETURNS")
