"""A market as Yahoo would tell it: what was traded, told as of any day.

For: ``Listing`` (bars and actions as traded) and its chart as Yahoo writes it: prices, volumes and
dividends divided by later splits, adjusted closes, one session more each day. Not for: sockets and
faults (``yahoo_server``).
"""

import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from backtest.market.calendar import calendar_of, sessions

ZONES = {"XETR": "Europe/Berlin", "XLON": "Europe/London", "XPAR": "Europe/Paris"}
MONEY = {"XETR": "EUR", "XLON": "GBp", "XPAR": "EUR"}
NEW_YORK = "America/New_York"
OPENS, CLOSES = time(9, 30), time(16, 0)


@dataclass(frozen=True)
class Listing:
    """One symbol as traded: rows ``(day, open, high, low, close, volume)``, ascending."""

    symbol: str
    rows: tuple[tuple, ...]
    actions: tuple[tuple[date, str, float], ...] = ()
    zone: str = NEW_YORK
    currency: str = "USD"

    def stamp(self, day: date, at: time = OPENS) -> int:
        """Moment of a session in seconds."""
        return int(datetime.combine(day, at, ZoneInfo(self.zone)).timestamp())

    def chart(self, first: int, end: int, interval: str, now: date) -> dict:
        """Answer for the moments ``first`` to ``end`` (exclusive), as known on ``now``."""
        told = told_as_of(self, now)
        picked = [i for i, stamp in enumerate(told["stamps"]) if first <= stamp < end]
        meta = self.meta(interval)
        if not picked:
            return {"meta": meta, "indicators": {"quote": [{}]}}
        part = slice(picked[0], picked[-1] + 1)
        if interval != "1d":
            return self._finer(told, part, interval, meta, first, end)
        quote = {name: told[name][part] for name in ("open", "high", "low", "close", "volume")}
        return {
            "meta": meta,
            "timestamp": told["stamps"][part],
            "events": self._events(told, first, end),
            "indicators": {"quote": [quote], "adjclose": [{"adjclose": told["adjclose"][part]}]},
        }

    def meta(self, interval: str) -> dict:
        """Metadata as the client needs them."""
        return {
            "symbol": self.symbol,
            "currency": self.currency,
            "exchangeTimezoneName": self.zone,
            "instrumentType": "EQUITY",
            "dataGranularity": interval,
            "validRanges": ["1d", "5d", "max"],
            "priceHint": 2,
        }

    def _events(self, told: dict, first: int, end: int) -> dict:
        events: dict = {}
        for day, kind, value in told["actions"]:
            at = self.stamp(day)
            if not first <= at < end:
                continue
            if kind == "split":
                row = {"date": at, "numerator": value, "denominator": 1.0}
            else:
                row = {"date": at, "amount": value}
            events.setdefault("splits" if kind == "split" else "dividends", {})[str(at)] = row
        return events

    def _finer(self, told, part, interval, meta, first, end) -> dict:
        """Bars that all repeat their session's prices; the volume is split in whole shares."""
        step = {"1h": 3600, "5m": 300}[interval]
        columns: dict = {name: [] for name in ("open", "high", "low", "close", "volume")}
        stamps, periods = [], []
        for i in range(len(told["stamps"]))[part]:
            opened = told["stamps"][i]
            closed = self.stamp(self.rows[i][0], CLOSES)
            starts = range(opened, closed, step)
            stamps += starts
            for name in ("open", "high", "low", "close"):
                columns[name] += [told[name][i]] * len(starts)
            columns["volume"] += [told["volume"][i] // len(starts)] * len(starts)
            period = {"timezone": "X", "gmtoffset": 0, "start": opened, "end": closed}
            periods.append([period])
        meta = {**meta, "tradingPeriods": periods}
        events = self._events(told, first, end)
        return {
            "meta": meta,
            "timestamp": stamps,
            "events": events,
            "indicators": {"quote": [columns]},
        }


@lru_cache(maxsize=4096)
def told_as_of(listing: Listing, now: date) -> dict:
    """Columns as Yahoo tells them once the actions up to ``now`` have happened."""
    rows = [row for row in listing.rows if row[0] <= now]
    known = [action for action in listing.actions if action[0] <= now]
    days = np.array([row[0] for row in rows], dtype="datetime64[D]")
    divided, paid = np.ones(len(rows)), np.ones(len(rows))
    actions = []
    for day, kind, value in known:
        before = days < np.datetime64(day)
        if kind == "split":
            divided[before] *= value
        elif before.any():
            close = rows[int(before.sum()) - 1][4]
            paid[before] *= 1.0 - value / close
    for day, kind, value in known:
        if kind == "dividend":
            for later, other, ratio in known:
                value /= ratio if other == "split" and later > day else 1.0
        actions.append((day, kind, value))
    prices = np.array([row[1:5] for row in rows], dtype=float).reshape(-1, 4) / divided[:, None]
    volume = np.array([row[5] for row in rows], dtype=float) * divided
    told = dict(zip(("open", "high", "low", "close"), prices.T.tolist(), strict=True))
    told["adjclose"] = (prices[:, 3] * paid).tolist() if len(rows) else []
    stamps = [listing.stamp(row[0]) for row in rows]
    return {**told, "volume": volume.tolist(), "stamps": stamps, "actions": actions}


def listings_of(bars, actions=None) -> dict[str, Listing]:
    """Listings of a frame ``symbol, date, open, high, low, close, volume`` and its actions.

    ``actions`` holds ``symbol, date, kind, value``.
    """
    made = {}
    names = ("date", "open", "high", "low", "close", "volume")
    for (symbol,), group in bars.sort("symbol", "date").group_by("symbol"):
        own = ()
        if actions is not None:
            mine = actions.filter(actions["symbol"] == symbol).select("date", "kind", "value")
            own = tuple(mine.sort("date").rows())
        made[symbol] = Listing(symbol, tuple(group.select(names).rows()), own, *_place(symbol))
    return made


@lru_cache(maxsize=1024)
def made_up(symbol: str, first: date, last: date) -> Listing:
    """A random walk for any symbol, the same for the same name: one split, a dividend a quarter."""
    calendar = calendar_of(symbol)
    days = _days(calendar, first, last)
    draws = np.random.default_rng(zlib.crc32(symbol.encode()))
    close = 100.0 * np.exp(np.cumsum(draws.normal(0.0002, 0.012, len(days))))
    opened = np.concatenate([[100.0], close[:-1]]) * np.exp(draws.normal(0, 0.002, len(days)))
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    split = len(days) // 2
    for column in (opened, high, low, close):
        column[split:] /= 2.0
    volume = draws.integers(1_000_000, 2_000_000, len(days)).astype(float)
    columns = (column.tolist() for column in (opened, high, low, close, volume))
    actions = [(day, "dividend", 0.25) for day in days[40::63]]
    actions = sorted([*actions, (days[split], "split", 2.0)]) if days else []
    return Listing(symbol, tuple(zip(days, *columns, strict=True)), tuple(actions), *_place(symbol))


@lru_cache(maxsize=16)
def _days(calendar: str, first: date, last: date) -> tuple[date, ...]:
    return tuple(sessions(calendar, first, last))


def _place(symbol: str) -> tuple[str, str]:
    calendar = calendar_of(symbol)
    return ZONES.get(calendar, NEW_YORK), MONEY.get(calendar, "USD")


def today() -> date:
    """Day by the clock, in UTC."""
    return datetime.now(UTC).date()
