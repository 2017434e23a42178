"""For: a run of the whole chain, and a small market, that tests share. Not for: tests."""

from pathlib import Path

import pytest

from tests.pipeline.cli_runner import weathervane
from tests.pipeline.damage import moved_copy
from tests.pipeline.small_chain import run_small


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the small market's chain has run once; not to be changed."""
    home = tmp_path_factory.mktemp("exported")
    run_small(home)
    return home


@pytest.fixture
def exported_copy(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return moved_copy(exported, tmp_path / "home")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic bars and their truth; not to be changed."""
    out = tmp_path_factory.mktemp("market")
    ran = weathervane(
        "market", "--world", "clear", "--symbols", 6, "--sessions", 260, "--seed", 3, "--out", out
    )
    assert ran.code == 0, ran.err
    return out
