"""Each promise can be broken, and its check says so."""

import json
import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.ingest import judged_bars, raw_bars, sessions
from backtest.errors import StoreError
from pipeline import checks
from pipeline.config import Home, load_settings
from pipeline.publish import publish_bytes, publish_frame
from pipeline.resources import (
    ProviderResource,
    SettingsResource,
    SnapshotsResource,
    StoreResource,
)

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
    [(20, dg.AssetCheckSeverity.WARN), (300, dg.AssetCheckSeverity.ERROR)],
)
def test_quarantined_rows_warn_when_few_and_block_when_many(home: Path, bad: int, severity):
    pointer, content = snapshot_of(home)
    text = json.dumps({**content, "quarantined": bad, "reasons": {"price_not_positive": bad}})
    publish_bytes(pointer, text.encode())
    result = run_check(checks.quarantine_is_small, home)
    assert not result.passed
    assert result.severity == severity


def test_one_empty_session_warns_and_many_block(home: Path):
    days = pl.read_parquet(next(Home(home).snapshots.glob("*/bars.parquet")))["date"].unique()
    rewrite(home, lambda bars: bars.filter(pl.col("date") != days.sort()[50]))
    result = run_check(checks.every_session_has_bars, home)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "1 of 124 sessions of XNYS have no bar" in result.description
    rewrite(home, lambda bars: bars.filter(pl.col("date").dt.month() != 3))
    assert run_check(checks.every_session_has_bars, home).severity == dg.AssetCheckSeverity.ERROR


def test_a_flipped_byte_stops_whoever_reads_it(home: Path):
    path = next(Home(home).snapshots.glob("*/bars.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(dg.Failure) as caught:
        run_check(checks.keys_are_unique, home)
    assert isinstance(caught.value.__cause__, StoreError)
    assert "E_CORRUPT" in caught.value.description
