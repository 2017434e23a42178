"""What is registered, what can be set, and the JSON Schemas that go with it.

For: ``weathervane list`` and ``weathervane schema``. Not for: running any part.
"""

import importlib
import inspect
import json
import re
from typing import TYPE_CHECKING, Any

from backtest.errors import UnknownNameError
from backtest.registry import closest

if TYPE_CHECKING:
    from backtest.registry import Registry

SOCKETS = {
    "strategies": ("backtest.strategy", "STRATEGIES"),
    "features": ("ml.feature", "FEATURES"),
    "states": ("ml.state_feature", "STATE_FEATURES"),
    "labels": ("ml.labels", "LABELS"),
    "regimes": ("ml.regime", "REGIMES"),
    "searchers": ("ml.searcher", "SEARCHERS"),
    "learners": ("ml.learner", "LEARNERS"),
    "metrics": ("backtest.metric", "METRICS"),
    "providers": ("pipeline.provider", "PROVIDERS"),
}
DOCUMENTS = ("parameters", "evidence")
SETTINGS = "settings"
_ENTRY = re.compile(r"^(\w+(?:, \w+)*)(?: :.*)?\n((?:    .+\n?|\n)+)", re.MULTILINE)


def parts(kind: str) -> dict[str, dict[str, Any]]:
    """List the registered names of one kind, each with what one chooses it by.

    Returns
    -------
    dict of str to dict
        ``about`` (a sentence) for parts that have a file of their own, and plain facts: units,
        look-back or horizon, parameters with their bounds; the ``default`` of a setting.

    Raises
    ------
    UnknownNameError
        No such kind.
    """
    if kind == SETTINGS:
        return _settings()
    if kind not in SOCKETS:
        known = [*SOCKETS, SETTINGS]
        raise UnknownNameError(f"unknown kind {kind!r}", fix=closest(kind, known))
    module, name = SOCKETS[kind]
    registry: Registry[Any] = getattr(importlib.import_module(module), name)
    return {name: _facts(part) for name, part in registry.items()}


def part_lines(found: dict[str, dict[str, Any]]) -> list[str]:
    """Write the parts as aligned columns, a line each."""
    rows = [[name, *filter(None, _columns(facts))] for name, facts in found.items()]
    columns = list(zip(*rows, strict=True))
    padded = [[f"{cell:<{max(map(len, column))}}" for cell in column] for column in columns]
    return ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


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
    between = {"rule": f"{rule.rstrip('.')}."} if "feasible" in vars(params) else {}
    return {**params.model_json_schema(), **between}


def _settings() -> dict[str, dict[str, Any]]:
    """Every setting by its dotted name, with its default and what its section says of it."""
    from pydantic import BaseModel

    from pipeline.config.settings import Settings

    default = Settings(profile="")
    found = {"seed": {"default": default.seed, "about": _said(Settings)["seed"]}}
    for section in type(default).model_fields:
        inner = getattr(default, section)
        if not isinstance(inner, BaseModel):
            continue
        said = _said(type(inner))
        for name, value in inner.model_dump(mode="json").items():
            about = said.get(name, (inspect.getdoc(type(inner)) or "").split("\n")[0])
            found[f"{section}.{name}"] = {"default": value, "about": about}
    return found


def _said(section: type) -> dict[str, str]:
    """First sentence of each parameter of a class."""
    entries = _ENTRY.findall(f"{inspect.getdoc(section)}\n")
    return {
        name: re.split(r"(?<=\.) ", " ".join(text.split()))[0].rstrip(".;")
        for names, text in entries
        for name in names.split(", ")
    }


def _facts(part: Any) -> dict[str, Any]:
    """Say what there is to say of a part, in plain values."""
    plain = ("unit", "lookback", "horizon", "scope", "meaning", "better", "annualised")
    facts = {name: getattr(part, name) for name in plain if hasattr(part, name)}
    if facts:
        return facts
    if hasattr(part, "fetch") or hasattr(part, "open"):
        facts["kind"] = "feed" if hasattr(part, "open") else "provider"
        facts["needs"] = getattr(part, "needs", "nothing")
    if hasattr(part, "params"):
        bounds = part.params.ranges()
        facts["parameters"] = {
            name: [bounds[name].low, bounds[name].high] if name in bounds else list(options)
            for name, options in {**dict.fromkeys(bounds, ()), **part.params.choices()}.items()
        }
        facts["candidates"] = part.candidates().size
    kind = part if inspect.isclass(part) else type(part)
    file = (inspect.getmodule(kind).__doc__ or "").split("\n")[0]
    return {"about": getattr(part, "about", file), **facts}


def _columns(facts: dict[str, Any]) -> tuple[str, str]:
    """Facts in a few words, and the sentence."""
    words = []
    if "default" in facts:
        words.append(json.dumps(facts["default"]))
    if "unit" in facts:
        words.append(f"{facts['unit']:<11}")
    if "lookback" in facts:
        scopes = {"symbol": "per symbol", "date": "across symbols"}
        scope = scopes.get(facts.get("scope", ""), "")
        words.append(f"looks back {facts['lookback']:>3}  {scope}".rstrip())
    if "horizon" in facts:
        words.append(f"looks ahead {facts['horizon']:>2}")
    if "better" in facts:
        words.append(f"{facts['better']} is better")
        words.append("annualised" if facts["annualised"] else "")
    if "kind" in facts:
        words.append(f"{facts['kind']:<8}  needs {facts['needs']}")
    if "parameters" in facts:
        words.append(f"{len(facts['parameters'])} parameters, {facts['candidates']:>3} candidates")
    return "  ".join(words).rstrip(), str(facts.get("about", facts.get("meaning", "")))
