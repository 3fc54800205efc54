"""The project's own code in git: which commit it stands at, and another commit beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.errors import RevisionError
from mlops_assets.home import project_root

if TYPE_CHECKING:
    import pygit2


@dataclass(frozen=True)
class Revision:
    """A commit of a git work tree; `dirty` if files were changed or added since.

    `folder` is the project's place in the work tree, "." at its top.
    """

    commit: str
    dirty: bool
    folder: str


def revision_of(place: Path) -> Revision | None:
    """Return the revision of the project around a folder or file.

    None where there is no git work tree with a commit, or it can't be read: no training may fail
    for want of it.
    """
    import pygit2

    try:
        repository = _work_tree(place)
        if repository is None or repository.head_is_unborn:
            return None
        root = project_root(place if place.is_dir() else place.parent)
        ignored = pygit2.enums.FileStatus.IGNORED
        dirty = any(flags != ignored for flags in repository.status().values())
        folder = root.relative_to(Path(repository.workdir).resolve())
        return Revision(str(repository.head.target), dirty, folder.as_posix())
    except (pygit2.GitError, OSError, ValueError):
        return None


@contextmanager
def checked_out(place: Path, revision: Revision) -> Iterator[Path]:
    """Give the project's folder at another commit, in a temporary copy; the work tree stays.

    Raises:
        RevisionError: the place is in no git work tree, the commit is not there, or it can't be
            written.
    """
    import pygit2
    from pygit2.enums import CheckoutStrategy

    short = revision.commit[:12]
    with tempfile.TemporaryDirectory(prefix="mlops-rebuild-") as folder:
        try:
            repository = _work_tree(place)
            if repository is None:
                raise RevisionError(
                    f"{place} is in no git work tree; run it in a clone of the project that has "
                    f"the commit {short}"
                )
            if repository.get(revision.commit) is None:
                raise RevisionError(
                    f"no commit {short} in {repository.workdir}; fetch it with git, and try again"
                )
            repository.checkout_tree(  # type: ignore[no-untyped-call]  # pygit2 leaves it untyped
                repository[revision.commit].peel(pygit2.Tree),
                directory=folder,
                # the person's own index and work tree stay as they are
                strategy=CheckoutStrategy.FORCE | CheckoutStrategy.DONT_UPDATE_INDEX,
            )
        except (pygit2.GitError, OSError, ValueError) as error:
            raise RevisionError(f"the commit {short} can't be checked out: {error}") from error
        yield Path(folder) / revision.folder


def _work_tree(place: Path) -> pygit2.Repository | None:
    import pygit2

    found = pygit2.discover_repository(str(place))
    repository = pygit2.Repository(found) if found else None
    return None if repository is None or repository.is_bare else repository
