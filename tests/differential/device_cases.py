"""For: the sweep on a GPU against the CPU's. Not for: pytest to collect by itself.

``test_device`` runs this file in a process of its own: on a GPU where there is one, else in
Triton's interpreter, which has to be chosen before Triton is imported.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import triton

from backtest.engine import device, device_accounts, events, prefix, reference
from backtest.engine.bits import unpack
from backtest.engine.books import _deciding, sweep_book
from backtest.engine.plan import Plan, plans_of
from backtest.engine.signals import Signals
from backtest.engine.sweep import COLUMN_BYTES, sweep_metrics
from backtest.engine.tally import COLUMNS
from backtest.market.panel import Panel, SymbolBars
from backtest.strategy import STRATEGIES
from backtest.tables import metrics_table
from tests.backtest.markets import panel_of, random_panel

ON = "cpu" if triton.knobs.runtime.interpret else "cuda"
KINDS = ("long-only", "dollar-neutral", "sector-neutral")
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


class RandomBits:
    """A plan whose sets read columns of chance: every kind of entry, exit and reversal."""

    def __init__(self, sets: int, *, shorts: bool, seed: int = 0, share: float = 0.1):
        self.columns, self.share, self.seed = 40, share, seed
        rng = np.random.default_rng(seed)
        self.sides = rng.integers(2, self.columns, (4, sets))
        if not shorts:
            self.sides[2:] = 0

    def signals(self, bars: SymbolBars) -> Signals:
        rng = np.random.default_rng([self.seed, *bars.symbol.encode()])
        bits = rng.random((self.columns, -(-bars.size // 64), 64)) < self.share
        columns = np.packbits(bits, axis=2, bitorder="little").view(np.uint64)[:, :, 0].copy()
        columns[0], columns[1] = 0, ~np.uint64(0)
        return Signals(columns, *self.sides)


def wild_panel(symbols: int, sessions: int, *, seed: int, gaps: float = 0.0) -> Panel:
    """Prices that double or halve within days, so that short accounts lose everything."""
    rng = np.random.default_rng(seed)
    close = 20.0 * np.exp(np.cumsum(rng.normal(0.0, 0.3, (symbols, sessions)), axis=1))
    opens = close * np.exp(rng.normal(0.0, 0.2, close.shape))
    return panel_of(opens, close, tradable=rng.random(close.shape) >= gaps)


def slow(*case: object) -> object:
    """A case of the long run."""
    return pytest.param(*case, marks=pytest.mark.slow)


def measured(panel: Panel, *plans: RandomBits, cost: float = 0.001) -> np.ndarray:
    sets = sum(plan.sides.shape[1] for plan in plans)
    return np.stack(list(device.metrics(panel, plans, sets=sets, cost=cost, on=ON)))


def expected(panel: Panel, *plans: RandomBits, cost: float = 0.001) -> np.ndarray:
    return np.stack(
        [
            np.concatenate(
                [
                    events.metrics(bars, plan.signals(bars), cost=cost, periods_per_year=252)
                    for plan in plans
                ],
                axis=1,
            )
            for bars in map(panel.bars, range(panel.shape[0]))
        ]
    )


@pytest.mark.parametrize("bars", [1, 2, 3, 63, 64, 65, slow(200)])
def test_the_table_of_extremes_is_that_of_the_cpu(bars: int):
    panel = wild_panel(2, bars, seed=bars)
    closes = torch.from_numpy(panel.close).to(ON)
    told = device_accounts.extremes_of(closes).cpu().numpy()
    for s in range(2):
        slow = prefix.extremes_of(panel.close[s])
        for first in range(bars):
            for last in range(first, bars):
                level = (first ^ last | 1).bit_length() - 1
                for t in (first, last):
                    np.testing.assert_array_equal(told[s, level, t], slow[level, t])


@pytest.mark.parametrize("shorts", [False, True])
@pytest.mark.parametrize(("share", "bars"), [slow(0.01, 300), slow(0.1, 150), (0.6, 70)])
def test_accounts_of_random_bits(shorts: bool, share: float, bars: int):
    plan = RandomBits(30, shorts=shorts, share=share, seed=3)
    panel = random_panel(2, bars, seed=5, gaps=0.1)
    told = measured(panel, plan)
    np.testing.assert_allclose(told, expected(panel, plan), **CLOSE)
    assert (told[:, 7] > 0).mean() > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_accounts_of_many_markets(seed: int):
    rng = np.random.default_rng(seed)
    plan = RandomBits(32, shorts=bool(rng.random() < 0.7), share=rng.uniform(0, 0.6), seed=seed)
    make = random_panel if rng.random() < 0.5 else wild_panel
    panel = make(2, int(rng.integers(1, 200)), seed=seed, gaps=rng.uniform(0.0, 0.4))
    cost = float(rng.choice([0.0, 0.0005, 0.1]))
    told = measured(panel, plan, cost=cost)
    np.testing.assert_allclose(told, expected(panel, plan, cost=cost), **CLOSE)


@pytest.mark.parametrize("bars", [1, 2, slow(65)])
def test_accounts_on_wild_prices_of_any_length(bars: int):
    panel, plan = wild_panel(3, bars, seed=bars), RandomBits(33, shorts=True, share=0.3, seed=bars)
    told = measured(panel, plan, cost=0.01)
    np.testing.assert_allclose(told, expected(panel, plan, cost=0.01), **CLOSE)
    if bars > 60:
        assert (told[:, 0] == -1.0).any(), "some account lost everything"
        assert (told[:, 0] > -1.0).any()


@pytest.mark.parametrize("shorts", [False, True])
def test_accounts_on_prices_that_double(shorts: bool):
    """Shorts that lose exactly everything, and returns that are told apart in the sums."""
    few = np.random.default_rng(4).choice([1.0, 2.0, 4.0, 4.001], (2, 2, 60))
    panel, plan = panel_of(*few), RandomBits(32, shorts=shorts, share=0.3, seed=1)
    told = measured(panel, plan, cost=1e-4)
    np.testing.assert_allclose(told, expected(panel, plan, cost=1e-4), **CLOSE)


def wanted(plan: RandomBits, bars: SymbolBars) -> np.ndarray:
    signals, out = plan.signals(bars), np.empty((plan.sides.shape[1], bars.size), dtype=np.int8)
    unpack(signals.columns, signals.sides, out)
    return out


def test_accounts_equal_the_slow_engine():
    panel, plan = wild_panel(2, 90, seed=1, gaps=0.1), RandomBits(6, shorts=True, share=0.2, seed=2)
    told = measured(panel, plan)
    for p in range(6):
        accounts = [
            reference.account(bars, wanted(plan, bars)[p].tolist(), cost=0.001)
            for bars in map(panel.bars, range(2))
        ]
        table = metrics_table(panel, accounts)
        for s, symbol in enumerate(panel.symbols):
            for column, got in zip(COLUMNS, told[s, :, p], strict=True):
                want = table[symbol][column]
                if want is None:
                    assert got == 0.0 if column == "sharpe" else np.isnan(got), column
                else:
                    assert got == pytest.approx(want, rel=1e-9, abs=1e-12), column


@pytest.mark.slow
def test_parts_of_symbols_and_of_sets_change_nothing(monkeypatch: pytest.MonkeyPatch):
    plans = [RandomBits(8, shorts=True, seed=6), RandomBits(1, shorts=False, seed=7)]
    panel = random_panel(4, 70, seed=8, gaps=0.2)
    tradable = panel.tradable.copy()
    tradable[1, 40:], tradable[2] = False, False  # bars of other lengths, and none at all
    panel = dataclasses.replace(panel, tradable=tradable)
    whole = measured(panel, *plans)
    np.testing.assert_allclose(whole, expected(panel, *plans), **CLOSE)
    monkeypatch.setattr(device, "DEVICE_BYTES", 1)
    np.testing.assert_array_equal(measured(panel, *plans), whole)


@pytest.mark.parametrize("name", ["rsi_reversion", "rsi_swing", "buy_and_hold"])
def test_accounts_of_strategies(name: str):
    panel, rule = random_panel(1, 80, seed=9, gaps=0.05), STRATEGIES.get(name)
    grid = rule.candidates()
    grid = grid.take(np.arange(0, grid.size, 1 + grid.size // 20))
    slow = sweep_metrics(panel, rule, grid, cost=0.0005)
    plans = plans_of(rule, grid, panel.shape[1], limit=COLUMN_BYTES)
    fast = device.metrics(panel, plans, sets=grid.size, cost=0.0005, on=ON)
    for s, columns in enumerate(fast):
        for name, values in zip(COLUMNS, columns, strict=True):
            np.testing.assert_allclose(values, slow[name][:, s], **CLOSE, err_msg=name)


def booked(panel: Panel, plans: list[Plan], kind: str) -> tuple[np.ndarray, np.ndarray]:
    decisions = [_deciding(panel.bars(s), panel.member[s]) for s in range(panel.shape[0])]
    return device.books(panel, plans, decisions, kind=kind, tick=lambda: None, on=ON)


MARKETS = [("rsi_swing", 9, 0.2, 0.3), ("rsi_reversion", 4, 0.0, 0.0)]
MORE = [
    (n, s, g, o)
    for n in ("rsi_swing", "rsi_reversion")
    for s in (4, 12)
    for g, o in [(0.0, 0.0), (0.3, 0.0), (0.2, 0.3)]
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "symbols", "gaps", "outside"),
    [*MARKETS, *(slow(*one) for one in MORE)],
)
def test_books(name: str, kind: str, symbols: int, gaps: float, outside: float):
    panel = random_panel(symbols, 130, seed=14, gaps=gaps)
    spells = np.random.default_rng(16).random((symbols, 13)) >= outside
    panel = dataclasses.replace(panel, member=np.repeat(spells, 10, axis=1))
    rule = STRATEGIES.get(name)
    grid = rule.candidates()
    grid = grid.take(np.arange(0, grid.size, 1 + grid.size // 8))
    slow = sweep_book(panel, rule, grid, kind=kind, cost=0.001)
    gain, turnover = booked(panel, plans_of(rule, grid, 1, limit=COLUMN_BYTES), kind)
    np.testing.assert_allclose(turnover, slow.turnover, rtol=0.0, atol=1e-13)
    np.testing.assert_allclose(gain - 0.001 * turnover, slow.net_return, rtol=0.0, atol=1e-13)
    assert (turnover.sum() > 0.0) == (symbols > 4)


@pytest.mark.slow
def test_parts_of_a_book_change_nothing(monkeypatch: pytest.MonkeyPatch):
    panel, rule = random_panel(7, 70, seed=17, gaps=0.1), STRATEGIES.get("rsi_swing")
    panel.tradable[1] = False  # a symbol without a bar
    grid = rule.candidates().take(np.arange(0, 140, 29))
    whole = booked(panel, plans_of(rule, grid, 1, limit=COLUMN_BYTES), "sector-neutral")
    slow = sweep_book(panel, rule, grid, kind="sector-neutral", cost=0.0)
    np.testing.assert_allclose(whole[0], slow.net_return, rtol=0.0, atol=1e-13)
    monkeypatch.setattr(device, "DEVICE_BYTES", 1)
    parts = booked(panel, plans_of(rule, grid, 1, limit=1), "sector-neutral")
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_sweep_that_asks_for_a_gpu_gets_these_kernels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "chosen_device", lambda asked, guarded: asked)
    for engine in (device.metrics, device.books):
        monkeypatch.setitem(engine.__kwdefaults__, "on", ON)
    panel, rule = random_panel(6, 70, seed=18), STRATEGIES.get("rsi_reversion")
    grid, steps = rule.candidates().take(np.arange(3)), []
    terms = {"cost": 0.001, "progress": lambda done, total: steps.append((done, total))}
    fast = sweep_metrics(panel, rule, grid, device="cuda", **terms)
    for name, values in sweep_metrics(panel, rule, grid, cost=0.001).items():
        np.testing.assert_allclose(fast[name], values, **CLOSE, err_msg=name)
    terms |= {"kind": "dollar-neutral"}
    fast_book = sweep_book(panel, rule, grid, device="cuda", **terms)
    slow_book = sweep_book(panel, rule, grid, kind="dollar-neutral", cost=0.001)
    np.testing.assert_allclose(fast_book.net_return, slow_book.net_return, rtol=0.0, atol=1e-13)
    assert steps == [(n, 6) for n in range(1, 7)] * 2
