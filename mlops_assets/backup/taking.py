"""A backup taken while others work: what names comes before what is named.

Everything in a home is complete or absent, and what is killed half-way is done again. So a state is
good if all that it names is in it: Dagster's databases are copied first, then the ledger with MLflow's
database, the records, the models' files, and last the repository, in which nothing is collected
meanwhile. What came in during the backup may be in it too, and is then named by nobody, or is due again.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from mlops_assets import clock
from mlops_assets.backup.archive import HEADER, Header, Writer
from mlops_assets.errors import BackupError
from mlops_assets.home import Home
from mlops_assets.learning.environment import libraries
from mlops_assets.versions.embedded.bare import kept_whole

Tell = Callable[[int], None]

_SQLITE = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")  # SQLite's own, of which a copy is no use
_ENTRIES = 20  # tries to have ledger and MLflow of one moment; promotions are hours apart
_DRAFTS = {("store", "staging"), ("lfs", "staging")}
_LEFT = {"cache", "in_use.lock", "in_use_by"}


@dataclass(frozen=True)
class Taken:
    """What a backup holds; sizes in bytes, before and after compression."""

    file: Path
    home: Path
    files: int
    size: int
    archive_size: int
    left_out: tuple[str, ...]


def take(home: Home, file: Path, tell: Tell) -> Taken:
    """Write a home to one file, which is there complete or not at all.

    Args:
        home: may be in use by any number of processes.
        file: where nothing stands yet, outside the home.
        tell: told how many files are in it, as it grows.

    Raises:
        BackupError: there is nothing to back up, or something stands at the file's place already.
        RepositoryBusyError: data is being collected from the repository.
    """
    file = file.expanduser().absolute()
    if not any((home.root / part).is_dir() for part in ("dagster", "ledger", "repository")):
        raise BackupError(f"there is no home at {home.root} to back up; MLOPS_HOME names another")
    if not file.parent.is_dir():
        raise BackupError(f"there is no folder {file.parent}: make it first, or name another")
    if os.path.lexists(file):
        raise BackupError(f"{file} is there already: name another file, or remove it first")
    if file.resolve().is_relative_to(home.root.resolve()):
        raise BackupError(f"{file} is inside the home, which it is a copy of: name another place")
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    left_out = _left_out(home)
    try:
        with (
            draft.open("xb") as opened,
            tarfile.open(
                fileobj=opened,
                mode="w:gz",
                compresslevel=1,
                format=tarfile.PAX_FORMAT,
                dereference=True,  # a file with several names is no link to another
            ) as archive,
        ):
            writer = Writer(archive)
            header = Header(
                clock.now().isoformat(timespec="seconds"),
                str(home.root),
                libraries()["mlops_assets"],
                left_out,
            )
            writer.add_text(HEADER, header.encode())
            _Taking(home, writer, draft.with_name(f"{draft.name}.db"), tell).run()
            writer.close()
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        _publish(draft, file)
        archive_size = file.stat().st_size
    finally:
        draft.unlink(missing_ok=True)
    return Taken(file, home.root, len(writer.checksums), writer.size, archive_size, left_out)


def _publish(draft: Path, file: Path) -> None:
    try:
        os.link(draft, file)  # unlike a rename, this never replaces
    except FileExistsError as error:
        raise BackupError(f"{file} was made by somebody else meanwhile: name another") from error
    except OSError:
        draft.rename(file)  # a file system without links


@dataclass
class _Taking:
    """One backup under way."""

    home: Home
    writer: Writer
    scratch: Path  # for one copy of a database at a time
    tell: Tell
    copied: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Copy all parts, those that name before those that are named."""
        history = Path("dagster", "history")
        for first in (
            history / "runs.db",
            Path("dagster/schedules/schedules.db"),
            history / "runs" / "index.db",
        ):
            if (self.home.root / first).is_file():
                self._copy(first)
        self._ledger_and_registry()
        self._records()
        for part in sorted(self.home.root.iterdir()):
            if part.name not in _LEFT | {"ledger", "store", "repository"}:
                self._everything(part)
        self._repository()

    def _ledger_and_registry(self) -> None:
        """Copy the ledger and MLflow's database of one moment between two entries."""
        ledger, database = self.home.root / "ledger", Path("mlflow/mlflow.db")
        if not (self.home.root / database).is_file():
            self._everything(ledger)
            return
        for _ in range(_ENTRIES):
            before = [*_files(ledger)]
            _copy_of_database(self.home.root / database, self.scratch)
            if before == [*_files(ledger)]:
                break
        else:
            raise BackupError("the ledger changed again and again while it was copied; try again")
        try:
            self._add(database, self.scratch)
        finally:
            self.scratch.unlink(missing_ok=True)
        for file in before:
            self._copy(file.relative_to(self.home.root))

    def _records(self) -> None:
        """Copy records, then what they name; again where that was merged away meanwhile."""
        store = self.home.root / "store"
        lost = True
        while lost:
            self._everything(store / "incoming")
            self._everything(store / "records")
            lost = not self._everything(store / "blobs")
        self._everything(store / "aside")

    def _repository(self) -> None:
        """Copy the names first: the objects of what is committed meanwhile are not missed."""
        folder = self.home.root / "repository"
        if not folder.is_dir():
            return
        # where nothing can be written nothing is collected either
        with kept_whole(folder) if os.access(folder, os.W_OK) else nullcontext():
            for name in ("HEAD", "config", "description", "packed-refs"):
                if (folder / name).is_file():
                    self._copy(Path("repository", name))
            for name in ("refs", "objects", "lfs/objects"):
                self.writer.add_folder(f"repository/{name}")
            self.writer.add_folder("repository/lfs/staging")
            self._everything(folder / "refs")
            if not (self._everything(folder / "objects") and self._everything(folder / "lfs")):
                raise BackupError(f"objects of {folder} vanished while they were copied; try again")

    def _everything(self, folder: Path) -> bool:
        """Copy what is not copied yet; return whether nothing vanished meanwhile."""
        whole = True
        for file in _files(folder):
            try:
                self._copy(file.relative_to(self.home.root))
            except FileNotFoundError:
                whole = False
        return whole

    def _copy(self, name: Path) -> None:
        if name.as_posix() in self.copied:
            return
        source = self.home.root / name
        with source.open("rb") as opened:
            is_database = opened.read(len(_SQLITE)) == _SQLITE
        if not is_database:
            self._add(name, source)
            return
        try:
            _copy_of_database(source, self.scratch)
            self._add(name, self.scratch)
        finally:
            self.scratch.unlink(missing_ok=True)

    def _add(self, name: Path, source: Path) -> None:
        self.writer.add(name.as_posix(), source)
        self.copied.add(name.as_posix())
        self.tell(len(self.copied))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, or itself if it is one; no drafts, locks or loops of links."""
    if folder.is_file():
        yield folder
        return
    seen = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        here = Path(at)
        try:
            place = here.stat()
        except FileNotFoundError:
            continue  # gone since it was listed
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        folders[:] = sorted(name for name in folders if (here.name, name) not in _DRAFTS)
        for name in sorted(names):
            # what a model's files are called is not ours to say
            if ("artifacts" in here.relative_to(folder).parts or not _is_passing(name)) and (
                here / name
            ).is_file():
                yield here / name


def _is_passing(name: str) -> bool:
    """Tell a lock, or a file that somebody is about to write, by its name."""
    return (
        name.endswith((".lock", *_BESIDE))
        or (name.startswith(".") and name != ".gitignore")
        or name.startswith("tmp_")
    )


def _copy_of_database(source: Path, target: Path) -> None:
    """Copy a SQLite database as it is at one moment, whoever writes to it."""
    target.unlink(missing_ok=True)
    # where nothing can be written SQLite may not look for who writes; there nobody does
    how = "mode=rw" if os.access(source.parent, os.W_OK) else "immutable=1"
    address = f"file:{quote(str(source))}?{how}"
    try:
        with (
            closing(sqlite3.connect(address, uri=True, timeout=60)) as opened,
            closing(sqlite3.connect(target)) as copy,
        ):
            opened.backup(copy)
    except sqlite3.Error as error:
        if not source.exists():
            raise FileNotFoundError(source) from error  # its run was deleted just now
        raise BackupError(
            f"{source} can't be copied: {error}; see whether there is room beside it, and where the "
            "backup goes"
        ) from error


def _left_out(home: Home) -> tuple[str, ...]:
    """Say what the home uses and does not hold."""
    found = []
    if "://" in home.repository:
        found.append(f"the repository {home.repository}, which its server keeps")
    elif not _is_inside(home, home.repository):
        found.append(f"the repository {home.repository}, which is outside the home")
    if not _is_inside(home, home.dagster):
        found.append(f"Dagster's instance {home.dagster}, which is outside the home")
    if not _is_inside(home, home.store):
        found.append(f"the store {home.store}, which is outside the home")
    if not _is_inside(home, home.ledger):
        found.append(f"the ledger {home.ledger}, which is outside the home")
    if home.mlflow_artifacts is None:
        found.append("MLflow, which MLFLOW_TRACKING_URI names")  # its address may hold a password
    return tuple(found)


def _is_inside(home: Home, place: str | Path) -> bool:
    return Path(place).expanduser().absolute().is_relative_to(home.root)
