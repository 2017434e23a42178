"""The whole chain in this process: what ``weathervane run`` does.

For: ``run_chain``, from settings to a document, a report and a summary for people. Not for: what
the assets do, or how a summary is printed.
"""

import dataclasses
import json
import logging
import time
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import DataError, WeathervaneError

if TYPE_CHECKING:
    import dagster as dg

    from pipeline.config import Home, Settings
    from pipeline.progress import Report

logger = logging.getLogger(__name__)

PROCESS_TAG = "weathervane/process"
# A run of this process is not the daemon's to try again; the label puts it on its job's page.
TAGS = {"dagster/max_retries": "0", ".dagster/repository": "__repository__@weathervane"}


@dataclass(frozen=True)
class RunSummary:
    """What a run of the chain left behind.

    Parameters
    ----------
    session : date
        The session whose parameters were exported.
    universe, source : str
    synthetic : bool
        Whether the market is made up; say so wherever the numbers stand.
    document, report : pathlib.Path
    verdicts : dict of str to str
        ``update`` or ``hold`` by strategy.
    quarantined : int
        Rows held back.
    snapshot : str
        Content hash of the bars.
    run_ids : tuple of str
        Dagster's, in order.
    urls : dict of str to str
        Pages and folders by what they show.
    seconds : float
    """

    session: date
    universe: str
    source: str
    synthetic: bool
    document: Path
    report: Path
    verdicts: dict[str, str]
    quarantined: int
    snapshot: str
    run_ids: tuple[str, ...]
    urls: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run_chain(
    settings: "Settings",
    home: "Home",
    *,
    session: date | None = None,
    as_of: date | datetime | None = None,
    progress: "Report | None" = None,
) -> RunSummary:
    """Materialise the whole chain in this process, up to the document of one session.

    Parameters
    ----------
    settings : Settings
    home : Home
        As ``open_home`` returns it.
    session : date, optional
        Last session to use, and the one to export; the last finished one if missing.
    as_of : date or datetime, optional
        Use only what was known at the close of this session, or at this moment.
    progress : callable, optional
        Told one line per asset and one for each longer step.

    Returns
    -------
    RunSummary

    Raises
    ------
    WeathervaneError
        Whatever an asset raised, or ``E_CHECK`` for a promise that a blocking check refused.
        Earlier exports are untouched.
    """
    from pipeline.instance import is_over, run_history
    from pipeline.partitions import add_sessions, partition_of
    from pipeline.progress import reporting
    from pipeline.turns import end_turn, take_turn

    started = time.monotonic()
    told = {
        "document": settings.model_dump_json(),
        "home": str(home.root),
        "session": partition_of(session) if session else "",
        "as_of": as_of.isoformat() if as_of else "",
    }
    try:
        with run_history(home.dagster) as instance, reporting(progress):
            ended, tell = partial(is_over, instance), progress or logger.info
            take_turn(home, settings.universe, "", ended=ended, tell=tell)
            end_dead_runs(instance)
            ingested = _execute(instance, "ingest", told)
            day = _last_session(told, session)
            if as_of is not None and str(day) < str(as_of)[:10]:
                tell(f"as of {as_of} the last session known here is {day}")
            add_sessions(instance, [day])
            exported = _execute(instance, "daily", {**told, "session": partition_of(day)}, key=day)
    finally:
        end_turn(home, settings.universe)
    summary = _summary(home, settings, day)
    runs = (ingested.run_id, exported.run_id)
    return dataclasses.replace(summary, run_ids=runs, seconds=time.monotonic() - started)


def end_dead_runs(instance: "dg.DagsterInstance") -> list[str]:
    """End the runs of this command whose process is gone: nobody else would before hours.

    Returns
    -------
    list of str
        Their ids.
    """
    ended = stuck_runs(instance)
    for run_id in ended:
        run = instance.get_run_by_id(run_id)
        if run is not None:
            instance.report_run_failed(run, "its process is gone; run again to go on from there")
    return ended


