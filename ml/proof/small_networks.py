"""Networks small enough to be trained inside the proof.

For: a policy whose learner ``neural`` fits within a few hundred sessions, in a fraction of a
second, for itself and for every learner that listens to it. Not for: judging what networks earn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.learner import Learner
from ml.learners.neural import Neural, NeuralSelection
from ml.policy import PolicyConfig

if TYPE_CHECKING:
    from ml.fitter.config import FitterConfig


@dataclass(frozen=True)
class SmallNeural(Neural):
    """One network, few epochs, short windows and early fits; everything else is as it is."""

    least: int = 270
    refit: int = 80

    def fitter_config(self) -> FitterConfig:
        """Both stages, as short as they can be."""
        from ml.fitter.config import FitterConfig
        from ml.fitter.lessons import Windows
        from ml.train import TrainConfig

        return FitterConfig(
            extractor=self.extractor,
            components=2,
            seeds=1,
            refine_epochs=1,
            windows=Windows(sequence=30, overlap=15, step=5, held_out=30, passes=1),
            training=TrainConfig(epochs=2, batch=16),
        )


class SmallNetworks(PolicyConfig):
    """The same policy, but that its networks are small, whoever listens to them."""

    def build(self) -> Learner:
        """Make the learner: :class:`SmallNeural` for ``neural``, any other one as it is."""
        made = super().build()
        if not isinstance(made, Neural):
            return made
        return SmallNeural(table=made.table, members=made.members)


def training(selection: NeuralSelection) -> list[npt.NDArray[Any]]:
    """Weights of every fit that was kept, and every loss on the way to them.

    The losses count: where no epoch validates better than none, the weights are the first ones,
    which no history could have changed.
    """
    out: list[npt.NDArray[Any]] = []
    for fitter in selection.fitters.values():
        out += [*fitter.arrays().values(), np.array([str(fitter.history)])]
    return out
