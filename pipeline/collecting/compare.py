"""What an answer changes of what is known: new quotes, restated ones, ones that are gone.

For: telling rounding from restatement, and a thinned answer from a shorter history. Not for: asking
or keeping. Everything here is a pure function of frames.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.errors import ProviderUnavailable

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

PRICES = ("open", "high", "low", "close")
MOST_GONE = 0.2
"""Share of known sessions that an answer may lack; one that lacks more is not believed."""


@dataclass(frozen=True)
class Compared:
    """An answer beside what was known of its span.

    Parameters
    ----------
    rows : polars.DataFrame
        The answer's quotes; those that moved by no more than the tolerance as they were known.
    gone : polars.DataFrame
        ``ts`` of known quotes that the answer lacks.
    moved : int
        Known quotes whose close or adjustment moved by more than the tolerance.
    factor : float
        New over old ratio of adjusted to traded close at the first common bar.
    apart : bool
        No bar is common: what moved in between cannot be seen.
    """

    rows: "pl.DataFrame"
    gone: "pl.DataFrame"
    moved: int
    factor: float = 1.0
    apart: bool = False


def compare(answer: "pl.DataFrame", known: "pl.DataFrame", *, tolerance: float) -> Compared:
    """Lay an answer over what is known of one symbol.

    Parameters
    ----------
    answer : polars.DataFrame
        ``ts, date, open, high, low, close, volume, adj_close``, one row a bar.
    known : polars.DataFrame
        The same columns, of any span.
    tolerance : float
        Share by which a price, the volume, or the ratio of adjusted to traded close must move.

    Raises
    ------
    ProviderUnavailable
        The answer lacks more than ``MOST_GONE`` of the sessions that are known in its span.
    """
    import polars as pl

    if answer.is_empty() or known.is_empty():
        return Compared(answer, known.select("ts").clear(), 0)
    span = known.filter(pl.col("date").is_between(answer["date"].min(), answer["date"].max()))
    gone = span.join(answer, on="ts", how="anti").select("ts")
    if gone.height > max(1.0, MOST_GONE * span.height):
        raise ProviderUnavailable(
            f"the answer lacks {gone.height} of {span.height} sessions that are known",
            fix="try again later; what is known stays",
        )
    values = (*PRICES, "volume", "adj_close")
    both = answer.join(span.select("ts", *values), on="ts", how="left", suffix="_known")
    met = pl.col("ts").is_in(span["ts"].implode())
    same = pl.all_horizontal(_near(pl.col(n), pl.col(f"{n}_known"), tolerance) for n in values)
    ratio = pl.col("adj_close") / pl.col("close")
    was = pl.col("adj_close_known") / pl.col("close_known")
    stays = _near(pl.col("close"), pl.col("close_known"), tolerance) & _near(ratio, was, tolerance)
    judged = both.with_columns(_kept=met & same, _moved=met & ~stays)
    rows = judged.select(
        *(name for name in answer.columns if name not in values),
        *(
            pl.when("_kept").then(pl.col(f"{n}_known")).otherwise(pl.col(n)).alias(n)
            for n in values
        ),
    ).select(answer.columns)
    common = judged.filter(met)
    factors = common.select(ratio / was).to_series().drop_nulls()
    factor = factors[0] if factors.len() else 1.0
    return Compared(rows, gone, int(judged["_moved"].sum()), factor, common.is_empty())


def carry_back(
    known: "pl.DataFrame", before: "date", factor: float, *, tolerance: float
) -> "pl.DataFrame":
    """Restate the adjusted closes that a source can no longer be asked for.

    An adjustment is a product over all later events: what moved the ratio at the first bar of an
    answer moved it by the same factor at every bar before.

    Parameters
    ----------
    known : polars.DataFrame
        Quotes of one symbol.
    before : date
        First session of the answer.
    factor : float
        As in ``Compared``.
    tolerance : float

    Returns
    -------
    polars.DataFrame
        The restated quotes, none if the factor is within the tolerance.
    """
    import polars as pl

    if abs(factor - 1.0) <= tolerance:
        return known.clear()
    earlier = known.filter(pl.col("date") < before)
    return earlier.with_columns(pl.col("adj_close") * factor)


def _near(one: "pl.Expr", other: "pl.Expr", tolerance: float) -> "pl.Expr":
    """Tell where two values are equal within the tolerance, or both missing."""
    missing = one.is_null() & other.is_null()
    within = (one - other).abs() <= tolerance * other.abs()
    return missing | within.fill_null(value=False)
