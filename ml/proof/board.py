"""The board: every learner on one market, judged alike.

For: a cell per market (a world with a known truth, or real bars), with a row per strategy and
learner. Not for: many cells together (``board_page``) or running them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest import seeds
from backtest.evidence.robustness import sharpe_interval
from backtest.evidence.sharpe import sharpe_ratio
from backtest.market.panel import Panel
from backtest.market.synthetic import STATES, WorldConfig, WorldName, generate, weekdays
from backtest.metric import drawdown
from ml.corpus import Corpus, WalkSpec, corpus, history_of, policy_hash
from ml.decision import Memo, TruthTrack, regimes_of
from ml.export.gate import cost_break_even_bps, hac_t, paired_difference
from ml.history import History
from ml.learner import LEARNERS
from ml.proof.card import STRATEGY, Terms
from ml.proof.cell import ALL, Cell, Row
from ml.proof.contest import Contest, Entry, contest, promoted_after
from ml.regime_track import state_accuracy
from ml.walkforward import buy_and_hold, require_history

Floats = npt.NDArray[np.float64]

PASSIVE = ("cash", "static")
"""Learners that never ask to be promoted: they are what the others must beat."""

REFERENCES = ("oracle", "default", "buy_and_hold", "hindsight")
"""Streams that no learner decides, shown beside them."""

WALKED = ("rsi_swing", "rsi_reversion", "ma_cross")
"""Strategies walked on bars that somebody hands in."""


def learners_of(asked: Sequence[str] | None) -> tuple[str, ...]:
    """Learners of a board: all, or those asked for with those that they are compared with.

    Raises
    ------
    UnknownNameError
        A name is no learner.
    """
    if asked is None:
        return LEARNERS.names()
    for name in asked:
        LEARNERS.get(name)
    return tuple(sorted({*asked, *PASSIVE, "experts", "regime_table"}))


def world_cell(
    world: WorldName, seed: int, terms: Terms, *, learners: Sequence[str] | None = None
) -> Cell:
    """Make one synthetic market and put every learner on it."""
    config = WorldConfig(
        world=world, symbols=terms.symbols, seed=seed, break_session=terms.sessions // 2
    )
    made = generate(config, weekdays(terms.sessions))
    return market_cell(
        Panel.from_frame(made.bars),
        terms,
        market=world,
        seed=seed,
        strategies=(STRATEGY,),
        learners=learners,
        truth=TruthTrack(made.states, STATES),
    )


def market_cell(
    panel: Panel,
    terms: Terms,
    *,
    market: str,
    seed: int = 0,
    strategies: Sequence[str] = WALKED,
    learners: Sequence[str] | None = None,
    truth: TruthTrack | None = None,
) -> Cell:
    """Put every learner on one market.

    Parameters
    ----------
    panel : Panel
    terms : Terms
    market : str
        Name under which it is counted.
    seed : int
        Of the market; the walk's own seed is always 0.
    strategies : sequence of str
    learners : sequence of str, optional
        All by default.
    truth : TruthTrack, optional
        True states, where they are known.

    Raises
    ------
    DataError
        ``E_TOO_SHORT``: the panel ends before anything could be earned out of sample.
    """
    require_history(len(panel.dates), terms.policy)
    synthetic = truth is not None
    spec = WalkSpec(policy=terms.policy, cost=terms.cost_in(market), synthetic=synthetic)
    corpora = {name: corpus(panel, name, spec, progress=None) for name in strategies}
    history, memo = history_of(panel, corpora), Memo()
    held = contest(panel, history, corpora, spec, learners=learners_of(learners), memo=memo)
    oracle = None
    if truth is not None:
        learner = (spec.policy.learner,)
        oracle = contest(
            panel, history, corpora, spec, learners=learner, memo=Memo(), regimes=truth
        )
    first = spec.policy.train + 1
    return Cell(
        market=market,
        synthetic=synthetic,
        seed=seed,
        symbols=len(panel.symbols),
        sessions=len(panel.dates),
        out_of_sample=len(panel.dates) - first,
        periods_per_year=panel.periods_per_year,
        first=str(panel.dates[first]),
        last=str(panel.dates[-1]),
        cost=spec.cost,
        accuracy=None if truth is None else _accuracy(history, spec, memo, truth),
        rows=tuple(_rows(panel, corpora, spec, held, oracle)),
        full=terms == Terms(),
    )


def _accuracy(history: History, spec: WalkSpec, memo: Memo, truth: TruthTrack) -> float:
    """Share of sessions out of sample in the right state, as published."""
    published = regimes_of(history, spec.policy, seed=spec.seed, memo=memo).published()
    counted = slice(spec.policy.train, None)
    found = published["state"].to_numpy()[counted].astype(np.int64)
    return state_accuracy(found, truth.states[counted])


def _rows(
    panel: Panel,
    corpora: Mapping[str, Corpus],
    spec: WalkSpec,
    held: Contest,
    oracle: Contest | None,
) -> list[Row]:
    """Rows of every strategy, and of all of them together where there are several."""
    streams = {name: dict(held.entries[name]) for name in corpora}
    beside = {name: _references(panel, one, spec) for name, one in corpora.items()}
    if oracle is not None:
        for name, entries in oracle.entries.items():
            beside[name]["oracle"] = entries[spec.policy.learner]
    if len(corpora) > 1:
        streams[ALL], beside[ALL] = _together(streams), _together(beside)
    rows = []
    for strategy, entries in streams.items():
        judged = _Judged(entries, beside[strategy], spec, panel.periods_per_year)
        rows += [judged.learner(strategy, name, held.seconds[name]) for name in entries]
        rows += [judged.plain(strategy, name, entry) for name, entry in beside[strategy].items()]
    return [
        dataclasses.replace(
            row, policy=policy_hash(corpora[row.strategy], spec, row.strategy, name)
        )
        if (name := row.learner) not in ("oracle", "hindsight") and row.strategy in corpora
        else row
        for row in rows
    ]


def _references(panel: Panel, swept: Corpus, spec: WalkSpec) -> dict[str, Entry]:
    """Streams that no learner decides."""
    rows, book = slice(spec.policy.train + 1, None), swept.book
    sets = book.net_return[: swept.candidates, rows]
    ratios = [sharpe_ratio(one) for one in sets]
    best = int(np.argmax([-np.inf if ratio is None else ratio for ratio in ratios]))
    still = buy_and_hold(panel, spec)
    return {
        "default": Entry(
            book.net_return[swept.default, rows], book.turnover[swept.default, rows], None
        ),
        "buy_and_hold": Entry(still.net_return[0, rows], still.turnover[0, rows], None),
        "hindsight": Entry(sets[best], book.turnover[best, rows], None),
    }


def _together(streams: Mapping[str, Mapping[str, Entry]]) -> dict[str, Entry]:
    """Equal weight of all strategies, by name; the mean ranking of those that have one."""
    every = list(streams.values())
    out = {}
    for name in every[0]:
        ranks = [one[name].ranking for one in every]
        known = [rank for rank in ranks if rank is not None]
        out[name] = Entry(
            np.mean([one[name].net for one in every], axis=0),
            np.mean([one[name].turnover for one in every], axis=0),
            float(np.mean(known)) if known else None,
        )
    return out


@dataclass(frozen=True)
class _Judged:
    """Streams of one strategy, and what turns them into rows."""

    entries: Mapping[str, Entry]
    beside: Mapping[str, Entry]
    spec: WalkSpec
    periods: int

    def plain(self, strategy: str, name: str, entry: Entry) -> Row:
        """What a stream shows by itself."""
        ratio, years = sharpe_ratio(entry.net), len(entry.net) / self.periods
        return Row(
            strategy=strategy,
            learner=name,
            sharpe=None if ratio is None else ratio * float(np.sqrt(self.periods)),
            interval=sharpe_interval(
                entry.net,
                periods_per_year=self.periods,
                seed=seeds.integer(self.spec.seed, "interval"),
            ),
            turnover=float(entry.turnover.sum()) / years,
            max_drawdown=drawdown(entry.net),
            break_even_bps=cost_break_even_bps(entry.net, entry.turnover, self.spec.cost),
        )

    def learner(self, strategy: str, name: str, seconds: float) -> Row:
        """The same, against the other learners and before the gate."""
        entry, gate = self.entries[name], self.spec.gate
        paired = {
            other: hac_t(paired_difference(entry.net, one.net, gate.half_life), gate.lags)
            for other, one in self.entries.items()
            if other != name
        }
        row = dataclasses.replace(
            self.plain(strategy, name, entry), ranking=entry.ranking, paired=paired, seconds=seconds
        )
        if name in PASSIVE:
            return row
        after, verdict = self._asked(name)
        failed = (
            ()
            if after is not None
            else tuple(line.name for line in verdict.criteria if not line.passed)
        )
        return dataclasses.replace(
            row, promoted_after=after, failed=failed, smallest_gain=verdict.smallest_gain
        )

    def _asked(self, name: str) -> Any:
        """The gate's answer, had all learners been registered together."""
        streams = dict(self.entries) | {"default": self.beside["default"]}
        # The evidence knows the regime table by the name of its variant.
        named = {("regime_aware" if n == "regime_table" else n): one for n, one in streams.items()}
        return promoted_after(
            "regime_aware" if name == "regime_table" else name,
            {n: one.net for n, one in named.items()},
            {n: one.turnover for n, one in named.items()},
            self.spec,
            together=len(set(self.entries) - set(PASSIVE)),
            policies=len(named),
            periods_per_year=self.periods,
        )
