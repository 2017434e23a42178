"""The chain on files: a made-up market stays one, two data sets stay two."""

import dataclasses
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtest.engine.books import sweep_book
from backtest.errors import DataError, StoreError
from backtest.market.calendar import closes, sessions
from backtest.market.synthetic import WorldConfig, generate
from backtest.market.world_files import write_world
from backtest.strategy import STRATEGIES
from pipeline.chain import RunSummary, run_chain
from pipeline.config import Home, Settings, load_settings, open_home
from pipeline.exports import read_document
from pipeline.snapshots import Snapshots
from pipeline.store import Store
from tests.pipeline.small_chain import OVERRIDES, SESSION, stamps

SHORT = [told for told in OVERRIDES if told.startswith(("policy", "gate"))]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("market")
    days = sessions("XNYS", date(2023, 1, 3), SESSION)
    write_world(generate(WorldConfig(symbols=8), days), out)
    return out


def settings_of(path: Path) -> Settings:
    return load_settings(path=path, overrides=SHORT)


@pytest.fixture(scope="module")
def ran(market: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, RunSummary, list]:
    """A home, what a run as of a session left there, and as of when it read the trials."""
    home, asked, read = open_home(tmp_path_factory.mktemp("home")), [], Store.read_trials

    def reading(store: Store, *, as_of: date | None = None) -> pl.DataFrame:
        asked.append(as_of)
        return read(store, as_of=as_of)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Store, "read_trials", reading)
        return home, run_chain(settings_of(market / "bars.parquet"), home, as_of=SESSION), asked


def test_a_market_read_from_files_is_called_synthetic_everywhere(ran: tuple):
    home, done, _ = ran
    assert done.synthetic
    assert read_document(home, SESSION).data.synthetic
    assert "SYNTHETIC MARKET" in (done.report.parent / "report.md").read_text()
    symbols = Store(home, universe=done.universe).symbols()
    assert symbols["synthetic"].to_list() == [True] * 8


def test_a_run_as_of_a_session_reads_the_trials_as_of_it(ran: tuple):
    assert set(ran[2]) == {SESSION}


def test_another_data_set_of_the_same_name_is_refused_before_anything_is_written(
    market: Path, ran: tuple, tmp_path: Path
):
    home = ran[0]
    bars = pl.read_parquet(market / "bars.parquet")
    bars.with_columns(pl.format("X{}", "symbol").alias("symbol")).write_parquet(
        tmp_path / "bars.parquet"
    )
    before = stamps(home.snapshots, home.exports)
    database = home.database.read_bytes()
    with pytest.raises(StoreError, match=r"^E_UNIVERSE: .*--set data\.universe=NAME") as error:
        run_chain(settings_of(tmp_path / "bars.parquet"), home, session=SESSION)
    assert "\n" not in str(error.value)
    assert stamps(home.snapshots, home.exports) == before
    assert home.database.read_bytes() == database


def test_too_little_history_is_said_before_anything_is_computed(market: Path, tmp_path: Path):
    home, lines = open_home(tmp_path), []
    settings = load_settings(path=market / "bars.parquet")  # 756 sessions before the first decision
    with pytest.raises(DataError, match=r"^E_TOO_SHORT: \d+ sessions .*policy\.train=N") as error:
        run_chain(settings, home, session=SESSION, progress=lines.append)
    assert "\n" not in str(error.value)
    assert any(line.startswith("bars:") for line in lines), "the bars are kept"
    assert not any(line.startswith(("feature_panel", "regime_model")) for line in lines)
    assert not list(home.parameters.glob("*.json"))


def test_halves_of_sessions_are_seen_as_the_sessions(market: Path, ran: tuple, tmp_path: Path):
    days = pl.read_parquet(market / "bars.parquet")
    morning = pl.col("date").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=16)
    ends = closes("XNYS", days["date"].min(), days["date"].max())
    halves = [
        days.with_columns(ts=morning, close=pl.col("open"), high=pl.col("open"), volume=0.0),
        days.with_columns(ts=pl.col("date").replace_strict(ends), low=pl.col("close")).with_columns(
            open=pl.col("close")
        ),
    ]
    pl.concat([h.select("symbol", "ts", *days.columns[2:]) for h in halves]).write_parquet(
        tmp_path / "halves.parquet"
    )
    settings = load_settings(path=tmp_path / "halves.parquet")
    home = open_home(tmp_path / "home")
    with pytest.raises(DataError, match=r"^E_TOO_SHORT"):
        run_chain(settings, home, session=SESSION)
    seen = Snapshots(home, settings).current()
    of_days = Snapshots(ran[0], settings_of(market / "bars.parquet")).current()
    assert seen.folded == seen.rows == of_days.rows, "rows in are accounted for, and one is left"
    assert seen.snapshot == of_days.snapshot
    assert any(note.endswith("one a session of XNYS") for note in seen.notes)


