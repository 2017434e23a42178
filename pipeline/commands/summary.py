"""What a run of the chain left, for people and for programs.

For: the last lines of ``weathervane run``. Not for: the run itself (``pipeline.chain``).
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.chain import RunSummary


def plain_summary(done: "RunSummary") -> dict[str, Any]:
    """Plain JSON values of a summary."""
    return {name: _plain(value) for name, value in asdict(done).items()}


def summary_lines(done: "RunSummary") -> list[str]:
    """Say where the parameters, the report and the web pages are."""
    market = f"{done.universe} ({done.source})" + (", SYNTHETIC" if done.synthetic else "")
    verdicts = ", ".join(f"{name} {action}" for name, action in done.verdicts.items())
    lines = [
        "",
        f"session     {done.session}",
        f"market      {market}",
        f"parameters  {done.document}",
        f"verdicts    {verdicts}",
        f"report      {done.report}",
    ]
    if done.quarantined:
        lines.append(f"set aside   {done.quarantined} rows; the report names the rules")
    lines += [f"{name:<11} {url}" for name, url in done.urls.items()]
    lines.append("web pages   `make ui` opens Dagster's and MLflow's, with this run in them")
    return [*lines, f"done in {done.seconds:.0f} s; `weathervane explain` says why"]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
