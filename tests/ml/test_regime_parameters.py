"""Parameters asked by the name of a regime: whole, by a word, and never seen."""

import numpy as np
import pytest

from backtest.errors import UnknownNameError
from ml.parameter_table import ALWAYS, ParameterTable, parameter_table
from ml.policy import PolicyConfig
from tests.ml.histories import planted_history

NAMES = ("bull calm thin dispersed", "bull volatile heavy correlated", "bear calm thin dispersed")
SETS = [{"period": 5}, {"period": 14}, {"period": 28}]


def table() -> ParameterTable:
    """Three regimes, three sets; the second set is ineligible in the bear's; and one strategy
    without regimes."""
    arrays = {
        "swing/scores": np.array([[0.1, 0.3, 0.0], [0.2, 0.0, 0.0], [0.5, -np.inf, 0.1]]),
        "swing/sessions": np.array([30.0, 10.0, 5.0]),
        "swing/shares": np.array([[0.2, 0.6, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.9]]),
        "flat/scores": np.array([[0.1, 0.0, 0.4]]),
        "flat/sessions": np.array([45.0]),
    }
    strategies = {
        "swing": {"regimes": list(NAMES), "sets": SETS},
        "flat": {"regimes": [ALWAYS], "sets": SETS},
    }
    return ParameterTable(arrays, {"selected_at": "2020-05-01", "strategies": strategies})


def test_a_whole_name_is_its_own_row() -> None:
    found = table().get_regime_specific_parameters(NAMES[0])["swing"]
    assert found.regimes == (NAMES[0],)
    assert found.parameters == {"period": 14}
    assert found.score == pytest.approx(0.3)
    assert found.sessions == 30.0
    assert [(m["weight"], m["parameters"]["period"]) for m in found.mix] == [(0.6, 14), (0.2, 5)]


def test_a_word_averages_regimes_by_their_sessions() -> None:
    found = table().get_regime_specific_parameters("bull")["swing"]
    assert found.regimes == NAMES[:2]
    assert found.sessions == 40.0
    weights = {m["parameters"]["period"]: m["weight"] for m in found.mix}
    assert weights == pytest.approx({14: 0.45, 5: 0.4})
    assert found.parameters == {"period": 14}
    assert found.score == pytest.approx(0.3 * 0.75)


def test_a_set_that_one_regime_cannot_judge_is_judged_by_the_others() -> None:
    found = table().get_regime_specific_parameters("calm")["swing"]
    assert found.parameters == found.mix[0]["parameters"] == {"period": 14}
    assert found.score == pytest.approx(0.3)  # the bear's row knows nothing of it


def test_words_in_any_order() -> None:
    found = table().get_regime_specific_parameters("calm bear")["swing"]
    assert found.regimes == (NAMES[2],)
    assert found.parameters == {"period": 28}


def test_a_strategy_without_regimes_answers_with_its_own() -> None:
    found = table().get_regime_specific_parameters("bear")["flat"]
    assert found.regimes == (ALWAYS,)
    assert found.parameters == {"period": 28}
    assert found.mix == ()


@pytest.mark.parametrize("regime", ["sideways", "bull bear", "", "Bull"])
def test_a_regime_never_seen_is_one_line_with_those_known(regime: str) -> None:
    with pytest.raises(UnknownNameError, match=r"E_UNKNOWN_REGIME: no state .* known: bull calm"):
        table().get_regime_specific_parameters(regime)


def test_the_table_of_a_decision_answers() -> None:
    history, policy = planted_history(), PolicyConfig(train=200, step=5, refit=50)
    made = parameter_table(history, policy, seed=0, fits={})
    for name in made.config["strategies"]["swing_0"]["regimes"]:
        found = made.get_regime_specific_parameters(name)["swing_0"]
        assert found.parameters in made.config["strategies"]["swing_0"]["sets"]
        assert sum(m["weight"] for m in found.mix) <= 1.0 + 1e-9
        assert found.sessions > 0.0
