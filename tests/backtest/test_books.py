"""Books: weights and returns by hand, and what a mix of sets saves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from backtest.engine.books import mix_book, sweep_book
from backtest.errors import ParameterError
from backtest.params import ParamGrid
from backtest.portfolio.book import book_weights
from backtest.strategy import STRATEGIES
from tests.backtest.markets import Scripted, panel_of, random_panel

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "book_by_hand.json").read_text())


def weigh(positions, kind, *, tradable=None, sectors=None):
    positions = np.array(positions, dtype=np.int8)
    live = np.ones(positions.size, dtype=bool) if tradable is None else np.array(tradable)
    return book_weights(positions, live, sectors=sectors or ["x"] * positions.size, kind=kind)


def test_weights_by_hand():
    np.testing.assert_allclose(weigh([1, 1, -1, 0, 0], "long-only"), [0.2, 0.2, 0, 0, 0])
    np.testing.assert_allclose(
        weigh([1, 1, -1, 0, 0], "dollar-neutral"), [0.25, 0.25, -0.375, -0.0625, -0.0625]
    )
    # One position among ten: gross 1.8 is below the floor of .2 x 10 = 2.
    np.testing.assert_allclose(weigh([1] + [0] * 9, "dollar-neutral"), [0.45] + [-0.05] * 9)
    # Sector x of three: mean 1/3, gross 4/3, times 3/5. Sector y of two: +1 -1, gross 2, times 2/5.
    np.testing.assert_allclose(
        weigh([1, 0, 0, 1, -1], "sector-neutral", sectors=list("xxxyy")),
        [0.3, -0.15, -0.15, 0.2, -0.2],
    )


def test_only_tradable_symbols_count():
    tradable = [True, True, True, True, True, False]
    got = weigh([1, 1, -1, 0, 0, 1], "dollar-neutral", tradable=tradable)
    np.testing.assert_allclose(got, [0.25, 0.25, -0.375, -0.0625, -0.0625, 0.0])


@pytest.mark.parametrize("kind", ["long-only", "dollar-neutral", "sector-neutral"])
def test_fewer_than_five_members_stay_flat(kind):
    assert weigh([1, -1, 1, 1], kind).tolist() == [0.0] * 4
    assert np.abs(weigh([1, -1, 1, 1, 1], kind)).sum() > 0.0
    panel = random_panel(4, 120, seed=3)
    rule = STRATEGIES.get("rsi_swing")
    result = sweep_book(panel, rule, rule.candidates(), kind=kind, cost=0.001)
    assert not result.net_return.any()
    assert not result.turnover.any()


def test_a_sector_neutral_book_without_sectors_is_refused():
    """It would be the dollar-neutral one in silence."""
    panel = dataclasses.replace(random_panel(6, 120, seed=3), sectors=("",) * 6)
    rule, kind, cost = STRATEGIES.get("rsi_swing"), "sector-neutral", 0.001
    grid = rule.candidates().take(np.arange(2))
    mixed = np.ones((1, 120, 2)) / 2
    for run in (
        lambda: sweep_book(panel, rule, grid, kind=kind, cost=cost),
        lambda: mix_book(panel, rule, grid, mixed, kind=kind, cost=cost),
    ):
        with pytest.raises(ParameterError, match=r"^E_BOOK: a sector-neutral book needs sectors"):
            run()
    one = dataclasses.replace(panel, sectors=("", "", "", "tech", "tech", "tech"))
    assert sweep_book(one, rule, grid, kind=kind, cost=cost).turnover.any()


def golden_panel():
    names = list(GOLDEN["positions"])
    flat = [GOLDEN["others"]] * 5

    def rows(field):
        table = [GOLDEN[field].get(name, flat) for name in names]
        return np.array([[np.nan if v is None else v for v in row] for row in table], dtype=float)

    script = {
        f"S{i:03d}": [0 if v is None else v for v in GOLDEN["positions"][name]]
        for i, name in enumerate(names)
    }
    return panel_of(rows("open"), rows("close")), Scripted(script)


def test_book_returns_by_hand():
    panel, rule = golden_panel()
    result = sweep_book(panel, rule, rule.candidates(), kind="dollar-neutral", cost=GOLDEN["cost"])
    np.testing.assert_allclose(result.net_return[0], GOLDEN["net_return"], atol=1e-15)
    np.testing.assert_allclose(result.turnover[0], GOLDEN["turnover"], atol=1e-15)


def test_a_mix_of_opposites_trades_nothing():
    panel, rule = random_panel(8, 150, seed=5), STRATEGIES.get("rsi_swing")
    rows = [
        {"direction": d, "period": 5, "width": 10.0, "smoothing": 1}
        for d in ("reversion", "momentum")
    ]
    grid = ParamGrid.of(rule.params, rows)
    weights = np.zeros((2, 150, 2))
    weights[0] = 0.5
    weights[1, :, 0] = 1.0
    mixed = mix_book(panel, rule, grid, weights, kind="dollar-neutral", cost=0.001)
    alone = sweep_book(panel, rule, grid, kind="dollar-neutral", cost=0.001)
    np.testing.assert_allclose(mixed.net_return[0], 0.0, atol=1e-16)
    np.testing.assert_allclose(mixed.turnover[0], 0.0, atol=1e-15)
    np.testing.assert_allclose(mixed.net_return[1], alone.net_return[0], atol=1e-15)
    assert alone.turnover[0].sum() > 1.0


def test_a_mix_in_cash_earns_nothing_and_wrong_weights_are_refused():
    panel, rule = random_panel(6, 60, seed=5), STRATEGIES.get("rsi_swing")
    grid = rule.candidates().take(np.arange(3))
    result = mix_book(panel, rule, grid, np.zeros((2, 60, 3)), kind="long-only", cost=0.001)
    assert result.net_return.shape == (2, 60)
    assert not result.net_return.any()
    for bad in (np.zeros((2, 59, 3)), np.zeros((60, 3)), np.full((1, 60, 3), -0.1)):
        with pytest.raises(ValueError, match="weights"):
            mix_book(panel, rule, grid, bad, kind="long-only", cost=0.001)
    with pytest.raises(ValueError, match="finite"):
        mix_book(panel, rule, grid, np.full((1, 60, 3), np.nan), kind="long-only", cost=0.001)


def test_an_unknown_book_is_one_line():
    panel, rule = random_panel(6, 60, seed=5), STRATEGIES.get("buy_and_hold")
    with pytest.raises(ParameterError, match=r"E_BOOK: .*did you mean 'dollar-neutral'"):
        sweep_book(panel, rule, rule.candidates(), kind="dollar-neutrl", cost=0.0)


def test_blocks_of_sets_change_nothing(monkeypatch):
    panel, rule = random_panel(9, 100, seed=6, gaps=0.1), STRATEGIES.get("rsi_swing")
    grid = rule.candidates()
    whole = sweep_book(panel, rule, grid, kind="sector-neutral", cost=0.001)
    steps = []
    monkeypatch.setattr("backtest.engine.books.BLOCK_BYTES", 32 * 100 * 9)
    pieces = sweep_book(
        panel,
        rule,
        grid,
        kind="sector-neutral",
        cost=0.001,
        progress=lambda done, total: steps.append((done, total)),
    )
    np.testing.assert_array_equal(whole.net_return, pieces.net_return)
    assert steps[-1] == (2 * 16 * 9, 2 * 16 * 9)
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
