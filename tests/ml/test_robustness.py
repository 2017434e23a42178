"""What stands beside a walk-forward, table by table, against numbers by hand."""

import dataclasses
import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.params import ParamGrid
from backtest.result import BookResult
from backtest.strategies.buy_and_hold import BuyAndHoldParams
from ml.conformal import adaptive_widths
from ml.corpus import Corpus
from ml.evidence import Evidence
from ml.export.records import Decision, Regime, RegimeRow
from ml.learner import HORIZON
from ml.policy import PolicyConfig
from ml.robustness.costs import costs_frame
from ml.robustness.coverage import claims_of, intervals_of
from ml.robustness.folds import expected_sharpe, fold_rows, folds_frame
from ml.robustness.paths import LEAST, path_returns, paths_frame, splits_of
from ml.robustness.record import WalkRecord
from ml.robustness.stability import mix_rows, stability_frame
from ml.robustness.tables import TABLES, findings_of, joined
from ml.walk_tables import records_of
from ml.walkforward import WalkForward
from tests.ml.histories import small_grid
from tests.ml.small_walk import NAME

START, REFIT, STEP = 4, 5, 2
POLICY = PolicyConfig(train=60, step=STEP, refit=REFIT)
RUN = "the_strategy"


def decision(grid: ParamGrid, session: int, weights: np.ndarray, **changes: object) -> Decision:
    """Two regimes, the first with three quarters of the probability."""
    k = session - START
    given = {
        "strategy": RUN,
        "session": session,
        "date": str(date(2020, 1, 1) + timedelta(days=session)),
        "grid": grid,
        "weights": weights,
        "regime": Regime("calm", {"calm": 0.75, "wild": 0.25}, "2020-01-01"),
        "by_regime": {
            "calm": RegimeRow(grid.row(0), 0.1, 50.0),
            "wild": RegimeRow(None, None, 3.0),
        },
        "confidence": 0.5,
        "parameter_confidence": dict.fromkeys(grid.columns, 0.5),
        "selected_at": session - k % STEP,
        "refitted_at": session - k % REFIT,
    }
    return Decision(**{**given, **changes})


def record_of(
    weights: np.ndarray, *, grid: ParamGrid | None = None, returns: np.ndarray | None = None
) -> WalkRecord:
    """A record whose mixes are given, ``[decision, param]``; 13 sessions and 9 decisions."""
    grid = small_grid() if grid is None else grid
    sessions = START + len(weights)
    random = np.random.default_rng(3)
    if returns is None:
        returns = random.normal(0.0005, 0.01, (grid.size, sessions))
    net = random.normal(0.001, 0.01, (3, len(weights) - 1))
    names = ("regime_aware", "static", "default")
    return WalkRecord(
        dates=np.datetime64("2020-01-01") + np.arange(sessions),
        start=START,
        periods_per_year=252,
        cost=0.0005,
        policy=POLICY,
        corpus=Corpus(grid, grid.size, 0, None, BookResult(returns, np.zeros_like(returns))),
        decisions=tuple(decision(grid, START + k, row) for k, row in enumerate(weights)),
        net=dict(zip(names, net, strict=True)),
        turnover=dict(zip(names, np.abs(net) * 10.0, strict=True)),
    )


def constant(count: int = 9, size: int = 12) -> np.ndarray:
    """The same mix after every session: half of it set 3, a quarter set 7, the rest cash."""
    weights = np.zeros((count, size))
    weights[:, 3], weights[:, 7] = 0.5, 0.25
    return weights


def test_folds_lie_between_refits_and_cover_every_session_once():
    record = record_of(constant(13))
    assert fold_rows(record) == [(0, 5), (5, 10), (10, 12)]
    assert fold_rows(record_of(constant(11))) == [(0, 5), (5, 10)]  # the last refit earns nothing
    folds = folds_frame(RUN, record).filter(variant="regime_aware")
    assert folds["first"].to_list() == [date(2020, 1, day) for day in (6, 11, 16)]
    assert folds["last"].to_list() == [date(2020, 1, day) for day in (10, 15, 17)]
    assert folds["sessions"].to_list() == [5, 5, 2]


