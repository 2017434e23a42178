"""What a neural fitter is: every setting that defines one.

For: the values that a saved fitter, a policy's hash and the command line share. Not for: data.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from backtest.errors import NotFittedError
from ml.fitter.lessons import Windows
from ml.train import TrainConfig

Refinement = Literal["gradient", "evolution", "reinforce", "none"]


@dataclass(frozen=True)
class FitterConfig:
    """What a fitter is.

    Parameters
    ----------
    extractor : str
        Name in ``EXTRACTORS``.
    components : int
        Of a mix, beside cash.
    dropout : float
    seeds : int
        Networks of the ensemble.
    refinement : str
        Stage two: ``gradient``, ``evolution``, ``reinforce``, or ``none``.
    pretrained : bool
        Whether there is a stage one; without it, learning is by reinforcement alone.
    beside_table : bool
        Whether the network tilts the regime table's mix; without, its own heads are all there is.
    refine_epochs, warm_epochs : int
        Most of stage two, and of each stage of a refit that goes on from earlier weights.
    pull : float
        Weight, in stage two, of the divergence from what stage one learned from.
    clear : float
        Standard errors by which stage two must earn more than stage one on the sessions kept back.
        The epoch is chosen on the same sessions: one chance in twenty, shared by 15, is 2.9.
    book : str
        In which the candidate sets were run; who asks the fitter must run them likewise.
    cost : float
        Per side, decimal, that the sets and stage two paid.
    regime_model : str
        Name in ``REGIMES``: whose words the network reads, and whose table teaches it.
    windows : Windows
    training : TrainConfig
    """

    extractor: str = "tcn"
    components: int = 8
    dropout: float = 0.1
    seeds: int = 2
    refinement: Refinement = "gradient"
    pretrained: bool = True
    beside_table: bool = True
    refine_epochs: int = 15
    warm_epochs: int = 10
    pull: float = 20.0
    clear: float = 3.0
    book: str = "dollar-neutral"
    cost: float = 0.0005
    regime_model: str = "hmm"
    windows: Windows = field(default_factory=Windows)
    training: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=60))

    @classmethod
    def of(cls, values: dict[str, Any]) -> FitterConfig:
        """Rebuild from :func:`dataclasses.asdict`.

        Raises
        ------
        NotFittedError
            ``E_SCHEMA``: of a version with other settings.
        """
        own = dict(values)
        unlike = {field.name for field in fields(cls)} ^ set(own)
        for name, part in (("windows", Windows), ("training", TrainConfig)):
            unlike |= {field.name for field in fields(part)} ^ set(own.get(name, {}))
        if unlike:
            raise NotFittedError(
                "the fitter was saved by another version",
                where=f"settings that only one of both has: {', '.join(sorted(unlike))}",
                fix="train again",
                code="E_SCHEMA",
            )
        own["windows"], own["training"] = Windows(**own["windows"]), TrainConfig(**own["training"])
        return cls(**own)
