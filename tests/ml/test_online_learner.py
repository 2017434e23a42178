"""The online learner in a world whose good sets swap half way: alarms, and what follows them."""

import dataclasses
import itertools

import numpy as np
import pytest

from backtest.errors import UnknownNameError
from ml.distill import size_of
from ml.learner import HORIZON, LearnerView, Market
from ml.learners.online import ANEW, Online, OnlineSelection
from ml.score_table import ScoreTable
from tests.ml.histories import COLUMNS, days, planted_state, small_grid, spells

GRID = small_grid(periods=(3, 8, 20, 40))
SESSIONS, SWAP = 2400, 1200


def world(*, swap: int | None = SWAP, stop: int = SESSIONS) -> LearnerView:
    """Momentum earns until the swap and reversion after it."""
    random = np.random.default_rng(2)
    returns = random.normal(0.0, 0.01, (GRID.size, SESSIONS))
    sign = np.where(GRID["direction"] == "momentum", 1.0, -1.0)[:, None]
    turned = np.where(np.arange(SESSIONS) < (SESSIONS if swap is None else swap), 1.0, -1.0)
    state = planted_state(spells(SESSIONS))
    market = Market(days(SESSIONS), state, COLUMNS, np.full(returns.shape, np.nan))
    whole = LearnerView(
        GRID, returns + 0.002 * sign * turned, np.ones((SESSIONS, 1)), ("always",), market=market
    )
    return whole.rows(0, stop)


WORLD = world()
WHOLE = Online().select(WORLD)


def heard(selection: OnlineSelection) -> list[int]:
    """Sessions at whose close an alarm was raised."""
    decisions = Online().decisions(WORLD)
    return [decisions[k] + HORIZON for k in selection.model.alarms]


FIRST = heard(WHOLE)[0]


def test_the_alarm_comes_after_the_swap_and_not_before():
    assert SWAP < FIRST < SWAP + 150
    assert len(heard(WHOLE)) == 1, "nothing is wrong when the errors fall again"
    assert not Online().select(world(swap=None)).model.alarms


@pytest.mark.parametrize("alarm", ["demote", "freeze"])
def test_the_mix_before_an_alarm_is_the_model_s(alarm: str):
    learner, before = Online(alarm=alarm), WORLD.rows(0, FIRST)
    selection = learner.select(before)
    assert selection.speaker == "model"
    weights = learner.weigh(selection, before)
    assert weights[GRID["direction"] == "momentum"].sum() > 0.9


def test_demoted_the_static_table_speaks_until_the_alarm_is_over():
    for late in (1, 20, 50):
        view = WORLD.rows(0, FIRST + late)
        selection = Online().select(view)
        assert selection.speaker == "table"
        table = ScoreTable()
        static = table.weigh(table.select(view.blind()), view.blind())
        assert Online().weigh(selection, view).tobytes() == static.tobytes()


def test_frozen_the_mix_stays_that_of_the_close_before_the_alarm():
    learner, before = Online(alarm="freeze"), WORLD.rows(0, FIRST)
    held = learner.weigh(learner.select(before), before)
    selection = None
    for late in (1, 3, 6, 20, 50):
        view = WORLD.rows(0, FIRST + late)
        selection = learner.select(view, before=selection)
        assert selection.speaker == "frozen"
        np.testing.assert_allclose(learner.weigh(selection, view), held, atol=1e-12)
        anew = learner.select(view)
        assert learner.weigh(anew, view).tobytes() == learner.weigh(selection, view).tobytes()


def test_an_alarm_passes_and_learning_went_on():
    """Twelve decisions on nothing is frozen; the model turns round under both answers."""
    over = WORLD.rows(0, FIRST + 5 * 12 + 1)
    assert Online(alarm="freeze").select(over).speaker == "table"
    both = [Online(alarm=alarm).select(WORLD) for alarm in ("demote", "freeze")]
    assert [one.speaker for one in both] == ["model", "model"]
    assert both[0].model.average.tobytes() == both[1].model.average.tobytes()
    weights = Online().weigh(both[0], WORLD)
    assert weights[GRID["direction"] == "reversion"].sum() > 0.9


def test_frozen_where_the_table_spoke_the_table_s_mix_stays():
    """An alarm may fall on a model that was not believed anyway."""
    learner, view = Online(alarm="freeze"), WORLD.rows(0, FIRST + 10)
    model = learner.select(view).model
    model.held = dataclasses.replace(model.held, confidence=0.5)
    selection, then = learner.selection(model, view), WORLD.rows(0, FIRST + 1)
    assert selection.speaker == "frozen"
    static = ScoreTable().weigh(ScoreTable().select(then.blind()), then.blind())
    assert learner.weigh(selection, view).tobytes() == static.tobytes()


def test_in_a_rolling_window_the_model_goes_on_until_a_step_is_over():
    """And says what one says that was begun anew, although the window itself has moved on."""
    learner, width, models, before = Online(), 400, [], None
    for stop in range(630, 630 + 2 * ANEW, 7):
        view = WORLD.rows(stop - width, stop)
        before = learner.select(view, before=before)
        anew = learner.select(view)
        assert before.scores.tobytes() == anew.scores.tobytes()
        assert before.model.average.tobytes() == anew.model.average.tobytes()
        assert before.first == anew.first == -(-view.first // ANEW) * ANEW
        assert 45 <= before.learned <= 62  # five sessions apart; less the warm-up and the horizon
        models.append(before.model)
    changes = [a is not b for a, b in itertools.pairwise(models)]
    assert sum(changes) == 2, "230 to 356 holds the multiples 252 and 315"


def test_what_it_keeps_is_as_large_as_its_journal():
    """Of a decision: its state, the later one, an outcome of every set, their mean, a count."""
    model, columns = WHOLE.model, len(Online.columns(WORLD))
    journal = 8 * (columns * (model.observed + model.decisions) + (GRID.size + 2) * model.decisions)
    own = WHOLE.scores.nbytes + WHOLE.sessions.nbytes + WHOLE.shares.nbytes + len(WHOLE.speaker)
    assert size_of(WHOLE) == journal + own
    assert journal > 50_000


def test_detector_and_answer_are_part_of_the_policy():
    told = Online(detector="kswin", alarm="freeze")
    assert told.config()["detector"] == "kswin"
    assert told.config()["alarm"] == "freeze"
    assert told.begin(WORLD).config.detector == "kswin"
    with pytest.raises(UnknownNameError, match=r"unknown answer to an alarm 'freez'.*'freeze'"):
        Online(alarm="freez")
