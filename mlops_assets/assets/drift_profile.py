"""One window's whylogs profile, judged against the reference of the champion that scored it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import duckdb
import polars as pl

from mlops_assets.assets import plots
from mlops_assets.assets.commits import key, partitions, read_commit
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.drift.segments import largest, pooled
from mlops_assets.drift.shapes import Shape, shape
from mlops_assets.drift.verdict import FeatureLine
from mlops_assets.errors import DeclarationError, MlopsError, did_you_mean
from mlops_assets.learning.training import SCORE
from mlops_assets.monitoring import retention
from mlops_assets.monitoring.judging import Judged, RecordedWindows, record, record_parts
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.resources import LedgerResource, RepositoryResource, StoreResource
from mlops_assets.sketches.profile import Profile, profile, profile_segments
from mlops_assets.versions import Repository
from mlops_assets.words import visible

MOST_FEATURES, MOST_DRAWN, MOST_SHAPES = 20, 10, 3  # in the table, by window, in the picture
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
        commit = read_commit(context, versions, mlops_store.get(), declaration, "features", window)
        entry = mlops_ledger.get().in_force(declaration.name, window)
        recorded = RecordedWindows(declaration, mlops_store.get())
        rows = profiled_rows(
            context, versions, recorded.store, declaration, commit, scored=entry is not None
        )
        by = declaration.drift.segments
        taken, parts = profile(rows), profile_segments(rows, by) if by else {}
        judged = recorded.judge(window, taken, parts, entry)
        own = judged.compared.segments if judged.compared else {}
        kept = {*own, *largest({window: parts}, declaration.drift.most_segments)}
        batch = versions.stat(commit, declaration.path("batches", window)).checksum
        blob = recorded.store.add_blob(taken.to_bytes())
        common = {
            "model": declaration.name,
            "window": window,
            "champion": entry.version if entry else None,
            # a window corrected and corrected back is a third verdict, not the first one again
            "features_commit": commit,
        }
        recorded.store.add_blob(recorded.policy.to_bytes())
        part_blobs = record_parts(recorded.store, common, judged, pooled(parts, kept))
        record(recorded.store, common, judged, batch, blob, part_blobs)
        if retention.is_due(declaration, window):
            merge_old(context, recorded.store, declaration)
        metadata = shown(judged, taken, entry)
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
    store: Store,
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
        at = read_commit(context, versions, store, declaration, "predictions", window)
        scores = scan(versions, at, declaration.path("predictions", window))
        frame = frame.join(scores.select(*keys, SCORE), on=keys, how="left", maintain_order="left")
        names.append(SCORE)
    return frame.select(names)


def shown(judged: Judged, taken: Profile, entry: Entry | None) -> dict[str, Any]:
    """Return the metadata: the verdict in a sentence, its figures and a picture."""
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
    said = {name: part.sentence for name, part in verdict.segments.items()}
    return {
        **metadata,
        "distances": distances(verdict.features[:MOST_FEATURES]),
        "worst": worst_shapes(judged, taken),
        **distance_of_each(judged),
        "drift_score": verdict.score,
        "limit": verdict.limit,
        "rank_p_value": verdict.p_value if verdict.p_value is not None else "none",
        "false_alarms_per_year": verdict.alarms_per_year
        if verdict.alarms_per_year is not None
        else "none",
        "warnings": list(verdict.warnings),
        **({"budget": verdict.budget_short} if verdict.budget_short else {}),
        **({"segments": said} if said else {}),
    }


def distances(lines: Sequence[FeatureLine]) -> dg.TableMetadataValue:
    """Return the table of how far each feature moved, what made up most of the score first."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "feature": visible(line.feature),
                    "distance": round(line.distance, 4),
                    "usual": f"{line.own_low:.4f} to {line.own_high:.4f}",
                    "beyond": "yes" if line.distance > line.own_high else "",
                    "share of the score": f"{line.share:.0%}",
                }
            )
            for line in lines
        ]
    )


def distance_of_each(judged: Judged) -> dict[str, float]:
    """Return the distances that Dagster draws by window: of what the model leans on most.

    The same features for all windows of a champion, so that no line ends.
    """
    if judged.compared is None:
        return {}
    importance = judged.compared.importance
    leant_on = sorted(importance, key=lambda name: -importance[name])[:MOST_DRAWN]
    found = {line.feature: line.distance for line in judged.verdict.features}
    return {f"distance of {name}": found[name] for name in leant_on if name in found}


@plots.decoration
def worst_shapes(judged: Judged, taken: Profile) -> dg.MetadataValue[Any]:
    """Draw the reference against the window, for the features that make up most of the score."""
    if judged.compared is None:
        return dg.MetadataValue.text("nothing was compared")
    found: dict[str, Shape] = {}
    for line in judged.verdict.features:
        column = taken.columns.get(line.feature)
        reference = judged.compared.profile.columns[line.feature]
        kind = judged.compared.features[line.feature].kind
        drawn = shape(reference, column, kind) if column else None
        if drawn is not None and len(found) < MOST_SHAPES:
            found[f"{line.feature} ({line.share:.0%})"] = drawn
    if not found:
        return dg.MetadataValue.text("no column holds what it holds in the reference")
    title = f"{judged.verdict.window} against its reference (share of the score)"
    labels = ("reference", "this window")
    return plots.shapes(list(found), list(found.values()), labels, title)
