"""Runs, registered models and aliases, in a database of a home and without any server."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from backtest.errors import StoreError
from pipeline.config import Home, TrackingConfig
from pipeline.publish import damaged, read_published
from pipeline.tracker import (
    PARAMETERS_MODEL,
    REGIME_MODEL,
    Scope,
    Signature,
    Tracker,
    fingerprint,
    open_tracker,
)
from pipeline.tracker.client import shown
from pipeline.tracker.runs import PROCESS, is_gone, this_process
from tests.pipeline.damage import flip

SIGNATURE = Signature(
    inputs={"market_return": "double", "market_volume": "double"},
    outputs={"state_0": "double", "state_1": "double"},
)
SCOPE = Scope("u", "2020-03-09")
TAGS = {"snapshot": "s" * 64, "revision": "abc", "trials": "7", "evidence": "reports/evidence.json"}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return Home(tmp_path_factory.mktemp("tracked"))


@pytest.fixture(scope="module")
def tracker(home) -> Tracker:
    return open_tracker(home, TrackingConfig())


def weights(level: float) -> dict[str, np.ndarray]:
    return {"means": np.full((2, 2), level), "counts": np.arange(3, dtype=np.int64)}


def register(tracker: Tracker, name: str, level: float, *, promoted: bool, scope: Scope = SCOPE):
    with tracker.research(fingerprint(model=name, level=str(level)), name="models") as run:
        return tracker.register(
            name,
            run.run_id,
            arrays=weights(level),
            config={"names": ["calm", "volatile"], "level": level},
            signature=SIGNATURE,
            tags=TAGS,
            promoted=promoted,
            scope=scope,
        )


def folder_of(tracker: Tracker, name: str, version: int) -> Path:
    source = tracker.client.get_model_version(name, str(version)).source
    return Path(source.removeprefix("file://"))


def test_importing_the_tracker_does_not_import_mlflow():
    code = "import pipeline.tracker, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_telemetry_and_pickles_are_off(tracker):
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_all_state_lies_in_the_home(tracker, home):
    assert tracker.uri == f"sqlite:///{home.mlflow}/mlflow.db"
    experiment = tracker.client.get_experiment(tracker.experiment)
    assert experiment.artifact_location == (home.mlflow / "artifacts").as_uri()


def test_a_run_holds_what_went_in_and_what_came_out(tracker, tmp_path):
    report = tmp_path / "report.md"
    report.write_text("# Report")
    mark = fingerprint(snapshot="a", settings="b", code="c")
    with tracker.research(mark, name="first", tags={"dagster_run_id": "d-1"}) as run:
        run.params({"costs": {"cost_bps": 5.0}, "strategies": ["rsi_swing"], "path": None})
        run.metrics({"rsi_swing": {"sharpe": 1.25, "pbo": None, "bad": float("nan")}})
        run.curves([date(2020, 1, 2), date(2020, 1, 3)], {"equity": [1.0, 1.5]})
        run.figures({"equity": b"\x89PNG"})
        run.files({"reports/report.md": report, "note.txt": "text"})
        run.note("Made by [Dagster's run](http://127.0.0.1:3000/runs/d-1)")
        run.dataset("demo", snapshot="f" * 64, path=report, rows=3, columns={"symbol": "string"})
    found = tracker.client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {
        "costs.cost_bps": "5.0",
        "strategies": '["rsi_swing"]',
        "path": "null",
    }
    assert found.data.metrics == {"rsi_swing.sharpe": 1.25, "equity": 1.5}
    assert found.data.tags["weathervane.undefined_metrics"] == "rsi_swing.bad, rsi_swing.pbo"
    assert found.data.tags["dagster_run_id"] == "d-1"
    curve = tracker.client.get_metric_history(run.run_id, "equity")
    assert [(m.step, m.value, m.timestamp) for m in curve] == [
        (0, 1.0, 1577923200000),
        (1, 1.5, 1578009600000),
    ]
    entry = found.inputs.dataset_inputs[0].dataset
    assert entry.digest == "f" * 36
    assert json.loads(entry.profile) == {"num_rows": 3, "snapshot": "f" * 64}
    kept = {f.path for f in tracker.client.list_artifacts(run.run_id)}
    assert kept == {"figures", "reports", "note.txt", "note.txt.sha256"}
    folder = Path(found.info.artifact_uri.removeprefix("file://"))
    assert damaged(folder) == []
    for name in ("figures/equity.png", "note.txt"):
        assert read_published(folder / name) in (b"\x89PNG", b"text")
    assert run.url == f"http://127.0.0.1:5000/#/experiments/{tracker.experiment}/runs/{run.run_id}"


def test_the_same_research_is_one_run(tracker):
    mark = fingerprint(snapshot="same")
    with tracker.research(mark, name="once") as first:
        first.metrics({"sharpe": 1.0})
    with tracker.research(mark, name="twice") as second:
        second.metrics({"sharpe": 2.0})
        second.params({"late": 1})
    assert second.reused
    assert not first.reused
    assert second.run_id == first.run_id
    found = tracker.client.get_run(first.run_id)
    assert found.data.metrics == {"sharpe": 1.0}
    assert found.data.params == {}


def test_only_files_that_are_gone_come_back_into_a_run_that_was_found(tracker):
    mark = fingerprint(snapshot="gone")
    with tracker.research(mark, name="once") as first:
        first.files({"deep/a.txt": "a", "b.txt": "b"})
    info = tracker.client.get_run(first.run_id).info
    folder = Path(info.artifact_uri.removeprefix("file://"))
    (folder / "deep/a.txt").unlink()
    with tracker.research(mark, name="twice") as second:
        second.files({"deep/a.txt": "a", "b.txt": "later"})
    assert second.reused
    assert read_published(folder / "deep/a.txt") == b"a"
    assert read_published(folder / "b.txt") == b"b"
    assert fingerprint(snapshot="same", code="x") != mark


def test_a_failed_run_is_not_taken_for_the_research(tracker):
    mark = fingerprint(snapshot="failing")
    with (
        pytest.raises(ZeroDivisionError),
        tracker.research(mark, name="fails") as failed,
    ):
        raise ZeroDivisionError
    assert tracker.client.get_run(failed.run_id).info.status == "FAILED"
    with tracker.research(mark, name="again") as again:
        assert not again.reused
    assert again.run_id != failed.run_id


def test_an_interrupted_run_ends_as_killed(tracker):
    with pytest.raises(KeyboardInterrupt), tracker.research("i" * 64, name="stop") as run:
        raise KeyboardInterrupt
    assert tracker.client.get_run(run.run_id).info.status == "KILLED"


def test_runs_of_killed_processes_are_ended_when_the_tracker_opens(tracker, home):
    dead = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    host = socket.gethostname()
    import psutil

    name = f"{host}/{dead.pid}/{psutil.Process(dead.pid).create_time():.2f}"
    assert not is_gone(name)
    dead.kill()
    dead.wait()
    owners = {
        "dead": name,
        "alive": this_process(),
        "reused number": f"{host}/{os.getpid()}/1.00",
        "elsewhere": "other-host/1/1.00",
    }
    runs = {
        key: tracker.client.create_run(tracker.experiment, tags={PROCESS: owner}).info.run_id
        for key, owner in owners.items()
    }
    open_tracker(home, TrackingConfig())
    status = {key: tracker.client.get_run(run).info.status for key, run in runs.items()}
    assert status == {
        "dead": "KILLED",
        "alive": "RUNNING",
        "reused number": "KILLED",
        "elsewhere": "RUNNING",
    }


def test_a_model_comes_back_as_it_went_in(tracker):
    made = register(tracker, REGIME_MODEL, 0.5, promoted=True)
    assert (made.version, made.alias, made.created) == (1, "champion", True)
    back = tracker.load_model(REGIME_MODEL, "champion")
    assert back.config == {"names": ["calm", "volatile"], "level": 0.5}
    assert {n: a.dtype for n, a in back.arrays.items()} == {"means": np.float64, "counts": np.int64}
    np.testing.assert_array_equal(back.arrays["means"], np.full((2, 2), 0.5))
    np.testing.assert_array_equal(back.arrays["counts"], [0, 1, 2])
    assert {k: back.tags[k] for k in TAGS} == TAGS
    assert back.run_id == made.run_id
    assert made.url.endswith("/#/models/weathervane-regime/versions/1")


def test_the_folder_holds_a_description_with_signature_and_no_loader(tracker):
    from mlflow.models import Model

    version = register(tracker, "signed", 0.5, promoted=True).version
    folder = folder_of(tracker, "signed", version)
    assert {p.name for p in folder.iterdir()} == {"MLmodel", "weights.safetensors", "config.json"}
    model = Model.load(str(folder))
    assert list(model.flavors) == ["weathervane"]
    assert model.signature.inputs.input_names() == ["market_return", "market_volume"]
    assert model.signature.outputs.input_names() == ["state_0", "state_1"]


def test_equal_content_makes_no_second_version(tracker):
    first = register(tracker, "equal", 1.0, promoted=False)
    again = register(tracker, "equal", 1.0, promoted=False)
    with tracker.research("e" * 64, name="another run") as run:
        other = tracker.register(
            "equal",
            run.run_id,
            arrays=dict(reversed(weights(1.0).items())),
            config={"level": 1.0, "names": ["calm", "volatile"]},
            signature=SIGNATURE,
            tags={},
            promoted=False,
            scope=SCOPE,
        )
    assert [first.created, again.created, other.created] == [True, False, False]
    assert {first.version, again.version, other.version} == {1}
    assert other.content_sha256 == first.content_sha256


def test_only_a_promotion_moves_the_champion(tracker):
    def aliases() -> dict[str, int]:
        found = tracker.client.get_registered_model(PARAMETERS_MODEL).aliases
        return {alias: int(version) for alias, version in found.items()}

    assert register(tracker, PARAMETERS_MODEL, 1.0, promoted=False).alias == "challenger"
    assert aliases() == {"challenger": 1}
    assert register(tracker, PARAMETERS_MODEL, 2.0, promoted=True).alias == "champion"
    assert aliases() == {"challenger": 1, "champion": 2}
    assert register(tracker, PARAMETERS_MODEL, 3.0, promoted=False).alias == "challenger"
    assert aliases() == {"challenger": 3, "champion": 2}
    assert register(tracker, PARAMETERS_MODEL, 2.0, promoted=False).alias == "champion"
    assert aliases() == {"challenger": 3, "champion": 2}
    assert register(tracker, PARAMETERS_MODEL, 3.0, promoted=True).alias == "champion"
    assert aliases() == {"champion": 3}


def test_an_older_session_takes_nothing_from_a_later_one(tracker):
    def at(day: str, level: float, *, promoted: bool):
        scope = Scope("u", f"2020-03-{day}")
        return register(tracker, "dated", level, promoted=promoted, scope=scope)

    at("06", 1.0, promoted=True)
    at("09", 2.0, promoted=True)
    older = at("05", 3.0, promoted=True)
    assert (older.version, older.alias) == (3, None)
    assert older.note == "champion stays with version 2 of 2020-03-09"
    assert tracker.load_model("dated", "champion").config["level"] == 2.0
    again = at("05", 3.0, promoted=True)
    assert (again.created, again.alias, again.note) == (False, None, older.note)
    # the same content, in force at a later session, goes on from there
    assert at("10", 1.0, promoted=True).alias == "champion"
    assert at("09", 2.0, promoted=True).alias is None
    loaded = tracker.load_model("dated", "champion")
    assert (loaded.version, loaded.tags["session"]) == (1, "2020-03-10")


def test_another_universe_takes_an_alias_over_and_says_so(tracker):
    first = Scope("mine", "2020-03-09")
    register(tracker, "shared", 1.0, promoted=False, scope=first)
    taken = register(tracker, "shared", 2.0, promoted=False, scope=Scope("demo", "2019-01-02"))
    assert (taken.alias, taken.note) == ("challenger", "challenger taken over from mine")
    assert tracker.load_model("shared", "challenger").tags["universe"] == "demo"


def test_a_missing_model_or_alias_is_one_line(tracker):
    register(tracker, "only-challenged", 1.0, promoted=False)
    with pytest.raises(
        StoreError, match=r"^E_MODEL: no model only-challenged@champion.*challenger"
    ):
        tracker.load_model("only-challenged", "champion")
    with pytest.raises(StoreError, match=r"^E_MODEL: no model nothing@champion"):
        tracker.load_model("nothing", "champion")


@pytest.mark.parametrize("name", ["code/run.py", "python_model.pkl", "requirements.txt"])
def test_a_folder_with_another_file_is_refused(tracker, name):
    model = f"stranger-{name.replace('/', '-')}"
    version = register(tracker, model, 1.0, promoted=True).version
    stranger = folder_of(tracker, model, version) / name
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_text("raise SystemExit")
    with pytest.raises(StoreError, match=r"^E_MODEL_UNSAFE"):
        tracker.load_model(model, "champion")


def test_a_description_with_a_loader_is_refused(tracker):
    version = register(tracker, "loader", 1.0, promoted=True).version
    path = folder_of(tracker, "loader", version) / "MLmodel"
    text = path.read_text()
    extra = "flavors:\n  python_function:\n    loader_module: os\n"
    path.write_text(text.replace("flavors:\n", extra))
    with pytest.raises(StoreError, match=r"^E_MODEL_UNSAFE.*python_function"):
        tracker.load_model("loader", "champion")


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_one_flipped_bit_is_refused(tracker, name):
    model = f"flipped-{name}"
    version = register(tracker, model, 1.0, promoted=True).version
    path = folder_of(tracker, model, version) / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=r"^E_CORRUPT: SHA-256"):
        tracker.load_model(model, "champion")
    assert register(tracker, model, 1.0, promoted=True).version == version
    assert tracker.load_model(model, "champion").config["level"] == 1.0


def test_a_flipped_bit_of_the_description_is_refused_and_registering_again_heals(tracker):
    version = register(tracker, "described", 1.0, promoted=True).version
    path = folder_of(tracker, "described", version) / "MLmodel"
    flip(path, path.read_bytes().index(b"utc_time_created") + 25)
    with pytest.raises(StoreError, match=r"^E_CORRUPT: MLmodel is not what was registered"):
        tracker.load_model("described", "champion")
    assert not register(tracker, "described", 1.0, promoted=True).created
    tracker.load_model("described", "champion")


def test_a_lost_folder_is_one_line(tracker):
    version = register(tracker, "lost", 1.0, promoted=True).version
    shutil.rmtree(folder_of(tracker, "lost", version))
    with pytest.raises(StoreError, match=r"^E_(TRACKER|CORRUPT)") as caught:
        tracker.load_model("lost", "champion")
    assert "\n" not in str(caught.value)
    assert register(tracker, "lost", 1.0, promoted=True).version == version
    tracker.load_model("lost", "champion")


def test_a_server_that_does_not_answer_is_one_line_and_quick(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    config = TrackingConfig(uri=f"http://name:secret@127.0.0.1:{port}")
    started = time.perf_counter()
    with pytest.raises(StoreError, match=r"^E_TRACKER") as caught:
        open_tracker(Home(tmp_path), config)
    assert time.perf_counter() - started < 10.0
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_damaged_database_is_one_line(tmp_path):
    home = Home(tmp_path)
    home.mlflow.mkdir(parents=True)
    (home.mlflow / "mlflow.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"^E_TRACKER") as caught:
        open_tracker(home, TrackingConfig())
    assert "\n" not in str(caught.value)


def test_addresses_are_shown_without_passwords():
    assert shown("https://me:secret@host:1/x") == "https://host:1/x"
    assert shown("sqlite:////srv/mlflow.db") == "sqlite:////srv/mlflow.db"
