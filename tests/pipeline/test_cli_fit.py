"""`fit` and `suggest` by their command lines: files, the tracker, a kill, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
import torch

import ml.corpus
from ml.fitter.fitter import NeuralFitter
from ml.learner import LearnerView, Market
from pipeline.commands.fits import CHECKPOINTS
from pipeline.config import Home, TrackingConfig
from pipeline.fitters import fitter_before, load_fitter
from pipeline.fitting import Lesson
from pipeline.tracker import Scope, open_tracker
from tests.architecture.source_tree import ROOT
from tests.pipeline.cli_runner import Ran, weathervane
from tests.pipeline.damage import flip

STRATEGY, MODEL = "rsi_swing", "weathervane-fitter-rsi_swing"
ASKED = ("--strategy", STRATEGY, "--networks", "1", "--epochs", "2")
TABLES = ("training_history", "parameter_history", "backtest")
FILES = {
    *("weights.safetensors", "config.json", "fit.json", "training.png", "parameters.png"),
    *(f"{name}.parquet" for name in TABLES),
}


class Kept(NamedTuple):
    """One fit that tests share: its bars, its folder, and the home that it was logged in."""

    bars: Path
    out: Path
    home: Path


def fit(bars: Path, out: Path, *options: object) -> Ran:
    return weathervane("fit", *ASKED, "--data", bars, "--out", out, *options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def bars_of(out: Path, *, sessions: int, symbols: int = 6) -> Path:
    ran = weathervane(
        "market", "--world", "clear", "--symbols", symbols, "--sessions", sessions, "--seed", 3,
        "--out", out,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return out


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("fit")
    made = Kept(bars_of(folder / "world", sessions=600), folder / "out", folder / "home")
    ran = fit(made.bars, made.out, "--home", made.home)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("SYNTHETIC market, 6 symbols x 600 sessions")
    return made


def tracker_of(kept: Kept):
    return open_tracker(Home(kept.home), TrackingConfig())


def lesson_of(fitter: NeuralFitter, columns: tuple[str, ...] | None = None) -> Lesson:
    """What a fitter could be taught next, with nothing in it."""
    names = fitter.inputs.columns if columns is None else columns
    nothing = np.zeros((fitter.grid.size, 1))
    market = Market(np.zeros(1, "datetime64[D]"), np.zeros((1, len(names))), names, nothing)
    view = LearnerView(fitter.grid, nothing, np.ones((1, 1)), ("always",), market=market)
    return Lesson(STRATEGY, view, fitter.config, 0, 252, "revision")


def fresh(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``weathervane`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


class TestFiles:
    def test_a_fit_leaves_its_folder(self, kept: Kept):
        assert {path.name for path in kept.out.iterdir()} == FILES
        told = json.loads((kept.out / "fit.json").read_text())
        frames = {name: pl.read_parquet(kept.out / f"{name}.parquet") for name in TABLES}
        assert frames["training_history"].height == told["epochs"]
        assert str(frames["backtest"]["date"][-1]) == told["last"]
        assert frames["parameter_history"].height == 252
        streams = {"fitter", "regime_table", "static", "default"}
        assert set(frames["backtest"].columns) == {"date", *streams}
        assert told["faults"] == [""] * len(told["refined"])

    def test_a_second_run_gives_the_same_bytes_and_one_run(self, kept: Kept, tmp_path: Path):
        ran = fit(kept.bars, tmp_path, "--home", kept.home)
        assert ran.code == 0, ran.err
        assert contents(tmp_path) == contents(kept.out)
        tracker = tracker_of(kept)
        assert len(tracker.client.search_runs([tracker.experiment])) == 1
        assert len(tracker.client.search_model_versions(f"name = '{MODEL}'")) == 1

    def test_a_killed_fit_goes_on_to_the_same_bytes(self, kept: Kept, tmp_path: Path):
        begun = subprocess.Popen(
            [
                *(sys.executable, "-m", "pipeline", "fit", *ASKED),
                *("--data", str(kept.bars), "--out", str(tmp_path), "--home", str(kept.home)),
            ],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        while not list((tmp_path / CHECKPOINTS).glob("*.safetensors")):
            assert begun.poll() is None, "it ended before its first checkpoint"
            time.sleep(0.01)
        os.kill(begun.pid, signal.SIGKILL)
        assert begun.wait() == -signal.SIGKILL
        assert not FILES & {path.name for path in tmp_path.iterdir()}
        ran = fit(kept.bars, tmp_path, "--home", kept.home)
        assert ran.code == 0, ran.err
        assert "(1 of 2)" not in ran.err  # the first epoch was not trained again
        assert contents(tmp_path) == contents(kept.out)


class TestTracker:
    def test_training_is_curves_by_epoch(self, kept: Kept):
        tracker = tracker_of(kept)
        (run,) = tracker.client.search_runs([tracker.experiment])
        rows = pl.read_parquet(kept.out / "training_history.parquet")
        assert rows["stage"].n_unique() == 2
        for name in ("gradient_norm", "learning_rate", "train_mix", "train_earned", "valid_mix"):
            curve = tracker.client.get_metric_history(run.info.run_id, f"network_0/{name}")
            numbered = rows.with_row_index("step", offset=1).drop_nulls(name)
            assert [point.step for point in curve] == numbered["step"].to_list()
            assert [point.value for point in curve] == numbered[name].to_list()

    def test_parameters_and_equity_are_curves_by_session(self, kept: Kept):
        tracker = tracker_of(kept)
        (run,) = tracker.client.search_runs([tracker.experiment])

        def curve(name: str) -> list[float]:
            points = tracker.client.get_metric_history(run.info.run_id, name)
            days = [point.timestamp // 86_400_000 for point in points]
            assert days == sorted(set(days))
            assert [point.step for point in points] == list(range(len(points)))
            assert str(np.datetime64(days[-1], "D")) == "2012-05-18"
            return [point.value for point in points]

        earned = pl.read_parquet(kept.out / "backtest.parquet")
        for name in ("fitter", "static", "default"):
            whole = (earned[name] + 1.0).cum_prod().to_numpy()[::-1][::5][::-1]
            np.testing.assert_allclose(curve(f"equity_kept_back/{name}"), whole)
        moved = pl.read_parquet(kept.out / "parameter_history.parquet")
        thin = moved[::-1].gather_every(5)[::-1]
        assert curve("parameters/period") == thin["period"].to_list()
        values = thin["direction"].unique().to_list()
        for value in values:
            held = (thin["direction"] == value).cast(pl.Float64).to_list()
            assert curve(f"parameters/direction.{value}") == held
        assert run.data.metrics.keys() >= {"sharpe_kept_back/fitter", "confidence/period"}

    def test_figures_tables_and_a_signed_model_without_code(self, kept: Kept):
        from mlflow.models import Model

        tracker = tracker_of(kept)
        (run,) = tracker.client.search_runs([tracker.experiment])
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        for name in ("training", "parameters"):
            assert (folder / f"figures/{name}.png").read_bytes() == contents(kept.out)[
                f"{name}.png"
            ]
        for name in TABLES:
            logged = pl.read_parquet(folder / f"{name}.parquet")
            assert logged.equals(pl.read_parquet(kept.out / f"{name}.parquet"))
        model = folder / f"models/{MODEL}"
        assert {p.name for p in model.iterdir()} == {
            "MLmodel",
            "weights.safetensors",
            "config.json",
        }
        columns = json.loads((kept.out / "config.json").read_text())["columns"]
        assert Model.load(str(model)).signature.inputs.input_names() == columns
        version = tracker.client.get_model_version_by_alias(MODEL, "challenger")
        assert version.tags.keys() >= {"strategy", "revision", "universe", "session"}

    def test_the_last_fitter_before_a_session(self, kept: Kept, caplog):
        tracker = tracker_of(kept)
        fitter, loaded = load_fitter(tracker, STRATEGY)
        universe = loaded.tags["universe"]

        def before(session: str, name: str = universe, **changed: Any):
            lesson = replace(lesson_of(fitter), **changed)
            return fitter_before(tracker, lesson, Scope(name, session))

        found = before("2012-05-19")
        assert found is not None
        assert found.plain() == fitter.plain()
        assert before("2012-05-18") is None
        assert before("2012-05-19", "another") is None
        assert caplog.messages == []
        assert before("2012-05-19", config=replace(fitter.config, dropout=0.2)) is None
        few = lesson_of(fitter, columns=fitter.inputs.columns[1:]).view
        assert before("2012-05-19", view=few) is None
        fewer = replace(few, grid=fitter.grid.take(np.arange(3)))
        assert before("2012-05-19", view=fewer) is None
        assert len(caplog.messages) == 3
        assert all("begun anew" in said for said in caplog.messages)
        assert "E_SCHEMA" in caplog.messages[-1]


class TestSuggest:
    def test_folder_and_alias_say_the_same_in_a_fresh_process(self, kept: Kept):
        data = ("--data", kept.bars, "--json")
        folder = fresh("suggest", "--fit", kept.out, *data)
        alias = fresh("suggest", "--home", kept.home, "--strategy", STRATEGY, *data)
        assert (folder.returncode, alias.returncode) == (0, 0), folder.stderr + alias.stderr
        one, other = json.loads(folder.stdout), json.loads(alias.stdout)
        assert one.pop("model") == {"folder": str(kept.out)}
        assert other.pop("model") == {
            "name": MODEL,
            "version": 1,
            "alias": "challenger",
            "trained_until": "2012-05-18",
        }
        assert one == other
        told = json.loads((kept.out / "fit.json").read_text())
        assert one["parameters"] == told["parameters"]
        assert one["confidence"] == told["confidence"]
        assert [{k: m[k] for k in ("weight", "parameters")} for m in one["mix"]] == told["mix"]
        assert one["session"] == "2012-05-18"
        assert one["synthetic"]
        assert set(one["expected_in_training_deviations"]) == {"mean_return", "sharpe", "turnover"}

    def test_for_people_it_is_some_lines(self, kept: Kept):
        ran = weathervane("suggest", "--fit", kept.out, "--data", kept.bars)
        assert ran.code == 0, ran.err
        assert ran.out.startswith(f"SYNTHETIC market, {STRATEGY} after 2012-05-18, by {kept.out}")
        home = ("--home", kept.home, "--strategy", STRATEGY)
        ran = weathervane("suggest", *home, "--data", kept.bars)
        assert f"by {MODEL} version 1 (challenger)" in ran.out

    @pytest.mark.parametrize("damage", ["truncated", "altered"])
    def test_damaged_weights_are_one_line(self, kept: Kept, tmp_path: Path, damage: str):
        folder = shutil.copytree(kept.out, tmp_path / "copy")
        path = folder / "weights.safetensors"
        content = path.read_bytes()
        if damage == "truncated":
            path.write_bytes(content[: len(content) // 2])
        else:
            flip(path, len(content) - 100)
        ran = weathervane("suggest", "--fit", folder, "--data", kept.bars)
        assert ran.code == 1
        assert ran.error_line.startswith("E_WEIGHTS: ")

    def test_an_altered_registered_file_is_one_line(self, kept: Kept, tmp_path: Path):
        tracker = tracker_of(kept)
        source = tracker.client.get_model_version(MODEL, "1").source.removeprefix("file://")
        path = Path(source) / "weights.safetensors"
        content = path.read_bytes()
        flip(path, len(content) - 100)
        home = ("--home", kept.home, "--strategy", STRATEGY)
        ran = weathervane("suggest", *home, "--data", kept.bars)
        path.write_bytes(content)
        assert ran.code == 1
        assert ran.error_line.startswith("E_CORRUPT: SHA-256 ")

    def test_another_strategy_is_named(self, kept: Kept):
        ran = weathervane(
            "suggest", "--fit", kept.out, "--strategy", "rsi_reversion", "--data", kept.bars
        )
        assert ran.code == 1
        assert ran.error_line.startswith(f"E_SCHEMA: the fitter was trained on {STRATEGY}, not on")

    def test_a_fit_saved_from_python_needs_the_strategy(self, kept: Kept, tmp_path: Path):
        for name in ("weights.safetensors", "config.json"):
            shutil.copy(kept.out / name, tmp_path)
        asked = ("suggest", "--fit", tmp_path, "--data", kept.bars)
        ran = weathervane(*asked)
        assert ran.error_line.startswith("E_JSON: the folder does not say which strategy")
        assert weathervane(*asked, "--strategy", STRATEGY).code == 0
        ran = weathervane(*asked, "--strategy", "rsi_reversion")
        assert ran.error_line.startswith("E_SCHEMA: the fitter was trained on 140 candidate sets")
        assert "192 of 192 are new to it" in ran.error_line

    def test_a_model_of_another_kind_is_named_and_not_overwritten(self, kept: Kept, tmp_path: Path):
        (tmp_path / "config.json").write_text('{"model": "online"}')
        ran = weathervane("suggest", "--fit", tmp_path, "--data", kept.bars)
        assert ran.error_line.startswith("E_SCHEMA: the folder holds no neural fitter but")
        ran = fit(kept.bars, tmp_path)
        assert ran.error_line.startswith("E_OUT: the folder holds a model of another kind, online")
        assert [path.name for path in tmp_path.iterdir()] == ["config.json"]

    def test_bars_that_end_before_the_training_did_are_hindsight(
        self, kept: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        bars = pl.read_parquet(kept.bars / "bars.parquet")
        days = bars["date"].unique().sort()
        for sessions, code in ((len(days) - 5, 0), (200, 1)):
            bars.filter(pl.col("date") < days[sessions]).write_parquet(tmp_path / "bars.parquet")
            ran = weathervane(
                *("suggest", "--fit", kept.out, "--data", tmp_path / "bars.parquet", "--json")
            )
            assert ran.code == code
            if code:
                assert ran.error_line.startswith("E_TOO_SHORT: 200 sessions where the fitter needs")
            else:
                assert "hindsight: the fitter was trained until 2012-05-18" in caplog.text
                assert json.loads(ran.out)["hindsight"]
        ran = weathervane("suggest", "--fit", kept.out, "--data", kept.bars, "--json")
        assert json.loads(ran.out)["hindsight"] is False
        assert json.loads(ran.out)["trained"]["last"] == "2012-05-18"

    def test_a_column_that_is_gone_is_named(self, kept: Kept, monkeypatch: pytest.MonkeyPatch):
        whole = ml.corpus.state_matrix
        gone = json.loads((kept.out / "config.json").read_text())["columns"][1]

        def drifted(frame: pl.DataFrame):
            return whole(frame.rename({gone: "newcomer"}))

        monkeypatch.setattr(ml.corpus, "state_matrix", drifted)
        ran = weathervane("suggest", "--fit", kept.out, "--data", kept.bars)
        assert ran.code == 1
        assert ran.error_line.startswith(f"E_SCHEMA: the market's state has no {gone}")
        assert "newcomer" in ran.error_line

    def test_nothing_registered_and_an_unknown_alias(self, kept: Kept, tmp_path: Path):
        asked = ("suggest", "--strategy", STRATEGY, "--data", kept.bars, "--home")
        ran = weathervane(*asked, tmp_path)
        assert ran.error_line.startswith("E_MODEL: no model is registered")
        assert list(tmp_path.iterdir()) == []
        ran = weathervane(*asked, kept.home, "--alias", "champion")
        assert ran.error_line.startswith(f"E_MODEL: no model {MODEL}@champion")

    def test_it_must_be_told_whom_to_ask(self, kept: Kept):
        assert weathervane("suggest", "--data", kept.bars).code == 2
        both = ("--fit", kept.out, "--home", kept.home)
        assert weathervane("suggest", *both, "--data", kept.bars).code == 2


class TestPoorInput:
    def test_too_little_history(self, market: Path, tmp_path: Path):
        ran = fit(market, tmp_path)
        assert ran.code == 1
        assert ran.error_line.startswith("E_TOO_SHORT: 260 sessions where the fitter needs ")

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_a_gpu_that_is_not_there(self, kept: Kept, tmp_path: Path):
        ran = fit(kept.bars, tmp_path, "--device", "cuda")
        assert ran.code == 1
        assert ran.error_line.startswith("E_DEVICE: device cuda was asked for")

    def test_fast_training_without_a_gpu(self, kept: Kept, tmp_path: Path):
        ran = fit(kept.bars, tmp_path, "--fast")
        assert ran.code == 1
        assert ran.error_line.startswith("E_DEVICE: fast training is for a GPU")

    def test_an_unknown_extractor(self, kept: Kept, tmp_path: Path):
        ran = fit(kept.bars, tmp_path, "--extractor", "tnc")
        assert ran.error_line.startswith("E_UNKNOWN: ")

    def test_state_that_is_never_known_is_not_read(self, kept: Kept, tmp_path: Path):
        bars = pl.read_parquet(kept.bars / "bars.parquet").drop("volume")
        bars.write_parquet(tmp_path / "bars.parquet")
        source, out = tmp_path / "bars.parquet", tmp_path / "out"
        ran = fit(source, out, "--refinement", "none", "--epochs", 1)
        assert ran.code == 0, ran.err
        columns = json.loads((out / "config.json").read_text())["columns"]
        whole = json.loads((kept.out / "config.json").read_text())["columns"]
        unread = set(whole) - set(columns)
        assert unread
        assert all("volume" in name for name in unread)
        ran = weathervane("suggest", "--fit", out, "--data", source, "--json")
        assert ran.code == 0, ran.err
        told = json.loads(ran.out)
        assert sum(m["weight"] for m in told["mix"]) > 0.0
        # and what was trained with volume does not speak where there is none
        ran = weathervane("suggest", "--fit", kept.out, "--data", source)
        assert ran.code == 1
        assert ran.error_line.startswith("E_SCHEMA: the market's state has no market_volume")

    def test_candidates_that_never_trade(self, kept: Kept, tmp_path: Path):
        bars = pl.read_parquet(kept.bars / "bars.parquet")
        one = bars.filter(pl.col("symbol") == bars["symbol"].min())
        one.write_parquet(tmp_path / "bars.parquet")
        ran = fit(tmp_path / "bars.parquet", tmp_path / "out")
        assert ran.code == 1
        assert ran.error_line.startswith(f"E_DATA: no candidate set of {STRATEGY} ever earned")
