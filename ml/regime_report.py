"""What published regimes were like: how many sessions, how long they lasted, how sure they were.

For: a table per regime and a few numbers over all of them, from published rows alone. Not for:
whether they were right, which only a market with a known truth can tell (``ml.proof``).
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

REPORT_COLUMNS = {
    "regime": pl.String,
    "sessions": pl.Int64,
    "share": pl.Float64,
    "spells": pl.Int64,
    "mean_spell": pl.Float64,
    "longest_spell": pl.Int64,
    "certainty": pl.Float64,
}


def regime_table(published: pl.DataFrame) -> pl.DataFrame:
    """Say of each regime how often and how long it was the likeliest.

    Parameters
    ----------
    published : polars.DataFrame
        Rows of :meth:`ml.regime_track.RegimeTrack.published`, in the order of sessions; those
        before the first fit are left out.

    Returns
    -------
    polars.DataFrame
        ``REPORT_COLUMNS``, most sessions first: sessions on which the regime was named, their
        share, unbroken spells and their mean and longest length in sessions, and the mean
        probability of the likeliest state on them.

    Examples
    --------
    >>> rows = pl.DataFrame({"regime": ["a", "a", "b"], "state_0": [0.9, 0.7, 0.2]})
    >>> regime_table(rows.with_columns(state_1=1.0 - pl.col("state_0"))).row(0)
    ('a', 2, 0.6666666666666666, 1, 2.0, 2, 0.8)
    """
    known = published.drop_nulls("regime")
    spells = (
        known.select(
            "regime",
            pl.col("regime").rle_id().alias("spell"),
            pl.max_horizontal(_states(known)).alias("certainty"),
        )
        .group_by("regime", "spell")
        .agg(pl.len().cast(pl.Int64).alias("length"), pl.col("certainty").sum())
    )
    table = spells.group_by("regime").agg(
        pl.col("length").sum().alias("sessions"),
        (pl.col("length").sum() / known.height).alias("share"),
        pl.len().cast(pl.Int64).alias("spells"),
        pl.col("length").mean().alias("mean_spell"),
        pl.col("length").max().alias("longest_spell"),
        (pl.col("certainty").sum() / pl.col("length").sum()).alias("certainty"),
    )
    sorted_table = table.sort("sessions", "regime", descending=[True, False])
    return sorted_table.select(pl.col(name).cast(kind) for name, kind in REPORT_COLUMNS.items())


def regime_summary(published: pl.DataFrame) -> dict[str, float | int | None]:
    """Numbers over all regimes of published rows.

    Returns
    -------
    dict
        ``sessions`` with a regime, ``regimes`` named, ``switches`` of the name, ``mean_spell`` in
        sessions, ``entropy``: the mean of ``-sum p log p / log K``, 0 where each session is
        certain; 1 where nothing is known of as many states as the widest fit has (``K``). The
        last two are None without a session.
    """
    known = published.drop_nulls("regime")
    names = known["regime"]
    switches = int((names != names.shift(1)).sum() or 0)
    entropy = None
    if known.height:
        p = known.select(_states(known)).to_numpy()
        width = max(p.shape[1], 2)
        told = np.where(p > 0.0, p * np.log(np.where(p > 0.0, p, 1.0)), 0.0)
        entropy = float(-told.sum(axis=1).mean() / math.log(width))
    return {
        "sessions": known.height,
        "regimes": names.n_unique(),
        "switches": switches,
        "mean_spell": known.height / (switches + 1) if known.height else None,
        "entropy": entropy,
    }


def _states(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if name.removeprefix("state_").isdigit()]
