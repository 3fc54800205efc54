"""The Dagster instance of a home: opened, asked what it knows, and told of what no run made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_shared.error import DagsterError
from yaml import YAMLError

from mlops_assets.assets.batches import check_results
from mlops_assets.assets.commits import facts
from mlops_assets.batches.checks import Report
from mlops_assets.batches.landing import Landing
from mlops_assets.batches.withdrawing import Withdrawal
from mlops_assets.declaration import Declaration
from mlops_assets.errors import HomeError
from mlops_assets.home import Home
from mlops_assets.sensors.runs import PARTITION_TAG, unfinished

FETCHED = 500  # materializations at a time


def open_instance(home: Home) -> dg.DagsterInstance:
    """Open the Dagster instance of a home that this process works on.

    Raises:
        HomeError: its settings, which are the user's to change, can't be read.

    """
    try:
        return dg.DagsterInstance.get()
    except (DagsterError, YAMLError) as error:
        raise HomeError(f"{home.dagster}/dagster.yaml can't be used: {error}") from error


def materialized(home: Home, model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the newest materialization of each window of each asset of a model.

    Yields:
        the asset and window in words, and the plain values of the metadata.

    """
    if not (home.dagster / "dagster.yaml").exists():
        return
    instance = open_instance(home)
    for asset in instance.get_asset_keys():
        if asset.path[0] != model:
            continue
        for record in _newest(instance, asset):
            window = f" of {record.partition_key}" if record.partition_key else ""
            yield f"{asset.to_user_string()}{window}", facts(record)


def _newest(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Iterator[dg.EventLogRecord]:
    """Yield the newest materialization of each partition of an asset, or of the asset."""
    by_partition = instance.get_latest_storage_id_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    if not by_partition:
        yield from instance.fetch_materializations(asset, limit=1).records
    ids = sorted(by_partition.values())
    for start in range(0, len(ids), FETCHED):
        some = ids[start : start + FETCHED]
        wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=some)
        yield from instance.fetch_materializations(wanted, limit=len(some)).records


def run_at_work(model: str, window: str) -> str | None:
    """Return the id, cut short, of a run that works on a window or waits for its turn, if any."""
    for record in unfinished(dg.DagsterInstance.get(), model, "ingest"):
        if record.dagster_run.tags.get(PARTITION_TAG) == window:
            return record.dagster_run.run_id[:8]
    return None


def report_checks(declaration: Declaration, landing: Landing, report: Report) -> None:
    """Let the Dagster UI show a file's failed checks, though no run made them."""
    asset = dg.AssetKey([declaration.name, landing.kind])
    instance = dg.DagsterInstance.get()
    for result in check_results(asset, report):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=asset,
                check_name=str(result.check_name),
                passed=result.passed,
                severity=result.severity,
                description=f"{landing.window}: {result.description}",
                metadata=result.metadata,
            )
        )


def report_withdrawn(declaration: Declaration, done: Withdrawal, summary: str) -> None:
    """Tell Dagster of the version without rows, so that what stands on it reads as stale."""
    dg.DagsterInstance.get().report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=[declaration.name, done.kind],
            partition=done.window,
            description=summary,
            metadata={
                "dagster/row_count": 0,
                "commit": str(done.commit),
                "checksum": str(done.version),
                "summary": summary,
            },
            tags={"dagster/data_version": str(done.version)},
        )
    )
