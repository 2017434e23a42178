"""Each promise can be broken, and its check says so."""

import json
import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.ingest import judged_bars, raw_bars, sessions
from assets.quality import quality_report
from backtest.errors import StoreError
from backtest.market.quality import findings_of
from ml.proof import leaks
from pipeline import checks, proven
from pipeline.config import Home, load_settings
from pipeline.exports import read_document
from pipeline.publish import publish_bytes, publish_frame
from pipeline.resources import (
    ProviderResource,
    SettingsResource,
    SnapshotsResource,
    StoreResource,
)
from tests.pipeline.small_chain import SESSION, bench_of, small_settings

INGEST = [raw_bars, judged_bars, sessions]
SMALL = ("world.symbols=6", "data.first_session=2024-01-02")


def kit(home: Path, *overrides: str, session: str = "2024-06-28") -> dict[str, object]:
    """Resources of a small market in ``home``."""
    document = load_settings("demo", overrides=[*SMALL, *overrides]).model_dump_json()
    settings = SettingsResource(document=document, home=str(home), session=session)
    return {
        "settings": settings,
        "provider": ProviderResource(settings=settings),
        "store": StoreResource(settings=settings),
        "snapshots": SnapshotsResource(settings=settings),
    }


def run_check(check: dg.AssetChecksDefinition, home: Path) -> dg.AssetCheckResult:
    """Run one check on a home."""
    needed = check.required_resource_keys
    handed = {name: part for name, part in kit(home).items() if name in needed}
    return check(dg.build_asset_check_context(), **handed)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with half a year of six symbols."""
    home = tmp_path_factory.mktemp("home")
    assert dg.materialize(INGEST, resources=kit(home)).success
    return home


@pytest.fixture
def home(ingested: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(ingested, tmp_path / "home"))


def snapshot_of(home: Path) -> tuple[Path, dict[str, object]]:
    """Pointer of the current snapshot and its content."""
    pointer = next(Home(home).snapshots.glob("current-*.json"))
    return pointer, json.loads(pointer.read_text(encoding="utf-8"))


def rewrite(home: Path, change) -> None:
    """Publish changed bars in the place of the snapshot's."""
    path = Home(home).snapshots / str(snapshot_of(home)[1]["snapshot"])[:16] / "bars.parquet"
    publish_frame(path, change(pl.read_parquet(path)))


@pytest.mark.parametrize(
    "check",
    [
        checks.rows_are_accounted_for,
        checks.keys_are_unique,
        checks.quarantine_is_small,
        checks.every_session_has_bars,
    ],
    ids=lambda check: next(iter(check.check_keys)).name,
)
def test_good_bars_keep_every_promise(check: dg.AssetChecksDefinition, home: Path):
    assert run_check(check, home).passed


def test_a_lost_row_is_found(home: Path):
    raw = next((Home(home).snapshots / "raw").glob("*.parquet"))
    publish_frame(raw, pl.concat([pl.read_parquet(raw), pl.read_parquet(raw).head(1)]))
    result = run_check(checks.rows_are_accounted_for, home)
    assert not result.passed
    assert "745 in, 744 out, 0 quarantined" in result.description


def test_a_row_that_stands_twice_is_found(home: Path):
    rewrite(home, lambda bars: pl.concat([bars, bars.tail(1)]))
    result = run_check(checks.keys_are_unique, home)
    assert not result.passed
    assert result.metadata["rows"].value == 2


@pytest.mark.parametrize(
    ("bad", "severity"),
    [(20, dg.AssetCheckSeverity.WARN), (800, dg.AssetCheckSeverity.ERROR)],
)
def test_quarantined_rows_warn_when_few_and_block_when_many(home: Path, bad: int, severity):
    pointer, content = snapshot_of(home)
    text = json.dumps({**content, "quarantined": bad, "reasons": {"price_not_positive": bad}})
    publish_bytes(pointer, text.encode())
    result = run_check(checks.quarantine_is_small, home)
    assert not result.passed
    assert result.severity == severity
    assert f"{bad} of {744 + bad:,} rows" in result.description
    assert f"mostly price_not_positive ({bad})" in result.description


