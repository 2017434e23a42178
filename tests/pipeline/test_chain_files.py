"""The chain on files: a made-up market stays one, two data sets stay two."""

from datetime import date
from pathlib import Path

import pytest

from backtest.market.calendar import sessions
from backtest.market.synthetic import WorldConfig, generate, write_world
from pipeline.chain import run_chain
from pipeline.config import Settings, load_settings, open_home
from pipeline.exports import read_document
from pipeline.store import Store
from tests.pipeline.small_chain import OVERRIDES, SESSION

SHORT = [told for told in OVERRIDES if told.startswith(("policy", "gate"))]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("market")
    days = sessions("XNYS", date(2023, 1, 3), SESSION)
    write_world(generate(WorldConfig(symbols=8), days), out)
    return out


def settings_of(path: Path) -> Settings:
    return load_settings(path=path, overrides=SHORT)


def test_a_market_read_from_files_is_called_synthetic_everywhere(market: Path, tmp_path: Path):
    home, settings = open_home(tmp_path / "home"), settings_of(market / "bars.parquet")
    done = run_chain(settings, home, session=SESSION)
    assert done.synthetic
    assert read_document(home, SESSION).data.synthetic
    assert "SYNTHETIC MARKET" in (done.report.parent / "report.md").read_text()
    symbols = Store(home, universe=settings.universe).symbols()
    assert symbols["synthetic"].to_list() == [True] * 8
