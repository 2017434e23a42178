"""The online model: delayed outcomes, prequential scores, alarms, and its three verbs."""

import numpy as np
import pytest

from backtest.errors import NotFittedError, UnknownNameError
from ml.online.config import OnlineConfig
from ml.online.drift import DETECTORS
from ml.online.features import described
from ml.online.model import OnlineModel
from tests.ml.histories import small_grid

GRID = small_grid(periods=(3, 8, 20, 40))
COLUMNS = ("trend", "calm")
MOMENTUM = GRID["direction"] == "momentum"


def outcomes(trend: float, *, sign: float = 1.0, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Momentum earns where the trend is up, reversion where it is down; ``[param]``."""
    random = np.random.default_rng(seed)
    return sign * np.where(MOMENTUM, trend, -trend) * 0.1 + noise * random.normal(size=GRID.size)


def taught(decisions: int = 80, *, delay: int = 6, flip: int | None = None, **config):
    """A model and, per decision, its ranking score; outcomes come ``delay`` decisions later."""
    model = OnlineModel(GRID, COLUMNS, OnlineConfig(**config))
    random = np.random.default_rng(3)
    trends = np.where(np.arange(decisions) // 10 % 2 == 0, 1.0, -1.0)
    states = np.column_stack(
        [trends + 0.2 * random.normal(size=decisions), random.normal(size=decisions)]
    )
    scores = []
    for k in range(decisions):
        if k >= delay:
            s = k - delay
            sign = -1.0 if flip is not None and s >= flip else 1.0
            model.update_from_backtest(
                outcomes(trends[s], sign=sign, noise=0.02, seed=s), later=states[s + 1], mean=0.05
            )
            scores.append(model.scores()["ranking_accuracy"])
        model.observe(states[k])
    return model, scores


def test_it_learns_which_sets_a_state_favours():
    model, _ = taught(160, rate=0.02)
    for trend, wanted in ((1.0, "momentum"), (-1.0, "reversion")):
        found = model.predict_optimal_parameters(np.array([trend, 0.0]))
        assert found["direction"] == wanted
        assert found in GRID.rows()
    assert model.get_confidence_score() > 0.7


def test_a_prediction_is_scored_as_it_was_at_the_decision():
    """On noise whose outcomes overlap, predicting anew just before learning would look skilled."""
    random = np.random.default_rng(0)
    steps = random.normal(size=(400, GRID.size))
    model, delay = OnlineModel(GRID, COLUMNS, OnlineConfig(rate=0.02)), 6
    ranks = []
    for k in range(400 - delay):
        model.observe(random.normal(size=2))
        if k >= delay:
            model.update_from_backtest(steps[k - delay : k].mean(axis=0), later=np.zeros(2))
            ranks.append(model.scores()["ranking_accuracy"])
    assert np.mean(ranks[100:]) == pytest.approx(0.5, abs=0.04)


def test_noise_earns_no_confidence():
    random = np.random.default_rng(1)
    model = OnlineModel(GRID, COLUMNS)
    for k in range(200):
        model.observe(random.normal(size=2))
        if k >= 6:
            model.update_from_backtest(random.normal(size=GRID.size), later=np.zeros(2))
    assert model.get_confidence_score() == pytest.approx(0.5, abs=0.15)
    assert not model.alarms


def test_a_world_turned_round_raises_an_alarm_that_passes():
    model, _ = taught(900, flip=450, rate=0.02, pause=12)
    assert model.alarms
    assert min(model.alarms) >= 450
    before, _ = taught(900, rate=0.02)
    assert not before.alarms
    alarmed, _ = taught(min(model.alarms) + 6 + 5, flip=450, rate=0.02, pause=12)
    assert alarmed.alarmed
    assert alarmed.get_confidence_score() == 0.0
    assert not model.alarmed or model.decisions - model.alarms[-1] < 12


@pytest.mark.parametrize("name", DETECTORS.names())
def test_every_detector_hears_errors_that_grow_and_stays_still_on_steady_ones(name: str):
    random = np.random.default_rng(4)
    steady, growing = DETECTORS.get(name)(0), DETECTORS.get(name)(0)
    false = heard = 0
    for k in range(600):
        error = 0.3 + 0.05 * random.normal()
        steady.update(error)
        false += bool(steady.drift_detected)
        growing.update(error + (0.5 if k >= 400 else 0.0))
        heard += bool(growing.drift_detected and k >= 400)
    assert heard
    assert false <= 1


def test_the_regime_that_comes_is_predicted():
    model, _ = taught(200)
    told = model.predict_regime(np.array([1.2, 0.0]))
    assert sum(told.values()) == pytest.approx(1.0)
    assert told["bull"] > told["bear"]
    assert model.estimate_performance(np.array([1.0, 0.0])) == pytest.approx(0.05, abs=0.02)


def test_nothing_learned_is_one_line():
    model = OnlineModel(GRID, COLUMNS)
    with pytest.raises(NotFittedError, match="E_NOT_FITTED: the online model has learned nothing"):
        model.predict_optimal_parameters(np.zeros(2))
    with pytest.raises(NotFittedError, match="no decision waits"):
        model.update_from_backtest(np.zeros(GRID.size), later=np.zeros(2))
    assert model.get_confidence_score() == 0.5


def test_unknown_state_and_outcomes_change_no_weight():
    model, _ = taught(60)
    before = dict(model._parameters.weights)
    model.observe(np.array([np.nan, np.nan]))
    while model.observed > model.decisions:
        model.update_from_backtest(np.full(GRID.size, np.nan), later=np.array([np.nan, np.nan]))
    assert model._parameters.weights == before
    assert np.isfinite(model.predict(np.array([np.nan, 1.0]))).all()


def test_an_unknown_detector_is_one_line():
    with pytest.raises(UnknownNameError, match="E_UNKNOWN: unknown drift detector 'adwyn'"):
        OnlineModel(GRID, COLUMNS, OnlineConfig(detector="adwyn"))


def test_descriptions_are_centred_and_tell_all_sets_apart():
    found = described(GRID)
    assert len(np.unique(found, axis=0)) == GRID.size
    np.testing.assert_array_equal(found[:, 0], 1.0)
    assert np.abs(found).max() <= 1.0
