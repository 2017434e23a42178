"""The loop of a search: plateaus, edges, journals replayed, batches that change nothing."""

from itertools import product
from typing import Annotated

import numpy as np
import pytest

from backtest.errors import DataError, NotFittedError, ParameterError, StoreError, UnknownNameError
from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays
from backtest.params import ParamGrid, Params, Range
from backtest.result import BookResult
from backtest.strategy import STRATEGIES
from ml.evaluation import Batch, Evaluation, markets_of, panel_digest, regime_probability
from ml.market_state import TRENDS, WORDS
from ml.neighbourhood import plateau
from ml.objective import Goal
from ml.regime_track import track
from ml.search_tables import best_by_regime, corpus_front, ledger_trials, trial_table
from ml.searcher import SEARCHERS
from ml.space import Space
from ml.trials import config_hash
from ml.tuning import PURGED, TuneSpec, conclude, edges_of, held_out, search, training_window
from tests.ml.histories import planted_returns, small_grid, spells


class Line(Params):
    """One number and one whole number."""

    x: Annotated[float, Range(0.0, 1.0)] = 0.5
    n: Annotated[int, Range(1, 9)] = 5


SPACE = Space.of(Line)


def judged(worth):
    """Make an evaluation of one objective from a plain function of a set."""

    def evaluate(rows):
        values = np.array([[worth(row)] for row in rows], dtype=float)
        fine = np.isfinite(values[:, 0])
        return Batch(tuple(rows), {"sharpe": values[:, 0]}, values, fine)

    return evaluate


def hill(row) -> float:
    return -((row["x"] - 0.3) ** 2) - 0.01 * (row["n"] - 5) ** 2


@pytest.fixture(scope="module")
def panel() -> Panel:
    return Panel.from_frame(generate(WorldConfig(symbols=8, seed=2), weekdays(420)).bars)


def test_a_plateau_is_chosen_over_a_lone_peak():
    """Twenty near sets of merit 1, one set far away of merit 1.2, others of merit 0."""
    rows = [{"x": 0.2 + 0.002 * k, "n": 5} for k in range(20)]
    rows += [{"x": 0.9, "n": 9}] + [{"x": 0.5 + 0.02 * k, "n": 1} for k in range(15)]
    scores = np.array([1.0] * 20 + [1.2] + [0.0] * 15)
    smooth = plateau(SPACE, rows, scores)
    assert int(smooth.argmax()) < 20
    assert smooth[:20] == pytest.approx(1.0, abs=0.05)
    assert smooth[20] == pytest.approx((1.2 + scores.mean()) / 2, abs=0.01)


def test_a_whole_lattice_is_smoothed_by_its_neighbours():
    space = Space.over(ParamGrid.product(Line, {"x": (0.1,), "n": (1, 2, 3)}))
    rows = space.listed()
    assert plateau(space, rows, np.array([0.0, 3.0, 0.0])).tolist() == [1.5, 1.5, 1.5]


def test_undefined_scores_stay_undefined():
    rows = [{"x": 0.1, "n": 1}, {"x": 0.2, "n": 2}]
    assert np.isnan(plateau(SPACE, rows, np.array([np.nan, np.nan]))).all()
    assert np.isnan(plateau(SPACE, rows, np.array([np.nan, 1.0])))[0]


@pytest.mark.parametrize("searcher", ["tpe", "genetic", "nsga2"])
def test_going_on_is_the_same_as_never_having_stopped(searcher: str):
    spec, kept = TuneSpec(searcher, trials=50, batch=7), []
    whole = search(SPACE, spec, judged(hill), names=("sharpe",), keep=kept.append)
    assert [len(batch.rows) for batch in kept] == [7] * 7 + [1]
    for stop in (0, 3, 8):
        later: list[Batch] = []
        again = search(
            SPACE, spec, judged(hill), names=("sharpe",), before=kept[:stop], keep=later.append
        )
        assert again.rows == whole.rows
        assert again.values.tobytes() == whole.values.tobytes()
        assert [b.rows for b in later] == [b.rows for b in kept[stop:]]


