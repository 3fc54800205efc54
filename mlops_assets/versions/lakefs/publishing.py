"""From edits to one commit on a branch that others commit to as well."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlops_assets.errors import (
    ConflictError,
    InvalidNameError,
    RepositoryBusyError,
)
from mlops_assets.versions.contract import Commit
from mlops_assets.versions.lakefs.commits import AT, KEY, MERGED, STEP
from mlops_assets.versions.lakefs.connection import whole
from mlops_assets.versions.lakefs.parts import Parts
from mlops_assets.versions.lakefs.workspace import Workspace
from mlops_assets.versions.merging import clashes, conflict

_TRIES = 20  # of a merge into a branch that moved in the very moment
_DASHBOARD = "MLOPS_DAGSTER_URL"


@dataclass(frozen=True)
class Edit:
    """What shall stand at a path: the content with this SHA-256 (None: nothing).

    `of` is the commit that has it there already; empty where it was uploaded to the workspace.
    """

    checksum: str | None
    of: str = ""


def head_of(parts: Parts, branch: str, expected: str | None) -> str:
    """Return a branch's commit id.

    Raises:
        RefNotFoundError: no such branch.
        ConflictError: it is not the expected one.
    """
    head = parts.commits.head(branch)
    if expected is not None and head != expected:
        raise ConflictError(
            f"the branch `{branch}` is at {head}, not at {expected}: read again, decide again"
        )
    return head


def publish(
    parts: Parts,
    branch: str,
    edits: Mapping[str, Edit],
    base: str,
    message: str,
    metadata: Mapping[str, str],
    *,
    workspace: Workspace | None = None,
    expected: str | None = None,
) -> str | None:
    """Make one commit of edits that were made on a base; None if nothing differs from the head.

    lakeFS has no compare-and-set for branches: what came between our look and the merge is looked
    for afterwards, and if it matters, our commit is taken back by another.

    Args:
        parts: of the repository to commit to.
        branch: the branch to commit to.
        edits: by path.
        base: the commit id that the edits were made on.
        message: of the commit.
        metadata: of the commit.
        workspace: where uploads were staged, on the base.
        expected: the commit id that the branch must stand at.

    Raises:
        ConflictError: the head has something else than the base or the edit at a path, or moved.
        InvalidNameError: already on the base, an object would stand where another has its folder.
        RepositoryBusyError: others kept committing to the same paths, or left changes uncommitted.
    """
    key = uuid.uuid4().hex
    prepared: str | None = None
    with ExitStack() as stack:
        for _ in range(_TRIES):
            head = head_of(parts, branch, expected)
            plan = _plan(parts, edits, base, head, branch)
            if not plan:
                return None
            if workspace is None or prepared is not None:
                # the uploads are on the base: what of them still counts is copied onto the new head
                workspace = stack.enter_context(parts.workspace(head))
                _stage(workspace, plan, prepared)
            else:
                _trim(workspace, edits, plan)
            prepared = workspace.commit(message, {STEP: "1"})
            after = parts.commits.get(head).created_at
            try:
                made = merge_once(
                    parts,
                    prepared,
                    branch,
                    head,
                    message,
                    {**stamped(metadata, key, after), MERGED: ""},
                    strategy=None,
                )
            except ConflictError:
                continue  # the branch moved, and touched the same paths: look again
            _look_back(parts, made, head, plan, branch, expected)
            return made
    raise RepositoryBusyError(
        f"others kept changing the same paths of `{branch}` in {_TRIES} tries; try again"
    )


def _plan(
    parts: Parts, edits: Mapping[str, Edit], base: str, head: str, branch: str
) -> dict[str, Edit]:
    """Return the edits that change the head."""
    now = parts.data.known(head, edits)
    before = now if head == base else parts.data.known(base, edits)
    conflicts = [
        path
        for path, edit in edits.items()
        if now.get(path) not in (edit.checksum, before.get(path))
    ]
    plan = {path: edit for path, edit in edits.items() if now.get(path) != edit.checksum}
    found = _clashes(parts, plan, head, now)
    if found:
        own = _clashes(parts, edits, base, before)
        if own:
            upper = min(min(pair) for pair in own)
            raise InvalidNameError(f"`{upper}` would be an object and a folder of objects at once")
    if conflicts or found:
        raise conflict([*conflicts, *(path for path, _ in found)], f"on `{branch}` meanwhile")
    return plan


def _clashes(
    parts: Parts,
    edits: Mapping[str, Edit],
    commit: str,
    standing: Mapping[str, str],
) -> list[tuple[str, str]]:
    """Return (new path, other path) wherever one would be an object and the other's folder."""
    contents = {path: edit.checksum for path, edit in edits.items()}
    added = [path for path, content in contents.items() if content and path not in standing]
    set_there = {path for path, content in contents.items() if content}
    among = [(path, above) for path in added for above in ancestors(path) if above in set_there]
    around = parts.data.around(commit, added)
    return [*among, *clashes(contents, around)]


