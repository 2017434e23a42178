"""kill -9 at any moment of ingestion: nothing acknowledged is lost, torn or doubled."""

import multiprocessing
import os
import random
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from backtest.market.bars import prepare
from backtest.market.calendar import sessions
from pipeline.collecting import collect, raw_bars
from pipeline.store import content_hash
from tests.pipeline.paper_feed import FIRST, LAST, PaperFeed, evening, settings_of
from tests.pipeline.stored import fresh
from tests.pipeline.test_collecting import NAMES, labels

DAYS = sessions("XNYS", FIRST + timedelta(days=30), LAST)
ACTIONS = {
    "A": [(DAYS[20], "split", 2.0)],
    "B": [(DAYS[5], "dividend", 2.0), (DAYS[25], "dividend", 2.0)],
}


def ingest(folder: str, name: str) -> None:
    """Ingest session after session from where the store stands, and say so after each."""
    store = fresh(Path(folder))
    known = store.read_bars()["date"].max()
    for day in DAYS:
        if known is not None and day < known:
            continue
        feed = PaperFeed(NAMES, today=day, actions=ACTIONS)
        run = f"{name}-{day}"
        collect(
            feed,
            settings_of(),
            store,
            dict.fromkeys(NAMES),
            run_id=run,
            until=day,
            now=evening(day),
        )
        prepared = prepare(raw_bars(store, labels(), until=day), calendar="XNYS")
        store.write_bars(prepared, run_id=run, source="paper", until=day)
        with (Path(folder) / "acknowledged").open("a") as said:
            said.write(f"{day}\n")
            said.flush()
            os.fsync(said.fileno())


def kill_at_random(folder: Path, *, kills: int, seed: int) -> int:
    """Start ingestion anew after each kill, until that many; how many of them hit it at work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "pipeline.store", "duckdb", "polars"])
    draws, hit = random.Random(seed), 0
    for n in range(kills):
        acknowledged = said(folder)
        process = context.Process(target=ingest, args=(str(folder), f"k{n}"))
        process.start()
        process.join(draws.uniform(0.15, 1.2))
        if process.is_alive():
            hit += 1
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        store = fresh(folder)
        assert store.findings() == []
        bars, quotes = store.read_bars(), store.read_quotes()
        for frame in (bars, quotes):
            assert not frame.select("symbol", "date").is_duplicated().any()
        for day in {*acknowledged, *said(folder)}:
            for frame in (bars, quotes):
                there = frame.filter(date=day)["symbol"].to_list()
                assert there == NAMES, f"acknowledged and lost: {day}"
        if said(folder)[-1:] == [DAYS[-1]]:
            (folder / "acknowledged").unlink()
            for path in store.home.store.iterdir():
                path.unlink()
    return hit


def said(folder: Path) -> list:
    """Sessions that were acknowledged, as they were."""
    path = folder / "acknowledged"
    known = {str(day): day for day in DAYS}
    return [known[line] for line in path.read_text().splitlines()] if path.exists() else []


def heals(tmp_path: Path, *, kills: int) -> None:
    hurt, clean = tmp_path / "hurt", tmp_path / "clean"
    hurt.mkdir()
    clean.mkdir()
    assert kill_at_random(hurt, kills=kills, seed=kills) > kills // 2
    ingest(str(hurt), "last")
    ingest(str(clean), "only")
    one, other = fresh(hurt), fresh(clean)
    assert one.findings() == []
    assert one.snapshot_hash() == other.snapshot_hash()
    assert content_hash(raw_bars(one, labels(), until=LAST)) == content_hash(
        raw_bars(other, labels(), until=LAST)
    )


@pytest.mark.timeout(280)
def test_a_few_kills_of_ingestion(tmp_path: Path):
    heals(tmp_path, kills=4)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_hundred_kills_of_ingestion(tmp_path: Path):
    heals(tmp_path, kills=200)
