"""What is kept: the tables, their keys, and the steps from one version of the file to the next.

For: the layout of the database. Not for: reading or writing rows. A step that was released is
never changed; a new one is added at the end of ``MIGRATIONS``.
"""

from dataclasses import dataclass

import duckdb


@dataclass(frozen=True)
class Table:
    """One table whose rows are kept in every version that was ever known.

    Parameters
    ----------
    name : str
    key : tuple of str
        What identifies a row inside its universe.
    values : tuple of str
        What a later version may change.
    session : str
        Column of the session a row speaks of.
    """

    name: str
    key: tuple[str, ...]
    values: tuple[str, ...]
    session: str = "date"

    @property
    def digested(self) -> str:
        """Columns that the digest of a commit covers, as SQL."""
        return ", ".join((*self.key, *self.values, "vintage", "known_at"))


_KNOWN = """
    vintage varchar not null check (vintage in ('live', 'backfill', 'restated', 'withdrawn')),
    known_at timestamptz not null,
    ingested_at timestamptz not null,
    run_id varchar not null"""
_PRICE = "double not null check ({0} > 0 and not isnan({0}) and not isinf({0}))"

BARS = Table(
    "bars",
    ("symbol", "date"),
    ("open", "high", "low", "close", "volume", "close_raw", "currency"),
)
QUARANTINE = Table(
    "quarantine",
    ("row_hash",),
    ("symbol", "date", "rule", "detail", "open", "high", "low", "close", "volume"),
)
UNIVERSE = Table(
    "universe",
    ("symbol",),
    ("first", "sector", "region", "asset_class", "exchange", "source", "synthetic"),
    session="first",
)
SESSIONS = Table("sessions", ("calendar", "date"), ("close_at",))
REGIMES = Table(
    "regimes",
    ("model", "date"),
    (
        "regime",
        "p_bull",
        "p_sideways",
        "p_bear",
        "p_volatile",
        "p_heavy",
        "state",
        "state_probabilities",
        "p_correlated",
    ),
)
DECISIONS = Table(
    "decisions",
    ("strategy", "date"),
    ("parameters", "mix", "by_regime", "confidence", "action", "parameter_confidence"),
)
RETURNS = Table("returns", ("strategy", "variant", "date"), ("net_return", "turnover"))
EVIDENCE = Table("evidence", ("date",), ("document", "snapshot", "settings"))
TRIALS = Table(
    "trials",
    ("kind", "strategy", "config_hash", "span_start"),
    ("span_end", "sharpe", "observations", "champion"),
    session="span_end",
)
ROBUSTNESS = {
    table.name: table
    for table in (
        Table(
            "folds",
            ("date", "strategy", "variant", "fold"),
            (
                *("first", "last", "sessions", "sharpe", "net_return", "turnover", "max_drawdown"),
                *("in_sample_sharpe", "parameters", "reason"),
            ),
        ),
        Table(
            "stability",
            ("date", "strategy", "statistic", "parameter", "category"),
            ("value", "reason"),
        ),
        Table(
            "sensitivity",
            ("date", "strategy", "parameter", "value"),
            ("steps", "sets", "mean", "median", "highest", "along", "best", "plateau", "edge"),
        ),
        Table(
            "paths",
            ("date", "strategy", "path"),
            ("sessions", "sharpe", "net_return", "max_drawdown", "reason"),
        ),
        Table(
            "costs",
            ("date", "strategy", "variant", "point"),
            ("cost_bps", "sharpe", "reason"),
        ),
        Table(
            "reliability",
            ("date", "strategy", "event", "regime", "said_from"),
            ("sessions", "said", "happened", "low", "high"),
        ),
    )
}
"""Tables of the research of one session, by name; ``date`` is that session."""

QUOTES = Table(
    "quotes",
    ("symbol", "timeframe", "ts"),
    ("date", "open", "high", "low", "close", "volume", "adj_close", "currency"),
)
ACTIONS = Table("actions", ("symbol", "date", "kind"), ("value",))
ANSWERS = Table("answers", ("symbol", "timeframe"), ("until", "outcome", "detail"), session="until")

ANSWERED = (QUOTES, ACTIONS, ANSWERS)
"""Tables of what feeds answered: written together, and before any bar."""

VERSIONED = (
    *ANSWERED,
    BARS,
    QUARANTINE,
    UNIVERSE,
    SESSIONS,
    REGIMES,
    DECISIONS,
    RETURNS,
    EVIDENCE,
    *ROBUSTNESS.values(),
)


def _create(table: Table, columns: str) -> str:
    """Statement that makes a versioned table of the given columns."""
    key = ", ".join(table.key)
    return (
        f"create table {table.name} (universe varchar not null, {columns}, {_KNOWN},"
        f" primary key (universe, {key}, known_at))"
    )


