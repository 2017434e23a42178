"""One strategy's part of the parameter document, from the records of the decision path.

For: writing down what ``decide``, ``gate`` and ``transition`` said. Not for: deciding, or the
document as a whole (``document``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from pydantic import ValidationError

from backtest.params import ParamGrid, default_set
from ml.export.document import (
    Aim,
    Confidence,
    Criterion,
    GateEvidence,
    Member,
    Regime,
    RegimeSet,
    StrategyEntry,
    bounds_of,
    refuse,
)
from ml.export.records import Decision, ParameterSet, Verdict, members_of
from ml.export.records import Member as Chosen

PUT_BACK = "; put back in place of what the preceding document ran"


def entry_of(
    decision: Decision,
    verdict: Verdict,
    exported: ParameterSet,
    *,
    grid: ParamGrid,
    previous: StrategyEntry | None,
    promoted_at: date | None,
) -> StrategyEntry:
    """Write down one strategy.

    Parameters
    ----------
    decision : Decision
        The proposal.
    verdict : Verdict
    exported : ParameterSet
        What is to be run; its weights count over ``grid``.
    grid : ParamGrid
        All sets of the walk.
    previous : StrategyEntry, optional
        The strategy's part of the preceding session's document.
    promoted_at : date, optional
        Session from which proposals have been let out.

    Raises
    ------
    ExportRefused
        Out of bounds, not finite, or contradictory.
    """
    run = _aim(members_of(exported.weights, grid))
    resting = previous.parameters if previous else default_set(grid.params)
    put_back = _put_back(exported, run, previous)
    try:
        return StrategyEntry(
            action="update" if put_back else exported.action,
            parameters=run.parameters or resting,
            mix=run.mix,
            by_regime={
                name: RegimeSet(parameters=row.parameters, score=row.score, sessions=row.sessions)
                for name, row in decision.by_regime.items()
            },
            target=_aim(decision.mix),
            previous=Aim(parameters=previous.parameters, mix=previous.mix) if previous else None,
            bounds=bounds_of(grid.params.model_json_schema()),
            confidence=Confidence(
                overall=_share(decision.confidence),
                parameters={n: _share(c) for n, c in decision.parameter_confidence.items()},
            ),
            evidence=_evidence(verdict, exported.champion, promoted_at),
            reason=_reason(verdict, exported, promoted_at) + (PUT_BACK if put_back else ""),
        )
    except ValidationError as error:
        refuse(error)


def regime_of(decision: Decision) -> Regime:
    """Write down the market's regime at a decision's close."""
    regime = decision.regime
    return Regime(
        name=regime.name,
        probabilities={name: _share(p) for name, p in regime.probabilities.items()},
        since=date.fromisoformat(regime.since),
    )


def _put_back(exported: ParameterSet, run: Aim, previous: StrategyEntry | None) -> bool:
    """Say whether the champion takes the place of another mix that was run before.

    It happens where the preceding document came from another fold: bars were restated, settings
    or code changed, or an entry was rolled back. What is run changes, so it is no hold.
    """
    return exported.action == "hold" and previous is not None and previous.mix != run.mix


def _aim(members: Sequence[Chosen]) -> Aim:
    """Write down a mix, heaviest first."""
    mix = tuple(Member(weight=_share(m.weight), parameters=m.parameters) for m in members)
    return Aim(parameters=mix[0].parameters if mix else None, mix=mix)


def _share(value: float) -> float:
    """Cut the rounding that a sum of shares may carry above 1."""
    return 1.0 if 1.0 < value <= 1.0 + 1e-9 else float(value)


def _evidence(verdict: Verdict, champion: str, promoted_at: date | None) -> GateEvidence:
    return GateEvidence(
        champion=champion,
        sessions=verdict.observations,
        smallest_gain=verdict.smallest_gain,
        promoted_at=promoted_at,
        criteria=tuple(Criterion(**_fields(line)) for line in verdict.criteria),
    )


def _fields(line: Any) -> dict[str, Any]:
    """Plain values of one of the gate's lines; its numbers may be NumPy's."""
    return {name: getattr(line, name) for name in Criterion.model_fields}


def _reason(verdict: Verdict, exported: ParameterSet, promoted_at: date | None) -> str:
    """One sentence for a person."""
    if exported.unsure:
        return f"{exported.champion} kept as it is: {exported.unsure}"
    if promoted_at is not None:
        return f"{exported.champion} promoted on {promoted_at}: {verdict.reason}"
    return f"{exported.champion} kept, {verdict.reason}"
