"""The leak detector: planted leaks are caught, their clean twins pass, and so does every part."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from backtest.errors import UnknownNameError
from backtest.market.panel import Panel
from ml.feature import FEATURES, Feature
from ml.labels import LABELS, Label
from ml.proof import leaks
from ml.proof.leak_market import market, with_noise_after
from ml.proof.leaks import POLICY, Scene, Suspect, cuts_of, named, prove, suspects
from ml.proof.warm_up import prove_warm_up

CUTS = (7, 45, 150, 269, 270, 271, 418)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return market()


def column(expression: pl.Expr) -> Suspect:
    """Make a suspect of a feature's expression."""

    def says(scene: Scene, t: int) -> leaks.Said:
        frame = scene.panel.frame().with_columns(expression.over("symbol").alias("x"))
        return leaks.values(scene.rows_until(frame, t), "x")

    return Suspect("feature", "planted", says)


def of_market(read) -> Suspect:
    """Make a suspect of a function of the mean return per session."""

    def says(scene: Scene, t: int) -> leaks.Said:
        close = scene.panel.close
        change = np.nanmean(close[:, 1:] / close[:, :-1] - 1.0, axis=0)
        return [read(change)[:t]]

    return Suspect("series", "planted", says)


def smoothed(x: np.ndarray) -> np.ndarray:
    """Average forwards and backwards, as a smoother of regimes does."""
    ahead = np.array(pl.Series(x).ewm_mean(half_life=5))
    back = np.array(pl.Series(x[::-1]).ewm_mean(half_life=5))[::-1]
    return ahead + back


CLOSE, SPAN = pl.col("close"), 11
PLANTED = {
    "shift by -1": (column(CLOSE.shift(-1) / CLOSE), column(CLOSE / CLOSE.shift(1))),
    "centred window": (
        column(CLOSE.rolling_mean(SPAN, center=True)),
        column(CLOSE.rolling_mean(SPAN)),
    ),
    "full-sample scaling": (
        column((CLOSE - CLOSE.mean()) / CLOSE.std()),
        column(CLOSE - CLOSE.rolling_mean(SPAN)),
    ),
    "backward fill": (
        column(CLOSE.rolling_mean(SPAN).fill_null(strategy="backward")),
        column(CLOSE.rolling_mean(SPAN).fill_null(strategy="forward")),
    ),
    "smoothed": (of_market(smoothed), of_market(lambda x: np.cumsum(x))),
    "in-sample fit": (
        of_market(lambda x: x.mean() / x.var() * x),
        of_market(lambda x: np.cumsum(x) / np.arange(1, len(x) + 1) * x),
    ),
}


@pytest.mark.parametrize("trap", PLANTED)
def test_a_planted_leak_is_caught_and_its_clean_twin_is_not(panel: Panel, trap: str):
    leaky, clean = PLANTED[trap]
    caught = prove([leaky], panel, CUTS)
    assert any(one.guilty for one in caught), trap
    assert not any(one.guilty for one in prove([clean], panel, CUTS))


def test_one_bar_after_the_cut_is_enough(panel: Panel):
    leaky, _ = PLANTED["shift by -1"]
    for one in prove([leaky], panel, [418]):
        assert one.guilty == (str(panel.dates[418]),), one.detector


def test_a_regime_model_that_fits_on_everything_is_caught(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
):
    whole = leaks.track

    def peeking(state, columns, model, **options):
        options["train"], options["refit"] = POLICY.train, 10_000
        laid = whole(state, columns, model, **options)
        if len(state) > POLICY.train:
            laid.fits[POLICY.train] = model.fit(state, columns, previous=None, seed=0)
        return laid

    suspect = named("rules")
    assert not any(one.guilty for one in prove(suspect, panel, CUTS))
    monkeypatch.setattr(leaks, "track", peeking)
    assert any(one.guilty for one in prove(suspect, panel, CUTS))


