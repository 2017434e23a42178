"""The bounded step from what is run to what was decided."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.decision import transition
from ml.export.records import Decision, ParameterSet, Regime, Verdict
from ml.export.transition import bounded_step
from ml.policy import PolicyConfig
from tests.ml.histories import small_grid

SETS = 40


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Total variation with cash as one more member."""
    change = other - one
    return 0.5 * float(np.abs(change).sum() + abs(change.sum()))


@st.composite
def mixes(draw: st.DrawFn, members: int = 16) -> np.ndarray:
    count = draw(st.integers(0, members))
    places = draw(st.permutations(range(SETS)))[:count]
    parts = [draw(st.floats(0.01, 1.0)) for _ in range(count)]
    weights = np.zeros(SETS)
    invested = draw(st.sampled_from([1.0, 0.7, 0.05]))
    for place, part in zip(places, parts, strict=True):
        weights[place] = part / sum(parts) * invested
    return weights


@settings(max_examples=200, deadline=None)
@given(previous=mixes(), target=mixes(), max_step=st.sampled_from([0.05, 0.25, 1.0]))
def test_a_step_keeps_every_bound(previous: np.ndarray, target: np.ndarray, max_step: float):
    out = bounded_step(previous, target, max_step=max_step, members=16)
    assert (out >= 0.0).all()
    assert out.sum() <= 1.0 + 1e-9
    assert np.count_nonzero(out) <= 16
    assert distance(previous, out) <= max_step + 1e-9
    assert distance(out, target) <= distance(previous, target) + 1e-9


@settings(max_examples=100, deadline=None)
@given(previous=mixes(), target=mixes(), max_step=st.sampled_from([0.1, 0.25]))
def test_a_standing_target_is_reached(previous: np.ndarray, target: np.ndarray, max_step: float):
    at = previous
    for _ in range(int(2 / max_step) + 2):
        at = bounded_step(at, target, max_step=max_step, members=16)
    assert at == pytest.approx(target, abs=1e-9)


def test_within_reach_is_reached_exactly():
    previous, target = np.array([0.5, 0.5]), np.array([0.4, 0.6])
    assert bounded_step(previous, target, max_step=0.25, members=16) is target


def test_from_one_set_to_a_mix_by_hand():
    previous = np.array([1.0, 0.0, 0.0, 0.0])
    target = np.array([0.0, 0.2, 0.5, 0.3])
    first = bounded_step(previous, target, max_step=0.25, members=16)
    assert first.tolist() == pytest.approx([0.75, 0.0, 0.25, 0.0])
    second = bounded_step(first, target, max_step=0.25, members=16)
    assert second.tolist() == pytest.approx([0.5, 0.0, 0.5, 0.0])  # the heaviest is filled first
    third = bounded_step(second, target, max_step=0.25, members=16)
    assert third.tolist() == pytest.approx([0.25, 0.0, 0.5, 0.25])


def test_full_houses_swap_whole_members():
    """Sixteen sets out, sixteen others in: places come free before they are taken."""
    previous, target = np.zeros(32), np.zeros(32)
    previous[:16], target[16:] = 1 / 16, 1 / 16
    out = bounded_step(previous, target, max_step=0.25, members=16)
    assert np.count_nonzero(out[:16]) == 12
    assert np.count_nonzero(out[16:]) == 4
    assert out.sum() == pytest.approx(1.0)


def test_to_cash():
    out = bounded_step(np.array([0.6, 0.4]), np.zeros(2), max_step=0.3, members=16)
    assert out.tolist() == pytest.approx([0.6, 0.1])  # the lightest leaves first


def proposal(weights: np.ndarray) -> Decision:
    regime = Regime("bull", {"bull": 1.0}, "2020-01-01")
    return Decision(
        strategy="s",
        session=300,
        date="2020-01-02",
        grid=small_grid(),
        weights=weights,
        regime=regime,
        by_regime={},
        confidence=0.6,
        parameter_confidence={},
        selected_at=300,
        refitted_at=300,
    )


def verdict(*, promote: bool) -> Verdict:
    return Verdict(promote, (), 300, None, "default")


def run(champion: str) -> ParameterSet:
    weights = np.array([0.0, 0.0, 1.0])
    return ParameterSet("s", champion, weights, "hold")


POLICY = PolicyConfig(max_step=0.4)


def test_a_hold_keeps_what_is_run():
    kept = transition(
        run("incumbent"), proposal(np.array([1.0, 0.0])), verdict(promote=False), policy=POLICY
    )
    assert (kept.champion, kept.action) == ("incumbent", "hold")
    assert kept.weights.tolist() == [0.0, 0.0, 1.0]


def test_a_promotion_moves_in_bounded_steps():
    moved = transition(
        run("default"), proposal(np.array([1.0, 0.0])), verdict(promote=True), policy=POLICY
    )
    assert (moved.champion, moved.action) == ("regime_aware", "update")
    assert moved.weights.tolist() == pytest.approx([0.4, 0.0, 0.6])


def test_the_promoted_policy_stays():
    """After a promotion the proposal is run, whatever the last table said."""
    moved = transition(
        run("regime_aware"), proposal(np.array([0.5, 0.5])), verdict(promote=False), policy=POLICY
    )
    assert (moved.champion, moved.action) == ("regime_aware", "update")
    assert moved.weights.tolist() == pytest.approx([0.4, 0.0, 0.6])


def test_a_proposal_that_is_not_sure_changes_nothing():
    """No evidence amounts to one half, and one half is not above it."""
    weights = np.array([1.0, 0.0])
    unsure = dataclasses.replace(proposal(weights), confidence=0.5)
    for champion in ("default", "regime_aware"):
        kept = transition(run(champion), unsure, verdict(promote=True), policy=POLICY)
        assert (kept.champion, kept.action) == (champion, "hold")
        assert kept.weights.tolist() == [0.0, 0.0, 1.0]
        assert kept.unsure == "confidence 0.500 is not above 0.5"
    bold = POLICY.model_copy(update={"least_confidence": 0.0})
    moved = transition(run("default"), unsure, verdict(promote=True), policy=bold)
    assert (moved.action, moved.unsure) == ("update", "")
