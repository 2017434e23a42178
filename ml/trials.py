"""What counts as a trial: the pure side of the trial ledger.

For: hashes that name a configuration, the rows that a walk-forward adds, and how many policies
were ever looked at on a span. Not for: keeping the ledger (``pipeline.store``).

Two kinds. ``candidate``: a parameter set scored on history; it feeds statistics of "best of
grid". ``policy``: a stream of out-of-sample decisions; it feeds the gate. The key is (kind,
strategy, configuration hash, universe, span start); scoring again moves the span's end, so a
re-run adds nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import polars as pl

TRIAL_COLUMNS = {
    "kind": pl.String,
    "strategy": pl.String,
    "config_hash": pl.String,
    "span_start": pl.Date,
    "span_end": pl.Date,
    "sharpe": pl.Float64,
    "observations": pl.Int64,
}
KEY = ("kind", "strategy", "config_hash", "span_start")


@dataclass(frozen=True)
class Trial:
    """One row of the ledger, within one universe; ``sharpe`` is per session, None if undefined."""

    kind: Literal["candidate", "policy"]
    strategy: str
    config_hash: str
    span_start: date
    span_end: date
    sharpe: float | None
    observations: int


def config_hash(configuration: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration's canonical JSON.

    Examples
    --------
    >>> config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    True
    """
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def trial_frame(trials: Iterable[Trial]) -> pl.DataFrame:
    """Rows as a frame with ``TRIAL_COLUMNS``."""
    rows = [vars(trial) for trial in trials]
    return pl.DataFrame(rows, schema=TRIAL_COLUMNS)


def merged(ledger: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    """Add fresh trials to a ledger of one universe; a known key only moves its span's end.

    Returns
    -------
    polars.DataFrame
        ``TRIAL_COLUMNS``, one row per key, sorted by key.
    """
    schema = pl.Schema(TRIAL_COLUMNS)
    both = pl.concat([one.select(*schema).cast(schema) for one in (ledger, fresh)])
    return both.sort(*KEY, "span_end", maintain_order=True).unique(
        KEY, keep="last", maintain_order=True
    )


def policies_known(ledger: pl.DataFrame, strategy: str, *, since: date) -> dict[str, date]:
    """Distinct policies of a strategy whose record reaches past ``since``.

    Returns
    -------
    dict of str to date
        Configuration hash, and the day from which on it counts: when it was first looked at
        where the ledger says so (``known_at``), never before its record begins.
    """
    looked = pl.col("known_at").cast(pl.Date) if "known_at" in ledger.columns else "span_start"
    seen = (
        ledger.filter(
            (pl.col("kind") == "policy")
            & (pl.col("strategy") == strategy)
            & (pl.col("span_end") >= since)
        )
        .group_by("config_hash")
        .agg(pl.max_horizontal("span_start", looked).min())
    )
    return dict(seen.iter_rows())


def policies_looked_at(known: Mapping[str, date], own: Collection[str], until: date) -> int:
    """Count distinct policies that had been looked at by ``until``: the known ones and our own."""
    return len(set(own) | {name for name, first in known.items() if first <= until})
