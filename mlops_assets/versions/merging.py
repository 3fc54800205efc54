"""The three-way merge, path by path: what one side changed is applied unless the other did too.

Every implementation merges so, that they may never differ in what is a conflict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mlops_assets.errors import ConflictError
from mlops_assets.versions.contract import Strategy

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


def conflict(paths: list[str], where: str) -> ConflictError:
    """Return the error that names the paths which two sides changed; `where` says in doing what."""
    paths = sorted(set(paths))
    shown = ", ".join(f"`{path}`" for path in paths[:10])
    more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    return ConflictError(f"changed on both sides {where}: {shown}{more}", paths)
