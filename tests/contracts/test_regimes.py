"""Every registered regime model: filtered, causal, repeatable, and whole after a save."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from backtest.errors import NotFittedError
from backtest.seeds import generator
from ml.hidden_markov import Chain
from ml.market_state import AXES, CORRELATION, STATE_COLUMNS, TREND, VOLATILITY, VOLUME
from ml.regime import REGIMES, RegimeFit
from ml.regime_track import state_accuracy, track
from ml.regimes.hmm import HmmFit
from ml.regimes.mixture import Clouds, MixtureFit

COLUMNS = (*STATE_COLUMNS, TREND, VOLATILITY, CORRELATION)
WORDS = (
    {"bull", "sideways", "bear"},
    {"calm", "volatile"},
    {"thin", "heavy"},
    {"dispersed", "correlated"},
)


def rows(sessions: int = 500) -> np.ndarray:
    """Three places in the state space, visited in turn for a while; ``[T, 8]``."""
    random = generator(21, "contract/regimes")
    states = (np.arange(sessions) // 35) % 3
    centres = np.array(
        [
            [0.6, -0.4, -0.6, 0.5, 0.4, 0.001, -5.0, 0.1],
            [-0.2, -0.5, 0.2, -0.8, -0.5, 0.0, -4.8, 0.1],
            [-0.5, 0.9, 0.9, 0.2, -0.4, -0.002, -4.0, 0.4],
        ]
    )
    noise = np.array([0.8, 0.6, 0.6, 0.8, 0.8, 0.0005, 0.2, 0.1])
    return centres[states] + noise * random.standard_normal((sessions, 8))


ROWS = rows()
FITS = {
    name: model.fit(ROWS[:400], COLUMNS, previous=None, seed=5) for name, model in REGIMES.items()
}


def turned_chain(fit: HmmFit, order: list[int]) -> HmmFit:
    one = fit.chain
    chain = Chain(one.means[order], one.covariance, one.move[np.ix_(order, order)])
    return replace(fit, chain=chain)


def turned_clouds(fit: MixtureFit, order: list[int]) -> MixtureFit:
    one = fit.clouds
    clouds = Clouds(one.shares[order], one.means[order], one.covariances[order])
    return replace(fit, clouds=clouds, move=fit.move[np.ix_(order, order)])


TURNED = {
    "hmm": turned_chain,
    "mixture": turned_clouds,
    "jump": lambda fit, order: replace(fit, centres=fit.centres[order]),
}
"""The same fit with its states in another order."""
UNTURNED = {"rules", "axes", "average"}
"""Rules have one order; the states of the others are products and means of other models'."""


