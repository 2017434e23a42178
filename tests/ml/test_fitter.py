"""The neural fitter on a small planted history."""

import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from backtest.errors import ConfigError, NotFittedError
from ml.fitter.config import FitterConfig
from ml.fitter.files import CheckpointFolder
from ml.fitter.fitter import NeuralFitter
from ml.fitter.lessons import Inputs, Windows, lessons
from ml.fitter.results import results_of
from ml.fitter.stages import Stages
from ml.learner import HORIZON, LearnerView, Market
from ml.score_table import ScoreTable
from ml.train import TrainConfig
from ml.weights import CONFIG, WEIGHTS
from tests.ml.histories import (
    COLUMNS,
    days,
    planted_returns,
    planted_state,
    small_grid,
    spells,
)

SESSIONS = 700
GRID = small_grid()
WINDOWS = Windows(sequence=60, overlap=30, step=5, held_out=60, passes=2)
CONFIG_ = FitterConfig(
    components=4, refine_epochs=3, windows=WINDOWS, training=TrainConfig(epochs=12, batch=8)
)


def view_until(stop: int, *, seed: int = 0) -> LearnerView:
    states = spells(SESSIONS)
    returns = planted_returns(GRID, states, seed=seed)[:, :stop]
    market = Market(
        days(SESSIONS)[:stop], planted_state(states)[:stop], COLUMNS, np.full(returns.shape, 0.1)
    )
    return LearnerView(GRID, returns, np.ones((stop, 1)), ("always",), market=market)


VIEW = view_until(600)
FITTER = NeuralFitter.fit(VIEW, CONFIG_, seed=1)
ALONE = dataclasses.replace(CONFIG_, seeds=1, refinement="none", beside_table=False)
HEADS_ALONE = NeuralFitter.fit(VIEW, ALONE, seed=1)


def same(one: NeuralFitter, other: NeuralFitter) -> bool:
    mine, others = one.arrays(), other.arrays()
    equal = all(mine[name].tobytes() == others[name].tobytes() for name in mine)
    return mine.keys() == others.keys() and equal and one.plain() == other.plain()


