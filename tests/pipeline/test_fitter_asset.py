"""`neural_fitter`: trained, kept and registered; on from the fit before; nothing new the next time.

The market is as long as a fit needs, and epochs are few: numbers mean nothing.
"""

import json
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from ml.fitter.config import FitterConfig
from pipeline.config import Home, Settings, TrackingConfig, load_settings
from pipeline.instance import open_instance
from pipeline.snapshots import Snapshots
from pipeline.tracker import Tracker, open_tracker
from pipeline.workbench import Workbench

BASIS = ("raw_bars", "bars", "universe", "market_state", "backtest_corpus")
MODELS = ("weathervane-fitter-rsi_swing", "weathervane-fitter-ma_cross")


def settings_of(*overrides: str) -> Settings:
    """Six symbols, 2.4 years, two strategies, and fits of one network and one epoch."""
    told = (
        "world.symbols=6",
        "data.first_session=2021-11-01",
        'strategies.names=["rsi_swing","ma_cross"]',
        "learning.networks=1",
        "learning.epochs=1",
        'learning.refinement="none"',
    )
    return load_settings("demo", overrides=[*told, *overrides])


def materialise(home: Path, *names: str, settings: Settings, session: date | None = None):
    """Materialise some assets in a run of no named job."""
    from pipeline.definitions import defs

    told = {
        "document": settings.model_dump_json(),
        "home": str(home),
        "session": "" if session is None else str(session),
    }
    with open_instance(Home(home).dagster) as instance:
        return dg.materialize(
            list(defs.assets or ()),
            selection=[dg.AssetKey(name) for name in names],
            resources=defs.resources,
            run_config={"resources": {"settings": {"config": told}}},
            instance=instance,
            raise_on_error=False,
        )


def metadata(done) -> dict[str, dg.MetadataValue]:
    assert done.success
    (event,) = done.asset_materializations_for_node("neural_fitter")
    return dict(event.metadata)


def bench(home: Path, settings: Settings) -> Workbench:
    files = Snapshots(Home(home), settings)
    return files.workbench(files.current())


def weights(work: Workbench) -> dict[str, bytes]:
    return {
        path.parent.parent.name: path.read_bytes()
        for path in sorted((work.folder / "fitter").glob("*/*/weights.safetensors"))
    }


def versions(tracker: Tracker, name: str) -> list[int]:
    return sorted(int(v.version) for v in tracker.client.search_model_versions(f"name = '{name}'"))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory):
    """A home with fits of one session, and what the asset told of them."""
    home, settings = tmp_path_factory.mktemp("learned"), settings_of()
    day = date(2024, 3, 21)
    done = materialise(home, *BASIS, "neural_fitter", settings=settings, session=day)
    return home, settings, metadata(done)


def test_every_strategy_has_a_fitter_a_run_and_a_model(learned):
    home, settings, told = learned
    work, tracker = bench(home, settings), open_tracker(Home(home), TrackingConfig())
    assert set(weights(work)) == {"rsi_swing", "ma_cross"}
    assert not list((work.folder / "fitter").rglob("*checkpoints*"))
    assert told["summary"].value == ", ".join(
        f"{name} version 1 (challenger)" for name in ("rsi_swing", "ma_cross")
    )
    table = work.frame("neural_fitter")
    assert told["dagster/row_count"].value == table.height == 2
    assert table["strategy"].to_list() == ["rsi_swing", "ma_cross"]
    rows = [row.data for row in told["today"].records]
    assert [row["gone on from"] for row in rows] == ["nothing", "nothing"]
    for name in settings.strategies.names:
        for kind in ("training", "parameters"):
            assert "data:image/png;base64," in told[f"{name}: {kind}"].value
        assert "/#/models/" in told[f"{name}: model"].value
    run = tracker.client.get_run(told["rsi_swing: mlflow run"].value.rsplit("/", 1)[1])
    assert run.data.tags["dagster_run_id"]
    assert run.data.params["last"] == "2024-03-21"
    assert run.data.params["snapshot"] == work.snapshot.snapshot


