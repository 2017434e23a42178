"""`quality`: files as promised, thresholds that decide, errors as one line."""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from backtest.market.calendar import sessions
from backtest.market.synthetic import WorldConfig, generate
from tests.pipeline.cli_runner import weathervane

DAYS = sessions("XNYS", date(2022, 1, 3), date(2022, 6, 30))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean market with one spike and one session missing."""
    path = tmp_path_factory.mktemp("market") / "spiked.parquet"
    bars = generate(WorldConfig(symbols=4, seed=5), DAYS).bars
    bad = (pl.col("symbol") == "SYN001") & (pl.col("date") == DAYS[60])
    prices = ("open", "high", "low", "close")
    spiked = bars.with_columns(
        pl.when(bad).then(pl.col(name) * 1.8).otherwise(pl.col(name)).alias(name) for name in prices
    )
    gap = (pl.col("symbol") == "SYN002") & (pl.col("date") == DAYS[70])
    spiked.filter(~gap).write_parquet(path)
    return path


def test_it_writes_what_is_promised(source: Path, tmp_path: Path):
    ran = weathervane("quality", "--data", source, "--out", tmp_path)
    assert ran.code == 0, ran.err
    told = json.loads((tmp_path / "quality.json").read_text())
    rows = 4 * len(DAYS) - 1
    counted = [told[name] for name in ("rows_in", "rows_out", "quarantined", "flags", "missing")]
    assert counted == [rows, rows - 1, 1, 0, 1]
    assert {one["rule"] for one in told["rules"]} == {"spike_reverted", "session_missing"}
    findings = pl.read_parquet(tmp_path / "findings.parquet")
    assert findings["symbol"].to_list() == ["SYN001", "SYN002"]
    assert pl.read_parquet(tmp_path / "quarantine.parquet")["date"].to_list() == [DAYS[60]]
    assert "![Raw close" in (tmp_path / "quality.md").read_text()
    assert (tmp_path / "quality.png").read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / "quality.html").read_text()
    assert "data:image/png;base64," in page
    assert str(source.parent) not in page + (tmp_path / "quality.json").read_text()


def test_a_threshold_is_set_by_hand(source: Path, tmp_path: Path):
    ran = weathervane(
        *("quality", "--data", source, "--out", tmp_path, "--json"),
        *("--calendar", "data", "--set", "quality.spike_limit=2.0"),
    )
    told = json.loads(ran.out)
    assert told["thresholds"]["spike_limit"] == 2.0
    assert [one["rule"] for one in told["rules"]] == ["session_missing"]
    assert not (tmp_path / "quality.png").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--set", "quality.spike_limt=2"), "E_CONFIG: unknown setting 'quality.spike_limt'"),
        (("--set", "quality.spike_sessions=9"), "E_CONFIG: setting 'quality.spike_sessions'"),
        (("--calendar", "XNIX"), "E_CALENDAR: "),
    ],
)
def test_bad_input_is_one_line(source: Path, tmp_path: Path, words: tuple[str, str], code: str):
    ran = weathervane("quality", "--data", source, "--out", tmp_path, *words)
    assert ran.code == 1
    assert ran.error_line.startswith(code)


def test_no_file_is_one_line(tmp_path: Path):
    ran = weathervane("quality", "--data", tmp_path / "none.csv", "--out", tmp_path)
    assert (ran.code, ran.error_line.split(":")[0]) == (1, "E_DATA_PATH")
