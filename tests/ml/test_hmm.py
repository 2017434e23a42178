"""The hidden Markov model on chains whose truth is known, and its behaviour on poor input."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from backtest.errors import NotFittedError
from backtest.seeds import generator
from ml.hidden_markov import (
    Chain,
    climb,
    evidence_of,
    filtered,
    forward,
    log_density,
    smoothed,
    stationary,
    sticky_prior,
)
from ml.market_state import AXES, CORRELATION, STATE_COLUMNS, TREND, VOLATILITY, VOLUME
from ml.regime import REGIMES
from ml.regime_track import state_accuracy
from ml.regime_window import NumberPrior
from ml.regimes.hmm import HmmModel

COLUMNS = (*STATE_COLUMNS, TREND, VOLATILITY)
STAY = np.full((3, 3), 0.01) + 0.97 * np.eye(3)
CENTRES = np.array(
    [
        [0.9, -0.4, -0.6, 0.5, 0.4, 0.001, -5.0],
        [-0.2, -0.5, 0.2, -0.8, -0.5, 0.0, -4.8],
        [-0.7, 0.9, 0.9, 0.2, -0.4, -0.002, -4.0],
    ]
)


def planted(sessions: int, seed: int = 1, move: np.ndarray = STAY) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``[T, 7]`` in the order of COLUMNS, and the states behind them."""
    random = generator(seed, "planted")
    states = np.zeros(sessions, dtype=np.int64)
    for t in range(1, sessions):
        states[t] = random.choice(len(move), p=move[states[t - 1]])
    noise = np.array([1.0, 0.6, 0.7, 0.8, 0.8, 0.0005, 0.2])
    return CENTRES[states] + noise * random.standard_normal((sessions, 7)), states


ROWS, STATES = planted(1200)
FIT = HmmModel().fit(ROWS, COLUMNS, previous=None, seed=0)


class TestNumerics:
    def test_density_is_the_gaussian_one(self) -> None:
        x = np.array([[0.5, -1.0], [np.nan, 0.0]])
        lower = np.linalg.cholesky(np.array([[2.0, 0.6], [0.6, 1.0]]))
        found = log_density(x, np.zeros((1, 2)), lower, np.ones(2))
        quadratic = x[0] @ np.linalg.inv(lower @ lower.T) @ x[0]
        expected = -0.5 * quadratic - np.log(2 * np.pi) - np.log(np.diag(lower)).sum()
        assert found[0, 0] == pytest.approx(expected)
        assert found[1, 0] == 0.0

    def test_evidence_scales_each_columns_share(self) -> None:
        x = np.array([[1.0, 2.0]])
        half = log_density(x, np.zeros((1, 2)), np.eye(2), np.array([1.0, 0.5]))[0, 0]
        assert half == pytest.approx(-0.5 - 0.5 * 2.0 - 1.5 * 0.5 * np.log(2 * np.pi))

    def test_forward_by_hand(self) -> None:
        log_b = np.log(np.array([[0.5, 0.1], [0.2, 0.6]]))
        move = np.array([[0.9, 0.1], [0.2, 0.8]])
        found, total = forward(log_b, np.array([0.5, 0.5]), move)
        first = np.array([0.25, 0.05])
        second = (first / 0.3) @ move * [0.2, 0.6]
        np.testing.assert_allclose(found, [first / 0.3, second / second.sum()])
        assert total == pytest.approx(np.log(0.3) + np.log(second.sum()))

    def test_stationary_law_stays(self) -> None:
        law = stationary(STAY)
        np.testing.assert_allclose(law @ STAY, law, atol=1e-12)

    def test_prior_rows_sum_to_their_strength(self) -> None:
        prior = sticky_prior(3, 1000.0, 0.985)
        np.testing.assert_allclose(prior.sum(axis=1), 1000.0)
        np.testing.assert_allclose(np.diag(prior), 985.0)
        np.testing.assert_allclose(sticky_prior(1, 10.0, 0.9), [[10.0]])

    def test_each_round_of_em_climbs(self) -> None:
        x = (ROWS[:400, :3] - ROWS[:400, :3].mean(axis=0)) / ROWS[:400, :3].std(axis=0)
        chain = Chain(x[[3, 77, 200]], np.eye(3), STAY)
        prior, ones = sticky_prior(3, 1.0, 0.9), np.ones(3)
        reached = []
        for _ in range(25):
            chain, objective, _ = climb(
                x, chain, prior=prior, evidence=ones, shrink=0.0, rounds=1, tolerance=-1.0
            )
            reached.append(objective)
        assert (np.diff(reached) > -1e-6).all()
        assert reached[-1] > reached[0] + 10.0

    def test_evidence_of_an_autoregression(self) -> None:
        random = generator(2, "ar")
        noise = random.standard_normal((20_000, 2))
        for t in range(1, len(noise)):
            noise[t, 1] += 0.6 * noise[t - 1, 1]
        one = Chain(np.zeros((1, 2)), np.eye(2), np.ones((1, 1)))
        found = evidence_of(noise, one, np.ones(2))
        assert found[0] == pytest.approx(1.0, abs=0.1)
        assert found[1] == pytest.approx(0.4 / 1.6, abs=0.04)

    def test_smoothed_looks_back_only(self) -> None:
        x = np.array([[1.0], [3.0], [8.0]])
        np.testing.assert_allclose(smoothed(x, 8), [[1.0], [2.0], [4.0]])
        np.testing.assert_allclose(smoothed(x, 2), [[1.0], [2.0], [5.0]])


