"""Files that a person hands in, and folders of results that they get back.

For: JSON and CSV files read with one clear line for what is wrong in them, and results written
whole or not at all. Not for: bars (``backtest.market.bars``) or the home (``pipeline.home``).
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import DataError, ParameterError

if TYPE_CHECKING:
    import polars as pl


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    DataError
        ``E_JSON``: no such file, or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            "no such file", where=str(path), fix="check the path", code="E_JSON"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"not JSON: {error}", where=str(path), fix="mend the file", code="E_JSON"
        ) from None


def json_argument(text: str) -> Any:
    """Read JSON given on the command line, or ``@FILE``.

    Raises
    ------
    ParameterError
        The text is not JSON.
    """
    if text.startswith("@"):
        return read_json(Path(text[1:]))
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ParameterError(
            f"not JSON: {error}", where=text[:60], fix='write {"name": value} or @FILE'
        ) from None


def results_folder(path: Path) -> Path:
    """Make the folder for results.

    Raises
    ------
    DataError
        ``E_OUT``: it cannot be made or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None
    if not os.access(path, os.W_OK):
        raise _unwritable(path, PermissionError("no right to write"))
    return path


def model_folder(path: Path, model: str) -> Path:
    """Make the folder for a trained model, and refuse one that holds a model of another kind.

    Parameters
    ----------
    path : pathlib.Path
    model : str
        What ``config.json`` calls the kind.

    Raises
    ------
    DataError
        ``E_OUT``: the folder cannot be made or written, or what is kept there would be lost.
    """
    folder = results_folder(path)
    held = model_in(folder)
    if held not in ("", model):
        raise DataError(
            f"the folder holds a model of another kind, {held}",
            where=str(folder),
            fix="give another folder",
            code="E_OUT",
        )
    return folder


def model_in(folder: Path) -> str:
    """The kind of the model that a folder holds; empty where it says none."""
    from ml.weights import CONFIG

    try:
        return str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def result_file(path: Path, suffix: str) -> Path:
    """Make the folder of one file of results, before anything is computed.

    Raises
    ------
    DataError
        ``E_OUT``: its name ends otherwise than in ``suffix``, or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise DataError(
            f"the file is written in the form of {suffix[1:]}",
            where=str(path),
            fix=f"give a name that ends in {suffix}",
            code="E_OUT",
        )
    results_folder(path.parent)
    if path.is_dir():
        raise _unwritable(path, IsADirectoryError("a folder"))
    return path


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all; keys stay in their order, NaN is refused."""
    text = json.dumps(value, indent=2, default=str, allow_nan=False, ensure_ascii=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write text, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes, whole or not at all."""
    with _replacing(path) as fresh:
        fresh.write_bytes(content)


def write_parquet(path: Path, frame: "pl.DataFrame") -> None:
    """Write a frame as Parquet, whole or not at all."""
    with _replacing(path) as fresh:
        frame.write_parquet(fresh)


def write_parquet_parts(
    path: Path, parts: "Iterable[pl.DataFrame]", *, place: Callable[[int], int] = int
) -> None:
    """Write frames as one Parquet file, whole or not at all.

    They are not held in memory together: each goes to a file of its own first. ``place`` says,
    of the number of a frame in ``parts``, where among the others it stands.
    """
    import polars as pl

    folder = path.with_name(f".{path.name}.{os.getpid()}.parts")
    try:
        with _replacing(path) as fresh:
            folder.mkdir()
            count = 0
            for part in parts:
                part.write_parquet(folder / f"{place(count)}.parquet")
                count += 1
            # Names one by one: a pattern would read brackets in the user's path as its own.
            files = [folder / f"{number}.parquet" for number in range(count)]
            pl.scan_parquet(files, glob=False).sink_parquet(fresh)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Hand out a fresh file beside ``path``, which takes its place once it is written."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield fresh
        fresh.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        fresh.unlink(missing_ok=True)


def write_csv(path: Path, frame: "pl.DataFrame") -> None:
    """Write a frame as CSV, whole or not at all."""
    write_text(path, frame.write_csv())


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot be written ({error.strerror or error})",
        where=str(path),
        fix="give another folder or make room",
        code="E_OUT",
    )
