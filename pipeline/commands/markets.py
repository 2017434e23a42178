"""Write a synthetic market and its planted truth.

For: ``weathervane market``. Not for: the provider ``synthetic``, which makes the same market for
the daily chain.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from backtest.errors import ConfigError
from pipeline.commands.files import results_folder


def write_market(
    world: str,
    *,
    symbols: int,
    sessions: int,
    seed: int,
    out: Path,
    **physics: float,
) -> dict[str, Any]:
    """Generate a market on the first ``sessions`` sessions of XNYS from 2010-01-04 on.

    Parameters
    ----------
    world : str
        ``clear``, ``murky``, ``null``, ``constant``, ``trend-only`` or ``structural-break``.
    **physics
        Other fields of :class:`backtest.market.synthetic.WorldConfig`: ``overnight_share,
        sectors, factor, volatility, volume, break_session``.

    Returns
    -------
    dict
        What was written: the configuration, the span and the files.

    Raises
    ------
    ConfigError
        ``E_WORLD``: an unknown world or a number out of range.
    """
    from pydantic import ValidationError

    from backtest.market.synthetic import WorldConfig, generate
    from backtest.market.world_files import write_world

    if not 1 <= sessions <= 10_000:
        raise ConfigError(
            f"sessions = {sessions}", fix="give a number from 1 to 10000", code="E_WORLD"
        )
    try:
        config = WorldConfig.model_validate(
            {"world": world, "symbols": symbols, "seed": seed, **physics}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{first['loc'][0]} = {first['input']!r}: {first['msg']}", code="E_WORLD"
        ) from None
    days = first_sessions(sessions)
    made = generate(config, days)
    folder = results_folder(out)
    write_world(made, folder)
    return {
        "synthetic": True,
        **config.model_dump(),
        "sessions": sessions,
        "first": str(days[0]),
        "last": str(days[-1]),
        "files": [str(folder / name) for name in ("bars.parquet", "truth.parquet", "market.json")],
    }


def first_sessions(count: int) -> list[date]:
    """First sessions of XNYS from the fixed first one on."""
    from backtest.market.calendar import sessions
    from backtest.market.synthetic import FIRST_SESSION

    # 253 sessions a year at most, and a month to spare.
    end = FIRST_SESSION + timedelta(days=int(count * 1.5) + 31)
    days = sessions("XNYS", FIRST_SESSION, end)[:count]
    if len(days) < count:
        raise ConfigError(
            f"the calendar of XNYS holds {len(days)} sessions from {FIRST_SESSION} on",
            fix="ask for fewer",
            code="E_WORLD",
        )
    return days
