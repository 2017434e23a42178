"""The board: every learner on one market, judged alike.

For: a cell per market (a world with a known truth, or real bars), with a row per strategy and
learner. Not for: many cells together (``board_page``) or running them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from ml.export.records import Verdict
from ml.history import History
from ml.learner import LEARNERS, needs_of
from ml.proof.card import STRATEGY, Terms
from ml.proof.cell import ALL, Cell, Row
from ml.proof.contest import Contest, Entry, contest, promoted_after
from ml.regime_track import state_accuracy
from ml.trials import config_hash
from ml.walkforward import buy_and_hold, require_history

Floats = npt.NDArray[np.float64]

PASSIVE = ("cash", "static")
"""Learners that never ask to be promoted: they are what the others must beat."""

SIMPLE = (
    "cash",
    "static",
    "argmax_static",
    "recent",
    "weighted",
    "experts",
    "volatility_targeted",
    "directions",
)
"""Learners without regimes; the regime table must beat the best of them."""

ALWAYS = (*SIMPLE, "regime_table")
"""Learners of every board, whatever is asked for; each other one must beat the best of these."""

REFERENCES = ("oracle", "default", "buy_and_hold", "hindsight")
"""Streams that no learner decides, shown beside them."""

NETWORKS = "neural"
"""The learner that trains networks."""

WALKED = ("rsi_swing", "rsi_reversion", "ma_cross")
"""Strategies walked on bars that somebody hands in."""


def learners_of(asked: Sequence[str] | None) -> tuple[str, ...]:
    """Learners of a board: those asked for beside those that are always on it.

    By default all but those that train networks, or listen to one that does: these take minutes a
    market, the others seconds.

    Raises
    ------
    UnknownNameError
        A name is no learner.
    """
    if asked is None:
        return tuple(name for name in LEARNERS.names() if not _trains(name))
    for name in asked:
        LEARNERS.get(name)
    return tuple(sorted({*asked, *ALWAYS}))


def _trains(name: str) -> bool:
    """Whether a learner trains networks, itself or through one that it listens to."""
    return name == NETWORKS or any(_trains(one) for one in needs_of(LEARNERS.get(name)()))


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
        cost=terms.cost_in(world),
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
    synthetic: bool = False,
    cost: float | None = None,
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
        As of :func:`learners_of`: by default all but those that train networks.
    truth : TruthTrack, optional
        True states, where they are known.
    synthetic : bool
        Whether the bars are made up; where the truth is known, they are.
    cost : float, optional
        Per side, decimal; that of ``terms`` by default.

    Raises
    ------
    DataError
        ``E_TOO_SHORT``: the panel ends before anything could be earned out of sample.
    """
    require_history(len(panel.dates), terms.policy)
    paid, made_up = terms.cost if cost is None else cost, synthetic or truth is not None
    spec = WalkSpec(policy=terms.policy, cost=paid, synthetic=made_up)
    corpora = {name: corpus(panel, name, spec, progress=None) for name in strategies}
    history, memo = history_of(panel, corpora), Memo()
    held = contest(panel, history, corpora, spec, learners=learners_of(learners), memo=memo)
    oracle = None if truth is None else _oracle(panel, history, corpora, spec, truth)
    first = spec.policy.train + 1
    return Cell(
        market=market,
        synthetic=made_up,
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


def _oracle(
    panel: Panel,
    history: History,
    corpora: Mapping[str, Corpus],
    spec: WalkSpec,
    truth: TruthTrack,
) -> dict[str, Entry]:
    """What the policy's own learner makes of the true states, by strategy."""
    learner = spec.policy.learner
    known = contest(panel, history, corpora, spec, learners=(learner,), memo=Memo(), regimes=truth)
    return {name: entries[learner] for name, entries in known.entries.items()}


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
    oracle: Mapping[str, Entry] | None,
) -> list[Row]:
    """Rows of every strategy, and of all of them together where there are several."""
    streams = {name: dict(held.entries[name]) for name in corpora}
    beside = {name: _references(panel, one, spec) for name, one in corpora.items()}
    for name, entry in (oracle or {}).items():
        beside[name]["oracle"] = entry
    if len(corpora) > 1:
        streams[ALL], beside[ALL] = _together(streams), _together(beside)
    hashes, rows = _hashes(corpora, spec, streams), []
    for strategy, entries in streams.items():
        judged = _Judged(
            entries,
            beside[strategy],
            spec,
            panel.periods_per_year,
            together=len(set(entries) - set(PASSIVE)) * len(streams),
            policies=len(set(hashes.values())),
        )
        rows += [judged.learner(strategy, name, held.seconds[name]) for name in entries]
        rows += [judged.plain(strategy, name, entry) for name, entry in beside[strategy].items()]
    return [
        dataclasses.replace(row, policy=hashes.get((row.strategy, row.learner))) for row in rows
    ]


def _hashes(
    corpora: Mapping[str, Corpus], spec: WalkSpec, streams: Mapping[str, Mapping[str, Entry]]
) -> dict[tuple[str, str], str]:
    """Policy hash of every row, by strategy and learner, but of those that are no policy."""
    known, out = (*next(iter(streams.values())), "default", "buy_and_hold"), {}
    for strategy, swept in corpora.items():
        for name in known:
            out[strategy, name] = policy_hash(swept, spec, strategy, name)
    if ALL in streams:  # one more policy, but where all strategies hold the very same one
        for name in known:
            parts = sorted({out[strategy, name] for strategy in corpora})
            out[ALL, name] = parts[0] if len(parts) == 1 else config_hash({"equal weight": parts})
    return out


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
    """Streams of one strategy, and what turns them into rows.

    ``together`` challengers share the gate's alpha, and ``policies`` count as looked at: those of
    all strategies of the market, since each is asked about.
    """

    entries: Mapping[str, Entry]
    beside: Mapping[str, Entry]
    spec: WalkSpec
    periods: int
    together: int
    policies: int

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

    def _asked(self, name: str) -> tuple[int | None, Verdict]:
        """The gate's answer, had all learners been registered together on all strategies."""
        streams = dict(self.entries) | {"default": self.beside["default"]}
        return promoted_after(
            name,
            {n: one.net for n, one in streams.items()},
            {n: one.turnover for n, one in streams.items()},
            self.spec,
            learners=tuple(self.entries),
            together=self.together,
            policies=self.policies,
            periods_per_year=self.periods,
        )
