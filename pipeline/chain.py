"""The whole chain in this process: what ``weathervane run`` does.

For: ``run_chain``, from settings to a document, a report and a summary for people. Not for: what
the assets do, or how a summary is printed.
"""

import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import DataError, WeathervaneError

if TYPE_CHECKING:
    import dagster as dg

    from pipeline.config import Settings
    from pipeline.progress import Report


@dataclass(frozen=True)
class RunSummary:
    """What a run of the chain left behind.

    Parameters
    ----------
    session : date
        The session whose parameters were exported.
    universe, source : str
    synthetic : bool
        Whether the market is made up; say so wherever the numbers stand.
    document, report : pathlib.Path
    verdicts : dict of str to str
        ``update`` or ``hold`` by strategy.
    quarantined : int
        Rows held back.
    snapshot : str
        Content hash of the bars.
    run_ids : tuple of str
        Dagster's, in order.
    urls : dict of str to str
        Pages and folders by what they show.
    seconds : float
    """

    session: date
    universe: str
    source: str
    synthetic: bool
    document: Path
    report: Path
    verdicts: dict[str, str]
    quarantined: int
    snapshot: str
    run_ids: tuple[str, ...]
    urls: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
