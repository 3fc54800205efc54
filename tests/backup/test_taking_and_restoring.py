"""A home becomes one file while it is used, and that becomes a home again, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlops_assets.backup.restoring import Restored, restore
from mlops_assets.backup.taking import Taken, take
from mlops_assets.errors import BackupError, HomeError
from mlops_assets.home import Home
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.versions import open_repository

VARIABLES = (
    "DAGSTER_HOME",
    "MLOPS_REPOSITORY",
    "MLOPS_STORE",
    "MLOPS_LEDGER",
    "MLFLOW_TRACKING_URI",
)


@pytest.fixture(autouse=True, scope="module")
def _bare_environment() -> Iterator[None]:
    # of the module: what a test before it opened would be meant by its first home too
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        yield


def nothing(_files: int) -> None:
    """Tell nobody."""


def backed_up(home: Home, file: Path) -> Taken:
    return take(home, file, nothing)


def restored(home: Home, file: Path, *, replace: bool = False) -> Restored:
    return restore(home, file, nothing, replace=replace)


class Work:
    """What a run does: a commit, the record that names it, and the event that names the record."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.events = home.dagster / "history" / "runs" / "index.db"
        self.events.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.events)) as opened, opened:
            opened.execute("pragma journal_mode = wal")
            opened.execute("create table if not exists events (profile text)")

    def do(self, number: int) -> None:
        repository, store = open_repository(self.home.repository), Store(self.home.store)
        with repository.transaction("main", f"window {number}") as transaction:
            transaction.put(f"late/batches/{number}.parquet", f"rows {number}".encode() * 100)
        profile = store.add_blob(f"profile {number}".encode())
        store.add(
            kinds.Batch(
                model="late",
                window=f"{number:04d}",
                version=profile,
                commit_id=transaction.commit_id,
                rows=number,
            ),
        )
        with closing(sqlite3.connect(self.events, timeout=30)) as opened, opened:
            opened.execute("insert into events values (?)", [profile])

    def check(self) -> int:
        """Look up all that is named; return how many events there are."""
        store, repository = Store(self.home.store), open_repository(self.home.repository)
        with closing(sqlite3.connect(self.events)) as opened:
            events = {profile for (profile,) in opened.execute("select profile from events")}
        rows = store.rows(kinds.Batch, model="late")
        assert events <= {row.version for row in rows}
        for row in rows:
            assert store.blob(row.version)
            repository.commit(row.commit_id)
        assert repository.verify("main") == []
        return len(events)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which something of each kind was done; its backup stands beside it."""
    home = Home(tmp_path_factory.mktemp("original") / "home").prepare()
    work = Work(home)
    for number in range(3):
        work.do(number)
    (home.root / "ledger" / "late").mkdir(parents=True)
    (home.root / "ledger" / "late" / "000001.json").write_text("{}")
    (home.root / "mlflow" / "artifacts" / "run").mkdir(parents=True)
    (home.root / "mlflow" / "artifacts" / "run" / ".hidden").write_text("a model's")
    (home.root / "cache").mkdir()
    (home.root / "cache" / "one").write_text("quick")
    with closing(sqlite3.connect(home.root / "mlflow" / "mlflow.db")) as opened, opened:
        opened.execute("create table runs (id text)")
    backed_up(home, home.root.with_name("backup.tgz"))
    return home


@pytest.fixture
def home(original: Home, tmp_path: Path) -> Home:
    """Return a copy of it, to do anything with."""
    return Home(Path(shutil.copytree(original.root, tmp_path / "home")))


@pytest.fixture
def file(original: Home, tmp_path: Path) -> Path:
    """Return a copy of its backup."""
    return Path(shutil.copy(original.root.with_name("backup.tgz"), tmp_path))


def kept(home: Home) -> dict[str, bytes]:
    """Return what a backup has to hold, but for databases, whose bytes may differ."""
    return {
        str(path.relative_to(home.root)): path.read_bytes()
        for path in home.root.rglob("*")
        if path.is_file()
        and not path.name.endswith((".lock", ".db", ".duckdb", "-wal", "-shm"))
        and path.parts[len(home.root.parts)] != "cache"
    }


def test_a_restored_home_is_as_it_was(original: Home, file: Path, tmp_path: Path) -> None:
    new = Home(tmp_path / "deep" / "new")
    outcome = restored(new, file)
    assert kept(new) == kept(original)
    assert not (new.root / "cache").exists()
    assert Work(new).check() == 3
    assert outcome.header.home == str(original.root)
    assert outcome.aside is None
    assert [path.name for path in new.root.parent.iterdir()] == ["new"]
    # objects stay read-only, and as old as they were: garbage collection goes by it
    for path in (original.root / "repository" / "lfs" / "objects").rglob("*"):
        twin = new.root / path.relative_to(original.root)
        if path.is_file():
            assert (twin.stat().st_mode, int(twin.stat().st_mtime)) == (
                path.stat().st_mode,
                int(path.stat().st_mtime),
            )


def test_what_is_named_is_in_it_while_others_work(home: Home, tmp_path: Path) -> None:
    work, number, ended = Work(home), 3, threading.Event()

    def go_on() -> None:
        nonlocal number
        while not ended.is_set():
            work.do(number)
            number += 1

    worker = threading.Thread(target=go_on)
    worker.start()
    try:
        for copy in range(3):
            backed_up(home, tmp_path / f"{copy}.tgz")
    finally:
        ended.set()
        worker.join()
    for copy in range(3):
        new = Home(tmp_path / f"new {copy}")
        restored(new, tmp_path / f"{copy}.tgz")
        assert Work(new).check() >= 3


def test_stock_tools_read_it(file: Path) -> None:
    with tarfile.open(file) as archive:
        names = archive.getnames()
        listed = archive.extractfile("checksums.sha256")
        assert listed is not None
        lines = listed.read().decode().splitlines()
        for line in lines:
            checksum, name = line.split("  ", 1)
            content = archive.extractfile(name)
            assert content is not None
            assert hashlib.sha256(content.read()).hexdigest() == checksum
    assert (names[0], names[-1]) == ("backup.json", "checksums.sha256")
    assert not [name for name in names if name.endswith((".lock", "-wal", "index.duckdb"))]


def test_what_a_home_uses_and_does_not_hold_is_said(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_REPOSITORY", "lakefs://flights")
    monkeypatch.setenv("MLOPS_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@mlflow")
    taken = backed_up(home, tmp_path / "b.tgz")
    assert taken.left_out == (
        "the repository lakefs://flights, which its server keeps",
        f"the ledger {tmp_path / 'ledger'}, which is outside the home",
        "MLflow, which MLFLOW_TRACKING_URI names",
    )
    assert restored(Home(tmp_path / "new"), tmp_path / "b.tgz").header.left_out == taken.left_out


def test_nothing_is_written_over(home: Home, file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        backed_up(home, file)
    with pytest.raises(BackupError, match="inside the home"):
        backed_up(home, home.root / "backup.tgz")
    with pytest.raises(BackupError, match=r"no home at .* to back up"):
        backed_up(Home(tmp_path / "none"), tmp_path / "none.tgz")
    with pytest.raises(BackupError, match=r"there is a home at .*--replace"):
        restored(home, file)
    assert file.read_bytes() == before
    assert Work(home).check() == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tgz", "home"]


def test_a_folder_that_is_not_there_is_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"there is no folder .*nowhere"):
        backed_up(home, tmp_path / "nowhere" / "a.tgz")


def test_where_a_home_lies_does_not_tell_what_belongs_to_it(home: Home, tmp_path: Path) -> None:
    # given a home below a folder whose name MLflow uses too, and files that others hold just now
    place = tmp_path / "artifacts" / "home"
    shutil.copytree(home.root, place)
    (place / "ledger" / "late" / "000002.json.lock").write_text("")
    backed_up(Home(place), tmp_path / "b.tgz")
    # then only what stays is taken, and of a model all of it
    with tarfile.open(tmp_path / "b.tgz") as archive:
        names = archive.getnames()
    assert not [name for name in names if name.endswith(".lock")]
    assert [name for name in names if name.endswith("artifacts/run/.hidden")]


def test_a_home_that_is_there_is_put_aside(home: Home, file: Path) -> None:
    Work(home).do(7)
    outcome = restored(home, file, replace=True)
    assert Work(home).check() == 3
    assert outcome.aside is not None
    assert Work(Home(outcome.aside)).check() == 4


def test_a_home_in_use_is_left_alone(home: Home, file: Path) -> None:
    with home.held("mlops dev"), pytest.raises(HomeError, match="in use by `mlops dev`"):
        restored(home, file, replace=True)
    assert Work(home).check() == 3


def test_a_home_that_was_never_used_gives_way(file: Path, tmp_path: Path) -> None:
    new = Home(tmp_path / "new").prepare()
    assert restored(new, file).aside is None
    assert Work(new).check() == 3
    mine = Home(tmp_path / "mine").prepare()
    (mine.dagster / "dagster.yaml").write_text("# mine\n")
    with pytest.raises(BackupError, match="there is a home"):
        restored(mine, file)


def rewritten(file: Path, change: Callable[[tarfile.TarFile, tarfile.TarFile], None]) -> Path:
    """Return another archive, made of one."""
    made = file.with_name("made.tgz")
    with tarfile.open(file) as source, tarfile.open(made, "w:gz") as target:
        change(source, target)
    return made


def entries(source: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for entry in source:
        content = source.extractfile(entry)
        yield entry, content.read() if content else b""


def with_entry(hostile: tarfile.TarInfo, content: bytes = b"evil") -> Callable[..., None]:
    def change(source: tarfile.TarFile, target: tarfile.TarFile) -> None:
        for number, (entry, text) in enumerate(entries(source)):
            target.addfile(entry, io.BytesIO(text))
            if number == 0:
                hostile.size = len(content) if hostile.isreg() else 0
                target.addfile(hostile, io.BytesIO(content))

    return change


def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


@pytest.mark.parametrize(
    ("hostile", "said"),
    [
        (named("../evil"), "outside the home"),
        (named("/evil"), "outside the home"),
        (named("ledger/../../evil"), "outside the home"),
        (named("ledger\\..\\evil"), "outside the home"),
        (named("ledger", tarfile.SYMTYPE, "/etc"), "neither a file nor a folder"),
        (named("ledger/hard", tarfile.LNKTYPE, "/etc/passwd"), "neither a file nor a folder"),
        (named("ledger/pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (named("dagster/dagster.yaml"), "twice"),
        (named("ledger/late/000002.json"), "is damaged: 'ledger/late/000002.json'"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else "",
)
def test_a_hostile_archive_writes_nothing(
    hostile: tarfile.TarInfo, said: str, file: Path, tmp_path: Path
) -> None:
    made = rewritten(file, with_entry(hostile))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BackupError, match=said):
        restored(Home(tmp_path / "new"), made)
    assert sorted(tmp_path.iterdir()) == before


def altered(source: tarfile.TarFile, target: tarfile.TarFile) -> None:
    for entry, text in entries(source):
        changed = text.replace(b"rows 1", b"rows 2") if "lfs" in entry.name else text
        target.addfile(entry, io.BytesIO(changed))


def newer(source: tarfile.TarFile, target: tarfile.TarFile) -> None:
    for entry, text in entries(source):
        changed = text.replace(b'"format": 1', b'"format": 9')
        target.addfile(entry, io.BytesIO(changed if entry.name == "backup.json" else text))


def shortened(source: tarfile.TarFile, target: tarfile.TarFile) -> None:
    for entry, text in entries(source):
        if entry.name != "checksums.sha256":
            target.addfile(entry, io.BytesIO(text))


def headless(source: tarfile.TarFile, target: tarfile.TarFile) -> None:
    for entry, text in entries(source):
        if entry.name != "backup.json":
            target.addfile(entry, io.BytesIO(text))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (altered, "is damaged: 'repository/lfs/"),
        (newer, "made by mlops_assets .*install that version"),
        (shortened, "is cut off"),
        (headless, "it has no backup.json"),
    ],
)
def test_a_damaged_backup_is_refused(
    change: Callable[[tarfile.TarFile, tarfile.TarFile], None],
    said: str,
    file: Path,
    tmp_path: Path,
) -> None:
    made = rewritten(file, change)
    with pytest.raises(BackupError, match=said):
        restored(Home(tmp_path / "new"), made)
    assert not (tmp_path / "new").exists()


def test_a_backup_that_is_cut_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    cut = tmp_path / "cut.tgz"
    for size in (0, 10, len(whole) // 3, len(whole) // 2, len(whole) * 9 // 10):
        cut.write_bytes(whole[:size])
        with pytest.raises(BackupError):
            restored(Home(tmp_path / "new"), cut)
    for text in (b"no archive", gzip.compress(b"nor this")):
        cut.write_bytes(text)
        with pytest.raises(BackupError, match="is no backup"):
            restored(Home(tmp_path / "new"), cut)
    assert not (tmp_path / "new").exists()


def test_a_home_whose_parts_are_links_is_copied_through_them(home: Home, tmp_path: Path) -> None:
    (home.root / "mlflow" / "artifacts").rename(tmp_path / "large")
    (home.root / "mlflow" / "artifacts").symlink_to(tmp_path / "large")
    (tmp_path / "large" / "loop").symlink_to(tmp_path / "large")
    backed_up(home, tmp_path / "b.tgz")
    new = Home(tmp_path / "new")
    restored(new, tmp_path / "b.tgz")
    found = new.root / "mlflow" / "artifacts" / "run" / ".hidden"
    assert found.read_text() == "a model's"
    assert not found.is_symlink()
    assert [path.name for path in found.parents[1].iterdir()] == ["run"]
