"""The store: what a tick of the sensors asks of it, and processes that write to it at once.

A profile written is its blob (300 kB), its 30 distances and its verdict, each complete or absent and
flushed to the disk; acknowledged when all are.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mlops_assets.profiles.index import Index
from mlops_assets.profiles.store import Store
from tests.benchmarks.measuring import (
    Worker,
    answer_questions,
    measured,
    say,
    table,
)

SIZES = (10_000, 100_000)
FEATURES = 30
WRITERS, EACH, READERS = 8, 40, 2
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
            first = measured(lambda _: tick(store), 1, warm=False)  # noqa: B023
            nothing = measured(lambda _: tick(store), 20)  # noqa: B023
            new = measured(lambda number: arrive(store, windows + number), 5)  # noqa: B023
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
        store.newest("verdicts", "batch_version", "champion", model=MODEL)
        store.newest("labels", "version", model=MODEL)
        for kind in ("performance", "staleness"):
            store.newest(kind, "batch_version", "labels_version", model=MODEL)
    measures = ("champion", "since", "measure", "gain", "reason", "served")
    store.newest("staleness", *measures, model=MODEL)
    store.latest("verdicts", model=MODEL, window=newest)
    store.rows("verdicts", model=MODEL, after_event=10**12, verdict="drifted")
    for trigger in ("missing", "drift"):
        store.latest("decisions", model=MODEL, trigger=trigger)
    store.latest("decisions", model=MODEL, cause="drift:w:v1")
    store.latest("outcomes", model=MODEL)
    store.rows("controls", model=MODEL)
    store.rows("controls", model=MODEL, action="retrain")


def arrive(store: Store, number: int) -> None:
    """Let a window's verdict come in, then tick."""
    window = f"3000-{number:09}"
    add_verdict(store, window)
    tick(store, window)


def add_verdict(store: Store, window: str, profile: str = "p") -> None:
    """Add a window's distances and its verdict."""
    common = {"model": MODEL, "window": window, "champion": 1, "features_commit": "c"}
    line = {"kind": "ks", "distance": 0.1, "own_low": 0.0, "own_high": 0.2, "share": 0.01}
    line |= {"null_change": 0.0}
    store.add_many("distances", [{**common, **line, "feature": f"f{n}"} for n in range(FEATURES)])
    said = {"verdict": "stable", "sentence": "within the limit " * 10, "policy": "y", "detail": {}}
    counted = {"batch_version": "b", "profile": profile, "rows": 1, "exceeds": False}
    store.add("verdicts", {**common, **said, **counted})


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
        f"repeat('within the limit ', 10), {sha}, '{{\"k\": 1}}', {sha} {every}",
        "labels": f"SELECT i * 40 + 1, {own}, {sha}, {sha}, 500, 100, 0 {every}",
        "performance": f"SELECT i * 40 + 2, {own}, 1, 'auc', .7, 500, .2, {', '.join([sha] * 5)} "
        f"{every}",
        "distances": f"SELECT i * 40 + 5 + f, sha256(i || ':' || f), TIMESTAMP '2020-01-01' + "
        f"to_seconds(i), '{MODEL}', {window}, 'feature ' || f, 1, 'ks', random(), 0, .2, .03, 0, "
        f"{sha}, .1, .1, 0 {every}, range({FEATURES}) u(f)",
    }
    with index._attached(read_only=False) as engine:
        for kind, made in rows.items():
            engine.execute(f'INSERT INTO store."{kind}" {made}')
        engine.execute(f"UPDATE store.{_state(engine)} SET last = {windows * 40}")
    return Store(root)


def _state(engine: Any) -> str:
    (name,) = engine.execute(
        "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'state_%'"
    ).fetchone()
    return str(name)


def writers() -> None:
    """Print how fast several processes write profiles, and how long others wait to read."""
    with tempfile.TemporaryDirectory() as folder:
        module, root = "tests.benchmarks.store", str(Path(folder) / "store")
        writing = [Worker(module, root, str(number)) for number in range(WRITERS)]
        reading = [Worker(module, root, f"r{number}") for number in range(READERS)]
        begun = time.perf_counter()
        for worker in (*reading, *writing):
            worker.send(profiles=EACH)
        for worker in writing:
            worker.receive()
        seconds = time.perf_counter() - begun
        (Path(folder) / "done").touch()
        waits = [wait for worker in reading for wait in worker.receive()["waits"]]
        for worker in (*reading, *writing):
            worker.close()
        store = Store(Path(root))
        found = {row["window"]: row["profile"] for row in store.latest("verdicts", model=MODEL)}
        scores = store.query("SELECT count(*) FROM distances").item()
        expected = {f"{worker:02}-{n:04}" for worker in range(WRITERS) for n in range(EACH)}
        assert set(found) == expected, f"{len(expected - set(found))} profiles were lost"
        assert scores == len(expected) * FEATURES
        assert all(len(store.blob(blob)) == BLOB for blob in found.values())
    say(
        f"\n{WRITERS} processes wrote {len(expected)} profiles in {seconds:.1f} s, "
        f"{len(expected) / seconds:.0f} a second, none lost; meanwhile {READERS} processes read "
        f"{len(waits)} times, the longest took {max(waits) * 1000:.0f} ms"
    )


def write(root: Path, worker: int, profiles: int) -> dict[str, Any]:
    """Write so many profiles."""
    store = Store(root)
    for number in range(profiles):
        blob = store.add_blob(os.urandom(BLOB))
        add_verdict(store, f"{worker:02}-{number:04}", blob)
    return {"written": profiles}


def read(root: Path) -> dict[str, Any]:
    """Read until the writers are done."""
    store, waits = Store(root), []
    while not (root.parent / "done").exists():
        begun = time.perf_counter()
        store.latest("verdicts", model=MODEL)
        waits.append(time.perf_counter() - begun)
    return {"waits": waits}


def main(root: str, role: str) -> None:
    def answer(profiles: int) -> dict[str, Any]:
        return read(Path(root)) if role.startswith("r") else write(Path(root), int(role), profiles)

    answer_questions({"role": role}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
