"""The plain script's retraining with the same commits, MLflow runs, store and ledger; no Dagster."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.batches.maturity import landed_windows
from mlops_assets.declaration import Declaration, load
from mlops_assets.features.expressions import code_version
from mlops_assets.home import Home
from mlops_assets.learning.fingerprint import fingerprint
from mlops_assets.learning.frames import Frame
from mlops_assets.learning.training import FittedModel
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.connection import connect
from mlops_assets.registry.ledger import Draft, Gate, Ledger
from mlops_assets.registry.models import Registry
from mlops_assets.registry.owner import owner_tags
from mlops_assets.registry.tracking import Tracking
from mlops_assets.versions import Repository, open_repository
from tests.benchmarks.retraining import TARGET, Champion, Gates, fitted

MAIN = "main"


class Recorded:
    """What the assets read, commit, log and register, by the very same lower rooms."""

    def __init__(self, declaration: Declaration, home: Home, cause: str) -> None:
        self.declaration = declaration
        self.name = declaration.name
        self.cause = cause
        self.repository: Repository = open_repository(home.repository)
        self.tracking = Tracking(connect(home.mlflow), self.name, home.mlflow_artifacts)
        self.store = Store(home.store)
        self.ledger = Ledger(home.ledger)
        self.data_commit = self.commit = self.checksum = ""
        self.frame = Frame((), ())
        self.runs: dict[str, tuple[str, str]] = {}
        self.parent = ""

    def batch(self, window: str) -> pl.LazyFrame:
        return self._scan(self.repository.resolve(MAIN), self.declaration.path("batches", window))

    def keep_features(self, window: str, frame: pl.LazyFrame) -> pl.LazyFrame:
        commit = self._write(self.declaration.path("features", window), frame)
        return self._scan(commit, self.declaration.path("features", window))

    def mature(self) -> Sequence[str]:
        self.data_commit = self.repository.resolve(MAIN)
        return landed_windows(self.repository, self.declaration, self.data_commit).mature

    def parts(self, windows: Sequence[str]) -> dict[str, tuple[pl.LazyFrame, pl.LazyFrame]]:
        keys, path = self.declaration.batches.key, self.declaration.path
        target = load(self.declaration.labels.target).alias(TARGET)
        return {
            window: (
                self._scan(self.data_commit, path("features", window)),
                self._scan(self.data_commit, path("labels", window)).select(*keys, target),
            )
            for window in windows
        }

    def keep_training_set(self, frame: Frame, joined: pl.LazyFrame) -> None:
        self.frame = frame
        path = self.declaration.path("training_set")
        self.commit = self._write(path, joined)
        self.checksum = self.repository.stat(self.commit, path).checksum
        # dagster-mlflow's run of the whole retraining, under which the others stand
        made = self.tracking.client.create_run(
            self.tracking.experiment_id, tags={"mlops.stage": "retraining", **owner_tags()}
        )
        self.parent = str(made.info.run_id)

    def rows(self, windows: Sequence[str]) -> pl.DataFrame:
        frame = self._scan(self.commit, self.declaration.path("training_set"))
        chosen = frame.filter(pl.col("window").is_in(list(windows)))
        return chosen.collect(engine="streaming")

    def newest_rows(self) -> pl.DataFrame:
        landed = landed_windows(self.repository, self.declaration, self.data_commit)
        window = next(w for w in reversed(landed.batches) if w not in self.frame.windows)
        return self._scan(self.data_commit, self.declaration.path("features", window)).collect()

    def fit(self, stage: str, windows: Sequence[str], seed: int) -> FittedModel:
        training, names = self.declaration.training, list(load(self.declaration.features))
        features = code_version(load(self.declaration.features))
        mark = fingerprint(
            self.checksum,
            f"1-{features}-{self.declaration.digest('training', 'labels')}",
            training.parameters,
            rounds=training.rounds,
            seed=seed,
            features=names,
            windows=list(windows),
        )
        assert self.tracking.find(mark, stage) is None, "this would be reused, not trained"
        model = fitted(self.declaration, self.rows(windows), seed)
        tags = {
            "mlflow.parentRunId": self.parent,
            "mlops.data_commit": self.data_commit,
            "mlops.training_set": self.checksum,
        }
        with self.tracking.run(mark, stage, f"{stage} to {windows[-1]}", tags) as run:
            run.log_params(
                {
                    **training.parameters,
                    "rounds": training.rounds,
                    "seed": seed,
                    "windows": f"{windows[0]} to {windows[-1]} ({len(windows)})",
                }
            )
            with tempfile.TemporaryDirectory() as folder:
                model.save(Path(folder))
                run.log_model(Path(folder))
        self.runs[stage] = (run.id, mark)
        return model

    def challenger(self) -> FittedModel:
        return self._model(self.runs["challenger"][0])

    def champion(self) -> Champion | None:
        entry = self.ledger.champion(self.name)
        if entry is None or entry.mlflow_run_id is None:
            return None
        return Champion(self._model(entry.mlflow_run_id), entry.features)

    def promote(self, frame: Frame, refit: FittedModel, gates: Gates, reference: bytes) -> None:
        assert all(passed for _, passed, *_ in gates), gates
        run_id, mark = self.runs["refit"]
        blob = self.store.add_blob(reference)
        registry = Registry(self.tracking.client)
        details = {"mlops.data_commit": self.data_commit}
        version = registry.register(self.name, run_id, mark, details)
        self.repository.create_branch(f"pinned-{self.name}-v{version}", self.commit)
        champion = self.ledger.champion(self.name)
        landed = landed_windows(self.repository, self.declaration, MAIN)
        draft = Draft(
            window=landed.newest or frame.windows[-1],
            event="promoted",
            version=version,
            cause=self.cause,
            data_commit=self.commit,
            mlflow_run_id=run_id,
            gates=tuple(
                Gate(name=name, passed=passed, value=value, limit=limit, sentence=sentence)
                for name, passed, value, limit, sentence in gates
            ),
            reason="a benchmark",
            trigger="manual",
            fingerprint=mark,
            reference=blob,
            training_windows=frame.windows,
            features={each.name: each.kind for each in refit.encoding.features},
        )
        before = champion.version if champion else None
        entry = self.ledger.append(self.name, draft, expected_previous=before)
        registry.set_champion(self.name, version)
        self.store.add(
            kinds.Outcome(
                model=self.name,
                cause=entry.cause,
                window=entry.window,
                promoted=True,
                version=entry.version,
                reason=entry.reason,
                run_id=self.parent,
            ),
        )
        self.tracking.client.set_terminated(self.parent, "FINISHED")

    def _scan(self, commit: str, path: str) -> pl.LazyFrame:
        return pl.scan_parquet(self.repository.location(commit, path).uri)

    def _write(self, path: str, frame: pl.LazyFrame) -> str:
        details: dict[str, Any] = {"mlops.model": self.name}
        with (
            self.repository.transaction(
                MAIN, f"{self.name}: {path}", details, allow_unchanged=True
            ) as transaction,
            transaction.file(path) as target,
        ):
            frame.sink_parquet(
                target, compression="zstd", row_group_size=262_144, maintain_order=True
            )
        return transaction.commit_id

    def _model(self, run_id: str) -> FittedModel:
        with tempfile.TemporaryDirectory() as folder:
            return FittedModel.load(self.tracking.download(run_id, "model", Path(folder)))
