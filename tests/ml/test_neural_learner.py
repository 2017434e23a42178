"""The learner neural with real fits: the table first, then networks, whatever the way there."""

import dataclasses
from functools import lru_cache

import numpy as np
import pytest

from backtest.errors import ConfigError
from ml.fitter.config import FitterConfig
from ml.fitter.lessons import Windows
from ml.learner import LearnerView, Market, heaviest
from ml.learners.neural import Neural
from ml.policy import PolicyConfig
from ml.train import TrainConfig
from tests.ml.histories import (
    COLUMNS,
    days,
    planted_returns,
    planted_state,
    small_grid,
    spells,
)

SESSIONS = 620
GRID = small_grid()
STATES = spells(SESSIONS)
RETURNS = planted_returns(GRID, STATES)
STATE = planted_state(STATES)


@dataclasses.dataclass(frozen=True)
class Quick(Neural):
    """Small networks and few epochs; everything else is as it is."""

    least: int = 360
    refit: int = 120

    def fitter_config(self) -> FitterConfig:
        windows = Windows(sequence=60, overlap=30, step=5, held_out=60, passes=2)
        return FitterConfig(
            components=4,
            seeds=1,
            refine_epochs=2,
            windows=windows,
            training=TrainConfig(epochs=6, batch=8),
        )


LEARNER = Quick()


def view_of(
    start: int, stop: int, *, returns: np.ndarray = RETURNS, state: np.ndarray = STATE
) -> LearnerView:
    told = np.eye(2)[STATES[start:stop]]
    market = Market(
        days(SESSIONS)[start:stop],
        state[start:stop],
        COLUMNS,
        np.full((GRID.size, stop - start), 0.1),
    )
    names = ("bull calm", "bear volatile")
    return LearnerView(GRID, returns[:, start:stop], told, names, first=start, market=market)


@lru_cache
def selected(stop: int, start: int = 0):
    """A selection from nothing."""
    return LEARNER.select(view_of(start, stop))


def test_before_the_first_fit_the_table_speaks():
    view = view_of(0, 359)
    early = LEARNER.select(view)
    assert not early.fitters
    expected = LEARNER.table.weigh(LEARNER.table.select(view), view)
    np.testing.assert_array_equal(LEARNER.weigh(early, view), expected)


def test_a_fit_is_made_when_it_is_due_and_kept_until_the_next():
    first = selected(360)
    assert list(first.fitters) == [(0, 360)]
    kept = LEARNER.select(view_of(0, 479), before=first)
    assert kept.fitters[0, 360] is first.fitters[0, 360]
    assert list(LEARNER.select(view_of(0, 480), before=kept).fitters) == [(0, 480)]


def test_the_way_there_does_not_matter():
    """Going on from the selection before, and from nothing, end in the same weights."""
    gone_on = LEARNER.select(view_of(0, 485), before=selected(360))
    fresh = selected(485)
    one, other = (selection.fitters[0, 480].arrays() for selection in (gone_on, fresh))
    assert one.keys() == other.keys()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_a_mix_is_one_and_moves_with_the_state():
    chosen, mixes = selected(480), []
    for stop in range(481, 560):
        weights = LEARNER.weigh(chosen, view_of(0, stop))
        assert weights.min() >= 0.0
        assert weights.sum() <= 1.0 + 1e-9
        mixes.append(weights)
    momentum = np.array(mixes)[:, GRID["direction"] == "momentum"].sum(axis=1)
    today = STATES[480:559]
    assert momentum[today == 0].mean() > momentum[today == 1].mean() + 0.2


def test_what_comes_after_the_fit_does_not_reach_it():
    """Sessions at hand when a fit is made, but not before its stop, leave its weights alone."""
    random = np.random.default_rng(1)
    returns, state = RETURNS.copy(), STATE.copy()
    returns[:, 480:] = random.normal(0.0, 0.05, returns[:, 480:].shape)
    state[480:] = random.normal(0.0, 3.0, state[480:].shape)
    mine = LEARNER.select(view_of(0, 500, returns=returns, state=state))
    plain = selected(500)
    one, other = (selection.fitters[0, 480].arrays() for selection in (plain, mine))
    assert one.keys() == other.keys()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
    assert plain.fitters[0, 480].plain() == mine.fitters[0, 480].plain()
    assert not np.array_equal(plain.scores, mine.scores)  # what it is asked about did change


def test_a_rolling_window_moves_in_steps_of_a_refit():
    """The fit is on sessions that stay in the window until the next one is due."""
    early, late = selected(500, 130), LEARNER.select(view_of(200, 600), before=None)
    assert list(early.fitters) == [(240, 600)] or not early.fitters
    assert list(late.fitters) == [(240, 600)]


def test_a_window_that_rolls_on_between_selections_is_read_as_a_whole():
    chosen, later = LEARNER.select(view_of(240, 600)), view_of(243, 603)
    ((_, fitter),) = chosen.fitters.items()
    np.testing.assert_allclose(
        LEARNER.weigh(chosen, later),
        heaviest(fitter.mixes(later)[:, -1].mean(axis=0), LEARNER.members),
    )


@pytest.mark.parametrize("name", ["neural", "ensemble", "ensemble_earned", "student"])
def test_a_rolling_window_without_a_fit_is_refused(name: str):
    short = PolicyConfig(learner=name, window="rolling", train=756)
    with pytest.raises(ConfigError, match=r"E_CONFIG: .* rolling window of 756 .*at least 1259"):
        short.build()
    assert short.model_copy(update={"train": 1259}).build()
    assert PolicyConfig(learner="regime_table", window="rolling").build()


def test_the_policy_names_what_defines_it():
    told = Neural().config()
    assert told["learner"] == "neural"
    assert told["fitter"]["extractor"] == "tcn"
    assert told["fitter"]["clear"] == 3.0
    assert Neural(refit=252).config() != told
