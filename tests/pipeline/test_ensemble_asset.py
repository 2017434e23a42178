"""`ensemble` and `student_model`: members over time, and a student where there is enough for it."""

import json
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from ml.decision import Memo, decide
from ml.distill import Student, rows_of
from pipeline.config import Home, open_home
from pipeline.instance import open_instance
from pipeline.partitions import partition_of
from pipeline.snapshots import Snapshots
from pipeline.workbench import Workbench
from tests.pipeline.small_chain import SESSION, bench_of, small_settings

MEMBERS = ["experts", "neural", "online", "regime_table"]
LONGER = ("policy.train=110", 'strategies.names=["rsi_swing"]')
UPSTREAM = ("raw_bars", "bars", "universe", "market_state", "regime_model", "backtest_corpus")


def materialised(home: Path, *overrides: str, names: tuple[str, ...]) -> dict[str, dict]:
    """Materialise some assets of a home; their metadata by name."""
    from pipeline.definitions import defs

    document = small_settings(*overrides).model_dump_json()
    told = {"document": document, "home": str(home), "session": partition_of(SESSION)}
    with open_instance(Home(home).dagster) as instance:
        done = dg.materialize(
            list(defs.assets or ()),
            selection=[dg.AssetKey(name) for name in names],
            resources=defs.resources,
            run_config={"resources": {"settings": {"config": told}}},
            instance=instance,
        )
        events = done.get_asset_materialization_events()
    return {e.asset_key.to_user_string(): e.materialization.metadata for e in events}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, dict[str, dict]]:
    """A home whose first decision is early enough for a student; not to be changed."""
    home = tmp_path_factory.mktemp("taught")
    open_home(home)
    told = materialised(home, *LONGER, names=(*UPSTREAM, "ensemble", "student_model"))
    files = Snapshots(Home(home), small_settings(*LONGER))
    return files.workbench(files.current()), told


def test_members_weights_are_those_of_every_close(taught: tuple[Workbench, dict[str, dict]]):
    work, told = taught
    table, history = work.frame("ensemble"), work.history()
    assert table.columns == ["strategy", "date", *MEMBERS, "cash", "disagreement"]
    assert table.height == history.sessions - 110 < 756  # no neural fit: a test of seconds
    policy = small_settings(*LONGER).policy.with_learner("ensemble")
    memo, last = Memo(dict(work.regimes().fits)), history.sessions - 1
    decision = decide(last, history, policy, seed=work.files.settings.seed, memo=memo)
    today = work.values("ensemble")["rsi_swing"]
    assert today["date"] == str(history.dates[-1])
    assert [one["weight"] for one in today["mix"]] == sorted(
        (float(w) for w in decision["rsi_swing"].weights if w > 0.0), reverse=True
    )
    assert table.row(-1, named=True)["disagreement"] == today["disagreement"]
    assert "data:image/png;base64," in told["ensemble"]["members"].value
    assert told["ensemble"]["dagster/row_count"].value == table.height


def test_the_student_is_kept_with_its_report(taught: tuple[Workbench, dict[str, dict]]):
    work, told = taught
    (row,) = work.frame("student_model").rows(named=True)
    assert row["reason"] is None
    assert row["sessions"] > 30
    assert row["regret"] == row["teacher_sharpe"] - row["student_sharpe"]
    assert row["teacher_bytes"] == work.values("ensemble")["rsi_swing"]["bytes"]
    history = work.history()
    grid = history.strategies["rsi_swing"].grid
    folder = work.folder / "student" / "rsi_swing"
    student = Student.load(folder, columns=history.columns, grid=grid)
    mix = student.mixes(rows_of(history.state)[-1:])[0]
    assert mix.shape == (grid.size,)
    assert np.isfinite(mix).all()
    assert told["student_model"]["summary"].value.startswith(
        "1 of 1 strategies have a student; rsi_"
    )
    assert "data:image/png;base64," in told["student_model"]["earned"].value


def test_a_home_with_too_little_history_has_no_student_yet(exported_copy: Path):
    told = materialised(exported_copy, names=("ensemble", "student_model"))
    work = bench_of(exported_copy)
    rows = work.frame("student_model").rows(named=True)
    assert [row["strategy"] for row in rows] == ["rsi_swing", "ma_cross"]
    for row in rows:
        assert row["reason"].startswith("E_TOO_SHORT: ")
        assert row["regret"] is None
    assert not (work.folder / "student").exists()
    assert told["student_model"]["summary"].value == "0 of 2 strategies have a student"


def test_again_is_the_same(exported_copy: Path):
    names = ("ensemble", "student_model")
    materialised(exported_copy, names=names)
    work = bench_of(exported_copy)
    before = {n: work.frame(n) for n in names}, json.dumps(work.values("ensemble"))
    materialised(exported_copy, names=names)
    assert all(work.frame(n).equals(frame) for n, frame in before[0].items())
    assert json.dumps(work.values("ensemble")) == before[1]
