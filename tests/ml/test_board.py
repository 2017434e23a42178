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
from ml.corpus import Corpus, WalkSpec, corpus, policy_hash
from ml.learner import LEARNERS, needs_of
from ml.policy import PolicyConfig
from ml.proof import board as board_module
from ml.proof.board import (
    ALWAYS,
    PASSIVE,
    REFERENCES,
    SIMPLE,
    learners_of,
    market_cell,
    world_cell,
)
from ml.proof.board_page import board_blocks, board_files, board_values
from ml.proof.card import Terms
from ml.proof.cell import ALL, Cell, Row, board_trials
from ml.proof.contest import promoted_after
from ml.proof.standings import CHANCE, board_standings, by_market, standings
from ml.trials import Registration

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
        *learners_of(None),
        *("default", "buy_and_hold", "hindsight", "oracle"),
    ]
    assert {one.learner for one in cell.rows} >= {*SIMPLE, *ALWAYS, *REFERENCES}
    assert cell.out_of_sample == 420 - 251
    assert not cell.full


def test_rows_are_what_they_say(cell: Cell):
    cash = cell.row("cash")
    assert cash.sharpe is None
    assert cash.turnover == cash.max_drawdown == 0.0
    for one in cell.rows:
        if one.learner in (*PASSIVE, *REFERENCES):
            assert one.smallest_gain is None
        else:
            assert one.failed  # 169 sessions are too few for the gate
            assert "observations" in one.failed
            # 0 only of one that did what its rival did: their streams correlate at 1
            assert one.smallest_gain >= 0.0
        if one.learner not in REFERENCES:
            assert set(one.paired) == set(learners_of(None)) - {one.learner}


def test_hindsight_is_the_best_of_the_swept_sets(cell: Cell, panel: Panel):
    swept = corpus(panel, "rsi_swing", WalkSpec(policy=TINY.policy, cost=TINY.cost), progress=None)
    sets = swept.book.net_return[: swept.candidates, TINY.policy.train + 1 :]
    deviation = sets.std(axis=1, ddof=1)
    moved = deviation > 0.0
    ratios = sets.mean(axis=1)[moved] / deviation[moved] * 252**0.5
    assert cell.row("hindsight").sharpe == pytest.approx(ratios.max())


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
    assert len({one.config_hash for one in trials}) == len(trials) == len(learners_of(None)) + 2
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
    always = "cash argmax_static static recent weighted experts volatility_targeted directions"
    assert set(learners_of(["bandit"])) == {"bandit", "regime_table", *always.split()}
    with pytest.raises(UnknownNameError, match="did you mean 'bandit'"):
        learners_of(["bandid"])


def test_those_that_train_networks_are_on_a_board_only_where_asked_for():
    left = set(LEARNERS.names()) - set(learners_of(None))
    assert "neural" in left
    assert "student" in left  # of an ensemble that listens to neural
    assert not left & {"online", "regime_table", "meta"}
    for name in learners_of(None):
        assert not left & set(needs_of(LEARNERS.get(name)()))
    assert set(learners_of(["neural"])) >= {"neural", "regime_table"}


def test_standings_by_hand():
    cells = [
        made_up(k, {"cash": None, "static": 0.5, "experts": 1.0, "bandit": b, "oracle": 2.5})
        for k, b in enumerate((2.0, 2.2, 1.8, 2.0))
    ]
    found = {one.learner: one for one in standings(cells, "rsi_swing", claims=2)}
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


def test_a_gain_that_few_seeds_could_show_by_chance_is_not_called_one():
    cells = [made_up(k, {"static": 0.0, "bandit": b}) for k, b in enumerate((1.0, 2.0, 1.5))]
    bandit = next(one for one in standings(cells, "rsi_swing", claims=2) if one.learner == "bandit")
    assert bandit.t == pytest.approx(1.5 / 0.5 * 3**0.5)
    assert bandit.verdict == "above static, not clearly"


def test_two_seeds_have_no_spread_and_no_verdict():
    sharpes = {"static": 0.0, "oracle": 3.0}
    cells = [made_up(k, {**sharpes, "bandit": b}) for k, b in enumerate((1.0, 1.01))]
    bandit = next(one for one in standings(cells, "rsi_swing", claims=1) if one.learner == "bandit")
    assert bandit.gain == pytest.approx(1.005)
    assert (bandit.low, bandit.high, bandit.t, bandit.capture) == (None, None, None, None)
    assert bandit.verdict == "-"


def test_the_page_names_only_what_was_walked():
    page = board_files([made_up(0, {"cash": None, "static": 0.5, "bandit": 0.6})])["board.md"]
    assert "cash, static know no regimes" in page.decode()
    assert "hindsight" not in page.decode()


def test_small_markets_are_not_judged():
    cells = [
        made_up(k, {"static": 0.0, "bandit": b}, full=False)
        for k, b in enumerate((1.0, 1.01, 1.02, 1.0))
    ]
    page = board_files(cells)["board.md"].decode()
    assert "NOT JUDGED: clear" in page
    assert "beats" not in page
    judged = [dataclasses.replace(one, full=True) for one in cells]
    page = board_files(judged)["board.md"].decode()
    assert "NOT JUDGED" not in page
    assert "| bandit | beats static |" in page