def test_answers_that_cannot_be_compared_with_what_was_known_are_named(home: Path):
    raw = next((Home(home).snapshots / "raw").glob("*.parquet")).with_suffix(".json")
    fine = {"symbols": 6, "failed": {}, "delisted": [], "unknown": [], "pending": {}, "apart": []}
    for apart, passed in (([], True), (["S1"], False)):
        facts = json.loads(raw.read_text(encoding="utf-8")) | {"collected": fine | {"apart": apart}}
        publish_bytes(raw, json.dumps(facts).encode())
        result = run_check(checks.symbols_were_answered, home)
        assert result.passed is passed
        assert result.severity == dg.AssetCheckSeverity.WARN
    assert "1 have no session in common with what was known, first S1" in result.description


def test_a_named_symbol_that_the_source_does_not_know_is_named(home: Path):
    raw = next((Home(home).snapshots / "raw").glob("*.parquet")).with_suffix(".json")
    told = {"symbols": 6, "failed": {}, "delisted": [], "unknown": ["AAPPL"], "pending": {}}
    facts = json.loads(raw.read_text(encoding="utf-8")) | {"collected": told}
    publish_bytes(raw, json.dumps(facts).encode())
    result = run_check(checks.symbols_were_answered, home)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "; 1 unknown to the source, first AAPPL" in result.description


def test_a_short_history_warns_and_names_the_symbols_that_are_shorter(home: Path):
    result = run_check(checks.history_is_long, home)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert result.description.startswith("0.5 years back from the last session; 6 of 6 symbols")
    young = min(result.metadata["shorter"].value)
    far_back = pl.col("date").dt.offset_by("-3y")
    earlier = pl.when(pl.col("symbol") == young).then(pl.col("date")).otherwise(far_back)
    rewrite(home, lambda bars: bars.with_columns(date=earlier))
    result = run_check(checks.history_is_long, home)
    assert result.passed
    assert list(result.metadata["shorter"].value) == [young]


def test_one_empty_session_warns_and_many_block(home: Path):
    days = pl.read_parquet(next(Home(home).snapshots.glob("*/bars.parquet")))["date"].unique()
    rewrite(home, lambda bars: bars.filter(pl.col("date") != days.sort()[50]))
    result = run_check(checks.every_session_has_bars, home)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "1 of 124 sessions of XNYS have no bar" in result.description
    rewrite(home, lambda bars: bars.filter(pl.col("date").dt.month() != 3))
    assert run_check(checks.every_session_has_bars, home).severity == dg.AssetCheckSeverity.ERROR


def research_check(check: dg.AssetChecksDefinition, home: Path) -> dg.AssetCheckResult:
    """Run one check on a home in which the small chain ran."""
    settings = SettingsResource(document=small_settings().model_dump_json(), home=str(home))
    context = dg.build_asset_check_context()
    return check(context, snapshots=SnapshotsResource(settings=settings))


RESEARCH = [
    checks.probabilities_sum_to_one,
    checks.regimes_are_causal,
    checks.nothing_sees_the_future,
    checks.mixes_are_sound,
]


@pytest.mark.parametrize("check", RESEARCH, ids=lambda check: next(iter(check.check_keys)).name)
def test_good_research_keeps_every_promise(check: dg.AssetChecksDefinition, exported: Path):
    assert research_check(check, exported).passed


def damage(home: Path, name: str, change) -> None:
    """Publish a changed frame of the research in the place of the good one."""
    work = bench_of(home)
    work.keep(name, change(work.frame(name)))


def test_probabilities_that_do_not_sum_to_one_are_found(exported_copy: Path):
    damage(exported_copy, "regimes", lambda r: r.with_columns(pl.col("p_bull") * 0.5 + 0.2))
    result = research_check(checks.probabilities_sum_to_one, exported_copy)
    assert not result.passed
    assert result.metadata["bad"].value > 0


def test_a_probability_of_another_past_is_found(exported_copy: Path):
    late = pl.col("date") == pl.col("date").gather(252)
    swapped = pl.when(late).then(pl.col("state_1")).otherwise(pl.col("state_0"))
    damage(exported_copy, "regimes", lambda r: r.with_columns(state_0=swapped))
    result = research_check(checks.regimes_are_causal, exported_copy)
    assert not result.passed
    assert "2 of 2 cuts" in result.description