def test_a_decision_that_reads_ahead_is_caught(panel: Panel, monkeypatch: pytest.MonkeyPatch):
    honest = leaks.history_of

    def peeking(market_: Panel, corpora, *, state):
        history = honest(market_, corpora, state=state)
        one = history.strategies[leaks.STRATEGY]
        later = np.roll(one.returns, -1, axis=1)
        strategies = {leaks.STRATEGY: dataclasses.replace(one, returns=later)}
        return dataclasses.replace(history, strategies=strategies)

    suspect = named("decide")
    assert not any(one.guilty for one in prove(suspect, panel, CUTS))
    monkeypatch.setattr(leaks, "history_of", peeking)
    decided = tuple(str(panel.dates[t]) for t in CUTS if t >= 150)  # confidence reads every return
    assert [one.guilty for one in prove(suspect, panel, CUTS)] == [decided] * 2


@pytest.mark.parametrize(
    ("looks", "caught_by"),
    [(6, {"truncation", "future noise"}), (5, set()), (4, {"truncation"}), (0, {"truncation"})],
)
def test_a_label_that_looks_further_or_less_far_than_it_declares_is_caught(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, looks: int, caught_by: set[str]
):
    planted = Label(CLOSE.shift(-looks) / CLOSE - 1.0, horizon=5, unit="decimal")
    honest = LABELS.get
    monkeypatch.setattr(
        LABELS, "get", lambda name: planted if name == "y_return_5" else honest(name)
    )
    found = prove(named("y_return_5"), panel, CUTS)
    assert {one.detector for one in found if one.guilty} == caught_by
    assert all(one.cuts == len(CUTS) for one in found)


def test_a_rank_over_unequal_sessions_is_caught(panel: Panel, monkeypatch: pytest.MonkeyPatch):
    """A symbol with a missing bar is complete later, and its arrival would move the others."""
    earned = CLOSE.shift(-5) / pl.col("open").shift(-1) - 1.0
    planted, honest = Label(earned, horizon=5, unit="rank", ranked=True), LABELS.get
    monkeypatch.setattr(LABELS, "get", lambda name: planted if name == "y_rank_5" else honest(name))
    found = prove(named("y_rank_5"), panel, cuts_of(panel, 40))
    assert all(one.guilty for one in found)


def test_every_registered_part_is_causal(panel: Panel):
    found = prove(suspects(), panel, cuts_of(panel, 4))
    assert [one for one in found if one.guilty] == []
    kinds = {"feature", "label", "state", "strategy", "regime", "learner", "network", "decision"}
    assert {one.kind for one in found} == kinds
    assert len(found) == 2 * len(suspects())
    assert [one.cuts for one in found if one.kind == "network"] == [3, 3]  # 270, 271 and 418


def test_look_backs_are_honest(monkeypatch: pytest.MonkeyPatch):
    whole = market(symbols=5, sessions=1060, whole=True)
    assert not any(one.guilty for one in prove_warm_up(FEATURES.names(), whole))
    # an average of half-life 400 with a look-back of 10 still moves with older bars
    boast = Feature(pl.col("close").ewm_mean(half_life=400), lookback=10, unit="money")
    name = "momentum_return_20"
    monkeypatch.setattr(FEATURES, "get", lambda asked: boast)
    assert prove_warm_up([name], whole)[0].guilty


def test_noise_begins_after_the_cut(panel: Panel):
    other = with_noise_after(panel, 200)
    for name in ("open", "high", "low", "close", "volume"):
        mine, theirs = getattr(panel, name), getattr(other, name)
        np.testing.assert_array_equal(mine[:, :201], theirs[:, :201])
        known = np.isfinite(mine[:, 201:])
        assert (mine[:, 201:] != theirs[:, 201:])[known].all()
    assert (other.high >= other.low)[other.tradable].all()


def test_cuts_are_distinct_and_leave_a_later_bar(panel: Panel):
    assert cuts_of(panel, 1) == (*leaks.EARLY, 418)
    many = cuts_of(panel, 60)
    assert len(set(many)) == 62
    assert max(many) == 418
    assert min(many[2:]) >= POLICY.train
    assert many[:7] == cuts_of(panel, 5)


def test_an_unknown_part_is_refused():
    with pytest.raises(UnknownNameError, match="E_UNKNOWN: no part 'hmmm'"):
        named("hmmm")
