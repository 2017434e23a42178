"""What a search says against its own choice."""

import pytest

from pipeline.commands.tuning_words import merit_of, warnings_of

SIGNS = {"sharpe": 1.0, "max_drawdown": -1.0}


def told(chosen=(0.5, 0.1), default=(0.6, 0.05), *, late=None, effective=None, **changed):
    """Content of ``tune.json`` as far as warnings read it; pairs are Sharpe ratio and drawdown."""

    def one(pair):
        return {"objectives": dict(zip(SIGNS, pair, strict=True))}

    held = None if late is None else {"chosen": one(late[0]), "default": one(late[1])}
    return {
        "training": {"effective": effective},
        "held_back": held,
        "chosen": one(chosen) | {"metrics": {"turnover": 3.0}},
        "default": one(default) | {"feasible": True},
    } | changed


def test_a_default_that_is_better_in_everything_is_a_warning():
    assert warnings_of(told(), SIGNS) == [
        "the default is better in every objective in training: sharpe 0.6 against 0.5, "
        "max_drawdown 0.05 against 0.1"
    ]


@pytest.mark.parametrize(
    ("chosen", "default"),
    [((0.5, 0.1), (0.6, 0.2)), ((0.5, 0.1), (0.5, 0.1)), ((0.5, 0.1), (None, 0.0))],
)
def test_a_default_that_is_not_better_in_everything_is_none(chosen, default):
    assert warnings_of(told(chosen, default), SIGNS) == []


def test_a_default_that_breaks_a_constraint_is_no_rival():
    broken = {"objectives": {"sharpe": 0.6, "max_drawdown": 0.05}, "feasible": False}
    assert warnings_of(told(default=(0.6, 0.05)) | {"default": broken}, SIGNS) == []


def test_the_sessions_kept_back_speak_too():
    seen = told((0.5, 0.1), (0.4, 0.1), late=((-0.2, 0.2), (0.3, 0.1)))
    assert warnings_of(seen, SIGNS) == [
        "the default did better on the sessions kept back: sharpe 0.3 against -0.2, "
        "max_drawdown 0.1 against 0.2"
    ]


def test_a_choice_without_trades_and_a_regime_of_few_sessions_are_warnings():
    still = {"objectives": {"sharpe": None, "max_drawdown": 0.0}, "metrics": {"turnover": 0.0}}
    seen = told(effective=99.4) | {"chosen": still}
    assert warnings_of(seen, SIGNS) == [
        "only 99 effective sessions of the regime in training: below 100 the choice is mostly "
        "chance",
        "the choice never trades: its book is flat in training",
    ]
    assert warnings_of(told((0.7, 0.1), effective=100.0), SIGNS) == []


def test_sets_are_ranked_by_one_objective_or_by_the_mean_of_scaled_ones():
    assert merit_of(("sharpe",)) == "sharpe"
    assert merit_of(("sharpe", "calmar")) == "the mean of sharpe, calmar, each scaled to [0, 1]"
