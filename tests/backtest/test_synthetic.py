from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from backtest.market import synthetic, world_files
from backtest.market.bars import Bars, panel_of, prepare
from backtest.market.synthetic import STATES, WORLD_NAMES, World, WorldConfig, generate

DAYS = [synthetic.FIRST_SESSION + timedelta(days=k) for k in range(1300)]


def world(name: str, sessions: int = 600, **values: object) -> World:
    config = WorldConfig.model_validate({"world": name, "symbols": 20, **values})
    return generate(config, DAYS[:sessions])


def matrix(made: World, column: str) -> np.ndarray:
    frame = made.bars if column in made.bars.columns else made.truth
    return frame[column].to_numpy().reshape(made.config.symbols, -1)


def returns(made: World) -> np.ndarray:
    close = matrix(made, "close")
    return close[:, 1:] / close[:, :-1] - 1.0


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_longer_history_extends_shorter_byte_for_byte(name: str) -> None:
    long, short = world(name, 400, overnight_share=0.4), world(name, 150, overnight_share=0.4)
    for frame in ("bars", "truth"):
        whole, part = getattr(long, frame), getattr(short, frame)
        cut = whole.filter(pl.col("date") <= DAYS[149])
        assert cut.equals(part)
        for column in cut.select(pl.col(pl.Float64)).columns:
            assert cut[column].to_numpy().tobytes() == part[column].to_numpy().tobytes()
    assert np.array_equal(long.states[:150], short.states)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**40), share=st.floats(0.0, 0.9), cut=st.integers(1, 60))
def test_any_cut_of_any_seed_is_a_prefix(seed: int, share: float, cut: int) -> None:
    config = WorldConfig(world="murky", symbols=3, seed=seed, overnight_share=share)
    long, short = generate(config, DAYS[:60]), generate(config, DAYS[:cut])
    assert long.bars.filter(pl.col("date") < DAYS[cut]).equals(short.bars)


def test_same_seed_same_bytes_other_seed_other_market() -> None:
    first, again, other = world("clear", 50), world("clear", 50), world("clear", 50, seed=1)
    assert first.bars.equals(again.bars)
    assert not first.bars.equals(other.bars)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("name", ["clear", "murky"])
def test_bars_keep_every_rule_of_the_schema(name: str, share: float) -> None:
    made = world(name, 300, overnight_share=share)
    prepared = prepare(made.bars, calendar="data")
    assert prepared.quarantined.is_empty()
    Bars.validate(prepared.bars)
    assert (made.bars["high"] >= pl.Series(matrix(made, "open").ravel())).all()
    assert (made.bars["volume"] >= 1.0).all()


def test_open_equals_previous_close_without_overnight_share() -> None:
    made = world("clear", 100)
    assert np.array_equal(matrix(made, "open")[:, 1:], matrix(made, "close")[:, :-1])


def test_overnight_share_is_the_share_of_variance_before_the_open() -> None:
    made = world("clear", 1200, overnight_share=0.4, symbols=50)
    opening, close = matrix(made, "open"), matrix(made, "close")
    night = opening[:, 1:] / close[:, :-1] - 1.0
    session = close[:, 1:] / opening[:, 1:] - 1.0
    assert night.var() / (night.var() + session.var()) == pytest.approx(0.4, abs=0.02)
    assert abs(np.corrcoef(night.ravel(), session.ravel())[0, 1]) < 0.03


def test_overnight_share_leaves_closes_volumes_and_truth_alone() -> None:
    apart, together = world("clear", 80, overnight_share=0.4), world("clear", 80)
    assert apart.bars["close"].equals(together.bars["close"])
    assert apart.bars["volume"].equals(together.bars["volume"])
    assert apart.truth.equals(together.truth)


def test_conditional_mean_is_the_mean_of_the_return() -> None:
    made = world("clear", 1300, symbols=200)
    mean, realised = matrix(made, "conditional_mean")[:, 1:], returns(made)
    relative = mean - mean.mean(axis=0)
    slope = (relative * realised).sum() / (relative**2).sum()
    assert slope == pytest.approx(1.0, abs=0.15)


def test_conditional_mean_follows_the_written_formula() -> None:
    made = world("clear", 3, symbols=2, seed=4)
    start = synthetic.seeds.generator(4, "market/symbols")
    beta = start.uniform(0.7, 1.3, 2)
    regimes = synthetic.WORLDS["clear"].regimes
    drift = regimes[int(made.states[0])].drift
    assert matrix(made, "conditional_mean")[:, 0] == pytest.approx(beta * drift, rel=1e-12)


def test_null_world_has_nothing_to_find() -> None:
    assert np.all(matrix(world("null"), "conditional_mean") == 0.0)


def test_trend_only_world_differs_by_drift_alone() -> None:
    made = world("trend-only", 1000)
    mean = matrix(made, "conditional_mean")
    for k, regime in enumerate(synthetic.WORLDS["trend-only"].regimes):
        at = mean[:, made.states == k]
        assert np.ptp(at, axis=1).max() == 0.0
        assert np.sign(at).min() == np.sign(regime.drift)


def test_constant_world_has_one_effect() -> None:
    effects = {(r.loading, r.half_life) for r in synthetic.WORLDS["constant"].regimes}
    assert len(effects) == 1
    assert effects.pop()[0] != 0.0


