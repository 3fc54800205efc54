"""The store: what a tick of the sensors asks of it, and processes that write to it at once.

A profile written is its blob (300 kB), its 30 distances and its verdict, flushed to the disk before
it is acknowledged. Beside ours, what one would write first: the same rows in one DuckDB file, which a
process opens for each profile and tries again while another has it, and in one SQLite file (WAL,
synchronous=FULL).
"""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import duckdb

from mlops_assets.drift.past import Row
from mlops_assets.monitoring import due
from mlops_assets.monitoring.staleness import Compared
from mlops_assets.records import kinds
from mlops_assets.records.index import Index
from mlops_assets.records.store import Store
from tests.benchmarks.measuring import (
    Seconds,
    Worker,
    answer_questions,
    measured,
    say,
    table,
)

SIZES = (10_000, 100_000)
FEATURES = 30
WRITERS, READERS, SECONDS = 8, 2, 6.0
PACE = 30  # profiles a second, where the processors are not all taken by writing
MODEL = "m"
BLOB = 300_000  # bytes


def run() -> None:
    """Print both."""
    ticks()
    writers()


def ticks(sizes: tuple[int, ...] = SIZES) -> None:
    """Print ticks over histories of several lengths."""
    lines: list[list[object]] = []
    for windows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            store = history(Path(folder) / "store", windows)
            first = measured(lambda _: tick(store), 1, warm=False)  # noqa: B023 called before the loop goes on
            nothing = measured(lambda _: tick(store), 20)  # noqa: B023 called before the loop goes on
            new = Seconds(tuple(arrive(store, windows + number) for number in range(6))[1:])
            size = sum(file.stat().st_size for file in Path(folder).rglob("*.duckdb")) >> 20
            scores = f"{windows:,} / {windows * FEATURES:,}"
            lines.append([scores, nothing, new, first, f"{size} MB"])
    table(
        "A sensor tick's questions to the store: profiles / scores stored",
        ["", "nothing new", "a new verdict", "first of a process", "index"],
        lines,
    )


def tick(store: Store, newest: str = "2013-01-01T00") -> None:
    """Ask what both sensors ask: the data sensor once, the decision sensor that and more."""
    for _ in range(2):
        store.newest(kinds.Verdict, Row, model=MODEL)
        store.newest(kinds.Labels, due.Landed, model=MODEL)
        store.newest(kinds.Performance, due.Measured, model=MODEL)
        store.newest(kinds.Staleness, due.Compared, model=MODEL)
    store.newest(kinds.Staleness, Compared, model=MODEL)
    store.latest(kinds.Verdict, model=MODEL, window=newest)
    store.rows(kinds.Verdict, model=MODEL, after_event=10**12, verdict="drifted")
    for trigger in ("missing", "drift"):
        store.latest(kinds.Decision, model=MODEL, trigger=trigger)
    store.latest(kinds.Decision, model=MODEL, cause="drift:w:v1")
    store.latest(kinds.Outcome, model=MODEL)
    store.rows(kinds.Control, model=MODEL)
    store.rows(kinds.Control, model=MODEL, action="retrain")


def arrive(store: Store, number: int) -> float:
    """Let a window's verdict come in; return how many seconds the next tick takes."""
    window = f"3000-{number:09}"
    add_verdict(store, window)
    begun = time.perf_counter()
    tick(store, window)
    return time.perf_counter() - begun


def add_verdict(store: Store, window: str, profile: str = "p") -> None:
    """Add a window's distances and its verdict."""
    common = {"model": MODEL, "window": window, "champion": 1, "features_commit": "c"}
    line = {"kind": "ks", "distance": 0.1, "own_low": 0.0, "own_high": 0.2, "share": 0.01}
    line |= {"null_change": 0.0}
    store.add_many(
        [kinds.Distance(**{**common, **line, "feature": f"f{n}"}) for n in range(FEATURES)]
    )
    said = {"verdict": "stable", "sentence": "within the limit " * 10, "policy": "y", "detail": {}}
    counted = {"batch_version": "b", "profile": profile, "rows": 1, "exceeds": False}
    store.add(kinds.Verdict(**{**common, **said, **counted}))