def test_chance_is_shared_out_among_all_verdicts_of_all_tables():
    """Simple learners count, since they may be said to beat; what is not judged does not."""
    sharpes = {"cash": None, "static": 0.5, "experts": 1.0, "oracle": 3.0}
    gains = np.array([1.0, 1.2, 0.8, 1.0])
    t = gains.mean() / gains.std(ddof=1) * 2.0
    wanted = stats.t.sf(t, 3)
    one = [made_up(k, {**sharpes, "bandit": 1.0 + g}) for k, g in enumerate(gains)]
    claims = int(CHANCE / wanted)  # so many may be made; each table makes three
    tables = claims // 3
    for others, said in ((tables - 1, "beats experts"), (tables, "above experts, not clearly")):
        more = [dataclasses.replace(cell, market=f"m{k}") for k in range(others) for cell in one]
        small = [dataclasses.replace(cell, market="small", full=False) for cell in one]
        found = board_standings(by_market([*one, *more, *small]))["clear"]["rsi_swing"]
        assert {s.learner: s.verdict for s in found}["bandit"] == said


def streams_for_the_gate(seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One strong stream under two names among weak ones."""
    made = np.random.default_rng(seed)
    names = {"static": 0.02, "experts": 0.06, "recent": 0.0, "default": -0.05, "meta": 0.12}
    net = {name: 0.004 * (made.standard_normal(1500) + mean) for name, mean in names.items()}
    net["regime_table"] = net["bandit"] = 0.004 * (made.standard_normal(1500) + 0.14)
    return net, {name: np.full(1500, 0.15) for name in net}


def test_the_gate_does_not_know_learners_by_name():
    net, turnover = streams_for_the_gate(1)
    learners = tuple(set(net) - {"default"})
    first, second = (
        promoted_after(
            name,
            net,
            turnover,
            WalkSpec(),
            learners=learners,
            together=4,
            policies=14,
            periods_per_year=252,
        )
        for name in ("regime_table", "bandit")
    )
    assert first == second


def test_the_gate_deflates_by_the_spread_of_all_other_learners():
    net, turnover = streams_for_the_gate(1)

    def dsr(*learners: str) -> float:
        verdict = promoted_after(
            "bandit",
            net,
            turnover,
            WalkSpec(),
            learners=learners,
            together=4000,  # never promoted: the verdict is that of the last session
            policies=14,
            periods_per_year=252,
        )[1]
        return next(line.value for line in verdict.criteria if line.name == "dsr")

    weak = dsr("bandit", "static", "recent")
    assert dsr("static", "recent") == weak  # its own stream is no rival
    assert dsr("bandit", "static", "recent", "meta") < weak


def test_the_gate_counts_all_that_it_is_asked_about_on_all_strategies(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def spy(name: str, *args: object, **counts: object) -> object:
        asked.append((name, counts["together"], counts["policies"]))
        return promoted_after(name, *args, **counts)

    monkeypatch.setattr(board_module, "promoted_after", spy)
    found = market_cell(
        panel, TINY, market="mine", strategies=("rsi_swing", "ma_cross"), learners=["static"]
    )
    challengers = len(set(ALWAYS) - set(PASSIVE))
    assert len(asked) == 3 * challengers  # two strategies, and both together
    hashes = {one.config_hash for one in board_trials(found)}
    # Every learner and the defaults on each of three, and buying, which is one policy everywhere.
    assert len(hashes) == 3 * (len(ALWAYS) + 1) + 1
    assert {one[1:] for one in asked} == {(len(asked), len(hashes))}
    alpha = Registration(batch=1, together=len(asked)).alpha(0.05)
    assert alpha * len(asked) <= 0.05


def test_bars_cost_what_the_terms_say_whatever_they_are_called(panel: Panel):
    mine = market_cell(panel, TINY, market="null", strategies=("rsi_swing",), learners=["static"])
    assert mine.cost == TINY.cost
    assert not mine.synthetic
    assert world_cell("null", 3, TINY, learners=["static"]).cost == 0.0


def test_one_market_is_judged_by_its_own_sessions():
    rows = (
        row("static", 0.1),
        row("regime_table", 0.4, paired={"static": 2.5}),
        row("bandit", 0.6, paired={"regime_table": 1.0, "static": 2.9}),
    )
    alone = made_up(0, {}, rows=rows, market="bars", synthetic=False, accuracy=None)
    found = {one.learner: one for one in standings([alone], "rsi_swing", claims=2)}
    assert found["regime_table"].verdict == "beats static"
    assert found["bandit"].verdict == "above regime_table, not clearly"
    assert (found["bandit"].low, found["bandit"].high) == (-1.0, 1.0)


def test_little_to_capture_is_no_capture():
    cells = [made_up(0, {"static": 0.5, "bandit": 0.6, "oracle": 0.7})]
    assert all(one.capture is None for one in standings(cells, "rsi_swing", claims=2))


def test_the_page_shows_every_learner_and_says_what_is_made_up(cell: Cell):
    files = board_files([cell])
    page = files["board.md"].decode()
    assert set(files) == {"board.md", "board.html", "board.png"}
    assert files["board.png"].startswith(b"\x89PNG")
    assert "clear (SYNTHETIC)" in page
    for name in (*learners_of(None), *REFERENCES):
        assert f"| {name} |" in page
    for name in REFERENCES:
        assert f"`{name}`: " in page
    assert board_blocks([cell])[0].level == 1
    values = board_values([cell])["clear"]["strategies"]["rsi_swing"]
    assert json.loads(json.dumps(values, allow_nan=False))["cash"]["sharpe"] == 0.0
