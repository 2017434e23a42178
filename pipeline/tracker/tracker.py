"""The tracker of one home: research runs in, registered models in and out.

For: what assets and notebooks call. Not for: MLflow's own pages (``make ui`` starts them).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipeline.tracker.client import (
    artifact_root,
    experiment_id,
    open_client,
    speaking,
    tracking_uri,
)
from pipeline.tracker.folder import Loaded, Signature
from pipeline.tracker.registry import (
    CONTENT,
    SESSION,
    UNIVERSE,
    Registered,
    Scope,
    add_version,
    load_earlier,
    load_version,
    move_alias,
)
from pipeline.tracker.runs import FINGERPRINT, PROCESS, Research, find_finished, reap, this_process

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipeline.config import Home, TrackingConfig

logger = logging.getLogger(__name__)

OURS = "weathervane-"
"""How the name of every registered model of ours begins."""
REGIME_MODEL = f"{OURS}regime"
PARAMETERS_MODEL = f"{OURS}parameters"
LOCAL_PAGES = "http://127.0.0.1:5000"
"""Where ``make ui`` shows the runs of a home's own database."""


def fitter_model(strategy: str) -> str:
    """Name of the registered neural fitter of a strategy: each has aliases of its own."""
    return f"{OURS}fitter-{strategy}"


def open_tracker(home: "Home", config: "TrackingConfig", *, pages: str = LOCAL_PAGES) -> "Tracker":
    """Open the tracker that the settings name, and end what killed processes left running.

    A home's first call makes its database, which takes some three seconds; MLflow's import takes
    as long again, once for each process.

    Parameters
    ----------
    pages : str
        Address of MLflow's pages, for links, where no server is set.

    Raises
    ------
    StoreError
        ``E_TRACKER``: it cannot be reached or used.
    """
    uri = tracking_uri(home, config.uri)
    client = open_client(home, uri)
    remote = uri.startswith(("http://", "https://"))
    with speaking(uri):
        artifacts = None if remote else artifact_root(home)
        experiment = experiment_id(client, config.experiment, artifacts=artifacts)
        for run_id in reap(client, experiment):
            logger.warning("run %s: its process was killed, so it was ended", run_id)
    return Tracker(uri, experiment, uri.rstrip("/") if remote else pages, client)


@dataclass(frozen=True)
class Tracker:
    """An open tracker.

    Parameters
    ----------
    uri : str
    experiment : str
        Id of the experiment.
    pages : str
        Address of its pages.
    client : MlflowClient
    """

    uri: str
    experiment: str
    pages: str
    client: "MlflowClient"

    @contextmanager
    def research(
        self, mark: str, *, name: str, tags: Mapping[str, str] | None = None
    ) -> Iterator[Research]:
        """Open a run for one research, or find the one that finished with the same mark.

        It ends FINISHED, FAILED on an error, or KILLED when interrupted.

        Parameters
        ----------
        mark : str
            From :func:`pipeline.tracker.fingerprint`.
        name : str
            Shown in the list of runs.
        tags : mapping of str to str, optional
            For example ``dagster_run_id``.
        """
        with speaking(self.uri):
            known = find_finished(self.client, self.experiment, mark)
        if known is not None:
            yield Research(known, True, self.run_url(known), self.client, self.uri)
            return
        with speaking(self.uri):
            given = {**(tags or {}), FINGERPRINT: mark, PROCESS: this_process()}
            run = self.client.create_run(self.experiment, tags=given, run_name=name)
        run_id = run.info.run_id
        status = "KILLED"
        try:
            yield Research(run_id, False, self.run_url(run_id), self.client, self.uri)
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            with speaking(self.uri):
                self.client.set_terminated(run_id, status=status)

    def register(
        self,
        name: str,
        run_id: str,
        *,
        arrays: Mapping[str, Any],
        config: Mapping[str, Any],
        signature: Signature,
        tags: Mapping[str, str],
        promoted: bool,
        scope: Scope,
    ) -> Registered:
        """Register a model's content and set the alias that the verdict asks for.

        Parameters
        ----------
        name : str
            ``REGIME_MODEL``, ``PARAMETERS_MODEL`` or that of :func:`fitter_model`.
        run_id : str
            Run that made it and keeps its files.
        arrays : mapping of str to ndarray
            Weights.
        config : mapping
            Plain values without NaN or infinity.
        signature : Signature
        tags : mapping of str to str
            Data snapshot, code revision, trial count, evidence. A version that is there already
            keeps the tags it was made with.
        promoted : bool
            Whether the gate promoted it.
        scope : Scope
            An alias moves forward in sessions only; the version is tagged with the last one.
        """
        with speaking(self.uri):
            found, created = add_version(
                self.client,
                name,
                uri=self.uri,
                run_id=run_id,
                arrays=arrays,
                config=config,
                signature=signature,
                tags={**tags, UNIVERSE: scope.universe, SESSION: scope.session},
            )
            version = int(found.version)
            alias, note = move_alias(self.client, name, version, promoted=promoted, scope=scope)
        if note:
            logger.warning("%s version %d: %s", name, version, note)
        digest = found.tags[CONTENT]
        url = self.model_url(name, version)
        return Registered(name, version, alias, found.run_id, digest, created, url, note)

    def load_model(self, name: str, alias: str) -> Loaded:
        """Load the version that an alias names, as arrays and plain values; no code runs.

        Raises
        ------
        StoreError
            ``E_MODEL``, ``E_MODEL_UNSAFE`` or ``E_CORRUPT``.
        """
        with speaking(self.uri):
            return load_version(self.client, name, alias, uri=self.uri)

    def load_before(self, name: str, scope: Scope) -> Loaded | None:
        """Load the last version that was registered for an earlier session of a universe, if any.

        Raises
        ------
        StoreError
            ``E_MODEL_UNSAFE`` or ``E_CORRUPT``.
        """
        with speaking(self.uri):
            return load_earlier(self.client, name, scope, uri=self.uri)

    def run_url(self, run_id: str) -> str:
        """Page of a run."""
        return f"{self.pages}/#/experiments/{self.experiment}/runs/{run_id}"

    def model_url(self, name: str, version: int) -> str:
        """Page of a model's version."""
        return f"{self.pages}/#/models/{quote(name)}/versions/{version}"
