"""What an answer changes of what is known: new quotes, restated ones, ones that are gone.

For: telling rounding from restatement, and a thinned answer from a shorter history. Not for: asking
or keeping. Everything here is a pure function of frames.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

PRICES = ("open", "high", "low", "close")
MOST_GONE = 0.2
"""Share of known sessions that an answer may lack; one that lacks more is not believed."""


@dataclass(frozen=True)
class Compared:
    """Answers beside what was known of their spans.

    Parameters
    ----------
    rows : polars.DataFrame
        The answers' quotes; those that moved by no more than the tolerance as they were known, and
        without those that lack a value that is known: what was known stays.
    gone : polars.DataFrame
        ``symbol, ts`` of known quotes that the answers lack.
    symbols : polars.DataFrame
        Of each answered symbol: ``first`` (date of its answer), ``span`` (quotes known within it),
        ``gone``, ``holes`` (known quotes of which the answer lacks a value), ``moved`` (known
        quotes whose close or adjustment moved by more than the tolerance), ``factor`` (new over
        old ratio of adjusted to traded close at the first common bar), ``tolerance`` (by which it
        was judged), ``thinned`` (more than
        ``MOST_GONE`` of the span is gone or a hole: do not believe it) and ``apart`` (known, but
        no bar is common: what moved in between cannot be seen).
    """

    rows: "pl.DataFrame"
    gone: "pl.DataFrame"
    symbols: "pl.DataFrame"


def compare(
    answers: "pl.DataFrame",
    known: "pl.DataFrame",
    *,
    tolerance: float,
    exact: Collection[str] = (),
) -> Compared:
    """Lay answers over what is known of their symbols.

    Parameters
    ----------
    answers : polars.DataFrame
        ``symbol, ts, date, open, high, low, close, volume, adj_close``, one row a bar.
    known : polars.DataFrame
        The same columns, of any span and any symbols.
    tolerance : float
        Share by which a price, the volume, or the ratio of adjusted to traded close must move.
    exact : collection of str
        Symbols of which every move counts, because there is a reason for it: another dividend or
        split. Adjustments multiply, so many that are small are not small together.
    """
    import polars as pl

    told = pl.when(pl.col("symbol").is_in(list(exact))).then(0.0).otherwise(tolerance)
    values, key = (*PRICES, "volume", "adj_close"), ["symbol", "ts"]
    reach = answers.group_by("symbol").agg(
        pl.col("date").min().alias("first"), pl.col("date").max().alias("last")
    )
    span = known.join(reach, on="symbol").filter(pl.col("date").is_between("first", "last"))
    gone = span.join(answers, on=key, how="anti").select(key)
    met = span.select(*key, *(pl.col(n).alias(f"{n}_known") for n in values), _met=pl.lit(True))
    both = answers.join(met, on=key, how="left", maintain_order="left")
    both = both.with_columns(pl.col("_met").fill_null(value=False))
    same = pl.all_horizontal(_near(pl.col(n), pl.col(f"{n}_known"), told) for n in values)
    lacking = pl.any_horizontal(
        pl.col(n).is_null() & pl.col(f"{n}_known").is_not_null() for n in values
    )
    ratio = pl.col("adj_close") / pl.col("close")
    was = pl.col("adj_close_known") / pl.col("close_known")
    stays = _near(pl.col("close"), pl.col("close_known"), told) & _near(ratio, was, told)
    judged = both.with_columns(
        _kept=pl.col("_met") & same,
        _hole=lacking,
        _moved=pl.col("_met") & ~stays & ~lacking,
        _factor=ratio / was,
    )
    symbols = _by_symbol(judged, span, gone).with_columns(
        tolerance=told,
        apart=~pl.col("common") & pl.col("symbol").is_in(known["symbol"].unique().implode()),
        thinned=pl.col("gone") + pl.col("holes")
        > pl.max_horizontal(pl.lit(1.0), MOST_GONE * pl.col("span")),
    )
    kept = [pl.when("_kept").then(f"{n}_known").otherwise(n).alias(n) for n in values]
    rows = judged.filter(~pl.col("_hole")).with_columns(kept).select(answers.columns)
    return Compared(rows, gone, symbols.drop("common"))


def _by_symbol(
    judged: "pl.DataFrame", span: "pl.DataFrame", gone: "pl.DataFrame"
) -> "pl.DataFrame":
    """Count for each answered symbol what became of its quotes."""
    import polars as pl

    found = judged.group_by("symbol", maintain_order=True).agg(
        pl.col("date").min().alias("first"),
        pl.col("_moved").sum().alias("moved"),
        pl.col("_hole").sum().alias("holes"),
        pl.col("_met").any().alias("common"),
        pl.col("_factor").filter("_met").drop_nulls().first().fill_null(1.0).alias("factor"),
    )
    for name, rows in (("span", span), ("gone", gone)):
        counted = rows.group_by("symbol").agg(pl.len().alias(name))
        found = found.join(counted, on="symbol", how="left").with_columns(pl.col(name).fill_null(0))
    return found


def carry_back(known: "pl.DataFrame", restated: "pl.DataFrame") -> "pl.DataFrame":
    """Restate the adjusted closes that a source can no longer be asked for.

    An adjustment is a product over all later events: what moved the ratio at the first bar of an
    answer moved it by the same factor at every bar before.

    Parameters
    ----------
    known : polars.DataFrame
        Quotes of any symbols.
    restated : polars.DataFrame
        ``symbol, first, factor, tolerance`` as in ``Compared.symbols``; a factor nearer to one than
        the tolerance restates nothing.

    Returns
    -------
    polars.DataFrame
        The restated quotes before the first bar of their symbol's answer.
    """
    import polars as pl

    told = restated.select("symbol", "first", "factor", "tolerance")
    earlier = known.join(told, on="symbol", maintain_order="left").filter(
        (pl.col("date") < pl.col("first")) & ((pl.col("factor") - 1.0).abs() > pl.col("tolerance"))
    )
    return earlier.with_columns(pl.col("adj_close") * pl.col("factor")).select(known.columns)


def _near(one: "pl.Expr", other: "pl.Expr", tolerance: "pl.Expr") -> "pl.Expr":
    """Tell where two values are equal within the tolerance, or both missing."""
    missing = one.is_null() & other.is_null()
    within = (one - other).abs() <= tolerance * other.abs()
    return missing | within.fill_null(value=False)
