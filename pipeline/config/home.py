"""Where a project keeps what it makes: one folder with a fixed layout.

For: finding that folder (option, environment, project) and naming the places inside it; light, so
that every command may import it. Not for: writing files (``publish``) or the database (``store``).
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backtest.errors import StoreError

HOME_VARIABLE = "WEATHERVANE_HOME"
HOME_FOLDER = ".weathervane"


@dataclass(frozen=True)
class Home:
    """The folders of one home.

    Parameters
    ----------
    root : pathlib.Path
        Absolute.
    """

    root: Path

    @property
    def store(self) -> Path:
        """Database, lock and migration state."""
        return self.root / "store"

    @property
    def database(self) -> Path:
        """The one DuckDB file; only ``pipeline.store`` opens it."""
        return self.store / "weathervane.duckdb"

    @property
    def snapshots(self) -> Path:
        """Published Parquet files of what a run saw and computed."""
        return self.root / "snapshots"

    @property
    def truth(self) -> Path:
        """Planted truth of synthetic markets; read by proofs alone."""
        return self.root / "truth"

    @property
    def exports(self) -> Path:
        """Ledger of the exported documents."""
        return self.root / "exports"

    @property
    def parameters(self) -> Path:
        """Exported parameter documents."""
        return self.exports / "parameters"

    @property
    def reports(self) -> Path:
        """Reports as Markdown and HTML, with their plots."""
        return self.root / "reports"

    @property
    def proofs(self) -> Path:
        """What was proven of the running code."""
        return self.root / "proofs"

    @property
    def backups(self) -> Path:
        """Copies of the database."""
        return self.root / "backups"

    @property
    def dagster(self) -> Path:
        """Run history of the orchestrator."""
        return self.root / "dagster"

    @property
    def mlflow(self) -> Path:
        """Database and artifacts of the tracker."""
        return self.root / "mlflow"

    def folders(self) -> tuple[Path, ...]:
        """All folders, in the order in which they are made."""
        return (
            self.store,
            self.snapshots,
            self.truth,
            self.parameters,
            self.reports,
            self.proofs,
            self.backups,
            self.dagster,
            self.mlflow,
        )


def home_of(option: str | Path | None = None) -> Path:
    """Say which folder is home: the option, else ``$WEATHERVANE_HOME``, else the project's own.

    The project is the nearest folder, from the current one upwards, that holds this project's
    ``dagster.yaml``; without one, the current folder. Nothing is made.

    Returns
    -------
    pathlib.Path
        Absolute.
    """
    if option:
        return Path(option).expanduser().resolve()
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dagster.yaml").is_file() and (folder / "pipeline").is_dir():
            return folder / HOME_FOLDER
    return here / HOME_FOLDER


def open_home(option: str | Path | None = None) -> Home:
    """Find the home, make its folders where missing, and prove that they can be written.

    Raises
    ------
    StoreError
        ``E_HOME``: a folder cannot be made, or a file cannot be written in it.
    """
    home = Home(home_of(option))
    for folder in home.folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise StoreError(
                f"the home cannot be written ({error.strerror or error})",
                where=str(folder),
                fix=f"give a writable folder by --home or ${HOME_VARIABLE}",
                code="E_HOME",
            ) from None
    return home
