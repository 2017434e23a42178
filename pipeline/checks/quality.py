"""What was found in the bars, family by family of the rules, against the profile's limits.

For: one check for each family, with its severity. Not for: the rules (``backtest.market.quality``)
or the limits (``pipeline.config.ChecksConfig``).
"""

import dagster as dg

from pipeline.boundary import at_boundary, bar_of, table_of
from pipeline.resources import SettingsResource, SnapshotsResource

SHOWN = 10
"""Findings that a check names."""


def _judge(
    settings: SettingsResource, snapshots: SnapshotsResource, family: str
) -> dg.AssetCheckResult:
    """Compare the share of rows that a family of rules found with its limits."""
    import polars as pl

    from backtest.market.quality import RULES

    files = snapshots.open()
    snapshot = files.current()
    rules = [name for name, rule in RULES.items() if rule.family == family]
    found = files.findings(snapshot).filter(pl.col("rule").is_in(rules))
    share = found.height / max(snapshot.rows + snapshot.quarantined, 1)
    limits = getattr(settings.read().checks, family)
    warn, refuse = limits if isinstance(limits, tuple) else (limits, None)
    severe = refuse is not None and share > refuse
    counted = (
        found.group_by("rule").len("findings").sort("findings", "rule", descending=[True, False])
    )
    newest = found.sort("date", "symbol", descending=[True, False], nulls_last=True).head(SHOWN)
    named = [{**row, "bar": bar_of(row)} for row in newest.rows(named=True)]
    example = "; newest {bar} {rule} {detail}".format(**named[0]).rstrip() if named else ""
    return dg.AssetCheckResult(
        passed=share <= warn,
        severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        description=f"{found.height:,} findings, {share:.3%} of the rows (warns above {warn:.3%}"
        + (f", refuses above {refuse:.3%})" if refuse is not None else ")")
        + example,
        metadata={
            "findings": found.height,
            "share": share,
            "by rule": table_of(counted.columns, counted.rows(named=True)),
            "newest": table_of(("bar", "rule", "detail"), named),
        },
    )


def _check(name: str, family: str, description: str, *, blocking: bool) -> dg.AssetChecksDefinition:
    """Make the check of one family."""

    @dg.asset_check(name=name, asset="bars", blocking=blocking, description=description)
    @at_boundary
    def judged(
        context: dg.AssetCheckExecutionContext,
        settings: SettingsResource,
        snapshots: SnapshotsResource,
    ) -> dg.AssetCheckResult:
        return _judge(settings, snapshots, family)

    return judged


duplicates_are_few = _check(
    "duplicates_are_few", "duplicates", "Few sessions stand twice.", blocking=True
)
jumps_are_few = _check(
    "jumps_are_few", "jumps", "Few prices leave their level by mistake.", blocking=True
)
currency_changes_are_few = _check(
    "currency_changes_are_few", "currency", "Few rows change their currency.", blocking=True
)
gaps_are_few = _check("gaps_are_few", "gaps", "Few sessions lack a bar.", blocking=False)
stale_prices_are_few = _check(
    "stale_prices_are_few", "stale", "Few prices stand still.", blocking=False
)
zero_volumes_are_few = _check(
    "zero_volumes_are_few", "volume", "Few rows have no volume.", blocking=False
)
range_faults_are_few = _check(
    "range_faults_are_few", "range", "Few opens and closes leave low to high.", blocking=False
)
