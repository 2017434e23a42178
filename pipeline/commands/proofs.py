"""The scorecard and the board from the command line.

For: ``weathervane prove`` and ``weathervane board``. Not for: making them
(``pipeline.scorecards``, ``pipeline.boards``).
"""

from pathlib import Path
from typing import Any

from backtest.errors import WeathervaneError
from pipeline.boards import run_board
from pipeline.commands.files import results_folder
from pipeline.scorecards import Proof, run_proof


def prove_worlds(out: Path, **asked: Any) -> Proof:
    """Make the scorecard in a folder; arguments as :func:`pipeline.scorecards.run_proof`."""
    return run_proof(results_folder(out), **asked)


def proof_lines(proof: Proof, out: Path) -> list[str]:
    """Say what was judged."""
    lines = []
    for goal in proof.values["goals"]:
        value = "-" if goal["value"] is None else f"{goal['value']:.3f}"
        sign = ">=" if goal["better"] == "above" else "<="
        said = f"{goal['status']:<10} {goal['world']:<9} {goal['name']}"
        lines.append(f"{said}: {value} ({sign} {goal['limit']:g}, {goal['seeds']} tried)")
    for world, found in proof.values["worlds"].items():
        rate = found["promoted"]
        lines.append(f"{world}: promoted {rate['count']} of {rate['of']}")
    return [*lines, f"page: {out / 'scorecard.html'}"]


def refuse_missed(proof: Proof) -> None:
    """Raise where a goal was missed.

    Raises
    ------
    WeathervaneError
        ``E_PROOF``, naming every goal that was.
    """
    if proof.missed:
        raise WeathervaneError(
            f"{len(proof.missed)} goals missed",
            where="; ".join(proof.missed),
            fix="read the page; the promise is not kept on these markets",
            code="E_PROOF",
        )


def make_board(out: Path, *, home: Path | None = None, **asked: Any) -> dict[str, Any]:
    """Make the board in a folder; arguments as :func:`pipeline.boards.run_board`.

    With ``home``, what is looked at on bars handed in counts in the ledger of that home.
    """
    from pipeline.config import load_settings, open_home
    from pipeline.store import Store

    def ledger(source: Path) -> Store:
        told = load_settings(path=source)
        return Store(open_home(home), universe=told.universe, calendar=told.data.calendar)

    return run_board(results_folder(out), ledger=None if home is None else ledger, **asked)


def board_lines(values: dict[str, Any], out: Path) -> list[str]:
    """Say of every learner on every market whether it beats the best simple one."""
    from ml.proof.board_page import unjudged

    small = unjudged({market: found["judged"] for market, found in values.items()})
    lines = [] if small is None else [small]
    for market, found in values.items():
        made_up = ", SYNTHETIC" if found["synthetic"] else ""
        lines.append(f"{market}: {found['markets']} walked{made_up}")
        standing = next(iter(found["strategies"].values()))
        lines += [
            f"  {name:<20} Sharpe {one['sharpe']:+.2f}  {one['verdict']}"
            for name, one in standing.items()
        ]
        if "ledger" in found:
            told = found["ledger"]
            lines.append(f"  ledger: {told['new']} new of {told['trials']} ({told['universe']})")
    return [*lines, f"page: {out / 'board.html'}"]
