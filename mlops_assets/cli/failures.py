"""What the machine refuses (a full disk, a folder that may not be written) as one line, in one place."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

from mlops_assets.words import visible

_ANOTHER = "or name another home in MLOPS_HOME"
_READ_ONLY = f"let it be written to, {_ANOTHER}"
_FULL = "make room there, then do the same again: what was begun is done again or was left out"

_OF_SYSTEM = {
    errno.EROFS: _READ_ONLY,
    errno.EACCES: f"see whose it is, {_ANOTHER}",
    errno.EPERM: f"see whose it is, {_ANOTHER}",
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.ELOOP: "a link there leads back to itself: remove it",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "too many files are open on this machine",
    errno.EIO: "the disk fails: copy what is on it",
    errno.ENOTDIR: "a file stands where a folder should",
    errno.ESTALE: "the network's file system went away; mount it again",
}
# as SQLite, DuckDB and the system spell it, in whatever it was wrapped
_OF_DATABASES = (
    ("readonly database", _READ_ONLY),
    ("read-only", _READ_ONLY),
    ("disk is full", _FULL),
    ("no space left", _FULL),
    (
        "unable to open database file",
        f"see that its folder is there and may be written, {_ANOTHER}",
    ),
    ("permission denied", f"see whose it is, {_ANOTHER}"),
    ("disk i/o error", "see whether the disk is full or fails"),
    ("database is locked", "another program holds it; try again when that has ended"),
    ("out of memory", "give it more memory, or close other programs"),
)


def foreseen(error: BaseException) -> str | None:
    """Return a line for what the machine refused; None for anything that may be a fault of ours."""
    for one in _chain(error):
        if isinstance(one, MemoryError):
            return "there is not enough memory for it: give it more, or close other programs"
        said = _of_system(one) if isinstance(one, OSError) else None
        if said is None and _is_of_a_database(one):
            said = _of_database(one)
        if said is None and _is_yaml(one):
            said = f"a YAML file can't be read: {_line(str(one))}"
        if said is not None:
            return said
    return None


def _of_system(error: OSError) -> str | None:
    if error.errno not in _OF_SYSTEM:
        return None
    where = f"{visible(str(error.filename))}: " if error.filename else ""
    return f"{where}{error.strerror}; {_OF_SYSTEM[error.errno]}"


def _of_database(error: BaseException) -> str | None:
    text = _line(str(getattr(error, "orig", None) or error))
    for spelled, do in _OF_DATABASES:
        if spelled in text.lower():
            return f"a database of the home can't be used: {text}; {do}"
    return None


def _is_of_a_database(error: BaseException) -> bool:
    # by name: neither is loaded for it
    home = type(error).__module__.partition(".")[0]
    return isinstance(error, sqlite3.Error) or home in {"sqlalchemy", "duckdb", "_duckdb"}


def _is_yaml(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "yaml"


def _line(text: str) -> str:
    return visible(" ".join(text.split()))[:500]


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
