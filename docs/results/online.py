"""Make the page of what the online learner is worth beside refits, beside this file.

For: `python docs/results/online.py`, about three minutes on one core. Not for: real markets; every
market here is synthetic.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.engine.books import mix_book
from backtest.market.panel import Panel
from backtest.market.synthetic import WorldConfig, WorldName, generate, weekdays
from backtest.strategy import STRATEGIES
from ml.corpus import Corpus, WalkSpec, corpus, history_of
from ml.learner import HORIZON, Floats, LearnerView
from ml.learners.online import Online
from ml.online.config import OnlineConfig
from ml.online.drift import DETECTORS
from ml.online.journal import Journal
from ml.online.model import OnlineModel
from ml.proof.card import STRATEGY, Terms
from ml.score_table import ScoreTable

Ints = npt.NDArray[np.int64]
WORLDS: tuple[WorldName, ...] = ("clear", "murky", "null")
SEEDS = (2001, 2002, 2003)
PENALTIES = (10.0, 100.0, 1000.0)
TERMS, YEAR = Terms(), 252
BREAK = 1512
ONLINE, STATIC = "online", "static table"
BATCH = {f"batch, penalty {penalty:,.0f}": penalty for penalty in PENALTIES}


class Timed(OnlineModel):
    """The online model, with the time that its regression takes; seconds."""

    seconds = 0.0

    def _learn(self, *told: Any) -> None:
        started = time.thread_time()
        super()._learn(*told)
        self.seconds += time.thread_time() - started

    def _linear(self, features: Floats) -> Floats:
        started = time.thread_time()
        out = super()._linear(features)
        self.seconds += time.thread_time() - started
        return out


class Refitted(OnlineModel):
    """The same model but for its regression: ridge on all outcomes so far, solved anew.

    Sums of products stand for the rows, so a fit takes the solution of one system.
    """

    def __init__(self, *told: Any, penalty: float):
        super().__init__(*told)
        width = len(self._names)
        self.seconds, self.rows = 0.0, []
        self._gram, self._moment = penalty * np.eye(width), np.zeros(width)
        self._weights = np.zeros(width)

    def _learn(self, features: Floats, outcomes: Floats, judged: Any) -> None:
        started = time.thread_time()
        own, came = features[judged], outcomes[judged]
        self._gram += own.T @ own
        self._moment += own.T @ came
        self._weights = np.linalg.solve(self._gram, self._moment)
        self.seconds += time.thread_time() - started
        self.rows.append(own)

    def _linear(self, features: Floats) -> Floats:
        started = time.thread_time()
        out = features @ self._weights
        self.seconds += time.thread_time() - started
        return np.asarray(out)


@dataclass(frozen=True)
class Market:
    """One market, swept; with ``names``, sets go by these from ``BREAK`` on."""

    panel: Panel
    swept: Corpus
    spec: WalkSpec
    view: LearnerView
    names: Ints | None = None

    @classmethod
    def made(cls, world: WorldName, seed: int) -> "Market":
        """Make a world and what every set earned in it."""
        told = WorldConfig(world=world, symbols=TERMS.symbols, seed=seed)
        panel = Panel.from_frame(generate(told, weekdays(TERMS.sessions)).bars)
        spec = WalkSpec(cost=TERMS.cost_in(world), policy=TERMS.policy, synthetic=True)
        swept = corpus(panel, STRATEGY, spec, progress=None)
        return cls(panel, swept, spec, history_of(panel, {STRATEGY: swept}).view(STRATEGY))

    def drifting(self) -> "Market":
        """The same market, in which the two directions exchange their names at the break."""
        rows = self.view.grid.rows()
        other = {"momentum": "reversion", "reversion": "momentum"}
        names = np.array([rows.index({**r, "direction": other[r["direction"]]}) for r in rows])
        returns = self.view.returns.copy()
        returns[:, BREAK:] = returns[names, BREAK:]
        return replace(self, view=replace(self.view, returns=returns), names=names)

    def traded(self, mixes: Sequence[Floats]) -> Floats:
        """Net returns after the first decision of mixes by session ``[time, param]``."""
        part = STRATEGIES.get(STRATEGY)
        padded = np.zeros((len(mixes), self.view.sessions, self.swept.grid.size))
        padded[:, :, : self.view.grid.size] = np.stack(mixes)
        if self.names is not None:  # what is decided at the close before the break earns after it
            padded[:, BREAK - 1 :, : len(self.names)] = padded[:, BREAK - 1 :, self.names]
        told = {"kind": self.spec.book, "cost": self.spec.cost}
        return mix_book(self.panel, part, self.swept.grid, padded, **told).net_return


@dataclass
class Walked:
    """One learner on one market: its mixes by session, and its model at the end."""

    mixes: Floats
    model: Any
    speakers: list[str] = field(default_factory=list)


def walked(market: Market, learners: dict[str, Online], model: Any) -> dict[str, Walked]:
    """Teach one model, and let learners that differ in their answer to alarms speak for it."""
    view, policy = market.view, TERMS.policy
    out = {n: Walked(np.zeros((view.sessions, view.grid.size)), model) for n in learners}
    for t in range(policy.train, view.sessions, policy.step):
        seen = view.rows(0, t + 1)
        next(iter(learners.values())).teach(model, seen)
        for name, learner in learners.items():
            selection = learner.selection(model, seen)
            out[name].mixes[t : t + policy.step] = learner.weigh(selection, seen)
            out[name].speakers.append(selection.speaker)
    return out


def static(market: Market) -> Floats:
    """Mixes of the soft static table by session; ``[time, param]``."""
    view, policy, table = market.view, TERMS.policy, ScoreTable()
    out = np.zeros((view.sessions, view.grid.size))
    for t in range(policy.train, view.sessions, policy.step):
        seen = view.rows(0, t + 1).blind()
        out[t : t + policy.step] = table.weigh(table.select(seen), seen)
    return out


def sharpe(net: Floats) -> float:
    """Annual Sharpe ratio; 0 where nothing moves."""
    deviation = float(net.std())
    return float(net.mean() / deviation * np.sqrt(YEAR)) if deviation > 0.0 else 0.0


def told_right(model: OnlineModel, view: LearnerView) -> float:
    """Mean ranking of the decisions after the first selection."""
    late = [k for k, s in enumerate(Online().decisions(view)) if s >= TERMS.policy.train]
    ranks = np.array([one.ranking for one in model.scored])
    return float(np.nanmean(ranks[late[0] :]))


@dataclass(frozen=True)
class Row:
    """What one learner came to on one market."""

    sharpe: float
    ranking: float
    alarms: float
    table: float
    milliseconds: float


def compared(world: WorldName, seed: int) -> dict[str, Row]:
    """Online learning and refits on one market."""
    market, learner = Market.made(world, seed), Online()
    plain = learner.begin(market.view)
    told = (plain.grid, plain.columns, plain.config)
    models: dict[str, Any] = {ONLINE: Timed(*told)}
    models |= {name: Refitted(*told, penalty=p) for name, p in BATCH.items()}
    found = {n: walked(market, {n: learner}, model)[n] for n, model in models.items()}
    net = market.traded([*(one.mixes for one in found.values()), static(market)])
    net = net[:, TERMS.policy.train + 1 :]
    rows = {
        name: Row(
            sharpe(net[k]),
            told_right(one.model, market.view),
            len(one.model.alarms),
            one.speakers.count("table") / len(one.speakers),
            1e3 * one.model.seconds / one.model.decisions,
        )
        for k, (name, one) in enumerate(found.items())
    }
    rows[STATIC] = Row(sharpe(net[-1]), np.nan, np.nan, 1.0, np.nan)
    return rows


def literal_refit(seed: int) -> tuple[float, float]:
    """Milliseconds of a fit that goes through all rows again, and of a decision learned online."""
    market, learner = Market.made("clear", seed), Online()
    plain = learner.begin(market.view)
    journal = Journal(plain.grid.size, len(plain.columns))
    learner.teach(journal, market.view)
    told = (plain.grid, plain.columns, plain.config)
    refitted, online = Refitted(*told, penalty=PENALTIES[0]), Timed(*told)
    refitted.replay(journal)
    online.replay(journal)
    rows = np.concatenate(refitted.rows)
    started = time.thread_time()
    np.linalg.solve(rows.T @ rows + np.eye(rows.shape[1]), rows.T @ rows[:, 0])
    return 1e3 * (time.thread_time() - started), 1e3 * online.seconds / online.decisions


@dataclass(frozen=True)
class Drift:
    """What a detector and an answer came to on one drifting market."""

    before: float
    after: float
    delay: float
    whole: float
    year_after: float


def drifted(seed: int) -> dict[tuple[str, str], Drift]:
    """Every detector and answer on one market whose good sets turn bad."""
    market, out = Market.made("clear", seed).drifting(), {}
    names, mixes, models = [], [], []
    for detector in DETECTORS.names():
        learners = {a: Online(detector=detector, alarm=a) for a in ("demote", "freeze")}
        model = next(iter(learners.values())).begin(market.view)
        for answer, one in walked(market, learners, model).items():
            names.append((detector, answer))
            mixes.append(one.mixes)
            models.append(model)
    for name, penalty in BATCH.items():
        learner = Online()
        model = Refitted(market.view.grid, learner.columns(market.view), penalty=penalty)
        names.append((f"{learner.detector}, {name}", learner.alarm))
        mixes.append(walked(market, {name: learner}, model)[name].mixes)
        models.append(model)
    quiet = OnlineConfig(pause=0)  # an alarm that is over at once changes nothing
    deaf = OnlineModel(market.view.grid, Online().columns(market.view), quiet)
    mixes.append(walked(market, {ONLINE: Online()}, deaf)[ONLINE].mixes)
    names.append(("none", "-"))
    mixes.append(static(market))
    net = market.traded(mixes)
    places = Online().decisions(market.view)
    for k, name in enumerate([*names, (STATIC, "-")]):
        hears = k < len(models)
        heard = [places[d] + HORIZON for d in models[k].alarms] if hears else []
        late = [s for s in heard if s >= BREAK]
        out[name] = Drift(
            len(heard) - len(late) if hears else np.nan,
            len(late) if hears else np.nan,
            float(late[0] - BREAK) if late else np.nan,
            sharpe(net[k, TERMS.policy.train + 1 :]),
            sharpe(net[k, BREAK : BREAK + YEAR]),
        )
    return out


def spread(values: Sequence[float], form: str) -> str:
    """Mean and standard error."""
    known = np.array([v for v in values if not np.isnan(v)])
    if not len(known):
        return "-"
    error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else np.nan
    return f"{known.mean():{form}} ± {error:{form.lstrip('+')}}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Rows of Markdown; the first column is words."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(r) + " |" for r in lines)]


def by_world(
    found: dict[str, list[dict[str, Row]]], told: Callable[[Row], float], form: str
) -> list[str]:
    """One value by learner and world."""
    lines = [
        [f"`{name}`" if name == ONLINE else name]
        + [spread([told(one[name]) for one in found[world]], form) for world in WORLDS]
        for name in (ONLINE, *BATCH, STATIC)
    ]
    return table(("learner", *WORLDS), [r for r in lines if set(r[1:]) != {"-"}])


def times(found: dict[str, list[dict[str, Row]]]) -> list[str]:
    """Time of each refit over that of the online learner."""
    rows = [one for seeds in found.values() for one in seeds]
    lines = [
        [name, spread([one[name].milliseconds / one[ONLINE].milliseconds for one in rows], ".2f")]
        for name in BATCH
    ]
    literal, online = literal_refit(SEEDS[0])
    lines.append(["one fit through all rows, at the last decision", f"{literal / online:.1f}"])
    return table(("refit", "times the online learner's"), lines)


def detectors(found: list[dict[tuple[str, str], Drift]]) -> list[str]:
    """Every detector and answer in the drifting world."""
    columns = {
        "false": ("before", ".1f"),
        "after": ("after", ".1f"),
        "delay": ("delay", ".0f"),
        "Sharpe": ("whole", "+.2f"),
        "year after the break": ("year_after", "+.2f"),
    }
    lines = [
        [*name, *(spread([getattr(one[name], n) for one in found], f) for n, f in columns.values())]
        for name in found[0]
    ]
    return table(("detector", "answer", *columns), lines)


HEAD = f"""# Online learning beside refits