@pytest.mark.parametrize("searcher", [name for name in SEARCHERS.names() if name != "gp"])
def test_a_longer_search_goes_on_from_a_shorter_one(searcher: str):
    """Also from one that ended within a batch, twice: 3 of 7 sets, then 5, then all."""
    whole = search(SPACE, TuneSpec(searcher, 40, 7), judged(hill), names=("sharpe",))
    kept: list[Batch] = []
    asked: list[int] = []

    def counted(rows):
        asked.append(len(rows))
        return judged(hill)(rows)

    for trials in (31, 33, 40):
        found = search(
            SPACE, TuneSpec(searcher, trials, 7), counted, names=("sharpe",),
            before=tuple(kept), keep=kept.append,
        )  # fmt: skip
        assert found.rows == whole.rows[:trials]
    assert asked == [7, 7, 7, 7, 3, 2, 2, 5]
    assert found.values.tobytes() == whole.values.tobytes()
    assert found.batch_of.tolist() == whole.batch_of.tolist()


def test_a_journal_of_other_questions_is_refused():
    kept = []
    search(SPACE, TuneSpec("tpe", 14, 7, 0), judged(hill), names=("sharpe",), keep=kept.append)
    with pytest.raises(StoreError, match="E_JOURNAL: batch 1 asks for other sets"):
        search(SPACE, TuneSpec("tpe", 14, 7, 1), judged(hill), names=("sharpe",), before=kept)


def test_the_story_of_a_search():
    found = search(SPACE, TuneSpec("genetic", 60, 10), judged(hill), names=("sharpe",))
    told = conclude(found)
    assert told.highest == int(found.values[:, 0].argmax())
    assert told.front.tolist() == np.flatnonzero(found.values[:, 0] == found.values.max()).tolist()
    assert told.regret[-1] == 0.0
    assert (np.diff(told.regret) <= 0.0).all()
    assert (np.diff(told.volume) >= 0.0).all()
    assert told.volume[-1] == pytest.approx(float(np.ptp(found.values)))
    table = trial_table(found, told)
    assert table.height == 60
    assert table.columns[:5] == ["number", "batch", "x", "n", "objective_0"]


def test_what_a_reader_is_told():
    same = conclude(search(SPACE, TuneSpec("uniform", 9, 3), judged(lambda _: 1.0), names=("a",)))
    assert "every feasible set is worth the same" in same.notes[0]
    small = Space.of(Line, {"x": [0.5, 0.5]})
    found = search(small, TuneSpec("tpe", 50, 20), judged(hill), names=("a",))
    assert found.exhausted
    assert "feasible sets of the space: 9, all of them tried" in conclude(found).notes[0]
    thin = search(SPACE, TuneSpec("grid", 50, 20), judged(hill), names=("a",))
    assert len(thin.rows) == 45  # five values of the number, nine of the whole number
    assert "no further set after 45; the space holds more" in conclude(thin).notes[0]
    never = search(SPACE, TuneSpec("uniform", 9, 3), judged(lambda _: np.nan), names=("a",))
    with pytest.raises(ParameterError) as refused:
        conclude(never)
    assert str(refused.value) == (
        "E_OBJECTIVE: none of 9 sets has every objective defined, widen the space or give more"
        " --trials"
    )


def test_broken_constraints_and_undefined_values_are_told_apart():
    def evaluate(rows):
        values = np.array([[np.nan if row["n"] == 1 else row["x"]] for row in rows])
        fine = np.array([row["n"] > limit for row in rows]) & np.isfinite(values[:, 0])
        return Batch(tuple(rows), {"sharpe": values[:, 0]}, values, fine)

    limit, spec = 4, TuneSpec("uniform", 60, 20)
    found = search(SPACE, spec, evaluate, names=("a",))
    sets = [row["n"] for row in found.rows]
    assert conclude(found).notes == (
        f"sets that break a constraint: {sum(1 < n <= 4 for n in sets)} of 60",
        f"sets with an undefined objective: {sets.count(1)} of 60",
    )
    limit = 9
    with pytest.raises(ParameterError, match="60 sets keeps the constraints, ease the constr"):
        conclude(search(SPACE, spec, evaluate, names=("a",)))


def test_edges():
    assert edges_of(SPACE, {"x": 0.5, "n": 5}) == ()
    said = edges_of(SPACE, {"x": 0.995, "n": 1})
    assert "next to the largest tried, 1" in said[0]
    assert "smallest the strategy allows" in said[1]
    narrow = Space.of(Line, {"n": [3, 6]})
    assert "widen the grid" in edges_of(narrow, {"x": 0.5, "n": 6})[0]
    assert edges_of(Space.of(Line, {"n": [3, 4]}), {"x": 0.5, "n": 4}) == ()