class TestFit:
    def test_it_follows_the_regimes(self):
        mixes = FITTER.mixes(view_until(SESSIONS), 99).mean(axis=0)  # [session, param]
        momentum = mixes[:, GRID["direction"] == "momentum"].sum(axis=1)
        state = spells(SESSIONS)[-99:]
        assert momentum[state == 0].mean() > 0.6
        assert momentum[state == 1].mean() < 0.4

    def test_history_has_both_stages(self):
        for rows in FITTER.history:
            stages = [row["stage"] for row in rows]
            assert sorted(set(stages)) == [1, 2]
            assert stages == sorted(stages)

    def test_heads_alone_learn_what_the_table_teaches(self):
        first = [row["valid_mix"] for row in HEADS_ALONE.history[0]]
        assert min(first) < 0.7 * first[0]

    def test_an_untrained_network_proposes_what_the_table_does(self):
        still = dataclasses.replace(
            CONFIG_, seeds=1, refinement="none", training=TrainConfig(epochs=0, batch=8)
        )
        begun = NeuralFitter.fit(VIEW, still, seed=1)
        probabilities = begun.regimes.filter(VIEW.market.state)
        told = dataclasses.replace(VIEW, probabilities=probabilities, regimes=begun.regimes.names)
        table = ScoreTable().mixes(told, 40, every=WINDOWS.step)
        np.testing.assert_allclose(begun.mixes(VIEW, 40)[0], table, atol=1e-4)
        assert table.max() > 0.1

    @pytest.mark.parametrize("seed", range(4))
    def test_stage_one_is_never_further_from_the_teacher_than_it_began(self, seed: int):
        """Where nothing is planted, a better performance head must not buy worse mixes."""
        random = np.random.default_rng(seed)
        noise = dataclasses.replace(VIEW, returns=random.normal(0.0, 0.01, VIEW.returns.shape))
        quick = dataclasses.replace(
            CONFIG_, seeds=1, refinement="none", training=TrainConfig(epochs=8, batch=8)
        )
        still = dataclasses.replace(quick, training=TrainConfig(epochs=0, batch=8))

        def kept_back(config: FitterConfig) -> float:
            fitter = NeuralFitter.fit(noise, config, seed=seed)
            told = dataclasses.replace(
                noise,
                probabilities=fitter.regimes.filter(noise.market.state),
                regimes=fitter.regimes.names,
            )
            made = lessons(told, inputs=fitter.inputs, windows=WINDOWS, table=ScoreTable())
            judge = Stages(made, cost=0.0, pull=0.0, periods_per_year=252, device="cpu", seed=0)
            return judge.held_out(fitter.networks[0], stage=1)["mix"]

        assert kept_back(quick) <= kept_back(still)

    def test_networks_of_the_ensemble_differ(self):
        mixes = FITTER.mixes(VIEW)[:, -1]
        assert np.abs(mixes[0] - mixes[1]).max() > 1e-4

    def test_the_same_seed_gives_the_same_bytes(self):
        quick = dataclasses.replace(CONFIG_, seeds=1, training=TrainConfig(epochs=2, batch=8))
        assert same(NeuralFitter.fit(VIEW, quick, seed=3), NeuralFitter.fit(VIEW, quick, seed=3))
        assert not same(
            NeuralFitter.fit(VIEW, quick, seed=3), NeuralFitter.fit(VIEW, quick, seed=4)
        )

    def test_a_refit_goes_on_from_the_weights_before(self):
        longer = view_until(680)
        warm = NeuralFitter.fit(longer, ALONE, seed=1, previous=HEADS_ALONE)
        first = warm.history[0]
        assert len(first) <= 10
        assert first[0]["valid_mix"] < HEADS_ALONE.history[0][0]["valid_mix"]
        assert warm.inputs == HEADS_ALONE.inputs

    def test_other_candidates_or_settings_start_anew(self):
        other = dataclasses.replace(VIEW, grid=small_grid(periods=(6, 15, 30)))
        assert other.grid.size == GRID.size
        assert FITTER.goes_on(VIEW, CONFIG_)
        assert not FITTER.goes_on(other, CONFIG_)
        assert not FITTER.goes_on(VIEW, dataclasses.replace(CONFIG_, clear=2.0))

    @pytest.mark.parametrize("refinement", ["gradient", "evolution", "reinforce"])
    def test_stage_two_is_taken_back_where_it_earns_no_more(self, refinement: str):
        quick = dataclasses.replace(
            CONFIG_,
            seeds=1,
            refinement=refinement,
            refine_epochs=2,
            training=TrainConfig(epochs=3, batch=8),
        )
        told: dict[str, tuple[int, int]] = {}
        both = NeuralFitter.fit(
            VIEW, quick, seed=2, progress=lambda n, d, m: told.update({n: (d, m)})
        )
        first = NeuralFitter.fit(VIEW, dataclasses.replace(quick, refinement="none"), seed=2)
        pairs = zip(
            both.networks[0].state_dict().values(),
            first.networks[0].state_dict().values(),
            strict=True,
        )
        kept = not all(torch.equal(a, b) for a, b in pairs)
        assert kept == both.refined[0]
        assert told == {"network-0-stage-1": (3, 3), "network-0-stage-2": (2, 2)}

    def test_a_stage_that_ends_early_is_told_as_done(self):
        quick = dataclasses.replace(
            CONFIG_,
            seeds=1,
            refinement="none",
            training=TrainConfig(epochs=12, batch=8, rate=1e-9, patience=1),
        )
        told = []
        fit = NeuralFitter.fit(VIEW, quick, seed=2, progress=lambda _n, d, m: told.append((d, m)))
        epochs = len(fit.history[0])
        assert epochs < 12
        assert told[-2:] == [(epochs, 12), (epochs, epochs)]

    def test_reinforcement_alone_has_no_first_stage(self):
        alone = dataclasses.replace(
            CONFIG_, seeds=1, pretrained=False, refinement="reinforce", refine_epochs=2
        )
        found = NeuralFitter.fit(VIEW, alone, seed=2)
        assert {row["stage"] for row in found.history[0]} == {2}
        assert found.refined == (True,)


