"""Rules about the level of a price: rows that leave it, spikes that come back, unadjusted splits.

For: judging a price by the symbol's own prices before it, and for two rules by the next bars. Not
for: single rows (``quality_rows``), or the thresholds (``quality.QualityConfig``).

Only rows whose price leaves the level are walked one by one; all others are judged in arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.market.quality import KEY, PRICES, QualityConfig

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 50.0, 100.0)
"""New shares for each old one, or its inverse; 100 is also pence for pounds."""
_IDLE = (pl.col("high") == pl.col("low")) & (pl.col("volume").fill_null(1.0) == 0.0)
_LEAST_HISTORY = 5
_USUAL_WILD = 0.9
_HOLDS = 2
_HELD_BEFORE = 3
_SMALLEST = ((3.0, 2.0), (2.0, 3.0))
_HOLE = 10
"""Days between two bars beyond which a gap of the price says nothing."""


@dataclass(frozen=True)
class Jumps:
    """Rows that left their level.

    Parameters
    ----------
    held : bool, ``[row]``
        Held back.
    confirming : bool, ``[row]``
        Trusted again, at a new level.
    ratio : float, ``[row]``
        Close over the trusted level where held, else NaN.
    """

    held: Mask
    confirming: Mask
    ratio: Floats


class Series:
    """Prices of all symbols in one array each, with where each symbol starts.

    Parameters
    ----------
    frame : polars.DataFrame
        Clean bars with adjusted prices, sorted by symbol then date.
    """

    def __init__(self, frame: pl.DataFrame):
        prices = frame.select(
            pl.min_horizontal(PRICES).alias("least"),
            pl.max_horizontal(PRICES).alias("most"),
            "close",
        )
        self.frame = frame
        self.least, self.most, self.close = (prices[n].to_numpy() for n in prices.columns)
        self.starts = np.flatnonzero(frame["symbol"].rle_id().diff().fill_null(1).to_numpy())

    def first_of(self, rows: Integers) -> Integers:
        """Row at which the symbol of each row starts."""
        return self.starts[np.searchsorted(self.starts, rows, side="right") - 1]

    def stop_of(self, rows: Integers) -> Integers:
        """Row after the last one of the symbol of each row."""
        stops = np.append(self.starts[1:], self.frame.height)
        return stops[np.searchsorted(self.starts, rows, side="right") - 1]

    def gaps(self, limit: float) -> Integers:
        """Rows whose four prices all lie beyond ``limit`` times the close before."""
        before = self.close[:-1]
        beyond = (self.least[1:] > before * limit) | (self.most[1:] * limit < before)
        rows = np.flatnonzero(beyond) + 1
        return rows[rows > self.first_of(rows)]

    def moves(self, first: int, stop: int) -> Floats:
        """Log returns of the rows ``first`` to ``stop`` over the row before each."""
        return np.diff(np.log(self.close[first - 1 : stop]))


def jumps(frame: pl.DataFrame, config: QualityConfig) -> Jumps:
    """Find rows whose price leaves its level, and rows that confirm a new level.

    A row with a price more than ``jump_limit`` times above or below the last trusted close is
    held back. The next row decides: back near the old level, the jump was a spike; near the new
    one, the level has moved, and that row is trusted again. The held-back row stays out either
    way, because on its own date nobody could know. A flat row without volume, of a symbol that
    was traded before, may move by ``untraded_limit`` only, and never sets a new level.

    Parameters
    ----------
    frame : polars.DataFrame
        Clean bars with adjusted prices, sorted by symbol then date.
    config : QualityConfig
    """
    found = Jumps(
        np.zeros(frame.height, dtype=bool),
        np.zeros(frame.height, dtype=bool),
        np.full(frame.height, np.nan),
    )
    if frame.is_empty():
        return found
    prices, untraded = Series(frame), _untraded(frame)
    least, most, close = prices.least, prices.most, prices.close
    limit = np.where(untraded, config.untraded_limit, config.jump_limit)[1:]
    far = np.zeros(frame.height, dtype=bool)
    far[1:] = (least[1:] * limit < close[:-1]) | (most[1:] > close[:-1] * limit)
    far[prices.starts] = False
    for first in np.unique(prices.first_of(np.flatnonzero(far))):
        part = slice(first, int(prices.stop_of(np.array([first]))[0]))
        levels = _levels(least[part], most[part], close[part], untraded[part], config)
        found.held[part], found.confirming[part], found.ratio[part] = levels
    return found


def _untraded(frame: pl.DataFrame) -> Mask:
    """Flat rows without volume, of a symbol that was traded before."""
    marked = frame.select("symbol", "volume", idle=_IDLE)
    if not marked["idle"].any():
        return np.zeros(frame.height, dtype=bool)
    known = (pl.col("volume").fill_null(0.0) > 0.0).cum_max().over("symbol")
    return marked.select(pl.col("idle") & known).to_series().to_numpy()


def _levels(
    least: Floats, most: Floats, close: Floats, untraded: Mask, config: QualityConfig
) -> tuple[Mask, Mask, Floats]:
    """Walk one symbol's rows in order; see :func:`jumps`."""
    held = np.zeros(len(close), dtype=bool)
    confirming = np.zeros(len(close), dtype=bool)
    ratio = np.full(len(close), np.nan)
    level, pending = close[0], np.nan
    far = config.jump_limit
    for i in range(1, len(close)):
        limit = config.untraded_limit if untraded[i] else far
        if least[i] * limit >= level and most[i] <= level * limit:
            level, pending = close[i], np.nan
        elif untraded[i]:
            held[i], ratio[i] = True, close[i] / level
        elif least[i] * far >= pending and most[i] <= pending * far:
            confirming[i] = True
            level, pending = close[i], np.nan
        else:
            held[i], ratio[i] = True, close[i] / level
            pending = close[i]
    return held, confirming, ratio


