"""For: one run of the whole chain that tests of the wiring share. Not for: tests."""

from pathlib import Path

import pytest

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
