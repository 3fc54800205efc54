"""Promotion: the gates are read again, the challenger refitted, and the ledger written."""

import time
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.assets import plots
from mlops_assets.assets.commits import key
from mlops_assets.assets.evaluation import is_by_declared_gates, read_gates
from mlops_assets.assets.model import (
    Pinned,
    Trained,
    known_facts,
    pinned_training_set,
    rows_of,
    train_once,
)
from mlops_assets.assets.request import Request
from mlops_assets.assets.waiting import made_or_waited
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.batches.objects import scan
from mlops_assets.declaration import Declaration, load
from mlops_assets.errors import RefExistsError
from mlops_assets.features.expressions import code_version
from mlops_assets.learning.evaluation import refit_agreements, scored_by_window
from mlops_assets.learning.training import FittedModel
from mlops_assets.learning.training_set import TARGET
from mlops_assets.monitoring.estimators import Estimates
from mlops_assets.monitoring.judging import RecordedWindows
from mlops_assets.monitoring.meaning import Meaning
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Draft, Entry, Gate, Ledger, pinned_branch
from mlops_assets.registry.run import DESCRIPTION
from mlops_assets.registry.tracking import load_model
from mlops_assets.resources import (
    LedgerResource,
    RegistryResource,
    RepositoryResource,
    StoreResource,
)
from mlops_assets.versions import Repository
from mlops_assets.words import joined


