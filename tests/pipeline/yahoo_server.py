"""A loopback server that speaks Yahoo's chart protocol, with faults switched on by symbol.

For: tests through the real client, and people: ``python -m tests.pipeline.yahoo_server``
makes up a market for every symbol, or serves that of ``--market DIR`` (bars, and actions in
``actions.csv``). Not for: the market itself (``yahoo_market``).
"""

import argparse
import json
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.pipeline.yahoo_market import Listing, listings_of, made_up, today

CHART = "/v8/finance/chart/"
FIRST = date(2014, 1, 2)
PAGE = b"<!doctype html><html><body>Sign in to this network</body></html>"
DELISTED = {"code": "Not Found", "description": "No data found, symbol may be delisted"}


class YahooServer(ThreadingHTTPServer):
    """Serves listings as of ``now``; a context manager that listens meanwhile.

    Parameters
    ----------
    listings : dict of str to Listing
    payloads : dict of str to dict, optional
        Whole replies by symbol, served as they are.
    now : datetime.date, optional
        What the market has lived through; settable at any time.
    invent : bool
        Whether to make up a listing for a symbol that there is none of.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, listings=None, payloads=None, *, now=None, invent=False, port=0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.listings: dict[str, Listing] = dict(listings or {})
        self.payloads = dict(payloads or {})
        self.now = now or today()
        self.invent = invent
        self.asked: Counter[str] = Counter()
        self.paths: list[str] = []
        self.hang_s = 2.0
        self._faults: dict[str, deque] = defaultdict(deque)
        self._edits: dict[str, list[Callable[[dict], None]]] = defaultdict(list)
        self._guard = threading.Lock()

    @property
    def address(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, symbol: str, kind: str, times: int = 1, **options) -> None:
        """Let the next ``times`` charts of a symbol fail; ``kind`` is a key of ``FAULTS``."""
        assert kind in FAULTS, f"one of {sorted(FAULTS)}"
        self._faults[symbol].extend([(kind, options)] * times)

    def edit(self, symbol: str, change: Callable[[dict], None]) -> None:
        """Change each chart of a symbol from now on, in place."""
        self._edits[symbol].append(change)

    def next_fault(self, symbol: str):
        """Fault of this request, and count it."""
        with self._guard:
            self.asked[symbol] += 1
            return self._faults[symbol].popleft() if self._faults[symbol] else None

    def reply(self, symbol: str, query: dict[str, str]) -> tuple[int, dict]:
        """Status and body for a symbol."""
        if symbol in self.payloads:
            return 200, self.payloads[symbol]
        listing = self.listings.get(symbol)
        if listing is None and self.invent:
            listing = made_up(symbol, FIRST, today())
        if listing is None:
            return 404, {"chart": {"result": None, "error": DELISTED}}
        first, end = int(query.get("period1", 0)), int(query.get("period2", 2**40))
        chart = listing.chart(first, end, query.get("interval", "1d"), self.now)
        chart = json.loads(json.dumps(chart)) if self._edits[symbol] else chart
        for change in self._edits[symbol]:
            change(chart)
        return 200, {"chart": {"result": [chart], "error": None}}

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: YahooServer

    def log_message(self, *_):
        """Say nothing."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self):
        parts = urlsplit(self.path)
        self.server.paths.append(unquote(self.path))
        if parts.path == "/v1/test/getcrumb":
            return self.send(200, b"crumb", kind="text/plain")
        if not parts.path.startswith(CHART):
            return self.send(404, b"", Set_Cookie="A3=made-up; Path=/")
        symbol = unquote(parts.path.removeprefix(CHART))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        fault = self.server.next_fault(symbol)
        if fault is not None:
            return FAULTS[fault[0]](self, symbol, query, **fault[1])
        status, body = self.server.reply(symbol, query)
        return self.send(status, json.dumps(body).encode())

    def send(self, status: int, body: bytes, *, kind="application/json", cut=False, **headers):
        """Answer; ``cut`` claims twice the length and hangs up."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) * (2 if cut else 1)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut


def _too_many(handler, symbol, query, retry_after=None):
    headers = {} if retry_after is None else {"Retry_After": str(retry_after)}
    handler.send(429, b"Too Many Requests", kind="text/plain", **headers)


def _failing(handler, symbol, query, status=500):
    body = {"chart": {"result": None, "error": {"code": "Internal", "description": "oops"}}}
    handler.send(status, json.dumps(body).encode())


def _page(handler, symbol, query, status=200):
    handler.send(status, PAGE, kind="text/html")


def _truncated(handler, symbol, query):
    body = json.dumps(handler.server.reply(symbol, query)[1]).encode()
    handler.send(200, body[: len(body) // 2])


def _cut(handler, symbol, query):
    handler.send(200, b'{"chart": ', cut=True)


def _empty(handler, symbol, query):
    handler.send(200, json.dumps({"chart": {"result": [], "error": None}}).encode())


def _delisted(handler, symbol, query):
    handler.send(404, json.dumps({"chart": {"result": None, "error": DELISTED}}).encode())


def _other_json(handler, symbol, query, body=None):
    handler.send(200, json.dumps(body).encode())


def _hang(handler, symbol, query):
    time.sleep(handler.server.hang_s)
    handler.close_connection = True


def _drop(handler, symbol, query):
    handler.close_connection = True


def _elsewhere(handler, symbol, query, location=""):
    handler.send(302, b"", Location=location)


FAULTS = {
    "429": _too_many,
    "status": _failing,
    "html": _page,
    "truncated": _truncated,
    "cut": _cut,
    "empty": _empty,
    "delisted": _delisted,
    "json": _other_json,
    "hang": _hang,
    "drop": _drop,
    "redirect": _elsewhere,
}


def nothing_at(row: int) -> Callable[[dict], None]:
    """Edit: all values of a row are missing (-1 is the newest)."""

    def change(chart: dict) -> None:
        quote = chart["indicators"]["quote"][0]
        for values in (*quote.values(), chart["indicators"]["adjclose"][0]["adjclose"]):
            values[row] = None

    return change


def restated(factor: float) -> Callable[[dict], None]:
    """Edit: adjusted closes times a factor."""

    def change(chart: dict) -> None:
        adjusted = chart["indicators"]["adjclose"][0]
        adjusted["adjclose"] = [value * factor for value in adjusted["adjclose"]]

    return change


def live_row(price: float, after_s: int = 3600) -> Callable[[dict], None]:
    """Edit: a second row of the newest session, as Yahoo appends while it trades."""

    def change(chart: dict) -> None:
        chart["timestamp"].append(chart["timestamp"][-1] + after_s)
        for name, values in chart["indicators"]["quote"][0].items():
            values.append(77 if name == "volume" else price)
        chart["indicators"]["adjclose"][0]["adjclose"].append(price)

    return change


def main() -> None:
    """Serve until interrupted."""
    import polars as pl

    from backtest.market.bars import read_bars

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--market", type=Path, help="folder with bars and actions.csv")
    parser.add_argument("--now", type=date.fromisoformat, help="last session of the market")
    chosen = parser.parse_args()
    listings = {}
    if chosen.market is not None:
        actions = chosen.market / "actions.csv"
        told = pl.read_csv(actions, try_parse_dates=True) if actions.is_file() else None
        bars = chosen.market / "bars.parquet"
        listings = listings_of(read_bars(bars if bars.is_file() else chosen.market), told)
    server = YahooServer(listings, now=chosen.now, invent=chosen.market is None, port=chosen.port)
    with server:
        server._thread.join()


if __name__ == "__main__":
    main()
