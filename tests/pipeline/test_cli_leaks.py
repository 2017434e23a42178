"""``weathervane leaks``: what it says of honest parts, and how it names a guilty one."""

import json

import pytest

from ml.proof import leaks, traps
from tests.pipeline.cli_runner import weathervane


def test_one_part_as_json():
    ran = weathervane("leaks", "--part", "momentum_return_20", "--cuts", "2", "--json")
    found = json.loads(ran.out)
    assert ran.code == 0
    assert {one["detector"] for one in found["findings"]} == {
        "truncation",
        "future noise",
        "warm-up",
    }
    assert all(one["guilty"] == [] for one in found["findings"])
    assert len(found["cuts"]) == 2 + len(leaks.EARLY)


def test_a_label_is_a_part():
    ran = weathervane("leaks", "--part", "y_return_5", "--cuts", "1")
    assert ran.code == 0
    assert ran.out.split() == ["label", "1", "parts", "x", "3", "cuts", "causal"]


def test_a_guilty_part_is_named_and_the_exit_code_is_1(monkeypatch: pytest.MonkeyPatch):
    guilty = leaks.Suspect("strategy", "planted", lambda scene, t: [scene.panel.close.mean(axis=1)])
    monkeypatch.setattr(leaks, "suspects", lambda: [guilty])
    ran = weathervane("leaks", "--cuts", "1")
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("E_LEAK: 2 findings")
    assert "strategy planted (truncation, " in ran.err
    assert "LEAKS: planted" in ran.out


def test_an_unknown_part_names_the_closest():
    ran = weathervane("leaks", "--part", "regime_tabl")
    assert ran.code == 1
    assert ran.err.startswith("E_UNKNOWN: no part 'regime_tabl'")
    assert "regime_table" in ran.err


@pytest.fixture
def two_traps(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [t for t in traps.TRAPS if t.name in ("same-bar fill", "event-date join")]
    monkeypatch.setattr(traps, "TRAPS", tuple(chosen))
    monkeypatch.setattr(traps, "SEEDS", (0, 1))


@pytest.mark.usefixtures("two_traps")
def test_traps_print_a_table():
    ran = weathervane("leaks", "--traps")
    assert ran.code == 0, ran.err
    assert [line.split("|")[1].strip() for line in ran.out.splitlines()] == [
        "trap",
        "---",
        "same-bar fill",
        "event-date join",
    ]
    found = json.loads(weathervane("leaks", "--traps", "--json").out)
    assert found["faults"] == []
    assert {one["detector"] for one in found["found"]} == set(traps.DETECTORS)


@pytest.mark.usefixtures("two_traps")
def test_a_blind_detector_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(traps.DETECTORS, "null market", lambda *_: (0.0, 1.0))
    ran = weathervane("leaks", "--traps")
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("E_LEAK: 2 faults of the leak detectors")
    assert "null market does not see 'same-bar fill'" in ran.err


def test_traps_and_a_part_are_wrong_usage():
    assert weathervane("leaks", "--traps", "--part", "hmm").code == 2
