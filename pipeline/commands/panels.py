"""From a path with bars to an aligned panel, with what was set aside.

For: the first line of every command that reads bars. Not for: the daily chain, which reads the
store.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from pipeline.commands.files import write_csv

if TYPE_CHECKING:
    from backtest.market.bars import Prepared
    from backtest.market.panel import Panel

logger = logging.getLogger(__name__)

QUARANTINE = "quarantine.csv"


@dataclass(frozen=True)
class Loaded:
    """A panel and the account of how it came about.

    Parameters
    ----------
    panel : Panel
    prepared : Prepared
        Clean bars, and rows that were set aside with the name of the rule.
    notes : tuple of str
        What a reader of the results should know.
    """

    panel: "Panel"
    prepared: "Prepared"
    notes: tuple[str, ...] = ()

    def about(self) -> dict[str, Any]:
        """Plain values for a result's description."""
        symbols, sessions = self.panel.shape
        return {
            "symbols": symbols,
            "sessions": sessions,
            "first": str(self.panel.dates[0]),
            "last": str(self.panel.dates[-1]),
            "rows": self.prepared.accounting(),
            "notes": list(self.notes),
        }

    def write_quarantine(self, folder: Path) -> None:
        """Write ``quarantine.csv`` where rows were set aside, and say so in one log line."""
        set_aside = self.prepared.quarantined
        if set_aside.is_empty():
            (folder / QUARANTINE).unlink(missing_ok=True)
            return
        write_csv(folder / QUARANTINE, set_aside)
        self.warn(f": {QUARANTINE}")

    def warn(self, where: str = "") -> None:
        """Say in one log line how many rows were set aside by which rule, if any were."""
        set_aside = self.prepared.quarantined
        if set_aside.is_empty():
            return
        counts = set_aside["rule"].value_counts(sort=True)
        said = ", ".join(f"{rule} {count}" for rule, count in counts.iter_rows())
        logger.warning("%d rows set aside (%s)%s", set_aside.height, said, where)


class PanelOptions(TypedDict, total=False):
    """How bars of a source become a panel, beside the source itself.

    ``symbols`` are kept alone; ``calendar`` is that of all symbols; ``members`` is a table of who
    belongs to the universe from when to when; prices are converted to ``base_currency`` by the
    table ``rates``, and stay as they are quoted without it.
    """

    symbols: Sequence[str] | None
    calendar: str | None
    members: Path | None
    base_currency: str | None
    rates: Path | None


def load_panel(source: Path, **options: Unpack[PanelOptions]) -> Loaded:
    """Read, judge and align bars.

    Parameters
    ----------
    source : pathlib.Path
        File or folder of bars.
    **options
        As in :class:`PanelOptions`.

    Raises
    ------
    DataError
        Nothing that can be read as bars, no such symbol, ``E_MEMBERS`` or ``E_RATES``.
    """
    from backtest.market.bars import panel_of
    from backtest.market.currency import read_rates
    from backtest.market.universe import members_among, membership_notes, read_members
    from backtest.market.world_files import is_synthetic

    symbols, members = options.get("symbols"), options.get("members")
    rates = options.get("rates")
    table = None if members is None else members_among(read_members(members), symbols or ())
    panel, prepared = panel_of(
        Path(source),
        symbols=symbols,
        calendar=options.get("calendar"),
        members=table,
        base_currency=options.get("base_currency"),
        rates=None if rates is None else read_rates(rates),
    )
    said = [] if is_synthetic(Path(source)) else membership_notes(prepared.bars, table)
    return Loaded(panel, prepared, (*prepared.notes, *said))
