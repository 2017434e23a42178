"""`weathervane walk-forward`: files as promised, evidence by its schema, errors as one line."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import polars as pl
import pytest

from tests.pipeline.cli_runner import weathervane

SHORT = ("--train", 200, "--step", 20, "--refit", 60)
VARIANTS = {"regime_aware", "regime_aware_single", "exported", "static", "default", "buy_and_hold"}
ROBUST = ("folds", "stability", "sensitivity", "paths", "costs", "reliability")
TABLES = ("decisions", "returns", "regimes", "trials", *ROBUST)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("market")
    weathervane("market", "--world", "clear", "--symbols", 6, "--sessions", 280, "--out", out)
    return out


@pytest.fixture(scope="module")
def walked(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("walk")
    incumbent = out / "mine.json"
    incumbent.write_text('{"rsi_swing": {"period": 11, "direction": "momentum"}}')
    ran = weathervane(
        *("walk-forward", "--data", market, "--strategies", "rsi_swing,ma_cross", *SHORT),
        *("--incumbent", incumbent, "--out", out),
    )
    assert ran.code == 0, ran.err
    assert "SYNTHETIC market" in ran.out
    return out


def frame(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{name}.parquet")


def test_decisions_have_their_columns_and_every_session(walked: Path):
    decisions = frame(walked, "decisions")
    assert decisions.columns == [
        *(
            "date",
            "strategy",
            "parameters",
            "mix",
            "by_regime",
            "confidence",
            "action",
            "parameter_confidence",
        )
    ]
    assert decisions["strategy"].unique().sort().to_list() == ["ma_cross", "rsi_swing"]
    assert decisions.filter(strategy="rsi_swing").height == 280 - 200
    assert set(decisions["action"]) <= {"update", "hold"}
    for row in decisions.iter_rows(named=True):
        mix = json.loads(row["mix"])
        weights = [member["weight"] for member in mix]
        assert len(mix) <= 16
        assert sum(weights) <= 1.0 + 1e-9
        assert all(weight > 0.0 for weight in weights)
        if row["parameters"] is not None:
            heaviest = max(mix, key=lambda member: member["weight"])
            assert json.loads(row["parameters"]) == heaviest["parameters"]


def test_returns_hold_every_variant_and_the_mean_of_the_strategies(walked: Path):
    returns = frame(walked, "returns")
    assert returns.columns == ["date", "strategy", "variant", "net_return", "turnover"]
    assert set(returns["strategy"]) == {"rsi_swing", "ma_cross", "all"}
    assert set(returns.filter(strategy="all")["variant"]) >= VARIANTS
    assert "incumbent" in set(returns.filter(strategy="rsi_swing")["variant"])
    assert "incumbent" not in set(returns.filter(strategy="ma_cross")["variant"])
    one = returns.filter(variant="regime_aware").pivot(
        "strategy", index="date", values="net_return"
    )
    assert np.allclose(one["all"], (one["rsi_swing"] + one["ma_cross"]) / 2.0, atol=1e-15)


def test_regimes_have_their_columns(walked: Path):
    regimes = frame(walked, "regimes")
    assert regimes.columns[:9] == [
        *("date", "regime", "p_bull", "p_sideways", "p_bear", "p_volatile", "p_heavy", "state"),
        "state_0",
    ]
    assert regimes.height == 280


def test_evidence_fits_its_schema_and_the_tables(walked: Path):
    evidence = json.loads((walked / "evidence.json").read_text())
    jsonschema.validate(evidence, json.loads(weathervane("schema", "evidence").out))
    assert evidence["synthetic"] is True
    assert (
        evidence["sessions"]
        == frame(walked, "returns").filter(strategy="all", variant="static").height
    )
    for name, part in evidence["strategies"].items():
        streams = frame(walked, "returns").filter(strategy=name)
        for variant, found in part["variants"].items():
            r = streams.filter(variant=variant)["net_return"].to_numpy()
            assert found["total_return"] == pytest.approx(np.prod(1.0 + r) - 1.0, abs=1e-12)
            if found["sharpe"] is not None:
                sharpe = r.mean() / r.std(ddof=1) * np.sqrt(252)
                assert found["sharpe"] == pytest.approx(sharpe, rel=1e-9)
    assert evidence["pbo"] == max(
        part["best_of_grid"]["pbo"] for part in evidence["strategies"].values()
    )
    assert 0.0 <= evidence["spa_p_value"] <= 1.0
    assert all(line["value"] is not None or line["reason"] for line in evidence["criteria"])


def test_robustness_of_every_strategy_and_variant(walked: Path):
    for name in ROBUST:
        assert set(frame(walked, name)["strategy"]) == {"rsi_swing", "ma_cross"}, name
    evidence, folds = json.loads((walked / "evidence.json").read_text()), frame(walked, "folds")
    own = folds.filter(strategy="rsi_swing", variant="regime_aware")
    assert own["sessions"].to_list() == [60, 19]
    assert evidence["strategies"]["rsi_swing"]["robustness"]["folds"] == 2
    assert set(folds["variant"]) == {*VARIANTS, "experts", "incumbent"}
    assert set(frame(walked, "costs")["variant"]) == {*VARIANTS, "experts", "incumbent"}
    assert frame(walked, "paths").height == 2 * 9
    sets = frame(walked, "sensitivity").filter(strategy="rsi_swing", parameter="period")["sets"]
    assert sets.sum() == 140  # an incumbent that is no candidate is not counted


def test_the_report_stands_beside_the_tables(walked: Path):
    text = (walked / "report.md").read_text()
    assert "SYNTHETIC MARKET" in text
    assert (walked / "report.html").stat().st_size > 50_000
    assert "incumbent" in text
    assert "## How robust it is" in text
    for name in ("folds", "paths", "sensitivity_rsi_swing", "sensitivity_ma_cross"):
        assert f"({name}.png)" in text
        assert (walked / f"{name}.png").is_file()


def test_the_same_call_gives_the_same_tables(market: Path, walked: Path, tmp_path: Path):
    ran = weathervane(
        *("walk-forward", "--data", market, "--strategies", "rsi_swing,ma_cross", *SHORT),
        *("--incumbent", walked / "mine.json", "--out", tmp_path, "--json"),
    )
    assert json.loads(ran.out) == json.loads((walked / "evidence.json").read_text())
    for name in TABLES:
        assert frame(tmp_path, name).equals(frame(walked, name)), name


def test_a_plain_incumbent_of_the_only_strategy(market: Path, tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_text('{"fast": 7, "slow": 30}')
    ran = weathervane(
        *("walk-forward", "--data", market, "--strategies", "ma_cross", *SHORT),
        *("--incumbent", path, "--window", "rolling", "--out", tmp_path),
    )
    assert ran.code == 0, ran.err
    assert "incumbent" in set(frame(tmp_path, "returns")["variant"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--train", 279), "E_TOO_SHORT"),
        (("--train", 5), "E_CONFIG: train = 5"),
        (("--step", 0), "E_CONFIG: step = 0"),
        (("--strategies", "rsi_swin"), "E_UNKNOWN"),
        (("--cost-bps", -1), "E_COST"),
        (("--incumbent", "nowhere.json"), "E_JSON"),
    ],
)
def test_a_wrong_walk_is_one_line(
    options: tuple[str, object], said: str, market: Path, tmp_path: Path
):
    ran = weathervane("walk-forward", "--data", market, "--out", tmp_path, *SHORT, *options)
    assert ran.code == 1
    assert said in ran.error_line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"perod": 5}', "did you mean 'period'"),
        ("[1]", "E_PARAMETER"),
        ('{"ma_cros": {"fast": 5}}', "did you mean 'ma_cross'"),
        ('{"ma_cross": {"fast": 5}}', "E_PARAMETER: the incumbent names ma_cross"),
    ],
)
def test_a_wrong_incumbent_is_one_line(text: str, said: str, market: Path, tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_text(text)
    ran = weathervane(
        "walk-forward", "--data", market, "--out", tmp_path, *SHORT, "--incumbent", path
    )
    assert ran.code == 1
    assert said in ran.error_line


def test_a_wrong_book_is_one_line(market: Path, tmp_path: Path):
    ran = weathervane("walk-forward", "--data", market, "--book", "net-long", "--out", tmp_path)
    assert ran.code == 1
    assert ran.error_line.startswith("E_UNKNOWN: 'net-long' is not one of 'long-only', ")


def test_members_are_told_of_and_weighed(market: Path, walked: Path, tmp_path: Path):
    bars = pl.read_parquet(market / "bars.parquet")
    first, days = bars["symbol"].min(), bars["date"].unique().sort()
    rows = [f"{first},{days[0]},{days[100]}\n"]
    rows += [f"{s},{days[0]},\n" for s in bars["symbol"].unique().sort()[1:]]
    (tmp_path / "m.csv").write_text("symbol,valid_from,valid_to\n" + "".join(rows))
    ran = weathervane(
        *("walk-forward", "--data", market, "--strategies", "rsi_swing", *SHORT),
        *("--members", tmp_path / "m.csv", "--out", tmp_path / "out"),
    )
    assert ran.code == 0, ran.err
    narrow, wide = frame(tmp_path / "out", "returns"), frame(walked, "returns")
    told = {"strategy": "rsi_swing", "variant": "default"}
    assert not narrow.filter(**told)["net_return"].equals(wide.filter(**told)["net_return"])
    (tmp_path / "m.csv").write_text("symbol,valid_from\nA,2020-01-02\n")
    ran = weathervane(
        *("walk-forward", "--data", market, *SHORT, "--members", tmp_path / "m.csv"),
        *("--out", tmp_path / "out"),
    )
    assert ran.code != 0
    assert "E_MEMBERS: missing column 'valid_to'" in ran.err


def test_a_walk_in_another_currency(market: Path, tmp_path: Path):
    days = pl.read_parquet(market / "bars.parquet").select("date").unique().sort("date")["date"]
    rates = pl.DataFrame({"symbol": "USDEUR", "date": days, "close": 0.5})
    rates.write_parquet(tmp_path / "rates.parquet")
    walk = ("walk-forward", "--data", market, "--strategies", "rsi_swing", *SHORT)
    told = ("--base-currency", "EUR", "--rates", tmp_path / "rates.parquet")
    ran = weathervane(*walk, *told, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    report = (tmp_path / "out" / "report.md").read_text()
    assert "prices in USD were converted to EUR" in report
    ran = weathervane(*walk, *told[:2], "--out", tmp_path / "other")
    assert ran.code == 1
    assert "E_RATES: no rate leads from USD to EUR" in ran.err
