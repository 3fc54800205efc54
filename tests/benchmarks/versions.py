"""The embedded repository beside DVC doing the same, and beside plain file copies, the floor.

A copy has no version and no checksum. Flushed, each file is on the disk when it returns, as with a
commit of ours; DVC does not flush. DVC by its Python API is one process that has imported it; by its
commands, each command is a process, as in a shell. See `versions_dvc`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_assets.versions import Repository, open_repository
from tests.benchmarks.measuring import PEERS, Seconds, Worker, in_words, measured, ratio, say, table

BIG, SMALL, FILES, COMMITS = 100 * 2**20, 2**10, 1_000, 1_000
BIG_ONES = (0, 1, 2, -1)  # the last is for warming up
MAIN = "main"
HEADER = [
    "",
    "embedded",
    "DVC, API",
    "DVC, commands",
    "copy",
    "copy, flushed",
    "DVC API/embedded",
    "commands/embedded",
    "embedded/floor",
]


class Peer:
    """DVC, if the peers' environment is there."""

    def __init__(self, folder: Path) -> None:
        self.worker = None
        if not PEERS.exists():
            say("DVC is not installed: `make bench` does it")
            return
        settings = {
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(folder / "settings"),
            "DVC_SYSTEM_CONFIG_DIR": str(folder / "settings"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_NAME": "bench" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "bench@example.org" for who in ("AUTHOR", "COMMITTER")},
        }
        self.worker = Worker(
            "tests.benchmarks.versions_dvc", str(folder / "dvc"), settings=settings, python=PEERS
        )
        said = in_words(self.worker.start)
        say(f"DVC {self.worker.ready['version']}, imported and a project begun in {said}")

    def both(self, what: str, api: int, commands: int, **settings: Any) -> list[Seconds | None]:
        """Return what it takes by the API and by commands, with so many repetitions of each."""
        if self.worker is None:
            return [None, None]
        found: list[Seconds | None] = []
        for repetitions, by_commands in ((api, False), (commands, True)):
            asked = {"what": what, "commands": by_commands, "repetitions": repetitions}
            answer = self.worker.ask(**asked, **settings) if repetitions else None
            found.append(Seconds(tuple(answer["seconds"])) if answer else None)
        return found

    def lengthen(self, commits: int) -> None:
        """Give it a history of that many commits."""
        if self.worker is not None:
            ask = {"what": "lengthen", "commands": True, "repetitions": 1, "warm": False}
            self.worker.ask(**ask, commits=commits)

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()


def run() -> None:
    """Print one row for each operation."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "floor").mkdir()
        versions = open_repository(str(folder / "repository"))
        peer = Peer(folder)
        # made beforehand, each with other bytes: the same ones would be stored once
        sources = [folder / f"big-{number}" for number in BIG_ONES]
        for source in sources:
            source.write_bytes(os.urandom(BIG))
        try:
            lines = [
                _line(
                    f"put and commit {BIG >> 20} MB",
                    peer.both("big", 3, 3, source=[str(source) for source in sources]),
                    *_big(versions, folder, sources),
                ),
                _line(
                    f"{FILES:,} files of 1 kB, one commit",
                    peer.both("many", 3, 3, files=FILES),
                    *_many(versions, folder),
                ),
                _line(
                    "one file of 1 kB, one commit",
                    peer.both("small", 10, 3),
                    *_small(versions, folder),
                ),
            ]
            peer.lengthen(COMMITS)  # as ours is by now
            lines += [
                _line("branch, commit, merge", peer.both("merge", 10, 3), _merge(versions)),
                _line(
                    f"read 1 kB at a commit {COMMITS:,} ago",
                    peer.both("read", 20, 3),
                    *_read(versions, folder),
                ),
                *(
                    _line(
                        f"log of {COMMITS:,}" + (", one folder's" if path else ""),
                        peer.both("log", 0, 5, limit=COMMITS, path=path or "."),
                        _log(versions, path),
                    )
                    for path in (None, "small/")
                ),
            ]
        finally:
            peer.close()
    table("Versions: the embedded repository, DVC, and plain files", HEADER, lines)
    say("  DVC's log is git's own, of the small files that stand for the data")


def _line(title: str, peers: list[Seconds | None], ours: Seconds, *floors: Seconds) -> list[object]:
    shown = [*floors, "", ""][:2]
    times = [ratio(one, ours) if one else "" for one in peers]
    floor = ratio(ours, floors[-1]) if floors else ""
    return [title, ours, *(one or "" for one in peers), *shown, *times, floor]


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


def _big(versions: Repository, folder: Path, sources: list[Path]) -> list[Seconds]:
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
    for file in (*sources, target):
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
