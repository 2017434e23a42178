"""The parameter document: what it says, what it refuses, its schema, its canonical form."""

import hashlib
import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from backtest.errors import ExportRefused, StoreError
from backtest.params import default_set
from backtest.strategies.rsi_swing import RsiSwingParams
from backtest.strategy import STRATEGIES
from ml.export.document import (
    Aim,
    ParameterDocument,
    StrategyEntry,
    bounds_of,
    canonical_json,
    content_sha256,
    decode,
    document_schema,
    encode,
    plain,
)
from ml.export.entry import entry_of
from ml.export.records import ParameterSet
from tests.ml.documents import (
    GRID,
    HELD,
    PROMOTED,
    decision,
    document,
    held_entry,
    one_set,
    promoted_entry,
)

SCHEMA = Path(__file__).parents[2] / "docs/schemas/parameters.schema.json"


def changed(entry: StrategyEntry, **fields) -> StrategyEntry:
    return StrategyEntry.model_validate({**entry.model_dump(), **fields})


def test_the_schema_in_the_repository_is_the_models():
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == document_schema()
    jsonschema.Draft202012Validator.check_schema(document_schema())


@pytest.mark.parametrize(
    "entry", [held_entry(), promoted_entry(), promoted_entry(previous=held_entry())]
)
def test_a_document_validates_against_the_schema(entry):
    values = json.loads(encode(document(entry=entry)))
    jsonschema.validate(values, json.loads(SCHEMA.read_text(encoding="utf-8")))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "sesion": 1}, document_schema())


def test_the_fields_are_the_promised_ones():
    values = plain(document())
    assert list(values) == [
        *("schema_version", "session", "created_at", "universe", "profile", "regime"),
        *("strategies", "model", "data", "code", "previous_sha256", "content_sha256"),
    ]
    assert set(values["strategies"]["rsi_swing"]) == {
        *("action", "parameters", "mix", "by_regime", "target", "previous", "bounds"),
        *("confidence", "evidence", "reason"),
    }
    assert set(values["regime"]) == {"name", "probabilities", "since"}
    assert set(values["model"]) == {"name", "version", "alias", "run_id"}
    assert values["session"] == "2016-02-04"
    assert values["created_at"] == "2016-02-04T22:05:00Z"


def test_the_first_document_holds_the_defaults_and_shows_the_proposal():
    entry = held_entry(GRID.index_of({**default_set(RsiSwingParams), "smoothing": 1}) or 0)
    proposal = decision()
    assert entry.action == "hold"
    assert entry.previous is None
    assert [m.weight for m in entry.mix] == [1.0]
    assert entry.parameters == entry.mix[0].parameters
    assert entry.target.parameters == proposal.parameters
    assert [m.weight for m in entry.target.mix] == [m.weight for m in proposal.mix]
    assert entry.reason == "default kept, held: observations, psr"
    assert [c.name for c in entry.evidence.criteria] == ["observations", "psr", "drawdown"]
    assert entry.evidence.criteria[1].value is None
    assert entry.evidence.criteria[1].reason == "no variance"


def test_a_promoted_document_runs_the_proposal_and_remembers_what_was():
    before = held_entry()
    entry = promoted_entry(previous=before)
    assert entry.action == "update"
    assert Aim(parameters=entry.parameters, mix=entry.mix) == entry.target
    assert entry.previous == Aim(parameters=before.parameters, mix=before.mix)
    assert entry.evidence.promoted_at == date(2015, 6, 1)
    assert entry.reason.startswith("regime_aware promoted on 2015-06-01")


def test_a_champion_put_back_is_an_update_that_says_so():
    """The preceding document came from another fold, in which the proposal was let out."""
    before = promoted_entry()
    entry = held_entry(previous=before)
    assert entry.action == "update"
    assert entry.reason.startswith("default kept, held: observations, psr; put back in place of")
    assert entry.previous == Aim(parameters=before.parameters, mix=before.mix)
    assert held_entry(previous=held_entry()).action == "hold"
    with pytest.raises(ValidationError, match="a hold may not change the mix"):
        type(entry).model_validate(entry.model_dump() | {"action": "hold"})


