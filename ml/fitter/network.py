"""The whole network: an extractor and its three heads.

For: building it from plain values, and one forward pass. Not for: training it or choosing inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from backtest.params import ParamGrid
from ml.fitter.extractor import EXTRACTORS
from ml.fitter.heads import LEAST_SHARE, OutcomeHead, ParameterHeads, RegimeHead, SetSpace, TiltHead


class Said(NamedTuple):
    """What the network says of each asked session.

    Parameters
    ----------
    mix : float32, ``[batch, asked, param + 1]``
        Logarithms of weights that sum to 1; the last is cash.
    outcome : float32, ``[batch, asked, 3]``
        Mean return, Sharpe ratio and turnover of the next sessions, in training deviations.
    regime : float32, ``[batch, asked, 6]``
        Logits of ``heads.REGIME_WORDS``.
    """

    mix: Tensor
    outcome: Tensor
    regime: Tensor


class PolicyNetwork(nn.Module):
    """From windows of the market's state to a mix over a strategy's candidate sets.

    Parameters
    ----------
    grid : ParamGrid
        Candidate sets.
    inputs : int
        Columns of the market's state.
    extractor : str
        Name in ``EXTRACTORS``.
    components : int
        Of a mix, beside cash.
    dropout : float
    beside_table : bool
        Whether mixes are those of the regime table, tilted; else the heads' own.
    seed : int
        Of the first weights; two networks of one seed are equal.
    """

    def __init__(
        self,
        grid: ParamGrid,
        *,
        inputs: int,
        extractor: str,
        components: int,
        dropout: float,
        beside_table: bool,
        seed: int,
    ):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.extractor = EXTRACTORS.get(extractor)(inputs, dropout=dropout)
            space = SetSpace.of(grid)
            self.parameters_head = ParameterHeads(space, sets=grid.size, components=components)
            self.outcome = OutcomeHead()
            self.regime = RegimeHead()
            self.tilt = TiltHead() if beside_table else None

    def forward(self, x: Tensor, at: Tensor, table: Tensor) -> Said:
        """Ask about the sessions ``at`` of windows ``x [batch, time, input]``.

        Parameters
        ----------
        x : float32, ``[batch, time, input]``
        at : int64, ``[asked]``
        table : float32, ``[batch, asked, param + 1]``
            What the regime table proposes at these sessions, cash last.
        """
        h = self.extractor(x, at)
        mix = self.parameters_head(h)
        if self.tilt is not None:
            known = table.clamp_min(LEAST_SHARE).log()
            mix = nn.functional.log_softmax(known + self.tilt(h)[..., None] * mix, dim=-1)
        return Said(mix, self.outcome(h), self.regime(h))
