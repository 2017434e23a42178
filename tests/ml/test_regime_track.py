"""The refit schedule, the published rows, and the proof that no row knows its future."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from backtest.errors import ConfigError, LookaheadError, NotFittedError
from backtest.seeds import generator
from ml.hidden_markov import Chain, factor, log_density, stationary
from ml.market_state import STATE_COLUMNS, TREND, VOLATILITY
from ml.regime import RegimeFit
from ml.regime_track import RegimeTrack, state_accuracy, track
from ml.regime_window import NumberPrior
from ml.regimes.hmm import HmmFit, HmmModel

COLUMNS = (*STATE_COLUMNS, TREND, VOLATILITY)
TRAIN, REFIT, SESSIONS = 300, 60, 620
MODEL = HmmModel(number=NumberPrior((3,)), starts=8)


def market(sessions: int = SESSIONS) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``[T, 7]`` in the order of COLUMNS, and the states behind them."""
    random = generator(8, "track")
    states, state = np.zeros(sessions, dtype=np.int64), 0
    for t in range(sessions):
        if random.random() < 0.03:
            state = (state + 1 + int(random.random() < 0.5)) % 3
        states[t] = state
    centres = np.array(
        [
            [0.6, -0.4, -0.6, 0.5, 0.4, 0.001, -5.0],
            [-0.2, -0.5, 0.2, -0.8, -0.5, 0.0, -4.8],
            [-0.5, 0.9, 0.9, 0.2, -0.4, -0.002, -4.0],
        ]
    )
    return centres[states] + 0.8 * random.standard_normal((sessions, 7)), states


STATE, TRUTH = market()
DATES = np.datetime64("2020-01-01") + np.arange(SESSIONS)


def lane(state: np.ndarray = STATE, model: Any = MODEL, **changes: Any) -> RegimeTrack:
    options: dict[str, Any] = {"train": TRAIN, "refit": REFIT, "seed": 0, **changes}
    return track(state, COLUMNS, model, **options)


FULL = lane(dates=DATES)
PUBLISHED = FULL.published()


def cuts() -> list[int]:
    """Lengths of history to cut at: around each change of state, around refits, and some more."""
    changes = [t for t in range(TRAIN + 1, SESSIONS) if TRUTH[t] != TRUTH[t - 1]]
    near = [t + k for t in changes for k in (0, 1, 3)]
    refits = [t + k for t in range(TRAIN, SESSIONS, REFIT) for k in (0, 1, 2)]
    return sorted({t for t in [*near, *refits, 350, 500] if TRAIN < t <= SESSIONS})


def differs(model_of: Callable[[np.ndarray], Any]) -> bool:
    """Whether any published row changes when the history is cut after it.

    ``model_of`` makes the model from the history that is there, all of it.
    """
    whole = values(lane(model=model_of(STATE)).published())
    for cut in cuts():
        short = values(lane(STATE[:cut], model_of(STATE[:cut])).published())
        if not np.array_equal(short, whole[:cut], equal_nan=True):
            return True
    return False


def values(frame: pl.DataFrame) -> np.ndarray:
    columns = [c for c in frame.columns if c.startswith(("p_", "state_"))]
    return frame.select(columns).cast(pl.Float64).to_numpy()