def history(root: Path, windows: int) -> Store:
    """Return a store whose index has so many windows, as a rebuild from their files would leave it.

    The rows are made inside DuckDB: 3,000,000 of them by way of files would take minutes.
    """
    root.mkdir(parents=True)
    index = Index(root / "index.duckdb")
    index.create()
    window = "strftime(TIMESTAMP '2013-01-01' + to_hours(i::BIGINT), '%Y-%m-%dT%H')"
    own = f"sha256(i || '!'), TIMESTAMP '2020-01-01' + to_seconds(i), '{MODEL}', {window}"
    sha, every = "sha256(i || '?')", f"FROM range({windows}) t(i)"
    rows = {
        "verdicts": f"SELECT i * 40, {own}, {sha}, 1, {sha}, {sha}, 500, .5, .7, false, 'stable', "
        f"repeat('within the limit ', 10), {sha}, '{{\"k\": 1}}', {sha}, NULL, NULL {every}",
        "labels": f"SELECT i * 40 + 1, {own}, {sha}, {sha}, 500, 100, 0, NULL {every}",
        "staleness": f"SELECT i * 40 + 3, {own}, 1, '2013-01-01', 'auc', .23, .71, .7, .01, '', 500, "
        f".01, .1, .01, false, repeat('costs less ', 10), {', '.join([sha] * 9)}, NULL {every}",
        "performance": f"SELECT i * 40 + 2, {own}, 1, 'auc', .7, 500, .2, {', '.join([sha] * 5)}, "
        f"NULL {every}",
        "distances": f"SELECT i * 40 + 5 + f, sha256(i || ':' || f), TIMESTAMP '2020-01-01' + "
        f"to_seconds(i), '{MODEL}', {window}, 'feature ' || f, 1, 'ks', random(), 0, .2, .03, 0, "
        f"{sha}, .1, .1, 0 {every}, range({FEATURES}) u(f)",
    }
    with index._attached(read_only=False) as engine:
        for kind, made in rows.items():
            engine.execute(f'INSERT INTO store."{kind}" {made}')
        engine.execute(f"UPDATE store.{state_table(engine)} SET last = {windows * 40}")
    return Store(root)


def state_table(engine: Any) -> str:
    """Return the name of the table that says how far the index is."""
    (name,) = engine.execute(
        "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'state_%'"
    ).fetchone()
    return str(name)


class Written(Protocol):
    """One way to keep what processes write."""

    def write(self, window: str) -> None:
        """Keep a profile, with its distances and its verdict."""

    def read(self) -> dict[str, int]:
        """Return the bytes of the newest profile of each window."""

    def scores(self) -> dict[str, int]:
        """Return how many distances each window has."""


