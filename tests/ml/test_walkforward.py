"""The walk-forward is the fold of the decision path, and nothing later leaks into it."""

import dataclasses
import itertools
import json

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from backtest.engine.books import mix_book
from backtest.errors import DataError, ParameterError, UnknownNameError
from backtest.market.panel import Panel
from backtest.strategy import STRATEGIES
from ml import walk_fold
from ml.corpus import corpus, history_of, incumbents_of
from ml.decision import decide
from ml.decision import gate as real_gate
from ml.evidence import Evidence
from ml.trials import TRIAL_COLUMNS
from ml.walk_tables import (
    decisions_frame,
    evidence_of,
    regimes_frame,
    returns_frame,
    together,
    trials_frame,
)
from ml.walkforward import WalkForward, breadth_note, walk_forward
from tests.ml.panels import small_world
from tests.ml.small_walk import NAME, POLICY, SPEC, TRAIN, VARIANTS


def scrambled(panel: Panel, first: int) -> Panel:
    """The same panel with other prices, and another universe, from session ``first`` on."""
    random = np.random.default_rng(5)
    arrays = {name: getattr(panel, name).copy() for name in ("open", "high", "low", "close")}
    shape = arrays["close"][:, first:].shape
    moves = np.cumprod(1.0 + random.normal(0.0, 0.03, shape), axis=1)
    for array in arrays.values():
        array[:, first:] = arrays["close"][:, first - 1 : first] * moves
    tradable = panel.tradable.copy()
    tradable[:4, first:] = False
    return dataclasses.replace(panel, tradable=tradable, **arrays)


@pytest.mark.parametrize("t", [TRAIN, 274, 275, 278, 339])
def test_one_decision_from_scratch_equals_the_fold(panel: Panel, walk: WalkForward, t: int):
    """Sweep, state, regimes and decision anew on the panel as it was after the close of ``t``."""
    cut = panel.until(t + 1)
    history = history_of(cut, {NAME: corpus(cut, NAME, SPEC, progress=None)})
    alone = decide(t, history, POLICY, seed=SPEC.seed)[NAME]
    folded = walk.strategies[NAME].decisions[walk.row_of(t)]
    assert alone.weights.tobytes() == folded.weights.tobytes()
    assert alone.mix == folded.mix
    assert alone.regime == folded.regime
    assert alone.by_regime == folded.by_regime
    assert alone.confidence == folded.confidence


def assert_same_until(long: WalkForward, short: WalkForward, last: int) -> None:
    """Everything known at the close of ``last`` is the same in both walks."""
    rows = short.row_of(last) + 1
    one, other = long.strategies[NAME], short.strategies[NAME]
    for k in range(rows):
        assert one.decisions[k].weights.tobytes() == other.decisions[k].weights.tobytes()
        assert one.decisions[k].regime == other.decisions[k].regime
        assert one.exported[k].weights.tobytes() == other.exported[k].weights.tobytes()
        assert one.exported[k].action == other.exported[k].action
        assert one.verdicts[k] == other.verdicts[k]
    for variant in VARIANTS:
        assert np.array_equal(one.net[variant][: last + 1], other.net[variant][: last + 1])
        assert np.array_equal(
            one.turnover[variant][: last + 1], other.turnover[variant][: last + 1]
        )
    day = walk_day(long, last)
    assert_frame_equal(
        regimes_frame(long).filter(pl.col("date") <= day),
        regimes_frame(short).filter(pl.col("date") <= day),
    )


def walk_day(walk: WalkForward, session: int) -> object:
    return walk.dates[session].item()


@pytest.mark.parametrize("last", [260, 311])
def test_a_shorter_panel_gives_the_same_walk(panel: Panel, walk: WalkForward, last: int):
    assert_same_until(walk, walk_forward(panel.until(last + 1), [NAME], SPEC), last)


