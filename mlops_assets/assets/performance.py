"""The real metric of one window, once its labels are mature."""

from itertools import pairwise

import dagster as dg
import polars as pl

from mlops_assets.assets import plots
from mlops_assets.assets.commits import key, partitions, read_commit, scan
from mlops_assets.assets.predictions import SCORE
from mlops_assets.assets.training_set import MEAN_OF
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import ObjectNotFoundError
from mlops_assets.learning.metrics import metric_named
from mlops_assets.resources import LedgerResource, RepositoryResource, StoreResource


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the measured performance."""

    @dg.asset(
        key=key(declaration, "performance"),
        deps=[key(declaration, "predictions"), key(declaration, "labels")],
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        owners=declaration.owners,
        description="What the champion's scores of one window were worth, once its labels are "
        "mature.",
        kinds={"polars", "duckdb"},
        code_version=declaration.digest("gates", "labels"),
    )
    def performance(
        context: dg.AssetExecutionContext,
        repository: RepositoryResource,
        store: StoreResource,
        ledger: LedgerResource,
    ) -> dg.MaterializeResult:
        window = context.partition_key
        versions = repository.get()
        entry = ledger.get().in_force(declaration.name, window)
        scored_at = read_commit(context, versions, key(declaration, "predictions"), window)
        labelled_at = read_commit(context, versions, key(declaration, "labels"), window)
        landed = landed_windows(versions, declaration, "main")
        if window not in landed.mature:
            raise dg.Failure(
                f"the labels of {window} are not mature: they are trusted from "
                f"{declaration.matures(window):%Y-%m-%d %H:%M} on, and the data stands at "
                f"{landed.now:%Y-%m-%d %H:%M}"
                if landed.now
                else "nothing has landed yet",
                allow_retries=False,
            )
        path, labels_path = (declaration.path(s, window) for s in ("predictions", "labels"))
        try:
            scored = versions.stat(scored_at, path)
        except ObjectNotFoundError as error:
            raise dg.Failure(
                f"there are no predictions of {window}: no champion was in force then",
                allow_retries=False,
            ) from error
        target = load(declaration.labels.target).alias("target")
        keys = declaration.batches.key
        rows = (
            scan(versions, scored_at, path)
            .join(
                scan(versions, labelled_at, labels_path).select(*keys, target), on=keys, how="left"
            )
            .collect(engine="streaming")
        )
        metric = metric_named(declaration.metric)
        value = metric.of(rows["target"], rows[SCORE])
        known = rows.filter(pl.col("target").is_not_null())
        base_rate = known["target"].cast(pl.Float64).mean() if known.height else None
        mean_of = MEAN_OF[declaration.task].replace(" ", "_")
        version = entry.version if entry else None
        records = store.get()
        records.add(
            "performance",
            {
                "model": declaration.name,
                "window": window,
                "champion": version,
                "metric": metric.name,
                "value": value,
                "rows": known.height,
                "base_rate": base_rate,
                "predictions_version": scored.checksum,
                "labels_version": versions.stat(labelled_at, labels_path).checksum,
                "predictions_commit": scored_at,
                "labels_commit": labelled_at,
                "batch_version": versions.stat(
                    scored_at, declaration.path("batches", window)
                ).checksum,
            },
        )
        past = [
            row
            for row in records.latest("performance", model=declaration.name)
            if row["window"] <= window and row["value"] is not None
        ]
        changes = [b["window"] for a, b in pairwise(past) if a["champion"] != b["champion"]]
        return dg.MaterializeResult(
            metadata={
                "history": plots.history(
                    [row["window"] for row in past],
                    [row["value"] for row in past],
                    f"{metric.name} of the champion's scores, by window",
                    marked=changes,
                    mark="another version serves",
                ),
                metric.name: value
                if value is not None
                else f"undefined on {known.height:,} labelled rows: none, or of one class only",
                "labelled_rows": known.height,
                "unlabelled_rows": rows.height - known.height,
                mean_of: float(base_rate) if base_rate is not None else "none",  # type: ignore[arg-type]  # Polars types a mean as anything
                "version": version if version is not None else "none",
                "commit": scored_at,
            },
            data_version=dg.DataVersion(f"{scored.checksum[:16]}-{value}"),
        )

    return performance