def test_a_fold_by_hand():
    record = record_of(constant(13))
    net, traded = (kind["regime_aware"][5:10] for kind in (record.net, record.turnover))
    row = folds_frame(RUN, record).row(
        by_predicate=(pl.col("variant") == "regime_aware") & (pl.col("fold") == 1), named=True
    )
    assert row["sharpe"] == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(252))
    assert row["net_return"] == pytest.approx(np.prod(1.0 + net) - 1.0)
    assert row["turnover"] == pytest.approx(traded.mean() * 252)
    equity = np.concatenate([[1.0], np.cumprod(1.0 + net)])
    falls = [1.0 - equity[j] / equity[: j + 1].max() for j in range(len(equity))]
    assert row["max_drawdown"] == pytest.approx(max(falls))
    # Calm holds three quarters and scores 0.1 a session; no set is eligible in wild: cash.
    assert row["in_sample_sharpe"] == pytest.approx(0.075 * np.sqrt(252))
    assert json.loads(row["parameters"]) == record.grid.row(3)
    assert row["reason"] is None


def test_only_the_challenger_was_expected_to_earn_something():
    others = folds_frame(RUN, record_of(constant())).filter(pl.col("variant") != "regime_aware")
    assert set(others["variant"]) == {"static", "default"}
    assert others["in_sample_sharpe"].is_null().all()
    assert others["parameters"].is_null().all()


def test_a_short_fold_has_no_ratio_but_a_reason():
    last = folds_frame(RUN, record_of(constant(13))).filter(fold=2)
    assert last["sharpe"].is_null().all()
    assert set(last["reason"]) == {"fewer than 3 sessions or no variance"}


def test_a_learner_without_regimes_expects_its_one_row():
    grid = small_grid()
    one = decision(grid, START, constant()[0], by_regime={"always": RegimeRow({}, 0.2, 50.0)})
    record = dataclasses.replace(record_of(constant()), periods_per_year=256)
    assert expected_sharpe((one,), record) == pytest.approx(0.2 * 16.0)
    other = dataclasses.replace(record, policy=record.policy.with_learner("experts"))
    assert expected_sharpe((one,), other) is None  # its scores are log weights


def test_a_constant_mix_is_wholly_stable():
    frame = stability_frame(RUN, record_of(constant()))
    value = dict(
        zip(
            zip(*frame.select("statistic", "parameter", "category"), strict=True),
            frame["value"],
            strict=True,
        )
    )
    assert value["stability", "", ""] == 1.0
    assert value["mix_change", "", ""] == 0.0
    assert value["heaviest_changed", "", ""] == 0.0
    assert value["cash", "", ""] == 0.25
    grid = small_grid()
    expected = (2 * grid["period"][3] + grid["period"][7]) / 3
    assert value["mean", "period", ""] == pytest.approx(expected)
    assert value["deviation", "period", ""] == pytest.approx(0.0, abs=1e-12)
    assert grid["direction"][[3, 7]].tolist() == ["reversion", "momentum"]
    assert value["share", "direction", "reversion"] == pytest.approx(2 / 3)
    assert value["share", "direction", "momentum"] == pytest.approx(1 / 3)
    assert frame["reason"].null_count() == frame.height


def test_changes_of_a_mix_by_hand():
    weights = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.5], [0.0, 0.0]])
    chosen = np.array([True, False, True, False, True])
    rows = {row[0]: row[3] for row in mix_rows(weights, chosen)}
    # Selections: all of set 0, all of set 1, all cash; each replaces everything.
    assert rows["stability"] == 0.0
    assert rows["mix_change"] == pytest.approx((0.0 + 2.0 + 1.0 + 1.0) / 4)
    assert rows["heaviest_changed"] == 0.5  # to set 1, then to none
    assert rows["cash"] == pytest.approx(0.3)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), decisions=st.integers(2, 30), step=st.integers(1, 5))
