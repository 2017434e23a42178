"""What a reader of bars should know, in sentences.

For: rows out of order, levels that moved, absent sessions and unknown volumes. Not for: what the
rules hold back or flag (``quality``), or notes of membership and currency, which stand beside them.
"""

from __future__ import annotations

import polars as pl

from backtest.market import quality_rows
from backtest.market.quality import QualityConfig


def order_notes(frame: pl.DataFrame) -> list[str]:
    """Count rows that stood before an earlier date of their symbol."""
    backwards = frame.select(pl.col("date").diff().over("symbol") < pl.duration(days=0))
    count = backwards.sum().item()
    return [f"{count} rows stood before an earlier date and were sorted"] if count else []


def level_notes(confirming: pl.DataFrame) -> list[str]:
    """Name the first bars of new price levels."""
    return [
        f"{symbol} moved to a new price level by {day}: an unadjusted split, or a real move"
        for symbol, day in confirming.select("symbol", "date").head(20).iter_rows()
    ]


def bar_notes(bars: pl.DataFrame, missing: pl.DataFrame, config: QualityConfig) -> list[str]:
    """Count absent sessions, unknown volumes and prices slightly out of range."""
    notes = []
    if missing.height:
        first = missing.row(0, named=True)
        notes.append(
            f"{missing.height} sessions without a bar in {missing['symbol'].n_unique()} symbols, "
            f"not filled, first {first['symbol']} {first['date']}"
        )
    if unknown := bars["volume"].null_count():
        notes.append(f"{unknown} bars without a volume")
    slightly = quality_rows.outside_range("open", 0.0) | quality_rows.outside_range("close", 0.0)
    if count := bars.filter(slightly).height:
        notes.append(
            f"{count} bars with the open or close outside low to high by at most "
            f"{config.range_tolerance:.0%} were kept"
        )
    return notes
