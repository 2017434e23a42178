"""The wire to Yahoo: a session whose address can be replaced, a client that is one line's alone.

For: what leaves this machine, and to whom. Not for: what a reply means (``reading``).
"""

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

CHART = "/v8/finance/chart/"

_COOKIE_S = 5.0
_COOKIE_PAUSE_S = 60.0


def own_client(session: Any) -> Any:
    """Make a client of yfinance that is this line's alone.

    The class hands out one client per process, with the session that came last: two lines would
    ask at each other's address.
    """
    import tempfile
    import warnings

    import yfinance
    from yfinance.data import YfData

    with _once:
        if not _caches:
            # Cookies only; a folder that goes with the process, never one in the user's home.
            folder = tempfile.TemporaryDirectory(prefix="yahoo-", ignore_cleanup_errors=True)
            _caches.append(folder)
            # Of its own use of pandas, on each answer; nothing that a user could mend.
            warnings.filterwarnings("ignore", module=r"yfinance\.")
            yfinance.cache.set_cache_location(folder.name)
        yfinance.config.debug.hide_exceptions = False
        yfinance.config.network.retries = 0
    client = object.__new__(YfData)
    client.__init__(session)
    return client


_once = threading.Lock()
_caches: list[Any] = []


def session_kind() -> Callable[..., Any]:
    """Class of the session, made on first use: its base is a heavy import."""
    from curl_cffi.requests import Session
    from curl_cffi.requests.exceptions import ConnectionError as NoConnection

    class RewritingSession(Session):  # type: ignore[type-arg]
        """Sends each request to the endpoint, and has each chart judged as it comes in."""

        def __init__(self, endpoint: str | None, timeout_s: float, judge: Callable[..., None]):
            # With an address of one's own: no proxy of the environment, no redirection elsewhere.
            own: dict[str, Any] = {"proxies": {"all": ""}, "trust_env": False} if endpoint else {}
            super().__init__(impersonate="chrome", **own)
            self._endpoint, self._timeout_s, self._judge = endpoint, timeout_s, judge
            self._no_cookie_until = 0.0
            self._pages: dict[str, Any] = {}

        def request(  # type: ignore[override]
            self, method: Any, url: str, **options: Any
        ) -> Any:
            address = url
            if self._endpoint:
                address = rewritten(url, self._endpoint)
                options["allow_redirects"] = False
            if CHART in urlsplit(url).path:
                options["timeout"] = self._timeout_s
                reply = super().request(method, address, **options)
                self._judge(url, reply)
                return reply
            return self._cookie(method, address, options)

        def _cookie(self, method: Any, address: str, options: dict[str, Any]) -> Any:
            """Fetch cookie or crumb, without which charts are mostly given: never wait for long.

            The client holds a lock meanwhile; without the pause each thread would wait anew.
            """
            if self.cookies and address in self._pages:
                return self._pages[address]  # the client would fetch it with each question
            if time.monotonic() < self._no_cookie_until:
                raise NoConnection("cookie left out for now")
            options["timeout"] = min(self._timeout_s, _COOKIE_S)
            try:
                reply = super().request(method, address, **options)
                if reply.status_code == 429 or reply.status_code >= 500:
                    raise NoConnection(f"no cookie, status {reply.status_code}")
            except OSError:
                self._no_cookie_until = time.monotonic() + _COOKIE_PAUSE_S
                raise
            if method == "GET" and not address.endswith("crumb"):
                self._pages[address] = reply
            return reply

    return RewritingSession


def rewritten(url: str, endpoint: str) -> str:
    """Put an address of Yahoo under the endpoint.

    Examples
    --------
    >>> rewritten("https://fc.yahoo.com/a?b=1", "http://127.0.0.1:80/x/")
    'http://127.0.0.1:80/x/a?b=1'
    """
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{endpoint.rstrip('/')}{parts.path or '/'}{query}"
