"""What every registered learner must keep, found through the registry."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.decision import Memo, decide
from ml.history import History
from ml.learner import LEARNERS, LearnerView, Market, needs_of
from ml.policy import PolicyConfig
from ml.proof.small_networks import SmallNetworks
from tests.ml.histories import (
    COLUMNS,
    days,
    planted_history,
    planted_returns,
    planted_state,
    small_grid,
    spells,
    view_of,
)

NAMES = LEARNERS.names()
# More sets than a mix may hold.
GRID = small_grid(periods=(3, 5, 8, 14, 20, 28, 40), widths=(10.0, 15.0, 20.0))


def a_view(seed: int, sessions: int = 260, states: int = 3) -> LearnerView:
    """What there is to know, with proposals of every learner that some other one listens to."""
    random = np.random.default_rng(seed)
    returns = planted_returns(GRID, spells(sessions), seed=seed)
    returns[random.random(GRID.size) < 0.1] = 0.0  # dead sets
    view = view_of(GRID, returns, random.dirichlet(np.full(states, 0.3), sessions))
    state = planted_state(spells(sessions), seed=seed)
    market = Market(days(sessions), state, COLUMNS, random.uniform(0.0, 0.4, returns.shape))
    heard = sorted({need for name in NAMES for need in needs_of(learner_of(name))})
    proposals = {name: random.dirichlet(np.full(GRID.size, 0.1), sessions) for name in heard}
    return dataclasses.replace(view, market=market, proposals=proposals)


def cut(view: LearnerView, stop: int) -> LearnerView:
    return view.rows(0, stop)


def learner_of(name: str):
    return PolicyConfig(learner=name).build()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), sessions=st.integers(2, 300))
def test_weights_are_a_mix(name: str, seed: int, sessions: int):
    learner, view = learner_of(name), a_view(seed, sessions)
    weights = learner.weigh(learner.select(view), view)
    assert weights.shape == (GRID.size,)
    assert weights.dtype == np.float64
    assert np.isfinite(weights).all()
    assert (weights >= 0.0).all()
    assert weights.sum() <= 1.0 + 1e-12
    assert np.count_nonzero(weights) <= 16


@pytest.mark.parametrize("name", NAMES)
def test_the_same_view_gives_the_same_bytes(name: str):
    learner, view = learner_of(name), a_view(1)
    first = learner.weigh(learner.select(view), view)
    again = learner_of(name).weigh(learner_of(name).select(a_view(1)), a_view(1))
    assert first.tobytes() == again.tobytes()


LAST = 276
"""Last session of the histories' common past; far enough for trees and networks to be fitted."""


def a_history(*, other: bool) -> History:
    """Two histories whose returns, turnover and state part after ``LAST``."""
    known, random = planted_history(290), np.random.default_rng(int(other))
    one = known.strategies["swing_0"]
    turnover = np.random.default_rng(7).uniform(0.0, 0.4, one.returns.shape)
    later = np.arange(known.sessions) > LAST
    if other:
        one = dataclasses.replace(
            one, returns=np.where(later, random.normal(0.0, 0.1, turnover.shape), one.returns)
        )
        turnover = np.where(later, 1.5, turnover)
        state = np.where(later[:, None], random.normal(0.0, 5.0, known.state.shape), known.state)
        known = dataclasses.replace(known, state=state)
    told = dataclasses.replace(one, turnover=turnover)
    return dataclasses.replace(known, strategies={"swing_0": told})


@pytest.mark.parametrize("name", NAMES)
def test_nothing_after_the_decision_matters(name: str):
    """Decisions up to the day on which two histories part, each history whole at hand."""
    policy = SmallNetworks(learner=name, regime_model="rules", train=240, step=5, refit=20)
    told: list[list[tuple[object, ...]]] = []
    for other in (False, True):
        history, memo = a_history(other=other), Memo()
        made = [decide(t, history, policy, memo=memo)["swing_0"] for t in range(240, LAST + 5)]
        told.append(
            [(d.weights.tobytes(), d.confidence, d.parameter_confidence, d.by_regime) for d in made]
        )
    common = LAST + 1 - 240
    assert told[0][:common] == told[1][:common]
    if name != "cash":
        assert told[0][-1] != told[1][-1]  # after the next selection


@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_selection_saves_work_and_changes_nothing(name: str):
    learner, view = SmallNetworks(learner=name).build(), a_view(2, 290)
    before = learner.select(cut(view, 272))  # one that fits keeps what it fitted there
    late = cut(view, 278)
    on, anew = learner.select(late, before=before), learner.select(late)
    assert on.scores.tobytes() == anew.scores.tobytes()
    assert learner.weigh(on, view).tobytes() == learner.weigh(anew, view).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_view_is_only_read(name: str):
    view = a_view(3)
    told = (view.market.dates, view.market.state, view.market.turnover)
    for array in (view.returns, view.probabilities, *told, *view.proposals.values()):
        array.setflags(write=False)
    learner = learner_of(name)
    selection = learner.select(view)
    first = learner.weigh(selection, view)
    assert np.array_equal(first, learner.weigh(selection, view))


