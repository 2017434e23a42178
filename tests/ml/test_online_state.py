"""The online model's saved state: it goes on like one that was never interrupted, or refuses."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import NotFittedError, UnknownNameError
from ml.online.config import OnlineConfig
from ml.online.journal import Journal
from ml.online.model import OnlineModel
from ml.weights import CONFIG, WEIGHTS, read_weights, write_weights
from tests.architecture.source_tree import ROOT
from tests.ml.histories import small_grid

GRID = small_grid(periods=(3, 8, 20, 40))
COLUMNS = ("trend", "calm")
DELAY, LENGTH = 6, 120


def tell(listener: Journal | OnlineModel, length: int = LENGTH, *, flip: int = 60) -> None:
    """Tell of good sets that turn bad; some states and outcomes are unknown."""
    random = np.random.default_rng(5)
    momentum = GRID["direction"] == "momentum"
    trends = np.where(np.arange(length) // 10 % 2 == 0, 1.0, -1.0)
    states = np.column_stack([trends, np.zeros(length)]) + random.normal(0.0, 0.3, (length, 2))
    states[random.random((length, 2)) < 0.05] = np.nan
    for k in range(length):
        if k >= DELAY:
            s = k - DELAY
            earned = np.where(momentum, trends[s], -trends[s]) * (0.1 if s < flip else -0.1)
            earned = earned + random.normal(0.0, 0.02, GRID.size)
            earned[random.random(GRID.size) < 0.1] = np.nan
            mean = None if s % 7 == 0 else 0.05
            listener.update_from_backtest(earned, later=states[s + 1], mean=mean)
        listener.observe(states[k])


def told() -> Journal:
    """The journal of it all."""
    journal = Journal(GRID.size, len(COLUMNS))
    tell(journal)
    return journal


def taught(journal: Journal, **config: object) -> OnlineModel:
    model = OnlineModel(GRID, COLUMNS, OnlineConfig(rate=0.02, **config), about={"market": "M"})
    model.replay(journal)
    return model


def until(journal: Journal, events: int) -> Journal:
    """The first so many tellings of a journal, of states and outcomes alike."""
    out, k = Journal(journal.sets, journal.columns), 0
    for _ in range(events):
        if k < journal.decisions and out.observed >= journal.seen[k]:
            outcome = journal.outcomes[k]
            out.update_from_backtest(outcome, later=journal.later[k], mean=journal.means[k])
            k += 1
        else:
            out.observe(journal.states[out.observed])
    return out


def says(model: OnlineModel) -> list[object]:
    """All that a model says, as bytes where these are numbers."""
    probes = np.array([[1.0, 0.0], [-1.0, 0.5], [np.nan, 0.1]])
    return [
        [model.predict(p).tobytes() for p in probes],
        [model.predict_regime(p) for p in probes],
        [model.estimate_performance(p) for p in probes],
        np.array([dataclasses.astuple(one) for one in model.scored]).tobytes(),
        (model.get_confidence_score(), model.alarmed, model.alarms, model.scores()),
        (model.average.tobytes(), model.observed, model.decisions),
        None if model.held is None else (model.held.decision, model.held.average.tobytes()),
    ]


WHOLE = told()
EVENTS = WHOLE.observed + WHOLE.decisions


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley", "kswin"])
@settings(max_examples=15, deadline=None)
@given(cut=st.integers(0, EVENTS))
def test_a_restored_model_goes_on_like_one_never_interrupted(
    tmp_path_factory: pytest.TempPathFactory, detector: str, cut: int
):
    folder = tmp_path_factory.mktemp("state")
    straight = taught(WHOLE, detector=detector)
    first = taught(until(WHOLE, cut), detector=detector)
    before = says(first) if first.decisions else None
    first.save(folder)
    back = OnlineModel.load(folder, GRID, COLUMNS)
    assert before is None or says(back) == before
    back.replay(WHOLE)
    assert says(back) == says(straight)
    assert back.about == {"market": "M"}


def test_a_model_that_was_told_itself_is_restored_from_what_it_wrote_down(tmp_path: Path):
    config = OnlineConfig(rate=0.02, detector="kswin")
    model = OnlineModel(GRID, COLUMNS, config)
    tell(model)
    model.save(tmp_path)
    assert says(OnlineModel.load(tmp_path, GRID)) == says(model)


def test_the_journal_that_is_cut_holds_alarms():
    """Or the property above would show nothing of them."""
    assert taught(WHOLE, detector="page_hinkley").alarms


def test_another_process_says_the_same(tmp_path: Path):
    model = taught(WHOLE)
    model.save(tmp_path)
    text = (
        "import sys, pathlib; from tests.ml.test_online_state import *;"
        "print(says(OnlineModel.load(pathlib.Path(sys.argv[1]), GRID)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == str(says(model))


def test_saving_again_writes_the_same_bytes_and_nothing_is_pickled(tmp_path: Path):
    taught(WHOLE).save(tmp_path / "a")
    OnlineModel.load(tmp_path / "a", GRID).save(tmp_path / "b")
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [CONFIG, WEIGHTS]
    assert (tmp_path / "a" / WEIGHTS).read_bytes()[8:9] == b"{"  # safetensors' header is JSON


@settings(max_examples=40, deadline=None)
@given(place=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_an_altered_byte_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: float, bit: int
):
    folder = tmp_path_factory.mktemp("state")
    taught(until(WHOLE, 30)).save(folder)
    content = bytearray((folder / name).read_bytes())
    at = int(place * len(content))
    if content[at : at + 1].isspace():
        return  # the layout of the plain values means nothing
    content[at] ^= 1 << bit
    (folder / name).write_bytes(content)
    with pytest.raises(NotFittedError, match=r"^E_WEIGHTS: [^\n]*$"):
        OnlineModel.load(folder, GRID)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99, None])
@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_truncated_or_missing_file_is_one_line(tmp_path: Path, name: str, kept: float | None):
    taught(until(WHOLE, 30)).save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(NotFittedError, match=r"^E_WEIGHTS: [^\n]*$"):
        OnlineModel.load(tmp_path, GRID)


def test_a_drifted_schema_is_refused_with_the_difference(tmp_path: Path):
    taught(until(WHOLE, 30)).save(tmp_path)
    with pytest.raises(NotFittedError, match=r"E_SCHEMA: .*16 candidate sets.*4 of 16 are new"):
        OnlineModel.load(tmp_path, small_grid(periods=(3, 8, 20, 39)))
    with pytest.raises(NotFittedError, match=r"E_SCHEMA: .*missing: calm; new: breadth, depth"):
        OnlineModel.load(tmp_path, GRID, ("trend", "breadth", "depth"))
    arrays, values = read_weights(tmp_path)
    write_weights(tmp_path, arrays, {**values, "config": {**values["config"], "speed": 1}})
    with pytest.raises(NotFittedError, match=r"E_SCHEMA: .*another version, speed,"):
        OnlineModel.load(tmp_path, GRID)
    renamed = {"mixes" if name == "means" else name: one for name, one in arrays.items()}
    write_weights(tmp_path, renamed, values)
    with pytest.raises(NotFittedError, match=r"E_SCHEMA: the journal .*version, means, mixes,"):
        OnlineModel.load(tmp_path, GRID)
    write_weights(tmp_path, arrays, {**values, "model": "neural_fitter"})
    with pytest.raises(NotFittedError, match=r"E_SCHEMA: .*no online model, neural_fitter,"):
        OnlineModel.load(tmp_path, GRID)


def test_a_detector_that_is_not_there_is_named(tmp_path: Path):
    taught(until(WHOLE, 30)).save(tmp_path)
    arrays, values = read_weights(tmp_path)
    told_config = {**values["config"], "detector": "adwyn"}
    write_weights(tmp_path, arrays, {**values, "config": told_config})
    with pytest.raises(UnknownNameError, match=r"unknown drift detector 'adwyn'.*'adwin'"):
        OnlineModel.load(tmp_path, GRID)


def test_a_journal_says_where_another_parts_from_it():
    early = until(WHOLE, 101)
    assert early.parts_from(WHOLE) is None
    assert WHOLE.parts_from(early) == early.decisions
    assert Journal(GRID.size, 2).parts_from(WHOLE) is None
    changes = (("states", 40, 1e-6), ("outcomes", 20, 1e-6), ("later", 20, 1e-6), ("seen", 20, 1))
    for name, place, change in changes:
        other = Journal.of({n: a.copy() for n, a in WHOLE.arrays().items()})
        known = getattr(other, name)[place]
        getattr(other, name)[place] = np.where(np.isnan(known), 0.0, known + change)
        assert early.parts_from(other) == place, name


def test_the_configuration_on_disk_is_plain(tmp_path: Path):
    taught(WHOLE, detector="kswin").save(tmp_path)
    told_values = json.loads((tmp_path / CONFIG).read_text())
    assert told_values["model"] == "online"
    assert told_values["config"]["detector"] == "kswin"
    assert told_values["columns"] == list(COLUMNS)
