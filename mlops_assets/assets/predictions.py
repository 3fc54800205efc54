"""Each window scored by the champion in force when it landed."""

from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.assets import plots
from mlops_assets.assets.commits import described, key, partitions, read_commit, write
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration
from mlops_assets.declaration.sections import Task
from mlops_assets.learning.training import SCORE
from mlops_assets.registry.tracking import load_model
from mlops_assets.resources import (
    LedgerResource,
    RegistryResource,
    RepositoryResource,
    StoreResource,
)

BINS = 20


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of predictions.

    Which version scores a window is asked of the ledger, so a promotion never makes the past stale.
    """

    @dg.asset(
        key=key(declaration, "predictions"),
        deps=[key(declaration, "features")],
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        owners=declaration.owners,
        description="One window scored by the champion in force when it landed.",
        kinds={"lightgbm", "parquet"},
        code_version="1",
    )
    def predictions(
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_registry: RegistryResource,
        mlops_ledger: LedgerResource,
        mlops_store: StoreResource,
    ) -> dg.MaterializeResult:
        window = context.partition_key
        entry = mlops_ledger.get().in_force(declaration.name, window)
        if entry is None or entry.mlflow_run_id is None:
            return dg.MaterializeResult(
                metadata={
                    "summary": "no champion was in force when this window landed: no predictions",
                    "dagster/row_count": 0,
                },
                data_version=dg.DataVersion("none"),
            )
        versions = mlops_repository.get()
        commit = read_commit(context, versions, mlops_store.get(), declaration, "features", window)
        features = scan(versions, commit, declaration.path("features", window)).collect()
        model = load_model(mlops_registry.tracking(declaration.name), entry.mlflow_run_id)
        keys = declaration.batches.key
        name = f"{declaration.name}:v{entry.version}"
        scored = features.select(
            # says by which version, so that one prediction can be followed back by itself
            pl.concat_str(pl.lit(name), *keys, separator=":").alias("prediction_id"),
            *keys,
            model.predict(features).alias(SCORE),
            pl.lit(entry.version, dtype=pl.Int64).alias("version"),
        )
        written = write(
            context,
            versions,
            declaration,
            "predictions",
            scored.lazy(),
            window=window,
            metadata={
                "mlops.version": str(entry.version),
                "mlops.mlflow_run_id": entry.mlflow_run_id,
                "mlops.features_commit": commit,
            },
        )
        return dg.MaterializeResult(
            metadata={
                **described(written, scored.height, scored.schema),
                "scores": histogram(scored[SCORE], declaration.task, entry.version),
                "version": entry.version,
                "mlflow_run_id": entry.mlflow_run_id,
                "mean_score": float(scored[SCORE].mean() or 0.0),  # type: ignore[arg-type]  # Polars types a mean as anything
            },
            data_version=dg.DataVersion(written.checksum),
        )

    return predictions


@plots.decoration
def histogram(scores: pl.Series, task: Task, version: int | None) -> dg.MetadataValue[Any]:
    """Draw how many rows have which score: of 0 to 1, or of all but the outermost percents."""
    low, high = 0.0, 1.0
    if task == "regression":
        low, high = (scores.quantile(share) or 0.0 for share in (0.01, 0.99))
    width = (high - low) / BINS or 1.0  # a single score fills the first bin
    inside = scores.clip(low, high)
    place = ((inside - low) / width).floor().clip(0, BINS - 1).cast(pl.Int64)
    counts = dict(place.value_counts().iter_rows())
    return plots.histogram(
        [counts.get(step, 0) for step in range(BINS)],
        [low + step * width for step in range(BINS + 1)],
        f"rows by score, version {version}",
    )
