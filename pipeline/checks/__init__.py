"""The promises: every asset check, one file per stage.

For: what must hold before an asset's content may flow on. Not for: the rules that judge single
bars (``backtest.market.quality``).
"""

from pipeline.checks.export import (
    disagreements,
    document_is_valid,
    schema_errors,
    sessions_of_run,
)
from pipeline.checks.ingest import (
    every_session_has_bars,
    history_is_long,
    keys_are_unique,
    quarantine_is_small,
    rows_are_accounted_for,
    symbols_were_answered,
)
from pipeline.checks.quality import (
    currency_changes_are_few,
    duplicates_are_few,
    gaps_are_few,
    jumps_are_few,
    range_faults_are_few,
    stale_prices_are_few,
    zero_volumes_are_few,
)
from pipeline.checks.research import (
    mixes_are_sound,
    nothing_sees_the_future,
    probabilities_sum_to_one,
    regimes_are_causal,
)
from pipeline.checks.severity import FEW, MANY, grade

CHECKS = (
    symbols_were_answered,
    rows_are_accounted_for,
    keys_are_unique,
    quarantine_is_small,
    duplicates_are_few,
    jumps_are_few,
    currency_changes_are_few,
    gaps_are_few,
    stale_prices_are_few,
    zero_volumes_are_few,
    range_faults_are_few,
    every_session_has_bars,
    history_is_long,
    probabilities_sum_to_one,
    regimes_are_causal,
    nothing_sees_the_future,
    mixes_are_sound,
    document_is_valid,
)

__all__ = [
    "CHECKS",
    "FEW",
    "MANY",
    "currency_changes_are_few",
    "disagreements",
    "document_is_valid",
    "duplicates_are_few",
    "every_session_has_bars",
    "gaps_are_few",
    "grade",
    "history_is_long",
    "jumps_are_few",
    "keys_are_unique",
    "mixes_are_sound",
    "nothing_sees_the_future",
    "probabilities_sum_to_one",
    "quarantine_is_small",
    "range_faults_are_few",
    "regimes_are_causal",
    "rows_are_accounted_for",
    "schema_errors",
    "sessions_of_run",
    "stale_prices_are_few",
    "symbols_were_answered",
    "zero_volumes_are_few",
]
