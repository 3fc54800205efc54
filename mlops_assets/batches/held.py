"""Which files a commit holds of a model's windows; remembered, for a commit never changes.

Sensors ask this every few seconds, mostly of a commit that they know, or of the one after it: then
only what differs is looked at, however long the history is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.errors import RefNotFoundError

if TYPE_CHECKING:
    from mlops_assets.versions import Repository

STAGES = ("batches", "labels")
_MANY = 1_000  # changed paths, from which listing all of them anew costs less
_KEPT = 4  # commits of a model


@dataclass(frozen=True)
class Held:
    """What a commit holds of a model; no name need be a window's.

    Attributes:
        commit: its id.
        files: of each stage, file name without its ending -> checksum; not what was withdrawn.
        withdrawn: the same of what was withdrawn, and is there as a version without rows.

    """

    commit: str
    files: Mapping[str, Mapping[str, str]] = field(hash=False)
    withdrawn: Mapping[str, Mapping[str, str]] = field(hash=False)
    there: Mapping[str, Mapping[str, str]] = field(hash=False, repr=False)  # both together
    marks: frozenset[tuple[str, str, str]] = frozenset()  # stage, name, checksum

    @classmethod
    def of(
        cls,
        commit: str,
        there: Mapping[str, Mapping[str, str]],
        marks: frozenset[tuple[str, str, str]],
    ) -> Held:
        """Tell what was withdrawn from what was not: a newer file makes a mark void."""
        empty = {
            stage: {
                name: one for kind, name, one in marks if kind == stage and files.get(name) == one
            }
            for stage, files in there.items()
        }
        files = {
            stage: {name: one for name, one in files.items() if name not in empty[stage]}
            if empty[stage]
            else files
            for stage, files in there.items()
        }
        return cls(commit, files, empty, there, marks)


def mark_of(model: str, stage: str, name: str, checksum: str) -> str:
    """Return the path of what says that a file was withdrawn, and by whom and why."""
    return f"{model}/withdrawn/{stage}/{name}/{checksum}.json"


_known: dict[str, dict[str, Held]] = {}


def held(repository: Repository, model: str, ref: str) -> Held:
    """Return what a ref's commit holds of a model.

    Raises:
        RefNotFoundError: no such ref.

    """
    commit = repository.resolve(ref)
    known = _known.get(model, {})
    found = known.get(commit)
    if found is None:
        before = next(reversed(known.values()), None)
        found = before and _changed(repository, model, before, commit)
        found = found or _listed(repository, model, commit)
        kept = list(known.items())[1 - _KEPT :]
        _known[model] = {**dict(kept), commit: found}
    return found


def _listed(repository: Repository, model: str, commit: str) -> Held:
    there = {
        stage: {
            name: info.checksum
            for info in repository.objects(commit, f"{model}/{stage}/")
            if (name := _name(model, stage, info.path)) is not None
        }
        for stage in STAGES
    }
    marked = (_mark(model, info.path) for info in repository.objects(commit, f"{model}/withdrawn/"))
    return Held.of(commit, there, frozenset(mark for mark in marked if mark is not None))


def _changed(repository: Repository, model: str, before: Held, commit: str) -> Held | None:
    """Return what a commit holds by what differs from another; None where that is no help."""
    try:
        changes = repository.diff(before.commit, commit, f"{model}/")
    except RefNotFoundError:  # of another repository, or a history that is gone
        return None
    if len(changes) > _MANY:
        return None
    there = {stage: dict(before.there[stage]) for stage in STAGES}
    marks = set(before.marks)
    for change in changes:
        mark = _mark(model, change.path)
        if mark is not None:
            marks ^= {mark} if change.kind == "removed" else {mark} - marks
        for stage in STAGES:
            name = _name(model, stage, change.path)
            if name is None:
                continue
            if change.kind == "removed":
                there[stage].pop(name, None)
            else:
                there[stage][name] = repository.stat(commit, change.path).checksum
    return Held.of(commit, there, frozenset(marks))


def _mark(model: str, path: str) -> tuple[str, str, str] | None:
    parts = path.removeprefix(f"{model}/withdrawn/").removesuffix(".json").split("/")
    if not path.startswith(f"{model}/withdrawn/") or len(parts) != 3:
        return None
    return parts[0], parts[1], parts[2]


def _name(model: str, stage: str, path: str) -> str | None:
    prefix = f"{model}/{stage}/"
    if not path.startswith(prefix) or not path.endswith(".parquet"):
        return None
    return path.removeprefix(prefix).removesuffix(".parquet")