class TestFit:
    def test_registered(self) -> None:
        assert isinstance(REGIMES.get("hmm"), HmmModel)

    def test_finds_the_planted_states(self) -> None:
        later, truth = planted(1200, seed=2)
        found = FIT.filter(later).argmax(axis=1)
        assert FIT.chain.states == 3
        assert state_accuracy(found, truth) > 0.93

    def test_finds_the_planted_means_and_stickiness(self) -> None:
        means = FIT.chain.means * FIT.scaling.scale + FIT.scaling.centre
        order = np.argsort(means[:, 0])[::-1]
        np.testing.assert_allclose(means[order], CENTRES[:, :5], atol=0.2)
        assert (np.diag(FIT.chain.move) > 0.95).all()

    def test_names_come_from_the_training_window(self) -> None:
        assert sorted(FIT.names) == [
            "bear volatile heavy dispersed",
            "bull calm thin dispersed",
            "sideways calm thin dispersed",
        ]

    def test_uses_the_columns_in_which_volatility_cancels(self) -> None:
        assert FIT.scaling.used == STATE_COLUMNS

    def test_same_seed_same_bytes(self) -> None:
        again = HmmModel().fit(ROWS, COLUMNS, previous=None, seed=0)
        for name, array in FIT.arrays().items():
            assert again.arrays()[name].tobytes() == array.tobytes()

    def test_spare_states_are_not_worth_their_price(self) -> None:
        plain = HmmModel(number=NumberPrior(away=0.0))
        assert plain.fit(ROWS, COLUMNS, previous=None, seed=0).chain.states == 3

    def test_refit_keeps_the_order_of_states(self) -> None:
        turned = Chain(
            FIT.chain.means[[2, 0, 1]],
            FIT.chain.covariance,
            FIT.chain.move[np.ix_([2, 0, 1], [2, 0, 1])],
        )
        previous = dataclasses.replace(FIT, chain=turned)
        longer = np.concatenate([ROWS, planted(200, seed=3)[0]])
        refit = HmmModel().fit(longer, COLUMNS, previous=previous, seed=9)
        before, after = previous.filter(longer).argmax(axis=1), refit.filter(longer).argmax(axis=1)
        assert (before == after).mean() > 0.95

    def test_round_trip_through_a_file(self) -> None:
        arrays = load(save(FIT.arrays()))
        back = HmmModel().restore(arrays, json.loads(json.dumps(FIT.config())))
        assert back.names == FIT.names
        np.testing.assert_array_equal(back.filter(ROWS), FIT.filter(ROWS))


