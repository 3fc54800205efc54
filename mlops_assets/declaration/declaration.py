"""The declaration of a model as a value, from which everything else follows.

Dagster reads it from `defs.yaml` (see `components`); a plain script may build it too.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Self

from pydantic import Field, model_validator

from mlops_assets.declaration.sections import (
    METRICS_OF,
    REFERENCE,
    Batches,
    Drift,
    Files,
    Gates,
    Labels,
    MetricName,
    Retention,
    Retraining,
    Task,
    Training,
)
from mlops_assets.declaration.windows import Value, Windows
from mlops_assets.errors import FieldError, UnknownNameError


def object_path(model: str, stage: str, window: str | None = None) -> str:
    """Return a stage's path in the repository: `<model>/<stage>[/<window>].parquet`."""
    return f"{model}/{stage}/{window}.parquet" if window else f"{model}/{stage}.parquet"


class Declaration(Value):
    """One model, declared."""

    name: str = Field(
        description="The model's name: lower case, digits, underscores.",
        pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$",
        max_length=60,
    )
    description: str = Field(default="", description="One sentence for whoever opens the graph.")
    owners: list[str] = Field(
        default_factory=list, description="E-mail addresses, or team:name, shown in the graph."
    )
    task: Task = Field(
        default="binary",
        description="What is predicted: the probability of a class, or a number.",
    )
    windows: Windows = Field(description="The spans of time in which data lands.")
    batches: Batches = Field(description="What a batch has to be.")
    labels: Labels = Field(description="What came true, and when it can be trusted.")
    files: Files = Field(default_factory=Files, description="How the files that land are read.")
    features: str = Field(
        description="Dictionary of Polars expressions on a batch, as `.features:FEATURES`.",
        pattern=REFERENCE,
    )
    training: Training = Field(default_factory=Training, description="What is learnt, from what.")
    gates: Gates = Field(default_factory=Gates, description="What a challenger must pass.")
    drift: Drift = Field(default_factory=Drift, description="How a window is judged.")
    retraining: Retraining = Field(
        default_factory=Retraining, description="When evidence becomes a retraining."
    )
    retention: Retention = Field(
        default_factory=Retention, description="How long what was recorded stays as it is."
    )

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if self.retraining.cooldown_windows <= self.gates.holdout_windows:
            raise FieldError(
                f"cooldown_windows {self.retraining.cooldown_windows} must be above holdout_windows "
                f"{self.gates.holdout_windows}: a challenger that leaves those out has to know at "
                "least one window more than the champion, and the champion must not have seen them",
                "retraining",
                "cooldown_windows",
            )
        if self.batches.history_until is not None:
            try:
                self.windows.begins(self.batches.history_until)
            except UnknownNameError as error:
                raise FieldError(f"history_until: {error}", "batches", "history_until") from error
        if self.training.first_after <= self.gates.holdout_windows:
            raise FieldError(
                f"first_after {self.training.first_after} leaves nothing to train on beside "
                f"holdout_windows {self.gates.holdout_windows}",
                "training",
                "first_after",
            )
        if self.metric not in METRICS_OF[self.task]:
            raise FieldError(
                f"gates.metric {self.metric} can't judge the task {self.task}; it can be "
                f"{' or '.join(METRICS_OF[self.task])}",
                "gates",
                "metric",
            )
        return self

    @property
    def metric(self) -> MetricName:
        """The metric by which models are compared and reported: as declared, or the task's."""
        return self.gates.metric or METRICS_OF[self.task][0]

    def within(self, module: str) -> Declaration:
        """Return the same with references such as `.schema:X` made absolute within `module`."""

        def absolute(reference: str) -> str:
            return module + reference if reference.startswith(".") else reference

        return self.model_copy(
            update={
                "features": absolute(self.features),
                "batches": self.batches.model_copy(
                    update={"contract": absolute(self.batches.contract)}
                ),
                "labels": self.labels.model_copy(
                    update={
                        "contract": absolute(self.labels.contract),
                        "target": absolute(self.labels.target),
                    }
                ),
                "retraining": self.retraining.model_copy(
                    update={"kpi": self.retraining.kpi and absolute(self.retraining.kpi)}
                ),
            }
        )

    def path(self, stage: str, window: str | None = None) -> str:
        """Return the object's path in the repository: `<model>/<stage>[/<window>].parquet`."""
        return object_path(self.name, stage, window)

    def matures(self, window: str) -> datetime:
        """Return the moment from which the labels of `window` can be trusted."""
        return self.windows.ends(window) + timedelta(days=self.labels.mature_after_days)

    def digest(self, *parts: str) -> str:
        """Return a short hash of the named parts of the declaration, for code versions.

        Where a history to be played lies, and how files come in, says nothing of what is made of
        what came in.
        """
        coming_in: dict[str, Any] = {
            "batches": {"history", "history_until", "deliveries"},
            "labels": {"history", "deliveries", "min_matched_share"},
            "files": True,
        }
        chosen = self.model_dump(mode="json", include=set(parts) or None, exclude=coming_in)
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]
