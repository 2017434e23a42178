"""What is read off the features: a mix of parameter sets, what it should earn, and the regime.

For: one bounded head per parameter, by which weight over a strategy's candidate sets is given;
the performance head and the regime head. Not for: extracting features, or training.

A mix has components. Each has a place in every parameter: a number between the parameter's bounds
with a width, or probabilities of a category's values. What a component gives a set falls with
the set's distance from that place, and the component's shares over all candidate sets sum to 1. So
bounds, whole numbers and rules between parameters hold by construction: weight lies on candidate
sets only, and these keep them all. One component is cash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from backtest.params import ParamGrid
from ml.fitter.extractor import HIDDEN

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

OUTCOMES = 3
"""What the performance head tells: mean return, Sharpe ratio and turnover."""
REGIME_WORDS = ("bull", "sideways", "bear", "volatile", "heavy", "correlated")
"""Probabilities that the regime head tells; the first three sum to 1."""

LEAST_SHARE = 1e-6
"""Share of a set that the table leaves out, so that a tilt can bring it back."""

_NARROWEST = 0.03
_LOG_TINY = -30.0


@dataclass(frozen=True)
class SetSpace:
    """A strategy's candidate sets as the heads see them.

    Parameters
    ----------
    numbers : dict of str to float64, ``[param]``
        Each numeric parameter's place between its bounds, 0 to 1; logarithmic where a search
        would move so.
    codes : dict of str to int64, ``[param]``
        Each category's value by its place among those that occur.
    """

    numbers: dict[str, Floats]
    codes: dict[str, Ints]

    @classmethod
    def of(cls, grid: ParamGrid) -> SetSpace:
        """Describe the candidates of a grid."""
        ranges, numbers, codes = grid.params.ranges(), {}, {}
        for name, column in grid.columns.items():
            if name in ranges and ranges[name].high > ranges[name].low:
                one = ranges[name]
                ends = np.array([one.low, one.high], dtype=np.float64)
                values = np.asarray(column, dtype=np.float64)
                if one.log:
                    ends, values = np.log(ends), np.log(values)
                numbers[name] = (values - ends[0]) / (ends[1] - ends[0])
            else:
                codes[name] = np.unique(column, return_inverse=True)[1].reshape(-1)
        return cls(numbers, codes)


class ParameterHeads(nn.Module):
    """One bounded head per parameter for every component of a mix.

    Parameters
    ----------
    space : SetSpace
    sets : int
        Number of candidate sets.
    components : int
        Of a mix, beside cash.
    """

    def __init__(self, space: SetSpace, *, sets: int, components: int):
        super().__init__()
        self.sets, self.components = sets, components
        self.trunk = nn.Sequential(
            nn.Linear(HIDDEN, 2 * HIDDEN), nn.GELU(), nn.Linear(2 * HIDDEN, HIDDEN), nn.GELU()
        )
        self.shares = nn.Linear(HIDDEN, components + 1)
        self.number_names, self.code_names = tuple(space.numbers), tuple(space.codes)
        self.places = nn.ModuleDict(
            {name: nn.Linear(HIDDEN, 2 * components) for name in self.number_names}
        )
        values = {name: int(code.max(initial=0)) + 1 for name, code in space.codes.items()}
        self.choices = nn.ModuleDict(
            {name: nn.Linear(HIDDEN, components * count) for name, count in values.items()}
        )
        for name, place in space.numbers.items():
            self.register_buffer(f"at_{name}", torch.tensor(place, dtype=torch.float32))
        for name, code in space.codes.items():
            self.register_buffer(f"at_{name}", torch.tensor(code))
        self._spread(values)

    def _spread(self, values: dict[str, int]) -> None:
        """Start components apart from each other: alike, they would stay alike."""
        with torch.no_grad():
            for k, name in enumerate(self.number_names):
                bias = _bias(self.places, name).view(self.components, 2)
                ahead = torch.arange(self.components) * (0.5 + 0.618034 * (k + 1))
                bias[:, 0] = torch.logit((ahead % 1.0).clamp(0.1, 0.9))
                bias[:, 1] = math.log(math.expm1(0.25))
            for name, count in values.items():
                bias = _bias(self.choices, name).view(self.components, count)
                bias.zero_()
                bias[torch.arange(self.components), torch.arange(self.components) % count] = 1.0

    def forward(self, h: Tensor) -> Tensor:
        """Logarithms of the weights of all sets and, last, of cash; ``[..., param + 1]``."""
        h = self.trunk(h)
        shares = nn.functional.log_softmax(self.shares(h), dim=-1)  # [..., M + 1]
        near = h.new_zeros((*h.shape[:-1], self.components, self.sets))
        for name in self.number_names:
            place, width = self._place(name, h)
            gap = (getattr(self, f"at_{name}") - place[..., None]) / width[..., None]
            near = near - 0.5 * gap * gap
        for name in self.code_names:
            told = self._choice(name, h)
            near = near + told[..., getattr(self, f"at_{name}")]
        near = nn.functional.log_softmax(near, dim=-1)
        held = torch.logsumexp(shares[..., :-1, None] + near, dim=-2)  # [..., P]
        return torch.cat([held, shares[..., -1:]], dim=-1).clamp_min(_LOG_TINY)

    def _place(self, name: str, h: Tensor) -> tuple[Tensor, Tensor]:
        """Place between the bounds and width of every component; each ``[..., M]``."""
        raw = self.places[name](h).view(*h.shape[:-1], self.components, 2)
        return torch.sigmoid(raw[..., 0]), nn.functional.softplus(raw[..., 1]) + _NARROWEST

    def _choice(self, name: str, h: Tensor) -> Tensor:
        """Log probabilities of a category's values; ``[..., M, value]``."""
        raw = self.choices[name](h)
        return nn.functional.log_softmax(raw.view(*h.shape[:-1], self.components, -1), dim=-1)


def _bias(layers: nn.ModuleDict, name: str) -> Tensor:
    bias: Tensor = layers.get_submodule(name).get_parameter("bias")
    return bias


class OutcomeHead(nn.Sequential):
    """What the mix should earn: mean return, Sharpe ratio and turnover; ``[..., 3]``."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(HIDDEN, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, 64),
            nn.GELU(),
            nn.Linear(64, OUTCOMES),
        )


class RegimeHead(nn.Linear):
    """Logits of ``REGIME_WORDS``: a softmax of the first three, and each other by itself."""

    def __init__(self) -> None:
        super().__init__(HIDDEN, len(REGIME_WORDS))


class TiltHead(nn.Linear):
    """How much the heads' mix tilts the table's; ``[...]``, between -1 and 1.

    It begins with 0: an untrained network proposes what the table does.
    """

    def __init__(self) -> None:
        super().__init__(HIDDEN, 1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, h: Tensor) -> Tensor:
        """Tilts at some sessions."""
        return torch.tanh(super().forward(h))[..., 0]
