"""How far a run is, told line by line to whoever started it in this process.

For: ``reporting`` and the logger that turns Dagster's events into plain lines. Not for: the run's
own log, which Dagster keeps.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from contextvars import ContextVar
from typing import Any

import dagster as dg

Report = Callable[[str], None]

LOGGER = "progress"
QUIET = {"loggers": {LOGGER: {"config": {}}}}
"""Run configuration that takes this logger in place of the console's."""

_REPORT: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def reporting(report: Report | None) -> Iterator[None]:
    """Send the lines of runs inside the block to ``report``."""
    token = _REPORT.set(report)
    try:
        yield
    finally:
        _REPORT.reset(token)


@contextmanager
def without_echoes() -> Iterator[None]:
    """Keep Dagster from printing an error, with its SQL, beside raising it."""
    with redirect_stderr(_Unechoed(sys.stderr)):
        yield


class _Unechoed:
    """A stream that leaves out what Dagster says of an event that it could not write."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, unless it is such an echo."""
        if text.startswith("Exception while writing logger call to event log"):
            return len(text)
        return int(self._stream.write(text))


class _Lines(logging.Handler):
    """Turn log records of a run into lines for a person."""

    def __init__(self, report: Report):
        super().__init__(logging.DEBUG)
        self.report = report
        self.started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Report a record, if it says something to a person."""
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        if event is None:
            if record.levelno >= logging.INFO and meta.get("step_key"):
                self.report(f"  {meta.get('orig_message', record.getMessage())}")
            return
        line = self.line_of(event)
        if line:
            self.report(line)

    def line_of(self, event: dg.DagsterEvent) -> str | None:
        """Say in one line what an event means; None for what nobody waits for."""
        kind, step = event.event_type, event.step_key or ""
        if kind == dg.DagsterEventType.STEP_START:
            self.started[step] = time.monotonic()
        elif kind == dg.DagsterEventType.STEP_UP_FOR_RETRY:
            return f"{step}: no answer, trying again"
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
            found = event.step_materialization_data.materialization
            summary = found.metadata.get("summary")
            took = time.monotonic() - self.started.get(step, time.monotonic())
            says = f": {summary.value}" if summary is not None else ""
            return f"{found.asset_key.to_user_string()}{says} ({took:.1f} s)"
        elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            made = event.asset_check_evaluation_data
            if not made.passed:
                why = f": {made.description}" if made.description else ""
                says = "refuses" if made.severity == dg.AssetCheckSeverity.ERROR else "warns"
                return f"check {made.check_name} of {made.asset_key.to_user_string()} {says}{why}"
        return None


@dg.logger(config_schema={}, description="Plain lines for whoever started the run.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """Logger of one run; silent where nobody asked for lines."""
    made = logging.Logger(LOGGER, logging.DEBUG)
    report = _REPORT.get()
    made.addHandler(logging.NullHandler() if report is None else _Lines(report))
    return made