_FIRST = (
    _create(
        BARS,
        "symbol varchar not null, date date not null, "
        + ", ".join(f"{n} {_PRICE.format(n)}" for n in ("open", "high", "low", "close"))
        + ", volume double check (volume >= 0 and not isnan(volume)), close_raw "
        + _PRICE.format("close_raw")
        + ", currency varchar not null, check (high >= low)",
    ),
    _create(
        QUARANTINE,
        "row_hash varchar not null, symbol varchar, date date, rule varchar not null,"
        " detail varchar, open double, high double, low double, close double, volume double",
    ),
    _create(
        UNIVERSE,
        "symbol varchar not null, first date not null, sector varchar, region varchar,"
        " asset_class varchar, exchange varchar, source varchar not null, synthetic bool not null",
    ),
    _create(
        SESSIONS,
        "calendar varchar not null, date date not null, close_at timestamptz not null",
    ),
    _create(
        REGIMES,
        "model varchar not null, date date not null, regime varchar, p_bull double,"
        " p_sideways double, p_bear double, p_volatile double, p_heavy double, state integer,"
        " state_probabilities double[]",
    ),
    _create(
        DECISIONS,
        "strategy varchar not null, date date not null, parameters varchar, mix varchar,"
        " by_regime varchar, confidence double, action varchar not null",
    ),
    _create(
        RETURNS,
        "strategy varchar not null, variant varchar not null, date date not null,"
        " net_return double, turnover double",
    ),
    _create(
        EVIDENCE,
        "date date not null, document varchar not null, snapshot varchar not null,"
        " settings varchar not null",
    ),
    """create table trials (
    universe varchar not null, kind varchar not null check (kind in ('candidate', 'policy')),
    strategy varchar not null, config_hash varchar not null, span_start date not null,
    span_end date not null, sharpe double, observations bigint not null,
    known_at timestamptz not null, ingested_at timestamptz not null, run_id varchar not null,
    primary key (universe, kind, strategy, config_hash, span_start))""",
    """create table batches (
    batch_id varchar primary key, universe varchar not null, table_name varchar not null,
    source varchar, rows_in bigint not null, new bigint not null, restated bigint not null,
    withdrawn bigint not null, unchanged bigint not null, reasons varchar not null,
    known_at timestamptz not null, ingested_at timestamptz not null, run_id varchar not null)""",
)

_CHALLENGERS = ("alter table trials add column champion varchar",)

_ROBUSTNESS = (
    _create(
        ROBUSTNESS["folds"],
        "date date not null, strategy varchar not null, variant varchar not null,"
        " fold bigint not null, first date not null, last date not null,"
        " sessions bigint not null, sharpe double, net_return double, turnover double,"
        " max_drawdown double, in_sample_sharpe double, parameters varchar, reason varchar",
    ),
    _create(
        ROBUSTNESS["stability"],
        "date date not null, strategy varchar not null, statistic varchar not null,"
        " parameter varchar not null, category varchar not null, value double, reason varchar",
    ),
    _create(
        ROBUSTNESS["sensitivity"],
        "date date not null, strategy varchar not null, parameter varchar not null,"
        " value varchar not null, steps bigint, sets bigint not null, mean double,"
        " median double, highest double, along double, best bool not null,"
        " plateau bool not null, edge varchar",
    ),
    _create(
        ROBUSTNESS["paths"],
        "date date not null, strategy varchar not null, path bigint not null,"
        " sessions bigint not null, sharpe double, net_return double, max_drawdown double,"
        " reason varchar",
    ),
    _create(
        ROBUSTNESS["costs"],
        "date date not null, strategy varchar not null, variant varchar not null,"
        " point varchar not null, cost_bps double, sharpe double, reason varchar",
    ),
)

_COMMITS = (
    """create table commits (
    number bigint primary key, commit_id varchar not null, universe varchar not null,
    rows bigint not null, known_at timestamptz not null, ingested_at timestamptz not null,
    run_id varchar not null)""",
    "alter table batches add column commit_number bigint",
    "alter table batches add column digest varchar",
)

_FEEDS = (
    _create(
        QUOTES,
        "symbol varchar not null, timeframe varchar not null, ts timestamptz not null,"
        " date date not null, open double, high double, low double, close double, volume double,"
        " adj_close double, currency varchar",
    ),
    _create(
        ACTIONS,
        "symbol varchar not null, date date not null,"
        " kind varchar not null check (kind in ('dividend', 'split')),"
        " value double not null check (value > 0 and not isnan(value) and not isinf(value))",
    ),
    _create(
        ANSWERS,
        "symbol varchar not null, timeframe varchar not null, until date not null,"
        " outcome varchar not null check (outcome in ('complete', 'pending', 'unknown', 'failed')),"
        " detail varchar",
    ),
)

_CORRELATION = ("alter table regimes add column p_correlated double",)

_CONFIDENCE = (
    "alter table decisions add column parameter_confidence varchar",
    _create(
        ROBUSTNESS["reliability"],
        "date date not null, strategy varchar not null, event varchar not null,"
        " regime varchar not null, said_from double not null, sessions bigint not null,"
        " said double not null, happened double not null, low double not null,"
        " high double not null",
    ),
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _FIRST,
    _CHALLENGERS,
    _ROBUSTNESS,
    _COMMITS,
    _FEEDS,
    _CORRELATION,
    _CONFIDENCE,
)
VERSION = len(MIGRATIONS)


def version_of(connection: duckdb.DuckDBPyConnection) -> int:
    """Read the schema version of an open file; 0 for an empty one."""
    known = connection.execute(
        "select count(*) from duckdb_tables() where table_name = 'schema_versions'"
    ).fetchall()
    if not known[0][0]:
        return 0
    found = connection.execute("select coalesce(max(version), 0) from schema_versions").fetchall()
    return int(found[0][0])


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the file to ``VERSION``, each step in a transaction of its own."""
    for number in range(version_of(connection) + 1, VERSION + 1):
        connection.execute("begin transaction")
        connection.execute(
            "create table if not exists schema_versions"
            " (version integer primary key, known_at timestamptz not null)"
        )
        for statement in MIGRATIONS[number - 1]:
            connection.execute(statement)
        connection.execute("insert into schema_versions values (?, now())", [number])
        connection.execute("commit")
