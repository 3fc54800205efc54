"""The three-way merge, path by path: what one side changed is applied unless the other did too.

Not libgit2's: that would merge the text of the pointers and guess at renames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from mlops_assets.errors import ConflictError, InvalidNameError
from mlops_assets.versions.contract import Strategy
from mlops_assets.versions.trees import ClashError, blob_at, changes, edited, related

if TYPE_CHECKING:
    from pygit2 import Repository, Tree

# A path's content before and after, as ids; None where there is no object.
Changes = Mapping[str, tuple[str | None, str | None]]


class Merged(NamedTuple):
    """What to do to the destination (None removes), and the paths that both sides changed."""

    edits: dict[str, str | None]
    conflicts: list[str]


def three_way(source: Changes, dest: Changes, strategy: Strategy | None = None) -> Merged:
    """Merge the changes that source and destination made to their common base.

    Args:
        source: every path that differs between base and source.
        dest: every path that differs between base and destination.
        strategy: who wins a conflict; without one, conflicts are reported and left out of the edits.
    """
    edits: dict[str, str | None] = {}
    conflicts: list[str] = []
    for path, (_, theirs) in source.items():
        if path not in dest:
            edits[path] = theirs
        elif dest[path][1] == theirs:
            continue
        elif strategy == "source-wins":
            edits[path] = theirs
        elif strategy is None:
            conflicts.append(path)
    return Merged(edits, sorted(conflicts))


def clashes(
    edits: Mapping[str, str | None], standing: Mapping[str, list[str]]
) -> list[tuple[str, str]]:
    """Return (new path, standing path) wherever one would be an object and the other's folder.

    Args:
        edits: what will be done to the destination.
        standing: for each added path, the objects of the destination above or below it.
    """
    return [
        (path, other)
        for path, others in standing.items()
        for other in others
        if edits.get(path) is not None and edits.get(other, "stays") is not None
    ]


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
        raise _conflict(conflicts, f"in merging {what}")
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
        raise _conflict(conflicts, f"on `{branch}` meanwhile")
    try:
        return edited(git, head, edits)
    except ClashError as clash:
        try:
            edited(git, base, edits)
        except ClashError as own:
            raise InvalidNameError(
                f"`{own.path}` would be an object and a folder of objects at once"
            ) from None
        raise _conflict([clash.path], f"on `{branch}` meanwhile") from None


def _conflict(paths: list[str], where: str) -> ConflictError:
    paths = sorted(set(paths))
    shown = ", ".join(f"`{path}`" for path in paths[:10])
    more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    return ConflictError(f"changed on both sides {where}: {shown}{more}", paths)