class TestCausality:
    def test_later_sessions_change_nothing(self):
        whole, changed = view_until(SESSIONS), view_until(SESSIONS)
        changed.returns[:, 650:] = np.random.default_rng(1).normal(0.0, 0.05, (GRID.size, 50))
        changed.market.state[650:] = 9.0
        one, other = FITTER.mixes(whole, 100), FITTER.mixes(changed, 100)
        np.testing.assert_array_equal(one[:, :50], other[:, :50])
        assert (one[:, 50:] != other[:, 50:]).any(axis=(0, 2)).all()
        np.testing.assert_allclose(
            other[:, 0], FITTER.mixes(whole.rows(0, 601))[:, 0], atol=1e-6
        )  # and nothing hangs on later sessions being there at all

    def test_lessons_end_before_validation_and_validation_before_the_end(self):
        made = lessons(VIEW, inputs=Inputs.fitted(VIEW.market), windows=WINDOWS, table=ScoreTable())
        first, stop = made.held
        assert made.learned + HORIZON == first
        assert stop + HORIZON == VIEW.sessions
        for epoch in range(5):
            for start in made.sequences(epoch, seed=0):
                assert start >= 0
                assert start + WINDOWS.sequence <= made.learned

    def test_sessions_kept_back_reach_neither_units_nor_regimes(self):
        first, _ = WINDOWS.kept_back(VIEW.sessions)
        other = VIEW.market.state.copy()
        other[first:] = np.random.default_rng(0).normal(size=other[first:].shape)
        changed = dataclasses.replace(VIEW, market=dataclasses.replace(VIEW.market, state=other))
        still = dataclasses.replace(
            CONFIG_, seeds=1, refinement="none", training=TrainConfig(epochs=0, batch=8)
        )
        one, two = NeuralFitter.fit(VIEW, still), NeuralFitter.fit(changed, still)
        np.testing.assert_array_equal(one.inputs.centre, two.inputs.centre)
        np.testing.assert_array_equal(one.inputs.scale, two.inputs.scale)
        mine, others = one.regimes.arrays(), two.regimes.arrays()
        assert all(mine[name].tobytes() == others[name].tobytes() for name in mine)

    def test_validation_returns_do_not_reach_what_is_trained_on(self):
        changed = dataclasses.replace(VIEW, returns=VIEW.returns.copy())
        inputs = Inputs.fitted(VIEW.market)
        one = lessons(VIEW, inputs=inputs, windows=WINDOWS, table=ScoreTable())
        changed.returns[:, one.held[0] :] *= -3.0
        other = lessons(changed, inputs=inputs, windows=WINDOWS, table=ScoreTable())
        rows = slice(0, one.learned)
        np.testing.assert_array_equal(one.teacher, other.teacher)
        np.testing.assert_array_equal(one.outcome[rows], other.outcome[rows])
        assert not np.array_equal(one.outcome[one.held[0] :], other.outcome[one.held[0] :])

    def test_an_epoch_asks_about_every_session_once_per_pass(self):
        made = lessons(VIEW, inputs=Inputs.fitted(VIEW.market), windows=WINDOWS, table=ScoreTable())
        starts = made.sequences(3, seed=0)
        asked = np.sort(np.concatenate([start + made.asked for start in starts]))
        spread = np.bincount(np.diff(np.unique(asked)))
        assert len(asked) >= WINDOWS.passes * (made.learned - WINDOWS.sequence) // WINDOWS.step
        assert spread.argmax() <= WINDOWS.step


