"""One hash for what a run saw.

For: naming a set of bars by its content, whatever the order of its rows or the machine. Not for:
files, whose bytes have their own SHA-256.
"""

import hashlib
import struct

import numpy as np
import polars as pl


def content_hash(frame: pl.DataFrame, *, key: tuple[str, ...] = ("symbol", "date")) -> str:
    """SHA-256 over the frame's columns by name, its rows sorted by ``key``.

    Numbers count as float64 (a missing one apart from every value, -0 as 0), dates as days, and
    strings with their lengths, so equal content gives an equal hash.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns of numbers, dates, booleans and strings.
    key : tuple of str
        Columns that identify a row.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    ordered = frame.sort(key)
    digest = hashlib.sha256(struct.pack("<q", ordered.height))
    for name in sorted(ordered.columns):
        column = ordered[name]
        digest.update(f"/{name}/".encode())
        digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        digest.update(_bytes_of(column))
    return digest.hexdigest()


def _bytes_of(column: pl.Series) -> bytes:
    """Values of a column as bytes that depend on nothing but them."""
    if column.dtype == pl.String:
        filled = column.fill_null("")
        lengths = filled.str.len_bytes().cast(pl.Int64).to_numpy().astype("<i8")
        return lengths.tobytes() + str(filled.str.join("").item()).encode()
    if column.dtype == pl.Date:
        return column.cast(pl.Int32).fill_null(0).to_numpy().astype("<i4").tobytes()
    numbers = column.cast(pl.Float64).fill_null(0.0).to_numpy().astype("<f8")
    return (numbers + 0.0).tobytes()
