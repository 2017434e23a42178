"""What only a known truth can tell, with numbers worked out by hand."""

import numpy as np
import pytest

from ml.market_state import STATE_COLUMNS, market_state, state_matrix
from ml.proof.measures import detection, ranking_accuracy, supervised_accuracy
from ml.regime import REGIMES
from ml.regime_track import matched_states, state_accuracy, track
from tests.ml.panels import small_world


def test_states_are_renamed_by_the_best_assignment():
    found = np.array([2, 2, 0, 0, 1])
    truth = np.array([0, 0, 1, 1, 1])
    renamed = matched_states(found, truth)
    assert renamed[:4].tolist() == [0, 0, 1, 1]
    assert renamed[4] == 2  # a spare state is never right


def test_detection_counts_sessions_to_the_first_right_name():
    truth = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 2, 2])
    found = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 2])
    seen = detection(found, truth)
    assert seen.delays == (2, 0, 0)
    assert seen.missed == 0


def test_a_state_that_ended_before_it_was_named_is_missed():
    truth = np.array([0, 0, 0, 1, 0, 0, 1, 1])
    found = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    seen = detection(found, truth)
    assert (seen.delays, seen.missed) == ((0, 0), 1)


def test_a_state_that_has_not_ended_is_not_missed_yet():
    truth = np.array([0, 0, 1, 1, 0, 0, 0, 1])
    found = np.array([0, 0, 1, 1, 0, 0, 0, 0])
    assert (detection(found, truth).delays, detection(found, truth).missed) == ((0, 0), 0)


def test_flicker_finds_states_quickly_and_is_told_by_its_changes():
    truth = np.repeat([0, 1, 0, 1], 25)
    flicker = np.arange(100) % 2
    seen = detection(flicker, truth)
    assert max(seen.delays) <= 1
    assert seen.named == 99


def test_no_change_no_delay():
    assert detection(np.zeros(5, dtype=int), np.zeros(5, dtype=int)).delays == ()


def test_ranking_counts_material_pairs_only():
    # Gaps of outcome: 1, 5, 4; the median is 4, so only the pair (0, 2) is material.
    outcomes = np.array([0.0, 1.0, 5.0])
    assert ranking_accuracy(np.array([0.0, 9.0, 5.0]), outcomes) == 1.0
    assert ranking_accuracy(np.array([5.0, 9.0, 0.0]), outcomes) == 0.0
    assert ranking_accuracy(np.array([1.0, 9.0, 1.0]), outcomes) == 0.5


def test_ranking_of_equal_outcomes_says_nothing():
    assert ranking_accuracy(np.arange(4.0), np.zeros(4)) is None
    assert ranking_accuracy(np.arange(4.0), np.array([0.0, 1.0, 0.0, 1.0])) is None


def test_noise_ranks_half_of_the_pairs():
    random = np.random.default_rng(0)
    shares = [ranking_accuracy(random.normal(size=60), random.normal(size=60)) for _ in range(200)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)


def test_the_supervised_filter_reads_states_that_are_far_apart():
    random = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2, 1, 0, 2], 60)
    state = random.normal(size=(360, 5)) + 4.0 * truth[:, None] * np.array([1, 0, 0, 0, 0])
    state[:10] = np.nan
    assert supervised_accuracy(state, STATE_COLUMNS, truth, start=100) > 0.98
    noise = random.normal(size=(360, 5))
    assert supervised_accuracy(noise, STATE_COLUMNS, truth, start=100) < 0.75


@pytest.mark.parametrize("how", ["a state before anything is known", "nothing known", "constant"])
def test_without_rows_of_every_state_there_is_no_supervised_accuracy(how: str):
    truth, state = np.repeat([0, 1], 50), np.random.default_rng(3).normal(size=(100, 5))
    if how == "nothing known":
        state[:] = np.nan
    elif how == "constant":
        state[:, 2] = 1.0
    else:
        truth[:4], state[:5] = 2, np.nan
    assert supervised_accuracy(state, STATE_COLUMNS, truth, start=20) is None


def test_the_supervised_filter_survives_a_move_that_never_happened():
    random = np.random.default_rng(2)
    truth = np.repeat([0, 1, 2], 50)  # never from 0 to 2
    state = random.normal(size=(150, 5)) + 8.0 * truth[:, None]
    state[20] = 16.0  # looks like 2 in the midst of 0
    assert supervised_accuracy(state, STATE_COLUMNS, truth, start=0) > 0.95


def test_the_supervised_filter_loses_nothing_to_the_one_that_had_to_learn():
    panel, truth = small_world("clear", symbols=60, sessions=900, seed=3)
    state, columns = state_matrix(market_state(panel.frame().lazy()))
    learnt = track(state, columns, REGIMES.get("hmm"), train=300, refit=200, seed=0).published()
    found = learnt["state"].to_numpy()[300:].astype(int)
    told = supervised_accuracy(state, columns, truth.states, start=300)
    assert told >= state_accuracy(found, truth.states[300:]) - 0.02