def ancestors(path: str) -> list[str]:
    """Return the paths of the folders that a path stands in, the outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _stage(workspace: Workspace, plan: Mapping[str, Edit], prepared: str | None) -> None:
    for path, edit in plan.items():
        if edit.checksum is not None:
            workspace.copy(path, edit.of or prepared or "")
    workspace.remove([path for path, edit in plan.items() if edit.checksum is None])


def _trim(workspace: Workspace, edits: Mapping[str, Edit], plan: Mapping[str, Edit]) -> None:
    for path, edit in edits.items():
        if path not in plan and edit.checksum is not None:
            workspace.reset(path)
    workspace.remove([path for path, edit in plan.items() if edit.checksum is None])


def stamped(metadata: Mapping[str, str], key: str, after: datetime) -> dict[str, str]:
    """Return a commit's metadata with what lakeFS and we need: a key, the time, a link for people."""
    # later than its parent even where clocks differ: who landed first is decided by it
    now = max(datetime.now(UTC), after + timedelta(microseconds=1))
    details = {**metadata, KEY: key, AT: now.isoformat()}
    run = metadata.get("dagster.run")
    if run:
        root = os.environ.get(_DASHBOARD, "http://127.0.0.1:3000").rstrip("/")
        details["::lakefs::Dagster::url[url:ui]"] = f"{root}/runs/{run}"
    return details


def merge_once(
    parts: Parts,
    source: str,
    branch: str,
    head: str,
    message: str,
    details: Mapping[str, str],
    *,
    strategy: str | None,
    allow_empty: bool = False,
) -> str:
    """Let the server merge a commit into a branch, never twice; return the commit id.

    A try that we gave up on may still be at work while the next one is. The server lets only one of
    them through: merged once, the source is in the branch's history, and there is nothing to merge.
    (A squash merge leaves no such trace, and would be done twice.)

    Raises:
        ConflictError: both sides changed a path.
        HookRefusedError: a hook said no.
        RepositoryBusyError: somebody's uncommitted changes were in the way all the time.
    """
    from lakefs_sdk.models.merge import Merge

    connection = parts.connection
    doing = f"committing to `{branch}`" if MERGED in details else f"merging into `{branch}`"

    def once() -> str:
        asked = Merge(
            message=message,
            metadata=dict(details),
            strategy=strategy,
            allow_empty=allow_empty,
        )
        answer = connection.refs.merge_into_branch(
            parts.name, source, branch, merge=asked, _request_timeout=connection.limits
        )
        return str(whole(answer).reference)

    def already() -> str | None:
        return parts.commits.find(branch, details[KEY], head)

    return connection.repeat(doing, once, already)


def _look_back(
    parts: Parts,
    made: str,
    head: str,
    plan: Mapping[str, Edit],
    branch: str,
    expected: str | None,
) -> None:
    """Take our commit back if what came between is not to be built upon."""
    commit = parts.commits.get(made)
    before = commit.parents[0]
    if before == head:
        return
    if expected is None:
        found = _clashes(parts, plan, before, parts.data.known(before, plan))
        if not found:
            return
        error = conflict([path for path, _ in found], f"on `{branch}` meanwhile")
    else:
        error = ConflictError(
            f"the branch `{branch}` moved to {before} in the very moment, not to {expected}: "
            "read again, decide again"
        )
    take_back(parts, branch, commit, f'Take back "{commit.message}"')
    raise error


def take_back(parts: Parts, branch: str, commit: Commit, message: str) -> str | None:
    """Undo on a branch what a commit changed against its first parent.

    Returns:
        The commit id; None if nothing of it is there any more.

    Raises:
        ConflictError: paths of it were changed since.
    """
    before = commit.parents[0]
    changed = [change.path for change in parts.data.diff(commit.id, before, "")]
    contents = parts.data.known(before, changed)
    edits = {path: Edit(contents.get(path), before) for path in changed}
    return publish(parts, branch, edits, commit.id, message, {})
