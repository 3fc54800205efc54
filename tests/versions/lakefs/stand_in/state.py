"""What the stand-in server knows of a repository: staging, commits, merges, reverts, the log.

It answers as lakeFS 1.84 does, in its words; `test_stand_in.py` compares the two.
"""

from __future__ import annotations

import heapq
import time
import uuid
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from tests.versions.lakefs.stand_in import hooks
from tests.versions.lakefs.stand_in.refs import Branch, Commit, Refs, Refused
from tests.versions.lakefs.stand_in.three_way import Conflicted, Entry, merged, three_dot, two_dot

Difference = tuple[str, str, Entry]


class Repository(Refs):
    """One repository; the caller holds the server's lock."""

    def __init__(self, name: str, namespace: str, default_branch: str) -> None:
        super().__init__(default_branch)
        self.name, self.namespace = name, namespace
        self.created = int(time.time())
        self.protected: list[str] = []

    # what is staged

    def writable(self, name: str) -> Branch:
        """Return a branch to stage on."""
        self._protect(name, "cannot write to protected branch")
        return self.branch(name)

    def stage(self, name: str, path: str, entry: Entry | None) -> None:
        branch = self.writable(name)
        if entry is None and path not in self.commits[branch.head].tree:
            branch.staged.pop(path, None)
        else:
            branch.staged[path] = entry

    def staged(self, name: str) -> list[Difference]:
        branch = self.branch(name, "branch")
        return list(two_dot(self.commits[branch.head].tree, self._seen(branch)))

    def _protect(self, name: str, message: str) -> None:
        if any(fnmatchcase(name, pattern) for pattern in self.protected):
            raise Refused(403, message)

    def _clean(self, name: str) -> Branch:
        branch = self.branch(name)
        if self.staged(name):
            raise Refused(400, "uncommitted changes (dirty branch)")
        branch.staged.clear()
        return branch

    # commits

    def commit_staged(
        self,
        name: str,
        message: str,
        metadata: Mapping[str, str],
        *,
        date: int | None = None,
        allow_empty: bool = False,
    ) -> Commit:
        self._protect(name, "cannot commit to protected branch")
        if name not in self.branches:
            # lakeFS looks for hooks on the branch first, and says so
            run = uuid.uuid4().hex[:20]
            raise Refused(
                404,
                f"prepare-commit hook aborted, run id '{run}': list actions from commit: "
                "listing actions: not found",
            )
        branch = self.branches[name]
        tree = self._seen(branch)
        hooks.run("pre-commit", name, tree, self._refused_by_hook)
        if tree == self.commits[branch.head].tree and not allow_empty:
            raise Refused(400, "commit: no changes")
        made = self._add(message, metadata, (branch.head,), tree, date)
        branch.head = made.id
        branch.staged.clear()
        return made

    def merge_base(self, source: Commit, into: Commit) -> Commit:
        """Return the first commit that both reach, the highest generation first."""
        if source is into:
            return source
        reached = {source.id: {0}, into.id: {1}}
        queue = [(-c.generation, -c.date, c.id) for c in (source, into)]
        heapq.heapify(queue)
        while queue:
            current = self.commits[heapq.heappop(queue)[2]]
            for parent in (self.commits[known] for known in current.parents):
                if parent.id not in reached:
                    heapq.heappush(queue, (-parent.generation, -parent.date, parent.id))
                flags = reached.setdefault(parent.id, set())
                flags |= reached[current.id]
                if len(flags) == 2:
                    return parent
        raise Refused(500, "no merge base")

    def merge(
        self,
        source: str,
        name: str,
        message: str,
        metadata: Mapping[str, str],
        *,
        strategy: str = "",
        squash: bool = False,
        allow_empty: bool = False,
    ) -> Commit:
        if strategy not in {"", "source-wins", "dest-wins"}:
            raise Refused(400, "argument strategy: invalid value: validation error")
        branch = self._clean(name)
        into = self.commits[branch.head]
        try:
            theirs = self.commit(source)
        except Refused as refused:
            reason = f"get commit by ref {source}: {refused}"
            raise Refused(refused.status, f"update branch {name}: {reason}") from None
        base = self.merge_base(theirs, into)
        if theirs.tree == base.tree and not allow_empty:
            raise Refused(400, f"update branch {name}: no changes")
        try:
            tree = merged(into.tree, theirs.tree, base.tree, strategy)
        except Conflicted:
            raise Refused(409, "conflict found", {"reference": ""}) from None
        parents = (into.id,) if squash else (into.id, theirs.id)
        known = {**metadata, ".lakefs.merge.strategy": strategy or "default"}
        message = message or f"Merge '{source}' into '{name}'"
        generation = max(into.generation, theirs.generation) + 1
        hooks.run(
            "pre-merge",
            name,
            theirs.tree,
            lambda status, said: self._refused_by_hook(status, f"update branch {name}: {said}"),
        )
        made = self._add(message, known, parents, tree, generation=generation)
        branch.head = made.id
        return made

    def revert(
        self,
        name: str,
        ref: str,
        parent: int,
        *,
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        allow_empty: bool = False,
    ) -> Commit:
        try:
            bad = self.commit(ref)
        except Refused as refused:
            raise Refused(refused.status, f"get commit from ref {ref}: {refused}") from None
        if len(bad.parents) > 1 and parent <= 0:
            raise Refused(409, "must specify 1-based parent number for reverting merge commit")
        if parent > len(bad.parents):
            raise Refused(
                400, f"given commit does not have the given parent number: parent {parent}"
            )
        branch = self._clean(name)
        head = self.commits[branch.head]
        before = self.commits[bad.parents[max(parent - 1, 0)]].tree if bad.parents else {}
        if before == bad.tree and not allow_empty:
            raise Refused(400, "update branch: no changes")
        try:
            tree = merged(head.tree, before, bad.tree, "")
        except Conflicted:
            raise Refused(409, "update branch: conflict found") from None
        if tree == head.tree and not allow_empty:
            raise Refused(400, "update branch: no changes")
        made = self._add(message or f"Revert {ref}", metadata or {}, (head.id,), tree)
        branch.head = made.id
        return made

    def hard_reset(self, name: str, ref: str) -> None:
        self._clean(name).head = self.commit(ref).id

    def diff(self, left: str, right: str, *, two_dots: bool) -> list[Difference]:
        ours, theirs = self.commit(left), self.commit(right)
        if two_dots:
            return list(two_dot(ours.tree, theirs.tree))
        base = self.merge_base(theirs, ours)
        return list(three_dot(ours.tree, theirs.tree, base.tree))

    def log(self, ref: str, *, first_parent: bool) -> Iterator[Commit]:
        """Yield the reachable commits, newest first; of one moment, by id backwards."""
        start = self.commit(ref)
        queue = [(-start.date, -int(start.id, 16), start.id)]
        seen: set[str] = set()
        while queue:
            current = self.commits[heapq.heappop(queue)[2]]
            yield current
            for parent in current.parents[: 1 if first_parent else None]:
                if parent not in seen:
                    seen.add(parent)
                    heapq.heappush(queue, (-self.commits[parent].date, -int(parent, 16), parent))

    def changed_any(self, commit: Commit, objects: list[str], prefixes: list[str]) -> bool:
        """Say whether a commit changed a path; lakeFS leaves merges and the first commit out."""
        if len(commit.parents) != 1:
            return False
        before = self.commits[commit.parents[0]].tree
        return any(
            path in objects or path.startswith(tuple(prefixes))
            for path, _, _ in two_dot(before, commit.tree)
        )

    @staticmethod
    def _refused_by_hook(status: int, said: str) -> None:
        raise Refused(status, said)
