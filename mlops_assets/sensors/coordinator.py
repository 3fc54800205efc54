"""The queue of a home's Dagster: one run at a time of each model, also of runs without our tags."""

from __future__ import annotations

import dagster as dg

# no public name for what dagster.yaml asks for by module and class
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext


class ModelRunCoordinator(QueuedRunCoordinator[dg.DagsterInstance]):
    """Tags each run with the model that it selects, by which dagster.yaml limits runs to one.

    Runs that a person starts in the graph, and those of a backfill, come without. One that selects
    several models is not tagged: a tag has one value.
    """

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Tag the run, and let it wait for its turn."""
        # the UI and the daemon load this with Dagster: what the next line brings, when it is needed
        from mlops_assets.resources import MODEL_TAG
        from mlops_assets.sensors.runs import work_of

        run = context.dagster_run
        models = {model for model, _ in work_of(run)}
        if MODEL_TAG not in run.tags and len(models) == 1:
            self._instance.add_run_tags(run.run_id, {MODEL_TAG: models.pop()})
        return super().submit_run(context)
