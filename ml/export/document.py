"""The parameter document: the versioned JSON that leaves the house, one for each session.

For: its shape, its JSON Schema, what it refuses to say, its canonical form and its hash. Not for:
deciding what is in it (``ml.decision``) or where its files lie (``pipeline.exports``).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from backtest.errors import ExportRefused, StoreError

SCHEMA_VERSION = 1
MAX_MEMBERS = 16
UNHASHED = ("created_at", "model.run_id", "model.version", "content_sha256")
"""What may differ between two documents of equal content."""

_ROUNDING = 1e-9


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar into Python's own."""
    return value.item() if hasattr(value, "item") else value


Value = Annotated[bool | int | float | str, BeforeValidator(_plain)]
Parameters = dict[str, Value]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """Base of everything in the document: frozen, no unknown field, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Member(Part):
    """One parameter set of a mix, with its share of the strategy's capital."""

    weight: Share
    parameters: Parameters


Mix = Annotated[tuple[Member, ...], Field(max_length=MAX_MEMBERS)]


class Aim(Part):
    """A mix and its heaviest member, null for all cash: what was proposed, or exported before."""

    parameters: Parameters | None
    mix: Mix


class RegimeSet(Part):
    """What would be best in one regime, its score (Sharpe per session) and effective sessions.

    Null where no set is eligible.
    """

    parameters: Parameters | None
    score: float | None
    sessions: Annotated[float, Field(ge=0.0)]


class Bound(Part):
    """What values a parameter may take: a closed range, or choices."""

    type: Literal["integer", "number", "string", "boolean"]
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Value, ...] | None = None

    def allows(self, value: Value) -> bool:
        """Say whether a value lies within."""
        if self.choices is not None:
            return value in self.choices
        if isinstance(value, str) or self.minimum is None or self.maximum is None:
            return isinstance(value, str) == (self.type == "string")
        return self.minimum <= value <= self.maximum


class Confidence(Part):
    """Probabilities of what the proposal claims of the next 30 sessions.

    ``overall``: the mix earns more than the plain average of all eligible sets. ``parameters``: the
    values that the mix gives a parameter earn more than the average over its values.
    """

    overall: Share
    parameters: dict[str, Share]


class Criterion(Part):
    """One thing that the gate looked at; a value that does not exist is null with a reason."""

    name: str
    value: float | None
    limit: float
    better: Literal["above", "below"]
    passed: bool
    reason: str = ""


class GateEvidence(Part):
    """Why the gate let a proposal out, or did not.

    Parameters
    ----------
    champion : str
        Policy whose mix is run: ``default``, ``incumbent`` or ``regime_aware``.
    sessions : int
        Out-of-sample sessions behind it.
    smallest_gain : float, optional
        Smallest gain in annual Sharpe that so many sessions could have shown.
    promoted_at : date, optional
        Session from which proposals have been let out.
    criteria : tuple of Criterion
    """

    champion: str
    sessions: Annotated[int, Field(ge=0)]
    smallest_gain: float | None = None
    promoted_at: date | None = None
    criteria: tuple[Criterion, ...] = ()


class StrategyEntry(Part):
    """One strategy: what to run from the next open on, what was proposed, and why.

    ``parameters`` is the heaviest member of ``mix``; what the weights leave over is cash.
    """

    action: Literal["update", "hold"]
    parameters: Parameters
    mix: Mix
    by_regime: dict[str, RegimeSet]
    target: Aim
    previous: Aim | None
    bounds: dict[str, Bound]
    confidence: Confidence
    evidence: GateEvidence
    reason: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        """Refuse a set with missing, unknown or out-of-range parameters."""
        sets = [self.parameters, self.target.parameters]
        sets += [member.parameters for member in (*self.mix, *self.target.mix)]
        sets += [row.parameters for row in self.by_regime.values()]
        for one in filter(None, sets):
            if one.keys() != self.bounds.keys():
                raise ValueError(f"parameters {sorted(one)}, where {sorted(self.bounds)} exist")
            for name, value in one.items():
                if not self.bounds[name].allows(value):
                    raise ValueError(f"parameter {name!r} = {value!r} is out of bounds")
        return self

    @model_validator(mode="after")
    def _sound_mixes(self) -> Self:
        """Refuse a mix of more than the whole, or another set than its heaviest."""
        for parameters, mix in (
            (self.parameters, self.mix),
            (self.target.parameters, self.target.mix),
        ):
            if math.fsum(member.weight for member in mix) > 1.0 + _ROUNDING:
                raise ValueError("the weights of a mix sum to more than 1")
            top = max((member.weight for member in mix), default=0.0)
            heaviest = [m.parameters for m in mix if m.weight >= top - _ROUNDING]
            if mix and parameters not in heaviest:
                raise ValueError("parameters are not the heaviest member of the mix")
        return self

    @model_validator(mode="after")
    def _a_hold_holds(self) -> Self:
        """Refuse a hold that changes what is run."""
        if self.action == "hold" and self.previous is not None and self.previous.mix != self.mix:
            raise ValueError("a hold may not change the mix that is run")
        return self


class Regime(Part):
    """State of the market at the session's close, filtered."""

    name: str
    probabilities: dict[str, Share]
    since: date


