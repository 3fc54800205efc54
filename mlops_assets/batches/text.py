"""CSV as people and programs write it: which encoding, which separator, which names of columns."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import polars as pl

from mlops_assets.errors import BatchRefusedError
from mlops_assets.sections import Files

SEPARATORS = (",", ";", "\t", "|")
_HEAD = 1 << 16  # bytes that are looked at to tell how a file is written
_PIECE = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def scan_text(file: Path, files: Files, columns: Collection[str]) -> pl.LazyFrame:
    """Open a CSV lazily, each column as text; lines without any value are left out.

    Args:
        file: the CSV; packed if its name ends in `.gz`.
        files: how the declaration says that files are read.
        columns: the names that the contracts know, by which the separator is told.

    Raises:
        BatchRefusedError: it is larger than declared, not of its encoding, without a header, or has
            two columns of one name.
        PolarsError: it is no CSV.

    """
    with _opened(file) as stream:
        head = stream.read(_HEAD)
    encoding = files.encoding or _encoding_of(head)
    start = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    # read in place, if Polars can: a large file is not held in memory
    lone_returns = "\r" in start and "\n" not in start
    in_place = (
        file.suffix.lower() != ".gz"
        and not lone_returns
        and codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    )
    if in_place:
        _all_utf8(file)
    source = file if in_place else _as_utf8(file, encoding, files.max_bytes, lines=lone_returns)
    lines = start.removeprefix("\ufeff").splitlines()
    separator: str | None = files.separator
    skipped = 0
    if lines and len(lines[0]) == len("sep=;") and lines[0].lower().startswith("sep="):
        separator, skipped = separator or lines[0][-1], 1  # Excel's own way to say it
    while skipped < len(lines) and not lines[skipped].strip():
        skipped += 1
    header = lines[skipped] if skipped < len(lines) else ""
    separator = separator or _separator_of(header, columns)
    _one_of_each(header, separator)
    if in_place:
        _not_cut_off(file, len(_fields(header, separator)), separator)
    text = pl.scan_csv(
        source, separator=separator, infer_schema=False, glob=False, skip_lines=skipped
    )
    names = text.collect_schema().names()
    return text.filter(~pl.all_horizontal(pl.col(names).str.strip_chars().fill_null("") == ""))


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    with file.open("rb") as raw:
        if file.suffix.lower() == ".gz":
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield raw


def _encoding_of(head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    # UTF-16 without a mark: no text in UTF-8 has a zero in every other byte
    if len(head) > 1 and not any(head[1:200:2]) and all(head[0:200:2]):
        return "utf-16-le"
    if len(head) > 1 and not any(head[0:200:2]) and all(head[1:200:2]):
        return "utf-16-be"
    return "utf-8"


def _all_utf8(file: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with file.open("rb") as stream:
        try:
            while piece := stream.read(_PIECE):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise BatchRefusedError(
                f"it is no utf-8 ({error.reason}); declare how it is encoded, as "
                "`files: {encoding: cp1252}`"
            ) from error


def _not_cut_off(file: Path, fields: int, separator: str) -> None:
    """Refuse a file that ends in the middle of a line: Polars would fill it up with nulls."""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _HEAD))
        last = stream.read().rpartition(b"\n")[2].decode(errors="replace")
    # with an odd number of quotes it may be the end of a text with line breaks
    if last.strip() and not last.count('"') % 2 and len(_fields(last, separator)) < fields:
        raise BatchRefusedError(
            f"it is cut off: its last line has {len(_fields(last, separator))} of {fields} fields "
            "and no end"
        )


def _as_utf8(file: Path, encoding: str, most: int, *, lines: bool) -> bytes:
    decoder = codecs.getincrementaldecoder(encoding)()
    made, read = io.BytesIO(), 0
    with _opened(file) as stream:
        while True:
            piece = stream.read(_PIECE)
            read += len(piece)
            if read > most:
                raise BatchRefusedError(
                    f"it unpacks to more than {most:,} bytes, which files.max_bytes "
                    "declares as the most"
                )
            text = decoder.decode(piece, final=not piece)
            made.write((text.replace("\r", "\n") if lines else text).encode())
            if not piece:
                return made.getvalue().removeprefix(codecs.BOM_UTF8)


def _fields(header: str, separator: str) -> list[str]:
    return next(csv.reader([header], delimiter=separator), [])


def _separator_of(header: str, columns: Collection[str]) -> str:
    """Return what separates a header into the most names that are known; a comma, in doubt."""
    known = {name.casefold() for name in columns}

    def found(separator: str) -> int:
        return sum(name.strip().casefold() in known for name in _fields(header, separator))

    return max(SEPARATORS, key=found)  # of equals, the first


def _one_of_each(header: str, separator: str) -> None:
    twice = [name for name, count in Counter(_fields(header, separator)).items() if count > 1]
    if named := [f"`{name}`" for name in twice if name.strip()]:
        raise BatchRefusedError(
            f"it has more than one column {' and '.join(named)}; which one is meant can't be told"
        )