def clusters(count: int, sessions: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """So many places far from each other, visited in turn; rows ``[T, 5]`` and states."""
    random = generator(4, f"contract/regimes/{count}")
    states = np.arange(sessions) // 40 % count
    return 3.0 * np.eye(5)[states] + random.standard_normal((sessions, 5)), states


@pytest.mark.parametrize("name", sorted(TURNED))
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_number_of_states_is_that_of_the_market(name: str, count: int) -> None:
    state, states = clusters(count)
    fit = REGIMES.get(name).fit(state, STATE_COLUMNS, previous=None, seed=0)
    assert len(fit.names) == count
    assert state_accuracy(fit.filter(state).argmax(axis=1), states) > 0.85


@pytest.mark.parametrize("name", sorted(TURNED))
def test_a_market_without_regimes_has_one(name: str) -> None:
    noise = generator(6, "contract/regimes/one").standard_normal((2000, 5))
    fit = REGIMES.get(name).fit(noise, STATE_COLUMNS, previous=None, seed=0)
    assert len(fit.names) == 1
    np.testing.assert_array_equal(fit.filter(noise), np.ones((2000, 1)))


def test_all_models_are_there() -> None:
    known = {"average", "axes", "hmm", "jump", "mixture", "rules"}
    assert known <= set(REGIMES.names())


@pytest.mark.parametrize("name", REGIMES.names())
class TestRegimeModel:
    def test_probabilities(self, name: str) -> None:
        found = FITS[name].filter(ROWS)
        assert found.shape == (500, len(FITS[name].names))
        assert found.dtype == np.float64
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)

    def test_names_are_one_word_per_axis(self, name: str) -> None:
        for regime in FITS[name].names:
            parts = regime.split(" ")
            assert len(parts) == 4
            assert all(part in words for part, words in zip(parts, WORDS, strict=True))

    @pytest.mark.parametrize("cut", [1, 36, 70, 71, 72, 250, 499])
    def test_history_cut_at_t_equals_the_full_history_up_to_t(self, name: str, cut: int) -> None:
        fit = FITS[name]
        np.testing.assert_array_equal(fit.filter(ROWS[:cut]), fit.filter(ROWS)[:cut])

    def test_later_rows_move_neither_fits_nor_what_was_published(self, name: str) -> None:
        changed = ROWS.copy()
        changed[400:] = 9.0
        one, other = (
            track(rows, COLUMNS, REGIMES.get(name), train=200, refit=125, seed=5)
            for rows in (ROWS, changed)
        )
        self.same(one.fit_at(399), other.fit_at(399))
        told, again = one.published(), other.published()
        assert told.height == 500
        assert told.head(400).equals(again.head(400))
        assert not told.tail(100).equals(again.tail(100))

    def test_same_seed_same_fit(self, name: str) -> None:
        self.same(REGIMES.get(name).fit(ROWS[:400], COLUMNS, previous=None, seed=5), FITS[name])

    def test_save_and_load(self, name: str) -> None:
        fit = FITS[name]
        back = REGIMES.get(name).restore(
            load(save(fit.arrays())), json.loads(json.dumps(fit.config()))
        )
        self.same(back, fit)
        assert fit.config()["model"] == name

    def test_inputs_are_left_alone(self, name: str) -> None:
        before = ROWS.copy()
        REGIMES.get(name).fit(ROWS[:400], COLUMNS, previous=FITS[name], seed=1).filter(ROWS)
        np.testing.assert_array_equal(ROWS, before)

    def test_a_warm_refit_keeps_states_in_place(self, name: str) -> None:
        refit = REGIMES.get(name).fit(ROWS, COLUMNS, previous=FITS[name], seed=6)
        before = FITS[name].filter(ROWS).argmax(axis=1)
        assert (refit.filter(ROWS).argmax(axis=1) == before).mean() > 0.9

    @pytest.mark.parametrize("order", [[2, 0, 1], [1, 2, 0], [1, 0, 2]])
    def test_a_warm_refit_takes_the_order_of_the_fit_before(
        self, name: str, order: list[int]
    ) -> None:
        if name not in TURNED:
            assert name in UNTURNED
            return
        previous = TURNED[name](FITS[name], order)
        before = previous.filter(ROWS).argmax(axis=1)
        assert (before != FITS[name].filter(ROWS).argmax(axis=1)).mean() > 0.5
        refit = REGIMES.get(name).fit(ROWS, COLUMNS, previous=previous, seed=6)
        assert (refit.filter(ROWS).argmax(axis=1) == before).mean() > 0.9

    def test_unknown_rows_stay_probabilities(self, name: str) -> None:
        holed = ROWS.copy()
        holed[:20] = np.nan
        holed[100:140, 5:] = np.nan
        found = FITS[name].filter(holed)
        np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)

    def test_axes_alone_are_enough(self, name: str) -> None:
        state = np.full_like(ROWS, np.nan)
        for axis in AXES:
            state[:, COLUMNS.index(axis)] = ROWS[:, COLUMNS.index(axis)]
        fit = REGIMES.get(name).fit(state, COLUMNS, previous=None, seed=0)
        assert any(regime.startswith("bull") for regime in fit.names)
        assert np.isfinite(fit.filter(state)).all()

    def test_one_symbol_has_no_cross_section_and_is_never_correlated(self, name: str) -> None:
        known = [COLUMNS.index(axis) for axis in (TREND, VOLATILITY, VOLUME)]
        state = np.full_like(ROWS, np.nan)
        state[:, known] = ROWS[:, known]
        fit = REGIMES.get(name).fit(state, COLUMNS, previous=None, seed=0)
        assert all(regime.endswith("dispersed") for regime in fit.names)
        assert any(regime.startswith("bear") for regime in fit.names)
        np.testing.assert_allclose(fit.filter(state).sum(axis=1), 1.0, atol=1e-12)

    def test_constant_columns_say_nothing(self, name: str) -> None:
        state = ROWS.copy()
        state[:, [0, 3]] = 2.5
        fit = REGIMES.get(name).fit(state, COLUMNS, previous=None, seed=0)
        found = fit.filter(state)
        state[:, [0, 3]] = -7.0
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(fit.filter(state), found)

    def test_a_market_that_never_moves_is_sideways_or_refused(self, name: str) -> None:
        still = np.ones_like(ROWS)
        still[:, COLUMNS.index(TREND)] = 0.0
        if name != "rules":
            with pytest.raises(NotFittedError, match="E_NOT_FITTED"):
                REGIMES.get(name).fit(still, COLUMNS, previous=None, seed=0)
            return
        fit = REGIMES.get(name).fit(still, COLUMNS, previous=None, seed=0)
        likeliest = fit.filter(still).argmax(axis=1)
        assert {fit.names[k].split()[0] for k in likeliest} == {"sideways"}

    def test_a_history_without_a_known_row_is_refused(self, name: str) -> None:
        with pytest.raises(NotFittedError, match="E_NOT_FITTED"):
            REGIMES.get(name).fit(np.full_like(ROWS, np.nan), COLUMNS, previous=None, seed=0)

    def test_a_refit_may_be_saved_too(self, name: str) -> None:
        refit = REGIMES.get(name).fit(ROWS, COLUMNS, previous=FITS[name], seed=6)
        back = REGIMES.get(name).restore(load(save(refit.arrays())), refit.config())
        self.same(back, refit)

    def test_too_little_history(self, name: str) -> None:
        with pytest.raises(NotFittedError, match=r"E_NOT_FITTED: .* are needed"):
            REGIMES.get(name).fit(ROWS[:20], COLUMNS, previous=None, seed=0)

    def test_published_rows_survive_a_cut(self, name: str) -> None:
        options: dict[str, Any] = {"train": 200, "refit": 100, "seed": 0}
        whole = track(ROWS, COLUMNS, REGIMES.get(name), **options).published()
        for cut in (201, 245, 246, 300, 301, 350, 420):
            short = track(ROWS[:cut], COLUMNS, REGIMES.get(name), **options).published()
            assert short.equals(whole[:cut].select(short.columns))

    @staticmethod
    def same(one: RegimeFit, other: RegimeFit) -> None:
        assert one.names == other.names
        assert one.config() == other.config()
        for key, array in one.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[key])
        np.testing.assert_array_equal(one.filter(ROWS), other.filter(ROWS))