class ModelFacts(Part):
    """Registered model behind the document; ``run_id`` and ``version`` are not hashed."""

    name: str
    version: int | None = None
    alias: str | None = None
    run_id: str | None = None


class DataFacts(Part):
    """What the research saw; ``quarantined`` counts rows, ``synthetic`` an invented market."""

    snapshot: str
    first: date
    last: date
    symbols: Annotated[int, Field(ge=1)]
    quarantined: Annotated[int, Field(ge=0)]
    synthetic: bool


class CodeFacts(Part):
    """What computed it: version, revision of the source, SHA-256 of the locked requirements."""

    version: str
    revision: str | None = None
    lock: str | None = None


class ParameterDocument(Part):
    """Parameters of every strategy for the session after ``session``, with reasons."""

    schema_version: Literal[1] = 1
    session: date
    created_at: AwareDatetime
    universe: str
    profile: str
    regime: Regime
    strategies: Annotated[dict[str, StrategyEntry], Field(min_length=1)]
    model: ModelFacts
    data: DataFacts
    code: CodeFacts
    previous_sha256: Sha256 | None
    content_sha256: Sha256


def bounds_of(schema: Mapping[str, Any]) -> dict[str, Bound]:
    """Read the bounds of a strategy's parameters from their JSON Schema.

    Examples
    --------
    >>> schema = {"properties": {"n": {"type": "integer", "minimum": 2, "maximum": 9}}}
    >>> bounds_of(schema)["n"].maximum
    9.0
    """
    bounds = {}
    for name, field in schema.get("properties", {}).items():
        choices = field.get("enum", [field["const"]] if "const" in field else None)
        bounds[name] = Bound(
            type=field.get("type", "string"),
            minimum=field.get("minimum"),
            maximum=field.get("maximum"),
            choices=None if choices is None else tuple(choices),
        )
    return bounds


def build_document(strategies: Mapping[str, StrategyEntry], **facts: Any) -> ParameterDocument:
    """Put a document together and give it its content hash.

    Parameters
    ----------
    strategies : mapping of str to StrategyEntry
    **facts
        The other fields of :class:`ParameterDocument` (``session, created_at, universe, profile,
        regime, model, data, code, previous_sha256``), as objects or plain values.

    Raises
    ------
    ExportRefused
        A field is missing, unknown or not finite.
    """
    try:
        draft = ParameterDocument(strategies=dict(strategies), content_sha256="0" * 64, **facts)
    except ValidationError as error:
        refuse(error)
    return draft.model_copy(update={"content_sha256": content_sha256(draft)})


def refuse(error: ValidationError) -> NoReturn:
    """Turn the first complaint about a document into one line."""
    first = error.errors()[0]
    raise ExportRefused(
        f"the document would be wrong: {first['msg']}",
        where=".".join(str(part) for part in first["loc"]) or "strategy",
        fix="mend what computed it",
    ) from None


def _positive_zero(value: Any) -> Any:
    """Write minus zero as zero, everywhere in plain values."""
    if isinstance(value, dict):
        return {name: _positive_zero(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_positive_zero(inner) for inner in value]
    return 0.0 if isinstance(value, float) and value == 0.0 else value


def plain(document: ParameterDocument) -> dict[str, Any]:
    """Plain JSON values of a document, in the order of its fields."""
    made: dict[str, Any] = _positive_zero(document.model_dump(mode="json"))
    return made


def canonical_json(values: Mapping[str, Any]) -> bytes:
    """Encode plain values in the one canonical way: UTF-8, sorted keys, no white space.

    Raises
    ------
    ValueError
        A number is NaN or infinite.

    Examples
    --------
    >>> canonical_json({"b": 1.0, "a": "é"}).decode()
    '{"a":"é","b":1.0}'
    """
    text = json.dumps(
        values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def content_sha256(document: ParameterDocument | Mapping[str, Any]) -> str:
    """Hash the content: the canonical form without what ``UNHASHED`` names."""
    values = dict(plain(document) if isinstance(document, ParameterDocument) else document)
    for dotted in UNHASHED:
        *path, name = dotted.split(".")
        if path:
            values[path[0]] = {k: v for k, v in values[path[0]].items() if k != name}
        else:
            values.pop(name, None)
    return hashlib.sha256(canonical_json(values)).hexdigest()


def encode(document: ParameterDocument) -> bytes:
    """Bytes of the document's file: indented, in the order of the fields."""
    text = json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def decode(content: bytes, *, where: str) -> ParameterDocument:
    """Read a document back, checking its shape and its content hash.

    Raises
    ------
    StoreError
        ``E_CORRUPT``: not a document, or not the content that was hashed.
    """
    try:
        document = ParameterDocument.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"not a parameter document ({'.'.join(map(str, first['loc']))}: {first['msg']})"
    else:
        found = content_sha256(document)
        if found == document.content_sha256:
            return document
        what = f"content_sha256 {document.content_sha256[:12]} does not fit its content"
    fix = "run `weathervane run` again or roll back to an intact entry"
    raise StoreError(what, where=where, fix=fix, code="E_CORRUPT")


def document_schema() -> dict[str, Any]:
    """JSON Schema of the document."""
    schema = ParameterDocument.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
