"""Merging written as git trees.

Not libgit2's own merge: that would merge the text of the pointers and guess at renames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_assets.errors import InvalidNameError
from mlops_assets.versions.contract import Strategy
from mlops_assets.versions.embedded.trees import ClashError, blob_at, changes, edited, related
from mlops_assets.versions.merging import clashes, conflict, three_way

if TYPE_CHECKING:
    from pygit2 import Repository, Tree


def merged(
    git: Repository,
    base: Tree | None,
    source: Tree,
    dest: Tree,
    *,
    what: str,
    strategy: Strategy | None = None,
) -> str:
    """Write the tree of the destination with what the source did to the base applied; return its id.

    Raises:
        ConflictError: both changed the same paths; `what` says in merging what.
    """
    edits, conflicts = three_way(dict(changes(base, source)), dict(changes(base, dest)), strategy)
    standing = {path: list(related(dest, path)) for path, blob in edits.items() if blob}
    for path, other in clashes(edits, standing):
        if strategy == "source-wins":
            edits[other] = None
        elif strategy == "dest-wins":
            edits.pop(path, None)
        else:
            conflicts.append(path)
    if conflicts:
        raise conflict(conflicts, f"in merging {what}")
    return edited(git, dest, edits)


def rebased(
    git: Repository, edits: Mapping[str, str | None], base: Tree, head: Tree, branch: str
) -> str:
    """Write the tree of the head with edits, which were made on the base, applied; return its id.

    Raises:
        ConflictError: the branch's head has something else than the base or the edit at a path.
        InvalidNameError: already on the base, an object would stand where another has its folder.
    """
    conflicts = [
        path
        for path, blob in edits.items()
        if blob_at(head, path) not in (blob, blob_at(base, path))
    ]
    if conflicts:
        raise conflict(conflicts, f"on `{branch}` meanwhile")
    try:
        return edited(git, head, edits)
    except ClashError as clash:
        try:
            edited(git, base, edits)
        except ClashError as own:
            raise InvalidNameError(
                f"`{own.path}` would be an object and a folder of objects at once"
            ) from None
        raise conflict([clash.path], f"on `{branch}` meanwhile") from None
