"""Whether a part sees the future: cut the history, or replace what follows by noise.

For: proving that what was published up to session ``t`` does not depend on any later bar, for
every registered feature, state feature, strategy, regime model and learner, for a network's
training and for ``decide``; and that a label looks ahead exactly as far as it declares. Not for:
leaks that leave every cut alike, such as a fill on the bar of its own signal (``ml.proof.traps``).

A part is handed the same market three times: whole, ended at ``t``, and with every bar after
``t`` replaced by other prices. What it says of the sessions up to ``t`` must be the same bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from backtest import seeds
from backtest.engine.plan import Plan
from backtest.errors import UnknownNameError
from backtest.market.panel import Panel
from backtest.registry import closest
from backtest.strategy import STRATEGIES
from ml.book_state import book_state
from ml.corpus import Corpus, WalkSpec, corpus, history_of
from ml.decision import Memo, decide
from ml.feature import FEATURES, feature_plan
from ml.history import History
from ml.labels import LABELS, label_plan
from ml.learner import LEARNERS
from ml.market_state import market_state, state_matrix
from ml.policy import PolicyConfig
from ml.proof.leak_market import with_noise_after
from ml.proof.small_networks import SmallNetworks, training
from ml.regime import REGIMES
from ml.regime_track import track
from ml.state_feature import BOOK_FEATURES, STATE_FEATURES

Said = list[npt.NDArray[Any]]
Progress = Callable[[int, int], None]

DETECTORS = ("truncation", "future noise")
POLICY = PolicyConfig(train=150, step=5, refit=40)
SMALL = SmallNetworks(**POLICY.model_dump())
"""The same with networks that are trained before the sessions end, whoever listens to them."""
NETWORKS = "neural"
"""The learner that trains networks; as registered, it needs more sessions than there are."""
STRATEGY, OTHER = "rsi_swing", "ma_cross"
EARLY = (7, 45)
"""Cuts before the first decision: while averages warm up, and after a late listing."""


@dataclass
class Scene:
    """One market, and what several parts compute from it alike.

    Parameters
    ----------
    panel : Panel
    """

    panel: Panel
    memo: Memo = field(default_factory=Memo)
    swept: dict[str, Corpus] = field(default_factory=dict)
    tracks: dict[str, pl.DataFrame] = field(default_factory=dict)
    early: dict[int, pl.DataFrame] = field(default_factory=dict)

    @cached_property
    def features(self) -> pl.DataFrame:
        """Every registered feature."""
        return feature_plan(self.panel.frame().lazy()).collect()

    @cached_property
    def labels(self) -> pl.DataFrame:
        """Every registered label."""
        return label_plan(self.panel.frame().lazy()).collect()

    @cached_property
    def state(self) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
        """Market state ``[time, feature]`` and its columns."""
        return state_matrix(market_state(self.panel.frame().lazy()))

    @cached_property
    def book_state(self) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
        """What groups of candidates earned ``[time, feature]``, and the columns."""
        return book_state(self.history.strategies)

    def corpus(self, strategy: str) -> Corpus:
        """Candidates of one strategy, swept over this market once."""
        if strategy not in self.swept:
            self.swept[strategy] = corpus(self.panel, strategy, WalkSpec(POLICY), progress=None)
        return self.swept[strategy]

    @cached_property
    def history(self) -> History:
        """What a decision may read."""
        corpora = {name: self.corpus(name) for name in (STRATEGY, OTHER)}
        return history_of(self.panel, corpora, state=self.state)

    @cached_property
    def alone(self) -> History:
        """The same of one strategy: all that a learner is ever handed."""
        one = {STRATEGY: self.history.strategies[STRATEGY]}
        return dataclasses.replace(self.history, strategies=one)

    def rows_until(self, frame: pl.DataFrame, t: int) -> pl.DataFrame:
        """Rows of a long frame up to session ``t``."""
        return frame.filter(pl.col("date") <= pl.lit(self.panel.dates[t]).cast(pl.Date))

    def features_until(self, t: int) -> pl.DataFrame:
        """Features of the sessions up to ``t``; the last cut's are kept for the next part."""
        if t not in self.early:
            self.early = {t: self.rows_until(self.features, t)}
        return self.early[t]

    def published(self, model: str) -> pl.DataFrame:
        """Rows that a regime model publishes, one per session."""
        if model not in self.tracks:
            state, columns = self.state
            self.tracks[model] = track(
                state,
                columns,
                REGIMES.get(model),
                train=POLICY.train,
                refit=POLICY.refit,
                seed=0,
            ).published()
        return self.tracks[model]


