"""The DuckDB index over the records: typed tables, rebuilt from the files at any time.

Every method expects the caller to hold the store's lock: one process that has the file open for
writing shuts out every other, readers included, so it is attached per operation and let go at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl

from mlops_assets.errors import StoreBusyError, StoreError, did_you_mean
from mlops_assets.records import kinds
from mlops_assets.records.file import Opened
from mlops_assets.records.record import R, Record, fields_of, keys_of, made, version_of

_SQL_TYPES = {
    "str": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "json": "JSON",
}
_POLARS_TYPES: dict[str, Any] = {
    "VARCHAR": pl.String,
    "BIGINT": pl.Int64,
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
    "JSON": pl.String,
    "TIMESTAMP": pl.String,
}
_SILENT = "SET enable_progress_bar = false"  # it would stand in the output of a command
# DuckDB would flush four times for each insert, and write it twice, while others wait; the store
# flushes once, when they no longer do, and lets files out of incoming only after that
_UNFLUSHED = "SET fsync_mode = 'NONE'; SET auto_checkpoint_skip_wal_threshold = 0"
_DAMAGED = (duckdb.OperationalError, duckdb.InternalError, duckdb.CatalogException)
_FULL = ("no space left", "disk full", "out of memory")  # as DuckDB and the system spell it
_OWN_COLUMNS = {"event_id": "BIGINT", "record_id": "VARCHAR", "recorded_at": "TIMESTAMP"}


def says_corrupt(error: duckdb.Error) -> bool:
    """Whether DuckDB read a block that isn't what it wrote; it has no class for that."""
    text = str(error).lower()
    return "corrupt" in text or "checksum" in text


def is_damage(error: duckdb.Error) -> bool:
    """Whether an index that answers so has to be made again."""
    return not _is_full(error) and (isinstance(error, _DAMAGED) or says_corrupt(error))


def _is_full(error: Exception) -> bool:
    """Whether memory or the disk is full, which says nothing against the file."""
    text = str(error).lower()
    return isinstance(error, duckdb.OutOfMemoryException) or any(full in text for full in _FULL)


def columns_of(kind: type[Record]) -> dict[str, str]:
    """Return the columns of a kind's table, with their SQL types."""
    return _OWN_COLUMNS | {field.name: _SQL_TYPES[field.type] for field in fields_of(kind)}


def _schema() -> str:
    """Return the statements that make every table, and mark them with their own hash."""
    tables = [
        f'CREATE TABLE store."{name}" ('
        + ", ".join(f'"{column}" {sql}' for column, sql in columns_of(kind).items())
        + ");"
        for name, kind in kinds.KINDS.items()
    ]
    # what waited for this version of its kind is indexed by another making
    tables += [
        f"-- {name} of version {version_of(kind)}"
        for name, kind in kinds.KINDS.items()
        if version_of(kind) > 1
    ]
    # inserted, and maybe not yet marked as indexed: that comes after the file is on the disk
    tables.append("CREATE TABLE store.unsettled (id VARCHAR);")
    script = "\n".join(tables)
    mark = hashlib.sha256(script.encode()).hexdigest()[:16]
    return (
        f'{script}\nCREATE TABLE store."state_{mark}" (making VARCHAR, kind VARCHAR, last BIGINT);'
    )


@dataclass(frozen=True)
class State:
    """Which making of the index it is, as each numbers its events anew, and each kind's last one."""

    making: str
    last: Mapping[str, int]

    def mark(self, kind: str) -> tuple[str, int]:
        """Return what changes when something of that kind comes in."""
        return self.making, self.last[kind]


class Stamp(NamedTuple):
    """What changes when the file does."""

    inode: int
    changed_ns: int
    size: int

    @property
    def is_exact(self) -> bool:
        """Whether the file system keeps times so exactly that no two changes share one.

        Where it keeps whole milliseconds only, a change is told from the next after 2 seconds.
        """
        coarse = self.changed_ns % 1_000_000 == 0
        return not coarse or time.time_ns() - self.changed_ns > 2e9


