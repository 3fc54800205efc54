"""Challenger against champion and baseline, on windows that neither of them saw."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from mlops_assets.assets import plots
from mlops_assets.assets.commits import key
from mlops_assets.assets.model import Pinned, known_facts, pinned_training_set, rows_of
from mlops_assets.assets.request import Request
from mlops_assets.assets.waiting import made_or_waited
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration
from mlops_assets.errors import NotYetError
from mlops_assets.learning.comparison import Comparison
from mlops_assets.learning.evaluation import against, figures
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.training_set import TARGET, WINDOW
from mlops_assets.monitoring.meaning import Series
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry, Gate, Ledger
from mlops_assets.registry.tracking import Tracking, load_model
from mlops_assets.resources import (
    LedgerResource,
    RegistryResource,
    RepositoryResource,
    StoreResource,
)
from mlops_assets.versions import Repository
from mlops_assets.words import counted

OPPONENTS = ("baseline", "champion")
GATES = tuple(f"better_than_{opponent}" for opponent in OPPONENTS)


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the evaluation."""

    @dg.asset(
        key=key(declaration, "evaluation"),
        deps=[key(declaration, "model"), key(declaration, "training_set")],
        group_name=declaration.name,
        owners=declaration.owners,
        description="Challenger against champion and baseline on the newest mature windows, which "
        "neither saw.",
        kinds={"polars"},
        code_version=declaration.digest("gates"),
        pool=f"{declaration.name}__retrain",
        output_required=False,  # too early: nothing is made, and what follows is skipped
    )
    def evaluation(  # type: ignore[no-untyped-def]  # noqa: ANN202  # Dagster can't read a generator's
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_registry: RegistryResource,
        mlops_store: StoreResource,
        mlops_ledger: LedgerResource,
    ):
        yield from made_or_waited(
            context,
            declaration,
            mlops_store.get(),
            "evaluation",
            lambda: evaluate(
                context,
                declaration,
                mlops_repository.get(),
                mlops_registry.tracking(declaration.name),
                mlops_store.get(),
                mlops_ledger.get(),
            ),
        )

    return evaluation


def evaluate(
    context: dg.AssetExecutionContext,
    declaration: Declaration,
    versions: Repository,
    tracking: Tracking,
    store: Store,
    ledger: Ledger,
) -> dg.MaterializeResult:
    """Compare the challenger with champion and baseline on the windows held out.

    Raises:
        NotYetError: it is too early.

    """
    pinned = pinned_training_set(context, declaration)
    challenger = known_facts(context, key(declaration, "model"), "challenger")
    if challenger["training_set"] != pinned.checksum:
        raise dg.Failure(
            "the challenger was trained on another training set than the newest; "
            f"materialize {declaration.name}/model first",
            allow_retries=False,
        )
    champion = Request.of(context.run).champion_before(ledger, declaration.name)
    series = Series.of(declaration, store)
    unlike = series.unlike(champion) if champion else ""
    # one that learnt something else is compared with nothing here: the baseline alone is
    rival = None if unlike else champion
    if rival and (seen := set(rival.training_windows) & set(pinned.holdout)):
        raise NotYetError(
            "unmatured",
            f"champion version {rival.version} was trained on {sorted(seen)}, which are "
            "held out: comparing there would flatter it. Wait for mature labels of "
            f"{counted(len(pinned.holdout), 'window')} that it never saw.",
        )
    if rival and set(pinned.training) <= set(rival.training_windows):
        raise NotYetError(
            "unmatured",
            f"the challenger learnt nothing that champion version {rival.version} did not: "
            f"beside the {len(pinned.holdout)} held-out windows another must have matured",
        )
    held_out = rows_of(versions, declaration, pinned, pinned.holdout)
    if held_out.is_empty():
        raise NotYetError("no_labels", f"{', '.join(pinned.holdout)} have no rows to compare on")
    mean = mean_target(versions, declaration, pinned)
    model = load_model(tracking, challenger["mlflow_run_id"])
    parts = {
        str(window): rows for (window,), rows in held_out.group_by(WINDOW, maintain_order=True)
    }

    def scored(model: FittedModel) -> dict[str, pl.Series]:
        return {window: model.predict(rows) for window, rows in parts.items()}

    opponents: dict[str, Mapping[str, pl.Series] | float] = {"baseline": mean}
    if rival and rival.mlflow_run_id:
        opponents["champion"] = scored(load_model(tracking, rival.mlflow_run_id))
    truths, scores = {window: rows[TARGET] for window, rows in parts.items()}, scored(model)
    comparisons = {
        name: against(declaration, truths, scores, opponent, name)
        for name, opponent in opponents.items()
    }
    tracking.get(challenger["mlflow_run_id"]).log_metrics(figures(comparisons))
    return dg.MaterializeResult(
        metadata={
            **pictures(comparisons, champion),
            "summary": " ".join(one.sentence for one in comparisons.values()),
            "comparisons": {name: as_json(one) for name, one in comparisons.items()},
            "challenger": challenger["fingerprint"],
            "challenger_run_id": challenger["mlflow_run_id"],
            "champion": champion.version if champion else "none yet",
            **({"not_compared": f"not compared: {unlike}"} if unlike else {}),
            "holdout": list(pinned.holdout),
            "commit": pinned.commit,
            "data_commit": pinned.data_commit,
            "training_set": pinned.checksum,
            "gates": declaration.digest("gates"),
        },
        data_version=dg.DataVersion(
            f"{challenger['fingerprint'][:16]}-{champion.version if champion else 0}"
        ),
    )


