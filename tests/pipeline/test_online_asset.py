"""`online_state`: gone on with from the last kept state, begun anew where the past is another."""

import json
import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from ml.learner import HORIZON
from ml.online.model import OnlineModel
from ml.weights import CONFIG, WEIGHTS
from pipeline.config import Home
from pipeline.instance import open_instance
from pipeline.workbench import Workbench
from tests.pipeline.small_chain import bench_of, small_settings


def materialised(home: Path) -> dg.AssetMaterialization:
    """Materialise only the asset, on what the chain left."""
    from pipeline.definitions import defs

    told = {"document": small_settings().model_dump_json(), "home": str(home)}
    with open_instance(Home(home).dagster) as instance:
        done = dg.materialize(
            list(defs.assets or ()),
            selection=[dg.AssetKey("online_state")],
            resources=defs.resources,
            run_config={"resources": {"settings": {"config": told}}},
            instance=instance,
        )
        (event,) = done.get_asset_materialization_events()
    return event.materialization


def states(work: Workbench) -> dict[str, bytes]:
    return {
        f"{name}/{file}": (work.folder / "online" / name / file).read_bytes()
        for name in ("rsi_swing", "ma_cross")
        for file in (CONFIG, WEIGHTS)
    }


@pytest.fixture
def learned(exported_copy: Path) -> tuple[Path, dg.AssetMaterialization]:
    return exported_copy, materialised(exported_copy)


def test_it_keeps_scores_states_and_a_picture(learned: tuple[Path, dg.AssetMaterialization]):
    home, told = learned
    work = bench_of(home)
    scores = work.frame("online_scores")
    assert scores["strategy"].unique(maintain_order=True).to_list() == ["rsi_swing", "ma_cross"]
    days = work.files.panel(work.snapshot).dates
    last = scores["judged_on"].max()
    assert (days[-1].item() - last).days < 10, "the snapshot's last week"
    assert scores["date"][0] == days[65].item()
    assert scores["judged_on"][0] == days[65 + HORIZON].item()
    assert told.metadata["dagster/row_count"].value == scores.height
    assert told.metadata["summary"].value.startswith(f"2 strategies, {scores.height} decisions")
    assert "data:image/png;base64," in told.metadata["prequential"].value
    for name, one in work.values("online").items():
        own = scores.filter(pl.col("strategy") == name)
        assert one["decided_after"] == str(days[-1])
        assert one["scores"]["decisions"] == own.height
        folder = work.folder / "online" / name
        model = OnlineModel.load(folder, work.corpora()[name].grid.take(range_of(work, name)))
        assert model.scores() == one["scores"]
        assert model.about["strategy"] == name


def range_of(work: Workbench, name: str):
    import numpy as np

    return np.arange(work.corpora()[name].candidates)


def test_again_is_the_same(learned: tuple[Path, dg.AssetMaterialization]):
    home, _ = learned
    work = bench_of(home)
    before, scores = states(work), work.frame("online_scores")
    materialised(home)
    assert states(work) == before
    assert work.frame("online_scores").equals(scores)


def earlier_state(work: Workbench, name: str) -> Path:
    """Where the state of a snapshot before this one lies."""
    before = work.files.home.snapshots / "0123456789abcdef" / work.folder.name / "online" / name
    recent = work.files.recent()
    work.files.publish_values(work.files._recent(), [before.parents[2].name, *recent])
    return before


def test_it_goes_on_from_the_snapshot_before(
    learned: tuple[Path, dg.AssetMaterialization], monkeypatch: pytest.MonkeyPatch
):
    home, _ = learned
    work = bench_of(home)
    before = states(work)
    view, folder = work.history().view("rsi_swing"), earlier_state(work, "rsi_swing")
    learner = small_settings().policy.with_learner("online").build()
    young = OnlineModel.load(work.folder / "online" / "rsi_swing", view.grid)
    short = learner.begin(view)
    short.about = young.about
    learner.teach(short, view.rows(0, 200))
    short.save(folder)
    shutil.rmtree(work.folder / "online")
    loaded, load = [], OnlineModel.load.__func__
    monkeypatch.setattr(
        OnlineModel,
        "load",
        classmethod(lambda cls, at, *rest: loaded.append(at) or load(cls, at, *rest)),
    )
    materialised(home)
    assert loaded == [folder]
    assert states(work) == before


@pytest.mark.parametrize("damage", ["altered", "other market"])
def test_a_state_that_does_not_fit_is_left_and_it_begins_anew(
    learned: tuple[Path, dg.AssetMaterialization], damage: str
):
    home, _ = learned
    work = bench_of(home)
    before = states(work)
    folder = work.folder / "online" / "rsi_swing"
    if damage == "altered":
        (folder / CONFIG).write_text(json.dumps({"model": "online"}))
    else:
        model = OnlineModel.load(folder, work.history().view("rsi_swing").grid)
        model.journal.outcomes[3] = model.journal.outcomes[3] + 0.01
        model.save(folder)
    materialised(home)
    assert states(work) == before
