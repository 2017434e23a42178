"""The leak detector and networks: one is trained inside the proof, and a leak into it is caught."""

import dataclasses

import numpy as np
import pytest

from backtest.market.panel import Panel
from ml.fitter.fitter import NeuralFitter
from ml.learner import LearnerView
from ml.proof import leaks
from ml.proof.leak_market import market
from ml.proof.leaks import SMALL, Scene, named, prove

CUT = 271
"""The first fit is on the sessions before 270."""
AHEAD = 30
"""Sessions that the planted leak reads too far."""


@pytest.fixture(scope="module")
def panel() -> Panel:
    return market()


@pytest.fixture(scope="module")
def scene(panel: Panel) -> Scene:
    """Everything that is said of the last session but one."""
    scene = Scene(panel)
    for name in ("neural", "student"):
        leaks.decide(418, scene.history, SMALL.with_learner(name), memo=scene.memo)
    return scene


def kept(scene: Scene, learner: str) -> list:
    policy = SMALL.with_learner(learner)
    return [scene.memo.selections[policy, one][1] for one in scene.history.strategies]


def test_networks_are_trained_inside_the_proof(scene: Scene):
    for selection in kept(scene, "neural"):
        assert selection.table is None
        ((_, fitter),) = selection.fitters.items()
        assert list(selection.fitters) == [(0, 350)]  # the second fit, on from the first
        assert {row["stage"] for row in fitter.history[0]} == {1, 2}


def test_whoever_listens_hears_the_trained_network(scene: Scene):
    """What the ensemble reads of ``neural`` is the table first, and a network once there is one."""
    for name in scene.history.strategies:
        heard = scene.memo.proposals[SMALL.with_learner("neural"), name].rows
        table = scene.memo.proposals[SMALL.with_learner("regime_table"), name].rows
        np.testing.assert_array_equal(heard[150:270], table[150:270])
        assert (heard[270:418] != table[270:418]).any(axis=1).all()
    assert all(selection.network is not None for selection in kept(scene, "student"))


def test_the_proof_tries_the_trained_network(panel: Panel):
    found = prove(named("neural"), panel, (7, 269, CUT))
    assert [(one.kind, one.cuts) for one in found] == [("learner", 2)] * 2 + [("network", 1)] * 2
    assert not any(one.guilty for one in found)


@pytest.mark.parametrize("what", ["returns", "state"])
def test_a_network_that_learns_from_later_sessions_is_caught(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, what: str
):
    """Only the training reads ahead; what is decided from its weights is honest."""
    honest_decide, honest_fit, known = leaks.decide, NeuralFitter.fit, {}

    def noting(t, history, policy, **options):
        known["history"] = history
        return honest_decide(t, history, policy, **options)

    def later(view: LearnerView) -> LearnerView:
        history = known["history"]
        at = np.minimum(np.arange(view.sessions) + AHEAD, history.sessions - 1)
        if what == "state":
            changed = dataclasses.replace(view.market, state=history.state[at])
            return dataclasses.replace(view, market=changed)
        (one,) = [s for s in history.strategies.values() if s.grid is view.grid]
        return dataclasses.replace(view, returns=one.returns[:, at])

    def peeking(view, *args, **options):
        return honest_fit(later(view), *args, **options)

    monkeypatch.setattr(leaks, "decide", noting)
    monkeypatch.setattr(NeuralFitter, "fit", peeking)
    (suspect,) = [one for one in named("neural") if one.kind == "network"]
    assert [one.guilty for one in prove([suspect], panel, [CUT])] == [(str(panel.dates[CUT]),)] * 2