class TestSuggest:
    def test_a_suggestion_is_a_mix_with_a_set_and_confidence(self):
        said = FITTER.suggest(VIEW)
        assert 0.0 < said.weights.sum() <= 1.0 + 1e-6
        assert said.parameters == GRID.row(int(said.weights.argmax()))
        assert set(said.confidence) == set(GRID.columns)
        assert all(0.0 <= v <= 1.0 for v in said.confidence.values())
        assert said.regime["bull"] + said.regime["sideways"] + said.regime["bear"] == (
            pytest.approx(1.0)
        )

    def test_a_short_view_is_read_as_far_as_it_goes(self):
        assert np.isfinite(FITTER.mixes(VIEW.rows(570, 600))).all()
        with pytest.raises(NotFittedError, match=r"E_TOO_SHORT: 209 sessions .* needs 210"):
            FITTER.suggest(VIEW.rows(391, 600))
        assert FITTER.suggest(VIEW.rows(390, 600)).parameters

    def test_a_column_without_any_value_is_refused(self):
        lost = VIEW.market.state.copy()
        lost[:, 0] = np.nan
        view = dataclasses.replace(VIEW, market=dataclasses.replace(VIEW.market, state=lost))
        with pytest.raises(
            NotFittedError, match=f"E_SCHEMA: the market's state has no {COLUMNS[0]}"
        ):
            FITTER.suggest(view)

    def test_unknown_state_is_average(self):
        holed = dataclasses.replace(
            VIEW, market=dataclasses.replace(VIEW.market, state=VIEW.market.state.copy())
        )
        holed.market.state[-20:] = np.nan
        assert np.isfinite(FITTER.suggest(holed).weights).all()


class TestFiles:
    def test_what_is_loaded_says_the_same(self, tmp_path: Path):
        FITTER.save(tmp_path)
        back = NeuralFitter.load(tmp_path, GRID)
        assert same(back, FITTER)
        np.testing.assert_array_equal(back.mixes(VIEW, 7), FITTER.mixes(VIEW, 7))
        assert sorted(p.name for p in tmp_path.iterdir()) == [CONFIG, WEIGHTS]

    @pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "empty"])
    @pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
    def test_a_damaged_file_is_one_line(self, tmp_path: Path, name: str, damage: str):
        FITTER.save(tmp_path)
        path = tmp_path / name
        content = bytearray(path.read_bytes())
        if damage == "missing":
            path.unlink()
        elif damage == "flipped":
            content[content.index(b"columns") + 1 if name == CONFIG else -100] ^= 1
            path.write_bytes(content)
        else:
            path.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
        with pytest.raises(NotFittedError, match=r"^E_WEIGHTS: [^\n]*$"):
            NeuralFitter.load(tmp_path, GRID)

    def test_other_candidates_are_refused(self, tmp_path: Path):
        FITTER.save(tmp_path)
        with pytest.raises(NotFittedError, match=r"E_SCHEMA: .*4 of 16 are new to it"):
            NeuralFitter.load(tmp_path, small_grid(periods=(5, 14, 28, 40)))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"model": "online"}, "these are no neural fitter's weights, model: online"),
            ({"config": {"extractor": "tcn"}}, "saved by another version, .*: .*beside_table"),
        ],
    )
    def test_another_model_or_version_is_told(self, change: dict[str, Any], told: str):
        with pytest.raises(NotFittedError, match=f"E_SCHEMA: .*{told}"):
            NeuralFitter.restore(FITTER.arrays(), {**FITTER.plain(), **change}, GRID)

    def test_a_kill_between_both_files_leaves_one_pair(self, tmp_path: Path, monkeypatch):
        """Whichever moment a writer is killed at, the folder holds the old or the new fitter."""
        other = dataclasses.replace(FITTER, refined=(True, True))
        for moment in range(3):
            FITTER.save(tmp_path)
            replaced, real = [], os.replace

            def killed(*paths: Path, last: int = moment, done: list = replaced, to=real) -> None:
                if len(done) == last:
                    raise KeyboardInterrupt
                done.append(paths)
                to(*paths)

            with monkeypatch.context() as patch:
                patch.setattr("ml.weights.os.replace", killed)
                with pytest.raises(KeyboardInterrupt):
                    other.save(tmp_path)
            found = NeuralFitter.load(tmp_path, GRID)
            assert same(found, FITTER if moment < 2 else other)
            other.save(tmp_path)
            assert same(NeuralFitter.load(tmp_path, GRID), other)

    def test_nothing_is_pickled(self, tmp_path: Path):
        FITTER.save(tmp_path)
        assert json.loads((tmp_path / CONFIG).read_text())["model"] == "neural_fitter"
        head = (tmp_path / WEIGHTS).read_bytes()[8:9]
        assert head == b"{"


