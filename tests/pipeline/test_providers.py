"""Providers: what they hand over, and that the truth stays apart from the bars."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from backtest.errors import ConfigError, DataError, UnknownNameError
from backtest.market.bars import prepare, read_bars
from backtest.market.calendar import sessions
from backtest.market.synthetic import WorldConfig, generate
from backtest.market.world_files import write_world
from pipeline.config import load_settings, open_home
from pipeline.provider import PROVIDERS, Fetched, keep_truth
from pipeline.publish import read_frame

SMALL = ("world.symbols=6", "data.first_session=2020-01-02")


def fetch(until: date, *overrides: str) -> Fetched:
    settings = load_settings("demo", overrides=[*SMALL, *overrides])
    return PROVIDERS.get(settings.data.provider).fetch(settings, until)


def test_the_registered_providers():
    assert PROVIDERS.names() == ("alpaca", "files", "synthetic", "yahoo")
    with pytest.raises(UnknownNameError, match="did you mean 'synthetic'"):
        PROVIDERS.get("synthetik")


def test_a_synthetic_market_lies_on_the_exchanges_sessions():
    fetched = fetch(date(2020, 7, 6))
    days = sessions("XNYS", date(2020, 1, 2), date(2020, 7, 6))
    assert fetched.raw["date"].unique().sort().to_list() == days
    assert date(2020, 7, 3) not in days, "Independence Day was observed"
    assert fetched.raw["symbol"].n_unique() == 6
    assert fetched.synthetic
    assert fetched.source == "synthetic clear world, seed 0"


def test_tomorrow_extends_today_byte_for_byte():
    today, tomorrow = fetch(date(2020, 3, 2)), fetch(date(2020, 3, 3))
    assert tomorrow.raw.filter(pl.col("date") <= date(2020, 3, 2)).equals(today.raw)
    assert tomorrow.raw.height == today.raw.height + 6
    other = fetch(date(2020, 3, 2), "world.seed=1")
    assert not other.raw.equals(today.raw)


def test_the_synthetic_market_passes_every_rule():
    prepared = prepare(fetch(date(2020, 12, 31)).raw, calendar="XNYS")
    assert prepared.quarantined.is_empty()
    assert prepared.bars.height == prepared.rows_in


def test_the_truth_is_kept_apart(tmp_path):
    home = open_home(tmp_path)
    fetched = fetch(date(2020, 3, 2))
    assert not {"state", "conditional_mean"} & set(fetched.raw.columns)
    path = keep_truth(home, fetched, universe="u")
    assert path == home.truth / "u.parquet"
    assert read_frame(path).columns == ["date", "state", "symbol", "conditional_mean"]
    assert keep_truth(home, Fetched(fetched.raw, "x", synthetic=False), universe="v") is None
    assert not (home.truth / "v.parquet").exists()


def test_a_truth_file_is_never_taken_for_bars(tmp_path):
    home = open_home(tmp_path)
    keep_truth(home, fetch(date(2020, 3, 2)), universe="u")
    with pytest.raises(DataError):
        read_bars(home.truth)


def test_a_first_session_in_the_future_is_one_line():
    with pytest.raises(ConfigError, match=r"^E_CONFIG: no session between 2020-01-02 and"):
        fetch(date(2019, 12, 31))


def test_files_hand_over_all_rows_up_to_the_session(tmp_path):
    fetch(date(2020, 3, 2)).raw.write_csv(tmp_path / "bars.csv")
    settings = load_settings(path=tmp_path / "bars.csv")
    fetched = PROVIDERS.get("files").fetch(settings, date(2020, 2, 3))
    assert fetched.raw["date"].max() == date(2020, 2, 3)
    assert (fetched.synthetic, fetched.truth, fetched.source) == (False, None, "bars.csv")


@pytest.mark.parametrize("name", ["", "bars.parquet"])
def test_files_of_a_synthetic_market_say_so(tmp_path, name):
    days = sessions("XNYS", date(2020, 1, 2), date(2020, 3, 2))
    write_world(generate(WorldConfig(symbols=4), days), tmp_path)
    assert files_at(tmp_path / name).synthetic


@pytest.mark.parametrize(
    "note", ["", "{", "[]", '{"synthetic": false}', '{"note": "real"}', "\udcff"]
)
def test_another_note_beside_the_bars_does_not_make_them_synthetic(tmp_path, note):
    fetch(date(2020, 3, 2)).raw.write_parquet(tmp_path / "bars.parquet")
    (tmp_path / "market.json").write_bytes(note.encode(errors="surrogateescape"))
    assert not files_at(tmp_path).synthetic


def files_at(path: Path) -> Fetched:
    return PROVIDERS.get("files").fetch(load_settings(path=path), date(2020, 3, 2))


def test_files_keep_rows_without_a_date_to_be_judged(tmp_path):
    rows = "symbol,date,open,high,low,close\n" + "".join(
        f"A,2020-01-{day:02d},1,1,1,1\n" for day in range(1, 29)
    )
    (tmp_path / "bars.csv").write_text(rows + "A,,1,1,1,1\n")
    fetched = PROVIDERS.get("files").fetch(load_settings(path=tmp_path), date(2021, 1, 1))
    assert fetched.raw.height == 29
    assert prepare(fetched.raw, calendar="data").accounting()["date_missing"] == 1


def test_files_without_a_path_is_one_line():
    with pytest.raises(ConfigError, match=r"^E_CONFIG: .*--data PATH"):
        PROVIDERS.get("files").fetch(load_settings("files"), date(2021, 1, 1))


def test_files_that_are_not_there_are_one_line(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(DataError, match=r"^E_DATA") as error:
            PROVIDERS.get("files").fetch(load_settings(path=path), date(2021, 1, 1))
        assert "\n" not in str(error.value)


def test_files_of_the_future_only_are_one_line(tmp_path):
    fetch(date(2020, 3, 2)).raw.write_csv(tmp_path / "bars.csv")
    with pytest.raises(DataError, match=r"^E_DATA_EMPTY: no bars up to 2019-06-03"):
        PROVIDERS.get("files").fetch(load_settings(path=tmp_path), date(2019, 6, 3))


def test_finer_bars_are_cut_by_session_not_by_day(tmp_path):
    """Sydney's first hour lies on the UTC day before: it is of tomorrow, and not known yet."""
    hours = pl.DataFrame(
        {
            "symbol": "BHP",
            "exchange": "XASX",
            "ts": [f"2024-11-{day:02d}T{hour}:00:00Z" for day in (26, 27) for hour in ("00", "05")]
            + ["2024-11-26T23:30:00Z", "2024-11-27T23:30:00Z"],
            "close": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        }
    ).with_columns(pl.col("close").alias(name) for name in ("open", "high", "low"))
    hours.write_csv(tmp_path / "hours.csv")
    settings = load_settings(path=tmp_path / "hours.csv")
    raw = PROVIDERS.get("files").fetch(settings, date(2024, 11, 27)).raw
    assert raw["close"].to_list() == [1.0, 2.0, 3.0, 4.0, 5.0], "6 is of the 28th"
    made = prepare(raw).bars
    assert made.select("date", "open", "close").rows() == [
        (date(2024, 11, 26), 1.0, 2.0),
        (date(2024, 11, 27), 5.0, 4.0),
    ]
