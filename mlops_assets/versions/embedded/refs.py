"""Branches and tags of the embedded repository, and what a ref stands for."""

from __future__ import annotations

import re
from typing import Literal

from mlops_assets.errors import RefExistsError, RefNotFoundError, VersionsError, did_you_mean
from mlops_assets.versions.embedded.bare import BareRepository
from mlops_assets.versions.paths import check_name, is_commit_id, is_name

Kind = Literal["branch", "tag"]

_FOLDERS: dict[Kind, str] = {"branch": "refs/heads/", "tag": "refs/tags/"}
_OTHER: dict[Kind, Kind] = {"branch": "tag", "tag": "branch"}
_SHORT_ID = re.compile(r"[0-9a-fA-F]{7,39}")


def full_name(kind: Kind, name: str) -> str:
    """Return git's own name of a branch or tag."""
    return _FOLDERS[kind] + name


class Refs:
    """The names by which commits are found."""

    def __init__(self, bare: BareRepository) -> None:
        self._bare = bare

    def find(self, kind: Kind, name: str) -> str | None:
        """Return the commit id of a branch or tag, or None."""
        import pygit2

        if not is_name(name):
            return None
        try:
            reference = self._bare.git.lookup_reference(full_name(kind, name))
        except KeyError:
            return None
        if isinstance(reference.target, pygit2.Oid) and kind == "branch":
            return str(reference.target)
        return str(reference.peel(pygit2.Commit).id)  # stock git's tags may be objects of their own

    def head(self, branch: str) -> str:
        """Return the commit id of a branch; see the contract for what is raised."""
        found = self.find("branch", check_name("branch", branch))
        if found is None:
            raise RefNotFoundError(
                f"no branch `{branch}` in {self._bare.folder}"
                f"{did_you_mean(branch, dict(self.listed('branch')))}"
            )
        return found

    def resolve(self, ref: str) -> str:
        """Return the commit id of a ref; see the contract for what is raised."""
        found = self._commit(ref) if is_commit_id(ref) else None
        found = found or self.find("branch", ref) or self.find("tag", ref)
        if found is None and _SHORT_ID.fullmatch(ref):
            found = self._commit(self._whole(ref))
        if found is None:
            known = dict(self.listed("branch")) | dict(self.listed("tag"))
            raise RefNotFoundError(
                f"no branch, tag or commit `{ref}` in {self._bare.folder}{did_you_mean(ref, known)}"
            )
        return found

    def listed(self, kind: Kind, prefix: str = "") -> list[tuple[str, str]]:
        """Return (name, commit id) sorted by name."""
        names = (name.decode(errors="replace") for name in self._bare.git.raw_listall_references())
        beginning = full_name(kind, prefix)
        short = [name.removeprefix(_FOLDERS[kind]) for name in names if name.startswith(beginning)]
        found = [(name, self.find(kind, name)) for name in sorted(short)]
        # One deleted since, or one of stock git's names that the contract refuses, is left out.
        return [(name, commit) for name, commit in found if commit is not None]

    def every_head(self) -> list[str]:
        """Return the commit of every ref, whatever stock git calls it and wherever it stands."""
        import pygit2

        found = set()
        for name in self._bare.git.raw_listall_references():
            try:
                reference = self._bare.git.lookup_reference(name.decode(errors="surrogateescape"))
            except KeyError:
                continue  # deleted since
            # one that only names another ref adds nothing to it
            if isinstance(reference.target, pygit2.Oid):
                target = reference.peel()
                if isinstance(target, pygit2.Commit):
                    found.add(str(target.id))
        return sorted(found)

    def create(self, kind: Kind, name: str, ref: str) -> str:
        """Create a branch or tag and return the commit id; see the contract for what is raised."""
        check_name(kind, name)
        with self._bare.locked():
            commit = self.resolve(ref)
            there = self.find(kind, name)
            if there == commit:
                return commit
            if there is not None:
                raise RefExistsError(f"the {kind} `{name}` is there already, at {there}")
            if self.find(_OTHER[kind], name) is not None:
                raise RefExistsError(
                    f"a {_OTHER[kind]} is called `{name}`: name the {kind} otherwise"
                )
            self._bare.unlock_ref(full_name(kind, name))
            self._bare.git.create_reference_direct(full_name(kind, name), commit, False)
        return commit

    def delete(self, kind: Kind, name: str) -> None:
        """Delete a branch or tag; see the contract for what is raised."""
        check_name(kind, name)
        if kind == "branch" and name == "main":
            raise VersionsError("the branch `main` can't be deleted: every repository has it")
        with self._bare.locked():
            if self.find(kind, name) is None:
                raise RefNotFoundError(
                    f"no {kind} `{name}` in {self._bare.folder}"
                    f"{did_you_mean(name, dict(self.listed(kind)))}"
                )
            self._bare.unlock_ref(full_name(kind, name))
            self._bare.git.lookup_reference(full_name(kind, name)).delete()

    def _commit(self, commit_id: str) -> str | None:
        import pygit2

        # Git knows ids of 40 digits only; lakeFS' 64 are another repository's.
        found = self._bare.git.get(commit_id) if len(commit_id) == 40 else None
        return str(found.id) if isinstance(found, pygit2.Commit) else None

    def _whole(self, beginning: str) -> str:
        from pygit2 import AmbiguousError

        try:
            return str(self._bare.git.expand_id(beginning.lower()))
        except KeyError:
            return ""
        except AmbiguousError as error:
            raise RefNotFoundError(
                f"several ids begin with `{beginning}`: give more of the one you mean"
            ) from error
