"""One pass over a universe: ask what is not known yet, compare, keep.

For: ``collect``, the same for every feed. Not for: how threads ask (``asking``), what rows look
like (``rows``) or whether they are any good (``backtest.market.bars``).

Each symbol is one unit: its answer is kept whole or not at all, and a symbol that was answered is
not asked again for the same session. So a run that is killed, or meets a source that is half down,
goes on where it stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from backtest.errors import ConfigError, ProviderUnavailable, WeathervaneError
from backtest.market.calendar import calendar_of, last_finished_session
from pipeline.collecting.asking import Asker
from pipeline.collecting.collected import Collected
from pipeline.collecting.compare import carry_back, compare
from pipeline.collecting.patience import Clock
from pipeline.collecting.rows import (
    denominated,
    finished,
    keyed,
    new_events,
    no_actions,
    single,
)
from pipeline.feed import Answer, Feed, Limits, Line, Question, SymbolUnknown

if TYPE_CHECKING:
    import polars as pl

    from pipeline.config import FeedConfig, Settings
    from pipeline.store import Store

AT_ONCE = 64
"""Symbols that are kept in one transaction."""
_NOTHING = {"thinned": False, "moved": 0, "apart": False, "holes": 0}

Report = Callable[[str, int, int], None]


def collect(
    feed: Feed,
    settings: "Settings",
    store: "Store",
    exchanges: Mapping[str, str | None],
    *,
    run_id: str,
    until: date,
    now: datetime | None = None,
    clock: Clock | None = None,
    report: Report | None = None,
) -> Collected:
    """Ask for everything up to the last finished session, unless it is known up to ``until``.

    Parameters
    ----------
    feed : Feed
    settings : Settings
    store : Store
    exchanges : mapping of str to str
        The symbols to ask for, each with its exchange where its suffix does not say it.
    run_id : str
    until : date
        Session that the run needs.
    now : datetime, optional
        With a time zone.
    clock : Clock, optional
        Time for waits.
    report : callable, optional
        Told stage, done and total.

    Raises
    ------
    ConfigError
        No symbols, or the feed lacks a key.
    ProviderUnavailable
        The source is down: too many symbols in a row had no answer. What was answered is kept.
    """
    if not exchanges:
        raise ConfigError(
            "no symbols to ask for",
            where=f"provider {settings.data.provider}",
            fix="name some by data.symbols or data.members",
        )
    line = feed.open(settings)
    try:
        one = _Pass(
            line, settings, store, exchanges, limits=_limits(feed, settings.feed), run_id=run_id
        )
        return one.go(until, now or datetime.now(UTC), clock or Clock(), report)
    finally:
        line.close()


def _limits(feed: Feed, told: "FeedConfig") -> Limits:
    """Limits of the provider, where the settings name none."""
    own = feed.limits
    return Limits(
        rate_per_s=told.rate_per_s or own.rate_per_s,
        burst=told.burst or own.burst,
        concurrent=told.concurrent or own.concurrent,
    )


class _Pass:
    """State of one pass; see :func:`collect`."""

    def __init__(
        self,
        line: Line,
        settings: "Settings",
        store: "Store",
        exchanges: Mapping[str, str | None],
        *,
        limits: Limits,
        run_id: str,
    ):
        self.line, self.settings, self.store, self.run_id = line, settings, store, run_id
        self.exchanges, self.limits, self.told = exchanges, limits, settings.feed
        self.done = Collected(symbols=len(exchanges))
        self.taken: dict[str, tuple[Question, Answer]] = {}
        self.answers: list[dict[str, Any]] = []
        self.restated: list[str] = []
        self.since: dict[str, date] = {}
        self.events = store.read_actions()

    def go(self, until: date, now: datetime, clock: Clock, report: Report | None) -> Collected:
        """Ask for the overlap first, then for the whole history of what was restated."""
        import polars as pl

        closed = {name: last_finished_session(name, now) for name in set(self._calendars())}
        last = {s: closed[c] for s, c in zip(self.exchanges, self._calendars(), strict=True)}
        edge = self.store.newest_quotes(self.told.overlap, timeframe=self._timeframe)
        spans = edge.group_by("symbol").agg(first=pl.col("date").min(), last=pl.col("date").max())
        reached = dict(spans.select("symbol", "last").iter_rows())
        begun = dict(spans.select("symbol", "first").iter_rows())
        states = self.store.read_answers(timeframe=self._timeframe)
        longer = self._longer(states)
        self._refuse_late_start(last)
        wanted = self._wanted({s: min(until, day) for s, day in last.items()}, reached, states)
        self.done.asked = len({*wanted, *longer})
        start = self.told.first
        questions = [
            Question(s, max(start, begun.get(s, start)), last[s], self._timeframe)
            for s in wanted
            if s not in longer
        ]
        self.restated += longer
        asker = Asker(self.line, self.told, self.limits, clock)
        for question, answer in asker.ask(questions, _staged(report, "symbols")):
            self._take(question, answer, edge)
        self._keep(edge)
        if restated := sorted(self.restated):
            whole = self.store.read_quotes(symbols=restated, timeframe=self._timeframe)
            again = [Question(s, self.told.first, last[s], self._timeframe) for s in restated]
            for question, answer in asker.ask(again, _staged(report, "restated symbols")):
                self._take(question, answer, whole)
            self._keep(whole)
        if asker.breaker.open or 0 < len(self.done.failed) == self.done.asked:
            example = next(iter(sorted(self.done.failed.values())), "")
            raise ProviderUnavailable(
                f"{len(self.done.failed)} of {self.done.asked} symbols had no answer ({example})",
                where=self.line.place,
                fix="what was answered is kept; run again later to go on from there",
            )
        return self.done

    @property
    def _timeframe(self) -> str:
        return "1d"

    def _calendars(self) -> list[str]:
        own = self.store.calendar
        return [own or calendar_of(symbol, name) for symbol, name in self.exchanges.items()]

    def _wanted(
        self, needed: Mapping[str, date], reached: Mapping[str, date], states: "pl.DataFrame"
    ) -> list[str]:
        """Symbols that are not known up to the session that is needed of them."""
        reached = dict(reached)
        for row in states.iter_rows(named=True):
            if row["outcome"] in ("complete", "unknown"):
                symbol, day = row["symbol"], row["until"]
                reached[symbol] = max(day, reached.get(symbol, day))
        return [s for s, day in needed.items() if s not in reached or reached[s] < day]

    def _longer(self, states: "pl.DataFrame") -> list[str]:
        """Symbols that were asked for less of their history than is wanted now.

        How far back a complete answer was asked for is its detail.
        """
        import polars as pl

        whole = states.filter(pl.col("outcome") == "complete")
        self.since = dict(
            whole.select("symbol", pl.col("detail").str.to_date(strict=False)).iter_rows()
        )
        early = [s for s in self.exchanges if (day := self.since.get(s)) and self.told.first < day]
        return sorted(early)

    def _refuse_late_start(self, last: Mapping[str, date]) -> None:
        """Refuse a first session that no symbol has reached."""
        newest = max(last.values())
        if self.told.first > newest:
            raise ConfigError(
                f"the first session {self.told.first} is after the last finished one, {newest}",
                where="feed.first",
                fix="give an earlier one",
            )

    def _take(
        self, question: Question, answer: Answer | WeathervaneError, known: "pl.DataFrame"
    ) -> None:
        """Add an answer to what will be kept with the next ones."""
        if isinstance(answer, Answer):
            self.taken[question.symbol] = question, answer
        elif isinstance(answer, SymbolUnknown):
            held = question.symbol in known["symbol"]
            (self.done.delisted if held else self.done.unknown).append(question.symbol)
            self._note(question, "unknown", answer.what)
        else:
            self._fail(question, str(answer))
        if len(self.taken) + len(self.answers) >= AT_ONCE:
            self._keep(known)

    def _fail(self, question: Question, why: str) -> None:
        self.done.failed[question.symbol] = why
        self._note(question, "failed", why)

    def _note(self, question: Question, outcome: str, detail: str | None) -> None:
        self.answers.append(
            {
                "symbol": question.symbol,
                "timeframe": question.timeframe,
                "until": question.last,
                "outcome": outcome,
                "detail": detail or None,
            }
        )

    def _keep(self, known: "pl.DataFrame") -> None:
        """Judge what was taken so far, and write it in one transaction."""
        import polars as pl

        if not self.taken and not self.answers:
            return
        kept, self.taken = self._judged(known), {}
        if not self.answers:
            return
        timeframe = pl.lit(self._timeframe).alias("timeframe")
        account = self.store.write_answers(
            kept.quotes,
            kept.actions,
            pl.DataFrame(self.answers, schema_overrides={"detail": pl.String}),
            gone=kept.gone.select("symbol", timeframe, "ts"),
            ended=kept.ended,
            run_id=self.run_id,
            source=self.line.place,
            exchanges={s: name for s, name in self.exchanges.items() if name},
        )
        self.done.new += account.new
        self.done.changed += account.restated
        self.done.withdrawn += account.withdrawn
        self.answers = []

    def _judged(self, known: "pl.DataFrame") -> "_Kept":
        """Lay the answers over what is known; note what became of each symbol.

        One that moved is set aside until its whole history was asked for.
        """
        import polars as pl

        answers = [answer for _, answer in self.taken.values()]
        last = {symbol: question.last for symbol, (question, _) in self.taken.items()}
        rows = denominated(keyed(answers, self._timeframe), known)
        rows, pending = finished(rows, last)
        rows, torn = single(rows)
        events = self._events()
        ended, eventful = new_events(events, self.events, rows, last)
        found = compare(rows, known, tolerance=self.told.tolerance, exact=eventful)
        state = {row["symbol"]: row for row in found.symbols.iter_rows(named=True)}
        believed = []
        for symbol, (question, _) in self.taken.items():
            told = state.get(symbol, _NOTHING)
            if symbol in torn or told["thinned"]:
                self._fail(question, _doubted(torn.get(symbol) or _thin(told)))
            elif told["moved"] and question.first > self.told.first:
                self.restated.append(symbol)
            else:
                believed.append(symbol)
                if told["moved"]:
                    self.done.restated.append(symbol)
                if told["apart"]:
                    self.done.apart.append(symbol)
                if told["holes"]:
                    self.done.holed.append(symbol)
                why = pending.get(symbol)
                if why:
                    self.done.pending[symbol] = why
                since = min(question.first, self.since.get(symbol, self.told.first))
                self._note(question, "pending" if why else "complete", why or str(since))
        ours = pl.col("symbol").is_in(believed)
        moved = found.symbols.filter(ours & (pl.col("moved") > 0))
        earlier = carry_back(known, moved)
        return _Kept(
            pl.concat([earlier.select(rows.columns), found.rows.filter(ours)]),
            events.filter(ours),
            found.gone.filter(ours),
            ended.filter(ours),
        )

    def _events(self) -> "pl.DataFrame":
        """Actions of the answers that were taken."""
        import polars as pl

        told = [
            answer.actions.select(pl.lit(symbol).alias("symbol"), "date", "kind", "value")
            for symbol, (_, answer) in self.taken.items()
            if answer.actions.height
        ]
        return pl.concat([no_actions(), *told]).unique(
            ["symbol", "date", "kind"], keep="last", maintain_order=True
        )


@dataclass(frozen=True)
class _Kept:
    """What answers change: quotes, actions, and keys of those that the source no longer has."""

    quotes: "pl.DataFrame"
    actions: "pl.DataFrame"
    gone: "pl.DataFrame"
    ended: "pl.DataFrame"


def _thin(told: Mapping[str, Any]) -> str:
    lacking = told["gone"] + told["holes"]
    return f"the answer lacks {lacking} of {told['span']} sessions that are known"


def _doubted(why: str) -> str:
    return str(ProviderUnavailable(why, fix="try again later; what is known stays"))


def _staged(report: Report | None, stage: str) -> Callable[[int, int], None]:
    return (lambda *_: None) if report is None else partial(report, stage)