class Ours:
    """The store."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def write(self, window: str) -> None:
        add_verdict(self.store, window, self.store.add_blob(os.urandom(BLOB)))

    def read(self) -> dict[str, int]:
        rows = self.store.latest(kinds.Verdict, model=MODEL)
        return {row.window: len(row.profile) for row in rows}

    def scores(self) -> dict[str, int]:
        found = self.store.query('SELECT "window", count(*) FROM distances GROUP BY ALL')
        return dict(found.iter_rows())


class Sql:
    """The same rows in three tables of one file, opened for each profile."""

    make = (
        "CREATE TABLE profiles (id TEXT, data BLOB)",
        "CREATE TABLE distances (win TEXT, feature TEXT, distance DOUBLE, own_high DOUBLE)",
        "CREATE TABLE verdicts (win TEXT, profile TEXT, verdict TEXT, sentence TEXT)",
    )

    def __init__(self, root: Path) -> None:
        self.path = root.with_suffix(f".{type(self).__name__.lower()}")
        if not self.path.exists():
            with closing(self.connect()) as connection:
                for statement in self.make:
                    connection.execute(statement)

    def connect(self, *, read_only: bool = False) -> Any:
        raise NotImplementedError

    def write(self, window: str) -> None:
        line = [v for n in range(FEATURES) for v in (window, f"f{n}", 0.1, 0.2)]
        with closing(self.connect()) as connection:
            connection.execute("BEGIN")
            connection.execute("INSERT INTO profiles VALUES (?, ?)", (window, os.urandom(BLOB)))
            every = ", ".join(["(?, ?, ?, ?)"] * FEATURES)
            connection.execute(f"INSERT INTO distances VALUES {every}", line)
            said = "within the limit " * 10
            row = (window, window, "stable", said)
            connection.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?)", row)
            connection.execute("COMMIT")

    def read(self) -> dict[str, int]:
        with closing(self.connect(read_only=True)) as connection:
            rows = connection.execute("SELECT win, length(profile) FROM verdicts").fetchall()
        return dict(rows)

    def scores(self) -> dict[str, int]:
        with closing(self.connect(read_only=True)) as connection:
            counted = "SELECT win, count(*) FROM distances GROUP BY win"
            return dict(connection.execute(counted).fetchall())


class DuckDB(Sql):
    """One process at a time has the file open to write, and then nobody else at all."""

    def connect(self, *, read_only: bool = False) -> Any:
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only)
            except duckdb.IOException:
                time.sleep(random.uniform(0.001, 0.02))


class SQLite(Sql):
    """One writes at a time, and others read beside it."""

    def connect(self, *, read_only: bool = False) -> Any:
        mode = "ro" if read_only else "rwc"
        place = f"{self.path.as_uri()}?mode={mode}"
        connection = sqlite3.connect(place, timeout=600, isolation_level=None, uri=True)
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


WAYS: dict[str, type[Ours | Sql]] = {"ours": Ours, "DuckDB": DuckDB, "SQLite": SQLite}


def writers() -> None:
    """Print how fast several processes write profiles, and how long others wait to read."""
    lines: list[list[object]] = []
    rates = {}
    for way, every in [*((way, 0.0) for way in WAYS), ("ours", WRITERS / PACE)]:
        with tempfile.TemporaryDirectory() as folder:
            written, seconds, waits = write_at_once(way, Path(folder) / "store", every)
            rate = written / seconds
            rates.setdefault(way, rate)
            lines.append(
                [
                    f"{way}, {PACE} a second asked for" if every else way,
                    written,
                    f"{rate:.0f} /s",
                    "" if every else f"{rates['ours'] / rate:.1f}x",
                    len(waits),
                    f"{statistics.median(waits) * 1000:.0f} ms",
                    f"{sorted(waits)[len(waits) * 99 // 100] * 1000:.0f} ms",
                    f"{max(waits) * 1000:.0f} ms",
                ]
            )
            if way == "ours" and not every:
                rebuilt = rebuild(Path(folder) / "store")
    table(
        f"{WRITERS} processes write profiles for {SECONDS:g} s while {READERS} read; none is lost",
        ["", "written", "profiles", "ours", "reads", "median", "1 in 100", "longest"],
        lines,
    )
    say(f"\nrebuilt from the files of the first: {rebuilt}")
    with tempfile.TemporaryDirectory() as folder:
        acknowledged, found = kill_a_writer(Path(folder) / "store")
    say(
        f"one of {WRITERS} writers killed -9 while it writes: {acknowledged} profiles that it had "
        f"acknowledged are there, {found} in all, none of them half"
    )


def write_at_once(way: str, root: Path, every: float = 0.0) -> tuple[int, float, list[float]]:
    """Return how many profiles were written in how many seconds, and how long each read took.

    Each process begins one every so many seconds, or as fast as it can.
    """
    store = WAYS[way](root)
    store.scores()  # its tables are there
    module = "tests.benchmarks.store"
    writing = [Worker(module, str(root), way, f"w{number}") for number in range(WRITERS)]
    reading = [Worker(module, str(root), way, f"r{number}") for number in range(READERS)]
    begun = time.perf_counter()
    for worker in (*reading, *writing):
        worker.send(seconds=SECONDS, every=every)
    acknowledged = {window for worker in writing for window in worker.receive()["windows"]}
    seconds = time.perf_counter() - begun
    waits = [wait for worker in reading for wait in worker.receive()["waits"]]
    for worker in (*reading, *writing):
        worker.close()
    check(store, acknowledged)
    return len(acknowledged), seconds, waits


def kill_a_writer(root: Path) -> tuple[int, int]:
    """Kill one of the writers; return how many profiles it had acknowledged, and all there are."""
    module = "tests.benchmarks.store"
    writing = [Worker(module, str(root), "ours", f"w{number}") for number in range(WRITERS)]
    victim, *others = writing
    for worker in writing:
        worker.send(seconds=SECONDS / 2, every=0.0)
    time.sleep(SECONDS / 4 + random.uniform(0, 0.2))
    victim.process.kill()
    victim.process.wait()
    acknowledged = {window for worker in others for window in worker.receive()["windows"]}
    for worker in others:
        worker.close()
    kept = (root.parent / "w0").read_text().splitlines()
    store = Ours(root)
    check(store, acknowledged | set(kept))
    assert store.store.set_aside() == []
    return len(kept), len(store.read())


def check(store: Written, acknowledged: set[str]) -> None:
    """Fail unless all that was acknowledged is there, and whole."""
    found, scores = store.read(), store.scores()
    assert acknowledged <= set(found), f"{len(acknowledged - set(found))} profiles were lost"
    assert set(scores.values()) == {FEATURES}, "a window has some of its distances only"
    assert set(found) <= set(scores)
    if isinstance(store, Ours):
        blobs = (row.profile for row in store.store.latest(kinds.Verdict, model=MODEL))
        assert all(len(store.store.blob(blob)) == BLOB for blob in blobs)


def rebuild(root: Path) -> str:
    """Return how long it takes to make the index from the files."""
    begun = time.perf_counter()
    files = Store(root).rebuild()
    seconds = time.perf_counter() - begun
    return f"{files:,} files in {seconds:.2f} s, {files / seconds:,.0f} a second"


def main(root: str, way: str, role: str) -> None:
    """Write, or read, for so many seconds."""
    store = WAYS[way](Path(root))
    store.scores()  # what a process loads at its first question is no wait
    windows: list[str] = []
    waits: list[float] = []

    def answer(seconds: float, every: float) -> dict[str, Any]:
        start = time.perf_counter()
        end = start + seconds
        with (Path(root).parent / role).open("a") as acknowledged:
            while (begun := time.perf_counter()) < end:
                if role.startswith("r"):
                    store.read()
                    waits.append(time.perf_counter() - begun)
                    continue
                time.sleep(max(0.0, start + len(windows) * every - begun))
                windows.append(f"{role}-{len(windows):06}")
                store.write(windows[-1])
                print(windows[-1], file=acknowledged, flush=True)
        return {"windows": windows, "waits": waits}

    answer_questions({"role": role}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
