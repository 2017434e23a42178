"""A small panel, its walk-forward and its evidence, made once."""

import pytest

from backtest.market.panel import Panel
from ml.evidence import Evidence
from ml.walk_tables import evidence_of
from ml.walkforward import WalkForward, walk_forward
from tests.ml.panels import small_world
from tests.ml.small_walk import NAME, SPEC


@pytest.fixture(scope="session")
def panel() -> Panel:
    return small_world(sessions=340)[0]


@pytest.fixture(scope="session")
def walk(panel: Panel) -> WalkForward:
    return walk_forward(panel, [NAME], SPEC)


@pytest.fixture(scope="session")
def evidence(walk: WalkForward) -> Evidence:
    return evidence_of(walk)