def test_a_smoothed_past_is_found(exported_copy: Path):
    """Averaging with the next session is what a smoother does; the cut cannot know it."""

    def smoothed(rows: pl.DataFrame) -> pl.DataFrame:
        ahead = rows.drop_nulls("regime").select("state_0").to_series().to_list()
        mixed = [0.5 * (a + b) for a, b in zip(ahead, [*ahead[1:], ahead[-1]], strict=True)]
        before = rows.height - len(mixed)
        return rows.with_columns(state_0=pl.Series([None] * before + mixed))

    damage(exported_copy, "regimes", smoothed)
    assert not research_check(checks.regimes_are_causal, exported_copy).passed


def test_code_that_sees_the_future_is_named(
    exported_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    peek = leaks.Suspect("strategy", "planted", lambda scene, t: [scene.panel.close.mean(axis=1)])
    monkeypatch.setattr(leaks, "suspects", lambda: [peek])
    monkeypatch.setattr(proven, "_version", lambda: "a version with a leak")
    result = research_check(checks.nothing_sees_the_future, exported_copy)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert "strategy planted (truncation)" in result.description


def test_one_version_of_the_code_is_proven_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr(proven, "_prove", lambda code: calls.append(code) or [{"guilty": []}])
    first = proven.leak_findings(tmp_path)
    assert proven.leak_findings(tmp_path) == first == [{"guilty": []}]
    assert len(calls) == 1
    monkeypatch.setattr(proven, "_version", lambda: "another")
    proven.leak_findings(tmp_path)
    assert calls[1:] == ["another"]
    path = tmp_path / "leaks.json"
    path.write_bytes(path.read_bytes().replace(b"guilty", b"quilty"))
    proven.leak_findings(tmp_path)  # not believed, proven again
    assert calls[2:] == ["another"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda d: d.with_columns(
                mix=pl.lit('[{"parameters":{},"weight":0.7},{"parameters":{},"weight":0.4}]')
            ),
            "118 unsound mixes",
        ),
        (lambda d: d.with_columns(mix=pl.lit('[{"parameters":{},"weight":-0.1}]')), "118 unsound"),
        (lambda d: d.head(117), "1 missing"),
        (lambda d: pl.concat([d, d.head(1)]), "2 decisions twice"),
    ],
    ids=["more than the whole", "negative", "missing", "twice"],
)
def test_a_decision_that_cannot_be_run_is_found(exported_copy: Path, change, says: str):
    damage(exported_copy, "decisions", change)
    result = research_check(checks.mixes_are_sound, exported_copy)
    assert not result.passed
    assert says in result.description


def test_a_document_that_says_something_else_is_found(exported: Path):
    document, steps = read_document(Home(exported)), bench_of(exported).steps(SESSION)
    assert checks.schema_errors(document) == []
    assert checks.disagreements(document, steps) == []
    entry = document.strategies["ma_cross"]
    other = entry.model_copy(update={"action": "update", "mix": entry.target.mix[:1]})
    wrong = document.model_copy(update={"strategies": {**document.strategies, "ma_cross": other}})
    found = checks.disagreements(wrong, steps)
    assert found == [
        f"{SESSION} ma_cross: mix is not the walk-forward's",
        f"{SESSION} ma_cross: update for hold",
    ]
    loose = document.model_copy(update={"schema_version": 2})
    assert "$.schema_version" in checks.schema_errors(loose)[0]


def test_where_no_exchange_is_named_the_days_that_are_there_are_sessions(
    ingested: Path, tmp_path: Path
):
    bars = pl.read_parquet(next(Home(ingested).snapshots.glob("*/bars.parquet")))
    own = bars.filter(pl.col("date").dt.day() < 20).select(bars.columns[:7])
    own.write_parquet(tmp_path / "own.parquet")
    told = load_settings(path=tmp_path / "own.parquet", overrides=["data.calendar=data"])
    settings = SettingsResource(document=told.model_dump_json(), home=str(tmp_path / "home"))
    resources = {
        "settings": settings,
        "provider": ProviderResource(settings=settings),
        "store": StoreResource(settings=settings),
        "snapshots": SnapshotsResource(settings=settings),
    }
    assert dg.materialize(INGEST, resources=resources).success
    days = own["date"].n_unique()
    assert 0 < resources["store"].open("data").sessions().height == days < 124
    needed = {name: resources[name] for name in ("store", "snapshots")}
    assert checks.every_session_has_bars(dg.build_asset_check_context(), **needed).passed


