"""The proof on markets whose right answer is known, and the board of learners, as assets.

For: ``scorecard`` and ``board``, which are started by hand or by the job ``prove``. Not for: the
daily chain, which does not need them, or the numbers (``ml.proof``).
"""

from typing import Any

import dagster as dg
from pydantic import Field

from pipeline.boundary import OWNERS, at_boundary, picture, table_of
from pipeline.resources import SettingsResource

GROUP = "proof"
GOAL_COLUMNS = ("world", "name", "status", "value", "limit", "seeds")
BOARD_COLUMNS = ("market", "learner", "sharpe", "verdict", "gain", "t", "turnover", "ranking")


class ScorecardConfig(dg.Config):
    """Which markets are walked."""

    short: bool = Field(True, description="Small markets, two seeds: a minute, judges nothing")
    worlds: list[str] = Field([], description="Names of worlds; all of them if empty")
    seeds: int = Field(0, description="Of every world; the form's own number if 0")


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "markdown"},
    code_version="1",
    tags={"layer": "proof"},
)
@at_boundary
def scorecard(
    context: dg.AssetExecutionContext, config: ScorecardConfig, settings: SettingsResource
) -> dg.MaterializeResult:
    """Walk synthetic markets with a known truth: what is there is found, and nothing else."""
    from pipeline.scorecards import run_proof

    folder = settings.open_home().proofs / ("scorecard-short" if config.short else "scorecard")
    proof = run_proof(
        folder,
        seeds=config.seeds or None,
        worlds=config.worlds or None,
        short=config.short,
        progress=lambda done, total: context.log.info(f"{done} of {total} markets"),
    )
    goals = proof.values["goals"]
    met = sum(goal["status"] == "met" for goal in goals)
    return dg.MaterializeResult(
        metadata={
            "summary": f"{met} goals met, {len(proof.missed)} missed, "
            f"{len(goals) - met - len(proof.missed)} not judged",
            "synthetic": True,
            "page": dg.MetadataValue.path(folder / "scorecard.html"),
            "goals": table_of(GOAL_COLUMNS, goals),
            "promoted": dg.MetadataValue.json(
                {world: found["promoted"] for world, found in proof.values["worlds"].items()}
            ),
            "sharpe ratios": picture((folder / "scorecard.png").read_bytes(), "by world"),
        }
    )


class BoardConfig(dg.Config):
    """Which markets and learners are on the board."""

    short: bool = Field(True, description="Small markets, two seeds: a minute, judges nothing")
    worlds: list[str] = Field([], description="Names of worlds; clear, murky, null and constant")
    seeds: int = Field(0, description="Of every world; the board's own number if 0")
    data: list[str] = Field(
        [], description="Paths of bars, each a market of its own; counted in the home's ledger"
    )
    learners: list[str] = Field(
        [], description="Names, beside those that are on every board; all of them if empty"
    )


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "markdown"},
    code_version="1",
    tags={"layer": "proof"},
)
@at_boundary
def board(
    context: dg.AssetExecutionContext, config: BoardConfig, settings: SettingsResource
) -> dg.MaterializeResult:
    """Put every learner on every market: who wins, where, and by how much."""
    from pathlib import Path

    from pipeline.boards import SEEDS, run_board
    from pipeline.config import load_settings
    from pipeline.store import Store

    def ledger(source: Path) -> Store:
        """Of the run's own universe where these are its bars, else of their own."""
        told = settings.read()
        if told.data.path != source.resolve():
            told = load_settings(path=source)
        home = settings.open_home()
        return Store(home, universe=told.universe, calendar=told.data.calendar)

    folder = settings.open_home().proofs / ("board-short" if config.short else "board")
    values = run_board(
        folder,
        seeds=config.seeds or None,
        worlds=config.worlds or SEEDS,
        data=[Path(one) for one in config.data],
        learners=config.learners or None,
        short=config.short,
        progress=lambda done, total: context.log.info(f"{done} of {total} markets"),
        ledger=ledger,
    )
    rows = [
        {"market": market, "learner": name, **{k: one[k] for k in BOARD_COLUMNS[2:]}}
        for market, found in values.items()
        for name, one in next(iter(found["strategies"].values())).items()
    ]
    return dg.MaterializeResult(
        metadata={
            "summary": "; ".join(f"{market}: {_winner(one)}" for market, one in values.items()),
            "page": dg.MetadataValue.path(folder / "board.html"),
            "standings": table_of(BOARD_COLUMNS, rows),
            "sharpe ratios": picture((folder / "board.png").read_bytes(), "by market"),
        }
    )


def _winner(found: dict[str, Any]) -> str:
    """Name the first learner that does not merely hold, with what it is worth."""
    standing = next(iter(found["strategies"].values()))
    name = next(name for name, one in standing.items() if one["rival"] is not None)
    said = f"{name} {standing[name]['sharpe']:+.2f}"
    return said if found["judged"] else f"{said} (not judged)"