@dataclass(frozen=True)
class Suspect:
    """A part, and how to hear what it says of the sessions up to ``t``.

    Parameters
    ----------
    kind, name : str
    says : callable
        From a scene and ``t`` to arrays, in the same order whatever the scene; empty where the
        part says nothing yet.
    """

    kind: str
    name: str
    says: Callable[[Scene, int], Said]


@dataclass(frozen=True)
class Finding:
    """What one detector found of one part.

    Parameters
    ----------
    kind, name, detector : str
    cuts : int
        How many were tried.
    guilty : tuple of str
        Sessions whose cut changed what had been published.
    """

    kind: str
    name: str
    detector: str
    cuts: int
    guilty: tuple[str, ...]


def cuts_of(panel: Panel, count: int, *, seed: int = 0) -> tuple[int, ...]:
    """Choose where to cut: early, at a refit and beside it, one bar before the end, at random.

    A decision that peeks one session ahead shows it only where sets are selected anew, and a gap
    filled backwards only beside the gap: hence the special ones.

    Parameters
    ----------
    panel : Panel
    count : int
        Sessions with a decision, at least 1; those before the first decision come on top.
    """
    last = len(panel.dates) - 1
    refit = POLICY.train + 3 * POLICY.refit
    special = [last - 1, refit, refit - 1, refit + 1, POLICY.train]
    source = seeds.generator(seed, "leaks/cuts")
    others = [int(t) for t in source.permutation(np.arange(POLICY.train, last))]
    chosen = dict.fromkeys([t for t in special if 0 <= t < last] + others)
    return (*EARLY, *list(chosen)[: max(count, 1)])


def suspects() -> list[Suspect]:
    """Every registered part, and the decision."""
    out = [_feature(name) for name in FEATURES.names()]
    out += [_label(name) for name in LABELS.names()]
    out += [_state(name) for name in STATE_FEATURES.names()]
    out += [_book_state(name) for name in BOOK_FEATURES.names()]
    out += [_strategy(name) for name in STRATEGIES.names()]
    out += [_regime(name) for name in REGIMES.names()]
    for name in LEARNERS.names():
        policy = POLICY if name == NETWORKS else SMALL
        out.append(_decision("learner", name, policy.with_learner(name)))
    return [*out, _network(NETWORKS), _decision("decision", "decide", SMALL)]


def named(part: str | None) -> list[Suspect]:
    """Return all suspects, or those of one name.

    Raises
    ------
    UnknownNameError
        No part has this name.
    """
    every = suspects()
    chosen = [one for one in every if part in (None, one.name)]
    if not chosen:
        known = [one.name for one in every]
        raise UnknownNameError(f"no part {part!r} to prove", fix=closest(str(part), known))
    return chosen


def prove(
    parts: Sequence[Suspect],
    panel: Panel,
    cuts: Iterable[int],
    *,
    progress: Progress | None = None,
) -> list[Finding]:
    """Try every part with both detectors at every cut.

    Returns
    -------
    list of Finding
        Two per part, in the order given.
    """
    at = list(cuts)
    whole = Scene(panel)
    guilty: dict[tuple[int, str], list[str]] = {}
    tried = [0] * len(parts)
    for done, t in enumerate(at):
        others = (Scene(panel.until(t + 1)), Scene(with_noise_after(panel, t)))
        for k, one in enumerate(parts):
            said = one.says(whole, t)
            tried[k] += bool(said)
            for detector, scene in zip(DETECTORS, others, strict=True):
                if not alike(said, one.says(scene, t)):
                    guilty.setdefault((k, detector), []).append(str(panel.dates[t]))
        if progress is not None:
            progress(done + 1, len(at))
    return [
        Finding(one.kind, one.name, detector, tried[k], tuple(guilty.get((k, detector), ())))
        for k, one in enumerate(parts)
        for detector in DETECTORS
    ]


