"""Exported documents in words: what to run, why, and what changed.

For: the lines that ``show``, ``explain``, ``diff`` and ``history`` print. Not for: reading files.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml.export.document import Aim, Bound, Criterion, ParameterDocument, StrategyEntry
    from pipeline.exports.reading import History

_DIGITS = 5
_HASH = 12


@dataclass(frozen=True)
class Change:
    """One value that differs between two documents; None where it does not exist.

    Parameters
    ----------
    path : str
        Dotted place in the document; a member of a mix is named by its parameters.
    before, after
        Plain values.
    """

    path: str
    before: Any
    after: Any


def show(document: "ParameterDocument") -> list[str]:
    """Tell what to run from the next open on."""
    regime = document.regime
    lines = [
        f"session {document.session}  universe {document.universe}{_mark(document)}",
        f"regime {regime.name} since {regime.since}"
        f" (probability {_number(regime.probabilities.get(regime.name))})",
    ]
    for name, entry in document.strategies.items():
        lines += ["", f"{name}: {entry.action} ({entry.reason})", f"  {_set(entry.parameters)}"]
        lines += _mix(entry.mix)
    return lines


def explain(document: "ParameterDocument") -> list[str]:
    """Tell why the parameters are what they are."""
    lines = show(document)[:2]
    lines += [f"  {name}: {_number(p)}" for name, p in document.regime.probabilities.items()]
    for name, entry in document.strategies.items():
        lines += ["", f"{name}: {entry.action}, because {entry.reason}"]
        lines += _parameters(entry) + _mix(entry.mix) + _target(entry) + _table(entry)
        lines += _gate(entry)
    facts, code = document.data, document.code
    lines += [
        "",
        f"data: {facts.symbols} symbols, {facts.first} to {facts.last}, {facts.quarantined} rows"
        f" quarantined, snapshot {facts.snapshot[:_HASH]}",
        f"model: {document.model.name} version {document.model.version or 'none'}"
        f" ({document.model.alias or 'no alias'}), run {document.model.run_id or 'none'}",
        f"code: {code.version}, revision {(code.revision or 'unknown')[:23]}",
        f"content {document.content_sha256[:_HASH]}, after"
        f" {(document.previous_sha256 or 'nothing')[:_HASH]}",
    ]
    return lines


def diff(before: "ParameterDocument", after: "ParameterDocument") -> list[Change]:
    """List what differs in regime and strategies, in the order of the documents."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return [
        Change(path, old.get(path), new.get(path))
        for path in dict.fromkeys([*old, *new])
        if old.get(path) != new.get(path)
    ]


def diff_lines(before: "ParameterDocument", after: "ParameterDocument") -> list[str]:
    """Tell what changed from one document to another."""
    changes = diff(before, after)
    told = [(c.path, _side(c.before), _side(c.after)) for c in changes]
    seen = [f"  {path}: {old} -> {new}" for path, old, new in told if old != new]
    small = len(told) - len(seen)
    if small:
        seen.append(f"  and {small} changes beyond the {_DIGITS}th digit")
    lines = [f"from session {before.session} to session {after.session}", *seen]
    return lines if seen else [*lines, "  nothing changed"]


def history_lines(found: "History") -> list[str]:
    """Tell the ledger, oldest entry first."""
    lines = ["entry  session     action    content       at                         state"]
    for entry in found.entries:
        state = ["in force"] if entry.entry in found.in_force else []
        state += ["latest"] if entry.entry == found.latest else []
        lines.append(
            f"{entry.entry:>5}  {entry.session}  {entry.action:<8}"
            f"  {entry.content_sha256[:_HASH]}  {entry.at}  {', '.join(state)}".rstrip()
        )
    return lines


def _mark(document: "ParameterDocument") -> str:
    return "  (synthetic market)" if document.data.synthetic else ""


def _number(value: Any) -> str:
    """Write a value short; null where there is none."""
    if value is None:
        return "null"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _set(parameters: Mapping[str, Any] | None) -> str:
    if parameters is None:
        return "cash"
    return ", ".join(f"{n} {_number(v)}" for n, v in parameters.items()) or "no parameters"


