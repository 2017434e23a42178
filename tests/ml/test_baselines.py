"""The simple policies on the board, with numbers worked out by hand."""

import numpy as np
import pytest

from ml.learners.argmax_static import ArgmaxStatic
from ml.learners.directions import Directions, directions_of
from ml.learners.recent import Recent
from ml.learners.static import Static
from ml.learners.volatility_targeted import VolatilityTargeted
from ml.learners.weighted import Weighted
from ml.score_table import ScoreTable
from tests.ml.histories import small_grid, view_of

GRID = small_grid(periods=(5, 14, 28), widths=(10.0,))  # three sets of each direction
PLAIN = ScoreTable(shrinkage=0.0, smoothing=0.0)


def swinging(mean: float, sessions: int, deviation: float = 0.01) -> np.ndarray:
    """Returns of exactly this mean and this deviation (ddof 0), an even number of sessions."""
    return mean + deviation * np.where(np.arange(sessions) % 2 == 0, 1.0, -1.0)


def view(*means: float, sessions: int = 200):
    first = np.zeros((len(means), 1))
    return view_of(GRID, np.hstack([first, np.stack([swinging(m, sessions) for m in means])]))


def test_argmax_puts_everything_on_the_best_set_and_cash_where_none_earns():
    best = view(0.001, 0.002, 0.0, -0.001, 0.0, 0.0)
    learner = ArgmaxStatic(PLAIN)
    assert learner.weigh(learner.select(best), best).tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    losing = view(*[-0.001] * 6)
    assert not learner.weigh(learner.select(losing), losing).any()


def test_recent_sees_its_window_alone():
    """A set that lost for long and earned .1 deviations a session in the last 63."""
    late = view(*[0.0] * 6)
    late.returns[2, 1:-64] = swinging(-0.005, 137 - 1)
    late.returns[2, -64:] = swinging(0.001, 64)
    found = Recent(PLAIN).select(late)
    assert found.sessions.tolist() == [63.0]
    mean, square = (0.001 * 63 - 0.01) / 63, 0.01**2 + 0.001**2 - 2 * 0.001 * 0.01 / 63
    assert found.scores[0, 2] == pytest.approx(mean / np.sqrt(square - mean**2))
    assert Static(PLAIN).select(late).scores[0, 2] < 0.0 < found.scores[0, 2]


def test_weighted_halves_what_is_one_half_life_older():
    one = view(*[0.0] * 6, sessions=84)
    one.returns[0, 1:43] = 0.01
    one.returns[0, 43:] = -0.005
    found = Weighted(PLAIN, half_life=42.0).select(one)
    # The early half weighs 1 where the late half weighs 2.
    mean = (0.01 - 2 * 0.005) / 3
    variance = (0.01**2 + 2 * 0.005**2) / 3 - mean**2
    assert found.scores[0, 0] == pytest.approx(mean / np.sqrt(variance), abs=1e-12)


def test_volatility_target_cuts_a_wild_mix_and_never_raises_a_calm_one():
    calm = view(0.002, 0.002, 0.002, -0.01, -0.01, -0.01)
    wild = view(0.002, 0.002, 0.002, -0.01, -0.01, -0.01)
    calm.returns[:, -63:] *= 0.5
    wild.returns[:, -63:] *= 3.0
    learner = VolatilityTargeted(PLAIN)
    for given, expected in ((calm, None), (wild, 3.0)):
        full = Static(PLAIN).weigh(Static(PLAIN).select(given), given)
        cut = learner.weigh(learner.select(given), given)
        share = cut.sum() / full.sum()
        if expected is None:
            assert share == pytest.approx(1.0)
        else:
            usual = np.sqrt((137 + 63 * expected**2) / 200)
            assert usual / expected < share < 1.2 * usual / expected
        assert cut / cut.sum() == pytest.approx(full / full.sum())


def test_directions_weigh_all_sets_of_a_kind_alike():
    assert directions_of(GRID).tolist() == [1, 1, 1, 0, 0, 0]  # by name: momentum, reversion
    one = view(0.003, 0.0, 0.0, -0.003, 0.0, 0.0)
    learner = Directions(PLAIN)
    found = learner.select(one)
    assert found.scores[0, :3].tolist() == [found.scores[0, 0]] * 3
    assert found.scores[0, 0] == pytest.approx(0.1)  # the average earns .001 a session
    weights = learner.weigh(found, one)
    assert weights[:3] == pytest.approx([weights[0]] * 3)
    ratio = np.exp((found.scores[0, 0] - found.scores[0, 3]) / PLAIN.temperature)
    assert weights[0] / weights[3] == pytest.approx(ratio)


def test_directions_spread_a_full_mix_over_the_grid():
    wide = small_grid(periods=tuple(range(3, 33)), widths=(10.0,))
    returns = np.tile(swinging(0.001, 100), (wide.size, 1))
    weights = Directions(PLAIN).weigh(
        Directions(PLAIN).select(view_of(wide, returns)), view_of(wide, returns)
    )
    used = np.flatnonzero(weights)
    assert len(used) == 16
    assert {0, 29, 30, 59} <= set(used.tolist())
