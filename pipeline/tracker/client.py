"""Opening MLflow: quietly, once, and with errors a person can act on.

For: the environment it is imported under, the database's first set-up under a lock, and the
experiment. Not for: runs (``runs``) or models (``registry``).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import StoreError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipeline.config.home import Home

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
WAIT_S = 60.0
"""How long a process waits while another makes the database, seconds."""

FORCED = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
PREFERRED = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def tracking_uri(home: "Home", uri: str | None = None) -> str:
    """Address of the tracker: the setting, else a database under the home."""
    return uri or f"sqlite:///{home.mlflow / DATABASE}"


def artifact_root(home: "Home") -> str:
    """Address of the folder that holds the artifacts of a home's own database."""
    return (home.mlflow / ARTIFACTS).as_uri()


def prepare_environment() -> None:
    """Turn telemetry and pickles off, and long waits down; before MLflow is imported."""
    os.environ.update(FORCED)
    for name, value in PREFERRED.items():
        os.environ.setdefault(name, value)


def shown(uri: str) -> str:
    """Write an address without the name and password that it may carry."""
    return re.sub(r"(?<=//)[^/@]*@", "", uri)


@contextmanager
def speaking(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one line.

    Raises
    ------
    StoreError
        ``E_TRACKER``: the server does not answer, the database cannot be used, or the call was
        refused.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        said = str(getattr(error, "message", error)).strip() or type(error).__name__
        cause = shown(said.splitlines()[0])[:200]
        raise StoreError(
            f"the tracker does not work ({cause})",
            where=shown(uri),
            fix="start the server, or mend tracking.uri, or move the database away; then run again",
            code="E_TRACKER",
        ) from error


def open_client(home: "Home", uri: str) -> "MlflowClient":
    """Open a client; a new database is made once, however many processes ask.

    Raises
    ------
    StoreError
        ``E_TRACKER``, as :func:`speaking` says.
    """
    prepare_environment()
    from mlflow import MlflowClient

    with speaking(uri):
        if not uri.startswith("sqlite:"):
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
            return client
        with _alone(home.mlflow):
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
        return client


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from making the database at the same time."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".mlflow.lock", timeout=WAIT_S)
    try:
        lock.acquire()
    except Timeout:
        raise StoreError(
            "another process is making the tracker's database",
            where=str(folder),
            fix="wait until it ends, or end it, and run again",
            code="E_TRACKER",
        ) from None
    try:
        yield
    finally:
        lock.release()


def experiment_id(client: "MlflowClient", name: str, *, artifacts: str | None) -> str:
    """Id of an experiment, which is made where it is missing.

    Parameters
    ----------
    artifacts : str, optional
        Address of its artifacts; a server chooses its own.

    Raises
    ------
    StoreError
        ``E_TRACKER``: it was deleted in the pages.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise StoreError(
            f"the experiment {name!r} was deleted",
            where="tracker",
            fix="restore it, or set another tracking.experiment",
            code="E_TRACKER",
        )
    return str(found.experiment_id)