def test_stability_is_a_share(seed: int, decisions: int, step: int):
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.ones(5), decisions)[:, :4]
    chosen = np.arange(decisions) % step == 0
    rows = {row[0]: row[3:] for row in mix_rows(weights, chosen)}
    value, reason = rows["stability"]
    assert (value is None) == (chosen.sum() < 2) == (reason is not None)
    assert value is None or 0.0 <= value <= 1.0


def test_all_cash_has_no_parameters():
    frame = stability_frame(RUN, record_of(np.zeros((9, 12))))
    own = frame.filter(pl.col("parameter") != "")
    assert own["value"].is_null().all()
    assert own["reason"].is_not_null().all()
    assert frame.row(by_predicate=pl.col("statistic") == "cash", named=True)["value"] == 1.0


@settings(max_examples=10, deadline=None)
@given(sessions=st.integers(LEAST, LEAST + 60))
def test_each_path_covers_every_session_once(sessions: int):
    grid = small_grid()
    returns = np.random.default_rng(1).normal(0.0, 0.01, (grid.size, sessions))
    paths = path_returns(grid, returns, POLICY)
    assert paths.shape == (9, sessions)
    assert not np.isnan(paths).any()
    assert (paths <= returns.max(axis=0) + 1e-12).all()
    assert (paths >= np.minimum(returns.min(axis=0), 0.0) - 1e-12).all()


def test_a_path_earns_what_was_selected_on_the_other_blocks():
    grid, sessions = small_grid(), 300
    returns = np.random.default_rng(1).normal(0.0, 0.01, (grid.size, sessions))
    before = path_returns(grid, returns, POLICY)
    splits = splits_of(sessions)
    assert (splits.splits, splits.paths, splits.horizon, splits.embargo) == (45, 9, 1, 3)
    first = next(iter(splits))  # tests the first two blocks, on the first path
    changed = returns.copy()
    changed[:, np.setdiff1d(np.arange(sessions), first.train)] *= -1.0
    after = path_returns(grid, changed, POLICY)
    rows = np.concatenate(splits.blocks()[:2])
    assert after[0, rows] == pytest.approx(-before[0, rows])  # the same mix earns the opposite


def test_paths_of_one_set_are_that_set():
    grid = small_grid().take(np.array([4]))
    returns = np.random.default_rng(2).normal(0.003, 0.01, (1, 300))
    record = record_of(np.ones((296, 1)), grid=grid, returns=returns)
    frame = paths_frame(RUN, record)
    assert frame["path"].to_list() == list(range(9))
    assert frame["sessions"].to_list() == [300] * 9
    best = returns[0].mean() / returns[0].std(ddof=1) * np.sqrt(252)
    assert frame["sharpe"].to_numpy() == pytest.approx(np.full(9, best), rel=0.15)  # and some cash


def test_constant_returns_and_short_histories_have_reasons():
    short = paths_frame(RUN, record_of(constant()))
    assert short.is_empty()
    flat = record_of(constant(296), returns=np.zeros((12, 300)))
    paths = paths_frame(RUN, flat)
    assert paths["sharpe"].is_null().all()
    assert set(paths["reason"]) == {"fewer than 3 sessions or no variance"}
    found = findings_of({RUN: flat})[RUN].summary
    assert (found.best_sharpe, found.near_best, found.path_sharpe_mean) == (None, None, None)
    assert found.reasons["best_sharpe"] == "no candidate traded"
    assert found.reasons["path_sharpe_mean"] == "no path has a Sharpe ratio"
    tiny = findings_of({RUN: record_of(constant())})[RUN].summary
    assert tiny.paths == 0
    assert tiny.reasons["paths_below_zero"] == "fewer than 200 sessions"