def test_a_symbol_that_left_the_universe_has_no_weight(market: Path, tmp_path: Path):
    bars = pl.read_parquet(market / "bars.parquet")
    gone, days = bars["symbol"].unique().sort()[0], bars["date"].unique().sort()
    left = days[150]
    table = (
        bars.select("symbol")
        .unique(maintain_order=True)
        .with_columns(valid_from=days[0], valid_to=pl.when(pl.col("symbol") == gone).then(left))
    )
    table.write_csv(tmp_path / "members.csv")
    told = [f"data.members={tmp_path / 'members.csv'}", 'strategies.names=["ma_cross"]']
    settings = load_settings(path=market / "bars.parquet", overrides=[*SHORT, *told])
    home = open_home(tmp_path / "home")
    run_chain(settings, home, as_of=SESSION)
    files = Snapshots(home, settings)
    seen = files.current()
    assert files.bars(seen).filter(~pl.col("member"))["symbol"].unique().to_list() == [gone]
    panel, swept = files.panel(seen), files.workbench(seen).corpora()["ma_cross"]
    after = panel.dates > np.datetime64(left) + np.timedelta64(5, "D")  # sold at the next open
    close = panel.close.copy()
    close[0, after] *= np.where(np.arange(after.sum()) % 2, 1.5, 1.0)
    high = np.maximum(panel.high, close)
    hurt = dataclasses.replace(panel, close=close, high=high)
    book = dict(kind=settings.book.kind, cost=settings.costs.cost_bps / 1e4)
    rule = STRATEGIES.get("ma_cross")
    again = sweep_book(hurt, rule, swept.grid, **book).net_return
    np.testing.assert_array_equal(again, swept.book.net_return)
    everybody = dataclasses.replace(hurt, member=np.ones_like(panel.member))
    held = sweep_book(everybody, rule, swept.grid, **book).net_return
    assert np.abs(held - again)[:, after].max() > 0.01


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("members", "symbol,valid_from,valid_to\n", "E_MEMBERS: no rows"),
        ("rates", "symbol;date;close\nEURUSD;2024-03-04;1\n", "E_RATES: the columns are"),
    ],
)
def test_a_bad_table_is_told_before_anything_is_fetched(
    market: Path, tmp_path: Path, name: str, content: str, said: str
):
    (tmp_path / "table.csv").write_text(content)
    told = [f"data.{name}={tmp_path / 'table.csv'}"]
    settings = load_settings(path=market / "bars.parquet", overrides=told)
    home = open_home(tmp_path / "home")
    with pytest.raises(DataError, match=f"^{said}"):
        run_chain(settings, home, session=SESSION)
    assert not list(home.snapshots.rglob("*.parquet"))
    assert not home.database.exists()


def test_the_snapshot_is_in_the_base_currency_and_the_store_is_not(market: Path, tmp_path: Path):
    bars = pl.read_parquet(market / "bars.parquet")
    names, days = bars["symbol"].unique().sort(), bars["date"].unique().sort()
    pence = pl.col("symbol") == names[0]
    money = pl.when(pence).then(pl.lit("GBp")).otherwise(pl.lit("USD"))
    bars.with_columns(currency=money).write_parquet(tmp_path / "bars.parquet")
    rates = pl.DataFrame({"symbol": "GBPUSD", "date": days, "close": 1.25})
    rates.filter(pl.col("date") != days[0]).write_csv(tmp_path / "rates.csv")
    told = ["data.base_currency=USD", f"data.rates={tmp_path / 'rates.csv'}"]
    settings = load_settings(path=tmp_path / "bars.parquet", overrides=told)
    home = open_home(tmp_path / "home")
    with pytest.raises(DataError, match=r"^E_TOO_SHORT"):
        run_chain(settings, home, session=SESSION)
    files = Snapshots(home, settings)
    seen = files.current()
    assert (seen.quarantined, seen.reasons) == (1, {"rate_missing": 1})
    assert seen.rows == bars.height - 1
    kept = Store(home, universe=settings.universe).read_bars()
    assert kept.height == bars.height, "the store keeps the listing's currency"
    in_pence = kept.filter(pence & (pl.col("date") > days[0]))["close"]
    in_dollars = files.bars(seen).filter(pence)["close"]
    np.testing.assert_allclose(in_dollars, in_pence / 100 * 1.25, rtol=1e-12)
    assert any("converted to USD" in note for note in seen.notes)
    other = load_settings(path=tmp_path / "bars.parquet", overrides=told[:1])
    with pytest.raises(DataError, match=r"^E_RATES: no rate leads from GBP to USD"):
        run_chain(other, open_home(tmp_path / "other"), session=SESSION)
