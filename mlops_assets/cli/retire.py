"""`mlops gc` and `mlops retire`: what data is kept, and until when."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from rich.filesize import decimal

from mlops_assets.cli.output import stderr
from mlops_assets.cli.retrain import who
from mlops_assets.errors import RefNotFoundError, RegistryError, UnknownNameError, VersionsError
from mlops_assets.home import Home
from mlops_assets.monitoring.known import known_models
from mlops_assets.registry.ledger import Draft, Entry, Ledger, pinned_branch
from mlops_assets.versions import Collected, Repository, existing_repository
from mlops_assets.words import counted


def collect_garbage(grace: float, keep_days: int | None, *, dry_run: bool) -> dict[str, Any]:
    """Remove the data that nothing reaches, or only say what would go; return the documented form.

    Args:
        grace: hours; what was written or touched since then stays.
        keep_days: also let go of what was replaced longer ago than so many days.
        dry_run: remove nothing.

    Raises:
        RepositoryBusyError: the repository could not be had in time.
        RepositoryCorruptError: what a branch reaches can't be read; nothing was removed.

    """
    home = Home.find()
    repository = existing_repository(home.repository, home.cache)
    collected = Collected()
    if repository is not None:
        stderr.print(f"looking through {repository.url}", markup=False)
        collected = repository.collect(
            grace=timedelta(hours=grace),
            history=None if keep_days is None else timedelta(days=keep_days),
            dry_run=dry_run,
        )
    return {
        "repository": home.repository if repository is None else repository.url,
        "dry_run": dry_run,
        "objects": collected.objects,
        "bytes": collected.size,
        "branches": list(collected.branches),
        "packed": collected.packed,
        "saved": collected.saved,
    }


def said_of(collection: dict[str, Any]) -> str:
    """Return a sentence about a collection for a person."""
    went = "would go" if collection["dry_run"] else "went"
    objects, branches = collection["objects"], len(collection["branches"])
    left = (
        f", and {counted(branches, 'branch', 'branches')} that killed processes left"
        if branches
        else ""
    )
    packed = (
        f"\nPacked {counted(collection['packed'], 'object')} of git's own: {decimal(collection['saved'])} less."
        if collection["packed"]
        else ""
    )
    return f"{collection['repository']}: {counted(objects, 'object')}, {decimal(collection['bytes'])} {went}{left}.{packed}"


def retire_version(model: str, named: str, reason: str) -> dict[str, Any]:
    """Release the data of a version that is not to be rebuilt any more; return the documented form.

    Its branch is deleted, the ledger says by whom and why; the model itself stays in MLflow. Doing
    it twice changes nothing.

    Raises:
        UnknownNameError: no such model, or no such version of it.
        RegistryError: it is the champion, or somebody moved the champion at this moment.
        VersionsError: the repository is not there.

    """
    home = Home.find()
    ledger = Ledger(home.ledger)
    models = known_models(home)
    if model not in models:
        raise UnknownNameError.among("model with any state here", model, models)
    version = version_of(ledger, model, named)
    champion = ledger.champion(model)
    if champion is not None and champion.version == version:
        raise RegistryError(
            f"{model}: version {version} is the champion and can't be retired; it can be once "
            f"another was promoted, as after `mlops retrain {model}`"
        )
    repository = existing_repository(home.repository, home.cache)
    if repository is None:
        raise VersionsError(
            f"there is no repository at {home.repository}, so no data can be released; name the "
            "one that holds it in MLOPS_REPOSITORY"
        )
    before = ledger.retired(model).get(version)
    if before is None:
        _write_down(ledger, model, version, champion, reason)
    branch = pinned_branch(model, version)
    released = _release(repository, branch)
    data = "its data is released" if released else "its data was released before"
    return {
        "model": model,
        "version": version,
        "outcome": "unchanged" if before and not released else "retired",
        "branch": branch,
        "message": f"{model}: version {version} was retired on {before.at[:10]} already; {data}."
        if before
        else f"{model}: version {version} is retired, {data}; `mlops gc --keep-days N` collects "
        "what nothing else holds.",
    }


def version_of(ledger: Ledger, model: str, named: str) -> int:
    """Return the number of a promoted version that a person calls `3` or `v3`.

    Raises:
        UnknownNameError: nothing of that name was promoted; says what was.

    """
    known = {str(e.version) for e in ledger.entries(model) if e.event == "promoted"}
    found = re.fullmatch(r"v?(\d+)", named)
    if found is None or found[1] not in known:
        raise UnknownNameError.among(f"promoted version of {model}", named, known)
    return int(found[1])


def _write_down(
    ledger: Ledger, model: str, version: int, champion: Entry | None, reason: str
) -> None:
    entries = ledger.entries(model)
    promoted = [e for e in entries if e.version == version and e.event == "promoted"][-1]
    ledger.append(
        model,
        Draft(
            window=entries[-1].window,
            event="retired",
            version=version,
            # a version may be promoted again and retired again
            cause=f"retire:v{version}:{promoted.number}",
            data_commit=promoted.data_commit,
            mlflow_run_id=promoted.mlflow_run_id,
            reason=f"{who()} retired it" + (f": {reason}" if reason else ""),
            trigger="manual",
            fingerprint=promoted.fingerprint,
            training_windows=promoted.training_windows,
        ),
        expected_previous=champion.version if champion else None,
    )


def _release(repository: Repository, branch: str) -> bool:
    try:
        repository.delete_branch(branch)
    except RefNotFoundError:
        return False  # by one that was killed right after, or by hand
    return True