class Index:
    """One DuckDB file, which need not be there; ``patience`` is in seconds."""

    def __init__(self, path: Path, patience: float = 10.0) -> None:
        self.path = path
        self._patience = patience
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._process = 0

    def stamp(self) -> Stamp | None:
        """Return the file's stamp; None where there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return Stamp(found.st_ino, found.st_mtime_ns, found.st_size)

    def state(self) -> State | None:
        """Return its state; None unless it is there, opens, and has the tables of this version."""
        try:
            with self._attached(read_only=True) as engine:
                return self._state(engine)
        except (duckdb.Error, OSError) as error:
            if _is_full(error):
                raise
            return None

    def flush(self) -> None:
        """Return once what was inserted is on the disk; needs no lock."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            os.fsync(file.fileno())

    def discard(self) -> None:
        """Delete the file, and with it what a killed writer left beside it."""
        for leftover in (self.path, self.path.with_name(self.path.name + ".wal")):
            leftover.unlink(missing_ok=True)

    def create(self) -> None:
        """Make an index without records in place of what is there."""
        self.discard()
        with self._attached(read_only=False) as engine:
            engine.execute(_schema())
            engine.execute(
                f"INSERT INTO store.{_state_table()} SELECT ?, unnest(?), 0",
                [uuid.uuid4().hex, list(kinds.KINDS)],
            )

    def replace(self, path: Path) -> None:
        """Take the place of another index; killed at any point, there is the one or the other."""
        path.with_name(path.name + ".wal").unlink(missing_ok=True)
        self.path.replace(path)
        self.path = path

    def insert(
        self, records: Sequence[Opened], is_waiting: Callable[[str], bool]
    ) -> tuple[int, State]:
        """Add records in the order given; return how many rows were new, and the state then.

        A file may be in the index and not be marked so still (``is_waiting``, asked by its name):
        that is remembered, and it is not added twice.
        """
        with self._attached(read_only=False) as engine:
            engine.execute("BEGIN")
            known = {str(row[0]) for row in engine.execute("FROM store.unsettled").fetchall()}
            new = [one for one in records if one.id not in known]
            state = self._state(engine)
            event = max(state.last.values())
            rows: dict[str, list[dict[str, Any]]] = {}
            for record in new:
                for row in record.rows or ():
                    event += 1
                    rows.setdefault(record.kind, []).append({"event_id": event} | row)
            for kind, some in rows.items():
                engine.register("new_rows", _frame(kinds.KINDS[kind], some).to_arrow())
                engine.execute(f'INSERT INTO store."{kind}" BY NAME FROM new_rows')
                engine.unregister("new_rows")
                engine.execute(
                    f"UPDATE store.{_state_table()} SET last = ? WHERE kind = ?",  # noqa: S608 - a hash
                    [some[-1]["event_id"], kind],
                )
            engine.execute("DELETE FROM store.unsettled")
            waiting = (id_ for id_ in known if is_waiting(f"{id_}.json"))
            unsettled = [*waiting, *(one.id for one in new)]
            engine.execute("INSERT INTO store.unsettled SELECT unnest(?)", [unsettled])
            engine.execute("COMMIT")
        os.utime(self.path)  # to the nanosecond: no two stamps are the same
        last = {kind: some[-1]["event_id"] for kind, some in rows.items()}
        return sum(map(len, rows.values())), State(state.making, {**state.last, **last})

    def select(
        self,
        kind: type[Record],
        columns: Sequence[str],
        equals: Mapping[str, Any],
        after_event: int = 0,
        *,
        newest: bool = False,
    ) -> tuple[State, pl.DataFrame]:
        """Return the matching rows by event, or the newest per key by key, and the state then."""
        known = columns_of(kind)
        for name in (*equals, *columns):
            if name not in known:
                raise StoreError(f"{kind.KIND} have no field `{name}`{did_you_mean(name, known)}")
        # null equals nothing, and `=` lets whole blocks be passed over
        same = {name: "IS NOT DISTINCT FROM" if equals[name] is None else "=" for name in equals}
        where = ["event_id > ?", *(f'"{name}" {sign} ?' for name, sign in same.items())]
        statement = (
            f"SELECT {_named(columns, known)} "  # noqa: S608 - names come from the kinds
            f'FROM store."{kind.KIND}" WHERE {" AND ".join(where)}'
        )
        keys = ", ".join(f'"{name}"' for name in keys_of(kind))
        if newest:
            order = "recorded_at DESC, record_id DESC"
            statement += f" QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"
        statement += f" ORDER BY {keys if newest else 'event_id'}"
        with self._attached(read_only=True) as engine:
            found = engine.sql(statement, params=[after_event, *equals.values()]).pl()
            return self._state(engine), found

    def query(self, sql: str, params: Sequence[Any]) -> pl.DataFrame:
        """Run one read-only statement on a connection of its own.

        Raises StoreError, or duckdb.Error where the file is damaged.
        """
        try:
            with contextlib.closing(duckdb.connect(str(self.path), read_only=True)) as connection:
                connection.execute(_SILENT)
                relation = connection.sql(sql, params=list(params))
                frame: pl.DataFrame = pl.DataFrame() if relation is None else relation.pl()
                return frame
        except duckdb.Error as error:
            if says_corrupt(error):
                raise
            raise StoreError(f"the query failed: {error}") from error

    @contextlib.contextmanager
    def _attached(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """Attach the file to this process's engine, which takes 1 ms where a new one takes 18."""
        if read_only and not self.path.exists():
            raise FileNotFoundError(self.path)
        if self._engine is None or self._process != os.getpid():  # an engine doesn't survive a fork
            self._engine = duckdb.connect(":memory:", config={"threads": 1})
            self._engine.execute(f"{_SILENT}; {_UNFLUSHED}")
            self._process = os.getpid()
        engine = self._engine
        place = str(self.path).replace("'", "''")
        deadline = time.monotonic() + self._patience
        while True:
            try:
                engine.execute(f"ATTACH '{place}' AS store{' (READ_ONLY)' if read_only else ''}")
                break
            except duckdb.IOException as error:
                if "could not set lock" not in str(error).lower():
                    raise
                if time.monotonic() > deadline:
                    raise StoreBusyError(
                        f"another program has {self.path} open, and it didn't let go; close it "
                        "(DuckDB's own shell holds the file for as long as it runs)"
                    ) from error
            time.sleep(0.05)
        try:
            yield engine
        finally:
            with contextlib.suppress(duckdb.Error):  # no transaction is the usual case
                engine.execute("ROLLBACK")
            engine.execute("USE memory")
            engine.execute("DETACH store")

    @staticmethod
    def _state(engine: duckdb.DuckDBPyConnection) -> State:
        found = engine.execute(f"FROM store.{_state_table()}").fetchall()
        return State(found[0][0], {kind: last for _, kind, last in found})


def _frame(kind: type[Record], rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as the index takes them in: times and JSON are texts that it reads."""
    types = {name: _POLARS_TYPES[sql] for name, sql in columns_of(kind).items()}
    jsons = [field.name for field in fields_of(kind) if field.type == "json"]
    plain = [
        {**row, **{name: json.dumps(row[name]) for name in jsons if row[name] is not None}}
        for row in rows
    ]
    return pl.DataFrame(plain, schema=types, orient="row")


def records_of(kind: type[R], frame: pl.DataFrame) -> list[R]:
    """Return rows of the index, with all their columns, as records."""
    names = tuple(frame.columns)
    return [made(kind, names, values) for values in values_of(kind, frame)]


def values_of(kind: type[Record], frame: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each row of the index, in the order of its columns."""
    jsons = {field.name for field in fields_of(kind) if field.type == "json"}
    columns = (
        [None if text is None else json.loads(text) for text in frame[name]]
        if name in jsons
        else frame[name].to_list()
        for name in frame.columns
    )
    return zip(*columns, strict=True)


def _state_table() -> str:
    return _schema().rsplit('"', 2)[1]


def _named(columns: Sequence[str], types: Mapping[str, str]) -> str:
    """Return columns as SQL selects them, JSON as the text that Python reads."""
    return ", ".join(
        f'"{name}"::VARCHAR AS "{name}"' if types[name] == "JSON" else f'"{name}"'
        for name in columns
    )
