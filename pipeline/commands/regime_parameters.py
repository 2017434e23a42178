"""What each strategy would run if a regime were certain, from the registered model.

For: ``weathervane show --regime``. Not for: today's parameters, which the document holds, nor a
search by regime (``tuning``).
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import StoreError

if TYPE_CHECKING:
    from pipeline.config import Home
    from pipeline.tracker import Loaded


def regime_parameters(words: str, home: Path | None = None) -> dict[str, Any]:
    """Ask the registered parameter model for the parameters of a regime.

    Parameters
    ----------
    words : str
        A regime's whole name, or words of it.
    home : pathlib.Path, optional
        As ``--home``.

    Returns
    -------
    dict
        ``model`` (name, version, alias), ``selected_at`` and, under ``strategies``, the fields of
        ``ml.parameter_table.RegimeParameters`` by strategy.

    Raises
    ------
    StoreError
        ``E_MODEL``: nothing is registered in the home.
    UnknownNameError
        ``E_UNKNOWN_REGIME``: the fit in force has no such regime.
    """
    from ml.parameter_table import ParameterTable
    from pipeline.config import Home, home_of

    loaded, alias = _registered(Home(home_of(home)))
    found = ParameterTable(loaded.arrays, loaded.config).get_regime_specific_parameters(words)
    return {
        "regime": words,
        "model": {"name": loaded.name, "version": loaded.version, "alias": alias},
        "selected_at": loaded.config["selected_at"],
        "strategies": {name: asdict(one) for name, one in found.items()},
    }


def _registered(home: "Home") -> "tuple[Loaded, str]":
    """The champion; the challenger where nothing was promoted yet."""
    from pipeline.config import TrackingConfig
    from pipeline.tracker import PARAMETERS_MODEL, open_tracker
    from pipeline.tracker.client import DATABASE

    if not (home.mlflow / DATABASE).exists():
        raise StoreError(
            "no model is registered",
            where=str(home.root),
            fix="`weathervane run` registers one",
            code="E_MODEL",
        )
    tracker = open_tracker(home, TrackingConfig())
    try:
        return tracker.load_model(PARAMETERS_MODEL, "champion"), "champion"
    except StoreError as error:
        if error.code != "E_MODEL":
            raise
    return tracker.load_model(PARAMETERS_MODEL, "challenger"), "challenger"


def regime_lines(told: dict[str, Any]) -> list[str]:
    """Say what each strategy would run in the regime that was asked for."""
    import json

    model = told["model"]
    lines = [
        f"if {told['regime']!r} were certain, by {model['name']} version {model['version']} "
        f"({model['alias']}), selected at {told['selected_at']}"
    ]
    for name, one in told["strategies"].items():
        score = "undefined" if one["score"] is None else f"{one['score']:+.3f}"
        lines += [
            "",
            f"{name}: {one['sessions']:.0f} effective sessions of {', '.join(one['regimes'])}; "
            f"Sharpe ratio a session {score}",
            f"  {json.dumps(one['parameters'])}",
        ]
        lines += [f"  {m['weight']:.3f}  {json.dumps(m['parameters'])}" for m in one["mix"]]
    return lines
