"""What a retraining would have earned on one window, and what not retraining has cost so far."""

from typing import Any

import dagster as dg

from mlops_assets.assets.commits import key, partitions, read_commit
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.batches.objects import exists
from mlops_assets.decisions.staleness import Staleness
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.meaning import Meaning
from mlops_assets.monitoring.staleness import measure_staleness, unjudged
from mlops_assets.monitoring.twins import Twins
from mlops_assets.records import kinds
from mlops_assets.resources import LedgerResource, RepositoryResource, StoreResource


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the staleness.

    Raises:
        DeclarationError: the declared KPI is not there, or no expression.

    """

    @dg.asset(
        key=key(declaration, "staleness"),
        deps=[key(declaration, stage) for stage in ("features", "labels", "performance")],
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        owners=declaration.owners,
        description="What a retraining would have earned on one window, by two small models: one "
        "learnt what the champion did, the other all that was known before the window.",
        kinds={"lightgbm", "duckdb"},
        code_version=f"{declaration.digest('training', 'gates')}-"
        f"{Meaning.declared(declaration).digest('staleness')}",
    )
    def staleness(
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_store: StoreResource,
        mlops_ledger: LedgerResource,
    ) -> dg.MaterializeResult:
        window = context.partition_key
        versions, records, entries = mlops_repository.get(), mlops_store.get(), mlops_ledger.get()
        landed = landed_windows(versions, declaration, MAIN)
        entry = entries.in_force(declaration.name, window)
        if window not in landed.mature or entry is None or entry.version is None:
            why = unjudged(declaration, landed, window) if entry else "no champion was in force"
            return dg.MaterializeResult(
                metadata={"summary": f"nothing to judge on {window} yet: {why}"},
                data_version=dg.DataVersion("none"),
            )
        commits = {
            stage: read_commit(context, versions, records, declaration, stage, window)
            for stage in ("features", "labels")
        }
        if not exists(versions, commits["features"], declaration.path("features", window)):
            return dg.MaterializeResult(
                metadata={"summary": f"nothing to judge on {window} yet: it has no features"},
                data_version=dg.DataVersion("none"),
            )
        row, standing = measure_staleness(
            Twins(declaration, versions, records),
            entries.entries(declaration.name),
            entry,
            landed,
            window,
            commits,
            context.log.warning,
        )
        return dg.MaterializeResult(
            metadata=shown(row, standing),
            data_version=dg.DataVersion(f"{row.fresh_twin}-{row.champion_twin}-{row.gain}"),
        )

    return staleness


def shown(row: kinds.Staleness, standing: Staleness) -> dict[str, Any]:
    """Return the metadata: the sentence, and figures that Dagster draws by window."""
    figures = ("fresh", "served", "gain", "cost")
    return {
        "summary": standing.sentence,
        **({"not_judged": row.reason} if row.reason else {}),
        **{
            name: figure if (figure := getattr(row, name)) is not None else "none"
            for name in figures
        },
        "total": standing.total,
        "rate": standing.rate,
        "due": standing.due,
        "labelled_rows": row.rows,
        "version": row.champion,
        "since": row.since,
        "fresh_twin": row.fresh_twin or "none",
        "champion_twin": row.champion_twin or "none",
        "policy": row.policy,
        "data_commit": row.known_commit or "none",
    }
