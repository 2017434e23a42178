"""Bars from your own Parquet or CSV: one file, or a folder of them.

For: ``data.path`` of a profile and ``--data``. Not for: judging the bars, which is done where all
bars are judged.
"""

from datetime import date
from typing import TYPE_CHECKING

from backtest.errors import ConfigError, DataError
from pipeline.provider import PROVIDERS, Fetched

if TYPE_CHECKING:
    from pipeline.config import Settings


class FilesProvider:
    """Reads what lies at ``settings.data.path``."""

    needs = "data.path"

    def fetch(self, settings: "Settings", until: date) -> Fetched:
        """Read all bars up to ``until``; rows without a date are kept, to be judged."""
        import polars as pl

        from backtest.market.bars import read_bars
        from backtest.market.world_files import is_synthetic

        path = settings.data.path
        if path is None:
            raise ConfigError(
                "no file or folder to read bars from",
                where="data.path",
                fix="give one by --data PATH",
            )
        raw = read_bars(path, calendar=settings.data.calendar)
        known = raw.filter(pl.col("date").is_null() | (pl.col("date") <= until))
        if known.is_empty():
            raise DataError(
                f"no bars up to {until}",
                where=str(path),
                fix=f"the first is of {raw['date'].min()}; ask for a later session",
                code="E_DATA_EMPTY",
            )
        made_up, place = is_synthetic(path), str(path.resolve())
        return Fetched(raw=known, source=path.name, synthetic=made_up, place=place)


PROVIDERS.register("files")(FilesProvider())
