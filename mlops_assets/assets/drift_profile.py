"""One window's whylogs profile, judged against the reference of the champion that scored it."""

import dataclasses
from datetime import timedelta
from itertools import pairwise
from typing import Any

import dagster as dg
import duckdb
import polars as pl

from mlops_assets.assets import plots
from mlops_assets.assets.commits import key, partitions, read_commit, scan
from mlops_assets.assets.judging import Bench, Judged
from mlops_assets.assets.predictions import SCORE
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import DeclarationError, MlopsError, did_you_mean
from mlops_assets.profiles import retention
from mlops_assets.profiles.drift import Verdict
from mlops_assets.profiles.profile import Profile, profile, profile_segments
from mlops_assets.profiles.segments import Segments, largest, pooled
from mlops_assets.profiles.shapes import Shape, shape
from mlops_assets.profiles.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.resources import LedgerResource, RepositoryResource, StoreResource
from mlops_assets.versions import Repository

MOST_SHOWN, MOST_FEATURES, MOST_SHAPES = 52, 20, 3  # windows and features in a picture
GRACE = timedelta(days=1)  # profiles added since then may be some other run's


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the drift profile.

    Raises:
        DeclarationError: `leave_out` or `segments` name what is no feature.

    """
    features = list(load(declaration.features))
    for name in [*declaration.drift.leave_out, *declaration.drift.segments]:
        if name not in features:
            raise DeclarationError(f"drift: no feature `{name}`{did_you_mean(name, features)}")

    @dg.asset(
        key=key(declaration, "drift_profile"),
        deps=[key(declaration, "features"), key(declaration, "predictions")],
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        owners=declaration.owners,
        description="The whylogs profile of one window, judged by how far the reference's own "
        "windows are from each other.",
        kinds={"whylogs", "duckdb"},
        code_version="2",  # a verdict names its policy; another one makes the past no stale
    )
    def drift_profile(
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_store: StoreResource,
        mlops_ledger: LedgerResource,
    ) -> dg.MaterializeResult:
        window = context.partition_key
        versions = mlops_repository.get()
        commit = read_commit(context, versions, key(declaration, "features"), window)
        entry = mlops_ledger.get().in_force(declaration.name, window)
        rows = profiled_rows(context, versions, declaration, commit, scored=entry is not None)
        bench = Bench(declaration, mlops_store.get())
        by = declaration.drift.segments
        taken, parts = profile(rows), profile_segments(rows, by) if by else {}
        judged = bench.judge(window, taken, parts, entry)
        own = judged.compared.segments if judged.compared else {}
        kept = {*own, *largest({window: parts}, declaration.drift.most_segments)}
        batch = versions.stat(commit, declaration.path("batches", window)).checksum
        blob = bench.store.add_blob(taken.to_bytes())
        common = {
            "model": declaration.name,
            "window": window,
            "champion": entry.version if entry else None,
            # a window corrected and corrected back is a third verdict, not the first one again
            "features_commit": commit,
        }
        bench.store.add_blob(bench.policy.to_bytes())
        part_blobs = record_parts(bench.store, common, judged, pooled(parts, kept))
        record(bench.store, common, judged, batch, blob, part_blobs)
        if retention.is_due(declaration, window):
            merge_old(context, bench.store, declaration)
        metadata = shown(bench.store, declaration, judged, taken, entry)
        if taken.not_profiled:
            metadata["not_profiled"] = list(taken.not_profiled)
        return dg.MaterializeResult(
            metadata=metadata,
            data_version=dg.DataVersion(f"{blob[:32]}-{judged.verdict.verdict}"),
        )

    return drift_profile


def merge_old(context: dg.AssetExecutionContext, store: Store, declaration: Declaration) -> None:
    """Merge profiles that are old by now; a window is judged whether or not that can be done."""
    try:
        done = retention.compact(store, declaration, GRACE)
    except (MlopsError, duckdb.Error) as error:
        context.log.warning("old profiles stay as they are until next month: %s", error)
    else:
        context.log.info("%s months merged, %s profiles removed", len(done.merged), done.removed)


def profiled_rows(
    context: dg.AssetExecutionContext,
    versions: Repository,
    declaration: Declaration,
    commit: str,
    *,
    scored: bool,
) -> pl.LazyFrame:
    """Return the window's features, with its scores if there are any; profiling streams them."""
    window, keys = context.partition_key, declaration.batches.key
    names = list(load(declaration.features))
    frame = scan(versions, commit, declaration.path("features", window)).select(*keys, *names)
    if scored:
        at = read_commit(context, versions, key(declaration, "predictions"), window)
        scores = scan(versions, at, declaration.path("predictions", window))
        frame = frame.join(scores.select(*keys, SCORE), on=keys, how="left", maintain_order="left")
        names.append(SCORE)
    return frame.select(names)


def record_parts(
    store: Store, common: dict[str, Any], judged: Judged, parts: Segments
) -> dict[str, str]:
    """Store what a verdict is made of, before itself: whoever sees it finds them.

    Return the profiles of its segments, by name.
    """
    lines = [{**common, **dataclasses.asdict(line)} for line in judged.verdict.features]
    store.add_many("distances", lines)
    rows = []
    for name, part in parts.items():
        verdict = judged.verdict.segments.get(name)
        rows.append(
            {
                **common,
                "segment": name,
                "profile": store.add_blob(part.to_bytes()),
                "rows": part.rows,
                "score": verdict and verdict.score,
                "score_limit": verdict and verdict.limit,
                "exceeds": bool(verdict and verdict.exceeds),
                "verdict": verdict.verdict if verdict else "insufficient",
                "sentence": verdict.sentence if verdict else "judged as one of (others)",
                "policy": judged.verdict.policy,
                "warnings": list(verdict.warnings) if verdict else [],
            }
        )
    store.add_many("segments", rows)
    return {row["segment"]: row["profile"] for row in rows}


