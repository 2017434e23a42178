"""For: files of a few made-up bars, for tests of `backtest` and `sweep`. Not for: tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

SPAN = 60


def bars(symbols: str = "A", sessions: int = SPAN) -> pl.DataFrame:
    """Random walks, one symbol per letter, on consecutive days."""
    parts = []
    for symbol in symbols:
        moves = np.random.default_rng(ord(symbol)).normal(0.0, 0.02, sessions)
        close = 100.0 * np.exp(np.cumsum(moves))
        parts.append(
            pl.DataFrame(
                {
                    "symbol": [symbol] * sessions,
                    "date": (np.datetime64("2020-01-01", "D") + np.arange(sessions)).tolist(),
                    "open": close * 0.999,
                    "high": close * 1.01,
                    "low": close * 0.99,
                    "close": close,
                }
            )
        )
    return pl.concat(parts)


def with_price(frame: pl.DataFrame, row: int, price: float) -> pl.DataFrame:
    """The same bars, all four prices of one row replaced."""
    at = pl.int_range(pl.len()) == row
    names = ("open", "high", "low", "close")
    return frame.with_columns(pl.when(at).then(price).otherwise(pl.col(n)).alias(n) for n in names)


def saved(frame: pl.DataFrame, folder: Path) -> Path:
    """Write bars as a file in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "bars.parquet")
    return folder / "bars.parquet"


def grid_file(folder: Path, content: Any) -> Path:
    """Write a grid: a text as it is, anything else as JSON."""
    path = folder / "grid.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
