"""Reading bars from Parquet and CSV, as a person has them on disk.

For: turning files into raw rows of known columns and types, with one clear line for a path, a
file or a column that cannot be used. Not for: judging values or making one bar a session of finer
ones, which is ``bars.prepare``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from backtest.errors import DataError
from backtest.market import intraday
from backtest.registry import closest

logger = logging.getLogger(__name__)

REQUIRED = ("symbol", "date", "open", "high", "low", "close")
LABELS = ("sector", "region", "currency", "asset_class", "exchange")
OPTIONAL = ("volume", "adj_close", *LABELS)
SUFFIXES = (".parquet", ".csv")
_NUMBERS = ("open", "high", "low", "close", "volume", "adj_close")
_NEARLY = 2
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f]")


def read_bars(path: Path, *, calendar: str | None = None) -> pl.DataFrame:
    """Read raw bars from one file, or from those files of a folder that carry the bar columns.

    Parameters
    ----------
    path : Path
        Parquet or CSV with ``symbol, date`` (or ``ts``), ``open, high, low, close`` and
        optionally ``volume, adj_close, sector, region, currency, asset_class, exchange``.
    calendar : str, optional
        Whose sessions finer bars belong to, of all symbols; each symbol's own if missing.

    Returns
    -------
    polars.DataFrame
        Known columns only, in the types of ``Bars``; values are not judged yet, and what cannot
        be read as a number or a date is null. Bars finer than a session carry ``ts``, their close
        in UTC, and the session it lies in as ``date``.

    Raises
    ------
    DataError
        Nothing there, a file that cannot be read, or a missing column (with the closest name).
    """
    path = Path(path)
    if not path.exists():
        raise DataError(
            "no such file or folder", where=str(path), fix="check the path", code="E_DATA_PATH"
        )
    columns = {file: _columns(file) for file in _files(path)}
    if path.is_dir():
        for file in (file for file, names in columns.items() if not names):
            logger.warning("%s is empty and was left out", file)
    absent = {file: absent_columns(names) for file, names in columns.items()}
    used = [file for file in columns if not absent[file]]
    if not used:
        nearest = min(columns, key=lambda file: len(absent[file]))
        require_columns(columns[nearest], where=str(nearest))
    for file in columns:
        if 0 < len(absent[file]) <= _NEARLY:
            logger.warning("%s has no column %s and was left out", file, absent[file][0])
    frame = pl.concat([_read(file, columns[file]) for file in used], how="diagonal")
    if frame.is_empty():
        raise DataError(
            "no rows", where=str(path), fix="give at least one bar", code="E_DATA_EMPTY"
        )
    return intraday.in_sessions(frame, calendar) if "ts" in frame.columns else frame


def read_table(path: Path, *, required: Sequence[str], code: str) -> pl.DataFrame:
    """Read one table beside the bars from Parquet or CSV; a CSV's values stay text.

    Raises
    ------
    DataError
        ``E_DATA_PATH`` or ``E_DATA_UNREADABLE``, and as in :func:`require_columns`.
    """
    if not path.is_file():
        raise DataError("no such file", where=str(path), fix="check the path", code="E_DATA_PATH")
    require_columns(_columns(path), str(path), required=required, code=code)
    try:
        return _scan(path).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, _reason(error)) from None


def day_of(table: pl.DataFrame, name: str) -> pl.Expr:
    """Dates of a column of a table beside the bars; null where text is not YYYY-MM-DD."""
    dtype = table.schema[name]
    if dtype == pl.Date or dtype.base_type() == pl.Datetime:
        return pl.col(name).cast(pl.Date)
    return pl.col(name).cast(pl.String).str.strip_chars().str.to_date("%Y-%m-%d", strict=False)


def absent_columns(columns: Sequence[str]) -> list[str]:
    """Bar columns that are not among ``columns``; ``ts`` stands in for ``date``."""
    present = {*columns, "date"} if "ts" in columns else set(columns)
    return [name for name in REQUIRED if name not in present]


def require_columns(
    columns: Sequence[str],
    where: str,
    *,
    required: Sequence[str] | None = None,
    code: str = "E_DATA_COLUMN",
) -> None:
    """Refuse a frame without all its columns.

    Parameters
    ----------
    columns : sequence of str
    where : str
        What they are of, for people.
    required : sequence of str, optional
        Those of bars if missing.
    code : str
        Of the refusal.

    Raises
    ------
    DataError
        ``code`` with the first absent column and the closest one that is there, or the mark that
        separates them; ``E_DATA_EMPTY`` where there is none; ``E_DATA_UNREADABLE`` where the names
        are no text, of which nothing is told.
    """
    absent = absent_columns(columns)
    if required is not None:
        absent = [name for name in required if name not in columns]
    if not absent:
        return
    if any(_NO_TEXT.search(name) for name in columns):
        raise _unreadable(where, "it is no text")
    if not columns:
        raise DataError(
            "the file is empty", where=where, fix="give at least one row", code="E_DATA_EMPTY"
        )
    if len(columns) == 1 and (mark := re.search(r"[;\t|]", columns[0])):
        raise DataError(
            f"the columns are separated by {mark.group()!r}",
            where=where,
            fix="write the file with commas between the columns and points in the numbers",
            code=code,
        )
    known = (*REQUIRED, *OPTIONAL, *(required or ()))
    spare = [name for name in columns if name not in known] or list(columns)
    also = f" (and {', '.join(absent[1:])})" if absent[1:] else ""
    raise DataError(
        f"missing column {absent[0]!r}{also}",
        where=where,
        fix=closest(absent[0], spare),
        code=code,
    )


def typed(raw: pl.DataFrame) -> pl.DataFrame:
    """Keep the known columns, cast; what is no number or date becomes null, NaN volume too.

    A frame without volume gets the column, all null. ``ts`` stays where bars are finer than a
    session, and gives the date where there is none.
    """
    if "ts" in raw.columns:
        raw = _stamped(raw)
    kept = raw.select(name for name in (*REQUIRED, *OPTIONAL, "ts") if name in raw.columns)
    casts = [pl.col("symbol").cast(pl.String).str.strip_chars(), _date(kept.schema["date"])]
    for name in kept.columns:
        if name in _NUMBERS:
            casts.append(_number(name, kept.schema[name]))
        elif name in LABELS:
            casts.append(pl.col(name).cast(pl.String))
    if "volume" not in kept.columns:
        casts.append(pl.lit(None, pl.Float64).alias("volume"))
    return kept.with_columns(casts)


def _number(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype == pl.String:
        column = column.str.strip_chars()
    column = column.cast(pl.Float64, strict=False)
    return column.fill_nan(None) if name == "volume" else column


def _date(dtype: pl.DataType) -> pl.Expr:
    """Dates of a column; a stamp's own day, in its own zone; null where it is ambiguous."""
    if dtype == pl.Date:
        return pl.col("date")
    if dtype.base_type() == pl.Datetime:
        return pl.col("date").dt.date()
    day = pl.col("date").cast(pl.String).str.extract(r"^\s*(\d{4}-\d{2}-\d{2}|\d{8})(?:\D|$)")
    return day.str.replace_all("-", "").str.to_date("%Y%m%d", strict=False).alias("date")