class TestPoorInput:
    def test_a_row_with_a_nan_carries_no_evidence(self) -> None:
        holed = ROWS.copy()
        holed[500:503, 2] = np.nan
        found = FIT.filter(holed)
        np.testing.assert_array_equal(found[:500], FIT.filter(ROWS)[:500])
        for t in (500, 501, 502):
            np.testing.assert_allclose(found[t], found[t - 1] @ FIT.chain.move, atol=1e-12)

    def test_before_any_row_the_long_run_law_holds(self) -> None:
        blank = np.full((3, 7), np.nan)
        law = stationary(FIT.chain.move)
        np.testing.assert_allclose(FIT.filter(blank), [law] * 3, atol=1e-9)

    def test_a_wild_row_is_cut_and_stays_finite(self) -> None:
        wild = ROWS.copy()
        wild[700] = 1e12
        assert np.isfinite(FIT.filter(wild)).all()

    def test_constant_and_unknown_columns_are_dropped_and_named(self) -> None:
        rows = ROWS.copy()
        rows[:, 1] = 3.0
        rows[:, 3] = np.nan
        fit = HmmModel().fit(rows, COLUMNS, previous=None, seed=0)
        assert fit.scaling.used == tuple(STATE_COLUMNS[i] for i in (0, 2, 4))
        assert fit.config()["dropped"] == [STATE_COLUMNS[1], STATE_COLUMNS[3]]

    def test_a_column_known_only_lately_is_dropped(self) -> None:
        rows = ROWS.copy()
        rows[:900, 2] = np.nan
        assert VOLUME not in HmmModel().fit(rows, COLUMNS, previous=None, seed=0).scaling.used

    def test_a_column_that_is_no_longer_told_is_dropped_at_the_next_fit(self) -> None:
        rows = ROWS.copy()
        rows[-125:, 2] = np.nan
        fit = HmmModel().fit(rows, COLUMNS, previous=FIT, seed=0)
        assert fit.scaling.used == tuple(c for c in STATE_COLUMNS if c != VOLUME)
        told = fit.filter(rows)[-125:].argmax(axis=1)
        assert state_accuracy(told, STATES[-125:]) > 0.9

    def test_a_column_that_is_constant_where_all_are_known_is_dropped(self) -> None:
        rows = ROWS.copy()
        rows[:600, 1] = np.nan
        rows[600:, 2] = 1.5  # varies only where the other is unknown
        fit = HmmModel().fit(rows, COLUMNS, previous=None, seed=0)
        assert VOLUME not in fit.scaling.used
        assert np.isfinite(fit.filter(rows)).all()

    def test_one_symbol_is_fitted_on_the_axes(self) -> None:
        rows = ROWS.copy()
        for name in set(STATE_COLUMNS) - {VOLUME}:
            rows[:, COLUMNS.index(name)] = np.nan
        fit = HmmModel().fit(rows, COLUMNS, previous=None, seed=0)
        assert set(fit.scaling.used) == set(AXES) - {CORRELATION}
        assert state_accuracy(fit.filter(rows).argmax(axis=1), STATES) > 0.9
        assert any("bear" in name for name in fit.names)

    def test_one_symbol_without_volume_has_thin_states(self) -> None:
        rows = ROWS.copy()
        for name in STATE_COLUMNS:
            rows[:, COLUMNS.index(name)] = np.nan
        fit = HmmModel().fit(rows, COLUMNS, previous=None, seed=0)
        assert set(fit.scaling.used) == {TREND, VOLATILITY}
        assert all("thin" in name.split() for name in fit.names)

    def test_too_little_history_says_what_is_needed(self) -> None:
        with pytest.raises(NotFittedError, match=r"E_NOT_FITTED: 40 whole rows .* 60 are needed"):
            HmmModel().fit(ROWS[:40], COLUMNS, previous=None, seed=0)

    def test_a_still_market_says_that_nothing_varies(self) -> None:
        with pytest.raises(NotFittedError, match="varying columns: none"):
            HmmModel().fit(np.ones((500, 7)), COLUMNS, previous=None, seed=0)

    def test_a_previous_fit_on_other_columns_is_no_warm_start(self) -> None:
        rows = ROWS.copy()
        rows[:, 2] = np.nan
        other = HmmModel().fit(rows, COLUMNS, previous=None, seed=0)
        fit = HmmModel().fit(ROWS, COLUMNS, previous=other, seed=0)
        same = (other.filter(ROWS).argmax(axis=1) == fit.filter(ROWS).argmax(axis=1)).mean()
        assert fit.scaling.used == STATE_COLUMNS
        assert same > 0.9


def test_filtered_on_a_prefix_is_the_prefix_of_filtered() -> None:
    x = FIT.scaling.standardised(ROWS)
    full = filtered(x, FIT.chain, FIT.evidence)
    for cut in (1, 2, 333, 1199):
        np.testing.assert_array_equal(filtered(x[:cut], FIT.chain, FIT.evidence), full[:cut])