def mean_target(versions: Repository, declaration: Declaration, pinned: Pinned) -> float:
    """Return the mean target of the rows learnt from, which the baseline always says."""
    learnt = scan(versions, pinned.commit, declaration.path("training_set")).filter(
        pl.col(WINDOW).is_in(list(pinned.training))
    )
    mean = learnt.select(pl.col(TARGET).cast(pl.Float64).mean()).collect(engine="streaming").item()
    return float(mean or 0.0)


def gates(declaration: Declaration) -> list[dg.AssetChecksDefinition]:
    """Return the gates: blocking, yet a refusal is a normal outcome and no failed run (WARN)."""
    return [
        _gate(declaration, opponent, name) for opponent, name in zip(OPPONENTS, GATES, strict=True)
    ]


def _gate(declaration: Declaration, opponent: str, name: str) -> dg.AssetChecksDefinition:
    asset = key(declaration, "evaluation")

    @dg.asset_check(
        asset=asset,
        name=name,
        blocking=True,
        description=f"The challenger's {declaration.metric} on the held-out windows against "
        f"the {opponent}'s. A refused challenger is a normal outcome.",
    )
    def gate(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        try:
            known = known_facts(context, asset, "evaluation")
        except NotYetError as error:
            return dg.AssetCheckResult(
                passed=False, severity=dg.AssetCheckSeverity.WARN, description=str(error)
            )
        comparison = known["comparisons"].get(opponent)
        if comparison is None:  # no champion to beat, or one that learnt something else
            comparison = {
                "passed": True,
                "gain": None,
                "min_gain": None,
                "sentence": known.get("not_compared", "no champion yet"),
            }
        return dg.AssetCheckResult(
            passed=bool(comparison["passed"]),
            severity=dg.AssetCheckSeverity.WARN,
            description=comparison["sentence"],
            metadata={
                "gain": comparison["gain"] if comparison["gain"] is not None else "none",
                "least_gain": comparison["min_gain"]
                if comparison["min_gain"] is not None
                else "none",
                "challenger": known["challenger"],
                "training_set": known["training_set"],
                "windows": comparison.get("windows", []),
            },
        )

    return gate


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values, for metadata."""
    return {
        "metric": comparison.metric,
        "passed": comparison.passed,
        "gain": comparison.gain,
        "min_gain": comparison.min_gain,
        "sentence": comparison.sentence,
        "windows": [
            {
                "window": one.window,
                "rows": one.rows,
                "challenger": one.challenger,
                "opponent": one.opponent,
                "gain": one.gain,
            }
            for one in comparison.windows
        ],
    }


def pictures(
    comparisons: Mapping[str, Comparison], champion: Entry | None
) -> dict[str, dg.MetadataValue[Any]]:
    """Draw challenger and strongest opponent side by side, where both are defined."""
    name = "champion" if "champion" in comparisons else "baseline"
    windows = [w for w in comparisons[name].windows if w.gain is not None]
    if not windows:
        return {}
    opponent = f"champion v{champion.version}" if champion and name == "champion" else name
    return {
        "comparison": plots.pairs(
            [one.window for one in windows],
            [float(one.challenger or 0.0) for one in windows],
            [float(one.opponent or 0.0) for one in windows],
            ("challenger", opponent),
            f"{comparisons[name].metric} on held-out windows",
        )
    }


def is_by_declared_gates(declaration: Declaration, evaluated: Mapping[str, Any]) -> bool:
    """Say whether an evaluation was made by the gates as declared now, or, from before, may be."""
    now = declaration.digest("gates")
    return bool(evaluated.get("gates", now) == now)


def read_gates(
    context: dg.AssetExecutionContext, declaration: Declaration, evaluated: dict[str, Any]
) -> list[Gate]:
    """Read each gate's result for exactly this evaluation; trust no earlier one.

    Raises:
        dagster.Failure: a gate did not run for it, or could not be computed.

    """
    asset = key(declaration, "evaluation")
    gates = []
    for name in GATES:
        history = context.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(asset, name),
            limit=1,
            # a queued run's planned check is newer, and says nothing
            status={
                AssetCheckExecutionRecordStatus.SUCCEEDED,
                AssetCheckExecutionRecordStatus.FAILED,
            },
        )
        event = history[0].event if history else None
        found = (
            event.dagster_event.asset_check_evaluation_data
            if event and event.dagster_event
            else None
        )
        target = found.target_materialization_data if found else None
        if (
            found is None
            or target is None
            or target.storage_id != evaluated["storage_id"]
            or found.metadata["challenger"].value != evaluated["challenger"]
            or found.metadata["training_set"].value != evaluated["training_set"]
        ):
            raise dg.Failure(
                f"gate {name} has not judged this challenger on this data; materialize "
                f"{asset.to_user_string()} with its checks first",
                allow_retries=False,
            )
        gain, least = found.metadata["gain"].value, found.metadata["least_gain"].value
        gates.append(
            Gate(
                name=name,
                passed=found.passed,
                value=gain if isinstance(gain, float | int) else None,
                limit=least if isinstance(least, float | int) else None,
                sentence=found.description or "",
            )
        )
    return gates