def test_a_changed_future_changes_nothing_before(panel: Panel, walk: WalkForward):
    other = walk_forward(scrambled(panel, 300), [NAME], SPEC)
    assert_same_until(walk, other, 299)
    assert not np.array_equal(
        walk.strategies[NAME].net["regime_aware"][305:],
        other.strategies[NAME].net["regime_aware"][305:],
    )


def test_the_same_run_twice_is_the_same(panel: Panel, walk: WalkForward, evidence: Evidence):
    again = walk_forward(panel, [NAME], SPEC)
    assert evidence_of(again).model_dump_json() == evidence.model_dump_json()
    for frame in (decisions_frame, returns_frame, regimes_frame, trials_frame):
        assert_frame_equal(frame(again), frame(walk))


def test_fits_and_sweeps_made_before_change_nothing(panel: Panel, walk: WalkForward):
    known = walk_forward(
        panel, [NAME], SPEC, corpora={NAME: walk.strategies[NAME].corpus}, fits=walk.regimes.fits
    )
    assert_same_until(walk, known, len(panel.dates) - 1)


def test_what_is_traded_is_what_was_decided(panel: Panel, walk: WalkForward):
    one = walk.strategies[NAME]
    weights = np.zeros((1, len(panel.dates), one.corpus.grid.size))
    for decision in one.decisions:
        for member in decision.mix:
            place = one.corpus.grid.index_of(member.parameters)
            weights[0, decision.session, place] = member.weight
    done = mix_book(
        panel, STRATEGIES.get(NAME), one.corpus.grid, weights, kind="dollar-neutral", cost=5e-4
    )
    assert one.net["regime_aware"] == pytest.approx(done.net_return[0], abs=1e-15)
    assert not one.net["regime_aware"][: TRAIN + 1].any()  # decided at 200, filled at 201
    assert one.net["regime_aware"][TRAIN + 1] != 0.0


def test_single_runs_the_heaviest_member_alone(panel: Panel, walk: WalkForward):
    one = walk.strategies[NAME]
    weights = np.zeros((1, len(panel.dates), one.corpus.grid.size))
    for decision in one.decisions:
        if decision.parameters is not None:
            place = one.corpus.grid.index_of(decision.parameters)
            weights[0, decision.session, place] = decision.weights.sum()
    done = mix_book(
        panel, STRATEGIES.get(NAME), one.corpus.grid, weights, kind="dollar-neutral", cost=5e-4
    )
    assert one.net["regime_aware_single"] == pytest.approx(done.net_return[0], abs=1e-15)


def test_the_default_earns_what_its_sweep_earned(walk: WalkForward):
    """From its second session on: on the first it has to be bought."""
    one = walk.strategies[NAME]
    own = one.corpus.book.net_return[one.corpus.default]
    assert one.net["default"][TRAIN + 2 :] == pytest.approx(own[TRAIN + 2 :], abs=1e-15)


def test_buy_and_hold_is_the_mean_of_the_symbols(panel: Panel, walk: WalkForward):
    one = walk.strategies[NAME]
    daily = panel.close[:, TRAIN + 2 :] / panel.close[:, TRAIN + 1 : -1] - 1.0
    assert one.net["buy_and_hold"][TRAIN + 2 :] == pytest.approx(daily.mean(axis=0), abs=1e-12)
    assert one.turnover["buy_and_hold"][TRAIN + 1 :].sum() == pytest.approx(1.0)


def test_a_hold_exports_the_default(walk: WalkForward):
    one = walk.strategies[NAME]
    assert one.promoted_at is None
    assert {step.action for step in one.exported} == {"hold"}
    assert {step.champion for step in one.exported} == {"default"}
    assert np.array_equal(one.net["exported"], one.net["default"])
    assert not one.verdict.promote
    assert "observations" in one.verdict.reason


