"""One window's whylogs profile, judged against the reference of the champion that scored it."""

import dataclasses
from itertools import pairwise
from typing import Any

import dagster as dg

from mlops_assets.assets import plots
from mlops_assets.assets.champion import drift_policy
from mlops_assets.assets.commits import key, partitions, read_commit, scan
from mlops_assets.assets.predictions import SCORE
from mlops_assets.declaration import Declaration, load
from mlops_assets.profiles.drift import Reference, Verdict, judge, no_champion
from mlops_assets.profiles.profile import profile
from mlops_assets.profiles.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.resources import LedgerResource, RepositoryResource, StoreResource


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the drift profile."""

    @dg.asset(
        key=key(declaration, "drift_profile"),
        deps=[key(declaration, "features"), key(declaration, "predictions")],
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        owners=declaration.owners,
        description="The whylogs profile of one window, judged by how far the reference's own "
        "windows are from each other.",
        kinds={"whylogs", "duckdb"},
        code_version=declaration.digest("drift"),
    )
    def drift_profile(
        context: dg.AssetExecutionContext,
        repository: RepositoryResource,
        store: StoreResource,
        ledger: LedgerResource,
    ) -> dg.MaterializeResult:
        window = context.partition_key
        versions = repository.get()
        records = store.get()
        names = list(load(declaration.features))
        asset = key(declaration, "features")
        commit = read_commit(context, versions, asset, window)
        frame = scan(versions, commit, declaration.path("features", window)).select(
            *declaration.batches.key, *names
        )
        entry = ledger.get().in_force(declaration.name, window)
        if entry is not None:
            scores = key(declaration, "predictions")
            scored = scan(
                versions,
                read_commit(context, versions, scores, window),
                declaration.path("predictions", window),
            )
            frame = frame.join(
                scored.select(*declaration.batches.key, SCORE),
                on=declaration.batches.key,
                how="left",
                maintain_order="left",
            )
        taken = profile(frame.drop(declaration.batches.key).collect(engine="streaming"))
        blob = records.add_blob(taken.to_bytes())
        if entry is None or entry.reference is None:
            verdict = no_champion(window, drift_policy(declaration), taken.rows)
        else:
            reference = Reference.from_bytes(records.blob(entry.reference))
            earlier = exceeded(records, declaration, entry.version, window)
            verdict = judge(reference, window, taken, earlier, declaration.windows.per_year)
        batch = versions.stat(commit, declaration.path("batches", window)).checksum
        record(records, declaration, commit, batch, verdict, entry, blob)
        return dg.MaterializeResult(
            metadata=shown(records, declaration, verdict, entry.version if entry else None),
            data_version=dg.DataVersion(f"{blob[:32]}-{verdict.verdict}"),
        )

    return drift_profile


def exceeded(
    records: Store, declaration: Declaration, version: int | None, window: str
) -> list[bool]:
    """Return what the windows before this one, judged against the same champion, said."""
    return [
        bool(row["exceeds"])
        for row in records.latest("verdicts", model=declaration.name, champion=version)
        if row["window"] < window and row["verdict"] != "insufficient"
    ]


def record(
    records: Store,
    declaration: Declaration,
    features_commit: str,
    batch_version: str,
    verdict: Verdict,
    entry: Entry | None,
    blob: str,
) -> None:
    """Store the distances, then the verdict: whoever sees a verdict finds its distances."""
    version = entry.version if entry else None
    common = {
        "model": declaration.name,
        "window": verdict.window,
        "champion": version,
        # a window corrected and corrected back is a third verdict, not the first one again
        "features_commit": features_commit,
    }
    for line in verdict.features:
        records.add("distances", {**common, **dataclasses.asdict(line)})
    detail = {
        "k": verdict.k,
        "m": verdict.m,
        "p_value": verdict.p_value,
        "alarms_per_year": verdict.alarms_per_year,
        "budget_short": verdict.budget_short,
        "warnings": list(verdict.warnings),
    }
    records.add(
        "verdicts",
        {
            **common,
            "batch_version": batch_version,
            "profile": blob,
            "reference": entry.reference if entry else None,
            "rows": verdict.rows,
            "score": verdict.score,
            "score_limit": verdict.limit,
            "exceeds": verdict.exceeds,
            "verdict": verdict.verdict,
            "sentence": verdict.sentence,
            "policy": verdict.policy,
            "detail": detail,
        },
    )


def shown(
    records: Store, declaration: Declaration, verdict: Verdict, version: int | None
) -> dict[str, Any]:
    """Return the metadata: the verdict in a sentence, and its pictures."""
    metadata: dict[str, Any] = {
        "summary": verdict.sentence,
        "verdict": verdict.verdict,
        "rows": verdict.rows,
        "version": version if version is not None else "none",
        "policy": verdict.policy,
    }
    if verdict.score is None or verdict.limit is None:
        return metadata
    worst = verdict.features[:15]
    judged = [
        row
        for row in records.latest("verdicts", model=declaration.name)
        if row["window"] <= verdict.window and row["score"] is not None
    ]
    changes = [
        after["window"]
        for before, after in pairwise(judged)
        if before["champion"] != after["champion"]
    ]
    return {
        **metadata,
        "distances": plots.ranges(
            [f"{line.feature} ({line.share:.0%})" for line in worst],
            [line.distance for line in worst],
            [line.own_low for line in worst],
            [line.own_high for line in worst],
            f"{verdict.window}: distance to the reference (share of the score)",
        ),
        "history": plots.history(
            [row["window"] for row in judged],
            [row["score"] for row in judged],
            "drift score of each window against its champion's reference",
            limits=[row["score_limit"] for row in judged],
            marked=changes,
            mark="another version serves",
        ),
        "drift_score": verdict.score,
        "limit": verdict.limit,
        "rank_p_value": verdict.p_value if verdict.p_value is not None else "none",
        "false_alarms_per_year": verdict.alarms_per_year
        if verdict.alarms_per_year is not None
        else "none",
        "warnings": list(verdict.warnings),
    }