def spikes(frame: pl.DataFrame, calendars: dict[str, str], config: QualityConfig) -> Floats:
    """Find prices that left their level and came back: a correction, one or two bars late.

    All four prices of the bad bars lie beyond ``spike_limit``, the next close has undone all but
    ``spike_return`` of the move without a trail (its range does not touch theirs), the move is
    beyond what is usual for the symbol, and the others of its calendar did not make it on that
    day. A crash that recovers leaves a trail, moves with others, or comes amid wild moves.

    Parameters
    ----------
    frame : polars.DataFrame
        Bars that kept all other rules, with adjusted prices, sorted by symbol then date.
    calendars : dict of str to str
        Calendar by symbol.
    config : QualityConfig

    Returns
    -------
    numpy.ndarray
        Close over the level before where the row is a spike, else NaN; ``[row]``.
    """
    ratio = np.full(frame.height, np.nan)
    if frame.height < _LEAST_HISTORY:
        return ratio
    prices = Series(frame)
    rows = prices.gaps(1.0 + config.spike_limit)
    others = None
    for row in rows.tolist():
        length = _length(prices, row, config)
        # After a spike the way back is itself a gap, and is none to be accused.
        if not length or np.isfinite(ratio[row - 1]) or not _unusual(prices, row, config):
            continue
        others = others or Others(frame, rows, calendars)
        base = prices.close[row - 1]
        own = np.log(prices.close[row] / base)
        if abs(own - others.median_move(row)) > np.log1p(config.spike_limit):
            ratio[row : row + length] = prices.close[row : row + length] / base
    return ratio


def _length(prices: Series, row: int, config: QualityConfig) -> int:
    """Bars that a spike from ``row`` on lasts before the price is back, 0 where it is none."""
    base, limit = prices.close[row - 1], 1.0 + config.spike_limit
    up, moved = prices.least[row] > base, abs(np.log(prices.close[row] / base))
    stop = int(prices.stop_of(np.array([row]))[0])
    for length in range(1, config.spike_sessions + 1):
        back = row + length
        if back >= stop:
            return 0
        bad = slice(row, back)
        near = abs(np.log(prices.close[back] / base)) <= config.spike_return * moved
        apart = (
            prices.most[back] < prices.least[bad].min()
            if up
            else prices.least[back] > prices.most[bad].max()
        )
        if near and apart:
            return length
        beyond = prices.least[back] > base * limit if up else prices.most[back] * limit < base
        if not beyond:
            return 0
    return 0


def _unusual(prices: Series, row: int, config: QualityConfig) -> bool:
    """Whether a move is far beyond the wild moves that the symbol made lately."""
    first = int(prices.first_of(np.array([row]))[0])
    begin = max(first + 1, row - config.spike_window)
    if row - begin < _LEAST_HISTORY:
        return False
    wild = np.quantile(np.abs(prices.moves(begin, row)), _USUAL_WILD)
    own = abs(np.log(prices.close[row] / prices.close[row - 1]))
    return bool(own > config.spike_multiple * wild)