Synthetic markets only. Made by `python docs/results/online.py`.

Worlds of {TERMS.symbols} symbols and {TERMS.sessions:,} sessions, `{STRATEGY}`, seeds {SEEDS[0]} to
{SEEDS[-1]}; `null` costs nothing. Every learner selects every {TERMS.policy.step} sessions after
the first {TERMS.policy.train}, and its mixes are traded as one book. Batch is a ridge regression on
the same features and outcomes, all that are over, solved anew after each; everything else (scaling,
regimes, smoothing, shares, confidence, alarms, the static table that stands in) is the online
learner's own. Its penalty was not chosen: three are shown. Means of the seeds and their standard
errors; three seeds a world are few.
"""
SHARPE = "## Sharpe ratio out of sample, annual, after costs\n"
RANKING = """## Prequential ranking accuracy

Of material pairs of sets, decisions out of sample; 0.5 is chance.
"""
SPEAKER = """## How often the static table stands in

Share of selections.
"""
ALARMS = """## Alarms a world

Of ADWIN, whole history. Nothing drifts in these worlds but what learning itself changes.
"""
TIME = """## Time

Of the regression alone, per decision, over the online learner's. A refit keeps sums of products, so
that it is the solution of one system; the last line is one fit that reads all rows again.
"""
DRIFT = f"""## A drifting world: detectors and answers

The world `clear`, in which the sets of the two directions exchange their names at session
{BREAK:,}: what was good is bad from then on. Alarms before it are false. Delay: from the break to
the first alarm after it, in sessions, over the seeds that have one. `none` hears no alarm, and the
static table stands in only where confidence is no more than one half. A refit of all rows never
forgets what held before the break.
"""


def main() -> None:
    """Walk every market and write the page."""
    found = {world: [compared(world, seed) for seed in SEEDS] for world in WORLDS}
    parts = [
        (HEAD, []),
        (SHARPE, by_world(found, lambda r: r.sharpe, "+.2f")),
        (RANKING, by_world(found, lambda r: r.ranking, ".3f")),
        (SPEAKER, by_world(found, lambda r: r.table, ".2f")),
        (ALARMS, by_world(found, lambda r: r.alarms, ".1f")),
        (TIME, times(found)),
        (DRIFT, detectors([drifted(seed) for seed in SEEDS])),
    ]
    text = "\n\n".join("\n".join([words, *lines]).rstrip() for words, lines in parts)
    Path(__file__).with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
