"""Our mixture against scikit-learn's: the same EM from the same start."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from ml.regimes.mixture import climb, responsibilities
from tests.ml.test_mixture import ROWS, STATES


@pytest.fixture(scope="module")
def pair():
    member = np.eye(3)[STATES]
    options = {"prior": np.eye(5), "shrink": 0.0, "rounds": 200, "tolerance": 1e-10}
    ours = climb(ROWS, member, **options)
    means = np.array([ROWS[k == STATES].mean(axis=0) for k in range(3)])
    precisions = np.array([np.linalg.inv(np.cov(ROWS[k == STATES].T, bias=True)) for k in range(3)])
    theirs = GaussianMixture(
        3,
        covariance_type="full",
        reg_covar=0.0,
        tol=1e-13,
        max_iter=500,
        weights_init=member.mean(axis=0),
        means_init=means,
        precisions_init=precisions,
    ).fit(ROWS)
    return ours, theirs


def test_same_parameters(pair) -> None:
    (clouds, _), theirs = pair
    np.testing.assert_allclose(clouds.means, theirs.means_, atol=1e-5)
    np.testing.assert_allclose(clouds.covariances, theirs.covariances_, atol=1e-5)
    np.testing.assert_allclose(clouds.shares, theirs.weights_, atol=1e-5)


def test_same_responsibilities_and_likelihood(pair) -> None:
    (clouds, total), theirs = pair
    np.testing.assert_allclose(
        responsibilities(ROWS, clouds)[0], theirs.predict_proba(ROWS), atol=1e-5
    )
    assert total == pytest.approx(theirs.score(ROWS) * len(ROWS), rel=1e-8)
