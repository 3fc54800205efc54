"""A real MLflow on SQLite, made once: creating its tables takes seconds."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_assets.registry.connection import connect
from mlops_assets.registry.models import Registry
from mlops_assets.registry.tracking import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(scope="session")
def mlflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="session")
def client(mlflow_home: Path) -> MlflowClient:
    return connect(f"sqlite:///{mlflow_home}/mlflow.db")


@pytest.fixture
def tracking(client: MlflowClient, tmp_path: Path) -> Tracking:
    """An experiment of the test's own."""
    return Tracking(client, uuid.uuid4().hex, str(tmp_path / "artifacts"))


@pytest.fixture
def registry(client: MlflowClient) -> Registry:
    return Registry(client)


@pytest.fixture
def model() -> str:
    """Name a registered model of the test's own."""
    return f"model_{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as `FittedModel.save` writes it: P(late) = .75 where f0 > 0, else .25."""
    import lightgbm
    import numpy as np

    folder = tmp_path_factory.mktemp("saved")
    feature = np.repeat([-1.0, 1.0], 400).reshape(-1, 1)
    label = np.tile([1.0, 0.0, 0.0, 0.0], 200)
    label[400:] = 1 - label[400:]
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "learning_rate": 1.0},
        lightgbm.Dataset(feature, label),
        num_boost_round=20,
    )
    (folder / "model.txt").write_text(booster.model_to_string())
    (folder / "encoding.json").write_text('{"features": [{"name": "wind", "kind": "numeric"}]}')
    return folder
