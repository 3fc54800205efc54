"""The way to MLflow: loading it quietly, and its errors in words for a person."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_assets.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

FINGERPRINT = "mlops.fingerprint"  # the tag by which runs and versions are found again


def without_telemetry() -> None:
    """Keep `import mlflow` from reporting its use; call before the first import of it.

    Without the variable the import starts a client that fetches its configuration from the
    network and keeps an installation id in the user's home. Who set it keeps their setting.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def connect(uri: str) -> MlflowClient:
    """Return a client of the tracking server and registry at a URI.

    Takes `sqlite:///path` (the file is made, some 4 s) or `http(s)://`; credentials come from
    MLflow's own environment variables. Neither the active run nor a global URI is touched.

    Raises:
        RegistryError: the store can't be opened.
    """
    without_telemetry()
    from mlflow import MlflowClient

    with asking(f"open MLflow at {uri.rsplit('@', maxsplit=1)[-1]}"):  # a URI may carry a password
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def quoted(value: str) -> str:
    """Return the value as MLflow's search language writes it.

    Raises:
        RegistryError: it holds a quote, for which that language has no escape.
    """
    if "'" in value or '"' in value:
        raise RegistryError(f"MLflow can't be searched for {value!r}; use no quotes in it")
    return f"'{value}'"


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn MLflow's errors into ours.

    Raises:
        RegistryError: MLflow refused, or could not be reached.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise RegistryError(f"could not {what}: {error}") from error
