"""Reading what a person or a program hands in: Parquet as it is, CSV by the contract's types."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import IO

import dataframely as dy
import polars as pl
from polars.exceptions import PolarsError

from mlops_assets.errors import BatchRefusedError
from mlops_assets.windows import Windows

READABLE = (".parquet", ".csv")


def read(file: Path, contract: type[dy.Schema]) -> pl.LazyFrame:
    """Open a file lazily.

    CSV has no types: each column that the contract knows is read as the contract's type. A time
    that names no zone is of the contract's zone; a boolean is `true` or `false`.

    Raises:
        BatchRefusedError: no such file, an unknown ending, or a content that can't be read.

    """
    if not file.is_file():
        raise BatchRefusedError(f"no file {file}")
    if file.suffix not in READABLE:
        raise BatchRefusedError(f"{file.name}: only {' and '.join(READABLE)} can be landed")
    try:
        if file.suffix == ".parquet":
            frame = pl.scan_parquet(file)
            frame.collect_schema()
            return frame
        return _typed(pl.scan_csv(file, infer_schema=False), contract)
    except (PolarsError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BatchRefusedError(f"{file.name} can't be read: {reason}") from error


def window_of(file: Path, frame: pl.LazyFrame, windows: Windows, time: str) -> str:
    """Say to which window a file belongs: by its name, else by most of its rows.

    Raises:
        BatchRefusedError: neither says it.

    """
    if windows.declares(file.stem):
        return file.stem
    most = rows_by_window(file, frame, windows, time).drop_nulls("window")
    if most.is_empty():
        raise BatchRefusedError(
            f"{file.name} has no rows that say which window it is; {_hint(file, windows)}"
        )
    return str(most.sort("len", "window", descending=[True, False])["window"][0])


def rows_by_window(file: Path, frame: pl.LazyFrame, windows: Windows, time: str) -> pl.DataFrame:
    """Count a file's rows by window, as `window` (null: without a time) and `len`, sorted.

    Raises:
        BatchRefusedError: it has no such time column, or one without a zone.

    """
    dtype = frame.collect_schema().get(time)
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
        raise BatchRefusedError(
            f"{file.name}: no time column `{time}` with a zone says which window it is; "
            f"{_hint(file, windows)}"
        )
    return (
        frame.select(windows.expression(time).alias("window"))
        .group_by("window")
        .len()
        .collect(engine="streaming")
        .sort("window")
    )


def _hint(file: Path, windows: Windows) -> str:
    return f"name the file after its window, as {windows.start}{file.suffix}, or give --window"


def _typed(frame: pl.LazyFrame, contract: type[dy.Schema]) -> pl.LazyFrame:
    there = frame.collect_schema().names()
    expressions = []
    for name, column in contract.columns().items():
        if name not in there:
            continue
        dtype = column.dtype
        if isinstance(dtype, pl.Datetime | pl.Date | pl.Time):
            expressions.append(
                # piece by piece: told no format, Polars would collect the whole column to find one
                pl.col(name).map_batches(
                    partial(_parsed, dtype=dtype), return_dtype=dtype, is_elementwise=True
                )
            )
        elif dtype == pl.Boolean:
            truth = pl.col(name).str.to_lowercase()
            expressions.append(
                truth.replace_strict({"true": True, "false": False}, return_dtype=pl.Boolean)
            )
        elif dtype != pl.String:
            expressions.append(pl.col(name).cast(dtype))
    typed = frame.with_columns(expressions)
    # the cast is strict and ragged lines are an error, but only in a column that is read: find out
    # now, where it can be said which file it is
    typed.select(pl.all().count()).collect(engine="streaming")
    return typed


def _parsed(texts: pl.Series, dtype: pl.Datetime | pl.Date | pl.Time) -> pl.Series:
    if isinstance(dtype, pl.Datetime):
        # a text that names a zone is converted, one that names none is of the contract's
        return texts.str.to_datetime(time_unit=dtype.time_unit, time_zone=dtype.time_zone)
    return texts.str.to_date() if isinstance(dtype, pl.Date) else texts.str.to_time()


def checksum(content: Path | bytes) -> str:
    """Return the SHA-256 of a file, read piece by piece, or of bytes, in hex."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_parquet(frame: pl.LazyFrame, target: Path | IO[bytes]) -> None:
    """Stream a window's rows into a Parquet file; the same rows give the same bytes."""
    frame.sink_parquet(target, compression="zstd", row_group_size=262_144, maintain_order=True)
