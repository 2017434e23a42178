"""The regime model finds the planted states, out of sample, and without the giveaways."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from backtest.market.synthetic import FIRST_SESSION, WorldConfig, WorldName, generate
from ml.market_state import market_state, state_matrix
from ml.proof.calibration import Calibration, calibration, planted_probabilities
from ml.regime import REGIMES
from ml.regime_track import track

TRAIN, REFIT = 756, 125
FRESH = range(500, 505)


def told(
    world: WorldName,
    seed: int,
    *,
    sessions: int = 3024,
    symbols: int = 100,
    drop: str = "",
    model: str = "hmm",
) -> Calibration:
    """How the published probabilities compare with the planted states, out of sample."""
    days = [FIRST_SESSION + timedelta(days=i) for i in range(sessions)]
    made = generate(WorldConfig(world=world, seed=seed, symbols=symbols), days)
    frame: pl.DataFrame = made.bars.drop(drop.split()) if drop else made.bars
    state, columns = state_matrix(market_state(frame.lazy()))
    lane = track(state, columns, REGIMES.get(model), train=TRAIN, refit=REFIT, seed=0)
    raw = [pl.col("^state_\\d+$")]
    found = lane.published().select(raw).to_numpy()[TRAIN:]
    truth = made.states[TRAIN:]
    return calibration(planted_probabilities(found, truth), truth)


def accuracy(world: WorldName, seed: int, *, drop: str = "") -> float:
    """Share of out-of-sample sessions whose likeliest published state is the planted one."""
    return told(world, seed, drop=drop).accuracy


def test_one_clear_world() -> None:
    found = told("clear", 500, sessions=2000, symbols=60)
    assert found.accuracy >= 0.85
    assert found.error <= 0.06


@pytest.mark.parametrize("model", ["mixture", "jump"])
def test_other_models_find_the_states_of_one_clear_world(model: str) -> None:
    found = told("clear", 500, sessions=1500, symbols=60, model=model)
    assert found.accuracy >= 0.8
    assert found.error <= 0.12


@pytest.mark.slow
def test_clear_worlds() -> None:
    assert np.mean([accuracy("clear", seed) for seed in FRESH]) >= 0.92


@pytest.mark.slow
def test_murky_worlds() -> None:
    assert np.mean([accuracy("murky", seed) for seed in FRESH]) >= 0.82


@pytest.mark.slow
def test_murky_worlds_without_volume_and_sectors() -> None:
    found = [accuracy("murky", seed, drop="volume sector") for seed in FRESH]
    assert np.mean(found) >= 0.70
