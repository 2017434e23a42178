"""Tests over many streams: planted skill is named, noise is not, and nothing crashes."""

import numpy as np

from backtest.evidence.superiority import superiority


def streams(seed: int, edge: float = 0.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    out = {name: random.normal(0.0, 0.01, 600) for name in ("base", "one", "two", "three")}
    out["two"] = out["two"] + edge
    return out


def test_planted_skill_is_named():
    found = superiority("base", streams(1, edge=0.003), seed=5)
    assert found.spa_p_value is not None
    assert found.spa_p_value < 0.01
    assert found.superior == ("two",)
    assert found.confidence_set == ("two",)


def test_noise_is_seldom_superior():
    every = [superiority("base", streams(seed), seed=5, reps=200) for seed in range(12)]
    assert sum(one.spa_p_value <= 0.05 for one in every) <= 3
    assert sum(bool(one.superior) for one in every) <= 3
    assert sum("base" in one.confidence_set for one in every) >= 9


def test_size_does_not_matter_and_the_seed_does():
    one = streams(2, edge=0.001)
    larger = {name: 7.0 * returns for name, returns in one.items()}
    first = superiority("base", one, seed=5)
    assert superiority("base", larger, seed=5).spa_p_value == first.spa_p_value
    assert superiority("base", one, seed=5) == first


def test_what_cannot_be_tested_says_why():
    short = {name: returns[:40] for name, returns in streams(3).items()}
    assert superiority("base", short, seed=1).reason == "fewer than 60 sessions"
    alone = {"base": streams(3)["base"], "same": 2.0 * streams(3)["base"], "flat": np.zeros(600)}
    found = superiority("base", alone, seed=1)
    assert (found.spa_p_value, found.superior, found.confidence_set) == (None, None, None)
    assert found.reason == "no stream differs from the benchmark"


def test_a_benchmark_that_never_trades_is_cash():
    given = {**streams(4, edge=0.003), "base": np.zeros(600)}
    found = superiority("base", given, seed=1)
    assert found.spa_p_value is not None
    assert found.spa_p_value < 0.01
    assert "two" in found.superior
