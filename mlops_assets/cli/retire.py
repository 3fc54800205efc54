"""`mlops retire`: the data of a version that nobody is to rebuild any more is released."""

from __future__ import annotations

from typing import Any

from mlops_assets.cli.person import who
from mlops_assets.errors import UnknownNameError, VersionsError
from mlops_assets.home import Home
from mlops_assets.monitoring.known import known_models
from mlops_assets.registry.ledger import Ledger
from mlops_assets.registry.retirement import retire, version_of
from mlops_assets.versions import existing_repository


def retire_version(model: str, named: str, reason: str) -> dict[str, Any]:
    """Release the data of a version; return the documented form.

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
    repository = existing_repository(home.repository, home.cache)
    if repository is None:
        raise VersionsError(
            f"there is no repository at {home.repository}, so no data can be released; name the "
            "one that holds it in MLOPS_REPOSITORY"
        )
    retired = retire(ledger, repository, model, version, by=who(), reason=reason)
    data = "its data is released" if retired.released else "its data was released before"
    return {
        "model": model,
        "version": version,
        "outcome": "unchanged" if retired.before and not retired.released else "retired",
        "branch": retired.branch,
        "message": f"{model}: version {version} was retired on {retired.before[:10]} already; "
        f"{data}."
        if retired.before
        else f"{model}: version {version} is retired, {data}; `mlops gc --keep-days N` collects "
        "what nothing else holds.",
    }
