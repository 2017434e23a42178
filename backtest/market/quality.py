"""The rules of clean bars: their names, verdicts, lags and thresholds.

For: saying which findings there can be, what becomes of the row, and how far each threshold may be
set. Not for: finding anything (``quality_rows``, ``quality_series``, ``quality_levels``), and never
for mending a row.

A rule has one of two verdicts: a *quarantined* row is taken out of the bars and kept with the
rule and a detail; a *flagged* one stays, and the finding is listed. ``lag`` says how many later
bars of the symbol a verdict waits for. At 0 it depends on rows up to its own date only, so cutting
the history never changes it. ``spike_reverted`` is a correction: the row is trusted on its date
and withdrawn once the price is seen to come back, at most two bars later; only the last two bars
of a cut history can be judged otherwise by a longer one. ``split_unadjusted`` waits as long, and a
session is missing once a later bar is there. Three rules are wider and say so:
``duplicate_conflicting`` speaks about all rows of a key, ``too_short`` about all rows of a symbol,
and ``closed_exchange_filler`` follows the first exchange that a symbol's rows name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from backtest.errors import DataError

Verdict = Literal["quarantine", "flag"]

PRICES = ("open", "high", "low", "close")
KEY = ("symbol", "date")
MIN_BARS = 20
FINDINGS = {
    "symbol": pl.String,
    "date": pl.Date,
    "rule": pl.String,
    "severity": pl.String,
    "detail": pl.String,
    "value": pl.Float64,
}
"""Columns of the findings; ``value`` is the size of the defect in the unit of its rule."""


class QualityConfig(BaseModel):
    """Thresholds of the rules.

    Parameters
    ----------
    range_tolerance : float
        Share of the price by which the open or close may leave low to high before the row is
        quarantined; can be tightened only, bars promise it.
    jump_limit : float
        Times above or below the last trusted close at which a row is held back.
    untraded_limit : float
        The same for a flat row without volume, of a symbol that was traded before.
    spike_limit : float
        Move up, as a share (down: its inverse), that all four prices of a spike lie beyond.
    spike_multiple : float
        Times the symbol's own usual wild move that a spike is at least: the 90 % quantile of its
        absolute log returns in ``spike_window``.
    spike_window : int
        Bars before a spike that tell what is usual.
    spike_return : float
        Share of a spike's own (log) move within which the price is back at its level.
    spike_sessions : int
        Bars in a row that one spike may last.
    split_tolerance : float
        Share by which open over previous close may miss a ratio of splits.
    split_volume : float
        Times the usual volume, after the split's own ratio, above which a gap is news.
    adjustment_limit : float
        Move of adjusted over raw close, as a share, that a raw price must answer.
    stale_sessions : int
        Bars with one and the same close, the first counted, from which the price is stale.
    others_moved : float
        Share of the other symbols of the calendar that must have moved (or traded) on the date.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    range_tolerance: Annotated[float, Field(ge=0.0, le=0.05)] = 0.05
    jump_limit: Annotated[float, Field(gt=1.0, le=1000.0)] = 5.0
    untraded_limit: Annotated[float, Field(gt=1.0, le=1000.0)] = 1.2
    spike_limit: Annotated[float, Field(gt=0.0, le=1000.0)] = 0.25
    spike_multiple: Annotated[float, Field(ge=1.0, le=100.0)] = 4.0
    spike_window: Annotated[int, Field(ge=5, le=250)] = 20
    spike_return: Annotated[float, Field(gt=0.0, le=0.5)] = 0.2
    spike_sessions: Annotated[int, Field(ge=1, le=2)] = 2
    split_tolerance: Annotated[float, Field(gt=0.0, le=0.1)] = 0.03
    split_volume: Annotated[float, Field(gt=1.0, le=100.0)] = 3.0
    adjustment_limit: Annotated[float, Field(gt=0.0, le=1.0)] = 0.10
    stale_sessions: Annotated[int, Field(ge=2, le=250)] = 5
    others_moved: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5


DEFAULTS = QualityConfig()


@dataclass(frozen=True)
class Rule:
    """A named rule.

    Parameters
    ----------
    family : str
        What an asset check adds up.
    fix : str
        What the owner of the bars can do.
    verdict : str
        ``quarantine`` or ``flag``; a small excess over the range is flagged, too.
    lag : int
        Later bars of the symbol that the verdict waits for.
    thresholds : tuple of str
        Fields of :class:`QualityConfig` that it reads.
    """

    family: str
    fix: str
    verdict: Verdict = "quarantine"
    lag: int = 0
    thresholds: tuple[str, ...] = ()


