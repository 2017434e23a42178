"""Research of an older session, run again: it is made anew and takes nothing from a later one."""

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from pipeline import snapshots
from pipeline.chain import run_chain
from pipeline.config import Home
from pipeline.exports import read_document
from pipeline.instance import open_instance
from pipeline.store import Store
from pipeline.tracker import open_tracker
from tests.pipeline.small_chain import SESSION, bench_of, run_small, small_settings, stamps

OLDER = date(2024, 3, 14)
MODELS = ("weathervane-regime", "weathervane-parameters")


def holders(home: Home) -> dict[str, dict[str, int]]:
    """Version behind each alias of both models."""
    client = open_tracker(home, small_settings().tracking).client
    found = {name: client.get_registered_model(name).aliases for name in MODELS}
    return {name: {k: int(v) for k, v in one.items()} for name, one in found.items()}


def told(home: Home, asset: str) -> dict[str, object]:
    """Metadata of an asset's last materialisation."""
    with open_instance(home.dagster) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    return {k: v.value for k, v in event.asset_materialization.metadata.items()}


def test_it_moves_no_alias_and_what_it_pushes_out_is_computed_again(
    exported_copy: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(snapshots, "KEPT", 1)
    home, bench = Home(exported_copy), bench_of(exported_copy)
    pushed_out, settings = bench.files.folder(bench.snapshot), bench.files.settings
    held, said = holders(home), read_document(home, SESSION)
    trials = Store(home, universe=settings.universe).read_trials().height
    before = stamps(home.reports, home.parameters, home.exports / "versions")

    run_chain(settings, home, as_of=OLDER)
    assert holders(home) == held
    models = told(home, "promoted_model")
    assert models["alias"] == "none"
    assert f"stays with version 1 of {SESSION}" in models["summary"]
    assert told(home, "bars")["snapshots removed"] == 1
    assert not pushed_out.exists()
    assert before
    assert stamps(home.reports, home.exports).items() >= before.items()
    assert Store(home, universe=settings.universe).read_trials().height >= trials > 0
    assert Store(home, universe="").findings() == []
    assert read_document(home, SESSION) == said
    assert read_document(home, OLDER).data.last == OLDER

    run_small(exported_copy)
    again = read_document(home, SESSION)
    assert pushed_out.is_dir()
    assert (again.data, again.model, again.regime) == (said.data, said.model, said.regime)
    assert {n: e.target for n, e in again.strategies.items()} == {
        n: e.target for n, e in said.strategies.items()
    }
    assert holders(home) == held
    assert told(home, "promoted_model")["summary"].endswith("known already")
