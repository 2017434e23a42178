"""Whether the running code sees the future, proven once for each version of it.

For: the blocking check of the daily chain, which must not pay for the proof every day. Not for:
how it is proven (``ml.proof.leaks``), or the command that proves anew (``commands.leaks``).
"""

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backtest.errors import StoreError
from pipeline.exports import code_facts, source_sha256
from pipeline.publish import publish_bytes, read_published

CUTS = 8
"""Sessions at which the history is cut, beside the early ones."""


def leak_findings(folder: Path) -> list[dict[str, Any]]:
    """Return what both detectors found of every registered part.

    Parameters
    ----------
    folder : pathlib.Path
        Where the findings of this code are kept, or will be.
    """
    return _kept(folder / "leaks.json", _prove)


def trap_findings(folder: Path) -> list[dict[str, Any]]:
    """Return what every detector found of both twins of every planted leak; as above."""
    return _kept(folder / "traps.json", _spring)


def _kept(path: Path, make: Callable[[str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Read the findings of this code, or make and publish them."""
    code = _version()
    try:
        kept = json.loads(read_published(path))
    except (StoreError, ValueError):
        kept = {}
    if kept.get("code") == code:
        return list(kept["findings"])
    found = make(code)
    text = json.dumps({"code": code, "findings": found}, indent=1, sort_keys=True) + "\n"
    publish_bytes(path, text.encode())
    return found


def _version() -> str:
    """Digest of all that the findings rest on: source, locked libraries, number of cuts."""
    told = (source_sha256(("backtest", "ml")), code_facts().lock, CUTS)
    return hashlib.sha256(repr(told).encode()).hexdigest()


@functools.cache
def _prove(code: str) -> list[dict[str, Any]]:
    """Try every part; ``code`` keeps the answers of two versions apart."""
    from ml.proof.leak_market import market
    from ml.proof.leaks import cuts_of, prove, suspects

    panel = market()
    return [asdict(one) for one in prove(suspects(), panel, cuts_of(panel, CUTS))]


@functools.cache
def _spring(code: str) -> list[dict[str, Any]]:
    """Try every detector on every planted leak and its honest twin."""
    from ml.proof.traps import catch

    return [asdict(one) for one in catch()]
