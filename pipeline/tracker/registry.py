"""Registered models: versions by content, aliases by verdict.

For: registering, moving ``champion`` and ``challenger``, loading. Not for: whether something is
promoted, which the gate says.
"""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import StoreError
from pipeline.tracker.folder import (
    Loaded,
    Signature,
    content_sha256,
    encode_content,
    read_folder,
    write_folder,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

CHAMPION = "champion"
CHALLENGER = "challenger"
CONTENT = "content_sha256"
DESCRIBED = "description_sha256"
UNIVERSE = "universe"
SESSION = "session"


@dataclass(frozen=True)
class Scope:
    """What a version speaks of: a universe, and the last session that its research saw (ISO)."""

    universe: str
    session: str


@dataclass(frozen=True)
class Registered:
    """One version of a registered model.

    Parameters
    ----------
    name : str
    version : int
    alias : str, optional
        The alias it has now; none where a later version took it.
    run_id : str, optional
        Run that made it.
    content_sha256 : str
    created : bool
        False where a version of equal content was there already.
    url : str
        Its page.
    note : str
        What a person should know of the alias; mostly nothing.
    """

    name: str
    version: int
    alias: str | None
    run_id: str | None
    content_sha256: str
    created: bool
    url: str
    note: str = ""


def add_version(
    client: "MlflowClient",
    name: str,
    *,
    uri: str,
    run_id: str,
    arrays: Mapping[str, Any],
    config: Mapping[str, Any],
    signature: Signature,
    tags: Mapping[str, str],
) -> tuple["ModelVersion", bool]:
    """Find the version of this content and see to its files, or add one, kept in the run.

    Returns
    -------
    version : ModelVersion
    created : bool
    """
    _ensure_model(client, name)
    weights, settings = encode_content(arrays, config)
    digest = content_sha256(weights, settings)
    known = client.search_model_versions(f"name = '{name}' and tag.{CONTENT} = '{digest}'")
    found = max(known, key=lambda one: int(one.version), default=None)
    if found is not None and _is_whole(found, uri=uri):
        return found, False
    # The files of a version that were damaged are written anew where they were.
    holder, place = (found.run_id if found else None) or run_id, f"models/{name}"
    with tempfile.TemporaryDirectory() as folder:
        described = write_folder(
            Path(folder), weights, settings, signature=signature, run_id=holder
        )
        client.log_artifacts(holder, folder, artifact_path=place)
    if found is not None:
        client.set_model_version_tag(name, found.version, DESCRIBED, described)
        return found, False
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
    given = {**tags, CONTENT: digest, DESCRIBED: described}
    made = client.create_model_version(
        name, source, run_id=run_id, tags=given, await_creation_for=0
    )
    return made, True


def _is_whole(version: "ModelVersion", *, uri: str) -> bool:
    """Say whether the files of a version are those that were registered."""
    from mlflow.exceptions import MlflowException

    try:
        _read(version, uri=uri, where=f"{version.name} version {version.version}")
    except (StoreError, MlflowException, OSError) as error:
        logger.warning("registered anew (%s)", error)
        return False
    return True


def _ensure_model(client: "MlflowClient", name: str) -> None:
    """Make the registered model where it is missing; another process may be faster."""
    from mlflow.exceptions import MlflowException

    if client.search_registered_models(f"name = '{name}'", max_results=1):
        return
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)


def move_alias(
    client: "MlflowClient", name: str, version: int, *, promoted: bool, scope: Scope
) -> tuple[str | None, str]:
    """Set the alias that a verdict asks for, unless a later session of the same universe has it.

    A promoted version becomes ``champion``, and is no longer ``challenger``. Any other becomes
    ``challenger``, unless it is the champion already. Research of an older session, run again, is
    registered, but takes nothing from what came after it.

    Returns
    -------
    alias : str or None
        What the version has now.
    note : str
        What a person should know of the alias; mostly nothing.
    """
    held = {
        alias: int(number) for alias, number in client.get_registered_model(name).aliases.items()
    }
    alias = CHAMPION if promoted or held.get(CHAMPION) == version else CHALLENGER
    note = ""
    if held.get(alias) not in (None, version):
        tags = client.get_model_version(name, str(held[alias])).tags
        if tags.get(UNIVERSE) == scope.universe and tags.get(SESSION, "") > scope.session:
            note = f"{alias} stays with version {held[alias]} of {tags[SESSION]}"
            return next((one for one, number in held.items() if number == version), None), note
        if tags.get(UNIVERSE) not in (None, scope.universe):
            note = f"{alias} taken over from {tags[UNIVERSE]}"
    if held.get(alias) != version:
        client.set_registered_model_alias(name, alias, str(version))
    if promoted and held.get(CHALLENGER) == version:
        client.delete_registered_model_alias(name, CHALLENGER)
    known = client.get_model_version(name, str(version)).tags
    if known.get(UNIVERSE) != scope.universe or known.get(SESSION, "") < scope.session:
        for tag, value in ((UNIVERSE, scope.universe), (SESSION, scope.session)):
            client.set_model_version_tag(name, str(version), tag, value)
    return alias, note


def load_version(client: "MlflowClient", name: str, alias: str, *, uri: str) -> Loaded:
    """Download the version that an alias names, check it, and read it.

    Raises
    ------
    StoreError
        ``E_MODEL``: no such model or alias. ``E_MODEL_UNSAFE``, ``E_CORRUPT``: see
        :func:`pipeline.tracker.folder.read_folder`.
    """
    found = _version_of(client, name, alias)
    arrays, config = _read(found, uri=uri, where=f"{name}@{alias} version {found.version}")
    tags = dict(found.tags)
    return Loaded(arrays, config, name, int(found.version), found.run_id, tags)


def load_earlier(client: "MlflowClient", name: str, scope: Scope, *, uri: str) -> Loaded | None:
    """Read the last version that speaks of a universe before a session; none where there is none.

    Raises
    ------
    StoreError
        As :func:`load_version`.
    """
    own = client.search_model_versions(f"name = '{name}' and tag.{UNIVERSE} = '{scope.universe}'")
    earlier = [one for one in own if "" < one.tags.get(SESSION, "") < scope.session]
    if not earlier:
        return None
    found = max(earlier, key=lambda one: (one.tags[SESSION], int(one.version)))
    arrays, config = _read(found, uri=uri, where=f"{name} version {found.version}")
    return Loaded(arrays, config, name, int(found.version), found.run_id, dict(found.tags))


def _read(
    version: "ModelVersion", *, uri: str, where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Download the files of a version and read them, each hash checked."""
    from mlflow.artifacts import download_artifacts

    tags = version.tags
    with tempfile.TemporaryDirectory() as folder:
        path = download_artifacts(artifact_uri=version.source, dst_path=folder, tracking_uri=uri)
        return read_folder(
            Path(path), sha256=tags.get(CONTENT, ""), described=tags.get(DESCRIBED), where=where
        )


def _version_of(client: "MlflowClient", name: str, alias: str) -> "ModelVersion":
    models = client.search_registered_models(f"name = '{name}'", max_results=1)
    aliases = dict(models[0].aliases) if models else {}
    if alias not in aliases:
        known = ", ".join(sorted(aliases)) or "none"
        raise StoreError(
            f"no model {name}@{alias}",
            where=f"aliases of {name}: {known}" if models else "registered models",
            fix="`weathervane run` registers some, `weathervane fit --home` a fitter",
            code="E_MODEL",
        )
    return client.get_model_version(name, str(aliases[alias]))
