"""The stand-in's branches, tags and commits, and how a ref is read."""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.versions.lakefs.stand_in.three_way import Entry, Tree

BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
NO_TAG = re.compile(r"@|.*\.(lock)?|.*(\.\.|/|@\{).*|.*[\^:?*\[\\].*|.*[\x00-\x20].*", re.DOTALL)
HASH = re.compile(r"[0-9a-fA-F]{1,64}")
MODIFIERS = re.compile(r"(?:^|[~^@$])[^^~@$]*")


class Refused(Exception):  # noqa: N818  # an answer, not a fault
    """An answer other than what was asked for."""

    def __init__(self, status: int, message: str, body: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message} if body is None else body


@dataclass(frozen=True)
class Commit:
    """A state of all objects; `date` is in nanoseconds, of which lakeFS shows the seconds."""

    id: str
    message: str
    metadata: Mapping[str, str] = field(hash=False)
    parents: tuple[str, ...]
    date: int
    generation: int
    tree: Tree = field(hash=False, repr=False)


@dataclass
class Branch:
    """A head and what is staged upon it; None stands for a removal."""

    head: str
    hidden: bool = False
    staged: dict[str, Entry | None] = field(default_factory=dict)


class Refs:
    """What a repository's refs are; the caller holds the server's lock."""

    def __init__(self, default_branch: str) -> None:
        self.default_branch = default_branch
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, Branch] = {}
        self.tags: dict[str, str] = {}
        first = self._add("Repository created", {}, (), {})
        self.branches[default_branch] = Branch(first.id)

    def branch(self, name: str, argument: str = "name") -> Branch:
        if not BRANCH.fullmatch(name):
            raise Refused(400, f"argument {argument}: branch id: invalid value: validation error")
        if name not in self.branches:
            raise Refused(404, "branch not found")
        return self.branches[name]

    def commit(self, ref: str) -> Commit:
        """Return the commit of a ref, whatever is staged."""
        parts = MODIFIERS.findall(ref)
        if not parts or not parts[0]:
            raise Refused(400, "ref: invalid value: validation error")
        commit = self._base(parts[0])
        for modifier in parts[1:]:
            kind, steps = modifier[0], modifier[1:]
            if kind == "$":
                raise Refused(400, "ref: invalid value: validation error: should point to a commit")
            if kind == "~":
                for _ in range(int(steps or 1)):
                    if not commit.parents:
                        raise Refused(404, "not found")
                    commit = self.commits[commit.parents[0]]
            elif kind == "^" and int(steps or 1):
                if int(steps or 1) > len(commit.parents):
                    raise Refused(400, "ref: invalid value: validation error")
                commit = self.commits[commit.parents[int(steps or 1) - 1]]
        return commit

    def _base(self, name: str) -> Commit:
        # a whole commit id goes before a branch or a tag of that name, the beginning of one after
        if name in self.commits:
            return self.commits[name]
        if name in self.branches:
            return self.commits[self.branches[name].head]
        if name in self.tags:
            return self.commits[self.tags[name]]
        if HASH.fullmatch(name):
            found = [known for known in self.commits if known.startswith(name)]
            if len(found) == 1:
                return self.commits[found[0]]
        raise Refused(404, "not found")

    def tree(self, ref: str) -> Tree:
        """Return the objects of a ref; a branch's with what is staged."""
        if ref in self.branches and ref not in self.commits:
            return self._seen(self.branches[ref])
        if ref.endswith("$"):
            return self._seen(self.branch(ref[:-1]))
        return self.commit(ref).tree

    def entry(self, ref: str, path: str) -> Entry:
        found = self.tree(ref).get(path)
        if found is None:
            raise Refused(404, "not found")
        return found

    def create_branch(self, name: str, source: str, *, hidden: bool) -> str:
        if not name:
            raise Refused(500, "argument branch: required value: validation error")
        if not BRANCH.fullmatch(name):
            raise Refused(
                400,
                "argument branch: branch id: invalid value: validation error: branch id must "
                "consist of letters, digits, underscores and dashes, and cannot start with a dash",
            )
        if name in self.commits:
            raise Refused(409, f"commit ID {name}: conflict found")
        if name in self.tags:
            raise Refused(409, f"tag ID {name}: conflict found")
        try:
            commit = self.commit(source)
        except Refused as refused:
            raise Refused(refused.status, f"source reference '{source}': {refused}") from None
        if name in self.branches:
            raise Refused(409, "branch already exists: not unique")
        self.branches[name] = Branch(commit.id, hidden)
        return commit.id

    def delete_branch(self, name: str) -> None:
        if name == self.default_branch:
            raise Refused(403, "cannot delete repository default branch")
        self.branch(name)
        del self.branches[name]

    def create_tag(self, name: str, ref: str) -> str:
        if not name:
            raise Refused(500, "argument tagID: required value: validation error")
        if NO_TAG.fullmatch(name):
            raise Refused(400, "argument tagID: tag id: invalid value: validation error")
        if name in self.branches:
            raise Refused(409, f"branch name {name}: conflict found")
        if name in self.commits:
            raise Refused(409, f"commit ID {name}: conflict found")
        commit = self.commit(ref)
        if name in self.tags:
            raise Refused(409, "tag already exists: not unique")
        self.tags[name] = commit.id
        return commit.id

    def tag(self, name: str) -> str:
        if name not in self.tags:
            raise Refused(404, "tag not found")
        return self.tags[name]

    def _seen(self, branch: Branch) -> Tree:
        tree = {**self.commits[branch.head].tree, **branch.staged}
        return {path: entry for path, entry in tree.items() if entry is not None}

    def _add(
        self,
        message: str,
        metadata: Mapping[str, str],
        parents: tuple[str, ...],
        tree: Tree,
        date: int | None = None,
        generation: int | None = None,
    ) -> Commit:
        moment = time.time_ns() if date is None else date * 1_000_000_000
        if generation is None:
            generation = max((self.commits[parent].generation for parent in parents), default=0) + 1
        content = json.dumps([message, dict(metadata), parents, moment, uuid.uuid4().hex])
        name = hashlib.sha256(content.encode()).hexdigest()
        made = Commit(name, message, dict(metadata), parents, moment, generation, dict(tree))
        self.commits[name] = made
        return made
