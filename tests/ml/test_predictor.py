"""Features by hand, purging, intervals that cover, and a predictor that learns what is planted."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import ParameterError
from ml.conformal import adaptive_widths, coverage_frame, half_width
from ml.learner import HORIZON, MIN_ACTIVE, LearnerView, Market
from ml.learners.predictor import Predictor
from ml.market_state import COLUMNS
from ml.performance import BASE, outcomes, parameters_coded, samples
from ml.predictor import FIRST, Boosting, PerformancePredictor
from ml.proof.measures import ranking_accuracy
from ml.score_table import ScoreTable
from tests.ml.histories import days, planted_returns, planted_state, small_grid, spells, view_of

GRID = small_grid(periods=(5, 14, 28), widths=(10.0, 20.0))
SESSIONS = 700
TABLE = ScoreTable()


def a_view(seed: int = 0, sessions: int = SESSIONS, *, edge: float = 0.004) -> LearnerView:
    """Two regimes, told; everything that a view can carry."""
    states = spells(sessions, 60)
    random = np.random.default_rng(seed)
    returns = planted_returns(GRID, states, seed=seed, edge=edge)
    view = view_of(GRID, returns, np.eye(2)[states])
    market = Market(
        days(sessions),
        planted_state(states, seed=seed),
        COLUMNS,
        random.uniform(0.0, 0.4, returns.shape),
    )
    return dataclasses.replace(view, market=market)


def fitted(view: LearnerView, *, seed: int = 0) -> PerformancePredictor | None:
    return PerformancePredictor.fit(view, TABLE, Boosting(seed=seed))


def feature(view: LearnerView, name: str, session: int) -> np.ndarray:
    """One feature of every set at one session; ``[param]``."""
    known = samples(view, np.array([session]), TABLE)
    return known.values[0, :, known.names.index(name)]


def test_features_by_hand():
    view, t = a_view(), 400
    past = view.returns[:, : t + 1]
    late = past[:, -63:]
    assert feature(view, "parameter_sharpe_ratio_63", t) == pytest.approx(
        late.mean(axis=1) / late.std(axis=1)
    )
    assert feature(view, "parameter_sharpe_ratio_all", t) == pytest.approx(
        past.mean(axis=1) / past.std(axis=1)
    )
    assert feature(view, "parameter_win_rate_63", t) == pytest.approx((late > 0.0).mean(axis=1))
    assert feature(view, "expectancy_63", t) == pytest.approx(late.mean(axis=1))
    gains, losses = late.clip(min=0.0).sum(axis=1), -late.clip(max=0.0).sum(axis=1)
    assert feature(view, "profit_factor_63", t) == pytest.approx(np.log(gains / losses), abs=1e-6)
    paths = past[0, -126:].cumsum()
    worst = max(max(0.0, *paths[: k + 1]) - paths[k] for k in range(126))
    assert feature(view, "parameter_max_drawdown", t)[0] == pytest.approx(
        worst / (past[0].std() * np.sqrt(126))
    )
    blocks = past[:, -252:].reshape(GRID.size, 12, 21).sum(axis=2)
    assert feature(view, "parameter_stability_score", t) == pytest.approx(
        (blocks > 0.0).mean(axis=1)
    )
    traded = view.market.turnover[:, t - 251 : t + 1]
    assert feature(view, "average_hold_time", t) == pytest.approx(2.0 / traded.mean(axis=1))
    assert feature(view, "signal_frequency", t) == pytest.approx((traded > 0.0).mean(axis=1))
    assert feature(view, "day_of_week", t)[0] == days(SESSIONS)[t].item().weekday()
    column = COLUMNS.index("market_volatility_20")
    assert feature(view, "market_volatility_regime", t)[3] == view.market.state[t, column]


@pytest.mark.parametrize(
    "table",
    [ScoreTable(), ScoreTable(shrinkage=0.0), ScoreTable(shrinkage=600.0, smoothing=1.0)],
)
def test_the_score_that_a_prediction_starts_from_is_the_regime_tables(table: ScoreTable):
    """With dead sets among the neighbours, and a first session that no regime owns."""
    view = a_view()
    view.returns[::3] = 0.0
    view.returns[1, 0] = 0.5
    view.returns[4, MIN_ACTIVE:] = 0.0  # one session too few: the first does not count
    view.returns[4, :MIN_ACTIVE] = np.linspace(-0.01, 0.02, MIN_ACTIVE)
    view.probabilities[:] = np.random.default_rng(0).dirichlet([0.5, 0.5], SESSIONS)
    for session in (200, SESSIONS - 1):
        scores = table.select(view.rows(0, session + 1)).scores
        certain = samples(view, np.full(2, session), table, today=np.eye(2))
        found = certain.values[:, :, certain.names.index(BASE)]
        able = np.isfinite(scores)
        assert np.array_equal(able, certain.eligible)
        assert not able[:, [0, 3, 4, 6, 9]].any()
        assert found[able] == pytest.approx(scores[able], abs=1e-12)
        assert np.isnan(found[~able]).all()
        mixed = samples(view, np.array([session]), table).values[0, :, certain.names.index(BASE)]
        assert mixed[able[0]] == pytest.approx((view.probabilities[session] @ found)[able[0]])


def test_parameters_in_the_unit_interval_and_as_codes():
    coded = parameters_coded(a_view())
    assert coded["parameter_direction"].tolist() == [1.0] * 6 + [0.0] * 6
    assert (coded["parameter_period"] >= 0.0).all()
    assert (coded["parameter_period"] <= 1.0).all()


def test_an_outcome_is_the_next_thirty_sessions():
    returns = a_view().returns
    told = np.array([300, SESSIONS - 1 - HORIZON, SESSIONS - HORIZON])
    earned = outcomes(returns, told)
    mean = returns[:, 301:331].mean(axis=1)
    assert earned[0] == pytest.approx(mean / returns[:, :301].std(axis=1))
    assert np.isfinite(earned[1]).all()
    assert np.isnan(earned[2]).all()  # one session is still to come
    for row, session in zip(earned, told, strict=True):  # alone as among others
        assert outcomes(returns, np.array([session]))[0] == pytest.approx(row, nan_ok=True)
    assert outcomes(returns, told[:0]).shape == (0, GRID.size)


def test_a_set_that_hardly_traded_or_never_moved_has_no_outcome():
    returns = a_view().returns
    returns[0, :301] = 0.0
    returns[1, : 301 - (MIN_ACTIVE - 1)] = 0.0
    returns[2, : 301 - MIN_ACTIVE] = 0.0
    returns[3, :301] = 0.001
    assert np.isnan(outcomes(returns, np.array([300]))[0]).tolist()[:5] == [
        *(True, True, False, True, False)
    ]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), stop=st.integers(30, 300))
def test_features_read_no_later_session(seed: int, stop: int):
    view = a_view(seed, 320)
    view.returns[seed % GRID.size] = 0.0  # a dead set
    at = np.array([stop // 2, stop - 1])
    whole, cut = samples(view, at, TABLE), samples(view.rows(0, stop), at, TABLE)
    assert whole.names == cut.names
    assert np.array_equal(whole.values, cut.values, equal_nan=True)
    assert not whole.eligible[:, seed % GRID.size].any()


def test_a_fit_reads_all_that_is_over_and_nothing_else():
    """A fit learns from the view's last session; the same samples and settings, the same bytes."""
    view = a_view()
    model = fitted(view).model
    assert fitted(a_view()).model == model
    assert fitted(a_view(), seed=3).model != model
    last = FIRST + (SESSIONS - 1 - HORIZON - FIRST) // 15 * 15
    for session, learned in ((last + HORIZON, True), (last + HORIZON + 1, False)):
        other = a_view()
        other.returns[: GRID.size // 2, session:] += 0.05
        assert (fitted(other).model != model) == learned


@pytest.mark.parametrize("edge", [0.003, 0.0])
def test_what_is_planted_is_ranked_and_noise_is_not(edge: float):
    found = []
    for seed in range(4):
        view = a_view(seed, 1400, edge=edge)
        model = fitted(view.rows(0, 800))
        known = samples(view, np.arange(800, 1400 - HORIZON, 35), TABLE)
        said, came = model.predict(known), outcomes(view.returns, known.sessions)
        found += [ranking_accuracy(a, b) for a, b in zip(said, came, strict=True)]
    mean, error = np.mean(found), np.std(found) / np.sqrt(len(found))
    if edge:
        assert mean > 0.75
    else:
        assert abs(mean - 0.5) < 3.0 * error


def test_too_little_history_or_nothing_that_moves():
    assert fitted(a_view(sessions=120)) is None
    dead = a_view()
    dead.returns[:] = 0.0
    assert fitted(dead) is None
    learner = Predictor()
    selection = learner.select(dead)
    assert not learner.weigh(selection, dead).any()
    short = a_view(sessions=100)
    assert np.array_equal(learner.select(short).scores, ScoreTable().select(short).scores)


def test_a_view_without_market_and_one_with_unknown_state():
    bare = dataclasses.replace(a_view(), market=None)
    blank = a_view()
    blank.market.state[:] = np.nan
    for view in (bare, blank):
        weights = Predictor().weigh(Predictor().select(view), view)
        assert np.isfinite(weights).all()
        assert weights.sum() > 0.0


def test_sets_that_all_earn_the_same():
    view = a_view()
    view.returns[:] = view.returns[0]
    weights = Predictor().weigh(Predictor().select(view), view)
    assert np.isfinite(weights).all()


def test_trees_are_fitted_again_where_the_regimes_are_told_anew():
    """What an earlier selection holds saves work only where it would have come out the same."""
    view, learner = a_view(), Predictor()
    before = learner.select(view.rows(0, 640))
    assert learner.select(view.rows(0, 650), before=before).model is before.model
    told = view.probabilities.copy()
    told[:200] = told[:200][:, ::-1]
    other = dataclasses.replace(view, probabilities=told).rows(0, 650)
    found = learner.select(other, before=before)
    assert found.model is not before.model
    assert found.scores.tobytes() == learner.select(other).scores.tobytes()


def test_half_width_by_hand():
    misses = np.arange(1.0, 10.0)
    assert half_width(misses, 0.8) == 8.0  # the ceil(10 * .8)-th
    assert half_width(np.append(misses, np.nan), 0.8) == 8.0
    assert half_width(misses[:3], 0.8) == np.inf  # four of five need four


def test_intervals_cover_exchangeable_data():
    """Within three deviations of the binomial around the exact coverage of the rank."""
    random = np.random.default_rng(1)
    inside = [
        abs(float(random.standard_t(4))) <= half_width(np.abs(random.standard_t(4, 49)), 0.8)
        for _ in range(4000)
    ]
    assert abs(np.mean(inside) - 0.8) < 3.0 * np.sqrt(0.8 * 0.2 / 4000)


def test_adaptive_intervals_follow_a_change_of_scale():
    random = np.random.default_rng(2)
    misses = np.abs(random.normal(0.0, 1.0, (400, 20)))
    misses[200:] *= 2.0
    widths = adaptive_widths(misses, coverage=0.8, delay=2)
    assert np.isinf(widths[:9]).all()  # four horizons of two, and two steps until they are over
    assert np.isfinite(widths[9:]).all()
    fixed = np.full(400, half_width(misses[:150].ravel(), 0.8))
    names = ("calm",) * 200 + ("wild",) * 200
    adaptive = coverage_frame(misses, widths, names)
    rigid = coverage_frame(misses, fixed, names)
    assert adaptive.filter(regime="all")["covered"][0] == pytest.approx(0.8, abs=0.05)
    assert adaptive.filter(regime="wild")["covered"][0] > 0.7
    assert rigid.filter(regime="wild")["covered"][0] < 0.55
    cut = adaptive_widths(misses[:300], coverage=0.8, delay=2)
    assert widths[:300].tobytes() == cut.tobytes()


@pytest.mark.parametrize("coverage", [0.5, 0.6, 0.95])
def test_what_is_asked_is_covered(coverage: float):
    misses = np.abs(np.random.default_rng(3).normal(0.0, 1.0, (800, 20)))
    widths = adaptive_widths(misses, coverage=coverage, delay=2)
    found = coverage_frame(misses, widths, ("a",) * 800)["covered"][0]
    assert found == pytest.approx(coverage, abs=0.02)


@pytest.mark.parametrize("coverage", [0.2, 0.4999, 0.999, float("nan")])
def test_a_coverage_that_no_interval_has_is_refused(coverage: float):
    with pytest.raises(ParameterError, match=r"E_PARAMETER: no interval covers .* 0.5 to 0.995"):
        adaptive_widths(np.ones((3, 1)), coverage=coverage, delay=1)


def test_coverage_of_nothing_is_empty():
    frame = coverage_frame(np.full((3, 2), np.nan), np.full(3, 1.0), ("a", "a", "b"))
    assert frame.is_empty()
    assert frame.schema["covered"] == pl.Float64
