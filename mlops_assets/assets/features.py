"""The declared Polars expressions on one window's batch."""

import dagster as dg
import polars as pl

from mlops_assets.assets.commits import described, key, partitions, read_commit, write
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.features.expressions import check_rows, code_version, compute, kinds, mismatches
from mlops_assets.resources import LedgerResource, RepositoryResource, StoreResource


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of features, with the check against what the champion learnt."""
    expressions = load(declaration.features)
    asset = key(declaration, "features")
    check = "matches_reference"

    @dg.asset(
        key=asset,
        deps=[key(declaration, "batches")],
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        owners=declaration.owners,
        description="The declared expressions on one window's batch; the same on one row online.",
        kinds={"polars", "parquet"},
        code_version=code_version(expressions),
        check_specs=[
            dg.AssetCheckSpec(
                check,
                asset=asset,
                blocking=True,
                description="The features are those that the champion learnt from.",
            )
        ],
    )
    def features(
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_ledger: LedgerResource,
        mlops_store: StoreResource,
    ) -> dg.MaterializeResult:
        window = context.partition_key
        versions = mlops_repository.get()
        commit = read_commit(context, versions, mlops_store.get(), declaration, "batches", window)
        batch = scan(versions, commit, declaration.path("batches", window))
        check_rows(batch, expressions)
        # in key order, one window at a time: the training set need not sort them all at once
        frame = compute(batch, expressions, key=declaration.batches.key).sort(
            declaration.batches.key
        )
        code = code_version(expressions)
        written = write(context, versions, declaration, "features", frame, window=window, code=code)
        result = scan(versions, written.commit, written.path)
        schema = result.collect_schema()
        rows = int(result.select(pl.len()).collect().item())
        entry = mlops_ledger.get().in_force(declaration.name, window)
        reference = dict(entry.features) if entry else {}
        problems = mismatches(kinds(schema, list(expressions)), reference)
        # other expressions under the same names: it can be scored, but a person has to know
        changed = entry is not None and not problems and entry.features_code != code
        if changed and entry is not None:
            problems = [
                f"the expressions changed since version {entry.version} was trained; its scores "
                f"may be off until `mlops retrain {declaration.name}` has promoted another"
            ]
        return dg.MaterializeResult(
            metadata=described(written, rows, schema),
            data_version=dg.DataVersion(written.checksum),
            check_results=[
                dg.AssetCheckResult(
                    asset_key=asset,
                    check_name=check,
                    passed=not problems,
                    severity=dg.AssetCheckSeverity.WARN if changed else dg.AssetCheckSeverity.ERROR,
                    description="; ".join(problems)
                    or (
                        f"{len(reference)} features as version {entry.version} learnt them"
                        if entry
                        else "no champion yet"
                    ),
                )
            ],
        )

    return features
