"""The metric of one window: estimated once it is scored, measured once its labels are mature."""

import dagster as dg

from mlops_assets.assets.commits import key, partitions, read_commit
from mlops_assets.assets.training_set import MEAN_OF
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.batches.objects import exists
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.estimators import Estimates
from mlops_assets.monitoring.meaning import Meaning
from mlops_assets.monitoring.performance import Estimated, Measured, estimate, measure
from mlops_assets.resources import LedgerResource, RepositoryResource, StoreResource


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the measured performance."""

    @dg.asset(
        key=key(declaration, "performance"),
        deps=[key(declaration, "predictions"), key(declaration, "labels")],
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        owners=declaration.owners,
        description="What the champion's scores of one window are worth: estimated until its "
        "labels are mature, then measured, with the estimate's error beside it.",
        kinds={"polars", "duckdb"},
        code_version=Meaning.declared(declaration).digest("performance"),
    )
    def performance(
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_store: StoreResource,
        mlops_ledger: LedgerResource,
    ) -> dg.MaterializeResult:
        window = context.partition_key
        versions = mlops_repository.get()
        entry = mlops_ledger.get().in_force(declaration.name, window)
        commit = read_commit(
            context, versions, mlops_store.get(), declaration, "predictions", window
        )
        scored = exists(versions, commit, declaration.path("predictions", window))
        if entry is None or entry.version is None or not scored:
            why = "no champion was in force when this window landed"
            if entry is not None and entry.version is not None:
                why = f"{window} has not been scored yet by version {entry.version}"
            return dg.MaterializeResult(
                metadata={"summary": f"{why}: no scores"},
                data_version=dg.DataVersion("none"),
            )
        estimates = Estimates(declaration, versions, mlops_store.get())
        series = estimates.series
        other_task = "" if series.scores_alike(entry) else series.unlike(entry)
        if window not in landed_windows(versions, declaration, MAIN).mature:
            found = estimate(estimates, window, entry.version, commit, other_task)
            return shown_estimate(declaration, found, entry.version, commit)
        labelled = read_commit(context, versions, mlops_store.get(), declaration, "labels", window)
        measured = measure(estimates, window, entry.version, commit, labelled, other_task)
        return shown_measurement(declaration, measured, entry.version, commit)

    return performance


def shown_estimate(
    declaration: Declaration, found: Estimated, version: int, commit: str
) -> dg.MaterializeResult:
    """Return an estimate as Dagster shows it."""
    return dg.MaterializeResult(
        metadata={
            "summary": found.sentence,
            f"estimated_{declaration.metric}": found.value if found.value is not None else "none",
            "version": version,
            "commit": commit,
        },
        data_version=dg.DataVersion(f"{found.predictions_version[:16]}-estimated-{found.value}"),
    )


def shown_measurement(
    declaration: Declaration, found: Measured, version: int, commit: str
) -> dg.MaterializeResult:
    """Return a measurement as Dagster shows it, with the estimate's error beside it."""
    metric = declaration.metric
    return dg.MaterializeResult(
        metadata={
            "summary": found.sentence,
            metric: found.value if found.value is not None else found.undefined,
            f"estimated_{metric}": found.estimated if found.estimated is not None else "none",
            "estimate_off_by": found.error if found.error is not None else "none",
            "labelled_rows": found.labelled,
            "unlabelled_rows": found.unlabelled,
            MEAN_OF[declaration.task].replace(" ", "_"): found.mean_target
            if found.mean_target is not None
            else "none",
            "version": version,
            "commit": commit,
        },
        data_version=dg.DataVersion(f"{found.predictions_version[:16]}-{found.value}"),
    )
