"""Convolution, recurrence and attention: the extractor of the design.

For: ``Conv1d(64, kernel 3) -> LSTM(128, 2 layers) -> attention (4 heads)``, each causal. Not for:
a reach that is known beforehand; the other extractor has one.
"""

from __future__ import annotations

from torch import Tensor, nn

from ml.fitter.extractor import EXTRACTORS, HIDDEN, CausalConv, Extractor, later

_CHANNELS, _LAYERS, _HEADS = 64, 2, 4


@EXTRACTORS.register("conv_lstm")
class ConvLstm(Extractor):
    """Local patterns, then memory, then attention from each asked session to those before it."""

    def __init__(self, inputs: int, *, dropout: float):
        super().__init__(inputs, dropout=dropout)
        self.conv = CausalConv(inputs, _CHANNELS, kernel=3)
        self.lstm = nn.LSTM(_CHANNELS, HIDDEN, _LAYERS, batch_first=True, dropout=dropout)
        self.attention = nn.MultiheadAttention(HIDDEN, _HEADS, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(HIDDEN)

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        """Features of some sessions; see :class:`ml.fitter.extractor.Extractor`."""
        local = nn.functional.gelu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        memory, _ = self.lstm(local)
        asked = memory[:, at]
        seen, _ = self.attention(
            asked, memory, memory, attn_mask=later(at, x.shape[1]), need_weights=False
        )
        out: Tensor = self.norm(asked + seen)
        return out
