"""Merging on a server: decided by the rules of the contract, done by lakeFS where it can."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from functools import partial

from mlops_assets.errors import ConflictError
from mlops_assets.versions.contract import Strategy
from mlops_assets.versions.lakefs.commits import MERGED
from mlops_assets.versions.lakefs.joining import joined
from mlops_assets.versions.lakefs.parts import Parts
from mlops_assets.versions.lakefs.publishing import merge_once, stamped
from mlops_assets.versions.lakefs.workspace import Workspace
from mlops_assets.versions.merging import clashes, conflict, three_way

_TRIES = 20  # against a branch that moved in the very moment
_THERE = "there"  # a content that is compared with nothing


def merge(
    parts: Parts,
    source: str,
    into: str,
    message: str,
    metadata: Mapping[str, str],
    strategy: Strategy | None,
) -> str | None:
    """Merge a ref into a branch; None if the branch's objects would stay as they are.

    lakeFS compares objects with their metadata and knows no clash of an object with a folder. What
    it would decide otherwise is made aside first; everything else is lakeFS' own merge.

    Raises:
        RefNotFoundError: no such ref, or no such branch.
        ConflictError: both changed the same paths, which it names.
    """
    key = uuid.uuid4().hex
    for attempt in range(_TRIES):
        head, theirs = parts.commits.head(into), parts.commits.resolve(source)
        paths, edits = _decide(parts, theirs, head, f"`{source}` into `{into}`", strategy)
        if not paths:
            return None
        after = max(parts.commits.get(one).created_at for one in (head, theirs))
        details = stamped(metadata, key, after)
        try:
            if edits is None:
                return merge_once(
                    parts,
                    theirs,
                    into,
                    head,
                    message,
                    details,
                    strategy=strategy,
                )
            with parts.workspace(head) as aside:
                made = joined(parts, aside, theirs, edits, partial(_copy, theirs))
                return merge_once(
                    parts,
                    made,
                    into,
                    head,
                    message,
                    {**details, MERGED: theirs},
                    strategy=None,
                )
        except ConflictError:
            if attempt + 1 == _TRIES or parts.commits.head(into) == head:
                raise
    raise AssertionError("the last try raises or returns")


def _copy(ref: str, to: Workspace, path: str) -> None:
    to.copy(path, ref)


def _decide(
    parts: Parts, theirs: str, head: str, what: str, strategy: Strategy | None
) -> tuple[Collection[str], dict[str, str | None] | None]:
    """Return the paths that the merge changes on the head, and the edits if lakeFS' would differ."""
    base = _base(parts, theirs, head)
    source, dest = _changed(parts, base, theirs), _changed(parts, base, head)
    both = source.keys() & dest.keys()
    of_source, of_dest = parts.data.known(theirs, both), parts.data.known(head, both)
    for path in both:
        source[path] = (None, of_source.get(path))
        dest[path] = (None, of_dest.get(path))
    edits, conflicts = three_way(source, dest, strategy)
    added = [path for path, content in edits.items() if content]
    found = clashes(edits, parts.data.around(head, added))
    for path, other in found:
        if strategy == "source-wins":
            edits[other] = None
        elif strategy == "dest-wins":
            edits.pop(path, None)
        else:
            conflicts.append(path)
    if conflicts:
        raise conflict(conflicts, f"in merging {what}")
    alike = any(of_source.get(path) == of_dest.get(path) for path in both)
    if not edits or not (found or alike):
        return edits.keys(), None
    contents = parts.data.known(theirs, edits)
    return edits.keys(), {path: contents.get(path) for path in edits}


def _base(parts: Parts, theirs: str, head: str) -> str:
    found = parts.connection.ask(
        "looking for the merge base",
        parts.connection.refs.find_merge_base,
        parts.name,
        theirs,
        head,
    )
    return str(found.base_commit_id)


def _changed(parts: Parts, base: str, commit: str) -> dict[str, tuple[str | None, str | None]]:
    return {
        change.path: (None, None if change.kind == "removed" else _THERE)
        for change in parts.data.diff(base, commit, "")
    }