def build(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset of the champion."""

    @dg.asset(
        key=key(declaration, "champion"),
        deps=[key(declaration, "evaluation"), key(declaration, "model")],
        group_name=declaration.name,
        owners=declaration.owners,
        description="The version that serves. A challenger that passed its gates is refitted on "
        "everything mature, checked for agreement, and promoted.",
        kinds={"lightgbm", "mlflow"},
        code_version=declaration.digest("gates"),
        pool=f"{declaration.name}__retrain",
        output_required=False,  # too early: nothing is made
    )
    def champion(  # type: ignore[no-untyped-def]  # noqa: ANN202  # Dagster can't read a generator's
        context: dg.AssetExecutionContext,
        mlops_repository: RepositoryResource,
        mlops_registry: RegistryResource,
        mlops_store: StoreResource,
        mlops_ledger: LedgerResource,
        mlops_mlflow: dg.ResourceParam[Any],
    ):
        promotion = Promotion(
            context,
            declaration,
            mlops_repository.get(),
            mlops_registry,
            mlops_store.get(),
            mlops_ledger.get(),
            Request.of(context.run),
            mlops_mlflow.mlflow_run_id,
        )
        yield from made_or_waited(
            context, declaration, promotion.store, "champion", promotion.decide
        )

    return champion


@dataclass(frozen=True)
class Promotion:
    """One decision about one challenger; done again, it ends the same."""

    context: dg.AssetExecutionContext
    declaration: Declaration
    repository: Repository
    registry: RegistryResource
    store: Store
    ledger: Ledger
    request: Request
    mlflow_run_id: str | None  # of this Dagster run; what it trains stands beneath it

    def decide(self) -> dg.MaterializeResult:
        """Promote or refuse, and report which.

        Raises:
            NotYetError: nothing was evaluated yet.
            dagster.Failure: what was evaluated is not what would be promoted.

        """
        name = self.declaration.name
        evaluated = known_facts(self.context, key(self.declaration, "evaluation"), "evaluation")
        pinned = pinned_training_set(self.context, self.declaration)
        if evaluated["training_set"] != pinned.checksum:
            raise dg.Failure(
                f"the evaluation is of another training set; materialize {name}/evaluation first",
                allow_retries=False,
            )
        if not is_by_declared_gates(self.declaration, evaluated):
            raise dg.Failure(
                f"the evaluation is by other gates; materialize {name}/evaluation first",
                allow_retries=False,
            )
        gates = read_gates(self.context, self.declaration, evaluated)
        before = self.request.champion_before(self.ledger, name)
        against = before.version if before else "none yet"
        if (promoted := self.promoted_already(before, pinned, evaluated, gates)) is not None:
            checksum = self.checksum_of(promoted)
            said = f"version {promoted.version} was promoted by this very evaluation already"
            return self.result(checksum, promoted, said, extra={})
        if evaluated["champion"] != against:
            raise dg.Failure(
                f"the challenger was compared with champion {evaluated['champion']}, and now it is "
                f"{against}; materialize training_set to champion again",
                allow_retries=False,
            )
        if not all(gate.passed for gate in gates):
            return self.refuse(gates, before, pinned, evaluated)
        tracking = self.registry.tracking(name)
        refit = train_once(
            self.context,
            self.declaration,
            self.repository,
            tracking,
            pinned,
            pinned.windows,
            stage="refit",
            parent=self.mlflow_run_id,
        )
        challenger = load_model(tracking, evaluated["challenger_run_id"])
        held_out = rows_of(self.repository, self.declaration, pinned, pinned.holdout)
        gates += self.compare_refit(refit, challenger, pinned, held_out)
        if not all(gate.passed for gate in gates):
            return self.refuse(gates, before, pinned, evaluated)
        return self.promote(refit, challenger, gates, before, pinned, held_out)

    def compare_refit(
        self, refit: Trained, challenger: FittedModel, pinned: Pinned, held_out: pl.DataFrame
    ) -> list[Gate]:
        """Check the refit, which no gate saw, against the challenger that they did.

        On the newest window that landed, from which neither learnt. Where it strays, what the
        windows held out taught it has to account for that.
        """
        tracking = self.registry.tracking(self.declaration.name)
        rows = self.newest_rows(pinned)
        seeds = [
            train_once(
                self.context,
                self.declaration,
                self.repository,
                tracking,
                pinned,
                pinned.training,
                stage="other_seed",
                parent=self.mlflow_run_id,
                seed=self.declaration.training.seed + number,
            )
            for number in (1, 2)
        ]
        for one in seeds:
            seen = scored_by_window(self.declaration, held_out, one.model, "held_out")
            tracking.get(one.run_id).log_metrics(seen)
        agreements = refit_agreements(
            self.declaration,
            (refit.model.predict(rows), challenger.predict(rows)),
            [one.model.predict(rows) for one in seeds],
            held_out[TARGET],
            (refit.model.predict(held_out), challenger.predict(held_out)),
        )
        gates = [
            Gate(
                name=f"refit_{by}s_agree",
                passed=found.passed,
                value=found.difference,
                limit=found.limit,
                sentence=found.sentence,
            )
            for by, found in agreements.items()
        ]
        tracking.get(refit.run_id).log_metrics(
            {
                **{gate.name: gate.value for gate in gates},
                **{f"{gate.name}_limit": gate.limit for gate in gates},
                # it learnt those windows, so this is no proof of what it is worth
                **scored_by_window(self.declaration, held_out, refit.model, "learnt"),
            }
        )
        return gates

    def newest_rows(self, pinned: Pinned) -> pl.DataFrame:
        """Return the features of the newest landed window that is not in the training set."""
        landed = landed_windows(self.repository, self.declaration, pinned.data_commit)
        for window in reversed(landed.batches):
            path = self.declaration.path("features", window)
            if window not in pinned.windows and any(
                info.path == path for info in self.repository.objects(pinned.data_commit, path)
            ):
                rows = scan(self.repository, pinned.data_commit, path).collect()
                if rows.height:  # a window that was taken back has none
                    return rows
        return rows_of(self.repository, self.declaration, pinned, pinned.holdout)

    def promote(
        self,
        refit: Trained,
        challenger: FittedModel,
        gates: list[Gate],
        before: Entry | None,
        pinned: Pinned,
        held_out: pl.DataFrame,
    ) -> dg.MaterializeResult:
        """Register, pin, write the ledger, and let the alias follow: each step can be repeated."""
        name = self.declaration.name
        registry = self.registry.registry()
        learnt = rows_of(self.repository, self.declaration, pinned, pinned.windows)
        reference = RecordedWindows(self.declaration, self.store).keep_reference(
            refit.model, learnt
        )
        version = registry.register(
            name,
            refit.run_id,
            refit.fingerprint,
            {"mlops.data_commit": pinned.data_commit, "mlops.cause": self.request.cause},
            f"Learnt from {pinned.windows[0]} to {pinned.windows[-1]}. Why: {self.request.reason}.",
        )
        branch = pinned_branch(name, version)
        try:
            # garbage collection follows branches: what a version learnt from must outlive main
            self.repository.create_branch(branch, pinned.commit)
        except RefExistsError:
            self.context.log.info(f"{branch} holds this version's data already")
        # what its scores are worth is told by rows that its challenger had not seen; before the
        # ledger makes it serve, or a process killed in between would never tell
        estimates = Estimates(self.declaration, self.repository, self.store)
        estimates.learn_from_holdout(version, held_out, challenger)
        landed = landed_windows(self.repository, self.declaration, MAIN)
        entry = self.ledger.append(
            name,
            Draft(
                window=landed.newest or pinned.windows[-1],
                event="promoted",
                version=version,
                cause=self.request.cause,
                data_commit=pinned.commit,
                mlflow_run_id=refit.run_id,
                gates=tuple(gates),
                reason=self.request.reason,
                trigger=self.request.trigger,
                fingerprint=refit.fingerprint,
                reference=reference,
                training_windows=pinned.windows,
                features={f.name: f.kind for f in refit.model.encoding.features},
                features_code=code_version(load(self.declaration.features)),
                learnt=Meaning.declared(self.declaration).learnt,
            ),
            expected_previous=before.version if before else None,
        )
        registry.set_champion(name, entry.version)
        sentence = f"version {entry.version} promoted: {entry.reason}"
        self.report(entry, promoted=True, reason=entry.reason)
        shares = sorted(refit.model.importance().items(), key=lambda item: -item[1])
        return self.result(
            refit.model.checksum,
            entry,
            sentence,
            extra={
                "importance": plots.bars(
                    [name for name, _ in shares],
                    [share for _, share in shares],
                    "share of the gain, on everything mature",
                )
            },
        )

    def refuse(
        self, gates: list[Gate], before: Entry | None, pinned: Pinned, evaluated: dict[str, Any]
    ) -> dg.MaterializeResult:
        """Keep the champion, and write down why."""
        failed = joined(gate.sentence for gate in gates if not gate.passed)
        kept = f"version {before.version} stays" if before else "there is still no champion"
        checksum = self.checksum_of(before) if before and before.mlflow_run_id else "none"
        if (refused := self.refused_already(before, pinned, evaluated, gates)) is not None:
            said = f"challenger refused already, in entry {refused.number}, {kept}: {failed}"
            return self.result(checksum, refused, said, extra={})
        landed = landed_windows(self.repository, self.declaration, MAIN)
        entry = self.ledger.append(
            self.declaration.name,
            Draft(
                window=landed.newest or pinned.windows[-1],
                event="refused",
                version=None,
                cause=self.request.cause,
                data_commit=pinned.commit,
                mlflow_run_id=evaluated["challenger_run_id"],
                gates=tuple(gates),
                reason=failed,
                trigger=self.request.trigger,
                fingerprint=evaluated["challenger"],
                training_windows=pinned.training,
                learnt=Meaning.declared(self.declaration).learnt,
            ),
            expected_previous=before.version if before else None,
        )
        self.report(entry, promoted=False, reason=failed)
        return self.result(checksum, entry, f"challenger refused, {kept}: {failed}", extra={})

    def promoted_already(
        self,
        before: Entry | None,
        pinned: Pinned,
        evaluated: dict[str, Any],
        gates: list[Gate],
    ) -> Entry | None:
        """Return the champion, if this very evaluation made it and a person asks once more."""
        if not self.request.by_hand or before is None or before.event != "promoted":
            return None
        against = before.previous if before.previous is not None else "none yet"
        same = (before.data_commit, against) == (pinned.commit, evaluated["champion"])
        return before if same and before.gates[: len(gates)] == tuple(gates) else None

    def refused_already(
        self,
        before: Entry | None,
        pinned: Pinned,
        evaluated: dict[str, Any],
        gates: list[Gate],
    ) -> Entry | None:
        """Return the newest refusal, if it is this very one and a person asks once more."""
        if not self.request.by_hand:
            return None
        decided = [
            entry
            for entry in self.ledger.entries(self.declaration.name)
            if entry.event in ("promoted", "refused")
        ]
        last = decided[-1] if decided else None
        if last is None or last.event != "refused" or last.gates != tuple(gates):
            return None
        version = before.version if before else None
        of_last = (last.data_commit, last.mlflow_run_id, last.previous)
        return last if of_last == (pinned.commit, evaluated["challenger_run_id"], version) else None

    def checksum_of(self, entry: Entry) -> str:
        """Return the checksum of the model that an entry promoted."""
        tracking = self.registry.tracking(self.declaration.name)
        return load_model(tracking, str(entry.mlflow_run_id)).checksum

    def report(self, entry: Entry, *, promoted: bool, reason: str) -> None:
        """Answer the decision in the store."""
        self.store.add(
            kinds.Outcome(
                model=self.declaration.name,
                cause=entry.cause,
                window=entry.window,
                promoted=promoted,
                version=entry.version,
                reason=reason,
                run_id=self.context.run.run_id,
                minutes=self.minutes(),
            )
        )

    def minutes(self) -> float:
        """Return how long this run has taken, in minutes: what the budget is spent by."""
        begun = self.context.instance.get_run_stats(self.context.run.run_id).start_time
        return 0.0 if begun is None else (time.time() - float(begun)) / 60

    def result(
        self, checksum: str, entry: Entry, sentence: str, extra: dict[str, Any]
    ) -> dg.MaterializeResult:
        """Report the decision in the UI, and on the MLflow run of this Dagster run."""
        if self.mlflow_run_id:
            run = self.registry.tracking(self.declaration.name).get(self.mlflow_run_id)
            run.log_metrics(
                {
                    "promoted": float(entry.event == "promoted"),
                    **{gate.name: gate.value for gate in entry.gates},
                    **{f"{gate.name}_limit": gate.limit for gate in entry.gates},
                }
            )
            run.set_tags(
                {
                    DESCRIPTION: sentence,
                    "mlops.model": self.declaration.name,
                    "mlops.decision": entry.event,
                    "mlops.cause": entry.cause,
                    "mlops.trigger": entry.trigger,
                }
            )
        rows = [
            dg.TableRecord(
                {
                    "gate": gate.name,
                    "passed": str(gate.passed),
                    "value": "" if gate.value is None else f"{gate.value:.5f}",
                    "limit": "" if gate.limit is None else f"{gate.limit:.5f}",
                    "what": gate.sentence,
                }
            )
            for gate in entry.gates
        ]
        return dg.MaterializeResult(
            metadata={
                "decision": entry.event,
                "summary": sentence,
                "gates": dg.MetadataValue.table(rows),
                "version": entry.version if entry.version is not None else "none",
                "previous": entry.previous if entry.previous is not None else "none",
                "trigger": entry.trigger,
                "reason": entry.reason,
                "ledger_entry": entry.number,
                "mlflow_run_id": entry.mlflow_run_id or "none",
                "commit": entry.data_commit or "none",
                "training_windows": list(entry.training_windows),
                **extra,
            },
            data_version=dg.DataVersion(checksum),
        )
