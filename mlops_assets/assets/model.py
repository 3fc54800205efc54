"""The challenger: LightGBM on the training set without its holdout, tracked in MLflow."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.assets import plots
from mlops_assets.assets.commits import facts, key, latest
from mlops_assets.assets.request import Request
from mlops_assets.assets.waiting import made_or_waited
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, place_of
from mlops_assets.errors import NotYetError
from mlops_assets.learning.encoding import rounded
from mlops_assets.learning.environment import libraries, machine
from mlops_assets.learning.fingerprint import fingerprint, of_libraries
from mlops_assets.learning.training import LEARNING_VERSION, FittedModel, train, width_of
from mlops_assets.learning.training_set import TARGET, rows_in
from mlops_assets.monitoring.meaning import Meaning
from mlops_assets.registry.record import TrainingRecord, code_of, trained_code
from mlops_assets.registry.run import DESCRIPTION, DataInput
from mlops_assets.registry.tracking import Tracking, load_model
from mlops_assets.resources import RegistryResource, RepositoryResource, StoreResource
from mlops_assets.revision import revision_of
from mlops_assets.versions import Repository
from mlops_assets.words import counted

# what a run trained, in words
STAGES = {"challenger": "The challenger", "refit": "The refit", "other_seed": "Another seed"}


@dataclass(frozen=True)
class Pinned:
    """The training set that a chain of steps works on: which object of which commit."""

    commit: str
    data_commit: str
    checksum: str
    windows: tuple[str, ...]
    holdout: tuple[str, ...]

    @property
    def training(self) -> tuple[str, ...]:
        """The windows that a challenger learns from."""
        return tuple(window for window in self.windows if window not in self.holdout)


@dataclass(frozen=True)
class Trained:
    """A model and the MLflow run that made it, now or earlier."""

    model: FittedModel
    run_id: str
    fingerprint: str
    reused: bool


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the challenger."""

    @dg.asset(
        key=key(declaration, "model"),
        deps=[key(declaration, "training_set")],
        group_name=declaration.name,
        owners=declaration.owners,
        description="The challenger, trained on all but the holdout. The same data, code, "
        "parameters and seed are not trained twice.",
        kinds={"lightgbm", "mlflow"},
        code_version=trained_code(declaration),
        pool=f"{declaration.name}__retrain",
        output_required=False,  # too early: nothing is made, and what follows is skipped
    )
    def model(  # type: ignore[no-untyped-def]  # noqa: ANN202  # Dagster can't read a generator's
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_registry: RegistryResource,
        mlops_mlflow: dg.ResourceParam[Any],
        mlops_store: StoreResource,
    ):
        yield from made_or_waited(
            context,
            declaration,
            mlops_store.get(),
            "model",
            lambda: challenge(
                context,
                declaration,
                mlops_repository.get(),
                mlops_registry.tracking(declaration.name),
                mlops_mlflow.mlflow_run_id,
            ),
        )

    return model


def challenge(
    context: dg.AssetExecutionContext,
    declaration: Declaration,
    versions: Repository,
    tracking: Tracking,
    parent: str | None,
) -> dg.MaterializeResult:
    """Train the challenger, or find it.

    Raises:
        NotYetError: it is too early.

    """
    pinned = pinned_training_set(context, declaration)
    trained = train_once(
        context,
        declaration,
        versions,
        tracking,
        pinned,
        pinned.training,
        stage="challenger",
        parent=parent,
    )
    importance = trained.model.importance()
    shown = sorted(importance.items(), key=lambda item: -item[1])
    return dg.MaterializeResult(
        metadata={
            "importance": plots.bars(
                [name for name, _ in shown], [share for _, share in shown], "share of the gain"
            ),
            "fingerprint": trained.fingerprint,
            "reused": trained.reused,
            "mlflow_run_id": trained.run_id,
            "training_windows": list(pinned.training),
            "holdout": list(pinned.holdout),
            "commit": pinned.commit,
            "data_commit": pinned.data_commit,
            "training_set": pinned.checksum,
            "rounds": declaration.training.rounds,
        },
        data_version=dg.DataVersion(trained.model.checksum),
    )


def pinned_training_set(context: dg.AssetExecutionContext, declaration: Declaration) -> Pinned:
    """Return the newest training set.

    Raises:
        NotYetError: there is none yet.
        dagster.Failure: it is of another target.

    """
    record = latest(context, key(declaration, "training_set"))
    if record is None:
        raise NotYetError(
            "unmatured",
            f"there is no training set yet; materialize {declaration.name}/training_set first",
        )
    known = facts(record)
    # one from before this was recorded is taken as it is
    if known.get("learnt", now := Meaning.declared(declaration).learnt) != now:
        raise dg.Failure(
            "the training set is of another target or task than the declared one; materialize "
            f"{declaration.name}/training_set first",
            allow_retries=False,
        )
    return Pinned(
        commit=known["commit"],
        data_commit=known["data_commit"],
        checksum=known["checksum"],
        windows=tuple(known["windows"]),
        holdout=tuple(known["holdout"]),
    )