def test_all_cash_keeps_the_parameters_that_rested():
    cash = ParameterSet("swing_0", "regime_aware", np.zeros(GRID.size), "update")
    facts = {"grid": GRID, "promoted_at": date(2015, 6, 1)}
    first = entry_of(decision(), HELD, cash, previous=None, **facts)
    assert first.mix == ()
    assert first.parameters == default_set(RsiSwingParams)
    later = entry_of(decision(), HELD, cash, previous=held_entry(3), **facts)
    assert later.parameters == GRID.row(3)
    empty = replace(decision(), weights=np.zeros(GRID.size))
    none = entry_of(empty, HELD, cash, previous=None, **facts)
    assert none.target.parameters is None


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_bounds_are_those_of_the_strategy(name):
    params = STRATEGIES.get(name).params
    bounds = bounds_of(params.model_json_schema())
    assert set(bounds) == set(params.model_fields)
    for field, wanted in params.ranges().items():
        assert (bounds[field].minimum, bounds[field].maximum) == (wanted.low, wanted.high)
    for field, choices in params.choices().items():
        assert bounds[field].choices == choices
    for field, value in default_set(params).items():
        assert bounds[field].allows(value)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"parameters": {"period": 14}}, "exist"),
        ({"parameters": {**GRID.row(0), "period": 600}}, "'period' = 600 is out of bounds"),
        ({"parameters": {**GRID.row(0), "direction": "up"}}, "'direction' = 'up' is out of bounds"),
        ({"parameters": GRID.row(1)}, "heaviest"),
        ({"mix": [{"weight": 0.6, "parameters": GRID.row(i)} for i in (0, 1)]}, "more than 1"),
        ({"mix": [{"weight": 0.05, "parameters": GRID.row(0)}] * 17}, "at most 16"),
        ({"mix": [{"weight": -0.1, "parameters": GRID.row(0)}]}, "greater than or equal to 0"),
        ({"reason": ""}, "at least 1"),
        ({"action": "buy"}, "'update' or 'hold'"),
    ],
)
def test_what_a_strategy_may_not_say(fields, complaint):
    with pytest.raises(ValidationError, match=complaint):
        changed(held_entry(0), **fields)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_impossible_everywhere(bad):
    entry = held_entry()
    for path, value in (
        ("mix", [{"weight": bad, "parameters": GRID.row(0)}]),
        ("parameters", {**GRID.row(0), "width": bad}),
        ("by_regime", {"calm": {"parameters": GRID.row(0), "score": bad, "sessions": 1.0}}),
        ("evidence", {**entry.evidence.model_dump(), "smallest_gain": bad}),
        ("confidence", {"overall": bad, "parameters": {}}),
    ):
        with pytest.raises(ValidationError):
            changed(entry, **{path: value})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": bad})


def test_a_bad_value_of_the_decision_path_is_refused_in_one_line():
    broken = replace(decision(), confidence=math.nan)
    exported = ParameterSet("swing_0", "default", one_set(0), "hold")
    with pytest.raises(ExportRefused, match=r"^E_EXPORT: the document would be wrong") as caught:
        entry_of(broken, HELD, exported, grid=GRID, previous=None, promoted_at=None)
    assert "\n" not in str(caught.value)
    with pytest.raises(ExportRefused, match=r"^E_EXPORT: .*universe"):
        document(universe=None)


def test_rounding_above_one_is_cut_and_more_is_refused():
    proposal = replace(decision(), confidence=1.0 + 1e-12)
    exported = ParameterSet("swing_0", "default", one_set(0, share=1.0 + 1e-12), "hold")
    facts = {"grid": GRID, "previous": None, "promoted_at": None}
    entry = entry_of(proposal, HELD, exported, **facts)
    assert entry.confidence.overall == 1.0
    assert entry.mix[0].weight == 1.0
    with pytest.raises(ExportRefused):
        entry_of(replace(proposal, confidence=1.01), HELD, exported, **facts)