class TestResume:
    def test_an_interrupted_fit_goes_on_to_the_same_weights(self, tmp_path: Path):
        quick = dataclasses.replace(CONFIG_, training=TrainConfig(epochs=4, batch=8))
        whole = NeuralFitter.fit(VIEW, quick, seed=6)
        seen: list[str] = []

        def stop(name: str, done: int, most: int) -> None:
            seen.append(name)
            if len(seen) == 6:
                raise KeyboardInterrupt

        folder = CheckpointFolder(tmp_path, "key")
        with pytest.raises(KeyboardInterrupt):
            NeuralFitter.fit(VIEW, quick, seed=6, resume=folder, progress=stop)
        again: list[str] = []
        resumed = NeuralFitter.fit(
            VIEW, quick, seed=6, resume=folder, progress=lambda n, d, m: again.append(n)
        )
        assert same(resumed, whole)
        assert len(again) < len(seen) + sum(len(rows) for rows in whole.history) - 5

    def test_a_checkpoint_of_something_else_or_damaged_is_not_used(self, tmp_path: Path):
        quick = dataclasses.replace(
            CONFIG_, seeds=1, refinement="none", training=TrainConfig(epochs=2, batch=8)
        )
        NeuralFitter.fit(VIEW, quick, seed=6, resume=CheckpointFolder(tmp_path, "one"))
        (path,) = tmp_path.iterdir()
        name = path.stem
        assert CheckpointFolder(tmp_path, "one").find(name) is not None
        assert CheckpointFolder(tmp_path, "other").find(name) is None
        whole = path.read_bytes()
        head = whole.index(b"\n")
        for place in (-10, whole.index(b'"rate": ') + 10, 0, head):
            content = bytearray(whole)
            content[place] ^= 1
            path.write_bytes(content)
            assert CheckpointFolder(tmp_path, "one").find(name) is None, place
        path.write_bytes(b"[]" + whole[head:])
        assert CheckpointFolder(tmp_path, "one").find(name) is None


