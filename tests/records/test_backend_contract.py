"""What every backend promises; one that comes later joins `BACKENDS`, or `INDEXED` as well."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.records.backend import Backend, IndexedBackend
from mlops_assets.records.folder import Folder, RecordFolder

BACKENDS: dict[str, Callable[[Path], Backend]] = {"folder": Folder, "records": RecordFolder}
INDEXED: dict[str, Callable[[Path], IndexedBackend]] = {"records": RecordFolder}
#: file systems; the second is as FAT and several network ones are
DISKS = ("links", "no links")
NAMES = [f"{number:064x}.json" for number in range(40)]

PROGRAM = """
import errno, json, os, sys
from pathlib import Path
from tests.records.test_backend_contract import BACKENDS, NAMES, without_links

backend = BACKENDS[sys.argv[1]](Path(sys.argv[3]))
if sys.argv[2] == "no links":
    os.link = without_links
me, job = sys.argv[4], sys.argv[5]
print("ready", flush=True)
sys.stdin.readline()
if job == "once":
    print(json.dumps([n for n in NAMES if backend.add_if_absent(n, f"{me} {n}".encode() * 999)]))
else:
    for number in range(10**9):
        assert backend.add_if_absent(f"{number:064x}.json", str(number).encode() * 9999)
        print(number, flush=True)
"""


def without_links(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=DISKS)
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "no links":
        monkeypatch.setattr(os, "link", without_links)
    return str(request.param)


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(name: str, disk: str, tmp_path: Path) -> Backend:
    return BACKENDS[name](tmp_path / "place")


def started(name: str, disk: str, root: Path, me: str, job: str) -> subprocess.Popen[str]:
    """Start another process that waits for a line before it begins."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, disk, str(root), me, job],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def test_a_name_has_the_content_that_came_first(backend: Backend) -> None:
    assert backend.add_if_absent(NAMES[0], b"first")
    assert not backend.add_if_absent(NAMES[0], b"second")
    assert not backend.add_if_absent(NAMES[0], b"first")
    assert backend.add_if_absent(NAMES[1], b"")

    assert backend.read(NAMES[0]) == b"first"
    assert backend.read(NAMES[1]) == b""
    assert sorted(backend.names()) == NAMES[:2]


def test_an_empty_place_has_no_names_and_reading_makes_nothing(
    backend: Backend, tmp_path: Path
) -> None:
    assert backend.names() == []
    with pytest.raises(FileNotFoundError):
        backend.read(NAMES[0])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        BACKENDS[name](tmp_path / "file").add_if_absent(NAMES[0], b"content")


def test_of_many_processes_that_add_one_name_one_is_told_so(
    name: str, disk: str, tmp_path: Path
) -> None:
    root = tmp_path / "place"
    processes = [started(name, disk, root, str(me), "once") for me in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    won = {me: json.loads(process.communicate()[0]) for me, process in enumerate(processes)}

    assert Counter(n for names in won.values() for n in names) == Counter(NAMES)
    backend = BACKENDS[name](root)
    assert sorted(backend.names()) == NAMES
    for me, names in won.items():
        assert all(backend.read(n) == f"{me} {n}".encode() * 999 for n in names)


def test_a_killed_process_leaves_what_it_acknowledged_and_nothing_half(
    name: str, disk: str, tmp_path: Path
) -> None:
    root = tmp_path / "place"
    process = started(name, disk, root, "victim", "for ever")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    acknowledged = [*range(5), *map(int, process.communicate()[0].split())]

    backend = BACKENDS[name](root)
    names = sorted(backend.names())
    assert names[: len(acknowledged)] == [f"{number:064x}.json" for number in acknowledged]
    assert len(names) <= len(acknowledged) + 1  # added, and killed before it could say so
    for number, there in enumerate(names):
        assert backend.read(there) == str(number).encode() * 9999
    assert backend.add_if_absent(f"{len(names):064x}.json", b"the next one")


@pytest.fixture(params=INDEXED)
def indexed(request: pytest.FixtureRequest, disk: str, tmp_path: Path) -> Iterator[IndexedBackend]:
    return INDEXED[request.param](tmp_path / "place")


def test_what_was_marked_is_listed_no_more_and_stays(indexed: IndexedBackend) -> None:
    for one in NAMES[:3]:
        indexed.add_if_absent(one, b"content")
    assert indexed.unindexed() == NAMES[:3]  # the oldest first

    indexed.mark_indexed([NAMES[0], NAMES[2], NAMES[9]])
    assert indexed.unindexed() == [NAMES[1]]
    assert sorted(indexed.indexed()) == [NAMES[0], NAMES[2]]
    assert sorted(indexed.names()) == NAMES[:3]
    looks = [(indexed.is_unindexed(one), indexed.is_indexed(one)) for one in NAMES[:4]]
    assert looks == [(False, True), (True, False), (False, True), (False, False)]
    assert not any(indexed.add_if_absent(one, b"another") for one in NAMES[:3])
    assert [indexed.read(one) for one in NAMES[:3]] == [b"content"] * 3
    indexed.mark_indexed(NAMES[:3])
    assert indexed.unindexed() == []


def test_one_is_told_that_it_added_also_while_names_are_marked(indexed: IndexedBackend) -> None:
    def add(_: int) -> list[str]:
        return [one for one in NAMES if indexed.add_if_absent(one, b"content")]

    def mark() -> None:
        while len(indexed.indexed()) < len(NAMES):
            indexed.mark_indexed(indexed.unindexed())

    with ThreadPoolExecutor(5) as threads:
        marking = threads.submit(mark)
        added = [one for names in threads.map(add, range(4)) for one in names]
        marking.result(timeout=60)
    assert sorted(added) == NAMES
    indexed.mark_indexed(indexed.unindexed())  # a twin may wait still
    assert sorted(indexed.names()) == sorted(indexed.indexed()) == NAMES


def test_what_is_no_record_is_in_no_list_once_set_aside(indexed: IndexedBackend) -> None:
    for one in NAMES[:2]:
        indexed.add_if_absent(one, b"no record")
    indexed.mark_indexed(NAMES[:1])
    for one in NAMES[:2]:
        assert indexed.set_aside(one)
    assert indexed.names() == indexed.unindexed() == indexed.indexed() == []
    with pytest.raises(FileNotFoundError):
        indexed.read(NAMES[0])
