"""How an online model learns, and which saved model may go on.

For: the configuration and the check of a saved schema. Not for: learning (``model``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from backtest.errors import NotFittedError
from backtest.params import ParamGrid


@dataclass(frozen=True)
class OnlineConfig:
    """How an online model learns.

    Parameters
    ----------
    rate : float
        Of the linear regression's gradient steps.
    shrink : float
        Its L2 penalty.
    detector : str
        Name in ``DETECTORS``.
    pause : int
        Decisions for which an alarm lasts.
    memory : float
        Half-life, in decisions, of the prequential scores.
    trees : int
        Of the adaptive random forest.
    span : float
        Decisions over which predictions are averaged.
    band : float
        Running deviations of the trend from which a regime is bull or bear.
    seed : int
    """

    rate: float = 0.003
    shrink: float = 1e-4
    detector: str = "adwin"
    pause: int = 12
    memory: float = 26.0
    trees: int = 5
    span: float = 4.0
    band: float = 0.5
    seed: int = 0


def same_schema(
    values: Mapping[str, Any], grid: ParamGrid, columns: tuple[str, ...] | None
) -> None:
    """Refuse a saved model that is another, with the difference."""
    if values.get("model") != "online":
        what, where = "the folder holds no online model", str(values.get("model", "of no name"))
    elif unlike := set(values["config"]) ^ {field.name for field in fields(OnlineConfig)}:
        what, where = "the online model was saved by another version", ", ".join(sorted(unlike))
    elif (given := grid.rows()) != (known := values["sets"]):
        what = f"the online model was taught on {len(known)} candidate sets that are not these"
        where = f"{sum(one not in known for one in given)} of {len(given)} are new to it"
    elif columns is not None and list(columns) != (read := values["columns"]):
        lost, new = [n for n in read if n not in columns], [n for n in columns if n not in read]
        what = "the online model reads other columns of the market's state"
        where = f"missing: {', '.join(lost) or 'none'}; new: {', '.join(new) or 'none'}"
    else:
        return
    raise NotFittedError(
        what, where=where, fix="give it what it was taught on, or begin anew", code="E_SCHEMA"
    )
