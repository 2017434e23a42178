"""What a reader of a search is told beside its numbers: notes, warnings, lines for the terminal.

For: sentences of ``tune.json``, its page and the command line. Not for: computing (``ml.tuning``)
or files (``tuning_files``).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.commands.tuning_study import Study

ROLES = ("chosen", "highest", "default")

FEW_SESSIONS = 100.0
"""Effective sessions of a regime below which a ratio over them says little."""


def merit_of(names: tuple[str, ...]) -> str:
    """Say what the sets were ranked by."""
    if len(names) == 1:
        return names[0]
    return f"the mean of {', '.join(names)}, each scaled to [0, 1]"


def notes_of(study: "Study", told: dict[str, Any]) -> list[str]:
    """What else a reader should know of a search, from the content of ``tune.json`` so far."""
    notes = [] if study.loaded is None else list(study.loaded.notes)
    notes += study.notes
    if study.synthetic:
        notes.append("a synthetic market: its numbers say nothing about a real one")
    if study.asked.regime is not None:
        notes.append(
            f"judged by sessions of {study.asked.regime!r}, weighted by the probability filtered"
            " at the close before; luck is told of all sessions"
        )
        notes.append(_effective(told))
    return notes


def _effective(told: dict[str, Any]) -> str:
    """How many sessions stand behind numbers of one regime."""
    from ml.objective import LEAST_SESSIONS

    seen, held = told["training"], told["held_back"]
    said = f"the regime fills {seen['effective']:.0f} of {seen['bars']} training sessions"
    if told["timeframes"][0] == "1w":
        said = said.replace("sessions", "weeks")
    if held is None:
        return said
    said += f" and {held['effective']:.0f} of {held['bars']} kept back"
    if held["effective"] < LEAST_SESSIONS:
        said += f": too few to say anything of those, a ratio needs {LEAST_SESSIONS:.0f}"
    return said


def warnings_of(told: dict[str, Any], signs: dict[str, float]) -> list[str]:
    """What speaks against running the choice.

    Parameters
    ----------
    told : dict
        Content of ``tune.json`` so far.
    signs : dict of str to float
        By objective: -1 where lower values are better.
    """
    out = []
    seen, held = told["training"], told["held_back"]
    if seen["effective"] is not None and seen["effective"] < FEW_SESSIONS:
        out.append(
            f"only {seen['effective']:.0f} effective sessions of the regime in training: below"
            f" {FEW_SESSIONS:.0f} the choice is mostly chance"
        )
    chosen = told["chosen"]["metrics"]
    if chosen["turnover"] == 0.0 and not chosen.get("trades"):
        out.append("the choice never trades: its book is flat in training")
    if told["default"]["feasible"]:
        beaten = _better(told["default"], told["chosen"], signs)
        if beaten:
            out.append(f"the default is better in every objective in training: {beaten}")
    if held is not None:
        beaten = _better(held["default"], held["chosen"], signs)
        if beaten:
            out.append(f"the default did better on the sessions kept back: {beaten}")
    return out


def _better(one: dict[str, Any], other: dict[str, Any], signs: dict[str, float]) -> str:
    """Numbers of both where one beats the other in all objectives that are told; else nothing."""
    said = []
    for name, value in one["objectives"].items():
        against = other["objectives"][name]
        if value is None or against is None or signs[name] * value <= signs[name] * against:
            return ""
        said.append(f"{name} {value:.4g} against {against:.4g}")
    return ", ".join(said)


def sets_of(number: int) -> str:
    """Put a number before its noun."""
    return f"{number} set" if number == 1 else f"{number} sets"


def sought(objectives: dict[str, float | None]) -> str:
    """Objectives with their values, as one clause."""
    return ", ".join(
        f"{name} {'undefined' if value is None else format(value, '.4g')}"
        for name, value in objectives.items()
    )


def tune_lines(told: dict[str, Any], out: Path, *, resumed: int) -> list[str]:
    """Say in a few lines what a search found.

    Parameters
    ----------
    told : dict
        Content of ``tune.json``, and the ledger where one was asked for.
    out : pathlib.Path
    resumed : int
        Sets that a journal held already.
    """
    mark = "SYNTHETIC market: " if told["synthetic"] else ""
    lines = [
        f"{mark}{told['market']}, trained on {told['training']['first']} to "
        f"{told['training']['last']}"
    ]
    if resumed:
        lines.append(f"went on after {sets_of(resumed)} that the journal held")
    lines.append(
        f"{sets_of(told['trials'])} by {told['searcher']}, {told['feasible']} feasible, "
        f"{len(told['front'])} on the front"
    )
    plain = told["objectives"] == ["sharpe"]
    for role in ROLES:
        held = told["held_back"].get(role) if told["held_back"] else None
        seen = told[role]
        beyond = "" if held is None else f", kept back {_ratio(held['sharpe'])}"
        lines.append(
            f"  {role:<8} Sharpe {_ratio(seen['metrics']['sharpe'])} in training{beyond}: "
            f"{json.dumps(seen['parameters'])}"
        )
        if not plain:
            lines.append(f"           {sought(seen['objectives'])} in training")
    if not plain:
        lines.append(f"highest in {told['ranked_by']}; chosen: on the highest plateau of it")
    best = told["best_of_search"]
    lines.append(
        f"best of {sets_of(best['candidates'])}: deflated Sharpe probability "
        f"{_ratio(best['dsr'])}, PBO {_ratio(best['pbo'])}"
    )
    lines += [f"warning: {warning}" for warning in (*told["edges"], *told["warnings"])]
    lines += [f"note: {note}" for note in told["notes"]]
    if "ledger" in told:
        ledger = told["ledger"]
        lines.append(f"ledger: {ledger['new']} new of {ledger['trials']} ({ledger['universe']})")
    return [*lines, f"files: {out}"]


def _ratio(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
