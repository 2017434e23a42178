"""Socket of extractors: causal networks from a window of the market's state to features.

For: what an extractor must offer, the registry, and the causal convolution that they share. Not
for: what is read off the features (``heads``).
"""

from __future__ import annotations

import abc
from typing import Final

import torch
from torch import Tensor, nn

from backtest.registry import Registry

HIDDEN: Final = 128
"""Features per session that every extractor makes."""


class Extractor(nn.Module, abc.ABC):
    """From sessions to features; a session's features depend on sessions up to it only.

    Parameters
    ----------
    inputs : int
        Columns of the market's state.
    dropout : float
        Share of features that a training step leaves out.
    """

    def __init__(self, inputs: int, *, dropout: float):
        super().__init__()

    @abc.abstractmethod
    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        """Features of some sessions.

        Parameters
        ----------
        x : float32, ``[batch, time, input]``
        at : int64, ``[asked]``
            Sessions whose features are wanted.

        Returns
        -------
        float32, ``[batch, asked, HIDDEN]``
        """


class CausalConv(nn.Conv1d):
    """Convolution over time that looks back only: what is missing on the left counts as zero.

    Unpadded, a kernel of three shortens a window by two sessions; padded on both sides, it sees
    tomorrow.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int, dilation: int = 1):
        super().__init__(inputs, outputs, kernel, dilation=dilation)
        self.reach = (kernel - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        """From ``[batch, input, time]`` to ``[batch, output, time]``."""
        out: Tensor = super().forward(nn.functional.pad(x, (self.reach, 0)))
        return out


def later(at: Tensor, sessions: int) -> Tensor:
    """Mask of what attention may not see: sessions after each asked one; ``[asked, time]``."""
    return torch.arange(sessions, device=at.device)[None, :] > at[:, None]


EXTRACTORS: Registry[type[Extractor]] = Registry("extractor", "ml.fitter.extractors")
