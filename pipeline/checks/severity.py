"""How bad a share of defects is.

For: the words that checks share. Not for: any check.
"""

import dagster as dg

FEW = 0.01
"""Share of rows or sessions up to which a defect is a warning, not an error."""
MANY = 0.50


def grade(share: float, *, most: float = MANY) -> dg.AssetCheckSeverity:
    """Warn of few, refuse many."""
    return dg.AssetCheckSeverity.ERROR if share > most else dg.AssetCheckSeverity.WARN
