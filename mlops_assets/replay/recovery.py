"""Clearing away what killed processes left, before a process of ours goes on."""

from __future__ import annotations

from collections.abc import Callable

from mlops_assets.instance import open_instance
from mlops_assets.monitoring.reconciliation import reconcile
from mlops_assets.project import Project
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Ledger
from mlops_assets.registry.owner import owner_is_alive
from mlops_assets.registry.server import MlflowServer
from mlops_assets.sensors.recovery import end_dead_runs, unfinished_runs


def recover(project: Project, tell: Callable[[str], None]) -> None:
    """Clear away unfinished runs, held slots, half-made promotions and open MLflow runs.

    Only of this project's models, and only what is dead. The caller holds the home.
    """
    clear_runs(project, tell)
    store, ledger = Store(project.home.store), Ledger(project.home.ledger)
    server = MlflowServer.of_home(project.home)
    for declaration in project.declarations.values():
        for cause in reconcile(declaration, ledger, store, server.registry):
            tell(f"finished {cause}, killed between the ledger and the alias")
    if not server.exists:
        return  # don't import it
    for model in (*project.declarations, *project.broken):
        for run_id in server.tracking(model).close_abandoned(owner_is_alive):
            tell(f"closed MLflow run {run_id[:8]}, left open by a killed process")


def clear_runs(project: Project, tell: Callable[[str], None]) -> None:
    """End the Dagster runs of dead processes, free the slots that they hold, and name the others.

    What they were for is due again, and what they finished stays.
    """
    instance, models = open_instance(project.home), [*project.declarations, *project.broken]
    for one in end_dead_runs(instance, models):
        tell(f"cleared {one.about}, killed half-way; it is due again")
    for one in unfinished_runs(instance, models):
        if one.life == "lives":
            tell(f"left {one.about} alone: its process lives")
        else:
            tell(
                f"left {one.about} alone: its process is not to be seen from here; if it was "
                "killed, cancel the run in Dagster"
            )
