"""Learners together and their student, walked over what a run saw.

For: ``ensemble`` and ``student_model``. Not for: the walk or the student (``ml.teaching``); nothing
that is exported reads them.
"""

from typing import TYPE_CHECKING

import dagster as dg

from pipeline.boundary import (
    OWNERS,
    at_boundary,
    every_quarter,
    picture,
    sample_of,
    table_of,
    table_schema,
)
from pipeline.resources import SnapshotsResource

if TYPE_CHECKING:
    import polars as pl

GROUP = "learning"
TEACHER = "ensemble"
MEMBER_COLUMNS = {
    "strategy": ("String", "name"),
    "date": ("Date", "close"),
    "experts": ("Float64", "weight of the member, from what it earned out of sample until then"),
    "neural": ("Float64", "weight; before its first fit it says what regime_table says"),
    "online": ("Float64", "weight"),
    "regime_table": ("Float64", "weight"),
    "cash": ("Float64", "what is given to no member"),
    "disagreement": ("Float64", "part of the capital that a member would hold elsewhere"),
}
STUDENT_COLUMNS = {
    "strategy": ("String", "name"),
    "sessions": ("Int64", "closes that it was judged on and not fitted on; null without a student"),
    "rank": ("Float64", "mean rank correlation of the sets' weights with the teacher's"),
    "heaviest": ("Float64", "share of closes with the same heaviest set"),
    "overlap": ("Float64", "mean part of the capital in the same sets"),
    "teacher_sharpe": ("Float64", "per session, less the cost of changing the mix"),
    "student_sharpe": ("Float64", "per session, less the cost of changing the mix"),
    "regret": ("Float64", "the teacher's less the student's"),
    "regret_bound": ("Float64", "95 % upper bound of it"),
    "bytes": ("Int64", "of the student's weights"),
    "teacher_bytes": ("Int64", "of what the ensemble and its members keep"),
    "compression": ("Float64", "the second over the first"),
    "reason": ("String", "why there is no student"),
}


@dg.asset(
    deps=["backtest_corpus", "market_state", "regime_model"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy", "pytorch"},
    code_version="1",
    tags={"layer": "research"},
    metadata=table_schema(MEMBER_COLUMNS),
)
@at_boundary
def ensemble(
    context: dg.AssetExecutionContext, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Walk the fitter, the online model, the table and the experts, weighed by what each earned."""
    import polars as pl

    from backtest.member_plots import members_plot
    from ml.teaching import taught
    from ml.walkforward import require_history

    files = snapshots.open()
    snapshot = files.current()
    work, told = files.workbench(snapshot), files.settings
    policy, history = told.policy.with_learner(TEACHER), work.history()
    tell = every_quarter(context.log.info)
    require_history(history.sessions, policy)
    walked = taught(
        history,
        policy,
        seed=told.seed,
        fits=work.regimes().fits,
        progress=lambda done, total: tell("teach", done, total),
    )
    tables, today = {}, {}
    for name, one in walked.items():
        tables[name] = one.members(history.dates)
        sets = {f"p{k}": column for k, column in enumerate(one.proposals.T)}
        work.keep(f"ensemble/{name}", pl.DataFrame({"date": history.dates, **sets}))
        said = one.today(history.strategies[name].grid)
        today[name] = {**said, "date": str(history.dates[-1]), "bytes": one.bytes}
    kept = work.keep("ensemble", _joined(tables))
    work.keep_values("ensemble", today)
    rows = [
        {
            "strategy": name,
            "heaviest set": (said["mix"] or [{"parameters": None}])[0]["parameters"],
            **said["members"],
            "cash": said["cash"],
            "disagreement": said["disagreement"],
        }
        for name, said in today.items()
    ]
    drawn = members_plot(tables, synthetic=snapshot.synthetic)
    closes = sum(table.height for table in tables.values())
    return dg.MaterializeResult(
        metadata={
            "summary": f"{len(rows)} strategies, {closes:,} closes; apart by "
            + ", ".join(f"{row['disagreement']:.2f} ({row['strategy']})" for row in rows),
            "dagster/row_count": closes,
            "today": table_of(list(rows[0]), rows),
            "mix": dg.MetadataValue.json(today),
            "members": picture(drawn, "Weights of the members and their disagreement over time"),
            "path": dg.MetadataValue.path(kept.path),
            "snapshot": snapshot.snapshot,
        }
    )


@dg.asset(
    deps=["ensemble"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pytorch", "safetensors"},
    code_version="1",
    tags={"layer": "model"},
    metadata=table_schema(STUDENT_COLUMNS),
)
@at_boundary
def student_model(
    context: dg.AssetExecutionContext, snapshots: SnapshotsResource
) -> dg.MaterializeResult:
    """Distil each strategy's ensemble into a small network, judged where it was not fitted.

    A strategy whose ensemble has proposed too little for that has no student yet. That is a result
    with its reason in the table, not a failure: a job that runs every week from the first day on
    would be red for months, and hide what is wrong.
    """
    import polars as pl

    from backtest.errors import NotFittedError
    from backtest.member_plots import student_plot
    from ml.teaching import comparison, distilled

    files = snapshots.open()
    snapshot = files.current()
    work, seed = files.workbench(snapshot), files.settings.seed
    history, today, cost = work.history(), work.values("ensemble"), work.spec().cost
    rows, streams = [], {}
    for name, one in history.strategies.items():
        proposals = work.frame(f"ensemble/{name}").drop("date").to_numpy()
        try:
            made = distilled(history.state, one.returns, proposals, seed=seed, cost=cost)
        except NotFittedError as error:
            if error.code != "E_TOO_SHORT":
                raise
            rows.append({"strategy": name, "reason": str(error)})
            context.log.warning(f"{name}: no student yet: {error}")
            continue
        made.student.save(work.folder / "student" / name, columns=history.columns, grid=one.grid)
        rows.append({"strategy": name, **comparison(made, today[name]["bytes"])})
        streams[name] = made.streams(history.dates)
    schema = {name: getattr(pl, kind) for name, (kind, _) in STUDENT_COLUMNS.items()}
    table = pl.DataFrame(rows, schema=schema)
    kept = work.keep("student_model", table)
    return dg.MaterializeResult(
        metadata={
            "summary": f"{len(streams)} of {len(rows)} strategies have a student"
            + "".join(f"; {name}: regret {one:+.3f}" for name, one in _regrets(table)),
            "dagster/row_count": table.height,
            "students": sample_of(table, rows=table.height),
            "earned": picture(
                student_plot(streams, synthetic=snapshot.synthetic),
                "Summed net returns of teacher and student where the student was not fitted",
            ),
            "path": dg.MetadataValue.path(kept.path),
            "snapshot": snapshot.snapshot,
        }
    )


def _regrets(table: "pl.DataFrame") -> "list[tuple[str, float]]":
    """Strategies that have a student, with what it falls short by, Sharpe per session."""
    return table.drop_nulls("regret").select("strategy", "regret").rows()


def _joined(tables: "dict[str, pl.DataFrame]") -> "pl.DataFrame":
    """Tables of all strategies as one."""
    import polars as pl

    return pl.concat(
        [table.select(pl.lit(name).alias("strategy"), pl.all()) for name, table in tables.items()]
    )
