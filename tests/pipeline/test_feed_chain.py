"""The whole chain on a remote source: hurt, healed, replayed."""

import dataclasses
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from backtest.errors import DataError
from pipeline.chain import run_chain
from pipeline.checks import symbols_were_answered
from pipeline.config import Home, Settings, load_settings, open_home
from pipeline.exports import read_document
from pipeline.resources import SettingsResource, SnapshotsResource
from pipeline.snapshots import Snapshots
from pipeline.store import Store
from tests.pipeline.small_chain import OVERRIDES
from tests.pipeline.yahoo_market import made_up
from tests.pipeline.yahoo_server import YahooServer

SESSION, LATER = date(2024, 3, 28), date(2024, 4, 1)
SYMBOLS = [f"S{i:02d}" for i in range(12)]
SHORT = [told for told in OVERRIDES if told.startswith(("policy", "gate", "strategies"))]


@pytest.fixture
def server():
    listings = {symbol: made_up(symbol, date(2022, 12, 1), LATER) for symbol in SYMBOLS}
    with YahooServer(listings, now=SESSION) as made:
        yield made


def settings_of(server: YahooServer, *overrides: str) -> Settings:
    listed = ",".join(f'"{symbol}"' for symbol in SYMBOLS)
    return load_settings(
        "demo",
        overrides=[
            *SHORT,
            "data.provider=yahoo",
            f"data.symbols=[{listed}]",
            f"feed.endpoint={server.address}",
            "feed.first=2023-01-03",
            "feed.first_wait_s=0.05",
            "feed.attempts=2",
            "feed.rate_per_s=1000",
            "feed.burst=1000",
            *overrides,
        ],
    )


def snapshot_of(home: Home, settings: Settings) -> str:
    return Snapshots(home, settings).current().snapshot


def test_a_run_with_three_faults_heals_to_the_content_of_a_clean_one(server, tmp_path: Path):
    settings = settings_of(server)
    clean = open_home(tmp_path / "clean")
    done = run_chain(settings, clean, session=SESSION)
    assert done.source == "yahoo"
    assert not done.synthetic

    hurt = open_home(tmp_path / "hurt")
    for symbol, kind in (("S03", "status"), ("S05", "truncated"), ("S08", "html")):
        server.fault(symbol, kind, times=2)
    with pytest.raises(DataError, match=r"^E_CHECK: check symbols_were_answered refused: 3 of 12"):
        run_chain(settings, hurt, session=SESSION)
    check = symbols_were_answered(
        dg.build_asset_check_context(),
        snapshots=SnapshotsResource(
            settings=SettingsResource(document=settings.model_dump_json(), home=str(hurt.root))
        ),
    )
    assert "25.0% (refuses above 5.0%, feed.most_failed: run again" in check.description
    lacking = [row.data for row in check.metadata["no answer"].records]
    assert [row["symbol"] for row in lacking] == ["S03", "S05", "S08"]
    assert all(row["why"].startswith("E_PROVIDER: ") for row in lacking)
    assert not (hurt.parameters / "latest.json").exists()
    assert Store(hurt, universe="yahoo").read_quotes()["symbol"].n_unique() == 9, "kept"
    server.asked.clear()
    run_chain(settings, hurt, session=SESSION)
    assert set(server.asked) == {"S03", "S05", "S08"}, "only what is missing is asked for"
    assert snapshot_of(hurt, settings) == snapshot_of(clean, settings)
    one, other = (read_document(home, SESSION) for home in (hurt, clean))
    assert one.strategies == other.strategies


def test_any_past_run_is_replayed_without_asking_anybody(server, tmp_path: Path):
    settings, home = settings_of(server), open_home(tmp_path)
    first = run_chain(settings, home, session=SESSION)
    store = Store(home, universe="yahoo")
    moment = store.batches()["ingested_at"].max() + timedelta(microseconds=1)
    paying = server.listings["S04"]
    dividend = (LATER, "dividend", paying.rows[-1][4] * 0.02)
    server.listings["S04"] = dataclasses.replace(paying, actions=(*paying.actions, dividend))
    server.now = LATER
    second = run_chain(settings, home, session=LATER)
    assert Snapshots(home, settings).raw_facts()["collected"]["restated"] == ["S04"]
    server.asked.clear()
    before = home.database.read_bytes()
    again = run_chain(settings, home, session=SESSION, as_of=moment)
    assert again.snapshot == first.snapshot != second.snapshot
    assert not server.asked
    assert Store(home, universe="yahoo").batches().filter(table_name="bars").height == 2
    assert before


def test_a_table_of_members_says_whom_to_ask_and_who_counts_when(server, tmp_path: Path):
    rows = [(symbol, "2022-01-01", "", "Energy") for symbol in SYMBOLS[:10]]
    rows += [("S10", "2023-06-01", "", "Energy"), ("S11", "2022-01-01", "2024-01-31", "Utilities")]
    rows += [("GONE", "2022-01-01", "2022-06-30", "Utilities")]
    table = "symbol,valid_from,valid_to,sector\n" + "".join(",".join(r) + "\n" for r in rows)
    (tmp_path / "members.csv").write_text(table)
    told = f"data.members={tmp_path / 'members.csv'}"
    settings, home = settings_of(server, told, "data.symbols=[]"), open_home(tmp_path / "home")
    run_chain(settings, home, session=SESSION)
    assert set(server.asked) == {*SYMBOLS, "GONE"}
    files = Snapshots(home, settings)
    seen, panel = files.current(), files.panel(files.current())
    assert files.raw_facts()["collected"]["unknown"] == ["GONE"]
    assert any("GONE" in note for note in seen.notes), seen.notes
    sectors = dict(zip(panel.symbols, panel.sectors, strict=True))
    assert (sectors["S00"], sectors["S11"]) == ("Energy", "Utilities")
    joined = panel.dates >= np.datetime64("2023-06-01")
    stayed = panel.dates <= np.datetime64("2024-01-31")
    assert (panel.member[panel.symbols.index("S10")] == joined).all()
    assert (panel.member[panel.symbols.index("S11")] == stayed).all()
    assert panel.member[: len(SYMBOLS) - 2].all()
    before = settings.hash()
    (tmp_path / "members.csv").write_text(table.replace("2024-01-31", "2024-02-29"))
    assert settings.hash() != before, "another table is another research"
