"""Guards and sizes: the compiled lanes against the plain loop, on random bits and prices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import events, lanes, reference
from backtest.engine.signals import Limits, Signals
from backtest.engine.tally import COLUMNS
from backtest.tables import metrics_table
from tests.backtest.markets import panel_of

SETS = 12
DOUBLES = 1.0
FEW = np.array([1.0, 2.0, 3.0, 4.0, 4.001])


def market(rng: np.random.Generator, bars: int, swing: float):
    if swing == DOUBLES:  # shorts that lose exactly everything, and jumps beside small moves
        return panel_of(rng.choice(FEW, bars)[None], rng.choice(FEW, bars)[None])
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, swing, bars)))
    # Closes on a grid, so that a guard is often met exactly.
    close = np.maximum(np.round(close, 1), 0.1)
    return panel_of((close * np.exp(rng.normal(0.0, swing / 3, bars)))[None], close[None])


def packed(bits: np.ndarray) -> np.ndarray:
    """Columns ``[column, word]`` of bits ``[column, bar]``; what follows the last bar is noise."""
    words = -(-bits.shape[1] // 64)
    room = np.ones((bits.shape[0], words * 64), dtype=bool)
    room[:, : bits.shape[1]] = bits
    return np.packbits(room, axis=1, bitorder="little").view(np.uint64)


def runs(rng: np.random.Generator, bars: int) -> np.ndarray:
    """Bits that stay for a while, or come alone."""
    share, stay = rng.uniform(0.02, 0.5), rng.choice([1, 4, 15])
    return np.repeat(rng.random((4 * SETS, -(-bars // stay))) < share, stay, axis=1)[:, :bars]


def limits(rng: np.random.Generator, bars: int, *, sized: bool) -> Limits:
    levels = np.ones((3, bars))
    levels[1:] = rng.uniform(0.5, 1.5, (2, bars))
    levels[1:][rng.random((2, bars)) < 0.1] = np.nan
    levels[2][rng.random(bars) < 0.05] = np.inf
    times = np.where(rng.random((4, SETS)) < 0.4, np.inf, rng.uniform(0.01, 0.2, (4, SETS)))
    times[3] = rng.choice([0.0, 0.3, 0.8, 1.0, np.inf], SETS) if sized else np.inf
    longest = np.where(rng.random(SETS) < 0.5, 0, rng.integers(1, 20, SETS))
    return Limits(times, rng.integers(0, 3, (4, SETS)), longest, levels)


def scene(seed: int, *, sized: bool, swing: float, sides: int):
    rng = np.random.default_rng(seed)
    bars = int(rng.integers(1, 200))
    panel, bits = market(rng, bars, swing), runs(rng, bars)
    if sides == 1:
        bits[2::4] = False
    first = 4 * np.arange(SETS)
    at = (first, first + 1, first + 2, first + 3)
    return panel, bits, Signals(packed(bits), *at, limits(rng, bars, sized=sized))


def wishes(bits: np.ndarray, known: Limits, p: int) -> reference.Wishes:
    def limit(m: int) -> list[float | None]:
        times = float(known.times[m, p])
        told = known.levels[known.row[m, p]]
        return [times if times == np.inf else None if x != x else times * x for x in told.tolist()]

    enter_long, exit_long, enter_short, exit_short = bits[4 * p : 4 * p + 4].tolist()
    return reference.Wishes(
        enter_long,
        exit_long,
        enter_short,
        exit_short,
        stop_loss=limit(0),
        take_profit=limit(1),
        trailing_stop=limit(2),
        longest=int(known.longest[p]),
        size=limit(3),
    )


scenes = st.builds(
    scene,
    st.integers(0, 2**32),
    sized=st.booleans(),
    swing=st.sampled_from([0.01, 0.03, 0.3, DOUBLES]),
    sides=st.sampled_from([1, 2]),
)


@settings(max_examples=250, deadline=None)
@given(scenes)
def test_lanes_hold_what_the_plain_loop_holds(drawn):
    panel, bits, signals = drawn
    bars = panel.bars(0)
    found = lanes.targets(bars, signals)
    for p in range(SETS):
        assert found[p].tolist() == reference.guarded(bars, wishes(bits, signals.limits, p))


@settings(max_examples=60, deadline=None)
@given(scenes, st.sampled_from([0.0, 0.0005, 0.05]))
def test_columns_of_lanes_are_the_metrics_of_the_plain_account(drawn, cost):
    panel, bits, signals = drawn
    bars = panel.bars(0)
    columns = lanes.metrics(bars, signals, cost=cost, periods_per_year=252)
    for p in range(SETS):
        wanted = reference.guarded(bars, wishes(bits, signals.limits, p))
        account = reference.account(bars, wanted, cost=cost)
        told = metrics_table(panel, [account])["S000"]
        for m, name in enumerate(COLUMNS):
            if told[name] is None:
                assert columns[m, p] == 0.0 if name == "sharpe" else np.isnan(columns[m, p]), name
            else:
                assert columns[m, p] == pytest.approx(told[name], rel=1e-9, abs=1e-11), name


@settings(max_examples=60, deadline=None)
@given(scenes)
def test_without_guards_lanes_are_events(drawn):
    panel, _, guarded = drawn
    bars, plain = panel.bars(0), Signals(guarded.columns, *guarded.sides)
    free = lanes.metrics(bars, plain, cost=0.001, periods_per_year=252)
    told = events.metrics(bars, plain, cost=0.001, periods_per_year=252)
    np.testing.assert_allclose(free, told, rtol=1e-9, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(scenes, st.integers(0, 200))
def test_what_lanes_hold_does_not_know_the_future(drawn, cut):
    panel, bits, signals = drawn
    cut = min(cut, bits.shape[1])
    known = signals.limits
    levels = np.ascontiguousarray(known.levels[:, :cut])
    early = Limits(known.times, known.row, known.longest, levels)
    part = Signals(packed(bits[:, :cut]), *signals.sides, early)
    bars = panel.until(max(cut, 1)).bars(0)
    if cut > 0:
        np.testing.assert_array_equal(
            lanes.targets(bars, part), lanes.targets(panel.bars(0), signals)[:, :cut]
        )


def test_the_scenes_end_trades_in_every_way():
    """The random scenes above would be of no use if guards never acted in them."""
    ended = dict.fromkeys(("rule", "guard", "time"), 0)
    sizes = set()
    for seed in range(40):
        panel, _, signals = scene(seed, sized=True, swing=0.03, sides=2)
        bars, known = panel.bars(0), signals.limits
        held = lanes.targets(bars, signals)
        sizes |= set(np.abs(held[held != 0.0]).tolist())
        bare = Limits(np.full((4, SETS), np.inf), known.row, 0 * known.longest, known.levels)
        loose = lanes.targets(bars, Signals(signals.columns, *signals.sides, bare))
        timed = Limits(bare.times, known.row, known.longest, known.levels)
        late = lanes.targets(bars, Signals(signals.columns, *signals.sides, timed))
        stopped = Limits(known.times, known.row, 0 * known.longest, known.levels)
        hit = lanes.targets(bars, Signals(signals.columns, *signals.sides, stopped))
        ended["rule"] += int((np.diff(np.sign(loose)) != 0).any(axis=1).sum())
        ended["time"] += int((np.sign(late) != np.sign(loose)).any(axis=1).sum())
        ended["guard"] += int((np.sign(hit) != np.sign(loose)).any(axis=1).sum())
    assert min(ended.values()) > 100, ended
    assert len(sizes) > 50
