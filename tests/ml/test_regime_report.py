"""Reports of published regimes, and calibration against a known truth: numbers by hand."""

import math

import numpy as np
import polars as pl
import pytest

from ml.proof.calibration import calibration, planted_probabilities
from ml.regime_report import REPORT_COLUMNS, regime_summary, regime_table
from ml.regime_window import temperature_of, tempered

PUBLISHED = pl.DataFrame(
    {
        "regime": [None, "a", "a", "b", "a", "b", "b", "b"],
        "state_0": [None, 1.0, 0.6, 0.3, 0.5, 0.0, 0.0, 0.0],
        "state_1": [None, 0.0, 0.4, 0.7, 0.5, 1.0, 1.0, 1.0],
        "state": [None, 0, 0, 1, 0, 1, 1, 1],
    }
)


def test_table_by_hand() -> None:
    found = regime_table(PUBLISHED)
    assert found.columns == list(REPORT_COLUMNS)
    assert found.rows() == [
        ("b", 4, 4 / 7, 2, 2.0, 3, pytest.approx(3.7 / 4)),
        ("a", 3, 3 / 7, 2, 1.5, 2, pytest.approx(0.7)),
    ]


def test_summary_by_hand() -> None:
    found = regime_summary(PUBLISHED)
    two = lambda p: -(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2)  # noqa: E731
    assert found["sessions"] == 7
    assert found["regimes"] == 2
    assert found["switches"] == 3
    assert found["mean_spell"] == 7 / 4
    assert found["entropy"] == pytest.approx((two(0.6) + two(0.3) + 1.0) / 7)


def test_nothing_published_is_an_empty_report() -> None:
    empty = PUBLISHED.head(1)
    assert regime_table(empty).height == 0
    assert regime_summary(empty)["mean_spell"] is None
    assert regime_summary(empty)["switches"] == 0


def test_calibration_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    found = calibration(p, np.array([0, 0, 1, 0]))
    assert found.accuracy == 0.75
    assert found.confidence == pytest.approx(0.75)
    assert found.brier == pytest.approx((0.02 + 0.02 + 0.32 + 0.72) / 4)
    assert found.error == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.9, 0.6, 0.4]).mean())
    assert [n for _, _, n in found.reliability] == [2, 2]


def test_found_states_take_the_place_of_planted_ones() -> None:
    found = planted_probabilities(np.eye(3)[[2, 2, 0, 1]], np.array([0, 0, 1, 1]))
    assert found.argmax(axis=1).tolist()[:2] == [0, 0]
    assert sorted(found.argmax(axis=1).tolist()[2:]) == [1, 2]


def test_too_sure_probabilities_are_cooled_down() -> None:
    random = np.random.default_rng(5)
    honest = random.dirichlet((1.0, 1.0, 1.0), 4000)
    labels = np.array([random.choice(3, p=p) for p in honest])
    assert temperature_of(honest, labels) == pytest.approx(1.0, abs=0.1)
    sure = tempered(honest, 0.5)
    assert temperature_of(sure, labels) == pytest.approx(2.0, abs=0.2)
    cooled = tempered(sure, temperature_of(sure, labels))
    assert calibration(cooled, labels).error < 0.5 * calibration(sure, labels).error


def test_a_temperature_leaves_the_order_alone() -> None:
    p = np.random.default_rng(1).dirichlet((1.0, 2.0, 3.0), 50)
    np.testing.assert_array_equal(tempered(p, 3.0).argmax(axis=1), p.argmax(axis=1))
    np.testing.assert_allclose(tempered(p, 1.0), p, atol=1e-12)
