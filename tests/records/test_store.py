from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import duckdb
import pytest
from filelock import FileLock

from mlops_assets.errors import StoreBusyError, StoreError
from mlops_assets.records.folder import RecordFolder
from mlops_assets.records.index import Index
from mlops_assets.records.kinds import KINDS, Batch, Control, Decision, Distance, Verdict
from mlops_assets.records.record import Record, fields_of
from mlops_assets.records.store import Store

KILLED_WHILE = """
import itertools, sys
from pathlib import Path
from mlops_assets.records.kinds import Batch
from mlops_assets.records.store import Store
store, read = Store(Path(sys.argv[1])), sys.argv[2] == "read"
for number in itertools.count():
    store.add(Batch(model="m", window=str(number), version="v", commit_id="c", rows=1))
    print(number, flush=True)
    if read:
        store.refresh()
"""


class Version(NamedTuple):
    version: str


def batch(window: str = "2013-01-01", **changed: Any) -> Batch:
    fields = {"model": "m", "window": window, "version": "v1", "commit_id": "c", "rows": 7}
    return Batch(**(fields | changed))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@contextmanager
def held_open(store: Store) -> Iterator[None]:
    """While another program keeps the index open."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.root / "index.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        yield
        shell.communicate(b"\n")


def answers(store: Store) -> tuple[Any, ...]:
    found: tuple[list[Record], ...] = (
        [*store.latest(Batch, model="m")],
        [*store.rows(Batch)],
        [*store.rows(Control)],
    )
    return tuple([vars(record) for record in records] for records in found)


def test_reading_makes_nothing(store: Store) -> None:
    assert store.latest(Batch, model="m") == store.rows(Batch) == store.set_aside() == []
    assert store.refresh() == 0
    store.rebuild()
    assert not store.root.exists()
    assert store.query("SELECT count(*) AS n FROM batches")["n"].to_list() == [0]


def test_the_newest_row_per_key_and_every_row_in_order(store: Store) -> None:
    store.add(batch("2013-01-08"))
    store.add(batch("2013-01-01"))
    cursor = store.rows(Batch)[-1].event_id
    store.add(batch("2013-01-08", version="v2"))
    store.add(batch(model="other"))

    latest = store.latest(Batch, model="m")
    assert [(row.window, row.version) for row in latest] == [
        ("2013-01-01", "v1"),
        ("2013-01-08", "v2"),
    ]
    later = store.rows(Batch, after_event=cursor)
    assert [(row.model, row.version) for row in later] == [("m", "v2"), ("other", "v1")]
    assert [row.version for row in store.rows(Batch, model="m", window="2013-01-08")] == [
        "v1",
        "v2",
    ]
    assert store.latest(Batch, model="m", version="v1")[1].window == "2013-01-08"


def test_the_same_record_twice_changes_nothing(store: Store) -> None:
    first = store.add(batch())
    assert store.refresh() == 1
    before = answers(store)
    assert store.add(Batch(**dict(reversed(batch().content.items())))) == first
    assert store.refresh() == 0
    assert answers(store) == before


@pytest.mark.parametrize("several", [False, True])
def test_a_state_that_returns_is_the_newest_again(store: Store, several: bool) -> None:
    def add(version: str) -> str:
        if not several:
            return store.add(batch(version=version))
        return store.add_many([batch(version="v"), batch("2013-01-08", version=version)])

    def newest() -> tuple[str, int]:
        latest, rows = store.latest(Batch, model="m"), store.rows(Batch)
        return latest[-1].version, len(rows) // (1 + several)

    first, second = add("a"), add("b")
    third = add("a")
    assert newest() == ("a", 3)
    assert len({first, second, third}) == 3
    assert add("a") == third
    assert newest() == ("a", 3)
    fourth, fifth = add("b"), add("a")
    assert newest() == ("a", 5)
    assert len({first, second, third, fourth, fifth}) == 5

    before = answers(store)
    store.rebuild()
    assert answers(store) == before
    assert add("a") == fifth
    assert newest() == ("a", 5)
    assert store.set_aside() == []


def test_a_state_returns_where_the_clock_stepped_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Ahead:
            return cls.fromtimestamp(time.time() + 3600, tz)

    store.add(batch(version="a"))
    with monkeypatch.context() as clock:
        clock.setattr("mlops_assets.records.file.datetime", Ahead)
        store.add(batch(version="b"))

    for version in ("a", "b", "a"):
        store.add(batch(version=version))
        store.add(batch(version=version))
        assert [row.version for row in store.latest(Batch, model="m")] == [version]

    assert [row.version for row in store.rows(Batch)] == ["a", "b", "a", "b", "a"]


def test_every_kind_comes_back_as_it_was_added(store: Store) -> None:
    example = {"str": "é ' \"", "int": 3, "float": 0.1, "bool": True, "json": {"a": [1, None, "x"]}}
    for kind in KINDS.values():
        fields = fields_of(kind)
        full = {field.name: example[field.type] for field in fields}
        bare = full | {field.name: None for field in fields if field.nullable}
        for content in (full, bare):
            store.add(kind(**content))
            record = store.rows(kind)[-1]
            assert record == kind(**content)
            assert record.content == content
            assert (record.event_id > 0, len(record.record_id)) == (True, 64)
            assert record.recorded_at.tzinfo is None
    nothing = store.rows(Verdict, champion=None)
    assert len(nothing) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": None}, "`rows` is None"),
        ({"rows": 7.5}, "`rows` must be a whole number"),
        ({"rows": True}, "`rows` must be a whole number"),
        ({"rows": 2**63}, "`rows` must be a whole number"),
        ({"version": 3}, "`version` must be a text"),
        ({"version": "\ud800"}, "`version` must be a text"),
    ],
)
def test_a_wrong_field_is_named(store: Store, change: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        store.add(batch(**change))
    with pytest.raises(StoreError, match=message):
        store.add_many([batch(), batch(**change)])
    assert not store.root.exists()


def test_numbers_that_json_cannot_hold_are_refused(store: Store) -> None:
    line = dict.fromkeys(["distance", "own_low", "own_high", "share", "null_change"], float("nan"))
    with pytest.raises(StoreError, match="`distance` must be a finite number"):
        store.add(
            Distance(
                model="m",
                window="w",
                feature="f",
                champion=1,
                kind="ks",
                features_commit="c",
                **line,
            )
        )


def test_blobs_are_checked_when_read(store: Store) -> None:
    name = store.add_blob(b"profile")
    assert store.add_blob(b"profile") == name
    assert store.blob(name) == b"profile"
    (store.root / "blobs" / name[:2] / name).write_bytes(b"profil3")
    with pytest.raises(StoreError, match="damaged"):
        store.blob(name)
    for absent in ("0" * 64, "../../etc/hosts", ""):
        with pytest.raises(StoreError, match="no blob"):
            store.blob(absent)


def test_queries_only_read(store: Store) -> None:
    store.add(batch())
    frame = store.query('SELECT "window", rows FROM batches WHERE rows = ?', [7])
    assert frame.rows() == [("2013-01-01", 7)]
    for wrong in ("DELETE FROM batches", "SELECT nothing"):
        with pytest.raises(StoreError):
            store.query(wrong)
    assert len(store.rows(Batch)) == 1


def test_the_index_can_be_deleted_damaged_or_rebuilt(store: Store) -> None:
    for number in range(30):
        store.add(batch(str(number % 10), version=f"v{number}"))
        if number % 7 == 0:
            store.refresh()
    before = answers(store)
    index = store.root / "index.duckdb"
    index.unlink()
    assert answers(store) == before
    whole = index.read_bytes()
    for damaged in (b"", b"no database at all" * 500, whole[: len(whole) // 3]):
        index.write_bytes(damaged)
        assert answers(Store(store.root)) == before
    with duckdb.connect(str(index)) as other_version:
        [(table,)] = other_version.execute(
            "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'state_%'"
        ).fetchall()
        other_version.execute(f'ALTER TABLE "{table}" RENAME TO state_of_another_version')
    assert answers(store) == before
    store.rebuild()
    assert answers(store) == before


def _break_a_block(index: Path) -> None:
    """Damage a block that no table's description is in, so that the file still opens."""
    whole = index.read_bytes()
    for at in range(2**17, len(whole), 2**18):
        index.write_bytes(whole[:at] + bytes(64 * [0xA5]) + whole[at + 64 :])
        with duckdb.connect(str(index), read_only=True) as engine:
            try:
                engine.execute("FROM batches").fetchall()
            except duckdb.Error as error:
                if "checksum" in str(error):
                    return
                raise
    pytest.fail("no block of the table was found")