def test_costs_by_hand():
    record = record_of(constant(60))
    frame = costs_frame(RUN, record)
    points = ["0", "1", "2", "5", "10", "20", "50", "break-even"]
    one = frame.filter(variant="static")
    assert one["point"].to_list() == points
    net, traded = record.net["static"], record.turnover["static"]
    assert one["sharpe"][3] == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(252))
    even = (net + 0.0005 * traded).sum() / traded.sum() * 1e4
    assert one["cost_bps"].to_list() == pytest.approx([0, 1, 2, 5, 10, 20, 50, even])
    assert frame.filter(point="break-even")["sharpe"].to_numpy() == pytest.approx(0.0, abs=1e-9)
    assert frame["reason"].is_null().all()


def test_what_never_trades_has_no_break_even():
    record = record_of(constant(60))
    still = {name: np.zeros_like(one) for name, one in record.turnover.items()}
    frame = costs_frame(RUN, dataclasses.replace(record, turnover=still))
    even = frame.filter(point="break-even")
    assert even["cost_bps"].is_null().all()
    assert set(even["reason"]) == {"nothing was traded"}
    rest = frame.filter(pl.col("point") != "break-even").group_by("variant")
    assert rest.agg(pl.col("sharpe").n_unique())["sharpe"].to_list() == [1, 1, 1]