class Steep(Params):
    """A number on a logarithmic scale."""

    rate: Annotated[float, Range(1e-4, 10.0, log=True)] = 0.1


def test_an_edge_lies_where_the_scale_of_a_parameter_ends():
    space = Space.of(Steep)
    assert edges_of(space, {"rate": 0.03}) == ()  # the middle, and 0.3 % of the way in numbers
    assert "next to the smallest" in edges_of(space, {"rate": 1.05e-4})[0]


@pytest.mark.parametrize("trials", [0, -1])
def test_numbers_that_ask_for_nothing(trials: int):
    with pytest.raises(ParameterError, match="give at least 1"):
        TuneSpec(trials=trials)


def test_the_training_window_keeps_clear_of_what_is_held_back(panel: Panel):
    assert training_window(panel, 0.3) == (294 - PURGED, 294)
    assert training_window(panel, 0.0) == (420, 420)
    for share in (0.8, 0.01):
        with pytest.raises(ParameterError, match="E_TOO_SHORT"):
            training_window(panel, share)
    with pytest.raises(ParameterError, match="--holdout 0 keeps none back"):
        training_window(panel.until(60), 0.3)
    with pytest.raises(ParameterError, match=r"0 kept back, give at least 126 sessions$"):
        training_window(panel.until(60), 0.0)
    with pytest.raises(ParameterError, match="E_PARAMETER"):
        training_window(panel, 1.0)


def evaluation(panel: Panel, timeframes=("1d",), goal=("sharpe",), combine="mean") -> Evaluation:
    rule, sought = STRATEGIES.get("rsi_swing"), Goal.parse(goal, ["trades>=1"])
    markets = markets_of(panel, timeframes)
    return Evaluation(markets, rule, sought, "dollar-neutral", 0.0005, combine)


def test_batches_of_sets_are_worth_what_each_is_alone(panel: Panel):
    rows = small_grid().rows()[:4]
    run = evaluation(panel, goal=("sharpe", "win_rate"))
    together = run(rows)
    alone = [run([row]) for row in rows]
    assert together.values.tobytes() == np.vstack([one.values for one in alone]).tobytes()
    assert together.feasible.tolist() == [bool(one.feasible[0]) for one in alone]


def test_several_timeframes_are_joined_by_mean_or_worst(panel: Panel):
    rows = small_grid().rows()[:4]
    day, week = (evaluation(panel, (name,))(rows).values for name in ("1d", "1w"))
    both = evaluation(panel, ("1d", "1w"))(rows).values
    worst = evaluation(panel, ("1d", "1w"), combine="worst")(rows).values
    assert np.array_equal(both, (day + week) / 2, equal_nan=True)
    assert np.array_equal(worst, np.minimum(day, week), equal_nan=True)
    with pytest.raises(DataError, match="E_TIMEFRAME"):
        markets_of(panel, ("1h",))
    with pytest.raises(DataError, match="E_TIMEFRAME: a timeframe stands twice"):
        markets_of(panel, ("1w", "1w"))


def test_a_regime_s_weights_are_those_known_at_the_close_before(panel: Panel):
    told = np.linspace(0.0, 1.0, 420)
    day, week = markets_of(panel, ("1d", "1w"), probability=told)
    assert day.weights.tolist() == [0.0, *told[:-1].tolist()]
    assert week.weights[1] == told[np.searchsorted(panel.dates, week.panel.dates[0])]
    with pytest.raises(NotFittedError, match="E_TOO_SHORT"):
        markets_of(panel, ("1d",), probability=np.full(420, 0.01))


def test_candidates_on_weekly_bars_are_counted_as_such(panel: Panel):
    spec = TuneSpec("uniform", 3, 3)
    told = {}
    for name in ("1d", "1w"):
        run = evaluation(panel, (name,))
        found = search(Space.of(run.strategy.params), spec, run, names=("sharpe",))
        told[name] = ledger_trials(
            found, run.returns(found.rows), strategy="rsi_swing", book=run.book, cost=run.cost,
            market=run.markets[0],
        )  # fmt: skip
    assert {one.observations for one in told["1d"]} == {420}
    assert {one.observations for one in told["1w"]} == {83}
    assert not {t.config_hash for t in told["1d"]} & {t.config_hash for t in told["1w"]}
    plain = config_hash(
        {"parameters": found.rows[0], "book": "dollar-neutral", "cost": 0.0005}
    )  # as a walk names it
    assert told["1d"][0].config_hash == plain