def stuck_runs(instance: "dg.DagsterInstance") -> list[str]:
    """Runs of this command that are recorded as under way while their process is gone."""
    import dagster as dg

    from pipeline.store.commits import lives

    under_way = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    processes = {run.run_id: run.tags.get(PROCESS_TAG) for run in instance.get_runs(under_way)}
    return [run for run, told in processes.items() if told and not lives(json.loads(told))]


def _summary(home: "Home", settings: "Settings", day: date) -> RunSummary:
    """Say what stands in the home now."""
    from pipeline.exports import read_document
    from pipeline.snapshots import Snapshots

    files = Snapshots(home, settings)
    seen = files.current()
    work, document = files.workbench(seen), read_document(home, day)
    return RunSummary(
        session=day,
        universe=seen.universe,
        source=seen.source,
        synthetic=seen.synthetic,
        document=home.parameters / f"{day}.json",
        report=work.report_folder() / "report.html",
        verdicts={name: entry.action for name, entry in document.strategies.items()},
        quarantined=seen.quarantined,
        snapshot=seen.snapshot,
        run_ids=(),
        urls={"tracker": work.values("registered")["url"]},
    )


def _last_session(told: dict[str, str], asked: date | None) -> date:
    """Last session that the ingested bars reach; refuse another one, and too little history."""
    from ml.walkforward import require_history
    from pipeline.partitions import session_of
    from pipeline.resources import SettingsResource, SnapshotsResource

    files = SnapshotsResource(settings=SettingsResource(**told)).open()
    seen = files.current()
    last = session_of(seen.last)
    if asked is not None and asked != last:
        raise DataError(
            f"no bars of session {asked}",
            where=f"the last session up to it is {last}",
            fix=f"give --session {last}, or bars that reach further",
            code="E_SESSION",
        )
    require_history(files.bars(seen, columns=("date",))["date"].n_unique(), files.settings.policy)
    return last


def _execute(
    instance: "dg.DagsterInstance", job: str, told: dict[str, str], *, key: date | None = None
) -> "dg.ExecuteInProcessResult":
    """Run one job here; an asset's error comes out as it was raised."""
    import dagster as dg

    from pipeline.definitions import defs
    from pipeline.jobs import INGEST
    from pipeline.partitions import partition_of
    from pipeline.progress import QUIET, without_echoes
    from pipeline.store.commits import this_process

    made, run_id = defs.resolve_job_def(job), str(uuid.uuid4())
    left_out = set() if key is None else INGEST.resolve(defs.resolve_asset_graph())
    try:
        with without_echoes():
            return made.execute_in_process(
                run_config={"resources": {"settings": {"config": told}}, **QUIET},
                instance=instance,
                partition_key=None if key is None else partition_of(key),
                asset_selection=sorted(made.asset_layer.executable_asset_keys - left_out),
                tags={**TAGS, PROCESS_TAG: json.dumps(this_process())},
                run_id=run_id,
            )
    except dg.Failure as failure:
        if isinstance(failure.__cause__, WeathervaneError):
            raise failure.__cause__ from None
        raise
    except dg.DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None  # Ctrl-C is no fault: no traceback
    except dg.DagsterError as error:
        broken = _broken_promise(instance, run_id)
        if broken is None:
            raise
        raise broken from error


def _broken_promise(instance: "dg.DagsterInstance", run_id: str) -> DataError | None:
    """Error for the first blocking check that refused; none if all of them passed."""
    import dagster as dg

    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        made = entry.get_dagster_event().asset_check_evaluation_data
        if made.blocking and not made.passed and made.severity == dg.AssetCheckSeverity.ERROR:
            return DataError(
                f"check {made.check_name} refused: {made.description}",
                where=f"asset {made.asset_key.to_user_string()}",
                fix="mend the bars or the settings and run again; nothing was exported",
                code="E_CHECK",
            )
    return None
