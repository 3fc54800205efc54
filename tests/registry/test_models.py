from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mlops_assets.errors import RegistryError
from mlops_assets.registry.models import Registry
from mlops_assets.registry.tracking import Tracking


def trained(tracking: Tracking, fingerprint: str, saved: Path, folder: Path) -> str:
    """Return the id of a finished run that holds the saved model."""
    with tracking.run(fingerprint, "model", "train") as run:
        run.log_model(Path(shutil.copytree(saved, folder / fingerprint)))
    return run.id


@pytest.fixture
def run_id(tracking: Tracking, saved: Path, tmp_path: Path) -> str:
    return trained(tracking, "f1", saved, tmp_path)


def test_a_fingerprint_has_one_version(registry: Registry, model: str, run_id: str) -> None:
    first = registry.register(model, run_id, "f1", {"mlops.window": "2013-04-01"})
    assert registry.register(model, run_id, "f1") == first == 1
    assert registry.register(model, run_id, "f2") == 2
    version = registry.version(model, 1)
    assert (version.run_id, version.fingerprint) == (run_id, "f1")
    assert version.tags["mlops.window"] == "2013-04-01"


def test_the_versions_of_a_model_are_listed(registry: Registry, model: str, run_id: str) -> None:
    assert registry.versions(model) == []
    for number in range(11):  # by number: 10 comes after 9
        registry.register(model, run_id, f"f{number}")
    registry.register(f"{model}_other", run_id, "f0")
    assert registry.versions(model) == list(range(1, 12))


def test_the_alias_moves_and_goes(registry: Registry, model: str, run_id: str) -> None:
    assert registry.champion(model) is None
    registry.set_champion(model, None)
    for fingerprint in ("f1", "f2"):
        registry.register(model, run_id, fingerprint)
    for version in (1, 2, 2, 1):
        registry.set_champion(model, version)
        assert registry.champion(model) == version
    registry.set_champion(model, None)
    assert registry.champion(model) is None


def test_the_alias_never_points_nowhere(registry: Registry, model: str, run_id: str) -> None:
    registry.register(model, run_id, "f1")
    with pytest.raises(RegistryError, match=f"could not find version 7 of {model}"):
        registry.set_champion(model, 7)
    assert registry.champion(model) is None


def test_a_run_without_a_model_is_not_registered(
    registry: Registry, model: str, tracking: Tracking
) -> None:
    with tracking.run("f1", "model", "train") as run:
        pass
    with pytest.raises(RegistryError, match="holds no model"):
        registry.register(model, run.id, "f1")


def test_a_person_loads_the_champion_as_any_mlflow_model(
    registry: Registry, model: str, run_id: str, mlflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_champion(model, registry.register(model, run_id, "f1"))
    import mlflow

    # said to MLflow itself: what another test said to it in this process beats the environment
    mlflow.set_tracking_uri(f"sqlite:///{mlflow_home}/mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    loaded = mlflow.pyfunc.load_model(f"models:/{model}@champion")
    scores = loaded.predict(np.array([[-1.0], [1.0]], dtype=np.float32))
    np.testing.assert_allclose(scores, [0.25, 0.75], atol=0.01)


def test_nothing_is_pickled(tracking: Tracking, run_id: str, tmp_path: Path) -> None:
    folder = tracking.download(run_id, "model", tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        "MLmodel",
        "encoding.json",
        "model.txt",
        "python_env.yaml",
        "requirements.txt",
    }


def test_a_model_name_that_the_ledger_refuses_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no model can be called"):
        registry.register("Flight Delay", "0" * 32, "f1")