def _stamped(raw: pl.DataFrame) -> pl.DataFrame:
    """Give bars with ``ts`` their date; keep the moments where a session has several."""
    if "date" not in raw.columns:
        raw = raw.with_columns(date=pl.col("ts"))
    moments = raw.with_columns(intraday.stamps("ts", raw.schema["ts"]), _date(raw.schema["date"]))
    return moments if intraday.are_finer(moments) else raw.drop("ts")


def _files(path: Path) -> list[Path]:
    """Files to try, sorted by name."""
    if path.is_file():
        return [path]
    found = sorted(
        file
        for file in path.iterdir()
        if file.is_file() and file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    if not found:
        raise DataError(
            "no Parquet or CSV file in the folder",
            where=str(path),
            fix="put bars there, or name another path",
            code="E_DATA_EMPTY",
        )
    return found


def _scan(file: Path) -> pl.LazyFrame:
    if file.suffix.lower() == ".csv":
        return pl.scan_csv(file, infer_schema=False, encoding="utf8-lossy")
    return pl.scan_parquet(file)


def _columns(file: Path) -> list[str]:
    try:
        return _scan(file).collect_schema().names()
    except pl.exceptions.NoDataError:
        return []
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(file, _reason(error)) from None


def _read(file: Path, columns: Sequence[str]) -> pl.DataFrame:
    wanted = [name for name in (*REQUIRED, *OPTIONAL, "ts") if name in columns]
    try:
        raw = _scan(file).select(wanted).collect()
        frame = typed(raw)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(file, _reason(error)) from None
    if frame.height and frame["date"].null_count() == frame.height:
        named = "date" if "date" in raw.columns else "ts"
        raise DataError(
            f"no date can be read, the first is {raw[named][0]!r}",
            where=str(file),
            fix="write dates as YYYY-MM-DD",
        )
    return frame


def _reason(error: Exception) -> str:
    """First line of an error, of which a damaged file may be a part."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return "".join(c if c.isprintable() else "?" for c in lines[0][:120])


def _unreadable(where: Path | str, reason: str) -> DataError:
    return DataError(
        f"cannot read the file ({reason})",
        where=str(where),
        fix="write it again as Parquet or CSV",
        code="E_DATA_UNREADABLE",
    )
