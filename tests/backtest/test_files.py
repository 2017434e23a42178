from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from backtest.errors import DataError
from backtest.market.bars import panel_of, read_bars


def rows(symbol: str = "AAA", count: int = 3, **extra: object) -> pl.DataFrame:
    made = pl.DataFrame(
        {
            "symbol": [symbol] * count,
            "date": [date(2024, 1, 2 + k) for k in range(count)],
            "open": [10.0 + k for k in range(count)],
            "high": [11.0 + k for k in range(count)],
            "low": [9.0 + k for k in range(count)],
            "close": [10.5 + k for k in range(count)],
            "volume": [100.0] * count,
        }
    )
    return made.with_columns(**{name: pl.lit(value) for name, value in extra.items()})


def test_parquet_and_csv_read_alike(tmp_path: Path) -> None:
    rows(sector="Energy").write_parquet(tmp_path / "a.parquet")
    rows(sector="Energy").write_csv(tmp_path / "b.csv")
    left, right = read_bars(tmp_path / "a.parquet"), read_bars(tmp_path / "b.csv")
    assert left.equals(right)
    assert left.schema["date"] == pl.Date
    assert left.schema["volume"] == pl.Float64


def test_folder_joins_the_files_that_carry_bars(tmp_path: Path) -> None:
    rows("BBB").write_parquet(tmp_path / "b.parquet")
    rows("AAA", adj_close=5.0).write_csv(tmp_path / "a.csv")
    rows().select("date", "symbol").write_parquet(tmp_path / "truth.parquet")
    (tmp_path / "notes.txt").write_text("not bars")
    (tmp_path / ".hidden.csv").write_text("x\n1\n")
    made = read_bars(tmp_path)
    assert made.height == 6
    assert made["symbol"].unique().sort().to_list() == ["AAA", "BBB"]
    assert made.filter(pl.col("symbol") == "BBB")["adj_close"].null_count() == 3


def test_columns_that_nobody_asked_for_are_left_out(tmp_path: Path) -> None:
    rows(split_factor=1.0).write_parquet(tmp_path / "a.parquet")
    assert "split_factor" not in read_bars(tmp_path / "a.parquet").columns


@pytest.mark.parametrize(
    "form",
    [
        "2024-01-02",
        "2024-01-02 00:00:00",
        "2024-01-02T00:00:00Z",
        "2024-01-02T00:00:00-05:00",
        " 2024-01-02",
        "20240102",
        '"2024-01-02"',
    ],
)
def test_dates_in_text(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.csv").write_text(f"symbol,date,open,high,low,close\nA,{form},1,1,1,1\n")
    assert read_bars(tmp_path / "a.csv")["date"].to_list() == [date(2024, 1, 2)]


def test_a_date_that_cannot_be_read_sets_only_its_row_aside(tmp_path: Path) -> None:
    text = "symbol,date,open,high,low,close\nA,1704153600,1,1,1,1\nA,2024-01-03,1,1,1,1\n"
    (tmp_path / "a.csv").write_text(text)
    assert read_bars(tmp_path / "a.csv")["date"].to_list() == [None, date(2024, 1, 3)]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_a_stamp_is_of_the_day_of_its_own_zone(tmp_path: Path, zone: str) -> None:
    stamps = pl.col("date").cast(pl.Datetime("ns")).dt.replace_time_zone(zone)
    rows().with_columns(stamps).write_parquet(tmp_path / "a.parquet")
    assert read_bars(tmp_path / "a.parquet")["date"].to_list() == rows()["date"].to_list()


def test_a_byte_order_mark_and_line_ends_of_other_systems(tmp_path: Path) -> None:
    text = rows().with_columns(symbol=pl.lit(" AAA ")).write_csv().replace("\n", "\r\n")
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_bars(tmp_path / "a.csv").equals(rows())


def test_other_column_types_of_parquet(tmp_path: Path) -> None:
    made = rows(sector="Energy").with_columns(
        pl.col("symbol").cast(pl.Categorical),
        pl.col("sector").cast(pl.Enum(["Energy"])),
        pl.col("close").cast(pl.Decimal(12, 4)),
        pl.col("open").cast(pl.Float32),
        pl.col("date").dt.strftime("%Y%m%d").cast(pl.Int64),
    )
    made.write_parquet(tmp_path / "a.parquet")
    assert read_bars(tmp_path / "a.parquet").equals(rows(sector="Energy"))


def test_what_is_no_number_becomes_null(tmp_path: Path) -> None:
    text = "symbol,date,open,high,low,close,volume\nA,2024-01-02,x,NaN,inf,, 7 \n"
    (tmp_path / "a.csv").write_text(text)
    row = read_bars(tmp_path / "a.csv").row(0, named=True)
    assert row["open"] is None
    assert row["close"] is None
    assert row["high"] != row["high"]
    assert row["low"] == float("inf")
    assert row["volume"] == 7.0


def test_whole_numbers_and_stamps_are_taken(tmp_path: Path) -> None:
    made = rows().with_columns(pl.col("open", "volume").cast(pl.Int32))
    made.with_columns(pl.col("date").cast(pl.Datetime("ns"))).write_parquet(tmp_path / "a.parquet")
    read = read_bars(tmp_path / "a.parquet")
    assert read.schema["open"] == pl.Float64
    assert read["date"].to_list() == rows()["date"].to_list()


def test_ts_stands_in_for_date(tmp_path: Path) -> None:
    stamped = rows().with_columns(
        ts=pl.col("date").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=21)
    )
    stamped.drop("date").write_parquet(tmp_path / "a.parquet")
    assert read_bars(tmp_path / "a.parquet")["date"].to_list() == rows()["date"].to_list()
    finer = pl.concat([stamped, stamped.with_columns(pl.col("ts") - pl.duration(hours=1))])
    finer.drop("date").write_parquet(tmp_path / "b.parquet")
    read = read_bars(tmp_path / "b.parquet")
    assert read.columns[-1] == "ts"
    assert read["date"].n_unique() == rows()["date"].n_unique()