def test_a_proposal_that_is_not_sure_is_held_with_the_reason():
    why = "confidence 0.480 is not above 0.5"
    exported = ParameterSet("swing_0", "regime_aware", one_set(0), "hold", unsure=why)
    entry = entry_of(
        decision(), PROMOTED, exported, grid=GRID, previous=None, promoted_at=date(2015, 6, 1)
    )
    assert entry.action == "hold"
    assert entry.reason == f"regime_aware kept as it is: {why}"
    assert entry.confidence.parameters == decision().parameter_confidence


def test_numpy_values_become_plain_ones():
    entry = changed(held_entry(), parameters={n: np.asarray(v)[()] for n, v in GRID.row(0).items()})
    assert {type(v) for v in entry.parameters.values()} <= {int, float, str, bool}


def test_canonical_form_by_hand():
    values = {"b": [1, 0.5], "a": {"z": None, "é": True}}
    assert canonical_json(values) == '{"a":{"z":null,"é":true},"b":[1,0.5]}'.encode()


def test_the_hash_can_be_computed_by_anyone_from_the_file():
    values = json.loads(encode(document()))
    said = values.pop("content_sha256")
    del values["created_at"], values["model"]["run_id"], values["model"]["version"]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == said


def test_what_the_hash_covers():
    said = document().content_sha256
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    model = {"name": "weathervane-parameters", "version": 9, "alias": "champion", "run_id": "r"}
    assert document(created_at=moment, model=model).content_sha256 == said
    assert document(model={**model, "alias": "challenger"}).content_sha256 != said
    assert document(universe="other").content_sha256 != said
    assert document(previous=document()).content_sha256 != said
    assert document(entry=held_entry(1)).content_sha256 != said
    assert document(date(2016, 2, 5)).content_sha256 != said


def test_the_chain_names_the_preceding_content():
    first = document()
    second = document(date(2016, 2, 5), previous=first)
    assert first.previous_sha256 is None
    assert second.previous_sha256 == first.content_sha256


def test_minus_zero_is_zero():
    entry = held_entry()
    score = {"calm": {"parameters": GRID.row(0), "score": -0.0, "sessions": 1.0}}
    other = {"calm": {"parameters": GRID.row(0), "score": 0.0, "sessions": 1.0}}
    one, two = (document(entry=changed(entry, by_regime=rows)) for rows in (score, other))
    assert one.content_sha256 == two.content_sha256
    assert encode(one) == encode(two)


def test_reading_back_gives_the_same_document():
    made = document(entry=promoted_entry(previous=held_entry()))
    back = decode(encode(made), where="file")
    assert back == made
    assert encode(back) == encode(made)
    assert content_sha256(json.loads(encode(made))) == made.content_sha256


def test_a_changed_number_is_found_by_its_content_hash():
    text = encode(document()).decode()
    assert '"quarantined": 2' in text
    changed_text = text.replace('"quarantined": 2', '"quarantined": 3')
    with pytest.raises(StoreError, match=r"^E_CORRUPT: content_sha256 .* does not fit"):
        decode(changed_text.encode(), where="file")
    for content in (b"", b"[]", b"{}", b"\xff", text.encode()[:-10]):
        with pytest.raises(StoreError, match=r"^E_CORRUPT: not a parameter document") as caught:
            decode(content, where="file")
        assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text() | st.none(),
    )
)
def test_canonical_json_reads_back_and_does_not_depend_on_order(values):
    text = canonical_json(values)
    assert json.loads(text) == values
    assert canonical_json(dict(reversed(values.items()))) == text
    assert canonical_json(json.loads(text)) == text


def test_the_model_refuses_unknown_fields_and_is_frozen():
    made = document()
    with pytest.raises(ValidationError, match="Extra inputs"):
        ParameterDocument.model_validate({**plain(made), "more": 1})
    with pytest.raises(ValidationError, match="frozen"):
        made.universe = "other"
