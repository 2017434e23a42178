"""The whole chain in one process: what it leaves, what it does again, what it refuses."""

import json
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from backtest.errors import (
    ConfigError,
    DataError,
    ProviderUnavailable,
    StoreError,
)
from ml.robustness.tables import findings_of, joined
from pipeline import boundary
from pipeline.chain import run_chain
from pipeline.config import Home, load_settings, open_home
from pipeline.exports import read_document, read_ledger
from pipeline.instance import open_instance
from pipeline.provider import PROVIDERS, Fetched
from pipeline.store import Store
from pipeline.store.schema import ROBUSTNESS
from pipeline.tracker import open_tracker
from tests.pipeline.small_chain import (
    SESSION,
    bench_of,
    export_again,
    run_small,
    small_settings,
)

ASSETS = {
    *("raw_bars", "bars", "universe", "sessions", "feature_panel", "market_state"),
    *("regime_model", "regime_labels", "backtest_corpus", "walk_forward", "robustness"),
    *("evidence_report", "parameter_model", "promoted_model", "regime_parameters"),
}


def test_it_leaves_a_document_a_report_and_models(exported: Path):
    home = Home(exported)
    document = read_document(home)
    assert document.session == SESSION
    assert set(document.strategies) == {"rsi_swing", "ma_cross"}
    assert document.data.synthetic
    assert document.previous_sha256 is None
    assert [entry.action for entry in read_ledger(home.exports).entries] == ["publish"]
    report = home.reports / document.universe / str(SESSION)
    assert "SYNTHETIC" in (report / "report.md").read_text(encoding="utf-8")
    assert (report / "report.html").is_file()
    assert len(list(report.glob("*.png"))) == 10
    assert document.model.version == 1


def test_every_asset_tells_dagster_what_it_made(exported: Path):
    with open_instance(Home(exported).dagster) as instance:
        runs = instance.get_runs()
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        assert {run.job_name for run in runs} == {"ingest", "daily"}
        told = {
            name: instance.get_latest_materialization_event(dg.AssetKey(name)) for name in ASSETS
        }
        known = instance.get_dynamic_partitions("sessions")
    assert all(event is not None for event in told.values())
    for event in told.values():
        assert event.asset_materialization.metadata["summary"].value
    counted = told["bars"].asset_materialization.metadata["dagster/row_count"].value
    assert counted == bench_of(exported).snapshot.rows == 8 * 311
    plots = told["evidence_report"].asset_materialization.metadata
    assert sum("data:image/png;base64," in str(value.value) for value in plots.values()) == 10
    assert len(known) == 311 - 252
    assert min(known) == str(bench_of(exported).frame("decisions")["date"].min())


def test_robustness_is_kept_beside_the_evidence_it_was_condensed_to(exported: Path):
    work, home = bench_of(exported), Home(exported)
    findings, told = findings_of(work.records()), work.values("evidence")["strategies"]
    assert {n: one.summary.model_dump(mode="json") for n, one in findings.items()} == {
        name: part["robustness"] for name, part in told.items()
    }
    tables, store = work.robustness(), Store(home, universe=work.snapshot.universe)
    for name, table in joined(findings).items():
        assert tables[name].equals(table), name
        kept = store.read_robustness(name)
        assert set(kept["date"]) == {SESSION}
        key = ROBUSTNESS[name].key[1:]
        assert kept.select(table.columns).sort(key).equals(table.sort(key)), name
    with open_instance(home.dagster) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("robustness"))
    plots = event.asset_materialization.metadata
    assert sum("data:image/png;base64," in str(value.value) for value in plots.values()) == 5
    assert plots["dagster/row_count"].value == tables["folds"].height
    report = (home.reports / work.snapshot.universe / str(SESSION) / "report.md").read_text()
    assert "## How robust it is" in report


def test_runs_of_both_pages_are_linked(exported: Path):
    tracker = open_tracker(Home(exported), small_settings().tracking)
    (run,) = tracker.client.search_runs([tracker.experiment])
    with open_instance(Home(exported).dagster) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("promoted_model"))
    assert run.data.tags["dagster_run_id"] == event.run_id
    assert run.data.tags["snapshot"] == bench_of(exported).snapshot.snapshot
    metadata = event.asset_materialization.metadata
    assert metadata["mlflow run id"].value == run.info.run_id
    assert run.info.run_id in metadata["mlflow run"].value
    assert run.info.status == "FINISHED"
    assert run.data.params["policy.train"] == "252"
    assert "all.regime_aware.sharpe" in run.data.metrics
    model = tracker.client.get_model_version("weathervane-parameters", "1")
    assert model.tags["policies"] == str(
        max(s["policies"] for s in bench_of(exported).values("evidence")["strategies"].values())
    )


