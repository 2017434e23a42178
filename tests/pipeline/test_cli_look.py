"""`list` and `schema` show what is registered."""

import json

import jsonschema
import pytest

from backtest.strategy import STRATEGIES
from pipeline.config import load_settings
from tests.pipeline.cli_runner import weathervane


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("strategies", {"buy_and_hold", "rsi_reversion", "rsi_swing", "ma_cross"}),
        ("features", {"momentum_return_20"}),
        ("states", {"market_breadth_50", "market_correlation_20"}),
        ("labels", {"y_return_5", "y_barrier_20"}),
        ("regimes", {"average", "axes", "hmm", "jump", "mixture", "rules"}),
        ("learners", {"static", "regime_table", "experts"}),
        ("metrics", {"sharpe", "sortino", "max_drawdown"}),
        ("providers", {"synthetic", "files"}),
    ],
)
def test_list_names_the_registered_parts(kind: str, some: set[str]):
    ran = weathervane("list", kind, "--json")
    assert ran.code == 0, ran.err
    assert some <= set(json.loads(ran.out))
    plain = weathervane("list", kind).out.splitlines()
    assert {line.split()[0] for line in plain} == set(json.loads(ran.out))
    assert all(len(line.split()) > 3 for line in plain), "more than a name"
    assert max(map(len, plain)) <= 135


def test_list_settings_names_each_with_its_default_and_what_it_does():
    found = json.loads(weathervane("list", "settings", "--json").out)
    default = load_settings("demo").model_dump(mode="json")
    told = {f"{s}.{n}" for s, inner in default.items() if isinstance(inner, dict) for n in inner}
    assert set(found) == told | {"seed"}
    assert all(len(facts["about"].split()) > 1 for facts in found.values())
    assert found["feed.most_failed"] == {
        "default": 0.05,
        "about": "Share of the symbols that may be without an answer; above it nothing is exported",
    }
    assert "feed.most_failed" in weathervane("list", "settings").out


def test_list_says_what_one_chooses_by():
    found = json.loads(weathervane("list", "strategies", "--json").out)["rsi_swing"]
    assert found["candidates"] == 140
    assert found["parameters"]["direction"] == ["reversion", "momentum"]
    ranges = STRATEGIES.get("rsi_swing").params.ranges()
    assert found["parameters"]["period"] == [ranges["period"].low, ranges["period"].high]
    assert found["about"].startswith("The strategy that synthetic worlds are judged with")
    metric = json.loads(weathervane("list", "metrics", "--json").out)["sharpe"]
    assert metric == {"unit": "ratio", "better": "higher", "annualised": True}
    line = next(x for x in weathervane("list", "features").out.splitlines() if "return_20" in x)
    assert "looks back  20" in line


def test_an_unknown_kind_is_one_line():
    ran = weathervane("list", "strategy")
    assert ran.code == 1
    assert ran.error_line.startswith("E_UNKNOWN: 'strategy' is not one of 'strategies', ")


@pytest.mark.parametrize("name", ["rsi_reversion", "rsi_swing", "ma_cross"])
def test_schema_carries_the_bounds_and_accepts_the_defaults(name: str):
    ran = weathervane("schema", name)
    assert ran.code == 0
    schema = json.loads(ran.out)
    params = STRATEGIES.get(name).params
    jsonschema.validate(params().model_dump(), schema)
    for field, bound in params.ranges().items():
        assert schema["properties"][field]["minimum"] == bound.low
        assert schema["properties"][field]["maximum"] == bound.high


@pytest.mark.parametrize("name", ["parameters", "evidence"])
def test_schema_of_a_document_is_a_schema(name: str):
    schema = json.loads(weathervane("schema", name).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]


def test_an_unknown_schema_names_the_closest():
    ran = weathervane("schema", "rsi_swin")
    assert ran.code == 1
    assert "did you mean 'rsi_swing'" in ran.error_line