@pytest.mark.parametrize("waits", [0, 1])
def test_a_broken_block_in_the_middle_of_the_index_heals(store: Store, waits: int) -> None:
    store.add_many([batch(str(n), version=f"v{n * n}") for n in range(20_000)])
    store.refresh()
    questions: list[Callable[[Store], int]] = [
        lambda asked: asked.query("FROM batches").height,
        lambda asked: len(asked.latest(Batch, model="m")),
        lambda asked: len(asked.newest(Batch, Version, model="m")),
    ]
    for number, question in enumerate(questions):
        copy = Store(Path(shutil.copytree(store.root, store.root.with_name(f"copy-{number}"))))
        _break_a_block(copy.root / "index.duckdb")
        for _ in range(waits):
            copy.add(batch("one more"))
        assert question(copy) == 20_000 + waits
        with duckdb.connect(str(copy.root / "index.duckdb"), read_only=True) as engine:
            assert len(engine.execute("FROM batches").fetchall()) == 20_000 + waits


def test_a_block_that_an_insert_finds_broken_heals(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(batch("0"))
    store.refresh()
    store.add(batch("1"))
    found = ["Corrupt database file: computed checksum 1 does not match stored checksum 2"]
    insert = Index.insert

    def broken(index: Index, *given: Any) -> Any:
        if found:
            raise duckdb.Error(found.pop())
        return insert(index, *given)

    monkeypatch.setattr(Index, "insert", broken)
    assert len(store.rows(Batch)) == 2


@pytest.mark.parametrize(
    "full", [duckdb.OutOfMemoryException("of 1 GB"), duckdb.IOException("No space left on device")]
)
def test_a_full_memory_or_disk_discards_no_index(
    store: Store, monkeypatch: pytest.MonkeyPatch, full: duckdb.Error
) -> None:
    store.add(batch())
    store.refresh()
    inode = (store.root / "index.duckdb").stat().st_ino
    with monkeypatch.context() as memory:
        memory.setattr(Index, "select", lambda *_, **__: (_ for _ in ()).throw(full))
        with pytest.raises(type(full)):
            Store(store.root).rows(Batch)
    assert len(store.rows(Batch)) == 1
    assert (store.root / "index.duckdb").stat().st_ino == inode


@pytest.mark.parametrize("settles_first", [True, False])
def test_a_rebuild_between_insert_and_settle_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, settles_first: bool
) -> None:
    store.add(batch("0"))
    store.refresh()
    store.add(batch("1"))
    flush, listed, others = Index.flush, RecordFolder.unindexed, []

    def rebuild_beside(index: Index) -> None:
        flush(index)
        if not others:
            others.append("rebuilt")
            Store(store.root).rebuild()

    def settle_beside(folder: RecordFolder) -> list[str]:
        names = listed(folder)
        if settles_first and others == ["rebuilt"]:
            others.append("settled")
            folder.mark_indexed(names)
        return names

    monkeypatch.setattr(Index, "flush", rebuild_beside)
    monkeypatch.setattr(RecordFolder, "unindexed", settle_beside)
    for number in (2, 3):
        store.refresh()
        store.add(batch(str(number)))

    assert [row.window for row in store.rows(Batch)] == ["0", "1", "2", "3"]
    store.rebuild()
    assert [row.window for row in store.rows(Batch)] == ["0", "1", "2", "3"]


