"""Every registered regime model: filtered, causal, deterministic, saved and restored."""

import numpy as np
import pytest
import safetensors.numpy

from ml.market_state import COLUMNS
from ml.regime import REGIMES
from ml.regime_track import track

TRAIN, REFIT, SESSIONS = 300, 60, 520


def market(seed=0):
    """Two regimes in every column, slow enough to be found."""
    random = np.random.default_rng(seed)
    regime = (np.arange(SESSIONS) // 90) % 2
    state = random.normal(0.0, 0.5, (SESSIONS, len(COLUMNS))) + 1.5 * regime[:, None]
    state[:, COLUMNS.index("market_return_20")] *= 0.001
    state[:, COLUMNS.index("market_volatility_20")] -= 5.0
    state[:25] = np.nan
    return state


@pytest.fixture(params=REGIMES.names())
def model(request):
    return REGIMES.get(request.param)


def test_published_rows_do_not_change_when_the_future_is_cut_or_replaced(model):
    state = market()
    terms = {"train": TRAIN, "refit": REFIT, "seed": 0}
    full = track(state, COLUMNS, model, **terms).published()
    for cut in (TRAIN + 1, TRAIN + REFIT - 1, TRAIN + REFIT, TRAIN + REFIT + 1, SESSIONS - 1):
        short = track(state[:cut], COLUMNS, model, **terms).published()
        assert short.equals(full.head(cut).select(short.columns)), cut
        noisy = state.copy()
        noisy[cut:] = np.random.default_rng(9).normal(size=noisy[cut:].shape)
        other = track(noisy, COLUMNS, model, **terms).published()
        assert other.head(cut).select(short.columns).equals(short), cut


def test_rows_sum_to_one_and_start_after_the_first_fit(model):
    rows = track(market(), COLUMNS, model, train=TRAIN, refit=REFIT, seed=0).published()
    assert rows["regime"].null_count() == TRAIN
    known = rows.tail(SESSIONS - TRAIN)
    total = known.select("p_bull", "p_sideways", "p_bear").sum_horizontal().to_numpy()
    assert total == pytest.approx(np.ones(len(total)))
    states = [c for c in rows.columns if c.startswith("state_")]
    assert known.select(states).sum_horizontal().to_numpy() == pytest.approx(np.ones(len(total)))


def test_the_same_seed_gives_the_same_fit(model):
    first = model.fit(market(), COLUMNS, previous=None, seed=3)
    again = model.fit(market(), COLUMNS, previous=None, seed=3)
    assert first.names == again.names
    assert np.array_equal(first.filter(market(1)), again.filter(market(1)))


def test_a_saved_fit_filters_alike(model):
    fit = model.fit(market(), COLUMNS, previous=None, seed=0)
    stored = safetensors.numpy.load(safetensors.numpy.save(fit.arrays()))
    back = model.restore(stored, fit.config())
    assert back.names == fit.names
    assert np.array_equal(back.filter(market(1)), fit.filter(market(1)))


def test_an_unknown_row_carries_no_evidence(model):
    fit = model.fit(market(), COLUMNS, previous=None, seed=0)
    state = market(1)
    state[200:203] = np.nan
    p = fit.filter(state)
    assert np.isfinite(p).all()
    assert p.sum(axis=1) == pytest.approx(np.ones(len(p)))
    assert (p[200:203].argmax(axis=1) == p[199].argmax()).all()