def test_clear_and_murky_carry_the_same_effect() -> None:
    clear, murky = (synthetic.WORLDS[name].regimes for name in ("clear", "murky"))
    assert [(r.loading, r.half_life) for r in clear] == [(r.loading, r.half_life) for r in murky]
    signs = [np.sign(r.loading) for r in clear]
    assert signs == [-1.0, 1.0, -1.0]
    assert clear[0].half_life < clear[1].half_life


def test_structural_break_reverses_the_effect_once() -> None:
    broken = world("structural-break", 120, break_session=60)
    whole = world("clear", 120)
    before, after = matrix(broken, "conditional_mean"), matrix(whole, "conditional_mean")
    assert np.array_equal(before[:, :60], after[:, :60])
    drift = np.array([r.drift for r in synthetic.WORLDS["clear"].regimes])[whole.states[60]]
    beta = synthetic.seeds.generator(0, "market/symbols").uniform(0.7, 1.3, 20)
    own_whole, own_broken = after[:, 60] - beta * drift, before[:, 60] - beta * drift
    assert own_broken == pytest.approx(-own_whole, rel=1e-9)
    assert np.abs(own_whole).max() > 0.0


def test_spells_last_as_long_as_they_should() -> None:
    chain, state = [], None
    uniform = np.random.default_rng(0).random(60_000)
    for value in uniform:
        state = synthetic._next_state(state, float(value))
        chain.append(state)
    states = np.array(chain)
    starts = np.flatnonzero(np.diff(states, prepend=-1))
    lengths = np.diff([*starts, len(states)])
    for k, expected in enumerate(synthetic.MEAN_SPELLS):
        assert lengths[states[starts] == k].mean() == pytest.approx(expected, rel=0.15)
    assert len(STATES) == len(synthetic.MEAN_SPELLS)


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_prices_stay_ordinary(name: str) -> None:
    made = world(name, 1300)
    deviation = returns(made).std(axis=1)
    assert deviation.min() > 0.009
    assert deviation.max() < 0.03
    assert np.abs(returns(made)).max() < 0.4


def test_regimes_show_in_volume_and_volatility_of_the_clear_world() -> None:
    made = world("clear", 1300, symbols=60)
    volume = np.log(matrix(made, "volume")).mean(axis=0)
    market = returns(made).mean(axis=0)
    bear, bull = made.states == 2, made.states == 1
    assert volume[bear].mean() > volume[bull].mean() + 0.3
    assert market[bear[1:]].std() > 2.0 * market[bull[1:]].std()


def test_without_a_common_factor_volatility_hides_the_state() -> None:
    made = world("clear", 1300, symbols=60, factor=0.0, sectors=1)
    market = returns(made).mean(axis=0)
    bear, bull = made.states[1:] == 2, made.states[1:] == 1
    assert market[bear].std() == pytest.approx(market[bull].std(), rel=0.15)
    assert np.array_equal(made.states, world("clear", 1300, symbols=60).states)


def test_without_its_shift_volume_hides_the_state() -> None:
    volume = np.log(matrix(world("clear", 1300, symbols=60, volume=0.0), "volume")).mean(axis=0)
    states = world("clear", 1300, symbols=60).states
    assert abs(volume[states == 2].mean() - volume[states == 1].mean()) < 0.05


def test_volatility_scales_every_move_and_prices_stay_positive() -> None:
    calm, wild = world("null", 800), world("null", 800, volatility=2.0)
    assert returns(wild) == pytest.approx(2.0 * returns(calm), rel=1e-9, abs=1e-12)
    extreme = world("murky", 1300, volatility=3.0, factor=5.0, overnight_share=0.5)
    assert min(matrix(extreme, name).min() for name in ("open", "low", "close")) > 0.0


def test_sessions_without_a_calendar_are_weekdays() -> None:
    days = synthetic.weekdays(523)
    assert len(set(days)) == 523
    assert days == sorted(days)
    assert {day.weekday() for day in days} == set(range(5))


def test_written_world_reads_as_bars_and_keeps_its_truth_apart(tmp_path) -> None:
    made = world("clear", 60, symbols=5)
    world_files.write_world(made, tmp_path)
    panel, prepared = panel_of(tmp_path, calendar="data")
    assert panel.shape == (5, 60)
    assert np.array_equal(panel.close, matrix(made, "close"))
    assert panel.sectors[0] == synthetic.SECTOR_NAMES[0]
    assert prepared.accounting() == {"rows_in": 300, "rows_out": 300}
    truth = pl.read_parquet(tmp_path / "truth.parquet")
    assert truth.columns == ["date", "state", "symbol", "conditional_mean"]
    about = json.loads((tmp_path / "market.json").read_text())
    assert about["synthetic"] is True
    assert (about["world"], about["seed"], about["sessions"]) == ("clear", 0, 60)


def test_writing_twice_gives_the_same_bytes(tmp_path) -> None:
    digests = []
    for name in ("a", "b"):
        world_files.write_world(world("murky", 40), tmp_path / name)
        files = sorted((tmp_path / name).iterdir())
        digests.append([hashlib.sha256(f.read_bytes()).hexdigest() for f in files])
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "values",
    [{"world": "sunny"}, {"symbols": 0}, {"seed": -1}, {"overnight_share": 1.0}, {"depth": 3}],
)
def test_config_refuses_what_it_cannot_mean(values: dict) -> None:
    with pytest.raises(ValidationError):
        WorldConfig.model_validate(values)


def test_names_sort_as_they_count() -> None:
    made = generate(WorldConfig(symbols=1000), [date(2010, 1, 4)])
    names = made.bars["symbol"].to_list()
    assert names[0] == "SYN0001"
    assert names == sorted(names)