class Others:
    """Moves of the other symbols of a calendar on a few dates."""

    def __init__(self, frame: pl.DataFrame, rows: Integers, calendars: dict[str, str]):
        dates = frame["date"].gather(rows).unique()
        move = (pl.col("close") / pl.col("close").shift(1)).log()
        own = pl.col("symbol") == pl.col("symbol").shift(1)
        moved = frame.with_row_index("at").select(
            "at", "symbol", "date", pl.when(own).then(move).alias("move")
        )
        moved = moved.filter(pl.col("date").is_in(dates.implode())).drop_nulls("move")
        named = pl.col("symbol").replace_strict(calendars, return_dtype=pl.String)
        self.frame = frame
        self.calendars = calendars
        marked = moved.with_columns(calendar=named)
        self.moved = marked.partition_by("date", "calendar", as_dict=True)

    def median_move(self, row: int) -> float:
        """Median log return of the others on the row's date, 0 where there are none."""
        symbol, day = self.frame["symbol"][row], self.frame["date"][row]
        part = self.moved.get((day, self.calendars[symbol]))
        moves = None if part is None else part.filter(pl.col("at") != row)["move"].median()
        return float(moves) if isinstance(moves, float) else 0.0


def splits(frame: pl.DataFrame, config: QualityConfig) -> pl.DataFrame:
    """Find gaps that look like a split for which earlier prices were not adjusted.

    The open lies near a ratio of splits times the close before, the whole bar stands at the new
    level, the level held for three bars before and holds for two after, and the volume is not that
    of news: real gaps of such a size come with many times the usual turnover.

    Parameters
    ----------
    frame : polars.DataFrame
        Bars before any was held back for its level, with adjusted prices, sorted by symbol then
        date.
    config : QualityConfig

    Returns
    -------
    polars.DataFrame
        ``symbol, date, detail, value``; the value is open over the close before.
    """
    traded = frame.filter(~_IDLE) if frame.select(_IDLE.any()).item() else frame
    found = []
    if traded.height > _LEAST_HISTORY:
        prices, day = Series(traded), traded["date"].to_physical().to_numpy()
        opens, volume = traded["open"].to_numpy(), traded["volume"].to_numpy()
        for row in prices.gaps(RATIOS[0] ** 0.5).tolist():
            gap = float(opens[row] / prices.close[row - 1])
            new, old = _likely(gap, config.split_tolerance)
            near = day[row] - day[row - 1] <= _HOLE
            if not new or not near or not _level_moved(prices, row):
                continue
            usual = _of_usual(prices, volume, row, config.spike_window)
            # 3 for 2 is too near to news to be believed without a volume.
            quiet = (
                (new, old) not in _SMALLEST
                if usual is None
                else usual <= config.split_volume * new / old
            )
            if quiet and _unusual(prices, row, config):
                told = "" if usual is None else f", {usual:.3g} times the usual volume"
                found.append((row, f"likely {new:g} for {old:g}{told}", gap))
    named = {"at": pl.Int64, "detail": pl.String, "value": pl.Float64}
    rows = pl.DataFrame(found, schema=named, orient="row")
    return rows.select(*(traded[n].gather(rows["at"]) for n in KEY), "detail", "value")


def _likely(gap: float, tolerance: float) -> tuple[float, float]:
    """New shares for old ones that a gap of the price speaks for, zeros where for none."""
    size = max(gap, 1.0 / gap)
    ratio = min(RATIOS, key=lambda one: abs(np.log(size / one)))
    if abs(np.log(size / ratio)) > np.log1p(tolerance):
        return 0.0, 0.0
    many, few = (3.0, 2.0) if ratio == RATIOS[0] else (ratio, 1.0)
    return (many, few) if gap < 1.0 else (few, many)


def _level_moved(prices: Series, row: int) -> bool:
    """Whether the price stood at one level before and stands at another from ``row`` on."""
    at = np.array([row])
    if row + _HOLDS >= prices.stop_of(at)[0] or row - _HELD_BEFORE - 1 < prices.first_of(at)[0]:
        return False
    close = np.log(prices.close[row - _HELD_BEFORE - 1 : row + _HOLDS + 1])
    before, after = close[: _HELD_BEFORE + 1], close[_HELD_BEFORE + 1 :]
    far = abs(after[0] - before[-1]) / 2.0
    return bool(np.ptp(before) < far and np.ptp(after) < far)


def _of_usual(prices: Series, volume: Floats, row: int, window: int) -> float | None:
    """Volume of a row over the median of those before it, none where it is unknown."""
    first = int(prices.first_of(np.array([row]))[0])
    known = volume[max(first, row - window) : row]
    known = known[np.isfinite(known)]
    if not known.size or not np.isfinite(volume[row]) or not np.median(known):
        return None
    return float(volume[row] / np.median(known))
