"""For: parameter documents made by the decision path or by hand. Not for: files."""

import functools
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from ml.decision import TruthTrack, decide
from ml.export.document import ParameterDocument, StrategyEntry, build_document
from ml.export.entry import entry_of, regime_of
from ml.export.records import Criterion, Decision, ParameterSet, Verdict
from ml.policy import PolicyConfig
from tests.ml.histories import planted_history, small_grid, true_track

GRID = small_grid()
HELD = Verdict(
    promote=False,
    criteria=(
        Criterion("observations", 12.0, 252.0, "above", False),
        Criterion("psr", None, 0.95, "above", False, "no variance"),
        Criterion("drawdown", 0.1, 0.35, "below", True),
    ),
    observations=12,
    smallest_gain=1.5,
    champion="default",
)
PROMOTED = replace(HELD, promote=True, observations=300)


@functools.cache
def decision(sessions: int = 400) -> Decision:
    """Real proposal on a small planted history."""
    truth: TruthTrack = true_track(sessions)
    policy = PolicyConfig(train=252)
    history = planted_history(sessions)
    return decide(sessions - 1, history, policy, regimes=truth)["swing_0"]


def one_set(row: int, *, share: float = 1.0) -> np.ndarray:
    """Weights ``[param]`` that hold one set of the grid."""
    weights = np.zeros(GRID.size)
    weights[row] = share
    return weights


def held_entry(row: int = 0, *, previous: StrategyEntry | None = None) -> StrategyEntry:
    """Entry of a champion that is kept."""
    exported = ParameterSet("swing_0", "default", one_set(row), "hold")
    return entry_of(decision(), HELD, exported, grid=GRID, previous=previous, promoted_at=None)


def promoted_entry(*, previous: StrategyEntry | None = None) -> StrategyEntry:
    """Entry of a proposal that was let out whole."""
    proposal = decision()
    exported = ParameterSet("swing_0", "regime_aware", proposal.weights, "update")
    since = date(2015, 6, 1)
    return entry_of(proposal, PROMOTED, exported, grid=GRID, previous=previous, promoted_at=since)


def document(
    session: date = date(2016, 2, 4),
    *,
    entry: StrategyEntry | None = None,
    previous: ParameterDocument | None = None,
    **changes: Any,
) -> ParameterDocument:
    """Document of one strategy."""
    facts: dict[str, Any] = {
        "session": session,
        "created_at": datetime(2016, 2, 4, 22, 5, tzinfo=UTC),
        "universe": "synthetic-clear",
        "profile": "demo",
        "regime": regime_of(decision()),
        "model": {"name": "weathervane-parameters", "version": 3, "alias": "champion"},
        "data": {
            "snapshot": "5" * 64,
            "first": "2015-01-01",
            "last": session,
            "symbols": 20,
            "quarantined": 2,
            "synthetic": True,
        },
        "code": {"version": "0.1.0", "revision": "abc", "lock": "d" * 64},
        "previous_sha256": previous.content_sha256 if previous else None,
    }
    return build_document({"rsi_swing": entry or held_entry()}, **{**facts, **changes})