@pytest.mark.parametrize("name", NAMES)
def test_a_selection_speaks_for_every_set(name: str):
    selection = learner_of(name).select(a_view(4))
    assert selection.scores.shape == (len(selection.sessions), GRID.size)
    assert not np.isnan(selection.scores).any()
    assert (selection.sessions >= 0.0).all()


UNPICKED = ("cash", "directions", "online")  # nothing, halves, and sets by their description alone
PICKING = [n for n in NAMES if n not in UNPICKED and not needs_of(learner_of(n))]


@pytest.mark.parametrize("name", PICKING)  # the others pick no sets
def test_an_outstanding_set_is_the_heaviest(name: str):
    view = a_view(5)
    best = int(np.flatnonzero(view.returns.any(axis=1))[7])
    view.returns[best, 1:] = 0.01 + 0.01 * np.sin(np.arange(view.sessions - 1))
    learner = learner_of(name)
    assert int(learner.weigh(learner.select(view), view).argmax()) == best


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_is_plain_and_names_the_learner(name: str):
    config = learner_of(name).config()
    assert config["learner"] == name
    assert json.loads(json.dumps(config)) == config


@pytest.mark.parametrize("name", NAMES)
def test_sets_that_are_all_equal_are_treated_alike(name: str):
    view = a_view(6)
    returns = np.tile(view.returns[view.returns.any(axis=1)][0], (GRID.size, 1))
    proposals = {n: np.full_like(one, 1.0 / GRID.size) for n, one in view.proposals.items()}
    same = dataclasses.replace(view, returns=returns, proposals=proposals)
    learner = learner_of(name)
    weights = learner.weigh(learner.select(same), same)
    assert weights.sum() <= 1.0 + 1e-12
    if name not in ("argmax_static", "bandit", "student"):  # picks, draws, and comes near
        held = weights[weights > 0.0]
        assert held == pytest.approx(np.full(len(held), held.mean() if len(held) else 0.0))


@pytest.mark.parametrize("name", NAMES)
def test_a_set_that_never_trades_is_not_held(name: str):
    view = a_view(7)
    still = ~view.returns.any(axis=1)
    assert still.any()
    proposals = {n: np.where(still, 0.0, one) for n, one in view.proposals.items()}
    known = dataclasses.replace(view, proposals=proposals)
    learner = learner_of(name)
    weights = learner.weigh(learner.select(known), known)
    if name not in ("directions", "experts"):  # to these it is cash by another name
        assert not weights[still].any()


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_market_state_is_no_obstacle(name: str):
    view = a_view(8)
    unknown = dataclasses.replace(
        view, market=dataclasses.replace(view.market, state=np.full_like(view.market.state, np.nan))
    )
    learner = learner_of(name)
    weights = learner.weigh(learner.select(unknown), unknown)
    assert np.isfinite(weights).all()
    assert weights.sum() <= 1.0 + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_one_set_only(name: str):
    view = a_view(9)
    row = int(np.flatnonzero(view.returns.any(axis=1))[0])
    alone = dataclasses.replace(
        view,
        grid=GRID.take(np.array([row])),
        returns=view.returns[[row]],
        market=dataclasses.replace(view.market, turnover=view.market.turnover[[row]]),
        proposals={n: one[:, [row]] for n, one in view.proposals.items()},
    )
    learner = learner_of(name)
    weights = learner.weigh(learner.select(alone), alone)
    assert weights.shape == (1,)
    assert 0.0 <= weights[0] <= 1.0 + 1e-12


@pytest.mark.parametrize("shrinkage", [60.0, 0.0])
@pytest.mark.parametrize("name", NAMES)
def test_a_regime_never_seen_leans_on_all_sessions(name: str, shrinkage: float):
    """A state of probability 0 until today: scores exist, weights are a mix."""
    view = a_view(10)
    probabilities = np.column_stack([view.probabilities, np.zeros(view.sessions)])
    probabilities[-1] = [0.0, 0.0, 0.0, 1.0]
    fresh = dataclasses.replace(
        view, probabilities=probabilities, regimes=(*view.regimes, "regime 3")
    )
    learner = PolicyConfig(learner=name, shrinkage=shrinkage).build()
    selection = learner.select(fresh)
    weights = learner.weigh(selection, fresh)
    assert not np.isnan(selection.scores).any()
    assert np.isfinite(weights).all()
    assert weights.sum() <= 1.0 + 1e-12
