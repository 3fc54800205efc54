"""The Dagster resources: the repository, the store, the ledger, the registry and MLflow's run.

One object each for all models, so that several declarations can stand in one code location.
Connections are opened where they are used, inside the step: no step relies on another's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.errors import RegistryError
from mlops_assets.home import Home
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Ledger
from mlops_assets.registry.owner import owner_tags
from mlops_assets.registry.server import MlflowServer
from mlops_assets.versions import Repository, open_repository

if TYPE_CHECKING:
    from mlops_assets.registry.models import Registry
    from mlops_assets.registry.tracking import Tracking

MODEL_TAG, KIND_TAG = "mlops/model", "mlops/kind"


class RepositoryResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # it yields itself
    """The repository of data versions.

    Sensors look at no landing of a window after `until`: a replay's present.
    """

    url: str = ""
    until: str | None = None

    def get(self) -> Repository:
        """Open it; the home's own unless configured."""
        home = Home.find()
        return open_repository(self.url or home.repository, home.cache)


class StoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # it yields itself
    """Profiles, verdicts and decisions."""

    root: str = ""

    def get(self) -> Store:
        """Open it; the home's own unless configured."""
        return Store(Path(self.root) if self.root else Home.find().store)


class LedgerResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # it yields itself
    """The record of promotions."""

    root: str = ""

    def get(self) -> Ledger:
        """Open it; the home's own unless configured."""
        return Ledger(Path(self.root) if self.root else Home.find().ledger)


class RegistryResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # it yields itself
    """MLflow's runs, model versions and aliases, without a run of its own."""

    tracking_uri: str = ""

    def get(self) -> MlflowServer:
        """Return MLflow as configured; the home's own unless configured."""
        if self.tracking_uri:
            return MlflowServer.at(self.tracking_uri)
        return MlflowServer.of_home(Home.find().prepare())

    def tracking(self, model: str) -> Tracking:
        """Return the runs of one model's experiment."""
        return self.get().tracking(model)

    def registry(self) -> Registry:
        """Return the versions and aliases."""
        return self.get().registry()


@dg.resource(
    description="dagster-mlflow's run of this Dagster run; it always ends.",
    required_resource_keys={"mlops_registry"},
)
def mlflow_run(context: dg.InitResourceContext) -> Iterator[Any]:
    """Yield dagster-mlflow's `MlFlow` for this Dagster run, and end its MLflow run in any case.

    Its own hook ends a run only when the last node of a job ran; runs of a part of a job, and
    failed ones, would stay RUNNING.
    """
    run = context.run
    if run is None:
        raise RegistryError("the MLflow run of a Dagster run needs one; use it inside a run")
    # the job carries the tag; a run of single assets names the model in their keys
    selected = sorted(key.path[0] for key in run.asset_selection or ())
    model = run.tags.get(MODEL_TAG) or (selected[0] if selected else run.job_name)
    server = context.resources.mlops_registry.get()
    _ = server.tracking(model).experiment_id  # made with the home's artifact root, if it is new
    from dagster_mlflow.resources import MlFlow

    named = os.environ.get("MLFLOW_TRACKING_URI")
    tracked = MlFlow(
        context.replace_config(
            {
                "experiment_name": model,
                "mlflow_tracking_uri": server.uri,
                "env": {},
                "extra_tags": {"mlops.stage": "retraining", **owner_tags()},
            }
        )
    )
    if tracked.mlflow_run_id is None:
        # it knows the id only of a run that it found, and what is trained stands beneath this one
        tracked.mlflow_run_id = tracked.active_run().info.run_id
    if named is None:
        # MLflow leaves its address there, which would then read as a person's choice
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        yield tracked
    finally:
        tracked.end_run(status="FAILED" if _has_failed(context, run) else "FINISHED")


def _has_failed(context: dg.InitResourceContext, run: dg.DagsterRun) -> bool:
    failed = {dg.DagsterEventType.STEP_FAILURE}
    return context.instance is not None and bool(
        context.instance.all_logs(run.run_id, of_type=failed)
    )


# prefixed: they stand among the resources of the project that this is installed into
RESOURCES: dict[str, Any] = {
    "mlops_repository": RepositoryResource(),
    "mlops_store": StoreResource(),
    "mlops_ledger": LedgerResource(),
    "mlops_registry": RegistryResource(),
    "mlops_mlflow": mlflow_run,
}
