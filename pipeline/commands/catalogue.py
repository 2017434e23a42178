"""What is registered, and the JSON Schemas that go with it.

For: ``weathervane list`` and ``weathervane schema``. Not for: running any part.
"""

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from backtest.errors import UnknownNameError
from backtest.registry import closest

if TYPE_CHECKING:
    from backtest.registry import Registry

SOCKETS = {
    "strategies": ("backtest.strategy", "STRATEGIES"),
    "features": ("ml.feature", "FEATURES"),
    "regimes": ("ml.regime", "REGIMES"),
    "learners": ("ml.learner", "LEARNERS"),
    "metrics": ("backtest.metric", "METRICS"),
    "providers": ("pipeline.provider", "PROVIDERS"),
}
DOCUMENTS = ("parameters", "evidence")


def parts(kind: str) -> dict[str, str]:
    """List the registered names of one kind, each with one line about it.

    Raises
    ------
    UnknownNameError
        No such kind.
    """
    if kind not in SOCKETS:
        raise UnknownNameError(f"unknown kind {kind!r}", fix=closest(kind, list(SOCKETS)))
    module, name = SOCKETS[kind]
    registry: Registry[Any] = getattr(importlib.import_module(module), name)
    return {name: _about(part) for name, part in registry.items()}


def schema_of(name: str) -> dict[str, Any]:
    """Give the JSON Schema of a strategy's parameters or of a document.

    Documents are ``parameters`` and ``evidence``.

    Raises
    ------
    UnknownNameError
        Neither a strategy nor a document.
    """
    from backtest.strategy import STRATEGIES

    if name == "parameters":
        from ml.export.document import document_schema

        return document_schema()
    if name == "evidence":
        from ml.evidence import evidence_schema

        return evidence_schema()
    known = [*STRATEGIES.names(), *DOCUMENTS]
    if name not in known:
        raise UnknownNameError(f"unknown schema {name!r}", fix=closest(name, known))
    params = STRATEGIES.get(name).params
    rule = (inspect.getdoc(params.feasible) or "").split("\n")[0].split(";")[0]
    between = {"rule": f"{rule}."} if "feasible" in vars(params) else {}
    return {**params.model_json_schema(), **between}


def _about(part: Any) -> str:
    """One line about a part: what its fields say, else how its docstring opens."""
    said = []
    for field in ("unit", "better", "lookback"):
        value = getattr(part, field, None)
        if value is not None:
            said.append(f"{field} {value}")
    if said:
        return ", ".join(said)
    kind = part if inspect.isclass(part) else type(part)
    return (inspect.getdoc(kind) or "").split("\n")[0]
