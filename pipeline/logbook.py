"""What a research run writes into the tracker, and what the gate registers.

For: parameters, metrics, curves, figures, the data set, both models with their tags and aliases,
and the links to Dagster. Not for: MLflow's manners (``tracker``) or computing any of it.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.tracker import (
    PARAMETERS_MODEL,
    REGIME_MODEL,
    Scope,
    Signature,
    fingerprint,
)

if TYPE_CHECKING:
    import polars as pl

    from ml.export.document import CodeFacts
    from pipeline.tracker import Registered, Research, Tracker
    from pipeline.workbench import Workbench

DAGSTER_PAGES = "http://127.0.0.1:3000"
"""Where ``make ui`` shows Dagster's runs."""

CURVE_STEP = 5
"""Sessions between two points of a curve; the report has all of them."""

_KINDS = {"String": "string", "Date": "datetime", "Float64": "double", "Boolean": "boolean"}


@dataclass(frozen=True)
class Logged:
    """What the tracker now holds for one research.

    Parameters
    ----------
    run_id, url : str
        Of the tracker's run.
    reused : bool
        Whether the run of an earlier, equal research was found.
    regime, parameters : Registered
    """

    run_id: str
    url: str
    reused: bool
    regime: "Registered"
    parameters: "Registered"

    def plain(self) -> dict[str, Any]:
        """Plain values that stay the same when the same research is logged again."""
        stays = ("name", "version", "alias", "run_id", "url", "content_sha256")
        models = {"regime": self.regime, "parameters": self.parameters}
        return {
            "run_id": self.run_id,
            "url": self.url,
            **{k: {n: asdict(m)[n] for n in stays} for k, m in models.items()},
        }


def log_research(
    tracker: "Tracker", work: "Workbench", *, code: "CodeFacts", dagster_run: str
) -> Logged:
    """Log a research and register its models; the same research again changes nothing.

    Parameters
    ----------
    tracker : Tracker
    work : Workbench
        With everything that the walk-forward left.
    code : CodeFacts
    dagster_run : str
        Run that computed it, for the link back.
    """
    seen, settings = work.snapshot, work.files.settings
    mark = fingerprint(
        snapshot=seen.snapshot, settings=settings.hash(), code=str(code.revision or code.version)
    )
    tags = {
        "dagster_run_id": dagster_run,
        "dagster_url": f"{DAGSTER_PAGES}/runs/{dagster_run}",
        "snapshot": seen.snapshot,
        "revision": str(code.revision),
        "universe": seen.universe,
        "synthetic": str(seen.synthetic).lower(),
    }
    with tracker.research(mark, name=f"{seen.universe} {seen.last}", tags=tags) as run:
        _log(run, work, dagster_run)
        return Logged(run.run_id, run.url, run.reused, *_register(tracker, run, work, tags))


def _log(run: "Research", work: "Workbench", dagster_run: str) -> None:
    """Everything but the models; in a run that was found, files that are gone come back."""
    page = work.report_folder()
    run.figures({path.stem: path.read_bytes() for path in sorted(page.glob("*.png"))})
    run.files({"report.html": page / "report.html", "evidence.json": work.text("evidence")})
    if run.reused:
        return
    seen, settings, evidence = work.snapshot, work.files.settings, work.values("evidence")
    bars = work.files.bars(seen)
    run.params(settings.model_dump(mode="json"))
    run.metrics(metrics_of(evidence))
    run.curves(*curves_of(work.frame("returns")))
    run.dataset(
        seen.universe,
        snapshot=seen.snapshot,
        path=work.files.folder(seen) / "bars.parquet",
        rows=bars.height,
        columns={n: _KINDS.get(str(t), "string") for n, t in bars.schema.items()},
    )
    made_up = "**Synthetic market.** " if seen.synthetic else ""
    run.note(
        f"{made_up}{evidence['claim']['reason']}.\n\n"
        f"[Dagster run]({DAGSTER_PAGES}/runs/{dagster_run})"
    )


def metrics_of(evidence: dict[str, Any]) -> dict[str, float | None]:
    """Numbers of every variant by ``strategy.variant.name``; ``all`` is the strategies together."""
    scopes = {"all": evidence, **evidence["strategies"]}
    out: dict[str, float | None] = {}
    for scope, part in scopes.items():
        for variant, numbers in part["variants"].items():
            for name, value in numbers.items():
                if value is None or isinstance(value, int | float):
                    out[f"{scope}.{variant}.{name}"] = value
        for rival, numbers in part["paired"].items():
            out[f"{scope}.paired_{rival}.t"] = numbers["t"]
    return out


def curves_of(returns: "pl.DataFrame") -> tuple[list[Any], dict[str, list[float]]]:
    """Equity of every variant of all strategies together, thinned; sessions and curves."""
    import polars as pl

    whole = returns.filter(pl.col("strategy") == "all").sort("variant", "date")
    grown = whole.with_columns((1.0 + pl.col("net_return")).cum_prod().over("variant"))
    wide = grown.pivot("variant", index="date", values="net_return").sort("date")
    thin = wide.gather_every(CURVE_STEP)
    names = [name for name in thin.columns if name != "date"]
    return thin["date"].to_list(), {f"equity.{n}": thin[n].to_list() for n in names}


def _register(
    tracker: "Tracker", run: "Research", work: "Workbench", tags: dict[str, str]
) -> "tuple[Registered, Registered]":
    """Both models, with the aliases that the gate asks for."""
    evidence, lane, table = work.values("evidence"), work.regimes(), work.kept_table()
    fit = lane.fit_at(lane.sessions - 1)
    given = {
        **tags,
        "promoted": str(evidence["promoted"]).lower(),
        "policies": str(max(s["policies"] for s in evidence["strategies"].values())),
        "candidates": str(sum(s["candidates"] for s in evidence["strategies"].values())),
        "evidence": evidence["claim"]["reason"],
    }
    scope = Scope(work.snapshot.universe, work.snapshot.last)
    states = {f"state_{k}": "double" for k in range(len(fit.names))}
    regime = tracker.register(
        REGIME_MODEL,
        run.run_id,
        arrays=fit.arrays(),
        config=fit.config(),
        signature=Signature(dict.fromkeys(lane.columns, "double"), states),
        tags=given,
        promoted=evidence["promoted"],
        scope=scope,
    )
    parameters = tracker.register(
        PARAMETERS_MODEL,
        run.run_id,
        arrays=table.arrays,
        config=table.config,
        signature=Signature(states, {"strategy": "string", "set": "long", "weight": "double"}),
        tags=given,
        promoted=evidence["promoted"],
        scope=scope,
    )
    return regime, parameters