def misnamed(path: Path) -> Path:
    rows().rename({"close": "clsoe"}).write_csv(path / "a.csv")
    return path / "a.csv"


def capital(path: Path) -> Path:
    rows().rename({"close": "Close"}).write_parquet(path / "a.parquet")
    return path


def missing(path: Path) -> Path:
    rows().drop("high", "low").write_parquet(path / "a.parquet")
    return path / "a.parquet"


def empty_folder(path: Path) -> Path:
    (path / "readme.md").write_text("nothing here")
    return path


def absent(path: Path) -> Path:
    return path / "nowhere"


def torn(path: Path) -> Path:
    (path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    return path


def no_bytes(path: Path) -> Path:
    (path / "a.csv").write_text("")
    return path / "a.csv"


def semicolons(path: Path) -> Path:
    (path / "a.csv").write_text("symbol;date;open;high;low;close\nA;2024-01-02;1,5;1,5;1,5;1,5\n")
    return path / "a.csv"


def ambiguous(path: Path) -> Path:
    rows().with_columns(date=pl.lit("03/04/2024")).write_csv(path / "a.csv")
    return path


def nonsense(path: Path) -> Path:
    rows().with_columns(date=pl.lit("2024-13-01")).write_csv(path / "a.csv")
    return path


def header_only(path: Path) -> Path:
    rows().head(0).write_csv(path / "a.csv")
    return path


def ragged(path: Path) -> Path:
    text = "symbol,date,open,high,low,close\nA,2024-01-02,1,1,1,1,1,1\n"
    (path / "a.csv").write_text(text)
    return path


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (misnamed, "E_DATA_COLUMN", "missing column 'close'"),
        (misnamed, "E_DATA_COLUMN", "did you mean 'clsoe'"),
        (capital, "E_DATA_COLUMN", "did you mean 'Close'"),
        (missing, "E_DATA_COLUMN", "missing column 'high' (and low)"),
        (empty_folder, "E_DATA_EMPTY", "no Parquet or CSV file"),
        (absent, "E_DATA_PATH", "no such file or folder"),
        (torn, "E_DATA_UNREADABLE", "cannot read the file"),
        (no_bytes, "E_DATA_EMPTY", "the file is empty"),
        (semicolons, "E_DATA_COLUMN", "separated by ';'"),
        (ambiguous, "E_DATA", "no date can be read, the first is '03/04/2024'"),
        (nonsense, "E_DATA", "no date can be read, the first is '2024-13-01'"),
        (header_only, "E_DATA_EMPTY", "no rows"),
        (ragged, "E_DATA_UNREADABLE", "cannot read the file"),
    ],
)
def test_one_line_names_what_where_and_what_to_do(
    tmp_path: Path, make: Callable[[Path], Path], code: str, says: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_bars(make(tmp_path))
    line = str(caught.value)
    assert line.startswith(f"{code}: ")
    assert says in line
    assert str(tmp_path) in line
    assert "\n" not in line


def test_file_that_nearly_carries_bars_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows().write_parquet(tmp_path / "a.parquet")
    rows("BBB").rename({"close": "clsoe"}).write_parquet(tmp_path / "b.parquet")
    with caplog.at_level(logging.WARNING):
        made = read_bars(tmp_path)
    assert made["symbol"].unique().to_list() == ["AAA"]
    assert "b.parquet has no column close" in caplog.text


def test_panel_of_picks_symbols_and_names_the_closest(tmp_path: Path) -> None:
    pl.concat([rows("AAA"), rows("BBB")]).write_parquet(tmp_path / "a.parquet")
    panel, prepared = panel_of(tmp_path, symbols=["BBB"])
    assert panel.symbols == ("BBB",)
    assert prepared.rows_in == 3
    with pytest.raises(DataError, match=r"^E_SYMBOL: no bars of symbol 'BBC', .*'BBB'"):
        panel_of(tmp_path, symbols=["BBC"])


def test_panel_of_takes_the_count_of_the_commonest_calendar(tmp_path: Path) -> None:
    pl.concat([rows("AAA.DE"), rows("BBB.DE"), rows("C")]).write_csv(tmp_path / "a.csv")
    assert panel_of(tmp_path)[0].periods_per_year == 254
    assert panel_of(tmp_path, calendar="XNYS")[0].periods_per_year == 252
    assert panel_of(tmp_path, calendar="data")[0].periods_per_year == 252
