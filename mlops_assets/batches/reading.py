"""Reading what a person or a program hands in: Parquet and CSV, by the contract's types."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote

import polars as pl
from polars.exceptions import PolarsError

from mlops_assets.batches.casting import conform
from mlops_assets.batches.text import names_in, scan_text, whole_lines
from mlops_assets.declaration.sections import Files
from mlops_assets.declaration.windows import Windows
from mlops_assets.errors import BatchRefusedError
from mlops_assets.words import counted

if TYPE_CHECKING:
    import dataframely as dy

#: endings of the files that can be landed
READABLE = (".parquet", ".pq", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
_PARQUET = (".parquet", ".pq")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # Hive's name for the folder of nulls


@dataclass(frozen=True)
class Opened:
    """A file's rows, with the contract's types as far as nothing is lost.

    `notes` say what was converted; `problems` (by column) what could not be. Where nothing was,
    the file `as_is` holds exactly these rows.
    """

    frame: pl.LazyFrame
    notes: tuple[str, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)
    as_is: bool = False


def ending(file: Path | PurePath) -> str | None:
    """Return a file's ending, of those that can be landed; None: it has no such one."""
    name = file.name.lower()
    return next((one for one in sorted(READABLE, key=len)[::-1] if name.endswith(one)), None)


def stem(file: Path | PurePath) -> str:
    """Return a file's name without its ending."""
    return file.name[: -len(ending(file) or "") or None]


def scan(file: Path | str, storage_options: Mapping[str, str | int] | None = None) -> pl.LazyFrame:
    """Open one Parquet file lazily, whatever its name: no part of it is taken for a pattern."""
    return pl.scan_parquet(
        file,
        storage_options=dict(storage_options or {}) or None,
        glob=False,
        hive_partitioning=False,
    )


def row_count(frame: pl.LazyFrame) -> int:
    """Count a frame's rows."""
    return int(frame.select(pl.len()).collect(engine="streaming").item())


def read(
    file: Path,
    contract: type[dy.Schema],
    files: Files | None = None,
    zone: str = "UTC",
    *,
    name: str | None = None,
) -> Opened:
    """Open a file lazily, with the contract's names and types where nothing is lost by it.

    Columns that stand in the names of its folders (`plan=free/`) are added if the contract has
    them and the file has not.

    Args:
        file: Parquet, or CSV, which may be packed.
        contract: the dataframely schema.
        files: how the declaration says that files are read.
        zone: the windows' time zone.
        name: the path by which people know the file, if it is another.

    Raises:
        BatchRefusedError: no such file, an unknown ending, larger than declared, or a content that
            can't be read.

    """
    files = files or Files()
    frame, text = _raw(file, files, contract.column_names())
    with _told(file):
        frame, added = _with_folders(frame, contract, PurePath(name or file.absolute()))
        found = conform(frame, contract, files, zone, text=text)
    notes = (*added, *found.notes)
    return Opened(found.frame, notes, found.problems, as_is=not text and not notes)


def columns_of(file: Path, files: Files, known: Collection[str]) -> list[str]:
    """Return the names of a file's columns.

    Raises:
        BatchRefusedError: as for `read`.

    """
    text = _is_text(file, files)
    with _told(file):
        return names_in(file, files, known) if text else scan(file).collect_schema().names()


def _raw(file: Path, files: Files, known: Collection[str]) -> tuple[pl.LazyFrame, bool]:
    """Open a file lazily as it is, its rows tried and counted; also say whether it is text."""
    text = _is_text(file, files)
    with _told(file):
        frame = scan_text(file, files, known) if text else scan(file)
        # ragged lines are an error, but only where each column is read: find out now
        columns = [pl.all().count().name.prefix("count of ")] if text else []
        tallied = frame.select(pl.len(), *columns).collect(engine="streaming").row(0)
        rows, of_last_column = int(tallied[0]), int(tallied[-1])
        if rows > files.max_rows:
            raise BatchRefusedError(
                f"it has {counted(rows, 'row')}; files.max_rows declares {files.max_rows:,} as the most"
            )
        if text and of_last_column < rows:  # a line that is too short lacks the last of its fields
            whole_lines(file, files, known)
    return frame, text


def _is_text(file: Path, files: Files) -> bool:
    """Say whether a file is text, of those that can be landed."""
    if not file.is_file():
        raise BatchRefusedError(f"no file {file}")
    kind = ending(file)
    if kind is None:
        raise BatchRefusedError(
            f"{file.name}: only .parquet and .csv can be landed (or .pq, .tsv, .csv.gz, .tsv.gz)"
        )
    with _told(file):
        if (size := file.stat().st_size) > files.max_bytes:
            raise BatchRefusedError(
                f"it has {size:,} bytes; files.max_bytes declares {files.max_bytes:,} as the most"
            )
    return kind not in _PARQUET


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Say of a file that can't be read which one it is."""
    try:
        yield
    except (PolarsError, OSError, EOFError, zlib.error, UnicodeError, BatchRefusedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BatchRefusedError(f"{file.name} can't be read: {reason}") from error


def _with_folders(
    frame: pl.LazyFrame, contract: type[dy.Schema], path: PurePath
) -> tuple[pl.LazyFrame, list[str]]:
    """Add the columns that the names of a file's folders hold, as Hive writes them."""
    there = {name.strip().casefold() for name in frame.collect_schema().names()}
    notes = []
    for part in path.parts[:-1]:
        name, sign, value = (unquote(piece) for piece in part.partition("="))
        if sign and name in contract.column_names() and name.casefold() not in there:
            frame = frame.with_columns(
                pl.lit(None if value == _NO_VALUE else value, dtype=pl.String).alias(name)
            )
            notes.append(f"`{name}` taken from the folder {part}")
    return frame, notes


def window_of(file: Path, frame: pl.LazyFrame, windows: Windows, time: str) -> str:
    """Say to which window a file belongs: by its name, else by most of its rows.

    Raises:
        BatchRefusedError: neither says it.

    """
    if windows.declares(stem(file)):
        return stem(file)
    most = rows_by_window(file, frame, windows, time).drop_nulls("window")
    if most.is_empty():
        raise BatchRefusedError(
            f"{file.name} has no rows that say which window it is; {_hint(file, windows)}"
        )
    return str(most.sort("len", "window", descending=[True, False])["window"][0])


def rows_by_window(file: Path, frame: pl.LazyFrame, windows: Windows, time: str) -> pl.DataFrame:
    """Count a file's rows by window, as `window` (null: without a time) and `len`, sorted.

    Raises:
        BatchRefusedError: it has no such time column.

    """
    dtype = frame.collect_schema().get(time)
    if not isinstance(dtype, pl.Datetime | pl.Date):
        raise BatchRefusedError(
            f"{file.name}: no time column `{time}` says which window it is; {_hint(file, windows)}"
        )
    return windows.counted(frame, time)


def _hint(file: Path, windows: Windows) -> str:
    return (
        f"name the file after its window, as {windows.start}{ending(file) or ''}, or give --window"
    )


def checksum(content: Path | bytes) -> str:
    """Return the SHA-256 of a file, read piece by piece, or of bytes, in hex."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_parquet(frame: pl.LazyFrame, target: Path | IO[bytes]) -> None:
    """Stream a window's rows into a Parquet file; the same rows give the same bytes."""
    frame.sink_parquet(target, compression="zstd", row_group_size=262_144, maintain_order=True)
