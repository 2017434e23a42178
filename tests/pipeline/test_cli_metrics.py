"""`weathervane metrics`: numbers by hand, and one clear line for each broken file."""

import json
from pathlib import Path

import pytest

from tests.pipeline.cli_runner import weathervane

PROMISED = (
    *("total_return", "annualised_return", "cagr", "volatility", "sharpe", "sortino", "calmar"),
    *("max_drawdown", "var_95", "cvar_95", "skewness", "kurtosis"),
)


def csv(folder: Path, text: str, name: str = "r.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_numbers_by_hand(tmp_path: Path):
    path = csv(tmp_path, "date,return\n2020-01-03,-0.10\n2020-01-02,0.10\n2020-01-06,0.05\n")
    ran = weathervane("metrics", "--returns", path, "--periods", 3)
    assert ran.code == 0
    got = json.loads(ran.out)
    assert set(PROMISED) <= set(got)
    assert got["total_return"] == pytest.approx(1.1 * 0.9 * 1.05 - 1)
    assert got["cagr"] == pytest.approx(1.1 * 0.9 * 1.05 - 1)
    assert got["max_drawdown"] == pytest.approx(0.1)
    assert (got["first"], got["last"], got["observations"]) == ("2020-01-02", "2020-01-06", 3)


def test_a_benchmark_adds_its_metrics_on_common_dates(tmp_path: Path):
    path = csv(tmp_path, "date,return\n2020-01-02,0.01\n2020-01-03,0.03\n2020-01-06,-0.01\n")
    other = csv(
        tmp_path, "date,return\n2020-01-02,0.005\n2020-01-03,0.015\n2020-01-06,-0.005\n", "b.csv"
    )
    ran = weathervane("metrics", "--returns", path, "--benchmark", other)
    got = json.loads(ran.out)
    assert got["beta"] == pytest.approx(2.0)
    assert got["alpha"] == pytest.approx(0.0, abs=1e-9)
    assert "information_ratio" in got


def test_what_is_undefined_is_null_with_a_reason(tmp_path: Path):
    path = csv(tmp_path, "date,return\n2020-01-02,0.01\n2020-01-03,0.01\n")
    got = json.loads(weathervane("metrics", "--returns", path).out)
    assert got["sharpe"] is None
    assert got["reasons"]["sharpe"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("day,return\n2020-01-02,0.1\n", "no column 'date'"),
        ("date,retrun\n2020-01-02,0.1\n", "did you mean 'retrun'?"),
        ("date,return\n2020-01-02,0.1\n2020-01-03,\n", "missing or no number, "),
        ("date,return\n2020-01-02,0.1\n2020-01-03,NaN\n", "line 3 (2020-01-03,NaN)"),
        ("date,return\n2020-01-02,0.1\n2020-01-03,inf\n", "not finite"),
        ("date,return\n2020-01-02,0.1\n2020-01-03,-1.5\n", "below -1"),
        ("date,return\n2020-01-02,0.1\n2020-01-02,0.2\n", "stands twice"),
        ("date,return\n2020-13-02,0.1\n2020-01-03,0.2\n", "a date that cannot be read"),
        ("date,return\n2020-01-02,0.1\n", "1 rows, at least 2"),
        ("date,return\n", "0 rows"),
        ("", "not a CSV file"),
    ],
)
def test_a_broken_file_is_one_line(text: str, said: str, tmp_path: Path):
    ran = weathervane("metrics", "--returns", csv(tmp_path, text))
    assert ran.code == 1
    assert ran.out == ""
    assert ran.error_line.startswith("E_RETURNS: ")
    assert said in ran.error_line


def test_a_missing_file_and_strange_numbers(tmp_path: Path):
    assert "no such file" in weathervane("metrics", "--returns", tmp_path / "no.csv").error_line
    path = csv(tmp_path, "date,return\n2020-01-02,0.1\n2020-01-03,0.2\n")
    assert weathervane("metrics", "--returns", path, "--periods", 0).code == 1
    assert weathervane("metrics", "--returns", path, "--risk-free", -1).code == 1
    other = csv(tmp_path, "date,return\n2021-01-02,0.1\n2021-01-03,0.2\n", "b.csv")
    ran = weathervane("metrics", "--returns", path, "--benchmark", other)
    assert "0 dates in common" in ran.error_line
