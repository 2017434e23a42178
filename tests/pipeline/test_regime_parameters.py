"""`show --regime`, and its Python as the guide has it, over a home whose chain has run."""

import json
import re
from pathlib import Path

import pytest

from pipeline.config import Home, TrackingConfig
from pipeline.tracker import PARAMETERS_MODEL, open_tracker
from tests.architecture.source_tree import ROOT
from tests.pipeline.cli_runner import weathervane


def test_the_registered_model_says_what_a_regime_would_run(exported_copy: Path):
    ran = weathervane("show", "--regime", "bear", "--home", exported_copy, "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    tracker = open_tracker(Home(exported_copy), TrackingConfig())
    kept = tracker.load_model(PARAMETERS_MODEL, told["model"]["alias"])
    assert told["model"]["version"] == kept.version
    assert set(told["strategies"]) == set(kept.config["strategies"]) == {"rsi_swing", "ma_cross"}
    for name, one in told["strategies"].items():
        assert one["regimes"]
        assert all("bear" in regime.split() for regime in one["regimes"])
        assert one["parameters"] in kept.config["strategies"][name]["sets"]
        plain = weathervane("show", "--regime", "bear", "--home", exported_copy).out
        assert json.dumps(one["parameters"]) in plain
    strange = weathervane("show", "--regime", "windy", "--home", exported_copy)
    assert strange.error_line.startswith("E_UNKNOWN_REGIME: no state of the fit in force on ")


def test_the_guide_s_python_runs(
    exported_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """On a small market nothing is promoted, so the challenger answers, as the guide says."""
    text = (ROOT / "docs" / "methods" / "search.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.setenv("WEATHERVANE_HOME", str(exported_copy))
    told = json.loads(weathervane("show", "--regime", "bear", "--json").out)
    exec(snippet.replace('"champion"', repr(told["model"]["alias"])), {})
    lines = capsys.readouterr().out.splitlines()
    shown = [f"{name} {one['parameters']} " for name, one in told["strategies"].items()]
    assert [line.startswith(start) for line, start in zip(lines, shown, strict=True)] == [True] * 2


def test_a_home_without_a_model_is_one_line_and_left_alone(tmp_path: Path):
    ran = weathervane("show", "--regime", "bear", "--home", tmp_path / "none")
    assert ran.code == 1
    assert ran.error_line.startswith("E_MODEL: no model is registered, ")
    assert not (tmp_path / "none").exists()
    both = ("show", "--regime", "bear", "--session", "2024-03-28", "--home", tmp_path)
    assert weathervane(*both).code == 2
