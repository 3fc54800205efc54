"""What every stage does alike: read its inputs by commit, write one object as one commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg
import polars as pl

from mlops_assets.batches.landing import KINDS, MAIN
from mlops_assets.batches.objects import Written, checksum_of, commit_file, sink
from mlops_assets.declaration import Declaration
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.versions import Repository


def key(declaration: Declaration, stage: str) -> dg.AssetKey:
    """Return the asset key `<model>/<stage>`."""
    return dg.AssetKey([declaration.name, stage])


def partitions(declaration: Declaration) -> dg.TimeWindowPartitionsDefinition:
    """Return the declared windows as Dagster's partitions."""
    windows = declaration.windows
    cron = {"hour": "0 * * * *", "day": "0 0 * * *", "week": "0 0 * * 1", "month": "0 0 1 * *"}
    midnight = "T00" if windows.every == "hour" else ""
    return dg.TimeWindowPartitionsDefinition(
        start=windows.start + midnight,
        end=windows.end + midnight if windows.end else None,
        fmt=windows.format,
        cron_schedule=cron[windows.every],
        timezone=windows.timezone,
    )


def latest(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    asset: dg.AssetKey,
    window: str | None = None,
) -> dg.EventLogRecord | None:
    """Return the newest materialization of an asset (of one of its windows), if there is one."""
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[window] if window else None),
        limit=1,
    ).records
    return records[0] if records else None


def facts(record: dg.EventLogRecord) -> dict[str, Any]:
    """Return the plain values of a materialization's metadata."""
    materialization = record.asset_materialization
    assert materialization is not None, "fetch_materializations returns nothing else"
    return {name: value.value for name, value in materialization.metadata.items()}


class Landed(NamedTuple):
    """Of a window's newest batch or labels."""

    commit_id: str


def read_commit(
    context: dg.AssetExecutionContext,
    repository: Repository,
    store: Store,
    declaration: Declaration,
    stage: str,
    window: str,
) -> str:
    """Return the commit from which a stage's object of one window is to be read.

    What landed is read from the commit that our own record names: what is due goes by it, and
    Dagster's materialization may never have been written, or be gone with a deleted run. What we
    made of it is read from the commit that the newest materialization names, unless main holds
    another object by now. Where neither says anything, main is resolved, once.
    """
    if stage in KINDS:
        kind = kinds.Batch if stage == "batches" else kinds.Labels
        if row := store.newest(kind, Landed, model=declaration.name).get(window):
            return row.commit_id
    record = latest(context, key(declaration, stage), window)
    named = facts(record).get("commit") if record else None
    if record is None or named is None:
        return repository.resolve(MAIN)
    if record.run_id == context.run.run_id or stage in KINDS:
        return str(named)
    head, path = repository.resolve(MAIN), declaration.path(stage, window)
    there = checksum_of(repository, head, path)
    return str(named) if there in (None, checksum_of(repository, str(named), path)) else head


def write(
    context: dg.AssetExecutionContext,
    repository: Repository,
    declaration: Declaration,
    stage: str,
    frame: pl.LazyFrame,
    *,
    window: str | None = None,
    metadata: Mapping[str, str] | None = None,
    code: str = "",
) -> Written:
    """Stream a frame into the stage's object on main, as one commit; the same content, none."""
    path = declaration.path(stage, window)

    return commit_file(
        repository,
        path,
        lambda target: sink(frame, target, code),
        f"{declaration.name}: {stage}" + (f" of {window}" if window else ""),
        {
            "mlops.model": declaration.name,
            "mlops.stage": stage,
            **({"mlops.window": window} if window else {}),
            "dagster.run": context.run.run_id,
            **(metadata or {}),
        },
    )


def described(written: Written, rows: int, schema: Mapping[str, pl.DataType]) -> dict[str, Any]:
    """Return the metadata that every stage with an object shows."""
    columns = [dg.TableColumn(name, str(dtype)) for name, dtype in schema.items()]
    return {
        "dagster/row_count": rows,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/uri": f"{written.path}@{written.commit[:12]}",
        "commit": written.commit,
        "checksum": written.checksum,
        "size": dg.MetadataValue.int(written.size),
        **({"lakefs": dg.MetadataValue.url(written.link)} if written.link else {}),
    }
