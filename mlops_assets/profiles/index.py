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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from mlops_assets.errors import StoreBusyError, StoreError, did_you_mean
from mlops_assets.profiles.records import KINDS, Opened, fields_of

_SQL_TYPES = {
    "str": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "json": "JSON",
}
_FOREIGN_LOCK_SECONDS = 10
_OWN_COLUMNS = {"event_id": "BIGINT", "record_id": "VARCHAR", "recorded_at": "TIMESTAMP"}


def _columns(kind: str) -> dict[str, str]:
    return _OWN_COLUMNS | {field.name: _SQL_TYPES[field.type] for field in fields_of(kind)}


def _schema() -> str:
    """Return the statements that make every table, and mark them with their own hash."""
    tables = [
        f'CREATE TABLE "{kind}" ('
        + ", ".join(f'"{name}" {kind_of}' for name, kind_of in _columns(kind).items())
        + ', PRIMARY KEY ("record_id"));'
        for kind in KINDS
    ]
    script = "\n".join(tables)
    mark = hashlib.sha256(script.encode()).hexdigest()[:16]
    return f'{script}\nCREATE TABLE "schema_{mark}" (event_id BIGINT);'


class Index:
    """One DuckDB file; ``usable`` says whether it is there and of today's tables."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._process = 0
        self._verified: tuple[int, int, int] | None = None

    def usable(self) -> bool:
        """Whether the file is there, opens, and has the tables of this version."""
        try:
            stamp = self._stamp()
            if stamp == self._verified:  # 7 ms saved on every read that has nothing new
                return True
            with self._attached(read_only=True) as engine:
                found = engine.execute(
                    "SELECT 1 FROM duckdb_tables() WHERE database_name = 'store' AND table_name = ?",
                    [_schema().rsplit('"', 2)[1]],
                ).fetchone()
        except (duckdb.Error, OSError):
            return False
        self._verified = stamp if found else None
        return found is not None

    def discard(self) -> None:
        """Delete the file, and with it what a killed writer left beside it."""
        for leftover in (self.path, self.path.with_name(self.path.name + ".wal")):
            leftover.unlink(missing_ok=True)

    def create(self, records: Sequence[Opened]) -> None:
        """Make the index from these records alone; killed at any point, there is no index."""
        self.discard()
        draft = Index(self.path.with_name("index.draft.duckdb"))
        draft.discard()
        with draft._attached(read_only=False) as engine:
            engine.execute("USE store")
            engine.execute(_schema())
        draft.insert(records)
        draft.path.replace(self.path)

    def insert(self, records: Sequence[Opened]) -> int:
        """Add records in the order given, skipping those already in; return how many were new."""
        added = 0
        with self._attached(read_only=False) as engine:
            engine.execute("BEGIN")
            last = max(self._last_event(engine, kind) for kind in KINDS)
            rows: dict[str, list[dict[str, Any]]] = {}
            known = {kind: self._known(engine, kind, records) for kind in KINDS}
            for record in records:
                if record.row is None or record.id in known[record.kind]:
                    continue
                known[record.kind].add(record.id)
                added += 1
                own = {
                    "event_id": last + added,
                    "record_id": record.id,
                    "recorded_at": record.recorded_at,
                }
                rows.setdefault(record.kind, []).append(own | record.row)
            for kind, new in rows.items():
                shape = json.dumps([_columns(kind)])
                names = ", ".join(f'"{name}"' for name in _columns(kind))
                engine.execute(
                    f'INSERT INTO store."{kind}" ({names}) '  # noqa: S608 - names come from KINDS
                    "SELECT row.* FROM (SELECT unnest(from_json(?, ?)) AS row)",
                    [json.dumps(new), shape],
                )
            engine.execute("COMMIT")
        return added

    def _stamp(self) -> tuple[int, int, int]:
        state = self.path.stat()
        return state.st_ino, state.st_mtime_ns, state.st_size

    def rows(
        self, kind: str, equals: Mapping[str, Any], after_event: int = 0, *, newest: bool = False
    ) -> list[dict[str, Any]]:
        """Return rows by event, or the newest per key by key, as plain values."""
        columns = _columns(kind)
        keys = ", ".join(f'"{field.name}"' for field in fields_of(kind) if field.key)
        where, values = ["event_id > ?"], [after_event]
        for name, value in equals.items():
            if name not in columns:
                raise StoreError(f"{kind} have no field `{name}`{did_you_mean(name, columns)}")
            where.append(f'"{name}" IS NOT DISTINCT FROM ?')
            values.append(value)
        matching = f'store."{kind}" WHERE {" AND ".join(where)}'
        if newest:
            last = "arg_max(record_id, (recorded_at, record_id))"
            newest_ids = f"SELECT {last} FROM {matching} GROUP BY {keys}"  # noqa: S608 - from KINDS
            matching = f'store."{kind}" WHERE record_id IN ({newest_ids})'
        statement = f"SELECT * FROM {matching} ORDER BY {keys if newest else 'event_id'}"  # noqa: S608 - names come from KINDS
        with self._attached(read_only=True) as engine:
            found = engine.execute(statement, values).fetchall()
        jsons = {field.name for field in fields_of(kind) if field.type == "json"}
        return [
            {
                name: json.loads(value) if name in jsons else value
                for name, value in zip(columns, row, strict=True)
            }
            for row in found
        ]

    def query(self, sql: str, params: Sequence[Any]) -> pl.DataFrame:
        """Run one read-only statement on a connection of its own."""
        try:
            with contextlib.closing(duckdb.connect(str(self.path), read_only=True)) as connection:
                relation = connection.sql(sql, params=list(params))
                frame: pl.DataFrame = pl.DataFrame() if relation is None else relation.pl()
                return frame
        except duckdb.Error as error:
            raise StoreError(f"the query failed: {error}") from error

    @contextlib.contextmanager
    def _attached(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """Attach the file to this process's engine, which takes 1 ms where a new one takes 18."""
        if read_only and not self.path.exists():
            raise FileNotFoundError(self.path)
        if self._engine is None or self._process != os.getpid():  # an engine doesn't survive a fork
            self._engine, self._process = (
                duckdb.connect(":memory:", config={"threads": 1}),
                os.getpid(),
            )
        engine = self._engine
        place = str(self.path).replace("'", "''")
        deadline = time.monotonic() + _FOREIGN_LOCK_SECONDS
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
    def _last_event(engine: duckdb.DuckDBPyConnection, kind: str) -> int:
        found = engine.execute(
            f'SELECT coalesce(max(event_id), 0) FROM store."{kind}"'  # noqa: S608 - from KINDS
        ).fetchone()
        assert found is not None
        return int(found[0])

    @staticmethod
    def _known(engine: duckdb.DuckDBPyConnection, kind: str, records: Sequence[Opened]) -> set[str]:
        wanted = [record.id for record in records if record.kind == kind]
        if not wanted:
            return set()
        found = engine.execute(
            f'SELECT record_id FROM store."{kind}" WHERE record_id IN (SELECT unnest(?))',  # noqa: S608 - from KINDS
            [wanted],
        ).fetchall()
        return {str(row[0]) for row in found}
