"""The proof on markets whose right answer is known, as an asset of its own.

For: ``scorecard``, which is started by hand or by the job ``prove``. Not for: the daily chain,
which does not need it, or the numbers (``ml.proof``).
"""

import dagster as dg
from pydantic import Field

from pipeline.boundary import OWNERS, at_boundary, picture, table_of
from pipeline.resources import SettingsResource

GROUP = "proof"
GOAL_COLUMNS = ("world", "name", "status", "value", "limit", "seeds")


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