_RANGE = ("range_tolerance",)
_SPIKE = ("spike_limit", "spike_multiple", "spike_window", "spike_return", "spike_sessions")
_SPLIT = ("split_tolerance", "split_volume", "spike_window")
_ADJ = ("adjustment_limit",)
_STALE = ("stale_sessions", "others_moved")
_VOLUME = "mend the volume, or leave it empty where it is unknown"

RULES: dict[str, Rule] = {
    "symbol_missing": Rule("values", "name the symbol in every row"),
    "date_missing": Rule("values", "write dates as YYYY-MM-DD"),
    "price_missing": Rule("values", "give open, high, low and close as numbers"),
    "price_not_finite": Rule("values", "remove NaN and infinite prices"),
    "price_not_positive": Rule("values", "remove zero and negative prices"),
    "high_below_low": Rule("range", "mend the high or the low"),
    "open_outside_range": Rule(
        "range", "mend the open, the high or the low", "quarantine", 0, _RANGE
    ),
    "close_outside_range": Rule(
        "range", "mend the close, the high or the low", "quarantine", 0, _RANGE
    ),
    "volume_negative": Rule("values", _VOLUME),
    "volume_not_finite": Rule("values", _VOLUME),
    "adjustment_invalid": Rule("values", "mend adj_close, or leave the column out"),
    "duplicate_agreeing": Rule("duplicates", "nothing: one of the equal rows was kept"),
    "duplicate_conflicting": Rule("duplicates", "keep one row for each symbol and date"),
    "currency_changed": Rule("currency", "give all rows of a symbol in one currency and unit"),
    "rate_missing": Rule("currency", "give an exchange rate of that date in data.rates"),
    "closed_exchange_filler": Rule("fillers", "leave out days on which the exchange was closed"),
    "jump_unconfirmed": Rule(
        "jumps",
        "check the price: it left its level too far, or without a trade",
        "quarantine",
        0,
        ("jump_limit", "untraded_limit"),
    ),
    "spike_reverted": Rule(
        "jumps", "mend the price: it left its level and came back", "quarantine", 2, _SPIKE
    ),
    "split_unadjusted": Rule(
        "jumps", "adjust earlier prices, or give adj_close", "flag", 2, _SPLIT
    ),
    "adjustment_unmatched": Rule(
        "jumps", "mend adj_close: it moved and the price did not", "flag", 0, _ADJ
    ),
    "too_short": Rule("history", "give the symbol a longer history, or leave it out"),
    "session_missing": Rule("gaps", "give a bar for every session of the exchange", "flag", 1),
    "session_repeated": Rule("stale", "check the row: it is a copy of the one before", "flag"),
    "stale_price": Rule("stale", "check the source: its price stands still", "flag", 0, _STALE),
    "volume_zero": Rule(
        "volume", "check the row: others traded, it did not", "flag", 0, ("others_moved",)
    ),
}
FAMILIES = tuple(dict.fromkeys(rule.family for rule in RULES.values()))


def no_findings() -> pl.DataFrame:
    """Findings of sound bars: none, in the right columns."""
    return pl.DataFrame(schema=FINDINGS)


def findings_of(rows: pl.DataFrame, *, rule: str | None = None, verdict: Verdict) -> pl.DataFrame:
    """Put rows into the columns of the findings.

    Parameters
    ----------
    rows : polars.DataFrame
        ``symbol, date``, and ``rule, detail, value`` where they are known.
    rule : str, optional
        Of all rows, where they do not name their own.
    verdict : str
        ``quarantine`` or ``flag``.
    """
    given = {"rule": pl.lit(rule), "severity": pl.lit(verdict), "detail": pl.lit(""), "value": None}
    absent = {name: made for name, made in given.items() if name not in rows.columns}
    filled = rows.with_columns(**absent)
    return filled.select(pl.col(name).cast(kind) for name, kind in FINDINGS.items())


def nothing_left(quarantined: pl.DataFrame, *, source: str = "") -> DataError:
    """Error for bars of which every row broke a rule; ``source`` is where they come from."""
    counts = quarantined["rule"].value_counts(sort=True)
    reasons = ", ".join(f"{rows} rows {rule}" for rule, rows in counts.iter_rows())
    first = quarantined.row(0, named=True)
    example = f"first {first['symbol']} {first['date']} {first['detail']}".rstrip()
    return DataError(
        f"no bar is left ({reasons})",
        where=", ".join(part for part in (source, example) if part),
        fix=RULES[counts["rule"][0]].fix,
        code="E_DATA_QUARANTINED",
    )
