"""What counts as a trial: the pure side of the trial ledger.

For: hashes that name a configuration, the rows that a walk-forward adds, how many policies were
ever looked at on a span, and which batch of challengers a policy was registered in. Not for:
keeping the ledger (``pipeline.store``).

Two kinds. ``candidate``: a parameter set scored on history; it feeds statistics of "best of
grid". ``policy``: a stream of out-of-sample decisions; it feeds the gate. The key is (kind,
strategy, configuration hash, universe, span start); scoring again moves the span's end, so a
re-run adds nothing. A policy that asks to replace what is run today is a challenger: its row names
the champion that it challenges.
"""

from __future__ import annotations

import hashlib
import json
import math
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
    "champion": pl.String,
}
KEY = ("kind", "strategy", "config_hash", "span_start")


@dataclass(frozen=True)
class Trial:
    """One row of the ledger, within one universe.

    ``sharpe`` is per session, None if undefined; ``champion`` is the configuration hash of what a
    challenger was registered against, None for every other trial.
    """

    kind: Literal["candidate", "policy"]
    strategy: str
    config_hash: str
    span_start: date
    span_end: date
    sharpe: float | None
    observations: int
    champion: str | None = None


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


def policies_known(ledger: pl.DataFrame, *, since: date) -> dict[str, date]:
    """Distinct policies, of any strategy, whose record reaches past ``since``.

    Returns
    -------
    dict of str to date
        Configuration hash, and the day from which on it counts: when it was first looked at
        where the ledger says so (``known_at``), never before its record begins.
    """
    seen = (
        _policies(ledger, since)
        .group_by("config_hash")
        .agg(pl.max_horizontal("span_start", pl.col("looked").cast(pl.Date)).min())
    )
    return dict(seen.iter_rows())


def policies_looked_at(known: Mapping[str, date], own: Collection[str], until: date) -> int:
    """Count distinct policies that had been looked at by ``until``: the known ones and our own."""
    return len(set(own) | {name for name, first in known.items() if first <= until})


@dataclass(frozen=True)
class Registration:
    """When a challenger entered the contest with its champion.

    Parameters
    ----------
    batch : int
        Its place among the batches that this champion was ever challenged by, from 1.
    together : int
        Challengers that were registered in the same batch, for any strategy.
    """

    batch: int
    together: int

    def alpha(self, total: float) -> float:
        """Chance of a false promotion that this challenger may use up.

        ``total / together x 6 / (pi^2 batch^2)``: over endlessly many batches the shares sum to
        ``total``, so that trying settings until one passes costs more with every try.

        Examples
        --------
        >>> round(Registration(batch=1, together=1).alpha(0.05), 6)
        0.030396
        """
        return total / self.together * 6.0 / (math.pi**2 * self.batch**2)


def registrations(
    ledger: pl.DataFrame, own: Mapping[str, tuple[str, str]], *, since: date
) -> dict[str, Registration]:
    """Say in which batch each strategy's challenger was registered.

    What was first looked at in one go is one batch. A challenger keeps the batch in which it was
    first registered, whatever is tried later; those that the ledger does not know form the next
    one together.

    Parameters
    ----------
    ledger : polars.DataFrame
        With ``known_at`` where it was kept by a store.
    own : mapping of str to (str, str)
        By strategy: configuration hashes of the challenger and of its champion.
    since : date
        Records that end before it do not count.
    """
    rows = _policies(ledger, since).drop_nulls("champion")
    first = rows.group_by("strategy", "config_hash", "champion").agg(pl.col("looked").min())
    at = {(name, policy, rival): looked for name, policy, rival, looked in first.iter_rows()}
    fresh = sum((name, *pair) not in at for name, pair in own.items())
    out = {}
    for name, pair in own.items():
        reign = {looked for key, looked in at.items() if (key[0], key[2]) == (name, pair[1])}
        mine = at.get((name, *pair))
        if mine is None:
            out[name] = Registration(len(reign) + 1, fresh)
        else:
            earlier = sum(looked <= mine for looked in reign)
            out[name] = Registration(earlier, sum(looked == mine for looked in at.values()))
    return out


def _policies(ledger: pl.DataFrame, since: date) -> pl.DataFrame:
    """Policies whose record reaches past ``since``; ``looked`` says when each was first seen."""
    looked = pl.col("known_at" if "known_at" in ledger.columns else "span_start")
    return ledger.filter((pl.col("kind") == "policy") & (pl.col("span_end") >= since)).with_columns(
        looked.alias("looked")
    )
