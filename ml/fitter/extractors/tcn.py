"""Temporal convolutions: an extractor of the same size without recurrence.

For: dilated causal convolutions in residual blocks that reach back over 252 sessions. Not for:
memory beyond that reach. Source: Bai, Kolter and Koltun, "An empirical evaluation of generic
convolutional and recurrent networks for sequence modeling" (2018).
"""

from __future__ import annotations

from torch import Tensor, nn

from ml.fitter.extractor import EXTRACTORS, HIDDEN, CausalConv, Extractor

_CHANNELS = 88
_DILATIONS = (1, 2, 4, 8, 16, 32)


class Block(nn.Module):
    """Two convolutions of one dilation beside an identity."""

    def __init__(self, channels: int, *, dilation: int, dropout: float):
        super().__init__()
        self.first = CausalConv(channels, channels, kernel=3, dilation=dilation)
        self.second = CausalConv(channels, channels, kernel=3, dilation=dilation)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[batch, channel, time]`` to the same shape."""
        out = self.drop(nn.functional.gelu(self.first(x)))
        out = self.drop(nn.functional.gelu(self.second(out)))
        both: Tensor = x + out
        return both


@EXTRACTORS.register("tcn")
class Tcn(Extractor):
    """Six residual blocks, dilated 1 to 32."""

    def __init__(self, inputs: int, *, dropout: float):
        super().__init__(inputs, dropout=dropout)
        self.enter = CausalConv(inputs, _CHANNELS, kernel=1)
        self.blocks = nn.Sequential(
            *(Block(_CHANNELS, dilation=d, dropout=dropout) for d in _DILATIONS)
        )
        self.leave = nn.Linear(_CHANNELS, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN)

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        """Features of some sessions; see :class:`ml.fitter.extractor.Extractor`."""
        memory = self.blocks(self.enter(x.transpose(1, 2))).transpose(1, 2)
        out: Tensor = self.norm(self.leave(memory[:, at]))
        return out