def claiming(score: float, *, sessions: int = 900, learner: str = "regime_table") -> WalkRecord:
    """Calm and wild in turns; their best sets, 3 and 7, both claim the same score."""
    returns = np.random.default_rng(4).normal(0.0, 0.01, (12, sessions))
    record = record_of(constant(sessions - START), returns=returns)
    names = [("calm", "wild")[one.session // 60 % 2] for one in record.decisions]
    table = {
        "calm": RegimeRow(record.grid.row(3), score, 50.0),
        "wild": RegimeRow(record.grid.row(7), score, 50.0),
    }
    told = tuple(
        dataclasses.replace(one, by_regime=table, regime=Regime(name, {name: 1.0}, "2020-01-01"))
        for one, name in zip(record.decisions, names, strict=True)
    )
    return dataclasses.replace(record, decisions=told, policy=POLICY.with_learner(learner))


def test_claims_by_hand():
    record = claiming(0.1, sessions=160)
    said, came = claims_of(record)
    assert (said == 0.1).all()
    for session, row in ((40, 3), (70, 7)):
        own = record.candidate_returns[row]
        expected = own[session + 1 : session + 31].mean() / own[: session + 1].std()
        assert came[session - START] == pytest.approx(expected)
    assert np.isfinite(came[-31])
    assert np.isnan(came[-30:]).all()


@pytest.mark.parametrize("learner", ["predictor", "static"])
def test_intervals_by_regime_are_those_of_the_claims(learner: str):
    record = claiming(0.3, learner=learner)  # too much by far, and the width says so
    found = intervals_of(record)
    said, came = claims_of(record)
    widths = adaptive_widths(np.abs(said - came)[:, None], coverage=0.8, delay=HORIZON)
    inside, settled = np.abs(said - came) <= widths, np.isfinite(widths) & np.isfinite(came)
    wild = np.array([one.regime.name == "wild" for one in record.decisions])
    assert found.sessions == settled.sum() > 600
    assert found.covered == pytest.approx(inside[settled].mean())
    assert found.regimes["wild"].covered == pytest.approx(inside[settled & wild].mean())
    assert sum(one.sessions for one in found.regimes.values()) == found.sessions
    assert found.covered == pytest.approx(0.8, abs=0.1)
    assert found.high - found.low == pytest.approx(2.0 * widths[-1])
    assert found.high > 0.6


def test_intervals_know_nothing_later():
    """The interval of the last decision ignores what came after; claims do settle later."""
    record = claiming(0.1)
    cut = dataclasses.replace(record, decisions=record.decisions[:-50])
    swept = dataclasses.replace(
        record.corpus,
        book=BookResult(record.candidate_returns[:, :-50], record.corpus.book.turnover[:, :-50]),
    )
    short = intervals_of(dataclasses.replace(cut, corpus=swept))
    assert (short.low, short.high) == (intervals_of(cut).low, intervals_of(cut).high)
    assert short.sessions < intervals_of(cut).sessions


def test_intervals_of_nothing_have_a_reason():
    assert intervals_of(record_of(constant())).reason == "too few claims are 30 sessions old"
    bandit = claiming(0.1, sessions=200, learner="bandit")
    assert intervals_of(bandit).reason == "the learner's scores are no Sharpe ratios"
    record = claiming(0.1)
    last = dataclasses.replace(record.decisions[-1], by_regime={"calm": RegimeRow(None, None, 0.0)})
    found = intervals_of(dataclasses.replace(record, decisions=(*record.decisions[:-1], last)))
    assert (found.low, found.high) == (None, None)
    assert found.reason == "the last decision knows no eligible set"


def test_a_strategy_without_parameters():
    grid = ParamGrid.of(BuyAndHoldParams, [{}])
    returns = np.random.default_rng(2).normal(0.001, 0.01, (1, 300))
    record = record_of(np.ones((296, 1)), grid=grid, returns=returns)
    found = findings_of({RUN: record})[RUN]
    assert found.tables["sensitivity"].is_empty()
    assert found.tables["stability"]["parameter"].to_list() == [""] * 4
    assert found.summary.near_best == 1.0
    assert (found.summary.plateaus, found.summary.edges) == ({}, [])
    assert set(found.tables["folds"].drop_nulls("parameters")["parameters"]) == {"{}"}


def test_the_summary_is_that_of_the_tables():
    record = record_of(constant(296), returns=np.random.default_rng(5).normal(0, 0.01, (12, 300)))
    found = findings_of({RUN: record})[RUN]
    folds, paths = found.tables["folds"], found.tables["paths"]
    own = folds.filter(variant="regime_aware").sort("fold")
    static = folds.filter(variant="static").sort("fold")
    assert found.summary.folds == own.height == 59
    assert found.summary.folds_positive == pytest.approx((own["sharpe"] > 0).mean())
    above = (own["sharpe"] > static["sharpe"]).mean()
    assert found.summary.folds_above_static == pytest.approx(above)
    ratios = paths["sharpe"].to_numpy()
    assert found.summary.path_sharpe_mean == pytest.approx(ratios.mean())
    assert found.summary.path_sharpe_low == pytest.approx(np.quantile(ratios, 0.05))
    assert found.summary.paths_below_zero == pytest.approx((ratios < 0.0).mean())
    sensed = found.tables["sensitivity"]
    edges = sensed.drop_nulls("edge")["edge"].to_list()
    assert found.summary.edges == edges
    plateau = sensed.filter(pl.col("plateau") & (pl.col("steps") < 0), parameter="period").height
    assert found.summary.plateaus["period"].below == plateau


def test_a_real_walk_is_covered(walk: WalkForward, evidence: Evidence):
    findings = findings_of(records_of(walk))
    tables = joined(findings)
    assert tuple(tables) == TABLES
    folds = tables["folds"].filter(variant="regime_aware")
    assert folds["sessions"].sum() == evidence.sessions
    assert folds["first"][0] == evidence.first
    assert folds["last"][-1] == evidence.last
    assert folds["sessions"].to_list() == [75, 64]
    decisions = walk.strategies[NAME].decisions
    for first, stop in fold_rows(records_of(walk)[NAME]):
        fits = {one.refitted_at for one in decisions[first:stop]}
        assert fits == {decisions[first].session}
    assert tables["paths"].height == 9
    assert evidence.strategies[NAME].robustness == findings[NAME].summary
    even = tables["costs"].filter(variant="static", point="break-even")["cost_bps"][0]
    assert even == evidence.strategies[NAME].variants["static"].cost_break_even_bps
    assumed = tables["costs"].filter(variant="static", point="5")["sharpe"][0]
    assert assumed == pytest.approx(evidence.strategies[NAME].variants["static"].sharpe)