def alike(first: Said, second: Said) -> bool:
    """Whether two answers are the same values; a missing value equals a missing one."""
    return len(first) == len(second) and all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(first, second, strict=True)
    )


def values(frame: pl.DataFrame, name: str) -> Said:
    """One column as floats, missing as NaN."""
    return [frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()]


def _feature(name: str) -> Suspect:
    return Suspect("feature", name, lambda scene, t: values(scene.features_until(t), name))


def _state(name: str) -> Suspect:
    """One column of the market's state."""

    def says(scene: Scene, t: int) -> Said:
        state, columns = scene.state
        return [state[: t + 1, columns.index(name)]]

    return Suspect("state", name, says)


def _book_state(name: str) -> Suspect:
    """What every group of candidates earned, one kind of column."""

    def says(scene: Scene, t: int) -> Said:
        state, columns = scene.book_state
        kind = [k for k, column in enumerate(columns) if column.split("/")[0] == name]
        return [state[: t + 1, kind]]

    return Suspect("state", name, says)


def _label(name: str) -> Suspect:
    """Rows whose horizon ends by ``t``; and that no later row has a value at ``t``."""
    horizon = LABELS.get(name).horizon

    def says(scene: Scene, t: int) -> Said:
        rows = scene.rows_until(scene.labels, t)
        left = pl.len().over("symbol") - 1 - pl.int_range(pl.len()).over("symbol")
        known, later = rows.filter(left >= horizon), rows.filter(left < horizon)
        # Only history that ends at t shows what is known at t; a longer one says what must be.
        ends_here = len(scene.panel.dates) == t + 1
        early = later[name].is_not_null().to_numpy()
        return [*values(known, name), early if ends_here else np.zeros_like(early)]

    return Suspect("label", name, says)


def _strategy(name: str) -> Suspect:
    """Targets of every candidate, and what their books earned: signals and fills at once."""
    part = STRATEGIES.get(name)
    plan = Plan(part.rules(part.candidates()))

    def says(scene: Scene, t: int) -> Said:
        out: Said = []
        for s in range(len(scene.panel.symbols)):
            bars = scene.panel.bars(s)
            out.append(plan.targets(bars)[:, bars.at <= t])
        earned = scene.corpus(name).book
        return [*out, earned.net_return[:, : t + 1], earned.turnover[:, : t + 1]]

    return Suspect("strategy", name, says)


def _regime(name: str) -> Suspect:
    """Published rows; a state that only a later fit knows is no statement about earlier ones."""

    def says(scene: Scene, t: int) -> Said:
        laid = scene.published(name)[: t + 1]
        numbers = [c for c in laid.columns if c.startswith(("p_", "state"))]
        known = [c for c in numbers if not c.startswith("state_") or (laid[c] > 0.0).any()]
        words = np.array([word or "" for word in laid["regime"]])
        return [*(values(laid, c)[0] for c in known), words]

    return Suspect("regime", name, says)


def _decision(kind: str, name: str, policy: PolicyConfig) -> Suspect:
    """What is decided at ``t``: weights, probabilities, tables, confidence.

    The decision itself is tried with both strategies, a learner with one: it knows no other.
    """

    def says(scene: Scene, t: int) -> Said:
        if t < POLICY.train:
            return []
        history = scene.history if kind == "decision" else scene.alone
        decided = decide(t, history, policy, memo=scene.memo)
        out: Said = []
        for one in decided.values():
            rows = [(n, r.score, r.sessions, str(r.parameters)) for n, r in one.by_regime.items()]
            out += [
                one.weights,
                np.array(list(one.regime.probabilities.values())),
                np.array([one.confidence, *one.parameter_confidence.values()]),
                np.array([str((one.regime.name, one.regime.since, one.date, rows))]),
            ]
        return out

    return Suspect(kind, name, says)


def _network(name: str) -> Suspect:
    """What trained networks decide, and how they were trained; nothing before the first fit."""
    policy = SMALL.with_learner(name)
    decision = _decision("network", name, policy)

    def says(scene: Scene, t: int) -> Said:
        decided = decision.says(scene, t)
        trained = training(scene.memo.selections[policy, STRATEGY][1]) if decided else []
        return [*decided, *trained] if trained else []

    return dataclasses.replace(decision, says=says)
