"""Sections of the settings that belong to no room of the lower floors.

For: where bars come from, what of their quality refuses a run, and how a remote source is asked.
Not for: reading profiles and overrides, or their hash (``settings``).
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from backtest.market.quality import MIN_BARS
from backtest.market.synthetic import FIRST_SESSION

if TYPE_CHECKING:
    import polars as pl

TABLES = ("members", "rates")
"""Settings of the section ``data`` that name a table beside the bars."""


def _listed(value: Any) -> Any:
    """Read names as a person types them: with commas between."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _or_none(value: Any) -> Any:
    """Take an empty path for none, so that an override can undo what a profile says."""
    return None if value == "" else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
File = Annotated[Path | None, BeforeValidator(_or_none)]


class Section(BaseModel):
    """Base of the sections that belong to no room of the lower floors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Where bars come from.

    Parameters
    ----------
    provider : str
        Name in ``PROVIDERS``.
    path : pathlib.Path, optional
        File or folder of the provider ``files``.
    universe : str, optional
        Name under which bars and results are kept; made from provider and source if missing.
    symbols : tuple of str
        The run uses only these; empty means all.
    members : pathlib.Path, optional
        Table of who belongs to the universe from when to when; everybody always does without it.
    base_currency : str, optional
        Prices are converted to it, as ``USD``; each stays as it is quoted without it.
    rates : pathlib.Path, optional
        Exchange rates for that: bars of pairs, ``symbol, date, close``.
    first_session : date
        First session of a synthetic market.
    calendar : str, optional
        An exchange calendar, or ``data`` for the union of the dates present; by symbol if missing.
    min_bars : int
        A symbol with fewer bars is quarantined whole.
    """

    provider: str = "synthetic"
    path: Path | None = None
    universe: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    symbols: Names = ()
    members: File = None
    base_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    rates: File = None
    first_session: date = FIRST_SESSION
    calendar: str | None = None
    min_bars: Annotated[int, Field(ge=1)] = MIN_BARS

    def read_members(self) -> "pl.DataFrame | None":
        """Read the table of members, of ``symbols`` alone where some are named."""
        from backtest.market.universe import members_among, read_members

        if self.members is None:
            return None
        return members_among(read_members(self.members), self.symbols)

    def read_rates(self) -> "pl.DataFrame | None":
        """Read the table of exchange rates."""
        from backtest.market.currency import read_rates

        return None if self.rates is None else read_rates(self.rates)

    def check_tables(self) -> None:
        """Refuse tables that cannot be used, before anything is asked or written."""
        self.read_members()
        self.read_rates()


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    """Refuse a check that would refuse before it warns."""
    if limits[0] > limits[1]:
        raise ValueError("give the share to warn above, then the larger one to refuse above")
    return limits


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Limits = Annotated[tuple[Share, Share], AfterValidator(_ascending)]


class ChecksConfig(Section):
    """Shares of rows above which the checks of quality warn, and refuse.

    Parameters
    ----------
    duplicates, jumps, currency : (float, float)
        Warn above the first; above the second nothing flows on, because a wrong price would.
    gaps, stale, volume, range : float
        Warn above it; the rows stay, and their prices were quoted.
    years : float
        Warn where the panel reaches less far back from its last session.
    """

    duplicates: Limits = (0.0, 0.05)
    jumps: Limits = (0.0, 0.02)
    currency: Limits = (0.0, 0.01)
    gaps: Share = 0.01
    stale: Share = 0.001
    volume: Share = 0.01
    range: Share = 0.005
    years: float = Field(default=2.0, ge=0.0)


class FeedConfig(Section):
    """How a remote source is asked; limits of its own stand in its provider.

    Parameters
    ----------
    endpoint : str, optional
        Base address in place of the source's own: a proxy, a mirror, a test.
    rate_per_s, burst, concurrent : optional
        In place of the provider's own limits: questions per second, at once after a pause, and
        under way at the same time.
    first : date
        First session that is asked for.
    timeout_s : float
        Longest wait for one answer, seconds.
    attempts : int
        Times that one question is asked before the symbol counts as failed.
    first_wait_s : float
        Wait before the second attempt, seconds; each later one is twice as long, with jitter.
    give_up_after : int
        Failed symbols in a row after which no further question goes out.
    overlap : int
        Known sessions that are asked for again, to see whether they were restated.
    tolerance : float
        Share by which a price, or the ratio of adjusted to traded close, must move to count as
        restated.
    most_failed : float
        Share of the symbols that may be without an answer; above it nothing is exported.
    """

    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    rate_per_s: Annotated[float, Field(gt=0.0, le=10_000.0)] | None = None
    burst: Annotated[int, Field(ge=1, le=10_000)] | None = None
    concurrent: Annotated[int, Field(ge=1, le=64)] | None = None
    first: date = date(2015, 1, 1)
    timeout_s: Annotated[float, Field(gt=0.0, le=600.0)] = 20.0
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    first_wait_s: Annotated[float, Field(ge=0.0, le=600.0)] = 1.0
    give_up_after: Annotated[int, Field(ge=1)] = 8
    overlap: Annotated[int, Field(ge=5, le=250)] = 10
    tolerance: Annotated[float, Field(ge=0.0, lt=0.1)] = 1e-4
    most_failed: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
