"""Research runs: one for each distinct research, with what went in and what came out.

For: starting, filling and ending a run, reusing the run of the same research, and ending the runs
of killed processes. Not for: models (``registry``).
"""

import hashlib
import json
import math
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.publish import publish_bytes
from pipeline.tracker.client import speaking

if TYPE_CHECKING:
    from mlflow import MlflowClient

FINGERPRINT = "weathervane.fingerprint"
PROCESS = "weathervane.process"
UNDEFINED = "weathervane.undefined_metrics"
DAGSTER_RUN = "dagster_run_id"

_PARAMS_A_CALL = 100
_METRICS_A_CALL = 1000
_LONGEST_PARAM = 5900
_LONGEST_TAG = 4900


def fingerprint(**parts: str) -> str:
    """Hash what defines a research: snapshot, settings, code.

    Examples
    --------
    >>> fingerprint(snapshot="a", code="b") == fingerprint(code="b", snapshot="a")
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def this_process() -> str:
    """Name this process so that it cannot be mistaken for a later one of the same number."""
    return process_name(os.getpid()) or ""


def process_name(pid: int) -> str | None:
    """Host, number and start of a process; none if it is gone."""
    import psutil

    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        return None
    return f"{socket.gethostname()}/{pid}/{started:.2f}"


def is_gone(name: str) -> bool:
    """Say whether a process of this host has ended; of other hosts nobody knows."""
    host, _, rest = name.rpartition("/")[0].rpartition("/")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    return process_name(int(rest)) != name


@dataclass(frozen=True)
class Research:
    """One run; after the same research has finished once, writing to it again changes nothing.

    Parameters
    ----------
    run_id : str
    reused : bool
        Whether the run of an earlier, equal research was found.
    url : str
        Its page.
    client : MlflowClient
    uri : str
        Of the tracker.
    """

    run_id: str
    reused: bool
    url: str
    client: "MlflowClient"
    uri: str

    def params(self, values: Mapping[str, Any]) -> None:
        """Log what went in; nested settings become dotted names."""
        from mlflow.entities import Param

        flat = [Param(n, _text(v)[:_LONGEST_PARAM]) for n, v in flattened(values)]
        self._batches(flat, _PARAMS_A_CALL, "params")

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Log what came out; names of values that do not exist go into a tag."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        flat = list(flattened(values))
        known = [(n, float(v)) for n, v in flat if _is_number(v)]
        self._batches([Metric(n, v, now, 0) for n, v in known], _METRICS_A_CALL, "metrics")
        missing = sorted({n for n, _ in flat} - {n for n, _ in known})
        if missing:
            self.tags({UNDEFINED: ", ".join(missing)})

    def curves(self, dates: Sequence[date], curves: Mapping[str, Sequence[float]]) -> None:
        """Log curves over sessions, for example equity by variant; ``[time]`` each."""
        from mlflow.entities import Metric

        stamps = [(d - date(1970, 1, 1)).days * 86_400_000 for d in dates]
        points = [
            Metric(name, float(value), stamp, step)
            for name, values in curves.items()
            for step, (stamp, value) in enumerate(zip(stamps, values, strict=True))
            if _is_number(value)
        ]
        self._batches(points, _METRICS_A_CALL, "metrics")

    def epochs(self, curves: Mapping[str, Sequence[float | None]]) -> None:
        """Log curves over epochs of a training; what an epoch did not measure is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [
            Metric(name, float(value), now, step)
            for name, values in curves.items()
            for step, value in enumerate(values, start=1)
            if value is not None and _is_number(value)
        ]
        self._batches(points, _METRICS_A_CALL, "metrics")

    def tags(self, values: Mapping[str, Any]) -> None:
        """Tag the run."""
        from mlflow.entities import RunTag

        tags = [RunTag(n, _text(v)[:_LONGEST_TAG]) for n, v in values.items()]
        self._batches(tags, _PARAMS_A_CALL, "tags")

    def note(self, text: str) -> None:
        """Describe the run in Markdown on its page, for example with a link to Dagster's run."""
        self.tags({"mlflow.note.content": text})

    def files(self, contents: Mapping[str, bytes | str | Path]) -> None:
        """Keep files by relative path, each with its SHA-256: bytes, text, or a file to copy.

        Where an earlier, equal run was found, only those that are gone from it.
        """
        with tempfile.TemporaryDirectory() as folder, speaking(self.uri):
            held = self._held(contents) if self.reused else set()
            missing = {name: content for name, content in contents.items() if name not in held}
            for name, content in missing.items():
                if isinstance(content, Path):
                    content = content.read_bytes()
                whole = content if isinstance(content, bytes) else content.encode()
                publish_bytes(Path(folder, name), whole)
            if missing:
                self.client.log_artifacts(self.run_id, folder)

    def _held(self, names: Iterable[str]) -> set[str]:
        """Paths of the files that the run holds in the folders of some names."""
        folders = {Path(name).parent.as_posix() for name in names}
        listed = [
            self.client.list_artifacts(self.run_id, None if folder == "." else folder)
            for folder in sorted(folders)
        ]
        return {str(one.path) for found in listed for one in found}

    def figures(self, pictures: Mapping[str, bytes]) -> None:
        """Keep PNG pictures by name, under ``figures/``."""
        self.files({f"figures/{name}.png": png for name, png in pictures.items()})

    def dataset(
        self, name: str, *, snapshot: str, path: Path, rows: int, columns: Mapping[str, str]
    ) -> None:
        """Log the bars that were read.

        Parameters
        ----------
        name : str
            Universe.
        snapshot : str
            Content hash; the page shows its first 36 digits.
        path : pathlib.Path
            Published file.
        rows : int
        columns : mapping of str to str
            MLflow type (``string``, ``double``, ``datetime``, ...) by column.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if self.reused:
            return
        specs = [{"type": kind, "name": n, "required": True} for n, kind in columns.items()]
        entity = Dataset(
            name=name,
            digest=snapshot[:36],
            source_type="local",
            source=json.dumps({"uri": str(path)}),
            schema=json.dumps({"mlflow_colspec": specs}),
            profile=json.dumps({"num_rows": rows, "snapshot": snapshot}),
        )
        tags = [InputTag("mlflow.data.context", "training")]
        with speaking(self.uri):
            self.client.log_inputs(self.run_id, [DatasetInput(entity, tags)])

    def _batches(self, items: list[Any], size: int, kind: str) -> None:
        if self.reused:
            return
        with speaking(self.uri):
            for first in range(0, len(items), size):
                self.client.log_batch(self.run_id, **{kind: items[first : first + size]})


def flattened(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Pairs of dotted name and value.

    Examples
    --------
    >>> flattened({"a": {"b": 1}, "c": 2})
    [('a.b', 1), ('c', 2)]
    """
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flattened(value, f"{before}{name}.")
        else:
            pairs.append((f"{before}{name}", value))
    return pairs


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_number(value: Any) -> bool:
    """Say whether a value exists and is finite."""
    return value is not None and math.isfinite(float(value))


def find_finished(client: "MlflowClient", experiment: str, mark: str) -> str | None:
    """Id of a finished run of the same research."""
    found = client.search_runs(
        [experiment],
        filter_string=f"tags.`{FINGERPRINT}` = '{mark}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time asc"],
        max_results=1,
    )
    return str(found[0].info.run_id) if found else None


def reap(client: "MlflowClient", experiment: str) -> list[str]:
    """End the runs that killed processes of this host left running.

    Returns
    -------
    list of str
        Their ids; each is now KILLED.
    """
    ended = []
    for run in client.search_runs([experiment], filter_string="attributes.status = 'RUNNING'"):
        if is_gone(run.data.tags.get(PROCESS, "")):
            client.set_terminated(run.info.run_id, status="KILLED")
            ended.append(str(run.info.run_id))
    return ended