def test_a_flipped_byte_stops_whoever_reads_it(home: Path):
    path = next(Home(home).snapshots.glob("*/bars.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(dg.Failure) as caught:
        run_check(checks.keys_are_unique, home)
    assert isinstance(caught.value.__cause__, StoreError)
    assert "E_CORRUPT" in caught.value.description


def found_in(home: Path, rule: str, count: int) -> None:
    """Publish findings in the place of the snapshot's: ``count`` rows of one rule."""
    (path,) = Home(home).snapshots.glob("*/findings-*.parquet")
    bars = pl.read_parquet(path.parent / "bars.parquet").head(count)
    publish_frame(path, findings_of(bars.select("symbol", "date"), rule=rule, verdict="flag"))


@pytest.mark.parametrize(
    ("check", "rule", "few", "many"),
    [
        (checks.duplicates_are_few, "duplicate_agreeing", 1, 40),
        (checks.jumps_are_few, "spike_reverted", 1, 16),
        (checks.jumps_are_few, "split_unadjusted", 1, 16),
        (checks.currency_changes_are_few, "currency_changed", 1, 8),
        (checks.gaps_are_few, "session_missing", 8, None),
        (checks.stale_prices_are_few, "stale_price", 1, None),
        (checks.stale_prices_are_few, "session_repeated", 1, None),
        (checks.zero_volumes_are_few, "volume_zero", 8, None),
        (checks.range_faults_are_few, "close_outside_range", 4, None),
    ],
)
def test_findings_warn_above_the_limit_and_block_where_a_wrong_price_would_flow_on(
    home: Path, check: dg.AssetChecksDefinition, rule: str, few: int, many: int | None
):
    """Shares are of 744 rows; the limits are those of the profile."""
    assert run_check(check, home).passed
    found_in(home, rule, few)
    result = run_check(check, home)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"{few} findings" in result.description
    newest = result.metadata["newest"].records[0].data
    assert newest["rule"] == rule
    assert f"; newest {newest['bar']} {rule}" in result.description
    found_in(home, rule, many or 744)
    severity = dg.AssetCheckSeverity.WARN if many is None else dg.AssetCheckSeverity.ERROR
    assert run_check(check, home).severity == severity
    spec = next(iter(check.check_specs))
    assert spec.blocking == (many is not None)


def test_a_finding_of_another_family_is_no_business_of_a_check(home: Path):
    found_in(home, "volume_zero", 700)
    assert run_check(checks.jumps_are_few, home).passed


def test_the_page_of_quality_is_published_with_its_findings(home: Path):
    found_in(home, "stale_price", 3)
    assert dg.materialize([quality_report], selection=[quality_report], resources=kit(home)).success
    (page,) = Home(home).reports.glob("*/*/quality.md")
    text = page.read_text(encoding="utf-8")
    assert "744 rows in = 744 bars + 0 rows quarantined. 3 flags on rows that stay" in text
    assert "SYNTHETIC MARKET" in text
    assert pl.read_parquet(page.parent / "findings.parquet").height == 3
    assert json.loads((page.parent / "quality.json").read_text())["rules"][0]["findings"] == 3


def test_the_asset_shows_what_was_found_and_what_to_do(home: Path):
    """Taken out before flagged, most first; of each rule the newest row that was taken out."""
    (path,) = Home(home).snapshots.glob("*/findings-*.parquet")
    bars = pl.read_parquet(path.parent / "bars.parquet").sort("symbol", "date")
    told = [("volume_zero", "flag", 9), ("price_missing", "quarantine", 2)]
    told += [("spike_reverted", "quarantine", 4)]
    parts = [findings_of(bars.head(n), rule=rule, verdict=verdict) for rule, verdict, n in told]
    publish_frame(path, pl.concat(parts))
    made = dg.materialize([quality_report], selection=[quality_report], resources=kit(home))
    (event,) = made.asset_materializations_for_node("quality_report")
    found = [row.data for row in event.metadata["what was found"].records]
    assert [(row["rule"], row["verdict"], row["findings"]) for row in found] == [
        *(("spike_reverted", "quarantine", 4), ("price_missing", "quarantine", 2)),
        ("volume_zero", "flag", 9),
    ]
    assert found[1]["what to do"] == "give open, high, low and close as numbers"
    held = [row.data for row in event.metadata["quarantine"].records]
    symbol, day = bars["symbol"][0], bars["date"][3]
    assert [(row["rule"], row["rows"]) for row in held] == [
        ("spike_reverted", 4),
        ("price_missing", 2),
    ]
    assert held[0]["newest"] == f"{symbol} {day}"
