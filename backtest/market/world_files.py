"""A synthetic market as files: its bars, the truth beside them, and a note that it is made up.

For: writing a world into a folder, and asking whether a folder holds one. Not for: making it.
"""

from __future__ import annotations

import json
from pathlib import Path

from backtest.market.synthetic import STATES, World

NOTE = "market.json"


def write_world(world: World, out: Path) -> None:
    """Write ``bars.parquet``, ``truth.parquet`` and ``market.json`` into the folder ``out``.

    The truth has no price columns, so that reading the folder as bars leaves it alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    world.bars.write_parquet(out / "bars.parquet")
    world.truth.write_parquet(out / "truth.parquet")
    about = {
        "synthetic": True,
        **world.config.model_dump(),
        "sessions": len(world.states),
        "first": str(world.truth["date"].min()),
        "last": str(world.truth["date"].max()),
        "states": list(STATES),
    }
    (out / NOTE).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


def is_synthetic(source: Path) -> bool:
    """Say whether a folder, or the folder of a file, holds the note of :func:`write_world`."""
    try:
        return bool(json.loads(note_beside(source).read_text(encoding="utf-8")).get("synthetic"))
    except (OSError, ValueError, AttributeError):
        return False


def note_beside(source: Path) -> Path:
    """Where the note of bars lies, if there is one."""
    return (source if source.is_dir() else source.parent) / NOTE
