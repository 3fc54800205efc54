"""A saved model as an ordinary MLflow model, so that a person can load it without us."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

from mlops_assets.errors import RegistryError

MODEL_PATH = "model"  # where a run keeps it
_BOOSTER, _ENCODING, _REQUIREMENTS, _PYTHON = (
    "model.txt",
    "encoding.json",
    "requirements.txt",
    "python_env.yaml",
)


def package(folder: Path, run_id: str) -> None:
    """Add `MLmodel` and what it names to a folder that holds model.txt and encoding.json.

    `mlflow.pyfunc.load_model("models:/<model>@champion").predict(matrix)` then takes what
    `Encoding.matrix` gives, of shape (rows, features) and the encoding's width, and returns the
    probabilities.
    LightGBM's flavour reads the booster's own text: nothing is pickled, nothing stored twice.
    Requirements are stated, not inferred: inferring them imports the model in a subprocess.

    Raises:
        RegistryError: a file is missing or is not what it should be.
    """
    import numpy as np
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    try:
        encoding = json.loads((folder / _ENCODING).read_bytes())
        features, width = encoding["features"], encoding.get("width", "float32")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"no encoding in {folder} ({error}); save the model there") from error
    if not (folder / _BOOSTER).is_file():
        raise RegistryError(f"no {_BOOSTER} in {folder}; save the model there first")
    lightgbm_version = version("lightgbm")
    model = Model(
        artifact_path=MODEL_PATH,
        run_id=run_id,
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(width), (-1, len(features)))]),
            outputs=Schema([TensorSpec(np.dtype("float64"), (-1,))]),
        ),
        metadata={"encoding": _ENCODING, "features": [feature["name"] for feature in features]},
    )
    pyfunc.add_to_model(model, "mlflow.lightgbm", data=_BOOSTER, python_env=_PYTHON)
    model.add_flavor(
        "lightgbm",
        lgb_version=lightgbm_version,
        data=_BOOSTER,
        model_class="lightgbm.basic.Booster",
    )
    needs = [f"{name}=={version(name)}" for name in ("mlflow", "lightgbm", "numpy", "pandas")]
    (folder / _REQUIREMENTS).write_text("\n".join(needs) + "\n")
    (folder / _PYTHON).write_text(
        f"python: {platform.python_version()}\ndependencies:\n- -r {_REQUIREMENTS}\n"
    )
    model.save(str(folder / "MLmodel"))
