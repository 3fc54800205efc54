"""The embedded repository beside plain file copies, which are the floor: no version, no checksum.

Flushed, a copy is as durable as a commit: each file is on the disk when it returns: that is the floor of a commit.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlops_assets.versions import Repository, open_repository
from tests.benchmarks.measuring import Seconds, measured, ratio, table

BIG, SMALL, FILES, COMMITS = 100 * 2**20, 2**10, 1_000, 1_000
MAIN = "main"


def run() -> None:
    """Print one row for each operation."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "floor").mkdir()
        versions = open_repository(str(folder / "repository"))
        lines = [
            _line(f"put and commit {BIG >> 20} MB", *_big(versions, folder)),
            _line(f"{FILES:,} files of 1 kB, one commit", *_many(versions, folder)),
            _line("one file of 1 kB, one commit", *_small(versions, folder)),
            _line("branch, commit, merge", _merge(versions)),
            _line(f"read 1 kB at a commit {COMMITS:,} ago", *_read(versions, folder)),
            _line(f"log of {COMMITS:,}", _log(versions)),
            _line(f"log of {COMMITS:,}, one folder's", _log(versions, "small/")),
        ]
    header = ["", "embedded", "copy", "copy, flushed", "embedded/floor"]
    table("Versions: the embedded repository beside plain files", header, lines)


def _line(title: str, ours: Seconds, *floors: Seconds) -> list[object]:
    shown = [*floors, "", ""][:2]
    return [title, ours, *shown, ratio(ours, floors[-1]) if floors else ""]


def _write(target: Path, data: bytes, *, flush: bool) -> None:
    with target.open("wb") as file:
        file.write(data)
        if flush:
            file.flush()
            os.fsync(file.fileno())


def _committed(
    versions: Repository, files: Callable[[int], dict[str, Path | bytes]]
) -> Callable[[int], object]:
    def work(number: int) -> None:
        with versions.transaction(MAIN, f"number {number}") as transaction:
            for path, source in files(number).items():
                transaction.put(path, source)

    return work


def _big(versions: Repository, folder: Path) -> list[Seconds]:
    # made beforehand, each with other bytes: the same ones would be stored once
    sources = {number: folder / f"big-{number}" for number in (-1, 0, 1, 2)}
    for source in sources.values():
        source.write_bytes(os.urandom(BIG))
    found = [measured(_committed(versions, lambda number: {"big.bin": sources[number]}), 3)]
    target = folder / "floor" / "big"
    for flush in (False, True):

        def copy(number: int, flush: bool = flush) -> None:
            target.unlink(missing_ok=True)
            shutil.copyfile(sources[number], target)
            if flush:
                with target.open("rb+") as file:
                    os.fsync(file.fileno())

        found.append(measured(copy, 3))
    for file in (*sources.values(), target):
        file.unlink()
    return found


def _many(versions: Repository, folder: Path) -> list[Seconds]:
    content = {n: [os.urandom(SMALL) for _ in range(FILES)] for n in (-1, 0, 1, 2)}

    def files(number: int) -> dict[str, Path | bytes]:
        return {f"many/{place:04d}": data for place, data in enumerate(content[number])}

    found = [measured(_committed(versions, files), 3)]
    for flush in (False, True):

        def copy(number: int, flush: bool = flush) -> None:
            target = folder / "floor" / f"many-{number}-{flush}"
            target.mkdir()
            for place, data in enumerate(content[number]):
                _write(target / f"{place}", data, flush=flush)

        found.append(measured(copy, 3))
    return found


def _small(versions: Repository, folder: Path) -> list[Seconds]:
    """Also makes the history that `_read` and `_log` look at."""
    data = os.urandom(SMALL)
    found = [
        measured(_committed(versions, lambda n: {f"small/{n % 50}": os.urandom(SMALL)}), COMMITS)
    ]
    for flush in (False, True):

        def copy(number: int, flush: bool = flush) -> None:
            _write(folder / "floor" / f"small-{number}", data, flush=flush)

        found.append(measured(copy, COMMITS // 5))
    return found


def _merge(versions: Repository) -> Seconds:
    def work(number: int) -> None:
        branch = f"landing-{number}"
        versions.create_branch(branch)
        with versions.transaction(branch, "landed") as transaction:
            transaction.put(f"merged/{number}", os.urandom(SMALL))
        versions.merge(branch, MAIN, "published")
        versions.delete_branch(branch)

    return measured(work, 50)


def _read(versions: Repository, folder: Path) -> list[Seconds]:
    early = list(versions.log(MAIN, path="small/"))[-1].id
    file = folder / "floor" / "small-0"
    path = versions.objects(early, "small/")[0].path
    plain = measured(lambda _: file.read_bytes(), 200)
    return [measured(lambda _: versions.read(early, path), 200), plain]


def _log(versions: Repository, path: str | None = None) -> Seconds:
    def work(_: int) -> None:
        assert len(list(versions.log(MAIN, limit=COMMITS, path=path))) == COMMITS

    return measured(work, 5)