def record(
    store: Store,
    common: dict[str, Any],
    judged: Judged,
    batch_version: str,
    blob: str,
    part_blobs: dict[str, str],
) -> None:
    """Store the verdict."""
    verdict = judged.verdict
    detail = {
        "k": verdict.k,
        "m": verdict.m,
        "effective_windows": verdict.effective,
        "p_value": verdict.p_value,
        "alarms_per_year": verdict.alarms_per_year,
        "budget_short": verdict.budget_short,
        "prediction_exceeds": verdict.prediction_exceeds,
        "warnings": list(verdict.warnings),
        "unjudged": dict(verdict.unjudged),
        "segments": {
            name: {
                "verdict": part.verdict,
                "exceeds": part.exceeds,
                "prediction_exceeds": part.prediction_exceeds,
            }
            for name, part in verdict.segments.items()
        },
        "reference_windows": dict(judged.windows),
        # those of an earlier verdict on the window, by other parts, don't belong to it
        "segment_profiles": part_blobs,
    }
    store.add(
        "verdicts",
        {
            **common,
            "batch_version": batch_version,
            "profile": blob,
            "reference": judged.reference,
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
    store: Store, declaration: Declaration, judged: Judged, taken: Profile, entry: Entry | None
) -> dict[str, Any]:
    """Return the metadata: the verdict in a sentence, and its pictures."""
    verdict = judged.verdict
    metadata: dict[str, Any] = {
        "summary": verdict.sentence,
        "verdict": verdict.verdict,
        "rows": verdict.rows,
        "version": entry.version if entry and entry.version is not None else "none",
        "policy": verdict.policy,
    }
    if verdict.score is None or verdict.limit is None:
        return metadata
    worst = verdict.features[:15]
    said = {name: part.sentence for name, part in verdict.segments.items()}
    return {
        **metadata,
        "history": history(store, declaration, verdict),
        "distances": plots.ranges(
            [f"{line.feature} ({line.share:.0%})" for line in worst],
            [line.distance for line in worst],
            [line.own_low for line in worst],
            [line.own_high for line in worst],
            f"{verdict.window}: distance to the reference (share of the score)",
        ),
        **worst_shapes(judged, taken),
        "drift_score": verdict.score,
        "limit": verdict.limit,
        "rank_p_value": verdict.p_value if verdict.p_value is not None else "none",
        "false_alarms_per_year": verdict.alarms_per_year
        if verdict.alarms_per_year is not None
        else "none",
        "warnings": list(verdict.warnings),
        **({"segments": said} if said else {}),
    }


def history(store: Store, declaration: Declaration, verdict: Verdict) -> dg.MarkdownMetadataValue:
    """Draw the newest windows: their scores, and below how far each feature was from usual."""
    past = [
        row
        for row in store.latest("verdicts", model=declaration.name)
        if row["window"] <= verdict.window and row["champion"] is not None
    ][-MOST_SHOWN:]
    windows = [row["window"] for row in past]
    changes = [b["window"] for a, b in pairwise(past) if a["champion"] != b["champion"]]
    names = [line.feature for line in verdict.features[:MOST_FEATURES]]
    cells: dict[tuple[str, str], float] = {}
    for window, feature, distance, own_high in store.query(
        """
        SELECT
            "window",
            feature,
            arg_max(distance, (recorded_at, record_id)),
            arg_max(own_high, (recorded_at, record_id))
        FROM distances WHERE model = ? AND "window" BETWEEN ? AND ? GROUP BY ALL
        """,
        [declaration.name, windows[0], verdict.window],
    ).iter_rows():
        # a column that never differed in its own windows is as far as can be once it does
        cells[window, feature] = distance / own_high if own_high else 3.0 * (distance > 0)
    panel = plots.Panel(
        "drift score of each window against its reference",
        {"score": [row["score"] for row in past]},
        [row["score_limit"] for row in past],
    )
    return plots.heat_map(
        windows,
        panel,
        names,
        [[cells.get((window, name)) for window in windows] for name in names],
        "distance of each feature (orange: beyond all windows of the reference)",
        marked=changes,
        mark="another version serves",
    )


def worst_shapes(judged: Judged, taken: Profile) -> dict[str, dg.MarkdownMetadataValue]:
    """Draw the reference against the window, for the features that make up most of the score."""
    if judged.compared is None:
        return {}
    found: dict[str, Shape] = {}
    for line in judged.verdict.features:
        column = taken.columns.get(line.feature)
        reference = judged.compared.profile.columns[line.feature]
        kind = judged.compared.features[line.feature].kind
        drawn = shape(reference, column, kind) if column else None
        if drawn is not None and len(found) < MOST_SHAPES:
            found[f"{line.feature} ({line.share:.0%})"] = drawn
    if not found:
        return {}
    title = f"{judged.verdict.window} against its reference (share of the score)"
    labels = ("reference", "this window")
    return {"worst": plots.shapes(list(found), list(found.values()), labels, title)}
