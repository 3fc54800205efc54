from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlops_assets.errors import RegistryError
from mlops_assets.registry.connection import connect

_TELLS = """
import sys
import mlops_assets.registry.ledger, mlops_assets.registry.models, mlops_assets.registry.tracking
assert "mlflow" not in sys.modules
from mlops_assets.registry.connection import quieten
quieten()
import os
print(os.environ["MLFLOW_DISABLE_TELEMETRY"])
"""


@pytest.mark.parametrize("already", [None, "false"])
def test_telemetry_is_off_unless_somebody_chose_otherwise(already: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_DISABLE_TELEMETRY"}
    if already is not None:
        environment["MLFLOW_DISABLE_TELEMETRY"] = already
    told = subprocess.run(
        [sys.executable, "-c", _TELLS], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == (already or "true")


def test_a_store_that_can_not_be_opened_hides_the_password() -> None:
    with pytest.raises(
        RegistryError, match="could not open MLflow at nosuchscheme://host/db"
    ) as caught:
        connect("nosuchscheme://user:secret@host/db")
    assert "secret" not in str(caught.value)
