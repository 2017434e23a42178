"""Bars as aligned arrays: one row per symbol, one column per session.

For: turning a long, sorted frame into ``[symbol, time]`` arrays with a mask of tradable cells,
and back to one symbol's own bars. Not for: cleaning (``quality``) or converting currencies
(``currency``), and never for filling a gap: a missing bar is a cell that cannot be traded.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest.errors import DataError

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SymbolBars:
    """One symbol's own bars without gaps, oldest first.

    Parameters
    ----------
    symbol : str
    at : int64, ``[bar]``
        Column of each bar in the panel's session axis.
    open, high, low, close : float64, ``[bar]``
        Adjusted prices, finite and positive.
    volume : float64, ``[bar]``
        NaN where unknown.
    """

    symbol: str
    at: npt.NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    @property
    def size(self) -> int:
        """Number of bars."""
        return len(self.close)


@dataclass(frozen=True)
class Panel:
    """A universe of bars on one session axis.

    Parameters
    ----------
    symbols : tuple of str
        Sorted; the symbol axis ``S``.
    dates : datetime64[D], ``[time]``
        Sessions, ascending, unique.
    open, high, low, close, volume : float64, ``[symbol, time]``
        NaN where there is no bar (volume also where unknown).
    tradable : bool, ``[symbol, time]``
        Where a bar exists and may be traded.
    sectors : tuple of str
        One per symbol, the first that its bars name, so that a later change of sector says
        nothing about earlier sessions; bars before it share it. ``""`` where unknown.
    periods_per_year : int
    member : bool, ``[symbol, time]``, optional
        Where the symbol belongs to the universe at that close; everywhere by default. Outside,
        its bars still warm its indicators, but it is in no book's target.
    """

    symbols: tuple[str, ...]
    dates: npt.NDArray[np.datetime64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    tradable: Bools
    sectors: tuple[str, ...]
    periods_per_year: int = 252
    member: Bools = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Make everybody a member where nothing else was said; refuse prices that are none.

        Raises
        ------
        DataError
            A cell that may be traded has a price that is not a positive number, or a volume that is
            negative or infinite; an unknown volume is NaN.
        """
        if self.member is None:
            object.__setattr__(self, "member", np.ones(self.tradable.shape, dtype=bool))
        for name in ("open", "close", "high", "low", "volume"):
            told = getattr(self, name)
            fine = (told >= 0.0) & (told < np.inf)
            fine = fine | np.isnan(told) if name == "volume" else fine & (told > 0.0)
            bad = self.tradable & ~fine
            if bad.any():
                row, column = (int(i) for i in np.argwhere(bad)[0])
                raise DataError(
                    f"{name} = {told[row, column]} cannot be traded",
                    where=f"{self.symbols[row]} {self.dates[column]}",
                    fix="mend the price or the volume, or make the cell not tradable",
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of symbols and sessions."""
        return len(self.symbols), len(self.dates)

    @property
    def counted(self) -> Bools:
        """Cells that books count and weigh: tradable and a member; bool, ``[symbol, time]``."""
        return self.tradable & self.member

    def bars(self, symbol: int) -> SymbolBars:
        """Return the tradable bars of the symbol in row ``symbol``."""
        tradable = self.tradable[symbol]
        at = np.flatnonzero(tradable)
        whole = slice(None) if at.size == tradable.size else at  # no copy where nothing is left out
        pick = [a[symbol, whole] for a in (self.open, self.high, self.low, self.close, self.volume)]
        return SymbolBars(self.symbols[symbol], at, *pick)

    def until(self, stop: int) -> Panel:
        """Cut to the first ``stop`` sessions; rows stay, also of symbols not yet listed."""
        cut = {
            f: getattr(self, f)[:, :stop]
            for f in ("open", "high", "low", "close", "volume", "tradable", "member")
        }
        return dataclasses.replace(self, dates=self.dates[:stop], **cut)

    def frame(self) -> pl.DataFrame:
        """Turn the tradable cells back into a long frame, sorted by symbol then date.

        Returns
        -------
        polars.DataFrame
            ``symbol, date, open, high, low, close, volume, sector``; unknown volume is null.
            With a bool ``member`` where some cell is outside the universe.
        """
        row, column = np.nonzero(self.tradable)
        symbols, sectors = np.asarray(self.symbols, object), np.asarray(self.sectors, object)
        prices = ("open", "close", "high", "low", "volume")
        member = {} if self.member.all() else {"member": self.member[row, column]}
        return pl.DataFrame(
            {
                "symbol": pl.Series(symbols[row], dtype=pl.String),
                "date": pl.Series(self.dates[column]).cast(pl.Date),
                **{n: pl.Series(getattr(self, n)[row, column], nan_to_null=True) for n in prices},
                "sector": pl.Series(sectors[row], dtype=pl.String),
                **member,
            }
        )

    @classmethod
    def from_frame(
        cls,
        frame: pl.DataFrame,
        *,
        periods_per_year: int = 252,
    ) -> Panel:
        """Align a long frame with columns ``symbol, date, open, high, low, close, volume``.

        Parameters
        ----------
        frame : polars.DataFrame
            Clean bars, at most one per symbol and date; optional columns ``sector`` and
            ``member`` (bool, of ``universe.marked``), without which everybody is a member.
        periods_per_year : int

        Raises
        ------
        DataError
            No rows, or a symbol and date that stand twice.
        """
        if frame.is_empty():
            raise DataError("no bars", fix="give at least one symbol with bars")
        frame = frame.sort("symbol", "date")
        symbols = frame["symbol"].unique().sort()
        dates = frame["date"].unique().sort()
        row = symbols.search_sorted(frame["symbol"]).to_numpy()
        column = dates.search_sorted(frame["date"]).to_numpy()
        shape = (len(symbols), len(dates))
        tradable = np.zeros(shape, dtype=bool)
        tradable[row, column] = True
        if int(tradable.sum()) != frame.height:
            raise _twice(frame)
        arrays = {}
        for name in ("open", "close", "high", "low", "volume"):
            out = np.full(shape, np.nan)
            if name in frame.columns:
                values = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
                out[row, column] = values
            arrays[name] = out
        days = dates.to_numpy().astype("datetime64[D]")
        member = np.ones(shape, dtype=bool)
        if "member" in frame.columns:
            member[row, column] = frame["member"].to_numpy()
        return cls(
            symbols=tuple(symbols),
            dates=days,
            tradable=tradable,
            sectors=_sectors(frame, symbols),
            periods_per_year=periods_per_year,
            member=member,
            **arrays,
        )


def _twice(frame: pl.DataFrame) -> DataError:
    first = frame.filter(pl.struct("symbol", "date").is_duplicated()).row(0, named=True)
    return DataError(
        "two bars for one session",
        where=f"{first['symbol']} {first['date']}",
        fix="keep one of them",
    )


def _sectors(frame: pl.DataFrame, symbols: pl.Series) -> tuple[str, ...]:
    """First sector that the bars of each symbol name; the frame is sorted."""
    if "sector" not in frame.columns:
        return ("",) * len(symbols)
    named = frame.filter(pl.col("sector") != "")
    first = named.group_by("symbol", maintain_order=True).agg(pl.col("sector").first())
    known = dict(first.iter_rows())
    return tuple(known.get(s, "") for s in symbols)
