"""Which models a home holds anything of, declared or not."""

from __future__ import annotations

from mlops_assets.batches.landing import KINDS, MAIN
from mlops_assets.home import Home
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Ledger
from mlops_assets.versions import existing_repository

_RECORDED = " UNION ".join(
    f"SELECT model FROM {kind.KIND}"  # noqa: S608 - names of ours
    for kind in (kinds.Batch, kinds.Verdict, kinds.Control)
)


def known_models(home: Home) -> list[str]:
    """Return the models of which the home holds anything."""
    found = set(Ledger(home.ledger).models())
    if home.store.is_dir():
        found |= set(Store(home.store).query(_RECORDED)["model"])
    repository = existing_repository(home.repository, home.cache)
    if repository is not None:
        for name, head in repository.branches("landing-"):
            found.add(repository.commit(head).metadata.get("mlops.model", name.split("-")[1]))
        for info in repository.objects(MAIN):
            stage = info.path.split("/")
            if len(stage) == 3 and stage[1] in KINDS:
                found.add(stage[0])
    return sorted(found)
