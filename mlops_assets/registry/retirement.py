"""A version that nobody is to rebuild any more: its data is released, the ledger says by whom."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlops_assets.errors import RefNotFoundError, RegistryError, UnknownNameError
from mlops_assets.registry.ledger import Draft, Entry, Ledger, pinned_branch
from mlops_assets.versions import Repository


@dataclass(frozen=True)
class Retired:
    """A version whose data nothing holds any more on its behalf."""

    version: int
    branch: str  # that held its data
    before: str | None  # when it had been retired already, as the ledger says
    released: bool  # whether the branch was there until now


def retire(
    ledger: Ledger, repository: Repository, model: str, version: int, *, by: str, reason: str
) -> Retired:
    """Delete the branch that holds a version's data; the model itself stays in MLflow.

    Doing it twice changes nothing.

    Raises:
        RegistryError: it is the champion, or somebody moved the champion at this moment.

    """
    champion = ledger.champion(model)
    if champion is not None and champion.version == version:
        raise RegistryError(
            f"{model}: version {version} is the champion and can't be retired; it can be once "
            f"another was promoted, as after `mlops retrain {model}`"
        )
    before = ledger.retired(model).get(version)
    if before is None:
        _write_down(ledger, model, version, champion, by, reason)
    branch = pinned_branch(model, version)
    return Retired(version, branch, before.at if before else None, _release(repository, branch))


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
    ledger: Ledger, model: str, version: int, champion: Entry | None, by: str, reason: str
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
            reason=f"{by} retired it" + (f": {reason}" if reason else ""),
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