def test_what_is_no_record_is_set_aside_and_named(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    name = store.add(batch())
    incoming = store.root / "incoming"
    whole = (incoming / f"{name}.json").read_bytes()
    (incoming / "truncated.json").write_bytes(whole[:-20])
    (incoming / ("0" * 64 + ".json")).write_bytes(whole)  # not its own hash
    (incoming / "notes.txt").write_bytes(b"\xff\xfe")
    (incoming / "folder").mkdir()
    (incoming / "list.json").write_text("[1]")

    with caplog.at_level(logging.WARNING):
        assert len(store.rows(Batch)) == 1
    aside = ["0" * 64 + ".json", "folder", "list.json", "notes.txt", "truncated.json"]
    assert store.set_aside() == aside
    assert all(name in caplog.text for name in aside)
    assert not list(incoming.iterdir())


def test_stray_files_among_the_records_are_left_alone(store: Store) -> None:
    name = store.add(batch())
    store.refresh()
    records = store.root / "records"
    (records / "ff").mkdir(exist_ok=True)
    strays = [
        records / ".DS_Store",
        records / name[:2] / ".DS_Store",
        records / name[:2] / f".{name}.json.Xk3a9Q",  # rsync's
        records / name[:2] / ("f" * 64 + ".json"),
        records / "ff" / "notes.txt",
    ]
    for stray in strays:
        stray.write_bytes(b"\0")

    assert store.rebuild() == len(store.rows(Batch)) == 1
    assert all(stray.exists() for stray in strays)
    assert store.set_aside() == []


@dataclass(frozen=True, kw_only=True)
class Audit(Batch):
    """A kind that this version doesn't know."""

    KIND: ClassVar[str] = "audits"


@dataclass(frozen=True, kw_only=True)
class Batch3(Record):
    """What batches might become: a field renamed in version 2, another added in version 3."""

    KIND: ClassVar[str] = "batches"
    KEY: ClassVar[tuple[str, ...]] = ("model", "window")
    MIGRATIONS = (
        lambda old: {"commit": old.pop("commit_id")} | old,
        lambda old: old | {"megabytes": old["rows"] / 1000},
    )

    window: str
    version: str
    commit: str
    rows: int
    megabytes: float


def test_a_kind_of_a_later_version_waits_for_it(store: Store, monkeypatch: Any) -> None:
    later = {**KINDS, "audits": Audit}
    with monkeypatch.context() as version:
        version.setattr("mlops_assets.records.kinds.KINDS", later)
        store.add(Audit(**batch().content))
    store.add(batch())
    assert len(store.rows(Batch)) == 1
    monkeypatch.setattr("mlops_assets.records.kinds.KINDS", later)
    assert len(store.rows(Audit)) == len(store.rows(Batch)) == 1
    assert store.set_aside() == []


@pytest.mark.parametrize("several", [False, True])
def test_records_of_an_earlier_version_are_migrated_when_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    # given records of version 1, some in the index
    def now(window: str, rows: int = 7) -> Batch3:
        rest = {"version": "v1", "commit": "c", "megabytes": rows / 1000}
        return Batch3(model="m", window=window, rows=rows, **rest)

    store.add_many([batch("1"), batch("2")]) if several else store.add(batch("1"))
    store.refresh()
    store.add(batch("3"))
    before = {file.read_bytes() for file in store.root.rglob("*.json")}

    def copied(store: Store, name: str) -> Store:  # to another process, whose code is another
        return Store(Path(shutil.copytree(store.root, store.root.with_name(name))))

    # when code of version 3 reads them
    with monkeypatch.context() as code:
        later = copied(store, "later")
        code.setattr("mlops_assets.records.kinds.KINDS", {**KINDS, "batches": Batch3})
        windows = ["1", "2", "3"] if several else ["1", "3"]
        assert later.latest(Batch3, model="m") == [now(window) for window in windows]
        assert {file.read_bytes() for file in later.root.rglob("*.json")} == before

        # then what it writes says its version, and is the newest
        name = later.add(now("3", rows=8))
        assert (
            json.loads(later.root.joinpath("incoming", f"{name}.json").read_bytes())["version"] == 3
        )
        assert later.add(now("3", rows=8)) == name
        assert later.latest(Batch3, model="m", window="3") == [now("3", rows=8)]
        again = later.add(now("3"))
        assert later.add(now("3")) == again
        assert later.latest(Batch3, model="m", window="3") == [now("3")]
        later.rebuild()
        assert later.latest(Batch3, model="m", window="3") == [now("3")]

    # and code of version 1 leaves that waiting, and nothing aside
    earlier = copied(later, "earlier")
    assert [record.rows for record in earlier.latest(Batch, model="m", window="3")] == [7]
    assert earlier.set_aside() == later.set_aside() == []


def test_every_field_is_documented() -> None:
    for kind in KINDS.values():
        said = set(re.findall(r"^        (\w+): ", kind.__doc__ or "", re.MULTILINE))
        assert said == {field.name for field in fields_of(kind)} - {"model"}, kind


class Narrow(NamedTuple):
    code: str
    champion: int | None


def test_a_view_has_some_fields_of_the_newest_by_key(store: Store) -> None:
    def decision(cause: str, code: str) -> Decision:
        rest = {"trigger": "drift", "decision": "noted", "reason": "r", "decided_at": "t"}
        return Decision(model="m", cause=cause, window="w", code=code, **rest)

    for code in ("due", "done"):
        store.add(decision("a", code))
    store.add(decision("b", "cooldown"))
    view = store.newest(Decision, Narrow, model="m")
    assert view == {"a": Narrow("done", None), "b": Narrow("cooldown", None)}

    store.add(decision("b", "done"))
    assert store.newest(Decision, Narrow, model="m")["b"].code == "done"
    assert view["b"].code == "cooldown"

    class Misspelt(NamedTuple):
        codes: str

    with pytest.raises(StoreError, match="no field `codes`; did you mean `code`"):
        store.newest(Decision, Misspelt, model="m")


def _add_and_read(root: Path, worker: int) -> None:
    store = Store(root)
    for number in range(12):
        store.add(batch(f"{worker}-{number}"))
        store.add(batch("the same"))
        if number % 4 == 0:
            store.latest(Batch, model="m")


def test_four_processes_add_and_read_at_once_and_nothing_is_lost(store: Store) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlops_assets.records.store", "pytest"])
    workers = [context.Process(target=_add_and_read, args=(store.root, w)) for w in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    rows = store.rows(Batch)
    assert len(rows) == 49
    assert [row.event_id for row in rows] == list(range(1, 50))
    before = store.latest(Batch, model="m")
    store.rebuild()
    after = store.latest(Batch, model="m")
    assert [row.record_id for row in after] == [row.record_id for row in before]


def test_threads_may_share_a_store(store: Store) -> None:
    found: list[int] = []

    def work(worker: int) -> None:
        for number in range(10):
            store.add(batch(f"{worker}-{number}"))
            found.append(len(store.rows(Batch)))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert max(found) == len(store.rows(Batch)) == 40


@pytest.mark.parametrize("mode", ["add", "read"])
def test_a_killed_writer_leaves_whole_records_and_a_store_that_opens(
    store: Store, mode: str
) -> None:
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED_WHILE, str(store.root), mode], stdout=subprocess.PIPE
        ) as victim:
            assert victim.stdout is not None
            for _ in range(4):
                acknowledged = int(victim.stdout.readline())
            time.sleep(0.003 * (os.getpid() % 5))  # somewhere inside the next round
            victim.send_signal(signal.SIGKILL)
        windows = {row.window for row in store.rows(Batch)}
        assert {str(number) for number in range(acknowledged + 1)} <= windows
    assert store.set_aside() == []
    before = answers(store)
    store.rebuild()
    assert [row["window"] for row in before[0]] == [
        row.window for row in store.latest(Batch, model="m")
    ]


