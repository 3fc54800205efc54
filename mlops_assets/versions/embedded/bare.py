"""The bare git repository under the embedded implementation: made, opened, locked, its failures told."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from mlops_assets.errors import (
    MlopsError,
    RepositoryBusyError,
    RepositoryCorruptError,
    VersionsError,
)
from mlops_assets.versions.embedded.messages import encode
from mlops_assets.versions.embedded.objects import sync

if TYPE_CHECKING:
    import pygit2

IDENTITY = ("mlops_assets", "mlops@localhost")

_ATTRIBUTES = b"* filter=lfs diff=lfs merge=lfs -text\n.git* !filter !diff !merge !text\n"
_PATIENCE = 60.0  # seconds to wait for the lock, which is held for milliseconds
_POLL = 0.005  # seconds
_OPEN_PACKS = 128  # files at once; git would keep every pack open that it ever looked into

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _HasUrl(Protocol):
    url: str


_Self = TypeVar("_Self", bound=_HasUrl)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn what git and the disk raise into the errors of the contract."""
    try:
        yield
    except MlopsError:
        raise  # first, for one of them is an OSError too
    except OSError as error:
        raise VersionsError(f"the repository {where} failed: {error}") from error
    except Exception as error:
        import pygit2

        if not isinstance(error, pygit2.GitError):
            raise
        raise RepositoryCorruptError(
            f"git can't read its own data in {where}: {error}; `git fsck` there says more"
        ) from error


def tells(
    method: Callable[Concatenate[_Self, _P], _R],
) -> Callable[Concatenate[_Self, _P], _R]:
    """Do for a method of something with a `url` what `told` does for a block."""

    @wraps(method)
    def wrapped(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with told(self.url):
            return method(self, *args, **kwargs)

    return wrapped


class BareRepository:
    """One folder; made with its first commit if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._threads = (
            threading.local()
        )  # libgit2's objects may not be used by two threads at once
        if not _is_ours(folder):
            _create(folder)

    @property
    def git(self) -> pygit2.Repository:
        """This thread's handle."""
        handle: pygit2.Repository | None = getattr(self._threads, "handle", None)
        if handle is None:
            handle = self._threads.handle = opened(self.folder)
        return handle

    def stored(self, object_id: str) -> pygit2.Object:
        """Return a commit, tree or blob that something in the repository names.

        Raises:
            RepositoryCorruptError: it is not there.
        """
        try:
            return self.git[object_id]
        except KeyError as error:
            raise RepositoryCorruptError(
                f"git has lost {object_id}, which something in {self.folder} names; "
                "`git fsck` there says more"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the one lock under which refs change; it is freed if the process dies.

        Raises:
            RepositoryBusyError: others held it for a minute.
        """
        import filelock

        file = self.folder / "mlops.lock"
        lock = filelock.FileLock(file, timeout=_PATIENCE, poll_interval=_POLL)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise RepositoryBusyError(
                f"the repository {self.folder} was locked for {_PATIENCE:.0f} s; "
                f"try again, and look with `fuser {file}` for who holds it"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def unlock_ref(self, name: str) -> None:
        """Remove what a killed process left beside a ref; only to be called under the lock.

        Whoever changes refs holds our lock, so a lock of git's own that is there now is stale.
        """
        for stale in (self.folder / f"{name}.lock", self.folder / "packed-refs.lock"):
            stale.unlink(missing_ok=True)


@contextmanager
def kept_whole(folder: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold what keeps others from removing objects of a repository; writers go on beside it.

    Raises:
        RepositoryBusyError: others held it for `patience` seconds.
    """
    import filelock

    lock = filelock.FileLock(folder / "collecting.lock", timeout=patience, poll_interval=0.1)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise RepositoryBusyError(
            f"objects of {folder} are being collected, packed or backed up by another process; "
            "try again when that has ended"
        ) from error
    try:
        yield
    finally:
        lock.release()


def signature(who: tuple[str, str], when: datetime) -> pygit2.Signature:
    """Return git's form of a person at a time (UTC)."""
    import pygit2

    return pygit2.Signature(*who, int(when.timestamp()), 0, "utf-8")


def _is_ours(folder: Path) -> bool:
    return (folder / "lfs" / "objects").is_dir() and (folder / "HEAD").is_file()


def opened(folder: Path) -> pygit2.Repository:
    """Return a new handle, which one thread may use."""
    import pygit2

    pygit2.settings.enable_fsync_gitdir(True)
    pygit2.settings.mwindow_file_limit = _OPEN_PACKS
    try:
        return pygit2.Repository(str(folder), pygit2.enums.RepositoryOpenFlag.BARE)
    except pygit2.GitError as error:
        raise VersionsError(
            f"git can't open the repository {folder}: {error}; if it is another user's, "
            f"allow it with `git config --global --add safe.directory {folder}`"
        ) from error


def _create(folder: Path) -> None:
    """Make a repository beside its place and move it there: complete or absent, whoever else tries."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if _is_ours(folder):
            return  # another process made it between two looks
        raise VersionsError(
            f"{folder} is there and is no repository of mlops_assets: name another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        _fill(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not _is_ours(folder):
                raise
            # Another process was first, with a repository as good as ours.
        sync(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(folder: Path) -> None:
    import pygit2

    pygit2.init_repository(str(folder), bare=True, initial_head="main")
    git = opened(folder)
    git.config["gc.auto"] = 0  # git knows nothing of the objects that readers have open
    for name in ("objects", "staging"):
        (folder / "lfs" / name).mkdir(parents=True)
    builder = git.TreeBuilder()
    builder.insert(".gitattributes", git.create_blob(_ATTRIBUTES), 0o100644)
    now = datetime.now(UTC)
    who = signature(IDENTITY, now)
    message = encode("repository created", {}, now)
    git.create_commit("refs/heads/main", who, who, message, builder.write(), [])
    for name in ("hooks", "info"):  # samples and comments, of no use here
        shutil.rmtree(folder / name, ignore_errors=True)
    # What libgit2 did not see to itself: it syncs objects and refs, and the folders they stand in.
    for name in ("HEAD", "config", "lfs", "refs", "objects", "."):
        sync(folder / name)
