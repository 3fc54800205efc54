"""Batches and labels of one window: landed on a branch, checked, and only then merged to main."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from mlops_assets.assets.commits import described, key, partitions
from mlops_assets.assets.source import SOURCES
from mlops_assets.batches.checks import Report
from mlops_assets.batches.landing import (
    MAIN,
    Kind,
    Landing,
    audit,
    beside,
    mended,
    newest,
    publish,
    refuse,
    refuse_on_main,
)
from mlops_assets.batches.objects import Written, scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import DeclarationError, ObjectNotFoundError
from mlops_assets.monitoring.meaning import Meaning, begin, check_windows
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.resources import RepositoryResource, StoreResource
from mlops_assets.versions import Repository
from mlops_assets.words import counted

REFUSED = "refused, main is untouched"
DESCRIPTIONS: dict[Kind, str] = {
    "batches": "The rows of one window. They land on a branch, are checked, and only then merged.",
    "labels": "What came true of one window's rows, landed apart from them.",
}


def build(declaration: Declaration, kind: Kind) -> dg.AssetsDefinition:
    """Return the asset of batches, or of labels, with its two checks."""
    asset = key(declaration, kind)

    @dg.asset(
        key=asset,
        deps=[key(declaration, SOURCES[kind])],
        partitions_def=partitions(declaration),
        group_name=declaration.name,
        owners=declaration.owners,
        description=DESCRIPTIONS[kind],
        kinds={"parquet"},
        code_version=declaration.digest("batches", "labels"),
        check_specs=[
            dg.AssetCheckSpec(
                "schema",
                asset=asset,
                description="Every declared column is there, of its type. Refused otherwise.",
            ),
            dg.AssetCheckSpec(
                "quality",
                asset=asset,
                description="Rows, nulls, keys, bounds and window are as declared. Refused "
                "otherwise.",
            ),
        ],
    )
    def landed(  # type: ignore[no-untyped-def]  # noqa: ANN202  # Dagster can't read a generator's
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_store: StoreResource,
    ):
        window = context.partition_key
        versions = mlops_repository.get()
        refuse_other_windows(declaration, mlops_store.get())
        landing = newest(versions, declaration, kind, window)
        commit = landing.commit if landing else versions.resolve(MAIN)
        path = declaration.path(kind, window)
        try:
            version = versions.stat(commit, path).checksum
        except ObjectNotFoundError as error:
            if kind == "labels":  # they come later by their nature, and what follows has to go on
                yield nothing_yet(asset, declaration, window)
                return
            raise dg.Failure(
                f"nothing has landed for {kind} of {window}; "
                f"`mlops land {declaration.name} FILE` does it",
                allow_retries=False,
            ) from error
        frame = scan(versions, commit, path)
        others = beside(
            versions,
            declaration,
            kind,
            window,
            version=version,
            # main is theirs who wrote to it: what it held before is not known here
            replaces=landing is None or landing.replaces,
        )
        report = audit(declaration, kind, window, frame, others)
        if not report.passed:
            yield from check_results(asset, report)
            refused = _refused(versions, declaration, kind, window, version, landing, report)
            raise dg.Failure(
                f"{kind} of {window} {REFUSED}: {'; '.join(report.problems)}",
                metadata={"branch": refused.branch, "commit": refused.commit},
                allow_retries=False,
            )
        if landing is not None:
            commit = publish(versions, declaration, landing, {"dagster.run": context.run.run_id})
        else:
            mended(versions, declaration, kind, window)
        begin(declaration, mlops_store.get())
        info = versions.stat(commit, path)
        landed = kinds.Batch(
            model=declaration.name,
            window=window,
            version=info.checksum,
            commit_id=commit,
            rows=report.rows,
        )
        record = landed if kind == "batches" else _counted(landed, declaration, frame)
        mlops_store.get().add(record)
        written = Written(commit, path, info.checksum, info.size, versions.link(commit, path))
        yield dg.MaterializeResult(
            metadata={
                **described(written, report.rows, frame.collect_schema()),
                "null_shares": dict(report.facts.get("null_shares", {})),
                **_counts(record),
            },
            data_version=dg.DataVersion(info.checksum),
            check_results=list(check_results(asset, report)),
        )

    return landed


def refuse_other_windows(declaration: Declaration, store: Store) -> None:
    """Let nothing land under keys by which something else lies there.

    Raises:
        dagster.Failure: the windows are declared otherwise than when they landed.

    """
    try:
        check_windows(declaration, store)
    except DeclarationError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def nothing_yet(asset: dg.AssetKey, declaration: Declaration, window: str) -> dg.MaterializeResult:
    """Return that a window's labels have not landed, which is nobody's fault."""
    said = (
        f"no labels of {window} have landed; they are expected by "
        f"{declaration.matures(window):%Y-%m-%d}"
    )
    return dg.MaterializeResult(
        metadata={"summary": said},
        data_version=dg.DataVersion("none"),
        check_results=[
            dg.AssetCheckResult(
                asset_key=asset,
                check_name=name,
                passed=True,
                description=f"nothing to check: {said}",
            )
            for name in ("schema", "quality")
        ],
    )


def check_results(asset: dg.AssetKey, report: Report) -> Iterator[dg.AssetCheckResult]:
    """Turn a report into the results of the two checks."""
    for name, problems in (("schema", report.schema), ("quality", report.quality)):
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=name,
            passed=not problems,
            description="; ".join(problems) or f"{counted(report.rows, 'row')}, as declared",
            metadata={
                "rows": report.rows,
                "problems": list(problems),
                "facts": dict(report.facts),
            },
        )


def _refused(
    versions: Repository,
    declaration: Declaration,
    kind: Kind,
    window: str,
    version: str,
    landing: Landing | None,
    report: Report,
) -> Landing:
    if landing is not None:
        return refuse(versions, declaration, landing, report)
    return refuse_on_main(versions, declaration, kind, window, version, report)


def _counted(landed: kinds.Batch, declaration: Declaration, frame: pl.LazyFrame) -> kinds.Labels:
    """Count which targets the labels have."""
    target = load(declaration.labels.target).alias("target")
    counted = frame.select(target).select(
        positives=pl.col("target").sum(), unknown=pl.col("target").null_count()
    )
    positives, unknown = counted.collect(engine="streaming").row(0)
    classes = declaration.task == "binary"  # numbers have no positives
    return kinds.Labels(
        **landed.content,
        positives=int(positives or 0) if classes else None,
        unknown=int(unknown),
        meaning=Meaning.declared(declaration).digest("labels"),
    )


def _counts(record: kinds.Batch | kinds.Labels) -> dict[str, int | str]:
    """Return what was counted of labels, as Dagster shows it."""
    if isinstance(record, kinds.Batch):
        return {}
    counts = {
        "positives": record.positives,
        "unknown": record.unknown,
        "meaning": record.meaning,
    }
    return {name: count for name, count in counts.items() if count is not None}
