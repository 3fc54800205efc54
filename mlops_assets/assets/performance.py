"""The metric of one window: estimated once it is scored, measured once its labels are mature."""

import dagster as dg
import polars as pl

from mlops_assets.assets.commits import key, partitions, read_commit
from mlops_assets.assets.training_set import MEAN_OF
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.batches.objects import exists
from mlops_assets.declaration import Declaration
from mlops_assets.learning.metrics import metric_named
from mlops_assets.learning.training import SCORE
from mlops_assets.learning.training_set import TARGET
from mlops_assets.monitoring.estimators import Estimates
from mlops_assets.monitoring.meaning import Meaning
from mlops_assets.monitoring.performance import accuracy, judge_estimate, labelled_rows
from mlops_assets.resources import LedgerResource, RepositoryResource, StoreResource
from mlops_assets.words import counted


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
            return estimate(estimates, window, entry.version, commit, other_task)
        labelled = read_commit(context, versions, mlops_store.get(), declaration, "labels", window)
        return measure(estimates, window, entry.version, commit, labelled, other_task)

    return performance


def estimate(
    estimates: Estimates, window: str, version: int, predictions_commit: str, other_task: str
) -> dg.MaterializeResult:
    """Estimate the metric of a window whose labels nobody can trust yet.

    Scores of a version that learnt another task are none of the metric's: `other_task` says which.
    """
    declaration, store = estimates.declaration, estimates.store
    metric = declaration.metric
    found = estimates.of(window, version, predictions_commit, other_task)
    path = declaration.path("predictions", window)
    checksum = estimates.repository.stat(predictions_commit, path).checksum
    store.add(
        "estimates",
        {
            "model": declaration.name,
            "window": window,
            "champion": version,
            "method": estimates.method,
            "metric": metric,
            "value": found.value,
            "reason": found.reason,
            "rows": found.rows,
            "estimator": found.estimator,
            "made_of": list(found.made_of),
            "predictions_version": checksum,
            "meaning": estimates.meaning,
        },
    )
    trusted = f"its labels are trusted from {declaration.matures(window):%Y-%m-%d %H:%M} on"
    said = f"{metric} can't be estimated: {found.reason}; {trusted}"
    if found.value is not None:
        said = (
            f"{metric} is estimated at {found.value:.4f} on {counted(found.rows, 'row')}, by {SCORE}s of "
            f"{found.made_of[0]} to {found.made_of[-1]} ({estimates.method}); {trusted}"
        )
    return dg.MaterializeResult(
        metadata={
            "summary": f"{said}{accuracy(store, declaration, window)}",
            f"estimated_{metric}": found.value if found.value is not None else "none",
            "version": version,
            "commit": predictions_commit,
        },
        data_version=dg.DataVersion(f"{checksum[:16]}-estimated-{found.value}"),
    )


def measure(
    estimates: Estimates,
    window: str,
    version: int,
    predictions_commit: str,
    labels_commit: str,
    other_task: str,
) -> dg.MaterializeResult:
    """Measure the metric, and how far its estimate was off."""
    declaration, versions, store = estimates.declaration, estimates.repository, estimates.store
    rows = labelled_rows(versions, declaration, window, predictions_commit, labels_commit)
    scores, labels, batch = (
        versions.stat(commit, declaration.path(stage, window)).checksum
        for stage, commit in (
            ("predictions", predictions_commit),
            ("labels", labels_commit),
            ("batches", predictions_commit),
        )
    )
    metric = metric_named(declaration.metric)
    value = None if other_task else metric.of(rows[TARGET], rows[SCORE])
    known = rows.filter(pl.col(TARGET).is_not_null())
    base_rate = known[TARGET].cast(pl.Float64).mean() if known.height else None
    error = judge_estimate(store, declaration, window, version, scores, value)
    measured = {
        "model": declaration.name,
        "window": window,
        "champion": version,
        "metric": metric.name,
        "value": value,
        "rows": known.height,
        "base_rate": base_rate,
        "predictions_version": scores,
        "labels_version": labels,
        "predictions_commit": predictions_commit,
        "labels_commit": labels_commit,
        "batch_version": batch,
        "meaning": estimates.meaning,
    }
    if not other_task:
        estimates.learn_from_matured(measured)
    store.add("performance", measured)
    undefined = f"undefined on {known.height:,} labelled rows: none, or of one class only"
    if other_task:
        undefined = f"undefined: {other_task}"
    said = f"{metric.name} is {undefined}"
    if value is not None:
        said = f"{metric.name} is {value:.4f} on {known.height:,} labelled rows"
        if error is not None:
            said += f"; it had been estimated at {value + error:.4f}, off by {error:+.4f}"
    return dg.MaterializeResult(
        metadata={
            "summary": said,
            metric.name: value if value is not None else undefined,
            f"estimated_{metric.name}": value + error
            if value is not None and error is not None
            else "none",
            "estimate_off_by": error if error is not None else "none",
            "labelled_rows": known.height,
            "unlabelled_rows": rows.height - known.height,
            MEAN_OF[declaration.task].replace(" ", "_"): float(base_rate)  # type: ignore[arg-type]  # Polars types a mean as anything
            if base_rate is not None
            else "none",
            "version": version,
            "commit": predictions_commit,
        },
        data_version=dg.DataVersion(f"{scores[:16]}-{value}"),
    )
