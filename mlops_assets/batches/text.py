"""CSV as people and programs write it: which encoding, which separator, which names of columns."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import polars as pl

from mlops_assets.declaration.sections import Files
from mlops_assets.errors import BatchRefusedError

SEPARATORS = (",", ";", "\t", "|")
_HEAD = 1 << 16  # bytes that are looked at to tell how a file is written
_PIECE = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class _Written:
    """How a text file is written, as far as its first bytes tell."""

    encoding: str
    separator: str
    lone_returns: bool  # lines end in a carriage return alone
    skipped: int  # lines before the header
    names: list[str]


def names_in(file: Path, files: Files, columns: Collection[str]) -> list[str]:
    """Return the names in a CSV's header, of which no more is read than its first bytes.

    Raises:
        BatchRefusedError: it is empty, or has two columns of one name.

    """
    return _written(file, files, columns).names


def scan_text(file: Path, files: Files, columns: Collection[str]) -> pl.LazyFrame:
    """Open a CSV lazily, each column as text; lines without any value are left out.

    Args:
        file: the CSV; packed if its name ends in `.gz`.
        files: how the declaration says that files are read.
        columns: the names that the contracts know, by which the separator is told.

    Raises:
        BatchRefusedError: it is empty, larger than declared, not of its encoding, or has two
            columns of one name.
        PolarsError: it is no CSV.

    """
    written = _written(file, files, columns)
    # read in place, if Polars can: a large file is not held in memory
    in_place = (
        file.suffix.lower() != ".gz"
        and not written.lone_returns
        and codecs.lookup(written.encoding).name in ("utf-8", "utf-8-sig", "ascii")
    )
    source: Path | bytes = file
    if in_place:
        _all_utf8(file)
    else:
        source = _as_utf8(file, written, files.max_bytes)
    text = pl.scan_csv(
        source,
        separator=written.separator,
        infer_schema=False,
        glob=False,
        skip_lines=written.skipped,
    )
    names = text.collect_schema().names()
    return text.filter(~pl.all_horizontal(pl.col(names).str.strip_chars().fill_null("") == ""))


def whole_lines(file: Path, files: Files, columns: Collection[str]) -> None:
    """Refuse a CSV with a line that has fewer fields than its header: Polars fills it with nulls.

    Raises:
        BatchRefusedError: names the line and how many of its fields there are.

    """
    written = _written(file, files, columns)
    # a header may end in separators with no name between, which its lines don't repeat
    fields = max((at for at, name in enumerate(written.names, 1) if name.strip()), default=0)
    csv.field_size_limit(min(files.max_bytes, 2**31 - 1))  # Python's own limit is 128 kB
    with _opened(file) as stream:
        # errors of the encoding are told where the values are read
        text = io.TextIOWrapper(stream, written.encoding, errors="replace", newline="")
        for _ in range(written.skipped):
            text.readline()
        reader = csv.reader(text, delimiter=written.separator)
        try:
            for line in reader:
                if len(line) < fields and any(one.strip() for one in line):
                    at = written.skipped + reader.line_num
                    said = f"line {at:,} has {len(line)} of {fields} fields"
                    last = next(reader, None) is None
                    raise BatchRefusedError(said + ": the file may be cut off there" * last)
        except csv.Error as error:
            at = written.skipped + reader.line_num
            raise BatchRefusedError(f"line {at:,} can't be told into fields: {error}") from error


def _written(file: Path, files: Files, columns: Collection[str]) -> _Written:
    with _opened(file) as stream:
        head = stream.read(_HEAD)
    encoding = files.encoding or _encoding_of(head)
    start = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    lines = start.removeprefix("\ufeff").splitlines()
    separator: str | None = files.separator
    skipped = 0
    if lines and len(lines[0]) == len("sep=;") and lines[0].lower().startswith("sep="):
        separator, skipped = separator or lines[0][-1], 1  # Excel's own way to say it
    while skipped < len(lines) and not lines[skipped].strip():
        skipped += 1
    if skipped == len(lines):
        raise BatchRefusedError("it is empty")
    separator = separator or _separator_of(lines[skipped], columns)
    names = _fields(lines[skipped], separator)
    _one_of_each(names)
    return _Written(encoding, separator, "\r" in start and "\n" not in start, skipped, names)


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


def _as_utf8(file: Path, written: _Written, most: int) -> bytes:
    decoder = codecs.getincrementaldecoder(written.encoding)()
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
            made.write((text.replace("\r", "\n") if written.lone_returns else text).encode())
            if not piece:
                return made.getvalue().removeprefix(codecs.BOM_UTF8)


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _separator_of(header: str, columns: Collection[str]) -> str:
    """Return what separates a header into the most names that are known; a comma, in doubt."""
    known = {name.casefold() for name in columns}

    def found(separator: str) -> int:
        return sum(name.strip().casefold() in known for name in _fields(header, separator))

    return max(SEPARATORS, key=found)  # of equals, the first


def _one_of_each(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if named := [f"`{name}`" for name in twice if name.strip()]:
        raise BatchRefusedError(
            f"it has more than one column {' and '.join(named)}; which one is meant can't be told"
        )