class TestPoorInput:
    def test_too_little_history(self):
        with pytest.raises(NotFittedError, match=r"E_TOO_SHORT: 150 sessions .* needs 210"):
            NeuralFitter.fit(view_until(150), CONFIG_)

    def test_no_market(self):
        with pytest.raises(NotFittedError, match="reads the market's state"):
            NeuralFitter.fit(dataclasses.replace(VIEW, market=None), CONFIG_)

    def test_a_state_that_lost_a_column(self):
        market = VIEW.market
        fewer = dataclasses.replace(
            market, state=market.state[:, 1:], columns=("new", *market.columns[2:])
        )
        with pytest.raises(
            NotFittedError, match=rf"E_SCHEMA: the market's state has no {COLUMNS[0]}"
        ):
            FITTER.mixes(dataclasses.replace(VIEW, market=fewer))

    def test_a_state_that_never_moves(self):
        still = dataclasses.replace(VIEW.market, state=np.ones_like(VIEW.market.state))
        with pytest.raises(NotFittedError):
            NeuralFitter.fit(dataclasses.replace(VIEW, market=still), CONFIG_)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_a_gpu_that_is_not_there(self):
        asked = dataclasses.replace(CONFIG_, training=TrainConfig(device="cuda"))
        with pytest.raises(ConfigError, match="E_DEVICE: device cuda was asked for"):
            NeuralFitter.fit(VIEW, asked)

    def test_a_device_of_another_name(self):
        asked = dataclasses.replace(CONFIG_, training=TrainConfig(device="abacus"))
        with pytest.raises(ConfigError, match="E_DEVICE: no device 'abacus'"):
            NeuralFitter.fit(VIEW, asked)

    def test_a_loss_that_is_never_finite_is_told(self, monkeypatch: pytest.MonkeyPatch):
        real = Stages.supervised

        def poisoned(self: Stages, network: nn.Module, batch: Any):
            loss, parts = real(self, network, batch)
            return loss * float("nan"), parts

        quick = dataclasses.replace(
            CONFIG_, seeds=1, refinement="none", training=TrainConfig(epochs=2, batch=8)
        )
        monkeypatch.setattr(Stages, "supervised", poisoned)
        with pytest.raises(NotFittedError, match=r"no network .* the loss is not finite"):
            NeuralFitter.fit(VIEW, quick)

    def test_a_training_that_ends_early_is_told(self, monkeypatch: pytest.MonkeyPatch):
        real, seen = Stages.supervised, []

        def poisoned(self: Stages, network: nn.Module, batch: Any):
            loss, parts = real(self, network, batch)
            seen.append(batch)
            return loss * (float("nan") if len(seen) > 20 else 1.0), parts

        quick = dataclasses.replace(
            CONFIG_, seeds=1, refinement="none", training=TrainConfig(epochs=20, batch=8)
        )
        monkeypatch.setattr(Stages, "supervised", poisoned)
        found = NeuralFitter.fit(VIEW, quick)
        assert found.faults == ("the loss is not finite",)
        assert 0 < len(found.history[0]) < 20
        assert np.isfinite(found.suggest(VIEW).weights).all()

    def test_memory_that_is_exhausted_while_judging_is_one_line(self, monkeypatch):
        def full(*_args: Any, **_rest: Any):
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(Stages, "held_out", full)
        with pytest.raises(ConfigError, match="E_DEVICE: the GPU's memory does not hold"):
            NeuralFitter.fit(VIEW, CONFIG_)

    def test_candidates_that_never_trade_end_in_finite_weights(self, caplog):
        dead = dataclasses.replace(VIEW, returns=np.zeros_like(VIEW.returns))
        quick = dataclasses.replace(CONFIG_, seeds=1, training=TrainConfig(epochs=2, batch=8))
        with caplog.at_level(logging.WARNING):
            found = NeuralFitter.fit(dead, quick)
        assert np.isfinite(found.suggest(dead).weights).all()


class TestResults:
    FOUND = results_of(FITTER, VIEW, sessions=90)

    def test_parameters_mix_and_confidence(self):
        assert self.FOUND.parameters == self.FOUND.mix[0]["parameters"]
        weights = [member["weight"] for member in self.FOUND.mix]
        assert sum(weights) == pytest.approx(FITTER.suggest(VIEW).weights.sum())
        assert weights == sorted(weights, reverse=True)
        assert len(weights) <= 16
        assert set(self.FOUND.confidence) == set(GRID.columns)

    def test_parameter_history_lies_between_the_candidates(self):
        moved = self.FOUND.parameter_history
        assert moved["session"].to_list() == list(range(510, 600))
        assert moved["period"].is_between(GRID["period"].min(), GRID["period"].max()).all()
        assert set(moved["direction"]) == {"momentum", "reversion"}  # the state changed

    def test_training_history_has_every_epoch(self):
        rows = self.FOUND.training_history
        assert rows.height == sum(len(one) for one in FITTER.history)
        assert {"train_mix", "valid_earned", "gradient_norm", "learning_rate"} <= set(rows.columns)
        assert rows.filter(network=0, stage=1)["epoch"].to_list()[0] == 1

    def test_a_comparison_with_plain_parameters(self):
        assert set(self.FOUND.comparison) >= {"fitter", "static"}
        assert self.FOUND.comparison["fitter"] > self.FOUND.comparison["static"]
        kept = WINDOWS.held_out + HORIZON
        assert self.FOUND.backtest.height == kept
        assert self.FOUND.backtest["session"].to_list()[-1] == 599
