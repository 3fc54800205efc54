"""The mature windows that the declaration asks for, joined with their labels, pinned to one commit."""

import json

import dagster as dg
import polars as pl

from mlops_assets.assets.commits import described, key, write
from mlops_assets.assets.waiting import made_or_waited
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration
from mlops_assets.declaration.sections import Task
from mlops_assets.learning.frames import declared_frame
from mlops_assets.learning.training_set import TARGET
from mlops_assets.monitoring.meaning import Meaning
from mlops_assets.monitoring.rows import joined
from mlops_assets.resources import RepositoryResource, StoreResource
from mlops_assets.versions import Repository

MEAN_OF: dict[Task, str] = {"binary": "base rate", "regression": "mean target"}


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the training set."""

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
        code_version=f"{declaration.digest('training', 'labels', 'gates')}-{Meaning.declared(declaration).target}",
        pool=f"{declaration.name}__retrain",
        output_required=False,  # too early: nothing is made, and what follows is skipped
    )
    def training_set(  # type: ignore[no-untyped-def]  # noqa: ANN202  # Dagster can't read a generator's
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_store: StoreResource,
    ):
        yield from made_or_waited(
            context,
            declaration,
            mlops_store.get(),
            "training_set",
            lambda: gather(context, declaration, mlops_repository.get()),
        )

    return training_set


def gather(
    context: dg.AssetExecutionContext,
    declaration: Declaration,
    versions: Repository,
) -> dg.MaterializeResult:
    """Join the windows that the declaration asks for, and pin them to one commit.

    Raises:
        NotYetError: it is too early.

    """
    commit = versions.resolve(MAIN)  # once; everything below reads by it
    mature = landed_windows(versions, declaration, commit).mature
    made = {info.path for info in versions.objects(commit, f"{declaration.name}/features/")}
    # a window whose features could not be made must not keep all others from being learnt
    left_out = [w for w in mature if declaration.path("features", w) not in made]
    mature = tuple(window for window in mature if window not in left_out)
    frame = declared_frame(declaration, mature)
    inputs = {
        info.path: info.checksum
        for stage in ("features", "labels")
        for info in versions.objects(commit, f"{declaration.name}/{stage}/")
        if info.path.rsplit("/", 1)[-1].removesuffix(".parquet") in frame.windows
    }
    written = write(
        context,
        versions,
        declaration,
        "training_set",
        joined(versions, declaration, commit, frame.windows),
        metadata={
            "mlops.data_commit": commit,
            "mlops.windows": json.dumps(list(frame.windows)),
        },
    )
    result = scan(versions, written.commit, written.path)
    figures = (
        result.group_by("window")
        .agg(pl.len().alias("rows"), pl.col(TARGET).cast(pl.Float64).mean().alias("mean"))
        .sort("window")
        .collect(engine="streaming")
    )
    return dg.MaterializeResult(
        metadata={
            **described(written, int(figures["rows"].sum()), result.collect_schema()),
            "data_commit": commit,
            "windows": list(frame.windows),
            "holdout": list(frame.holdout),
            "left_out": left_out,
            "learnt": Meaning.declared(declaration).learnt,
            "inputs": inputs,
            "targets": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {"window": w, "rows": n, MEAN_OF[declaration.task]: round(mean, 4)}
                    )
                    for w, n, mean in figures.fill_null(0.0).iter_rows()
                ]
            ),
        },
        data_version=dg.DataVersion(written.checksum),
    )
