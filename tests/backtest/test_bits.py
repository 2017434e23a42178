"""Bits against plain loops: packing, votes, plans, runs between any two bars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.conditions import (
    Comparison,
    Fixed,
    Indicator,
    Rules,
    Votes,
    above,
    all_of,
    any_of,
    at_least,
    below,
)
from backtest.engine import bits, prefix
from backtest.engine.plan import Plan
from tests.backtest.markets import bars_of

quick = settings(max_examples=60, deadline=None)
sizes = st.integers(0, 200)


def market(seed: int, bars: int):
    close = 50.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.05, bars)))
    return bars_of(close, close)


def unpacked(plan: Plan, bars) -> np.ndarray:
    """What ``enter_long`` says at each close, ``[param, bar]``."""
    signals = plan.signals(bars)
    wide = np.unpackbits(signals.columns.astype("<u8").view(np.uint8), axis=1, bitorder="little")
    return wide[signals.enter_long, : bars.size].astype(bool)


def planned(condition, size: int) -> Plan:
    return Plan(Rules(size, enter_long=condition, exit_long=Fixed(value=False)))


def noise(bars, *, seed) -> np.ndarray:
    """Small whole numbers, so that values meet levels, with gaps."""
    rows = [np.random.default_rng(int(s)).integers(-3, 4, bars.size).astype(float) for s in seed]
    made = np.array(rows).reshape(len(seed), bars.size)
    made[made == 3.0] = np.nan
    return made


@quick
@given(sizes, st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 99))
def test_comparisons_say_what_numpy_says(bars, seeds, seed):
    rng, panel = np.random.default_rng(seed), market(seed, bars)
    level = rng.integers(-3, 4, len(seeds)).astype(float)
    up = rng.random(len(seeds)) < 0.5
    indicator = Indicator(noise, {"seed": np.array(seeds)})
    values = noise(panel, seed=seeds)
    for equal in (False, True):
        got = unpacked(planned(Comparison(indicator, level, up, equal), len(seeds)), panel)
        limit = level[:, None]
        beyond = np.where(up[:, None], values > limit, values < limit)
        np.testing.assert_array_equal(got, beyond | (equal & (values == limit)))


@quick
@given(sizes, st.integers(1, 9), st.integers(0, 99))
def test_indicators_are_compared_bar_by_bar(bars, sets, seed):
    rng, panel = np.random.default_rng(seed), market(seed, bars)
    first, second = (rng.integers(0, 4, sets) for _ in range(2))
    up = rng.random(sets) < 0.5
    pair = Indicator(noise, {"seed": first}), Indicator(noise, {"seed": second + 9})
    a, b = noise(panel, seed=first), noise(panel, seed=second + 9)
    for equal in (False, True):
        got = unpacked(planned(Comparison(*pair, up, equal), sets), panel)
        beyond = np.where(up[:, None], a > b, a < b)
        np.testing.assert_array_equal(got, beyond | (equal & (a == b)))


def test_rows_that_are_packed_in_parts_say_the_same(monkeypatch):
    rng, panel, sets = np.random.default_rng(5), market(5, 170), 80
    indicator = Indicator(noise, {"seed": rng.integers(0, 60, sets)})
    conditions = [
        Comparison(indicator, rng.integers(-3, 4, sets).astype(float), rng.random(sets) < 0.5)
        for _ in range(3)
    ]
    plan = planned(Votes(tuple(conditions), rng.integers(1, 4, sets)), sets)
    whole = unpacked(plan, panel)
    monkeypatch.setattr("backtest.engine.plan.CHUNK_BYTES", 1)
    calls = []
    compute = indicator.compute
    object.__setattr__(indicator, "compute", lambda *a, **k: calls.append(1) or compute(*a, **k))
    np.testing.assert_array_equal(unpacked(plan, panel), whole)
    assert len(calls) > 1


@quick
@given(sizes, st.integers(1, 9), st.integers(0, 99))
def test_votes_are_counted(bars, voters, seed):
    sets, rng, panel = 7, np.random.default_rng(seed), market(seed, bars)
    rows = [rng.integers(0, 3, sets) for _ in range(voters)]
    needed = rng.integers(-1, voters + 2, sets)
    conditions = [below(Indicator(noise, {"seed": row}), 0.0) for row in rows]
    got = unpacked(planned(Votes(tuple(conditions), needed), sets), panel)
    said = sum((noise(panel, seed=row) < 0.0).astype(int) for row in rows)
    np.testing.assert_array_equal(got, said >= needed[:, None])


@pytest.mark.parametrize("voters", [7, 8, 15, 16, 31, 32, 62, 63])
def test_as_many_votes_as_can_be_counted_are(voters):
    panel, rng = market(voters, 100), np.random.default_rng(voters)
    needed = np.arange(-1, voters + 3)
    rows = [np.full(needed.size, seed) for seed in rng.integers(0, 40, voters)]
    conditions = tuple(below(Indicator(noise, {"seed": row}), 1.0) for row in rows)
    got = unpacked(planned(Votes(conditions, needed), needed.size), panel)
    said = sum((noise(panel, seed=row) < 1.0).astype(int) for row in rows)
    np.testing.assert_array_equal(got, said >= needed[:, None])


def test_more_votes_than_can_be_counted_are_refused():
    with pytest.raises(ValueError, match="64 voters, at most 63"):
        planned(Votes((Fixed(value=True),) * 64, 3), 1)


def test_nobody_has_a_say():
    panel = market(1, 70)
    assert unpacked(planned(all_of(), 2), panel).all()
    assert not unpacked(planned(any_of(), 2), panel).any()


def test_what_parameters_decide_is_not_counted_at_each_bar():
    asked = np.array([True, False])
    some = below(Indicator(noise, {"seed": np.array([1, 2])}), 0.0)
    for condition in (all_of(Fixed(asked), some), any_of(Fixed(~asked), some)):
        plan = planned(condition, 2)
        signals = plan.signals(market(0, 70))
        assert signals.enter_long[1 - int(asked[1])] in (bits.NEVER, bits.ALWAYS)
    nobody = planned(all_of(Fixed(value=False), some), 2)
    assert nobody.signals(market(0, 70)).enter_long.tolist() == [bits.NEVER] * 2


def test_conditions_nest():
    sets, panel = 4, market(3, 150)
    one, two = (Indicator(noise, {"seed": np.arange(sets) + k}) for k in (0, 7))
    asked = np.array([True, False, True, False])
    nested = all_of(above(one, 0.0), any_of(Fixed(~asked), at_least(two, 1.0)))
    got = unpacked(planned(nested, sets), panel)
    a, b = noise(panel, seed=np.arange(sets)) > 0.0, noise(panel, seed=np.arange(sets) + 7) >= 1.0
    np.testing.assert_array_equal(got, a & (b | ~asked[:, None]))


def test_what_sets_share_is_computed_once():
    calls = []

    def counted(bars, *, seed):
        calls.append(seed.tolist())
        return noise(bars, seed=seed)

    shared, again = (Indicator(counted, {"seed": np.array([1, 2, 1, 1])}) for _ in range(2))
    level = np.array([0.0, 0.0, 0.0, 1.0])
    plan = Plan(Rules(4, enter_long=above(shared, level), exit_long=below(again, level)))
    signals = plan.signals(market(0, 70))
    assert calls == [[1, 2]]
    assert signals.enter_long[0] == signals.enter_long[2]
    assert len(set(signals.enter_long.tolist())) == 3
    assert len(signals.columns) == 2 + 3 + 3


@pytest.mark.parametrize("entry", [True, False])
def test_a_position_that_may_be_kept_is_kept(entry):
    panel = market(0, 130)
    always = Rules(1, enter_long=Fixed(value=entry), exit_long=Fixed(value=True))
    assert (Plan(always).targets(panel) == entry).all()


def test_a_reversal_needs_the_exit_of_what_is_held():
    script = Indicator(lambda bars: np.array([[1.0, 2.0, 2.0, 3.0, 0.0]]))
    rules = Rules(
        1,
        enter_long=Comparison(script, 1.5, above=False),
        exit_long=above(script, 2.5),
        enter_short=above(script, 1.5),
        exit_short=below(script, 0.5),
    )
    panel = bars_of(np.ones(5), np.ones(5))
    assert Plan(rules).targets(panel).tolist() == [[1, 1, 1, -1, 1]]


@quick
@given(st.integers(1, 300), st.integers(0, 99), st.data())
def test_runs_between_any_two_bars(bars, seed, data):
    close = market(seed, bars).close
    extremes = prefix.extremes_of(close)
    first = data.draw(st.integers(0, bars - 1))
    last = data.draw(st.integers(first, bars - 1))
    low, high, kept = prefix.between(extremes, first, last)
    run = close[first : last + 1]
    assert (low, high) == (run.min(), run.max())
    assert kept == pytest.approx((run / np.maximum.accumulate(run)).min(), rel=1e-14)


@quick
@given(st.integers(1, 300), st.integers(0, 99))
def test_sums_are_of_the_bars_before(bars, seed):
    close = market(seed, bars).close
    r = np.append(0.0, close[1:] / close[:-1] - 1.0)
    for column, values in enumerate((r, r**2, np.minimum(r, 0.0) ** 2)):
        np.testing.assert_allclose(prefix.sums_of(close)[:, column], np.cumsum(values), rtol=1e-12)
