"""One MLflow run, and the ways to write to it; writing the same twice changes nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.registry.connection import asking
from mlops_assets.registry.packaging import MODEL_PATH, package
from mlops_assets.registry.record import RECORD_FILE, TrainingRecord, checksum_of, checksums

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD = "mlops.record"  # the tag with the checksum of the training's record
_BATCH = 100  # the most params or tags that MLflow takes at once
_DIGEST = 36  # the longest that MLflow keeps
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a description


@dataclass(frozen=True, slots=True)
class DataInput:
    """What a run read, as MLflow shows it under the run's data.

    Attributes:
        name: such as `flight_delay/training_set`.
        checksum: of the object.
        source: where it lies: repository path, commit and windows.
        columns: name -> MLflow's word for its type.
        rows: how many were read.

    """

    name: str
    checksum: str
    source: Mapping[str, str]
    columns: Mapping[str, str]
    rows: int


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """One MLflow run, and the ways to write to it; writing the same twice changes nothing."""

    client: MlflowClient
    id: str
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def finished(self) -> bool:
        """Whether the work was done before: then nothing need be logged again."""
        return self.status == "FINISHED"

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; MLflow keeps them as text of at most 6,000 characters.

        Raises:
            RegistryError: one has another value already, or MLflow refused.
        """
        from mlflow.entities import Param

        with asking(f"log parameters to run {self.id}"):
            for some in _batches([Param(name, str(value)) for name, value in params.items()]):
                self.client.log_batch(self.id, params=some, synchronous=True)

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log figures; those that are None, not finite, or there already are left out.

        Raises:
            RegistryError: MLflow refused.
        """
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        figures = [
            Metric(name, float(value), now, step)
            for name, value in metrics.items()
            if value is not None and math.isfinite(value) and self.metrics.get(name) != value
        ]
        with asking(f"log metrics to run {self.id}"):
            for some in _batches(figures):
                self.client.log_batch(self.id, metrics=some, synchronous=True)

    def log_input(self, data: DataInput, context: str) -> None:
        """Log which data the run read, and for what: `training` or `evaluation`.

        Raises:
            RegistryError: MLflow refused.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        columns = [{"name": name, "type": kind} for name, kind in data.columns.items()]
        dataset = Dataset(
            name=data.name,
            digest=data.checksum[:_DIGEST],
            source_type="mlops_assets",
            source=json.dumps(dict(data.source)),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps({"num_rows": data.rows, "num_elements": data.rows * len(columns)}),
        )
        read = DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
        with asking(f"log the data of run {self.id}"):
            self.client.log_inputs(self.id, [read])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; those of the same name are replaced.

        Raises:
            RegistryError: MLflow refused.
        """
        from mlflow.entities import RunTag

        with asking(f"tag run {self.id}"):
            for some in _batches([RunTag(name, str(value)) for name, value in tags.items()]):
                self.client.log_batch(self.id, tags=some, synchronous=True)

    def log_folder(self, folder: Path, artifact_path: str | None = None) -> None:
        """Copy a folder's content to the run's artifacts.

        Raises:
            RegistryError: the folder can't be read, or the artifacts not written.
        """
        with asking(f"store {folder.name} with run {self.id}"):
            self.client.log_artifacts(self.id, str(folder), artifact_path)

    def log_model(self, folder: Path) -> dict[str, str]:
        """Store what `FittedModel.save` wrote as the run's model; `packaging` adds files to it.

        Returns:
            The sha256 of each file that was stored.

        Raises:
            RegistryError: the folder holds no saved model, or the artifacts can't be written.
        """
        package(folder, self.id)
        self.log_folder(folder, MODEL_PATH)
        return checksums(folder)

    def log_record(self, record: TrainingRecord) -> None:
        """Store what a rebuild needs; its checksum stands apart from it, in a tag.

        Raises:
            RegistryError: MLflow refused, or the artifacts can't be written.
        """
        text = record.to_json()
        with asking(f"store {RECORD_FILE} with run {self.id}"):
            self.client.log_text(self.id, text, RECORD_FILE)
        self.set_tags({RECORD: checksum_of(text.encode())})


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
