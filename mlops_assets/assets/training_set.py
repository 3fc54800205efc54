"""The mature windows that the declaration asks for, joined with their labels, pinned to one commit."""

import json

import dagster as dg
import polars as pl

from mlops_assets.assets.commits import MAIN, described, key, scan, write
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.declaration import Declaration, load
from mlops_assets.learning.frames import frame_of
from mlops_assets.learning.training_set import assemble
from mlops_assets.resources import RepositoryResource

TARGET = "target"


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the training set."""
    training, gates = declaration.training, declaration.gates

    @dg.asset(
        key=key(declaration, "training_set"),
        deps=[
            dg.AssetDep(key(declaration, stage), partition_mapping=dg.AllPartitionMapping())
            for stage in ("features", "labels")
        ],
        group_name=declaration.name,
        owners=declaration.owners,
        description="The mature windows that the declaration asks for, pinned to one commit.",
        kinds={"polars", "parquet"},
        code_version=declaration.digest("training", "labels", "gates"),
        pool=f"{declaration.name}__retrain",
    )
    def training_set(
        context: dg.AssetExecutionContext, repository: RepositoryResource
    ) -> dg.MaterializeResult:
        versions = repository.get()
        commit = versions.resolve(MAIN)  # once; everything below reads by it
        mature = landed_windows(versions, declaration, commit).mature
        frame = frame_of(
            mature,
            least=training.first_after,
            newest=training.frame_windows,
            holdout=gates.holdout_windows,
        )
        target = load(declaration.labels.target).alias(TARGET)
        keys = declaration.batches.key
        parts = {
            window: (
                scan(versions, commit, declaration.path("features", window)),
                scan(versions, commit, declaration.path("labels", window)).select(*keys, target),
            )
            for window in frame.windows
        }
        inputs = {
            info.path: info.checksum
            for stage in ("features", "labels")
            for info in versions.objects(commit, f"{declaration.name}/{stage}/")
            if info.path.rsplit("/", 1)[-1].removesuffix(".parquet") in frame.windows
        }
        joined = assemble(parts, key=keys, target=TARGET, stored_in_key_order=True)
        written = write(
            context,
            versions,
            declaration,
            "training_set",
            joined,
            metadata={
                "mlops.data_commit": commit,
                "mlops.windows": json.dumps(list(frame.windows)),
            },
        )
        made = scan(versions, written.commit, written.path)
        figures = (
            made.group_by("window")
            .agg(pl.len().alias("rows"), pl.col(TARGET).mean().alias("base_rate"))
            .sort("window")
            .collect(engine="streaming")
        )
        return dg.MaterializeResult(
            metadata={
                **described(written, int(figures["rows"].sum()), made.collect_schema()),
                "data_commit": commit,
                "windows": list(frame.windows),
                "holdout": list(frame.holdout),
                "inputs": inputs,
                "base_rates": dg.MetadataValue.table(
                    [
                        dg.TableRecord({"window": w, "rows": n, "base rate": round(rate or 0.0, 4)})
                        for w, n, rate in figures.iter_rows()
                    ]
                ),
            },
            data_version=dg.DataVersion(written.checksum),
        )

    return training_set
