"""Bring what follows the ledger to where the ledger stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlops_assets.declaration import Declaration
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Ledger

if TYPE_CHECKING:
    from mlops_assets.registry.models import Registry


def reconcile(
    declaration: Declaration,
    ledger: Ledger,
    store: Store,
    registry: Callable[[], Registry],
) -> list[str]:
    """Finish what a killed promotion had only begun: the ledger is the truth, others follow it.

    Call it while no retraining runs. Returns the causes that were finished.

    Args:
        declaration: of the model.
        ledger: the truth.
        store: follows it with the outcomes.
        registry: opens what follows it with the alias; called only where something is to be done.

    """
    name = declaration.name
    entries = ledger.entries(name)
    answered = {row.cause for row in store.latest(kinds.Outcome, model=name)}
    decided = [entry for entry in entries if entry.event != "retired"]  # which answers no cause
    unfinished = [entry for entry in decided if entry.cause not in answered]
    if not unfinished:
        return []
    champion = ledger.champion(name)
    registry().set_champion(name, champion.version if champion else None)
    for entry in unfinished:
        store.add(
            kinds.Outcome(
                model=name,
                cause=entry.cause,
                window=entry.window,
                promoted=entry.event == "promoted",
                version=entry.version,
                reason=entry.reason,
                run_id="",
                minutes=None,
            )
        )
    return [entry.cause for entry in unfinished]
