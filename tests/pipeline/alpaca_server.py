"""A loopback server that answers as Alpaca does. For: tests of the feed. Not for: tests."""

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY, SECRET = "PKTESTKEY0000", "topsecret/+value=="


@dataclass
class Exchange:
    """Bars by symbol and adjustment, actions by kind, and one fault for all calls."""

    bars: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    actions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    page: int = 2
    fault: tuple[int, dict[str, str], bytes] | None = None
    circle: bool = False
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    def answer(self, path: str, asked: dict[str, str]) -> dict[str, Any]:
        """One page, as the API writes it."""
        at = int(asked.get("page_token", "0"))
        if path == "/v1/corporate-actions":
            return {"corporate_actions": self.actions, "next_page_token": None}
        symbol = unquote(path.split("/")[3])
        rows = self.bars.get((symbol, asked["adjustment"]), [])
        rows = [row for row in rows if asked["start"] <= row.get("t", asked["start"])]
        following = "0" if self.circle else str(at + self.page)
        more = following if self.circle or at + self.page < len(rows) else None
        return {
            "symbol": symbol,
            "bars": rows[at : at + self.page] or None,
            "next_page_token": more,
        }


def serve(exchange: Exchange) -> ThreadingHTTPServer:
    """Start in a thread; the caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            exchange.calls.append((parts.path, asked))
            sent = (self.headers["APCA-API-KEY-ID"], self.headers["APCA-API-SECRET-KEY"])
            if exchange.fault is not None:
                status, headers, body = exchange.fault
            elif sent != (KEY, SECRET):
                status, headers = 401, {}
                body = json.dumps({"message": f"no account of {sent[0]} {sent[1]}"}).encode()
            else:
                status, headers = 200, {}
                body = json.dumps(exchange.answer(parts.path, asked)).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    exchange.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server