def test_sessions_kept_back_are_weighted_as_the_search_was():
    returns = np.random.default_rng(0).normal(0.0, 0.01, (2, 90))
    book, own = BookResult(returns, np.zeros_like(returns)), np.arange(90) % 2.0
    told = held_out(book, 30, periods_per_year=252, weights=own)
    alone = BookResult(returns[:, 31::2], np.zeros((2, 30)))
    plain = held_out(alone, 0, periods_per_year=252)
    assert told["sharpe"] == pytest.approx(plain["sharpe"], rel=1e-10)
    more = held_out(book, 30, periods_per_year=252, sought=("calmar", "trades", "sharpe"))
    assert list(more) == ["sharpe", "total_return", "max_drawdown", "calmar"]


class TwoStates:
    """A model that knows two states by the sign of the first column."""

    names = ("bull calm thin", "bear volatile thin")

    def fit(self, state, columns, *, previous, seed):
        return self

    def filter(self, state):
        first = (state[:, 0] > 0.0).astype(float)
        return np.column_stack([first, 1.0 - first])


def test_a_regime_is_found_by_its_name_or_by_a_word_of_it():
    state = np.array([[1.0], [-1.0], [1.0], [-1.0], [1.0]])
    lane = track(state, ("a",), TwoStates(), train=2, refit=2, seed=0)
    assert regime_probability(lane, "bull").tolist() == [0.0, 0.0, 1.0, 0.0, 1.0]
    assert regime_probability(lane, "thin").tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert regime_probability(lane, "bear volatile thin").tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]
    for words, said in (("bul", "did you mean 'bull'"), ("", "known"), ("heavy", "no regime")):
        with pytest.raises(UnknownNameError, match=said):
            regime_probability(lane, words)


class OneState:
    """A model that is always sure of one state."""

    def __init__(self, name: str):
        self.names = (name,)

    def fit(self, state, columns, *, previous, seed):
        return self

    def filter(self, state):
        return np.ones((len(state), 1))


@pytest.mark.parametrize("name", [" ".join(words) for words in product(TRENDS, *WORDS.values())])
def test_every_name_that_a_fit_can_give_is_found_whole_and_by_each_word(name: str):
    lane = track(np.zeros((4, 1)), ("a",), OneState(name), train=2, refit=2, seed=0)
    for words in (name, *name.split()):
        assert regime_probability(lane, words).tolist() == [0.0, 0.0, 1.0, 1.0]
    with pytest.raises(UnknownNameError, match="unknown regime 'windy', --regime, known: bear"):
        regime_probability(lane, "windy")


def test_the_digest_knows_every_cell(panel: Panel):
    first = panel_digest(panel)
    assert panel_digest(panel.until(419)) != first
    close = panel.close.copy()
    close[3, 100] += 1e-9
    changed = Panel(**{**vars(panel), "close": close})
    assert panel_digest(changed) != first
    assert panel_digest(Panel(**vars(panel))) == first


def test_planted_plateaus_are_found_by_regime():
    grid, states = small_grid(), spells(600)
    returns = planted_returns(grid, states, seed=3)
    probabilities = np.eye(2)[states]
    table = best_by_regime(
        grid, returns, probabilities, ("bull calm thin", "bear calm thin"), periods_per_year=252
    )
    found = {row["regime"]: row for row in table.to_dicts()}
    assert '"momentum"' in found["bull calm thin"]["parameters"]
    assert '"reversion"' in found["bear calm thin"]["parameters"]
    assert found["bull calm thin"]["sharpe"] > 2.0
    few = best_by_regime(
        grid, returns[:, :15], probabilities[:15], ("a", "b"), periods_per_year=252
    )
    assert few["parameters"].null_count() == 2


def test_the_front_of_a_swept_grid():
    grid = small_grid()
    returns = planted_returns(grid, spells(300), seed=1)
    returns[4] = 0.0
    front = corpus_front(grid, BookResult(returns, np.zeros_like(returns)), periods_per_year=252)
    assert front.volume > 0.0
    best = front.table.sort("sharpe", descending=True, nulls_last=True)
    assert best["front"][0]
    assert not front.table["front"][4]
    assert front.table["sharpe"][4] is None
