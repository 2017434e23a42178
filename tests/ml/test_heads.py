"""Bounded heads over candidate sets."""

import numpy as np
import pytest
import torch

from backtest.params import ParamGrid
from backtest.strategies.ma_cross import MaCrossParams
from backtest.strategy import STRATEGIES
from ml.fitter.extractor import HIDDEN
from ml.fitter.heads import ParameterHeads, SetSpace
from tests.ml.histories import small_grid

GRID = small_grid(periods=(3, 8, 20, 40))


def heads_of(grid: ParamGrid, components: int = 4) -> ParameterHeads:
    torch.manual_seed(0)
    return ParameterHeads(SetSpace.of(grid), sets=grid.size, components=components).eval()


def features(*shape: int) -> torch.Tensor:
    return 3.0 * torch.randn(*shape, HIDDEN, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_weights_lie_on_candidate_sets_and_cash_alone(strategy: str):
    grid = STRATEGIES.get(strategy).candidates()
    if not grid.columns:
        pytest.skip(f"{strategy} has no parameters")
    mix = heads_of(grid)(features(2, 5)).exp()
    assert mix.shape == (2, 5, grid.size + 1)
    torch.testing.assert_close(mix.sum(dim=-1), torch.ones(2, 5))
    assert (mix >= 0).all()
    assert grid.params.feasible(grid).all()  # so rules hold wherever weight may lie


def test_numbers_are_places_between_the_bounds():
    space = SetSpace.of(GRID)
    bounds = GRID.params.ranges()["period"]
    place = space.numbers["period"]
    assert place.min() >= 0.0
    assert place.max() <= 1.0
    np.testing.assert_allclose(
        bounds.low + place * (bounds.high - bounds.low), GRID["period"], rtol=1e-12
    ) if not bounds.log else np.testing.assert_allclose(
        np.exp(np.log(bounds.low) + place * np.log(bounds.high / bounds.low)), GRID["period"]
    )
    assert set(space.codes) == {"direction"}


def test_heads_stay_within_bounds_however_wild_the_features():
    heads = heads_of(GRID)
    wild = heads.trunk(1000.0 * features(7))
    for name in ("period", "width", "smoothing"):
        place, width = heads._place(name, wild)
        assert ((place >= 0.0) & (place <= 1.0)).all()
        assert (width > 0.0).all()
    told = heads._choice("direction", wild).exp()
    torch.testing.assert_close(told.sum(dim=-1), torch.ones(told.shape[:-1]))


def test_components_begin_apart():
    heads = heads_of(GRID, components=6)
    places = heads._place("period", torch.zeros(1, HIDDEN))[0][0]
    assert places.std() > 0.1


def test_a_component_gives_more_to_sets_near_its_place():
    heads = heads_of(GRID, components=1)
    with torch.no_grad():
        for layer in (heads.places["period"], heads.places["width"], heads.places["smoothing"]):
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor([-4.0, -2.0]))  # near the lower bound, and narrow
        heads.choices["direction"].weight.zero_()
        heads.choices["direction"].bias.zero_()
        mix = heads(features(1)).exp()[0, :-1]
    low = GRID["period"] <= 8
    assert mix[torch.from_numpy(low)].sum() > 0.9 * mix.sum()


def test_rules_between_parameters_hold():
    grid = STRATEGIES.get("ma_cross").candidates()
    assert grid.params is MaCrossParams
    heads = heads_of(grid)
    best = int(heads(features(1)).exp()[0, :-1].argmax())
    row = grid.row(best)
    assert MaCrossParams.parse(row).model_dump() == row
