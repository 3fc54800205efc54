"""`ModelComponent`: one declared model, as assets, checks, jobs and sensors."""

from __future__ import annotations

from typing import Self

import dagster as dg
from pydantic import BaseModel

from mlops_assets.assets import (
    batches,
    champion,
    drift_profile,
    evaluation,
    features,
    model,
    performance,
    predictions,
    source,
    staleness,
    training_set,
)
from mlops_assets.declaration import Declaration
from mlops_assets.errors import DeclarationError
from mlops_assets.resources import KIND_TAG, MODEL_TAG, RESOURCES
from mlops_assets.sensors import data, decision
from mlops_assets.sensors.runs import STAGES, Kind

DECLARATION = "mlops/declaration"
JOBS: dict[Kind, str] = {
    "ingest": "A window from batch to verdict, then whatever has matured.",
    "retrain": "From the training set to a promotion, or a refusal.",
}


class ModelComponent(dg.Component):
    """A model declared once: from data versions to the sensors that start the circle again.

    In YAML the attributes are the fields of `Declaration`; in Python, build one:
    `ModelComponent(Declaration(name=...))` in a function decorated by `@dg.component_instance`.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the declaration itself, so that `dg check yaml` knows its fields and bounds."""
        return Declaration

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:  # noqa: ARG003  # Dagster's signature
        """Build it from the attributes of a `defs.yaml`."""
        if not isinstance(attributes, Declaration):
            raise DeclarationError("a model needs attributes; see docs/declaration.md")
        return cls(attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions of the model."""
        return definitions(self.declaration.within(context.defs_relative_module_name(context.path)))


def definitions(declaration: Declaration) -> dg.Definitions:
    """Return the assets, gates, jobs and sensors of one declared model."""
    name = declaration.name
    assets: list[dg.AssetsDefinition | dg.SourceAsset] = [
        source.build(declaration, "batches"),
        source.build(declaration, "labels"),
        batches.build(declaration, "batches"),
        batches.build(declaration, "labels"),
        features.build(declaration),
        training_set.build(declaration),
        model.build(declaration),
        evaluation.build(declaration),
        champion.build(declaration),
        predictions.build(declaration),
        drift_profile.build(declaration),
        performance.build(declaration),
        staleness.build(declaration),
    ]
    metadata = {DECLARATION: dg.MetadataValue.json(declaration.model_dump(mode="json"))}
    jobs = [
        dg.define_asset_job(
            f"{name}__{kind}",
            selection=dg.AssetSelection.assets(*([name, stage] for stage in STAGES[kind])),
            description=description,
            executor_def=dg.in_process_executor,
            tags={MODEL_TAG: name, KIND_TAG: kind},
            metadata=metadata,
        )
        for kind, description in JOBS.items()
    ]
    return dg.Definitions(
        assets=assets,
        asset_checks=evaluation.gates(declaration),
        jobs=jobs,
        sensors=[
            data.build(declaration, f"{name}__ingest"),
            decision.build(declaration, f"{name}__retrain"),
        ],
        resources=RESOURCES,
        executor=dg.in_process_executor,
    )
