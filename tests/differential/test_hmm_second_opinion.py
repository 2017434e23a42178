"""Our chain against hmmlearn's and against plain enumeration: same likelihood, same filter."""

import itertools

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM

from backtest.seeds import generator
from ml.hidden_markov import Chain, climb, factor, forward, log_density, stationary, sticky_prior

MOVE = np.array([[0.95, 0.03, 0.02], [0.04, 0.9, 0.06], [0.01, 0.09, 0.9]])
MEANS = np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.5]])
COVARIANCE = np.array([[0.8, 0.2], [0.2, 0.5]])
ONES = np.ones(2)


def rows(sessions: int = 400) -> np.ndarray:
    random = generator(31, "second opinion")
    states = (np.arange(sessions) // 23) % 3
    lower = np.linalg.cholesky(COVARIANCE)
    return MEANS[states] + random.standard_normal((sessions, 2)) @ lower.T


X = rows()


def theirs(**settings: object) -> GaussianHMM:
    model = GaussianHMM(3, covariance_type="tied", init_params="", **settings)
    model.startprob_, model.transmat_ = stationary(MOVE), MOVE
    model.means_, model.covars_ = MEANS, COVARIANCE
    return model


def ours(x: np.ndarray) -> tuple[np.ndarray, float]:
    log_b = log_density(x, MEANS, factor(COVARIANCE), ONES)
    return forward(log_b, stationary(MOVE), MOVE)


def test_likelihood_equals_hmmlearns() -> None:
    assert ours(X)[1] == pytest.approx(theirs().score(X), rel=1e-12)


def test_filter_equals_hmmlearns_posterior_of_the_last_row_of_each_prefix() -> None:
    """On a prefix the smoothed probability of its last row is the filtered one."""
    model, found = theirs(), ours(X)[0]
    for stop in [1, 2, 3, *range(20, 400, 19)]:
        np.testing.assert_allclose(found[stop - 1], model.predict_proba(X[:stop])[-1], atol=1e-10)


def test_filter_equals_the_sum_over_all_paths() -> None:
    x = X[:6]
    density = np.exp(log_density(x, MEANS, factor(COVARIANCE), ONES))
    total = np.zeros(3)
    for path in itertools.product(range(3), repeat=6):
        weight = stationary(MOVE)[path[0]] * density[0, path[0]]
        for t in range(1, 6):
            weight *= MOVE[path[t - 1], path[t]] * density[t, path[t]]
        total[path[-1]] += weight
    np.testing.assert_allclose(ours(x)[0][-1], total / total.sum(), atol=1e-12)


def test_one_round_of_em_equals_hmmlearns() -> None:
    """Without priors; the law of the first state is theirs to learn and not ours."""
    model = theirs(params="tmc", n_iter=1, tol=0.0, covars_prior=0.0, covars_weight=0.0)
    model.fit(X)
    chain, _, _ = climb(
        X,
        Chain(MEANS, COVARIANCE, MOVE),
        prior=sticky_prior(3, 1e-12, 0.9),
        evidence=ONES,
        shrink=0.0,
        rounds=1,
        tolerance=-1.0,
    )
    np.testing.assert_allclose(chain.means, model.means_, atol=1e-9)
    np.testing.assert_allclose(chain.move, model.transmat_, atol=1e-9)
    np.testing.assert_allclose(chain.covariance, model._covars_, atol=1e-6)
