"""Several currencies in one panel: prices in one of them, by the rate of the same close.

For: exchange rates by pair, and clean bars turned into a base currency. Not for: what the store
keeps, which stays in the currency of the listing, pence as pence; nor for volumes, which count
shares.

A rate is never younger than the bar it converts. Where the bar's date has none, because one market
was open and the other was not, the last one of at most three days before stands in, and a note
says how often; a bar without any leaves under the rule ``rate_missing``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from backtest.errors import DataError
from backtest.market.calendar import UNKNOWN_CURRENCY
from backtest.market.files import day_of, read_table, require_columns
from backtest.market.quality import PRICES, findings_of, nothing_left

MINOR = {"GBp": ("GBP", 100.0), "GBX": ("GBP", 100.0), "ZAc": ("ZAR", 100.0), "ILA": ("ILS", 100.0)}
"""Units that exchanges quote in: their currency, and how many make one of it."""
MAX_AGE_DAYS = 3
_COLUMNS = ("symbol", "date", "close")
_PAIR = r"^([A-Z]{3})/?([A-Z]{3})(?:=X)?$"


@dataclass(frozen=True)
class Converted:
    """Bars in the base currency.

    Parameters
    ----------
    bars : polars.DataFrame
        As they came, with prices and ``currency`` in the base.
    unrated : polars.DataFrame
        Bars without a rate as they came, with ``rule``, ``detail`` and ``value`` (null).
    notes : tuple of str
        What a reader of the report should know.
    """

    bars: pl.DataFrame
    unrated: pl.DataFrame
    notes: tuple[str, ...] = ()


def read_rates(path: Path) -> pl.DataFrame:
    """Read exchange rates from Parquet or CSV.

    Parameters
    ----------
    path : Path
        Bars of pairs: ``symbol`` (``EURUSD``, ``EUR/USD`` or ``EURUSD=X``: one euro in dollars),
        ``date`` and ``close``.

    Returns
    -------
    polars.DataFrame
        As :func:`checked_rates` returns.

    Raises
    ------
    DataError
        ``E_DATA_PATH``, ``E_DATA_EMPTY`` or ``E_DATA_UNREADABLE``, and as in :func:`checked_rates`.
    """
    table = read_table(Path(path), required=_COLUMNS, code="E_RATES")
    return checked_rates(table, where=str(path))


def checked_rates(table: pl.DataFrame, *, where: str = "rates") -> pl.DataFrame:
    """Refuse rates that cannot be meant.

    Returns
    -------
    polars.DataFrame
        ``of, into, date, rate``: units of ``into`` for one of ``of``; sorted, each date once.

    Raises
    ------
    DataError
        ``E_RATES``: a missing column, no rows, a symbol that is no pair, a date that cannot be
        read, a rate that is no positive number, or two of one pair and date;
        ``E_DATA_UNREADABLE``: names of columns that are no text.
    """
    require_columns(table.columns, where, required=_COLUMNS, code="E_RATES")
    if table.is_empty():
        raise _refused("no rows", where, "give a rate for each date and pair")
    pair = pl.col("symbol").cast(pl.String).str.strip_chars().str.extract_groups(_PAIR).struct
    frame = table.select(
        pl.col("symbol").cast(pl.String),
        pair.field("1").alias("of"),
        pair.field("2").alias("into"),
        day_of(table, "date"),
        pl.col("close").cast(pl.Float64, strict=False).alias("rate"),
    )
    good = (pl.col("rate").is_finite() & (pl.col("rate") > 0.0)).fill_null(value=False)
    for broken, what, fix in (
        (pl.col("of").is_null(), "a symbol that is no pair of currencies", "write EURUSD"),
        (pl.col("of") == pl.col("into"), "a pair of one currency", "leave it out"),
        (pl.col("date").is_null(), "a date that cannot be read", "write dates as YYYY-MM-DD"),
        (~good, "a rate that is no positive number", "mend it, or leave the row out"),
    ):
        wrong = frame.filter(broken)
        if wrong.height:
            symbol, at, rate = wrong.select("symbol", "date", "rate").row(0)
            raise _refused(f"{what}: {symbol} {at} {rate}", where, fix)
    rates = frame.drop("symbol").unique().sort("of", "into", "date", "rate")
    twice = rates.filter(pl.struct("of", "into", "date").is_duplicated())
    if twice.height:
        of, into, at = twice.select("of", "into", "date").row(0)
        raise _refused(f"two rates of {of}{into} on {at}", where, "keep one for each date")
    return rates


def convert(
    bars: pl.DataFrame,
    rates: pl.DataFrame | None,
    *,
    base: str,
    max_age_days: int = MAX_AGE_DAYS,
) -> Converted:
    """Turn clean bars into the base currency.

    Each date's rate is the pair's as it stands, turned round, or crossed through one third
    currency whose two rates are of the same date, in this order. Bars in the base itself stay
    bit for bit.

    Parameters
    ----------
    bars : polars.DataFrame
        As ``bars.Bars``; ``currency`` in every row.
    rates : polars.DataFrame, optional
        Of :func:`checked_rates`; none is needed where all bars are in the base or its minor unit.
    base : str
        ISO code, as ``USD``.
    max_age_days : int
        Days by which the last earlier rate may be older than the bar.

    Raises
    ------
    DataError
        ``E_RATES``: no pair leads from a currency of the bars to the base, or bars whose currency
        is unknown.
    """
    _refuse_unknown(bars)
    named = bars["currency"].unique().sort().to_list()
    if set(named) <= {base}:
        return Converted(bars, _unrated(bars.clear()))
    major = {name: _major(name) for name in named}
    table = _table(rates, sorted({money for money, _ in major.values()}), base)
    found = _rated(bars, table, major, base, max_age_days)
    factor, prices = found["factor"], [*PRICES, "close_raw"]
    changed = bars.with_columns(
        *((pl.col(name) * factor).alias(name) for name in prices), currency=pl.lit(base)
    ).filter(factor.is_not_null())
    unrated = _unrated(bars.filter(factor.is_null()))
    others = ", ".join(name for name in named if name != base)
    notes = [f"prices in {others} were converted to {base} by the rate of the same date"]
    older = found.filter(pl.col("rated") < pl.col("date"))["date"]
    if older.len():
        notes.append(
            f"{older.len()} bars had no rate of their date: the last one before, at most "
            f"{max_age_days} days old, was taken, first on {older.sort()[0]}"
        )
    if unrated.height:
        notes.append(f"{unrated.height} bars without a rate to {base} were set aside")
    return Converted(changed, unrated, tuple(notes))


def in_currency(
    bars: pl.DataFrame,
    quarantined: pl.DataFrame,
    findings: pl.DataFrame,
    *,
    base: str | None,
    rates: pl.DataFrame | None,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """Turn clean bars into one currency, or note that they are in several.

    Parameters
    ----------
    bars, quarantined, findings : polars.DataFrame
        As in ``bars.Prepared``.
    base, rates : optional
        As in :func:`convert`; without the first every price stays as it is quoted.

    Returns
    -------
    tuple
        The three frames, bars without a rate in the latter two, and notes.

    Raises
    ------
    DataError
        As in :func:`convert`, or no bar is left.
    """
    if base is None:
        return bars, quarantined, findings, tuple(currency_notes(bars))
    done = convert(bars, rates, base=base)
    left = pl.concat([quarantined, done.unrated.select(quarantined.columns)])
    left = left.sort("symbol", "date", maintain_order=True)
    if done.bars.is_empty():
        raise nothing_left(left)
    found = pl.concat([findings, findings_of(done.unrated, verdict="quarantine")])
    found = found.sort("symbol", "date", "rule", maintain_order=True)
    return done.bars, left, found, done.notes


def currency_notes(bars: pl.DataFrame) -> list[str]:
    """Say whose currency is unknown, and what adding up returns in several leaves out."""
    notes = []
    if unknown := _without_currency(bars):
        notes.append(
            f"currency of {len(unknown)} symbols unknown, first {unknown[0]}: no row names it and "
            "no exchange says it"
        )
    named = [name for name in bars["currency"].unique().sort() if name != UNKNOWN_CURRENCY]
    if len({_major(name)[0] for name in named}) < 2:
        return notes
    return [
        *notes,
        f"prices in {', '.join(named)}: returns are local and leave exchange rates out; "
        "data.base_currency and data.rates convert them",
    ]


def _without_currency(bars: pl.DataFrame) -> list[str]:
    """Symbols, sorted, of which neither the rows nor the exchange said a currency."""
    unknown = bars.filter(pl.col("currency") == UNKNOWN_CURRENCY)
    return unknown["symbol"].unique().sort().to_list()


def _refuse_unknown(bars: pl.DataFrame) -> None:
    if unknown := _without_currency(bars):
        raise _refused(
            f"currency of {unknown[0]} unknown",
            f"{len(unknown)} symbols whose rows name none, and whose exchange says none",
            "give the bars a column currency",
        )


def _major(name: str) -> tuple[str, float]:
    """Currency that a unit is of, and how many make one of it."""
    return MINOR.get(name, (name, 1.0))


def _rated(
    bars: pl.DataFrame,
    table: pl.DataFrame,
    major: dict[str, tuple[str, float]],
    base: str,
    max_age_days: int,
) -> pl.DataFrame:
    """Beside each bar, in order, ``date``, the date ``rated`` and the ``factor`` of its prices."""
    keys = bars.select(
        pl.col("currency").replace_strict({n: m for n, (m, _) in major.items()}).alias("of"),
        pl.col("currency").replace_strict({n: u for n, (_, u) in major.items()}).alias("units"),
        "date",
    ).with_row_index("at_row")
    return (
        keys.sort("date")
        .join_asof(
            table.with_columns(rated=pl.col("date")).sort("date"),
            on="date",
            by="of",
            tolerance=f"{max_age_days}d",
            check_sortedness=False,
        )
        .sort("at_row")
        .with_columns(pl.when(pl.col("of") == base).then(1.0).otherwise("rate").alias("rate"))
        .with_columns(factor=pl.col("rate") / pl.col("units"))
    )


def _table(rates: pl.DataFrame | None, majors: list[str], base: str) -> pl.DataFrame:
    """Rates of each currency into the base: ``of, date, rate``."""
    empty = pl.DataFrame(schema={"of": pl.String, "date": pl.Date, "rate": pl.Float64})
    wanted = [name for name in majors if name != base]
    if not wanted:
        return empty
    schema = {"of": pl.String, "into": pl.String, "date": pl.Date, "rate": pl.Float64}
    given = pl.DataFrame(schema=schema) if rates is None else rates
    turned = given.select(of="into", into="of", date="date", rate=1.0 / pl.col("rate"))
    known = pl.concat(
        [given.with_columns(given=pl.lit(True)), turned.with_columns(given=pl.lit(False))]
    ).unique(["of", "into", "date"], keep="first", maintain_order=True)
    parts = [empty]
    for name in wanted:
        own = _into(known, name, base)
        if own.is_empty():
            held = sorted(set(known.filter("given").select(pl.col("of") + pl.col("into"))["of"]))
            raise _refused(
                f"no rate leads from {name} to {base}",
                f"pairs there are: {', '.join(held) or 'none'}",
                f"give {name}{base} in data.rates, or leave those symbols out",
            )
        parts.append(own.select(pl.lit(name).alias("of"), "date", "rate"))
    return pl.concat(parts)


def _into(known: pl.DataFrame, name: str, base: str) -> pl.DataFrame:
    """Rates of one currency by date: its own pair, where that has none a cross, first by name.

    Date by date, lest a pair that begins today change the prices of years ago.
    """
    here, there = known.filter(pl.col("of") == name), known.filter(pl.col("into") == base)
    crossed = here.join(there, left_on=["into", "date"], right_on=["of", "date"], suffix="_second")
    routes = [
        here.filter(pl.col("into") == base).select("date", "rate"),
        crossed.sort("into").select("date", rate=pl.col("rate") * pl.col("rate_second")),
    ]
    return pl.concat(routes).unique("date", keep="first", maintain_order=True).sort("date")


def _unrated(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        rule=pl.lit("rate_missing"),
        detail=pl.format("in {}", "currency"),
        value=pl.lit(None, pl.Float64),
    )


def _refused(what: str, where: str, fix: str) -> DataError:
    return DataError(what, where=where, fix=fix, code="E_RATES")