def _mix(mix: Iterable[Any]) -> list[str]:
    """One line for each member, and one for the cash."""
    members = list(mix)
    lines = [f"    {m.weight:6.1%}  {_set(m.parameters)}" for m in members]
    cash = max(1.0 - sum(m.weight for m in members), 0.0)
    return [*lines, f"    {cash:6.1%}  cash"] if cash >= 0.0005 else lines


def _parameters(entry: "StrategyEntry") -> list[str]:
    """One line for each parameter: value and bounds."""
    width = max(map(len, entry.parameters), default=0)
    return [
        f"  {name:<{width}} {_number(value)}{_bound(entry.bounds[name])}"
        for name, value in entry.parameters.items()
    ]


def _bound(bound: "Bound") -> str:
    if bound.choices is not None:
        return f" (one of {', '.join(map(str, bound.choices))})"
    if bound.minimum is None or bound.maximum is None:
        return ""
    return f" ({_number(bound.minimum)} to {_number(bound.maximum)})"


def _target(entry: "StrategyEntry") -> list[str]:
    """Tell the proposal and how sure it is, and how far the last step went."""
    shares = ", ".join(f"{name} {p:.0%}" for name, p in entry.confidence.parameters.items())
    told = f"; by parameter: {shares}" if shares else ""
    lines = [f"  proposed: {_set(entry.target.parameters)}"]
    lines.append(f"    confidence {entry.confidence.overall:.0%} of beating the average{told}")
    if entry.target.mix != entry.mix:
        lines += _mix(entry.target.mix)
    if entry.previous is None:
        return [*lines, "  no earlier document"]
    moved = _distance(entry.previous, entry)
    return [*lines, f"  {moved:.1%} of the mix moved since the preceding document"]


def _distance(before: "Aim", after: "StrategyEntry") -> float:
    """Total variation between two mixes, with cash as one more member."""
    old, new = _weights(before.mix), _weights(after.mix)
    old["cash"], new["cash"] = 1.0 - sum(old.values()), 1.0 - sum(new.values())
    return 0.5 * sum(abs(old.get(k, 0.0) - new.get(k, 0.0)) for k in {*old, *new})


def _weights(mix: Iterable[Any]) -> dict[str, float]:
    return {json.dumps(m.parameters, sort_keys=True): m.weight for m in mix}


def _table(entry: "StrategyEntry") -> list[str]:
    """One line for each regime."""
    lines = ["  by regime:"]
    for name, row in entry.by_regime.items():
        score = f"score {_number(row.score)} a session" if row.score is not None else "no score"
        lines.append(f"    {name}: {_set(row.parameters)} ({score}, {row.sessions:.0f} sessions)")
    return lines if entry.by_regime else []


def _gate(entry: "StrategyEntry") -> list[str]:
    """One line for each criterion."""
    evidence = entry.evidence
    lines = [f"  gate, after {evidence.sessions} sessions out of sample:"]
    lines += [_criterion(line) for line in evidence.criteria]
    if evidence.smallest_gain is not None:
        gain = _number(evidence.smallest_gain)
        lines.append(f"    smallest gain that could have been seen: {gain} in annual Sharpe")
    return lines


def _criterion(line: "Criterion") -> str:
    verdict = "pass" if line.passed else "FAIL"
    sign = ">=" if line.better == "above" else "<="
    why = f" ({line.reason})" if line.reason else ""
    return f"    {verdict} {line.name}: {_number(line.value)} {sign} {_number(line.limit)}{why}"


def _flat(document: "ParameterDocument") -> Iterable[tuple[str, Any]]:
    """Pairs of dotted path and plain value, of regime and strategies."""
    from ml.export.document import plain

    values = plain(document)
    yield from _leaves("regime", values["regime"])
    for name, entry in values["strategies"].items():
        for field in entry:
            if field not in ("previous", "bounds"):
                yield from _leaves(f"{name}.{field}", entry[field])


def _leaves(path: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for item in value:
            yield from _item(path, item)
    else:
        yield path, value


def _item(path: str, item: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Name a member of a mix by its parameters, a criterion by its name."""
    if "weight" in item:
        yield f"{path}[{_set(item['parameters'])}]", item["weight"]
    else:
        yield f"{path}[{item['name']}]", item["value"]


def _side(value: Any) -> str:
    return "none" if value is None else _number(value)