def test_a_promotion_steps_over_and_stays(panel: Panel, walk: WalkForward, monkeypatch):
    """The gate is asked after each session, with what was known then, until it promotes."""
    asked = []

    def promoting(record, config):
        asked.append(len(record.challenger))
        promote = len(record.challenger) == 60
        return dataclasses.replace(real_gate(record, config), promote=promote)

    monkeypatch.setattr(walk_fold, "gate", promoting)
    known = {NAME: walk.strategies[NAME].corpus}
    bold = dataclasses.replace(SPEC, policy=POLICY.model_copy(update={"least_confidence": 0.0}))
    promoted = walk_forward(panel, [NAME], bold, corpora=known, fits=walk.regimes.fits)
    one = promoted.strategies[NAME]
    assert asked == list(range(61))
    assert one.promoted_at == TRAIN + 60
    assert [v.promote for v in one.verdicts] == [False] * 60 + [True] * 80
    steps = one.exported
    assert [s.action for s in steps] == ["hold"] * 60 + ["update"] * 80
    # a quarter of the book moves on the first session
    assert steps[60].weights[one.corpus.default] == pytest.approx(0.75, abs=0.01)
    assert np.count_nonzero(steps[-1].weights) <= 16
    moves = [np.abs(b.weights - a.weights).sum() for a, b in itertools.pairwise(steps)]
    assert max(moves) <= 2 * POLICY.max_step + 1e-9
    assert np.array_equal(one.net["exported"][: TRAIN + 61], one.net["default"][: TRAIN + 61])
    assert not np.array_equal(one.net["exported"], one.net["default"])
    evidence = evidence_of(promoted)
    assert evidence.promoted
    assert evidence.strategies[NAME].promoted_at == panel.dates[TRAIN + 60].item()
    assert evidence.strategies[NAME].champion == "regime_aware"


def test_the_files_have_their_columns(panel: Panel, walk: WalkForward):
    decisions, returns = decisions_frame(walk), returns_frame(walk)
    assert decisions.columns == [
        *(
            "date",
            "strategy",
            "parameters",
            "mix",
            "by_regime",
            "confidence",
            "action",
            "parameter_confidence",
        )
    ]
    assert decisions["date"].to_list() == panel.dates[TRAIN:].tolist()
    first = decisions.row(0, named=True)
    mix = json.loads(first["mix"])
    assert json.loads(first["parameters"]) == mix[0]["parameters"]
    assert sum(member["weight"] for member in mix) <= 1.0 + 1e-9
    assert {"parameters", "score", "sessions"} == set(
        next(iter(json.loads(first["by_regime"]).values()))
    )
    assert returns.columns == ["date", "strategy", "variant", "net_return", "turnover"]
    assert set(returns["variant"]) == VARIANTS
    assert set(returns["strategy"]) == {NAME, "all"}
    assert returns["date"].unique().sort().to_list() == panel.dates[TRAIN + 1 :].tolist()
    assert returns.height == 2 * len(VARIANTS) * (len(panel.dates) - TRAIN - 1)
    assert regimes_frame(walk).columns[:8] == [
        *("date", "regime", "p_bull", "p_sideways", "p_bear", "p_volatile", "p_heavy", "state")
    ]
    assert dict(trials_frame(walk).schema) == TRIAL_COLUMNS


def test_an_incumbent_is_the_champion_and_a_rival(panel: Panel, walk: WalkForward):
    given = {"direction": "momentum", "period": 11, "width": 12.5, "smoothing": 2}
    spec = dataclasses.replace(SPEC, incumbent=incumbents_of(given, [NAME]))
    other = walk_forward(panel, [NAME], spec, fits=walk.regimes.fits)
    one = other.strategies[NAME]
    assert set(one.net) == VARIANTS | {"incumbent"}
    assert one.corpus.incumbent == 140  # behind the candidates
    assert one.corpus.grid.row(140) == given
    assert np.array_equal(one.net["exported"], one.net["incumbent"])
    assert {step.champion for step in one.exported} == {"incumbent"}
    assert "paired_incumbent" in {line.name for line in one.verdict.criteria}
    # learners never see it
    assert len(one.decisions[0].weights) == 140
    assert np.array_equal(one.net["regime_aware"], walk.strategies[NAME].net["regime_aware"])