def test_the_table_has_columns_that_the_asset_names(learned):
    from assets.fitting import EPOCH_COLUMNS

    home, settings, _ = learned
    assert set(bench(home, settings).frame("neural_fitter").columns) <= set(EPOCH_COLUMNS)


def test_again_changes_nothing_and_trains_nothing(learned, monkeypatch: pytest.MonkeyPatch):
    home, settings, told = learned
    work, tracker = bench(home, settings), open_tracker(Home(home), TrackingConfig())
    before = weights(work)
    monkeypatch.setattr("ml.fitter.fitter.NeuralFitter.fit", lambda *_, **__: pytest.fail("fits"))
    again = metadata(materialise(home, "neural_fitter", settings=settings))
    assert weights(work) == before
    assert {n: versions(tracker, n) for n in MODELS} == {n: [1] for n in MODELS}
    assert {k: v.value for k, v in again.items()} == {k: v.value for k, v in told.items()}


def test_damaged_weights_are_trained_anew_to_the_same_bytes(learned):
    home, settings, _ = learned
    work = bench(home, settings)
    before = weights(work)
    path = next((work.folder / "fitter" / "ma_cross").glob("*/weights.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])
    metadata(materialise(home, "neural_fitter", settings=settings))
    assert weights(work) == before


def test_a_later_session_goes_on_from_the_fit_before(learned):
    home, settings, _ = learned
    first = bench(home, settings)
    later = date(2024, 3, 28)
    done = materialise(home, *BASIS, "neural_fitter", settings=settings, session=later)
    told, work = metadata(done), bench(home, settings)
    assert work.folder != first.folder
    rows = [row.data for row in told["today"].records]
    assert [row["gone on from"] for row in rows] == ["the fit before"] * 2
    tracker = open_tracker(Home(home), TrackingConfig())
    for name in MODELS:
        assert versions(tracker, name) == [1, 2]
        loaded = tracker.load_model(name, "challenger")
        assert (loaded.version, loaded.tags["session"]) == (2, "2024-03-28")
    units = [
        json.loads(next((one.folder / "fitter/rsi_swing").glob("*/config.json")).read_text())
        for one in (first, work)
    ]
    assert units[0]["centre"] == units[1]["centre"]  # the inputs of the fit before
    assert work.frame("neural_fitter").height <= 2 * FitterConfig().warm_epochs
    # and its own earlier session, asked for again, does not go on from the later one
    materialise(home, *BASIS, "neural_fitter", settings=settings, session=date(2024, 3, 21))
    assert versions(tracker, MODELS[0]) == [1, 2]
    assert tracker.load_model(MODELS[0], "challenger").version == 2


YOUNG = settings_of("data.first_session=2023-01-03")


@pytest.fixture(scope="module")
def young(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home, day = tmp_path_factory.mktemp("young"), date(2024, 3, 28)
    assert materialise(home, *BASIS, settings=YOUNG, session=day).success
    return home


def test_too_little_history_asked_for_by_itself_fails_in_one_line(young: Path):
    done = materialise(young, "neural_fitter", settings=YOUNG)
    assert not done.success
    (failed,) = done.filter_events(lambda one: one.is_step_failure)
    said = failed.step_failure_data.user_failure_data
    assert said.description.startswith("E_TOO_SHORT: 311 sessions where the fitter needs ")
    assert said.metadata["code"].value == "E_TOO_SHORT"


def test_too_little_history_is_said_by_the_job_which_goes_on(young: Path):
    from pipeline.definitions import defs

    told = {"document": YOUNG.model_dump_json(), "home": str(young)}
    with open_instance(Home(young).dagster) as instance:
        done = defs.resolve_job_def("learn").execute_in_process(
            run_config={"resources": {"settings": {"config": told}}},
            instance=instance,
            asset_selection=[dg.AssetKey("neural_fitter")],
        )
    assert metadata(done)["summary"].value.startswith("none: E_TOO_SHORT: 311 sessions")