class TestSchedule:
    def test_fits_are_in_force_from_their_own_close(self) -> None:
        assert [FULL.refitted_at(i) for i in (300, 301, 359, 360, 361)] == [300, 300, 300, 360, 360]

    def test_before_the_first_fit_there_is_none(self) -> None:
        with pytest.raises(NotFittedError, match="E_NOT_FITTED: no regime fit at session 299"):
            FULL.fit_at(299)

    def test_a_session_beyond_history_is_refused(self) -> None:
        with pytest.raises(LookaheadError, match="E_LOOKAHEAD: no session 620"):
            FULL.fit_at(620)

    @pytest.mark.parametrize(("train", "refit"), [(0, 5), (5, 0)])
    def test_schedules_below_one_session_are_refused(self, train: int, refit: int) -> None:
        with pytest.raises(ConfigError, match="E_CONFIG"):
            lane(train=train, refit=refit)

    def test_shapes_must_agree(self) -> None:
        with pytest.raises(ConfigError, match="dates"):
            lane(dates=DATES[:-1])
        with pytest.raises(ConfigError, match="columns"):
            track(STATE, COLUMNS[:-1], MODEL, train=1, refit=1, seed=0)

    def test_a_fit_sees_rows_up_to_its_index_only(self) -> None:
        seen = []

        @dataclass(frozen=True)
        class Spy(HmmModel):
            def fit(self, state: np.ndarray, columns: Any, *, previous: Any, seed: int) -> HmmFit:
                seen.append((len(state), previous is None, seed))
                return MODEL.fit(state, columns, previous=previous, seed=seed)

        lane(model=Spy()).fit_at(430)
        assert [s[:2] for s in seen] == [(301, True), (361, False), (421, False)]
        assert len({s[2] for s in seen}) == 3

    def test_fits_are_made_once_and_shared_by_a_longer_history(self) -> None:
        fits: dict[int, RegimeFit] = {}
        lane(STATE[:400], fits=fits).fit_at(399)
        first = dict(fits)
        longer = lane(fits=fits)
        assert longer.fit_at(620 - 1) is longer.fit_at(619)
        assert all(fits[i] is fit for i, fit in first.items())
        assert sorted(fits) == [300, 360, 420, 480, 540, 600]

    def test_asking_late_first_gives_the_same_fit(self) -> None:
        late = lane().fit_at(619)
        for name, array in FULL.fit_at(619).arrays().items():
            np.testing.assert_array_equal(late.arrays()[name], array)


class TestPublished:
    def test_columns(self) -> None:
        assert PUBLISHED.columns == [
            "date",
            "regime",
            "p_bull",
            "p_sideways",
            "p_bear",
            "p_volatile",
            "p_heavy",
            "state",
            "state_0",
            "state_1",
            "state_2",
            "p_correlated",
        ]
        assert PUBLISHED.schema["date"] == pl.Date
        assert PUBLISHED["date"][0] == date(2020, 1, 1)
        assert PUBLISHED["date"][-1] == date(2020, 1, 1) + timedelta(days=SESSIONS - 1)
        assert PUBLISHED.schema["state"] == pl.Int64

    def test_null_before_the_first_fit_and_known_after(self) -> None:
        before = PUBLISHED.drop("date")[:TRAIN]
        assert before.null_count().row(0) == (TRAIN,) * before.width
        assert PUBLISHED[TRAIN:].null_count().sum_horizontal()[0] == 0

    def test_trend_and_states_sum_to_one(self) -> None:
        after = PUBLISHED[TRAIN:]
        trend = after.select(pl.sum_horizontal("p_bull", "p_sideways", "p_bear")).to_series()
        states = after.select(pl.sum_horizontal("state_0", "state_1", "state_2")).to_series()
        np.testing.assert_allclose(trend, 1.0, atol=1e-12)
        np.testing.assert_allclose(states, 1.0, atol=1e-12)

    def test_regime_names_the_likeliest_state_of_the_fit_in_force(self) -> None:
        for i in (300, 417, 420, 619):
            row = PUBLISHED.row(i, named=True)
            last = FULL.relabel(i)[-1]
            assert row["state"] == last.argmax()
            assert row["regime"] == FULL.names_at(i)[last.argmax()]
            assert row["state_1"] == last[1]

    def test_the_regime_is_the_likeliest_name_with_states_of_one_name_added_up(self) -> None:
        bear, bull = "bear calm thin dispersed", "bull calm thin dispersed"
        told = _Fixed((bear, bull, bull), np.array([0.4, 0.3, 0.3]))
        found = lane(model=told).published()[TRAIN:]
        assert set(found["regime"]) == {bull}
        assert set(found["state"]) == {0}
        assert found["p_bull"][0] == pytest.approx(0.6)

    def test_words_are_sums_over_the_states_that_carry_them(self) -> None:
        row, last, names = PUBLISHED.row(500, named=True), FULL.relabel(500)[-1], FULL.names_at(500)
        for word in ("bull", "sideways", "bear", "volatile", "heavy", "correlated"):
            expected = sum(p for p, name in zip(last, names, strict=True) if word in name.split())
            assert row[f"p_{word}"] == pytest.approx(expected)

    def test_finds_the_planted_states(self) -> None:
        found = PUBLISHED["state"].to_numpy()[TRAIN:].astype(np.int64)
        assert state_accuracy(found, TRUTH[TRAIN:]) > 0.8

    def test_a_history_shorter_than_train_is_all_null(self) -> None:
        short = lane(STATE[:100]).published()
        assert short.height == 100
        assert short["p_bull"].null_count() == 100
        assert "state_0" in short.columns


