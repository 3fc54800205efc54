"""Moving a repository with its whole history to a lakeFS server, to be interrupted and resumed.

Each commit is made again on top of what its parents became, with its message, metadata and time,
and compared with the old one; what was uploaded is read back. Until all is there, the server's
`main` does not move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.errors import (
    ConflictError,
    NothingToCommitError,
    RepositoryCorruptError,
    VersionsError,
)
from mlops_assets.versions.contract import Commit, ObjectInfo, Repository
from mlops_assets.versions.lakefs.commits import AT, KEY, MERGED
from mlops_assets.versions.lakefs.joining import joined
from mlops_assets.versions.lakefs.migrated import Migrated
from mlops_assets.versions.lakefs.publishing import merge_once
from mlops_assets.versions.lakefs.transfer import spooled
from mlops_assets.versions.lakefs.workspace import Workspace, drop, hide

if TYPE_CHECKING:
    from mlops_assets.versions.lakefs.repository import LakefsRepository

MAIN = "main"
FROM = "mlops.migrated_from"  # in a commit's metadata: its id before

_SAVED_EVERY = 25  # commits: how much at most is done again after a kill
_STRATEGIES = (None, "source-wins", "dest-wins")


@dataclass(frozen=True)
class Migration:
    """What was moved: `commits` and `objects` in this run, the rest in all."""

    commits: int
    objects: int
    size: int  # bytes, in this run
    branches: int
    tags: int
    known: int  # commits that were there from a run before


def migrate(
    source: Repository,
    target: LakefsRepository,
    progress: Callable[[int, int], None],
) -> Migration:
    """Move everything that a branch or tag of the source can reach; again moves what is new.

    Args:
        source: where from; nobody may commit to it meanwhile.
        target: where to: new, or what an earlier migration of the same source left.
        progress: is told how many commits of how many are there.

    Raises:
        VersionsError: the target holds what did not come from the source.
        RepositoryCorruptError: an object of the source does not match its checksum.
    """
    return _Move(source, target, progress).run()


@dataclass
class _Move:
    source: Repository
    target: LakefsRepository
    progress: Callable[[int, int], None]
    ids: dict[str, str] = field(default_factory=dict)
    workspace: Workspace | None = None
    unsaved: int = 0
    made: int = 0
    objects: int = 0
    size: int = 0

    def run(self) -> Migration:
        branches, tags = dict(self.source.branches()), dict(self.source.tags())
        commits = oldest_first(self.source, {*branches.values(), *tags.values()})
        self.ids = dict(self.target.parts.migrated.ids())
        self._check_target(commits)
        known = len(self.ids)
        try:
            for done, commit in enumerate(commits, 1):
                if commit.id not in self.ids:
                    self._move(commit)
                self.progress(done, len(commits))
        finally:
            self._leave()
            self._save()
        self._name(branches, tags)
        return Migration(self.made, self.objects, self.size, len(branches), len(tags), known)

    def _check_target(self, commits: list[Commit]) -> None:
        ours = {*self.ids.values(), self._root()}
        foreign = [name for name, head in self.target.branches() if head not in ours]
        if foreign:
            raise VersionsError(
                f"{self.target.url} holds commits that did not come from {self.source.url} (on "
                f"{', '.join(f'`{name}`' for name in foreign[:5])}): name a new repository"
            )
        if self.ids and not self.ids.keys() & {commit.id for commit in commits}:
            raise VersionsError(
                f"another repository than {self.source.url} was moved to {self.target.url}: name "
                "a new one"
            )

    def _root(self) -> str:
        """Return the commit that the server began the repository with."""
        *_, first = self.target.commits.log(self.target.commits.head(MAIN))
        return first.id

    def _move(self, commit: Commit) -> None:
        edits = self._edits(commit)
        if not commit.parents and not edits:
            self.ids[commit.id] = self._root()  # both begin with nothing
            return
        before = self.ids[commit.parents[0]] if commit.parents else self._root()
        merged = self._merged(commit, edits, before) if len(commit.parents) > 1 else None
        new = merged or self._committed(commit, edits, before)
        if merged is None and self._differs(edits, before, new):
            raise RepositoryCorruptError(
                f"the commit {commit.id} is not the same on {self.target.url}, where it is "
                f"{new}: run `mlops verify` on the old repository, then migrate again"
            )
        self.ids[commit.id] = new
        if self.workspace is not None:
            self.workspace.at = new
        self.made += 1
        self.unsaved += 1
        if self.unsaved >= _SAVED_EVERY:
            self._save()

    def _edits(self, commit: Commit) -> dict[str, ObjectInfo | None]:
        """Return what a commit did to its first parent's objects."""
        if not commit.parents:
            return {info.path: info for info in self.source.objects(commit.id)}
        changes = self.source.diff(commit.parents[0], commit.id)
        return {
            change.path: None
            if change.kind == "removed"
            else self.source.stat(commit.id, change.path)
            for change in changes
        }

    def _committed(self, commit: Commit, edits: dict[str, ObjectInfo | None], before: str) -> str:
        """Make a commit by its edits; a second parent gets into its history too."""
        if len(commit.parents) > 1:
            made = self._joined(commit, edits, before)
        else:
            workspace = self._workspace(before)
            for info in edits.values():
                if info is not None:
                    self._upload(workspace, commit, info)
            workspace.remove([path for path, info in edits.items() if info is None])
            details = self._details(commit)
            made = workspace.commit(commit.message, details, at=commit.created_at, allow_empty=True)
        for info in edits.values():
            if info is not None:
                self.target.data.check(made, info)  # what arrived, not what it says it is
        return made

    def _joined(self, commit: Commit, edits: dict[str, ObjectInfo | None], before: str) -> str:
        theirs = self.ids[commit.parents[1]]

        def put(aside: Workspace, path: str) -> None:
            info = edits[path]
            if info is not None:
                self._upload(aside, commit, info)

        wanted = {path: None if info is None else info.checksum for path, info in edits.items()}
        details = {**self._details(commit), KEY: f"{commit.id}-joined", MERGED: theirs}
        with self.target.parts.workspace(before) as aside:
            made = joined(self.target.parts, aside, theirs, wanted, put)
            return merge_once(
                self.target.parts,
                made,
                self._workspace(before).name,
                before,
                commit.message,
                details,
                strategy=None,
                allow_empty=True,
            )

    def _upload(self, workspace: Workspace, commit: Commit, info: ObjectInfo) -> None:
        with self.source.open(commit.id, info.path) as stream, spooled(stream) as content:
            if content.checksum != info.checksum:
                raise RepositoryCorruptError(
                    f"`{info.path}` of {commit.id} in {self.source.url} does not match its "
                    "checksum: `mlops verify` names all that is damaged; bring it back from a copy"
                )
            workspace.upload(info.path, content)
        self.objects += 1
        self.size += info.size

    def _merged(
        self, commit: Commit, edits: dict[str, ObjectInfo | None], before: str
    ) -> str | None:
        """Let the server merge as it was merged; None if that never comes out the same."""
        theirs = self.ids[commit.parents[1]]
        for strategy in _STRATEGIES:
            workspace = self._workspace(before)
            details = {**self._details(commit), KEY: f"{commit.id}-{strategy}"}
            try:
                new = merge_once(
                    self.target.parts,
                    theirs,
                    workspace.name,
                    before,
                    commit.message,
                    details,
                    strategy=strategy,
                    allow_empty=True,
                )
            except ConflictError:
                continue
            except NothingToCommitError:
                return None
            if not self._differs(edits, before, new):
                return new
            self._leave()
        return None

    def _differs(self, edits: dict[str, ObjectInfo | None], before: str, new: str) -> bool:
        """Say whether the new commit did anything else to its parent than the old one."""
        found = {change.path for change in self.target.data.diff(before, new, "")}
        contents = self.target.data.known(new, edits)
        wanted = {path: info.checksum for path, info in edits.items() if info is not None}
        return found != edits.keys() or contents != wanted

    def _workspace(self, at: str) -> Workspace:
        """Return a hidden branch that stands at a commit: the one in use, if it does."""
        if self.workspace is None or self.workspace.at != at:
            self._leave()
            self.workspace = self.target.parts.workspace(at)
        return self.workspace

    def _leave(self) -> None:
        if self.workspace is not None:
            self.workspace.close()
            self.workspace = None

    @staticmethod
    def _details(commit: Commit) -> dict[str, str]:
        return {**commit.metadata, FROM: commit.id, AT: commit.created_at.isoformat()}

    def _save(self) -> None:
        """Write down which commit became which."""
        lines = "".join(f"{old} {new}\n" for old, new in sorted(self.ids.items()))
        if self.target.commits.branch(Migrated.BRANCH) is None:
            hide(
                self.target.connection,
                self.target.commits,
                self.target.name,
                Migrated.BRANCH,
                self._root(),
            )
        with self.target.transaction(
            Migrated.BRANCH, f"commits of {len(self.ids)} old ones", allow_unchanged=True
        ) as transaction:
            transaction.put(Migrated.PATH, lines.encode())
        self.unsaved = 0

    def _name(self, branches: dict[str, str], tags: dict[str, str]) -> None:
        """Put the names where they were; `main` last, so that who sees it sees all."""
        for name, old in tags.items():
            self.target.create_tag(name, self.ids[old])
        there = dict(self.target.branches())
        for name in there.keys() - branches.keys():
            drop(self.target.connection, self.target.name, name)  # the source has let go of it
        for name, old in sorted(branches.items(), key=lambda pair: pair[0] == MAIN):
            new = self.ids[old]
            if name not in there:
                self.target.create_branch(name, new)
            elif there[name] != new:
                self._reset(name, new)

    def _reset(self, branch: str, to: str) -> None:
        """Let a branch stand at another commit id: what it stood at came from here as well."""
        self.target.connection.ask(
            f"moving the branch `{branch}`",
            self.target.connection.experimental.hard_reset_branch,
            self.target.name,
            branch,
            ref=to,
        )


def oldest_first(repository: Repository, heads: set[str]) -> list[Commit]:
    """Return every commit that the heads can reach, no child before its parents."""
    ordered: dict[str, Commit] = {}
    waiting = sorted(heads)
    while waiting:
        commit = repository.commit(waiting[-1])
        missing = [parent for parent in commit.parents if parent not in ordered]
        if missing:
            waiting += missing
        else:
            ordered.setdefault(waiting.pop(), commit)
    return list(ordered.values())
