"""What a run saw stays as files for a while: the last few snapshots of each universe."""

import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from backtest.errors import StoreError
from backtest.market.bars import panel_of, prepare
from backtest.market.quality import no_findings
from backtest.market.universe import labelled, read_members
from pipeline.config import load_settings, open_home
from pipeline.snapshots import KEPT, Snapshot, Snapshots
from tests.pipeline.stored import TUESDAY, fresh, raw_of
from tests.pipeline.stored import bars_of as stored_bars

NOTHING = pl.DataFrame(schema={"rule": pl.String})


def bars_of(level: float) -> pl.DataFrame:
    """One symbol on two sessions."""
    return stored_bars("A", dict.fromkeys((date(2020, 3, 6), date(2020, 3, 9)), level)).bars


def files_of(home: Path, universe: str, *more: str) -> Snapshots:
    settings = load_settings("demo", overrides=[f"data.universe={universe}", *more])
    return Snapshots(open_home(home), settings)


def taken(files: Snapshots, level: float) -> tuple[Snapshot, list[str]]:
    """Take a snapshot of bars at a price level, and retire what is old."""
    bars = bars_of(level)
    came = {"source": "test", "synthetic": True}
    seen = files.take(
        came, bars=bars, quarantined=NOTHING, findings=no_findings(), missing=0, notes=(), folded=0
    )
    return seen, files.retire(seen)


def test_only_the_last_few_stay(tmp_path: Path):
    files = files_of(tmp_path, "u")
    seen = [taken(files, 10.0 + n) for n in range(KEPT + 2)]
    names = [files.folder(one).name for one, _ in seen]
    assert [gone for _, gone in seen] == [[], [], [], [names[0]], [names[1]]]
    there = {path.name for path in files.home.snapshots.iterdir() if path.is_dir()}
    assert there == set(names[2:])
    assert files.bars(files.current()).equals(bars_of(10.0 + KEPT + 1))


def test_one_that_is_seen_again_is_young_again(tmp_path: Path):
    files = files_of(tmp_path, "u")
    first, second = (taken(files, level)[0] for level in (1.0, 2.0))
    taken(files, 3.0)
    assert taken(files, 1.0)[1] == []
    assert taken(files, 4.0)[1] == [files.folder(second).name]
    assert files.bars(first).equals(bars_of(1.0))


def test_a_folder_that_another_universe_names_stays(tmp_path: Path):
    mine, other = files_of(tmp_path, "u"), files_of(tmp_path, "v")
    shared, _ = taken(mine, 1.0)
    taken(other, 1.0)
    assert [taken(mine, 2.0 + n)[1] for n in range(KEPT)] == [[]] * KEPT
    assert other.bars(other.current()).equals(bars_of(1.0))
    assert mine.folder(shared).is_dir()


def test_what_is_not_ours_stays(tmp_path: Path):
    files = files_of(tmp_path, "u")
    stranger = files.home.snapshots / "0123456789abcdef"
    stranger.mkdir(parents=True)
    (stranger / "notes.txt").write_text("mine")
    for n in range(KEPT + 1):
        taken(files, 1.0 + n)
    assert (stranger / "notes.txt").read_text() == "mine"


def test_settings_whose_snapshot_went_are_told_to_run_again(tmp_path: Path):
    old = files_of(tmp_path, "u", "policy.step=7")
    taken(old, 1.0)
    files = files_of(tmp_path, "u")
    for n in range(KEPT):
        taken(files, 2.0 + n)
    with pytest.raises(StoreError, match="E_MISSING: no snapshot yet for these settings"):
        old.current()


def test_a_removal_that_was_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = files_of(tmp_path, "u")
    old = files.folder(taken(files, 1.0)[0])
    (old / "research-0").mkdir()
    for n in range(KEPT - 1):
        taken(files, 2.0 + n)

    def cut(folder: Path):
        (folder / "bars.parquet").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", cut)
        with pytest.raises(KeyboardInterrupt):
            taken(files, 9.0)
    assert taken(files, 9.0)[1] == [old.name]
    assert not old.exists()


def test_a_link_in_a_snapshot_s_place_stays_with_what_it_points_to(tmp_path: Path):
    files, elsewhere = files_of(tmp_path / "home", "u"), tmp_path / "elsewhere"
    old = files.folder(taken(files, 1.0)[0])
    old.rename(elsewhere)
    old.symlink_to(elsewhere)
    for n in range(KEPT):
        taken(files, 2.0 + n)
    assert (elsewhere / "bars.parquet").is_file()


def test_the_labels_of_a_snapshot_are_by_date_as_those_of_a_panel(tmp_path: Path):
    """The store keeps one label a symbol: A changes its sector, B has one of its own."""
    own = pl.when(pl.col("symbol") == "B").then(pl.lit("Mine"))
    raw = raw_of(["A", "B"], 60, until=TUESDAY).with_columns(sector=own)
    raw.write_parquet(tmp_path / "bars.parquet")
    changed, first = raw["date"][40], raw["date"][0]
    (tmp_path / "members.csv").write_text(
        "symbol,valid_from,valid_to,sector,region\n"
        f"A,{first},{raw['date'][39]},Energy,US\nA,{changed},,Tech,US\nB,{first},,Tech,EU\n"
    )
    members = read_members(tmp_path / "members.csv")
    prepared, kept = prepare(labelled(raw, members)), fresh(tmp_path / "home")
    kept.write_bars(prepared, run_id="1", source="test", until=TUESDAY)
    files = files_of(tmp_path / "home", "u", f"data.members={tmp_path / 'members.csv'}")
    seen = files.take(
        {"source": "test", "synthetic": False},
        bars=kept.read_bars(until=TUESDAY),
        quarantined=NOTHING,
        findings=no_findings(),
        missing=0,
        notes=(),
        folded=0,
    )
    said = ["symbol", "date", "sector", "region"]
    panel, told = panel_of(tmp_path / "bars.parquet", members=members)
    assert files.bars(seen).select(said).equals(told.bars.select(said))
    counts = files.bars(seen)["sector"].value_counts().sort("sector")
    assert counts.rows() == [("Energy", 40), ("Mine", 60), ("Tech", 20)]
    assert (files.panel(seen).member == panel.member).all()
    assert files.panel(seen).sectors == panel.sectors == ("Energy", "Mine")