class TestTruncation:
    def test_published_rows_are_the_same_on_every_cut_history(self) -> None:
        assert len(cuts()) > 30
        assert not differs(lambda _: MODEL)

    def test_relabelled_history_is_the_same_on_a_cut_history(self) -> None:
        np.testing.assert_array_equal(lane(STATE[:451]).relabel(450), FULL.relabel(450))

    def test_a_twin_that_standardises_with_the_full_sample_is_caught(self) -> None:
        assert differs(_FullSample)

    def test_a_twin_that_publishes_the_smoothed_path_is_caught(self) -> None:
        assert differs(lambda _: _SmoothedModel())


@dataclass(frozen=True)
class _Fixed:
    """A model that says the same of every row."""

    names: tuple[str, ...]
    probabilities: np.ndarray

    def fit(self, state: np.ndarray, columns: Any, *, previous: Any, seed: int) -> Any:
        return self

    def filter(self, state: np.ndarray) -> np.ndarray:
        return np.tile(self.probabilities, (len(state), 1))


@dataclass(frozen=True)
class _FullSample(HmmModel):
    """Centres and scales with all rows that there are, also those after the window."""

    everything: Any = None

    def __init__(self, everything: np.ndarray):
        super().__init__(number=NumberPrior((3,)), starts=8)
        object.__setattr__(self, "everything", everything[:, :5])

    def fit(self, state: np.ndarray, columns: Any, *, previous: Any, seed: int) -> HmmFit:
        fit = super().fit(state, columns, previous=previous, seed=seed)
        centre, scale = self.everything.mean(axis=0), self.everything.std(axis=0)
        whole = dataclasses.replace(fit.scaling, centre=centre, scale=scale)
        return dataclasses.replace(fit, scaling=whole)


@dataclass(frozen=True)
class _SmoothedModel(HmmModel):
    """Publishes the probability given all rows there are."""

    def fit(self, state: np.ndarray, columns: Any, *, previous: Any, seed: int) -> Any:
        warm = previous.inner if previous else None
        return _Smoother(MODEL.fit(state, columns, previous=warm, seed=seed))


@dataclass(frozen=True)
class _Smoother:
    """Uses the rows after each row, as a decoder does."""

    inner: HmmFit

    @property
    def names(self) -> tuple[str, ...]:
        return self.inner.names

    def filter(self, state: np.ndarray) -> np.ndarray:
        chain: Chain = self.inner.chain
        x = self.inner.scaling.standardised(state)
        density = np.exp(log_density(x, chain.means, factor(chain.covariance), self.inner.evidence))
        alpha, beta = np.empty_like(density), np.ones_like(density)
        prior = stationary(chain.move)
        for t, row in enumerate(density):
            alpha[t] = prior * row / (prior * row).sum()
            prior = alpha[t] @ chain.move
        for t in range(len(density) - 2, -1, -1):
            back = chain.move @ (density[t + 1] * beta[t + 1])
            beta[t] = back / back.sum()
        gamma = alpha * beta
        return gamma / gamma.sum(axis=1, keepdims=True)


def test_accuracy_counts_spare_states_as_wrong() -> None:
    truth = np.array([0, 0, 1, 1])
    assert state_accuracy(np.array([1, 1, 0, 0]), truth) == 1.0
    assert state_accuracy(np.array([2, 2, 0, 3]), truth) == 0.75