def test_a_lock_held_too_long_is_said_and_adding_never_waits(store: Store) -> None:
    store.add(batch())
    impatient = Store(store.root, lock_timeout=0.05)
    with FileLock(store.root / "index.lock"):
        impatient.add(batch("2013-01-08"))
        with pytest.raises(StoreBusyError, match="try again"):
            impatient.rows(Batch)
    assert len(impatient.rows(Batch)) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_who_helps_to_index_neither_fails_nor_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    store.add(batch())
    store.refresh()
    monkeypatch.setattr("mlops_assets.records.store._HELPS", ("",))  # everybody
    if fails:
        full = duckdb.IOException("No space left on device")
        with monkeypatch.context() as disk:
            disk.setattr(Index, "insert", lambda *_: (_ for _ in ()).throw(full))
            store.add(batch("2013-01-08"))
    else:
        with held_open(store):
            begun = time.monotonic()
            store.add(batch("2013-01-08"))
            assert time.monotonic() - begun < 5  # where it waited, 10
    assert len(store.rows(Batch)) == 2


def test_a_program_that_keeps_the_index_open_is_named(store: Store) -> None:
    store.add(batch())
    store.refresh()
    store.add(batch("2013-01-08"))
    with held_open(store), pytest.raises(StoreBusyError, match="another program"):
        Store(store.root, lock_timeout=0.1).rows(Batch)
    assert len(store.rows(Batch)) == 2


def test_a_store_travels_to_another_process(store: Store) -> None:
    store.add(batch())
    store.refresh()
    assert pickle.loads(pickle.dumps(store)).rows(Batch) == store.rows(Batch)


def test_files_are_named_by_kind_and_record_alone(store: Store) -> None:
    name = store.add(batch())
    envelope = json.loads((store.root / "incoming" / f"{name}.json").read_bytes())
    assert set(envelope) == {"kind", "recorded_at", "record"}
    assert (envelope["kind"], envelope["record"]) == ("batches", batch().content)
    assert name == Store(store.root.parent / "elsewhere").add(batch())
