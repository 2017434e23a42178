"""Prove that no registered part sees the future, and that the detectors see planted leaks.

For: ``weathervane leaks``. Not for: how it is proven (``ml.proof``).
"""

from collections.abc import Callable
from typing import Any

from backtest.errors import LookaheadError


def prove_parts(
    part: str | None = None, *, cuts: int = 8, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Try every part, or one of them, at so many cuts.

    Returns
    -------
    dict
        ``cuts`` (dates) and ``findings``: kind, name, detector, cuts and guilty dates of each.

    Raises
    ------
    UnknownNameError
        No part has this name.
    """
    from ml.proof.leak_market import market
    from ml.proof.leaks import cuts_of, named, prove
    from ml.proof.warm_up import WARM_UPS, prove_warm_up

    chosen, panel = named(part), market()
    at = cuts_of(panel, cuts)
    found = prove(chosen, panel, at, progress=progress)
    features = [one.name for one in chosen if one.kind == "feature"]
    if features:
        found += prove_warm_up(features, market(sessions=max(WARM_UPS) + 60, whole=True))
    return {
        "cuts": sorted(str(panel.dates[t]) for t in at),
        "findings": [vars(one) for one in found],
    }


def leak_lines(found: dict[str, Any]) -> list[str]:
    """Say what was tried per kind, and name the guilty."""
    lines, kinds = [], dict.fromkeys(one["kind"] for one in found["findings"])
    for kind in kinds:
        rows = [one for one in found["findings"] if one["kind"] == kind]
        names = {one["name"] for one in rows}
        bad = sorted({one["name"] for one in rows if one["guilty"]})
        said = "causal" if not bad else f"LEAKS: {', '.join(bad)}"
        lines.append(f"{kind:<10} {len(names):>3} parts x {rows[0]['cuts']} cuts  {said}")
    return lines


def refuse_leaks(found: dict[str, Any]) -> None:
    """Raise where a part is guilty.

    Raises
    ------
    LookaheadError
        ``E_LEAK``, naming every guilty part with a date and the detector that caught it.
    """
    bad = [
        f"{one['kind']} {one['name']} ({one['detector']}, {one['guilty'][0]})"
        for one in found["findings"]
        if one["guilty"]
    ]
    if bad:
        raise LookaheadError(
            f"{len(bad)} findings of a look into the future",
            where="; ".join(bad),
            fix="mend the part: what it says of a session may read bars up to that session only",
            code="E_LEAK",
        )


def spring_traps(*, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Run the planted-leak suite.

    Returns
    -------
    dict
        ``found`` (a row per trap, twin and detector), ``table`` (lines of Markdown) and
        ``faults``: leaks that were not seen, honest twins that were accused.
    """
    from ml.proof.traps import SEEDS, TRAPS, catch, faults, trap_table

    rows = catch(TRAPS, SEEDS, progress=progress)
    return {
        "seeds": list(SEEDS),
        "found": [{**vars(one), "accused": one.accused} for one in rows],
        "table": trap_table(rows),
        "faults": faults(rows, TRAPS),
    }


def refuse_faults(found: dict[str, Any]) -> None:
    """Raise where a detector has missed a planted leak or accused an honest twin.

    Raises
    ------
    LookaheadError
        ``E_LEAK``, naming every such detector and trap.
    """
    if found["faults"]:
        raise LookaheadError(
            f"{len(found['faults'])} faults of the leak detectors",
            where="; ".join(found["faults"]),
            fix="mend the detector before trusting what it says of other parts",
            code="E_LEAK",
        )
