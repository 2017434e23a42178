"""The definitions load, and every asset says what a reader of the graph wants to know."""

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline.instance import ROOT_BASE, instance_settings, open_instance
from tests.architecture.source_tree import ROOT

GRAPH = {
    "raw_bars": set(),
    "bars": {"raw_bars"},
    "universe": {"raw_bars"},
    "sessions": {"bars"},
    "quality_report": {"bars"},
    "feature_panel": {"bars"},
    "market_state": {"bars"},
    "regime_model": {"market_state"},
    "regime_labels": {"regime_model"},
    "backtest_corpus": {"bars"},
    "pareto_front": {"backtest_corpus"},
    "best_parameters_by_regime": {"backtest_corpus", "regime_model"},
    "walk_forward": {"backtest_corpus", "market_state", "regime_model"},
    "robustness": {"walk_forward", "backtest_corpus"},
    "evidence_report": {"walk_forward", "robustness", "regime_labels"},
    "parameter_model": {"walk_forward"},
    "promoted_model": {"evidence_report", "parameter_model", "regime_model"},
    "regime_parameters": {"promoted_model", "sessions", "walk_forward"},
    "store_backup": {"regime_parameters"},
    "online_state": {"backtest_corpus", "market_state"},
    "neural_fitter": {"backtest_corpus", "market_state"},
    "ensemble": {"backtest_corpus", "market_state", "regime_model"},
    "student_model": {"ensemble"},
}
BLOCKING = {
    "symbols_were_answered",
    "nothing_sees_the_future",
    "rows_are_accounted_for",
    "keys_are_unique",
    "quarantine_is_small",
    "duplicates_are_few",
    "jumps_are_few",
    "currency_changes_are_few",
    "every_session_has_bars",
    "probabilities_sum_to_one",
    "regimes_are_causal",
    "mixes_are_sound",
    "document_is_valid",
}


@pytest.fixture(scope="module")
def graph():
    return defs.resolve_asset_graph()


def test_they_load():
    dg.Definitions.validate_loadable(defs)


def test_the_graph_is_the_flow_of_one_day(graph):
    found = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.materializable_asset_keys
    }
    assert found == GRAPH | {"scorecard": set(), "board": set()}


@pytest.mark.parametrize("name", [*GRAPH, "scorecard", "board"])
def test_every_asset_introduces_itself(graph, name: str):
    node = graph.get(dg.AssetKey(name))
    assert node.description
    assert node.owners == ["team:weathervane"]
    assert node.kinds
    assert node.code_version
    assert node.tags.get("layer")
    assert node.group_name in {
        *("ingest", "features", "regimes", "search", "training", "validation", "export", "proof"),
        "learning",
    }


def test_only_the_document_is_partitioned_and_has_a_deadline(graph):
    partitioned = [k for k in graph.materializable_asset_keys if graph.get(k).partitions_def]
    assert [k.to_user_string() for k in partitioned] == ["regime_parameters"]
    policy = graph.get(dg.AssetKey("regime_parameters")).freshness_policy
    assert policy.timezone == "America/New_York"


def test_bad_content_is_stopped_where_it_must_not_flow():
    specs = [spec for made in defs.asset_checks or () for spec in made.check_specs]
    assert {spec.name for spec in specs if spec.blocking} == BLOCKING
    assert all(spec.description for spec in specs)


def test_jobs_and_schedule():
    sizes = {
        name: len(defs.resolve_job_def(name).asset_layer.executable_asset_keys)
        for name in ("ingest", "research", "daily", "prove", "learn")
    }
    learn = 4  # what learns by itself is no part of the day
    daily = len(GRAPH) - learn
    expected = {"ingest": 5, "research": daily - 2, "daily": daily, "prove": 2, "learn": learn}
    assert sizes == expected
    assert defs.resolve_schedule_def("after_close").job_name == "daily"
    assert defs.resolve_schedule_def("weekly_learning").job_name == "learn"


def test_what_learns_by_itself_is_no_part_of_the_day(graph):
    grouped = {
        key for key in graph.materializable_asset_keys if graph.get(key).group_name == "learning"
    }
    assert defs.resolve_job_def("learn").asset_layer.executable_asset_keys == grouped
    for name in ("ingest", "research", "daily", "prove"):
        assert not defs.resolve_job_def(name).asset_layer.executable_asset_keys & grouped
    readers = {key for one in grouped for key in graph.get(one).child_keys}
    assert readers <= grouped, "nothing of the day reads them"


def test_the_root_s_storage_settings_are_those_of_a_home(tmp_path):
    assert (ROOT / "dagster.yaml").read_text(encoding="utf-8") == instance_settings(ROOT_BASE)
    with open_instance(tmp_path) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds > 0
        assert instance.run_retries_enabled
        assert not instance.nux_enabled
        assert instance.managed_python_loggers == ["pipeline", "assets", "ml", "backtest"]
    text = (tmp_path / "dagster.yaml").read_text(encoding="utf-8")
    assert text == instance_settings(tmp_path.resolve().as_posix())