def test_incumbents_are_read_by_strategy_or_alone():
    plain = {"period": 10}
    assert incumbents_of(plain, [NAME]) == {NAME: plain}
    assert incumbents_of({NAME: plain, "ma_cross": {}}, [NAME]) == {NAME: plain}
    with pytest.raises(ParameterError, match="does not say which strategy"):
        incumbents_of(plain, [NAME, "ma_cross"])
    with pytest.raises(UnknownNameError, match="did you mean 'rsi_swing'"):
        incumbents_of({"rsi_swng": plain}, [NAME])
    with pytest.raises(ParameterError, match="is a list"):
        incumbents_of([plain], [NAME])


def test_a_wrong_incumbent_is_refused_before_anything_is_computed(panel: Panel):
    spec = dataclasses.replace(SPEC, incumbent={NAME: {"perod": 10}})
    with pytest.raises(ParameterError, match="did you mean 'period'"):
        walk_forward(panel, [NAME], spec)


def test_strategies_are_registered_together(panel: Panel, walk: WalkForward):
    names = [NAME, "ma_cross"]
    both = walk_forward(panel, names, SPEC, fits=walk.regimes.fits)
    alone = walk.strategies[NAME]
    assert np.array_equal(both.strategies[NAME].net["regime_aware"], alone.net["regime_aware"])
    limits = [
        next(c.limit for c in one.verdict.criteria if c.name == "paired_static")
        for one in (alone, both.strategies[NAME])
    ]
    assert limits[1] > limits[0]
    whole = together(both)
    parts = [both.streams(name).net["static"] for name in names]
    assert whole.net["static"] == pytest.approx((parts[0] + parts[1]) / 2)


def test_too_little_history_is_one_line(panel: Panel):
    with pytest.raises(DataError, match=r"^E_TOO_SHORT: 201 sessions .*policy\.train=N\)$"):
        walk_forward(panel.until(201), [NAME], SPEC)


def test_progress_is_told(panel: Panel, walk: WalkForward):
    told = []
    walk_forward(
        panel.until(215),
        [NAME],
        SPEC,
        fits=walk.regimes.fits,
        progress=lambda stage, done, total: told.append((stage, done, total)),
    )
    stages = {stage: (done, total) for stage, done, total in told}
    assert set(stages) == {"sweep rsi_swing", "decide", "walk rsi_swing"}
    assert all(done == total for done, total in stages.values())


def test_a_universe_too_small_to_trade_ends_in_nulls_with_reasons():
    """Fewer than five symbols: the book is flat, so nothing is chosen and nothing promoted."""
    panel = small_world(symbols=3, sessions=260)[0]
    assert breadth_note(panel).startswith("at most 3 symbols can be traded at a close where")
    assert breadth_note(small_world(symbols=5, sessions=30)[0]) is None
    flat = walk_forward(panel, [NAME, "buy_and_hold"], SPEC)
    for name in (NAME, "buy_and_hold"):
        assert all(decision.mix == () for decision in flat.strategies[name].decisions)
        assert not flat.strategies[name].net["regime_aware"].any()
    evidence = evidence_of(flat)
    json.loads(evidence.model_dump_json())
    one = evidence.strategies[NAME].variants["regime_aware"]
    assert (one.sharpe, one.psr, one.dsr, one.cost_break_even_bps) == (None,) * 4
    assert set(one.reasons) == {*("sharpe", "sharpe_interval", "psr", "dsr", "cost_break_even_bps")}
    assert not evidence.claim.holds
    assert not evidence.promoted
    assert decisions_frame(flat)["parameters"].null_count() == 2 * 60
