"""Records of the decision path as plain values, and back: what a fold leaves for the export.

For: keeping each session's decision, verdict and exported set in a file, so that the document of
any session is written from the very fold that the evidence came from. Not for: the document
itself (``document``, ``entry``).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.params import ParamGrid
from ml.export.records import (
    Criterion,
    Decision,
    ParameterSet,
    Regime,
    RegimeRow,
    Verdict,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """One session of one strategy's fold.

    Parameters
    ----------
    decision : Decision
        The proposal.
    verdict : Verdict
        In force at that close.
    exported : ParameterSet
        What is run from the next open on.
    promoted_at : date or None
        Session of the promotion, if it had happened by then.
    """

    decision: Decision
    verdict: Verdict
    exported: ParameterSet
    promoted_at: date | None


def packed(step: Step) -> dict[str, Any]:
    """Plain JSON values of a step; weights are kept as (row, weight) pairs."""
    decision = step.decision
    kept = {
        f.name: getattr(decision, f.name)
        for f in dataclasses.fields(decision)
        if f.name not in ("grid", "weights", "regime", "by_regime")
    }
    return {
        "decision": {
            **kept,
            "weights": _sparse(decision.weights),
            "regime": vars(decision.regime),
            "by_regime": {name: vars(row) for name, row in decision.by_regime.items()},
        },
        "verdict": {
            **vars(step.verdict),
            "criteria": [_plain(line) for line in step.verdict.criteria],
        },
        "exported": {**vars(step.exported), "weights": _sparse(step.exported.weights)},
        "promoted_at": None if step.promoted_at is None else step.promoted_at.isoformat(),
    }


def unpacked(values: dict[str, Any], grid: ParamGrid, *, candidates: int) -> Step:
    """Rebuild a step; ``grid`` holds all sets of the walk, its first ``candidates`` may be mixed.

    Examples
    --------
    >>> step = unpacked(packed(step), grid, candidates=140)  # doctest: +SKIP
    """
    given, made = dict(values["decision"]), dict(values["exported"])
    decision = Decision(
        **{
            **given,
            "grid": grid.take(np.arange(candidates)),
            "weights": _dense(given["weights"], candidates),
            "regime": Regime(**given["regime"]),
            "by_regime": {name: RegimeRow(**row) for name, row in given["by_regime"].items()},
        }
    )
    lines = tuple(Criterion(**line) for line in values["verdict"]["criteria"])
    promoted_at = values["promoted_at"]
    return Step(
        decision=decision,
        verdict=Verdict(**{**values["verdict"], "criteria": lines}),
        exported=ParameterSet(**{**made, "weights": _dense(made["weights"], grid.size)}),
        promoted_at=None if promoted_at is None else date.fromisoformat(promoted_at),
    )


def _plain(line: Criterion) -> dict[str, Any]:
    """Plain values of a line; its numbers may be NumPy's."""
    return {n: v.item() if hasattr(v, "item") else v for n, v in vars(line).items()}


def _sparse(weights: Floats) -> list[list[float]]:
    return [[int(p), float(weights[p])] for p in np.flatnonzero(weights)]


def _dense(pairs: list[list[float]], size: int) -> Floats:
    weights = np.zeros(size)
    for row, weight in pairs:
        weights[int(row)] = weight
    return weights
