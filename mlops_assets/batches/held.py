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
    """Of each stage, file name without its ending -> checksum; no name need be a window's."""

    commit: str
    files: Mapping[str, Mapping[str, str]] = field(hash=False)


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
    return Held(
        commit,
        {
            stage: {
                name: info.checksum
                for info in repository.objects(commit, f"{model}/{stage}/")
                if (name := _name(model, stage, info.path)) is not None
            }
            for stage in STAGES
        },
    )


def _changed(repository: Repository, model: str, before: Held, commit: str) -> Held | None:
    """Return what a commit holds by what differs from another; None where that is no help."""
    try:
        changes = repository.diff(before.commit, commit, f"{model}/")
    except RefNotFoundError:  # of another repository, or a history that is gone
        return None
    if len(changes) > _MANY:
        return None
    files = {stage: dict(before.files[stage]) for stage in STAGES}
    for change in changes:
        for stage in STAGES:
            name = _name(model, stage, change.path)
            if name is None:
                continue
            if change.kind == "removed":
                files[stage].pop(name, None)
            else:
                files[stage][name] = repository.stat(commit, change.path).checksum
    return Held(commit, files)


def _name(model: str, stage: str, path: str) -> str | None:
    prefix = f"{model}/{stage}/"
    if not path.startswith(prefix) or not path.endswith(".parquet"):
        return None
    return path.removeprefix(prefix).removesuffix(".parquet")