def rows_of(
    repository: Repository, declaration: Declaration, pinned: Pinned, windows: Sequence[str]
) -> pl.DataFrame:
    """Read the training set's rows of some windows; LightGBM wants them in memory."""
    return rows_in(scan(repository, pinned.commit, declaration.path("training_set")), windows)


def train_once(
    context: dg.AssetExecutionContext,
    declaration: Declaration,
    repository: Repository,
    tracking: Tracking,
    pinned: Pinned,
    windows: Sequence[str],
    *,
    stage: str,
    parent: str | None,
    seed: int | None = None,
) -> Trained:
    """Train on some windows of the training set, or return what the same inputs gave before."""
    training = declaration.training
    seed = training.seed if seed is None else seed
    code = code_of(declaration)
    names = list(code.features)
    versions = libraries()
    mark = fingerprint(
        pinned.checksum,
        str(code.version),
        training.parameters,
        rounds=training.rounds,
        seed=seed,
        features=names,
        windows=list(windows),
        **of_libraries(LEARNING_VERSION, versions),
    )
    known = tracking.find(mark, stage)
    if known is not None:
        context.log.info(f"{stage}: the same inputs were trained in MLflow run {known.id}")
        return Trained(load_model(tracking, known.id), known.id, mark, reused=True)
    rows = rows_of(repository, declaration, pinned, windows)
    if beyond := rounded(rows, names):
        context.log.warning(
            f"{', '.join(beyond)}: whole numbers beyond 2^53, which LightGBM rounds to float64; cast"
            " them to String in the declared expression if they are names and no amounts"
        )
    model = train(
        rows,
        features=names,
        target=TARGET,
        parameters=training.parameters,
        rounds=training.rounds,
        seed=seed,
        task=declaration.task,
        width=width_of(LEARNING_VERSION),
    )
    revision = revision_of(place_of(declaration.features))
    request = Request.of(context.run)
    known_rows = int(rows[TARGET].count())
    span = windows[0] if len(windows) == 1 else f"{windows[0]} to {windows[-1]}"
    tags = {
        "dagster_run": context.run.run_id,
        "mlflow.parentRunId": parent or "",
        "mlops.data_commit": pinned.data_commit,
        "mlops.training_set": pinned.checksum,
        "mlops.model": declaration.name,
        "mlops.cause": request.cause,
        "mlops.trigger": request.trigger,
        DESCRIPTION: f"{STAGES[stage]} of {declaration.name}, learnt from {span}: "
        f"{counted(len(windows), 'window')}, {counted(known_rows, 'labelled row')}. Why: {request.reason}.",
        "mlflow.source.git.commit": revision.commit if revision else "",
    }
    name = f"{stage} to {windows[-1]}"
    with tracking.run(mark, stage, name, {k: v for k, v in tags.items() if v}) as run:
        run.log_params(
            {
                **training.parameters,
                "rounds": training.rounds,
                "seed": seed,
                "windows": f"{windows[0]} to {windows[-1]} ({len(windows)})",
            }
        )
        run.log_metrics(
            {
                "learnt_windows": len(windows),
                "learnt_rows": known_rows,
                "learnt_mean": mean_of(rows),
            }
        )
        run.log_input(
            DataInput(
                name=declaration.path("training_set").removesuffix(".parquet"),
                checksum=pinned.checksum,
                source={
                    "path": declaration.path("training_set"),
                    "commit": pinned.commit,
                    "data_commit": pinned.data_commit,
                    "windows": span,
                },
                columns={
                    **{
                        one.name: "double" if one.kind == "numeric" else "string"
                        for one in model.encoding.features
                    },
                    TARGET: "boolean" if declaration.task == "binary" else "double",
                },
                rows=rows.height,
            ),
            "training",
        )
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder))
            files = run.log_model(Path(folder))
        run.log_record(
            TrainingRecord(
                declaration=declaration.model_dump(mode="json"),
                code=code,
                windows=tuple(windows),
                parameters=training.parameters,
                rounds=training.rounds,
                seed=seed,
                training_set=pinned.checksum,
                commit=pinned.commit,
                data_commit=pinned.data_commit,
                model=model.checksum,
                files=files,
                libraries=versions,
                machine=machine(),
                revision=revision,
            )
        )
    run_id = run.id
    return Trained(model, run_id, mark, reused=False)


def mean_of(rows: pl.DataFrame) -> float | None:
    """Return the mean target of the rows that have one."""
    mean: Any = rows[TARGET].cast(pl.Float64).mean()
    return None if mean is None else float(mean)


def known_facts(context: Any, asset: dg.AssetKey, what: str) -> dict[str, Any]:
    """Return the metadata of the newest materialization of an asset without partitions.

    Raises:
        NotYetError: there is none.

    """
    record = latest(context, asset)
    if record is None:
        raise NotYetError(
            "unmatured", f"there is no {what} yet; materialize {asset.to_user_string()} first"
        )
    return {**facts(record), "storage_id": record.storage_id}