def test_a_backfill_of_sessions_is_the_walk_forward(exported_copy: Path):
    days = [date(2024, 2, 27), date(2024, 2, 28), date(2024, 3, 8)]
    results = export_again(exported_copy, days)
    assert all(result.success for result in results)
    checked = [result.get_asset_check_evaluations() for result in results]
    assert [[c.check_name for c in one if c.passed] for one in checked] == [
        ["document_is_valid"]
    ] * len(days)
    decided = bench_of(exported_copy).frame("decisions")
    before = None
    for day in days:
        document = read_document(Home(exported_copy), day)
        assert document.data.last == day
        for name, entry in document.strategies.items():
            row = decided.row(
                by_predicate=(pl.col("date") == day) & (pl.col("strategy") == name), named=True
            )
            told = [{"parameters": m.parameters, "weight": m.weight} for m in entry.target.mix]
            assert told == json.loads(row["mix"])
            assert entry.target.parameters == json.loads(row["parameters"] or "null")
            assert entry.action == row["action"]
            assert entry.confidence.overall == row["confidence"]
        if before is not None:
            assert document.previous_sha256 == before.content_sha256
            assert document.strategies["ma_cross"].previous.mix == before.strategies["ma_cross"].mix
        before = document


def test_a_late_backfill_writes_what_was_written_on_the_day(exported_copy: Path, tmp_path: Path):
    day = date(2024, 3, 14)
    summary = run_small(tmp_path / "on_the_day", session=day)
    export_again(exported_copy, [day])
    then = read_document(Home(tmp_path / "on_the_day"))
    later = read_document(Home(exported_copy), day)
    assert summary.session == then.session == day
    assert later.content_sha256 == then.content_sha256
    known = len(read_ledger(Home(exported_copy).exports).entries)
    seen = run_chain(small_settings(), open_home(exported_copy), as_of=day)
    assert seen.session == day
    assert len(read_ledger(Home(exported_copy).exports).entries) == known


def test_a_session_that_the_fold_does_not_have_ends_in_one_line(exported_copy: Path):
    with pytest.raises(dg.Failure) as caught:
        export_again(exported_copy, [date(2023, 1, 4)])
    assert "E_SESSION: no decision at session 2023-01-04" in caught.value.description


@pytest.mark.parametrize(
    ("session", "line"),
    [
        (date(2024, 7, 4), "E_SESSION: no bars of session 2024-07-04, the last session up to it"),
        (date(2199, 1, 2), "E_SESSION: session 2199-01-02 has not finished"),
    ],
)
def test_a_day_without_a_session_ends_in_one_line(tmp_path: Path, session: date, line: str):
    with pytest.raises(DataError, match=line):
        run_small(tmp_path, session=session)
    assert not list(Home(tmp_path).parameters.iterdir())


def test_an_asset_s_error_comes_out_as_it_is(tmp_path: Path):
    settings = load_settings(path=tmp_path / "nowhere.parquet")
    told: list[str] = []
    with pytest.raises(DataError) as caught:
        run_chain(settings, open_home(tmp_path / "home"), progress=told.append)
    assert str(caught.value).startswith("E_")
    assert "nowhere.parquet" in str(caught.value)
    with open_instance(Home(tmp_path / "home").dagster) as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert run.tags["dagster/max_retries"] == "0"


def test_a_run_history_that_cannot_be_used_ends_in_one_line(tmp_path: Path):
    database = Home(tmp_path).dagster / "storage" / "history" / "runs.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="E_HOME: the run history cannot be used"):
        run_small(tmp_path)


def test_an_unknown_profile_is_the_settings_error():
    with pytest.raises(ConfigError, match="E_CONFIG: unknown profile 'yaho'"):
        load_settings("yaho")


class Moody:
    """A provider that answers from the third question on."""

    def __init__(self):
        self.asked = 0

    def fetch(self, settings, until: date) -> Fetched:
        """Hold back twice."""
        self.asked += 1
        if self.asked < 3:
            raise ProviderUnavailable("no answer", where="the other side", fix="wait")
        return PROVIDERS.get("synthetic").fetch(settings, until)


@pytest.mark.parametrize(("name", "asked"), [("moody", 3), ("dead", 4)])
def test_a_silent_provider_is_asked_again_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, asked: int
):
    moody = Moody()
    if name == "dead":
        moody.asked = -100
    monkeypatch.setitem(PROVIDERS._parts, name, moody)
    monkeypatch.setattr(boundary, "FIRST_WAIT_S", 0.01)
    before = moody.asked
    settings = small_settings(f"data.provider={name}", "policy.train=5000")
    told: list[str] = []
    expected = ProviderUnavailable if name == "dead" else DataError
    with pytest.raises(expected):
        run_chain(settings, open_home(tmp_path), session=SESSION, progress=told.append)
    assert moody.asked - before == asked
    assert told.count("raw_bars: no answer, trying again") == min(asked - 1, 3)


def test_a_broken_promise_stops_the_chain(tmp_path: Path, exported: Path):
    source = tmp_path / "bars.parquet"
    bars = bench_of(exported).files.bars(bench_of(exported).snapshot)
    gaps = bars.filter(pl.col("date").dt.month() != 6)
    gaps.select("symbol", "date", "open", "high", "low", "close", "volume").write_parquet(source)
    settings = load_settings(path=source)
    with pytest.raises(DataError, match="E_CHECK: check every_session_has_bars refused"):
        run_chain(settings, open_home(tmp_path / "home"))
