"""The board's rows on small markets, and what many cells say together, by hand."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from backtest.errors import DataError, UnknownNameError
from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, generate, weekdays
from backtest.params import ParamGrid, default_set
from backtest.result import BookResult
from backtest.strategy import STRATEGIES
from ml.corpus import Corpus, WalkSpec, policy_hash
from ml.learner import LEARNERS
from ml.policy import PolicyConfig
from ml.proof.board import PASSIVE, REFERENCES, learners_of, market_cell, world_cell
from ml.proof.board_page import ALWAYS, SIMPLE, board_blocks, board_files, board_values, standings
from ml.proof.card import Terms
from ml.proof.cell import ALL, Cell, Row, board_trials

TINY = Terms(symbols=15, sessions=420, policy=PolicyConfig(train=250, step=10, refit=100))


@pytest.fixture(scope="module")
def cell() -> Cell:
    return world_cell("clear", 3, TINY)


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = generate(WorldConfig(symbols=15, seed=3), weekdays(420))
    return Panel.from_frame(made.bars)


def row(learner: str, sharpe: float | None, **changes: object) -> Row:
    """A made-up row."""
    plain = Row("rsi_swing", learner, sharpe, (-1.0, 1.0), 10.0, 0.1, 5.0)
    return dataclasses.replace(plain, **changes)


def made_up(seed: int, sharpes: dict[str, float | None], **changes: object) -> Cell:
    """A made-up world whose sessions count."""
    rows = tuple(row(name, ratio) for name, ratio in sharpes.items())
    whole = Cell(
        *(
            "clear",
            True,
            seed,
            100,
            3024,
            2000,
            252,
            "2015-01-01",
            "2020-01-01",
            0.0005,
            0.9,
            rows,
            True,
        )
    )
    return dataclasses.replace(whole, **changes)


def test_every_learner_and_every_reference_has_a_row(cell: Cell):
    assert [one.learner for one in cell.rows] == [
        *LEARNERS.names(),
        *("default", "buy_and_hold", "hindsight", "oracle"),
    ]
    assert {one.learner for one in cell.rows} >= {*SIMPLE, *ALWAYS, *REFERENCES}
    assert cell.out_of_sample == 420 - 251
    assert not cell.full


def test_rows_are_what_they_say(cell: Cell):
    cash = cell.row("cash")
    assert cash.sharpe is None
    assert cash.turnover == cash.max_drawdown == 0.0
    best = max(one.sharpe for one in cell.rows if one.learner in ("static", "argmax_static"))
    assert cell.row("hindsight").sharpe >= best - 1.0
    for one in cell.rows:
        if one.learner in (*PASSIVE, *REFERENCES):
            assert one.smallest_gain is None
        else:
            assert one.failed  # 169 sessions are too few for the gate
            assert "observations" in one.failed
            assert one.smallest_gain > 0.0
        if one.learner not in REFERENCES:
            assert set(one.paired) == set(LEARNERS.names()) - {one.learner}


def test_the_paired_statistic_has_one_sign_for_each_side(cell: Cell):
    table, static = cell.row("regime_table"), cell.row("static")
    assert table.paired["static"] == pytest.approx(-static.paired["regime_table"])


def test_a_cell_survives_its_file(cell: Cell):
    assert Cell.of(json.loads(json.dumps(cell.plain()))) == cell


def test_the_same_market_gives_the_same_cell_but_for_the_time(cell: Cell):
    again = world_cell("clear", 3, TINY, learners=["static"])
    for one in again.rows:
        same = cell.row(one.learner)
        keep = {"seconds": 0.0, "paired": {}, "smallest_gain": None, "failed": ()}
        if one.learner not in REFERENCES:
            assert dataclasses.replace(one, **keep) == dataclasses.replace(same, **keep)


def test_bars_without_a_truth_have_no_oracle_and_several_strategies(panel: Panel):
    names = ("rsi_swing", "ma_cross")
    found = market_cell(panel, TINY, market="mine", strategies=names, learners=["static"])
    assert {one.strategy for one in found.rows} == {*names, ALL}
    assert found.accuracy is None
    assert found.row("oracle") is None
    assert found.row("static").strategy == ALL
    parts = [found.row("default", name).turnover for name in names]
    assert found.row("default", ALL).turnover == pytest.approx(np.mean(parts))


def test_every_policy_that_is_looked_at_is_a_trial(cell: Cell):
    """Under the hash that a walk-forward of the same policy would have."""
    trials = board_trials(cell)
    assert len({one.config_hash for one in trials}) == len(trials) == len(LEARNERS.names()) + 2
    spec = WalkSpec(policy=TINY.policy, cost=TINY.cost)
    part = STRATEGIES.get("rsi_swing")
    rows = part.candidates().rows()
    grid = ParamGrid.of(part.params, [*rows, default_set(part.params)])
    empty = BookResult(np.zeros((0, 0)), np.zeros((0, 0)))
    swept = Corpus(grid, len(rows), len(rows), None, empty)
    known = {policy_hash(swept, spec, "rsi_swing", name) for name in ("regime_aware", "experts")}
    assert known <= {one.config_hash for one in trials}
    static = next(one for one in trials if one.sharpe == cell.row("static").sharpe / 252**0.5)
    assert static.observations == cell.out_of_sample


def test_too_little_history_is_one_line(panel: Panel):
    short = panel.until(200)
    with pytest.raises(DataError, match="E_TOO_SHORT: 200 sessions where a walk-forward needs 252"):
        market_cell(short, TINY, market="mine")


def test_a_learner_asked_for_comes_with_those_it_is_compared_with():
    assert learners_of(["bandit"]) == ("bandit", "cash", "experts", "regime_table", "static")
    with pytest.raises(UnknownNameError, match="did you mean 'bandit'"):
        learners_of(["bandid"])


def test_standings_by_hand():
    cells = [
        made_up(k, {"cash": None, "static": 0.5, "experts": 1.0, "bandit": b, "oracle": 2.5})
        for k, b in enumerate((2.0, 2.2, 1.8, 2.0))
    ]
    found = {one.learner: one for one in standings(cells, "rsi_swing")}
    assert list(found) == ["oracle", "bandit", "experts", "static", "cash"]
    bandit = found["bandit"]
    assert bandit.rival == "experts"
    assert bandit.gain == pytest.approx(1.0)
    spread = np.std([2.0, 2.2, 1.8, 2.0], ddof=1)
    assert bandit.t == pytest.approx(1.0 / spread * 2.0)
    assert bandit.verdict == "beats experts"
    half = stats.t.ppf(0.975, 3) * spread / 2.0
    assert (bandit.low, bandit.high) == pytest.approx((2.0 - half, 2.0 + half))
    assert bandit.capture == pytest.approx((2.0 - 0.5) / 2.0)
    assert found["experts"].verdict == "above static, not clearly"  # no spread, no t
    assert found["static"].verdict == "does not beat experts"
    assert found["oracle"].verdict == "-"


def test_a_gain_that_two_seeds_could_show_by_chance_is_not_called_one():
    cells = [made_up(k, {"static": 0.0, "bandit": b}) for k, b in enumerate((1.0, 2.0))]
    bandit = next(one for one in standings(cells, "rsi_swing") if one.learner == "bandit")
    assert bandit.t == pytest.approx(3.0)
    assert bandit.verdict == "above static, not clearly"


def test_one_market_is_judged_by_its_own_sessions():
    rows = (
        row("static", 0.1),
        row("regime_table", 0.4, paired={"static": 2.5}),
        row("bandit", 0.6, paired={"regime_table": 1.0, "static": 2.9}),
    )
    alone = made_up(0, {}, rows=rows, market="bars", synthetic=False, accuracy=None)
    found = {one.learner: one for one in standings([alone], "rsi_swing")}
    assert found["regime_table"].verdict == "beats static"
    assert found["bandit"].verdict == "above regime_table, not clearly"
    assert (found["bandit"].low, found["bandit"].high) == (-1.0, 1.0)


def test_little_to_capture_is_no_capture():
    cells = [made_up(0, {"static": 0.5, "bandit": 0.6, "oracle": 0.7})]
    assert all(one.capture is None for one in standings(cells, "rsi_swing"))


def test_the_page_shows_every_learner_and_says_what_is_made_up(cell: Cell):
    files = board_files([cell])
    page = files["board.md"].decode()
    assert set(files) == {"board.md", "board.html", "board.png"}
    assert files["board.png"].startswith(b"\x89PNG")
    assert "clear (SYNTHETIC)" in page
    for name in (*LEARNERS.names(), *REFERENCES):
        assert f"| {name} |" in page
    assert board_blocks([cell])[0].level == 1
    values = board_values([cell])["clear"]["strategies"]["rsi_swing"]
    assert json.loads(json.dumps(values, allow_nan=False))["cash"]["sharpe"] == 0.0
